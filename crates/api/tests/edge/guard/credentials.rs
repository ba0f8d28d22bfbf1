//! Who is let in at all, and from where.

use exchequer_access::AddressRange;
use exchequer_api::authn::TokenKind;
use exchequer_domain_access as domain;
use exchequer_proto::access::v1 as access;
use exchequer_proto::access::v1::access_service_client::AccessServiceClient;
use exchequer_proto::tenants::v1 as pb;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{Guarded, from, whole, with};
use crate::world::{Reply, refused};

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
    let renamed = guarded.world.tenants.rename_tenant(request).await.unwrap();
    let seen = Reply::of(renamed).token;
    let list = exchequer_proto::audit::v1::ListEntriesRequest {
        tenant: "acme".to_owned(),
        ..<_>::default()
    };
    let mut request = with(&owner, list);
    request.metadata_mut().insert("x-exchequer-consistency", seen.parse().unwrap());
    let found = guarded.world.audit.list_entries(request).await.unwrap().into_inner();
    let renamed = found.entries.iter().find(|it| it.action.contains("renamed")).unwrap();
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

// REQ: IAM-14
#[tokio::test(flavor = "multi_thread")]
async fn nobody_shuts_themselves_out_by_mistake() {
    let guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let mut client = AccessServiceClient::new(guarded.world.channel.clone());
    let set = |networks: &[&str], force: bool| access::SetAddressesRequest {
        tenant: "acme".to_owned(),
        networks: networks.iter().map(|it| (*it).to_owned()).collect(),
        force,
        write: None,
    };
    let here = |request| from("203.0.113.7", with(&owner, request));
    let get = |owner: &str| {
        let get = access::GetAddressesRequest { tenant: "acme".to_owned(), ..<_>::default() };
        from("203.0.113.7", with(owner, get))
    };
    let status = client.set_addresses(here(set(&["198.51.100.0/24"], false))).await;
    let status = refused(status, "ADDRESSES_INVALID");
    assert!(status.message().contains("unless forced"), "{status:?}");
    // Written as IPv6, it is the same network.
    client.set_addresses(here(set(&["::ffff:203.0.113.0/120"], false))).await.unwrap();
    let found = client.get_addresses(get(&owner)).await.unwrap().into_inner();
    assert_eq!(found.networks, ["203.0.113.0/24"]);
    client.set_addresses(here(set(&["198.51.100.0/24"], true))).await.unwrap();
    refused(client.get_addresses(get(&owner)).await, "ADDRESS_NOT_ALLOWED");
}

// REQ: EDG-05
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_the_guard_refuses_tells_its_id() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let viewer = guarded.member("acme", "vera", &[("viewer", whole())]).await;
    let rename = |id: &str| pb::RenameTenantRequest {
        id: "acme".to_owned(),
        name: "Mine".to_owned(),
        write: Some(exchequer_proto::common::v1::WriteOptions {
            command_id: id.to_owned(),
            ..<_>::default()
        }),
    };
    let mut told = Vec::new();
    for id in ["c-17", "two words", ""] {
        let answer = guarded.world.tenants.rename_tenant(with(&viewer, rename(id))).await;
        let status = refused(answer, "PERMISSION_DENIED");
        let id = status.metadata().get("x-exchequer-command-id");
        told.push(id.map(|it| it.to_str().unwrap().to_owned()));
    }
    assert_eq!(told, [Some("c-17".to_owned()), None, None]);
}
