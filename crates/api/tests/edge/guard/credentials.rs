//! Who is let in at all, and from where.

use exchequer_access::AddressRange;
use exchequer_api::authn::TokenKind;
use exchequer_domain_access as domain;
use exchequer_proto::tenants::v1 as pb;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{Guarded, from, whole, with};
use crate::world::refused;

fn get(id: &str) -> pb::GetTenantRequest {
    pb::GetTenantRequest { id: id.to_owned(), ..<_>::default() }
}

// REQ: IAM-12
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_without_a_credential() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let tenants = &mut guarded.world.tenants;
    let status = refused(tenants.get_tenant(get("acme")).await, "CREDENTIAL_MISSING");
    assert_eq!(status.code(), Code::Unauthenticated);
    // Saying who one is proves nothing.
    let mut request = Request::new(get("acme"));
    request.metadata_mut().insert("x-exchequer-actor", "olga".parse().unwrap());
    refused(tenants.get_tenant(request).await, "CREDENTIAL_MISSING");
    for bad in [&owner[..owner.len() - 1], "exq_pat_", "nonsense", "eyJhbGciOiJub25lIn0.e30."] {
        let status =
            refused(tenants.get_tenant(with(bad, get("acme"))).await, "CREDENTIAL_INVALID");
        assert_eq!(status.code(), Code::Unauthenticated, "{bad}");
    }
    tenants.get_tenant(with(&owner, get("acme"))).await.unwrap();
    // Health is of everyone's business.
    let mut health = HealthClient::new(guarded.world.channel.clone());
    health.check(HealthCheckRequest::default()).await.unwrap();
}

// REQ: IAM-12
#[tokio::test(flavor = "multi_thread")]
async fn the_actor_is_whom_the_credential_proves() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let rename =
        pb::RenameTenantRequest { id: "acme".to_owned(), name: "Hers".to_owned(), write: None };
    let mut request = with(&owner, rename);
    request.metadata_mut().insert("x-exchequer-actor", "somebody-else".parse().unwrap());
    guarded.world.tenants.rename_tenant(request).await.unwrap();
    let list = exchequer_proto::audit::v1::ListEntriesRequest {
        tenant: "acme".to_owned(),
        ..<_>::default()
    };
    let mut found = Vec::new();
    for _ in 0..100 {
        let answer = guarded.world.audit.list_entries(with(&owner, list.clone())).await.unwrap();
        found = answer.into_inner().entries;
        if found.iter().any(|it| it.action.contains("renamed")) {
            break;
        }
        guarded.wait(50).await;
    }
    let renamed = found.iter().find(|it| it.action.contains("renamed")).unwrap();
    assert_eq!(renamed.actor, "olga");
}

// REQ: IAM-14
#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_list_of_addresses_holds_for_its_people() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let root = guarded.service("platform", &[("owner", whole()), ("operator", whole())]).await;
    let office = vec![AddressRange::parse("203.0.113.0/24").unwrap()];
    let set = domain::SetAddresses { addresses: office };
    guarded.access("acme", domain::Command::SetAddresses(set)).await;
    let tenants = &mut guarded.world.tenants;
    tenants.get_tenant(from("203.0.113.7", with(&owner, get("acme")))).await.unwrap();
    let outside = tenants.get_tenant(from("198.51.100.7", with(&owner, get("acme")))).await;
    let status = refused(outside, "ADDRESS_NOT_ALLOWED");
    assert_eq!(status.code(), Code::PermissionDenied);
    // Staff comes from elsewhere, and mends a list that locks everybody out.
    tenants.get_tenant(from("198.51.100.7", with(&root, get("acme")))).await.unwrap();
}

// REQ: IAM-13
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_has_a_list_of_its_own() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let kind = domain::CredentialKind::Service;
    let role = exchequer_types::Slug::parse("viewer").unwrap();
    let token = guarded
        .credential("acme", kind, TokenKind::Service, |it| {
            it.addresses = vec![AddressRange::parse("192.0.2.1").unwrap()];
            it.grants = vec![domain::Giving { role, scope: whole() }];
        })
        .await;
    let tenants = &mut guarded.world.tenants;
    tenants.get_tenant(from("192.0.2.1", with(&token, get("acme")))).await.unwrap();
    let outside = tenants.get_tenant(from("192.0.2.2", with(&token, get("acme")))).await;
    refused(outside, "ADDRESS_NOT_ALLOWED");
}
