//! A method is closed to whoever lacks its permission, and to nobody else.

use exchequer_access::{BuiltIn, Permission};
use serde_json::{Value, json};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use super::methods::{Method, all, requests, with};
use super::stage::{Stage, reason};

/// Whoever belongs to the tenant.
const MEMBER: &str = "member";
/// Opens the billing methods of a provider's customers beside their own permissions.
const BILLING_OPERATE: &str = "billing.operate";

/// From above, access is given by those alone who have all that could be given.
const GIVING: [&str; 3] = ["members.manage", "roles.manage", "credentials.manage"];

fn is_refused(answer: &Result<Response<Vec<u8>>, Status>) -> bool {
    answer.as_ref().is_err_and(|it| reason(it) == "PERMISSION_DENIED")
}

fn harmless(method: &Method, request: &Value) -> Value {
    if method.writes() {
        with(request, "write", json!({"validateOnly": true}))
    } else {
        request.clone()
    }
}

/// Words of all permissions but these.
fn all_but(lacking: &[&str]) -> Vec<&'static str> {
    let words = Permission::ALL.iter().map(|it| it.as_str());
    words.filter(|it| !lacking.contains(it)).collect()
}

/// Those that a role of a tenant that is not the platform can use on its own tenant.
fn own(words: Vec<&'static str>) -> Vec<&'static str> {
    let owner: Vec<&str> = BuiltIn::Owner.permissions().iter().map(|it| it.as_str()).collect();
    words.into_iter().filter(|it| owner.contains(it)).collect()
}

// REQ: IAM-10, IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn each_permission_opens_its_methods_and_no_other_does() {
    let mut stage = Stage::set().await;
    let words: std::collections::BTreeSet<&str> =
        all().iter().map(|it| it.rule.permission).collect();
    for (index, word) in words.into_iter().filter(|it| *it != MEMBER).enumerate() {
        let lacking = [word, BILLING_OPERATE];
        let without =
            stage.token("platform", &format!("without-{index}"), &all_but(&lacking)).await;
        let role = format!("with-{index}");
        let all_of_it = all_but(&[]);
        let given: &[&str] =
            if GIVING.contains(&word) { &all_of_it } else { &[word, "tenants.act_as"] };
        let with = stage.token("platform", &role, given).await;
        for method in all().iter().filter(|it| it.rule.permission == word) {
            let request = harmless(method, &stage.request(&requests()[&method.name]));
            let refused = stage.call(&without, method, &request).await;
            let refused = refused.expect_err_of(method);
            let is_hidden = reason(&refused) == "TENANT_NOT_FOUND";
            assert!(
                refused.code() == Code::PermissionDenied || is_hidden,
                "{} without {word}: {refused:?}",
                method.name
            );
            if !is_hidden {
                let info = refused.get_details_error_info().unwrap();
                assert_eq!(info.reason, "PERMISSION_DENIED", "{}", method.name);
                assert_eq!(info.metadata["permission"], word, "{}", method.name);
            }
            let answer = stage.call(&with, method, &request).await;
            assert!(!is_refused(&answer), "{} with {word}: {answer:?}", method.name);
            let hidden = answer.as_ref().is_err_and(|it| reason(it) == "TENANT_NOT_FOUND");
            assert!(!hidden, "{} with {word}: {answer:?}", method.name);
        }
    }
}

// REQ: IAM-10, IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_roles_give_what_they_name() {
    let mut stage = Stage::set().await;
    let owner: Vec<&str> = BuiltIn::Owner.permissions().iter().map(|it| it.as_str()).collect();
    for (index, word) in owner.into_iter().enumerate() {
        let methods: Vec<Method> = all()
            .into_iter()
            .filter(|it| it.rule.permission == word && it.tenant_field().is_some())
            .collect();
        if methods.is_empty() {
            continue;
        }
        let without =
            stage.token("acme", &format!("without-{index}"), &own(all_but(&[word]))).await;
        let with = stage.token("acme", &format!("with-{index}"), &[word]).await;
        for method in methods {
            let request = harmless(&method, &stage.request(&requests()[&method.name]));
            let refused = stage.call(&without, &method, &request).await;
            assert!(is_refused(&refused), "{} without {word}: {refused:?}", method.name);
            let answer = stage.call(&with, &method, &request).await;
            assert!(!is_refused(&answer), "{} with {word}: {answer:?}", method.name);
        }
    }
}

trait Refused {
    fn expect_err_of(self, method: &Method) -> Status;
}

impl Refused for Result<Response<Vec<u8>>, Status> {
    fn expect_err_of(self, method: &Method) -> Status {
        self.err().unwrap_or_else(|| panic!("{} was answered", method.name))
    }
}
