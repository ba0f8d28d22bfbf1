//! What the audit log says of who was not let in, who read from above, and who appended.

use exchequer_api::authn::TokenKind;
use exchequer_domain_access as domain;
use exchequer_proto::access::v1 as access;
use exchequer_proto::access::v1::credential_service_client::CredentialServiceClient;
use exchequer_proto::audit::v1 as audit;
use exchequer_proto::tenants::v1 as pb;

use super::{Guarded, from, whole, with};
use crate::world::refused;

fn get(id: &str) -> pb::GetTenantRequest {
    pb::GetTenantRequest { id: id.to_owned(), ..<_>::default() }
}

/// The entries of `acme`, when there is one of whom `is_wanted` says so.
async fn entries(
    guarded: &mut Guarded,
    owner: &str,
    is_wanted: impl Fn(&audit::Entry) -> bool,
) -> Vec<audit::Entry> {
    let list =
        audit::ListEntriesRequest { tenant: "acme".to_owned(), page_size: 100, ..<_>::default() };
    let mut found = Vec::new();
    for _ in 0..200 {
        let answer = guarded.world.audit.list_entries(with(owner, list.clone())).await.unwrap();
        found = answer.into_inner().entries;
        if found.iter().any(&is_wanted) {
            return found;
        }
        guarded.wait(50).await;
    }
    panic!("not there: {found:#?}");
}

// REQ: IAM-13
#[tokio::test(flavor = "multi_thread")]
async fn who_knocks_with_a_revoked_token_is_told_to_its_tenant() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let kind = domain::CredentialKind::Service;
    let token = guarded.credential("acme", kind, TokenKind::Service, |_| {}).await;
    let mut credentials = CredentialServiceClient::new(guarded.world.channel.clone());
    let list = access::ListCredentialsRequest {
        tenant: "acme".to_owned(),
        kind: access::CredentialKind::Service.into(),
        ..<_>::default()
    };
    let found = credentials.list_credentials(with(&owner, list)).await.unwrap().into_inner();
    let id = found.credentials[0].id.clone();
    let revoke = access::RevokeCredentialRequest {
        tenant: "acme".to_owned(),
        id: id.clone(),
        ..<_>::default()
    };
    credentials.revoke_credential(with(&owner, revoke)).await.unwrap();
    for _ in 0..3 {
        let knock = from("198.51.100.9", with(&token, get("acme")));
        refused(guarded.world.tenants.get_tenant(knock).await, "CREDENTIAL_REVOKED");
    }
    let of_it =
        |it: &audit::Entry| it.action == "access.denied" && it.json.contains("CREDENTIAL_REVOKED");
    let found = entries(&mut guarded, &owner, of_it).await;
    let denied = found.into_iter().find(of_it).unwrap();
    assert_eq!(denied.actor, format!("key:{id}"));
    assert!(denied.resource.unwrap().id.ends_with("TenantService/GetTenant"));
    // From where, which the entry's own bytes do not show.
    assert_eq!(denied.origin.unwrap().address, "198.51.100.9");
    assert!(!denied.json.contains("198.51.100.9"), "{}", denied.json);
    assert_eq!(denied.appended_by, "gateway");
}

// REQ: IAM-14
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_from_a_foreign_network_is_told_to_the_tenant() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let kind = domain::CredentialKind::Service;
    let token = guarded
        .credential("acme", kind, TokenKind::Service, |it| {
            it.addresses = vec![exchequer_access::AddressRange::parse("192.0.2.1").unwrap()];
        })
        .await;
    let knock = from("192.0.2.2", with(&token, get("acme")));
    refused(guarded.world.tenants.get_tenant(knock).await, "ADDRESS_NOT_ALLOWED");
    let of_it = |it: &audit::Entry| it.json.contains("ADDRESS_NOT_ALLOWED");
    let found = entries(&mut guarded, &owner, of_it).await;
    let denied = found.into_iter().find(of_it).unwrap();
    assert_eq!(denied.origin.unwrap().address, "192.0.2.2");
    // Nobody is told of what belongs to nobody.
    refused(
        guarded.world.tenants.get_tenant(with("exq_svc_nonsense", get("acme"))).await,
        "CREDENTIAL_INVALID",
    );
}

