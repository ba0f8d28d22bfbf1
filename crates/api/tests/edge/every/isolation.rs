//! What belongs to one tenant is not there for the credentials of another: every method,
//! with every id.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use super::methods::{Method, all, replaced, requests, with};
use super::stage::{MARK, NOBODY, Stage, reason};

/// An answer as far as it may not differ: what it says, `unknown` being the id that was
/// asked for in place of `id`.
fn said(answer: &Result<Response<Vec<u8>>, Status>, unknown: &str, id: &str) -> String {
    match answer {
        // What is said well is looked at for what it must not say.
        Ok(_) => "an answer".to_owned(),
        Err(status) => {
            let details = status.get_error_details();
            let info = details
                .error_info()
                .map(|it| (&it.reason, it.metadata.iter().collect::<BTreeMap<_, _>>()));
            let fields = details.bad_request().cloned();
            let resource = details.resource_info().cloned();
            let retry = details.retry_info().is_some();
            let (code, message) = (status.code(), status.message());
            let text = format!("{code:?} {message} {info:?} {fields:?} {resource:?} {retry}");
            text.replace(unknown, id)
        }
    }
}

fn check_silent(method: &Method, answer: &Result<Response<Vec<u8>>, Status>) {
    let (bytes, metadata) = match answer {
        Ok(reply) => (reply.get_ref().clone(), reply.metadata().clone()),
        Err(status) => {
            let text = [status.message().as_bytes(), status.details()].concat();
            (text, status.metadata().clone())
        }
    };
    let has_mark = bytes.windows(MARK.len()).any(|it| it == MARK.as_bytes());
    assert!(!has_mark, "{}: {answer:?}", method.name);
    assert!(!format!("{metadata:?}").contains(MARK), "{}: {metadata:?}", method.name);
}

/// The request with what it would write kept from being written.
fn harmless(method: &Method, request: &Value) -> Value {
    if method.writes() {
        with(request, "write", json!({"validateOnly": true}))
    } else {
        request.clone()
    }
}

// REQ: IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_is_as_if_it_did_not_exist() {
    let stage = Stage::set().await;
    for method in all() {
        let request = stage.request(&requests()[&method.name]);
        let request = harmless(&method, &request);
        let there = stage.call(&stage.rival, &method, &request).await;
        let nobody = replaced(&request, &[("acme", NOBODY)]);
        let nowhere = stage.call(&stage.rival, &method, &nobody).await;
        let (there_said, nowhere) = (said(&there, "acme", "acme"), said(&nowhere, NOBODY, "acme"));
        assert_eq!(there_said, nowhere, "{} {request}", method.name);
        assert!(there.is_err(), "{}: {there:?}", method.name);
        check_silent(&method, &there);
    }
}

// REQ: IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn ids_of_another_tenant_are_as_if_they_did_not_exist() {
    let stage = Stage::set().await;
    for method in all() {
        let Some(tenant) = method.tenant_field() else { continue };
        let request = harmless(&method, &stage.request(&requests()[&method.name]));
        let own = with(&request, &camel(tenant), json!("rival"));
        check_silent(&method, &stage.call(&stage.rival, &method, &own).await);
        for field in method.input.fields().filter(|it| it.name() != tenant && takes_ids(it)) {
            for id in stage.ids() {
                let other: String = id.chars().map(|it| if it == '_' { it } else { 'z' }).collect();
                let asked = |id: &str| {
                    let id = json!(id);
                    let id = if field.is_list() { json!([id]) } else { id };
                    with(&own, field.json_name(), id)
                };
                let foreign = stage.call(&stage.rival, &method, &asked(&id)).await;
                let unknown = stage.call(&stage.rival, &method, &asked(&other)).await;
                check_silent(&method, &foreign);
                let field = field.name();
                let (foreign, unknown) = (said(&foreign, &id, &id), said(&unknown, &other, &id));
                assert_eq!(foreign, unknown, "{} with {field} {id}", method.name);
            }
        }
    }
}

fn takes_ids(field: &prost_reflect::FieldDescriptor) -> bool {
    let is_option = ["page_token", "filter", "cursor"].contains(&field.name());
    field.kind() == prost_reflect::Kind::String && !is_option
}

/// `tenant_id` as JSON has it.
fn camel(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let (first, rest) = word.split_at(1);
        text + &first.to_uppercase() + rest
    })
}

// REQ: IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_answered_without_a_credential() {
    let stage = Stage::set().await;
    for method in all() {
        let request = harmless(&method, &stage.request(&requests()[&method.name]));
        for token in ["", "exq_svc_nonsense", "one two"] {
            let refused = stage.call(token, &method, &request).await;
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{}", method.name);
            assert!(reason(&refused).starts_with("CREDENTIAL_"), "{}: {refused:?}", method.name);
        }
    }
}