// REQ: IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_from_above_is_told_to_the_tenant_below() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let root = guarded.service("platform", &[("owner", whole()), ("operator", whole())]).await;
    guarded.world.tenants.get_tenant(with(&owner, get("acme"))).await.unwrap();
    for _ in 0..5 {
        let read = from("203.0.113.5", with(&root, get("acme")));
        guarded.world.tenants.get_tenant(read).await.unwrap();
    }
    let of_it = |it: &audit::Entry| {
        it.action == "access.read"
            && it.resource.as_ref().is_some_and(|it| it.id.ends_with("/GetTenant"))
    };
    let found = entries(&mut guarded, &owner, of_it).await;
    let read: Vec<_> = found.into_iter().filter(of_it).collect();
    assert!(read.iter().all(|it| it.actor.starts_with("key:")), "{read:?}");
    assert!(read.iter().all(|it| it.json.contains("ACT_AS")), "{read:?}");
    assert!(read.len() <= 2, "one a second: {read:?}");
    assert_eq!(read[0].origin.as_ref().unwrap().address, "203.0.113.5");
}

fn append(action: &str, actor: &str) -> audit::AppendEntryRequest {
    audit::AppendEntryRequest {
        tenant: "acme".to_owned(),
        entry: Some(audit::NewEntry {
            action: action.to_owned(),
            actor: actor.to_owned(),
            resource: Some(audit::Resource { r#type: "invoice".to_owned(), id: "1".to_owned() }),
            ..<_>::default()
        }),
        write: None,
    }
}

// REQ: AUD-02
#[tokio::test(flavor = "multi_thread")]
async fn an_application_does_not_pass_for_the_server() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    for action in ["access.denied", "tenant.closed", "credential.revoked", "usage.counted", "flag"]
    {
        let answer = guarded.world.audit.append_entry(with(&owner, append(action, "u-1"))).await;
        let status = refused(answer, "ENTRY_INVALID");
        assert!(status.message().contains("another word"), "{action}: {status:?}");
    }
    for actor in ["u-1", "olga"] {
        let entry = append("invoice.paid", actor);
        guarded.world.audit.append_entry(with(&owner, entry)).await.unwrap();
    }
    let of_it = |it: &audit::Entry| it.action == "invoice.paid" && it.actor == "olga";
    let found = entries(&mut guarded, &owner, of_it).await;
    let by = |actor: &str| {
        let of_it = |it: &&audit::Entry| it.action == "invoice.paid" && it.actor == actor;
        found.iter().find(of_it).unwrap().appended_by.as_str()
    };
    assert_eq!((by("u-1"), by("olga")), ("olga", ""));
}

/// Every word by which the server begins an action is one that no application has.
// REQ: AUD-02
#[test]
fn every_action_of_the_server_is_its_own() {
    let crates = format!("{}/..", env!("CARGO_MANIFEST_DIR"));
    let mut found = 0;
    for folder in std::fs::read_dir(crates).unwrap() {
        let folder = folder.unwrap().path();
        let is_domain = folder.file_name().unwrap().to_str().unwrap().starts_with("domain-");
        if !is_domain {
            continue;
        }
        for file in ["src/shown.rs", "src/show.rs", "src/lib.rs"] {
            let Ok(text) = std::fs::read_to_string(folder.join(file)) else { continue };
            // `("member.added", …` and `action: "catalog.published"`.
            for (index, _) in text.match_indices("=> (\"").chain(text.match_indices("action: \"")) {
                let quoted = text[index..].split('"').nth(1).unwrap();
                let Some((word, _)) = quoted.split_once('.') else { continue };
                assert!(exchequer_domain_audit::RESERVED.contains(&word), "{quoted}");
                found += 1;
            }
        }
    }
    assert!(found > 40, "{found}");
}
