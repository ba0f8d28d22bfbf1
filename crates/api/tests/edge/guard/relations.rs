//! Tenants above, below and beside each other, and what the audit logs say.

use std::time::Duration;

use exchequer_access::Permission;
use exchequer_domain_access as domain;
use exchequer_proto::access::v1 as access;
use exchequer_proto::access::v1::access_service_client::AccessServiceClient;
use exchequer_proto::audit::v1 as audit;
use exchequer_proto::entitlements::v1 as entitlements;
use exchequer_proto::system::v1 as system;
use exchequer_proto::tenants::v1 as pb;
use exchequer_types::Slug;
use tonic::Code;

use super::{Guarded, said, whole, with};
use crate::world::refused;

/// What is written behind a call comes within a second; a busy machine gets more.
const DEADLINE: Duration = Duration::from_secs(20);

fn get(id: &str) -> pb::GetTenantRequest {
    pb::GetTenantRequest { id: id.to_owned(), ..<_>::default() }
}

// REQ: IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_tenant_is_as_if_it_did_not_exist() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    guarded.tenant("platform", "rival").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let tenants = &mut guarded.world.tenants;
    let there = refused(tenants.get_tenant(with(&owner, get("rival"))).await, "TENANT_NOT_FOUND");
    let not_there =
        refused(tenants.get_tenant(with(&owner, get("nobody"))).await, "TENANT_NOT_FOUND");
    assert_eq!(there.code(), Code::NotFound);
    assert_eq!(there.message(), not_there.message());
    // The same bytes, but for the request's own id and what the request itself named.
    let neutral = |status: &tonic::Status, name: &str| {
        use tonic_types::StatusExt as _;
        let mut details = status.get_error_details();
        details.set_request_info("", "");
        format!("{details:?}").replace(name, "NAME")
    };
    assert_eq!(neutral(&there, "rival"), neutral(&not_there, "nobody"));
    // A write that would be refused anyway tells nothing more.
    let rename =
        pb::RenameTenantRequest { id: "rival".to_owned(), name: String::new(), write: None };
    refused(tenants.rename_tenant(with(&owner, rename)).await, "TENANT_NOT_FOUND");
}

/// A member's name in another tenant is that tenant's business: a token of one tenant is
/// nobody in another, whatever its owner is called there.
// REQ: IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn a_members_name_opens_no_other_tenant() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    guarded.tenant("platform", "rival").await;
    let here = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let there = guarded.member("rival", "olga", &[("owner", whole())]).await;
    let tenants = &mut guarded.world.tenants;
    refused(tenants.get_tenant(with(&here, get("rival"))).await, "TENANT_NOT_FOUND");
    tenants.get_tenant(with(&there, get("rival"))).await.unwrap();
}

// REQ: IAM-19
#[tokio::test(flavor = "multi_thread")]
async fn tenants_above_act_by_permissions_of_their_own() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "reseller").await;
    guarded.promote("reseller").await;
    guarded.tenant("reseller", "acme").await;
    let above = guarded.service("reseller", &[("owner", whole())]).await;
    let staff = guarded.service("reseller", &[("operator", whole())]).await;
    let root_staff = guarded.service("platform", &[("operator", whole())]).await;
    let root = guarded.service("platform", &[("owner", whole()), ("operator", whole())]).await;
    let below = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let world = &mut guarded.world;
    // The reseller's owner has nothing to do with its customers' tenants, nor they with its.
    refused(world.tenants.get_tenant(with(&above, get("acme"))).await, "TENANT_NOT_FOUND");
    refused(world.tenants.get_tenant(with(&below, get("reseller"))).await, "TENANT_NOT_FOUND");
    for token in [&staff, &root_staff, &root] {
        world.tenants.get_tenant(with(token, get("acme"))).await.unwrap();
    }
    // With act_as, and without the permission beside it.
    let rename = |name: &str| pb::RenameTenantRequest {
        id: "acme".to_owned(),
        name: name.to_owned(),
        write: None,
    };
    let status = world.tenants.rename_tenant(with(&staff, rename("Theirs"))).await;
    let status = refused(status, "PERMISSION_DENIED");
    assert_eq!(said(&status, "rule"), "ABOVE_INCOMPLETE");
    world.tenants.rename_tenant(with(&root, rename("Renamed"))).await.unwrap();
    // Grants of entitlements are the provider's, never the customer's own.
    let list = || entitlements::ListGrantsRequest { tenant: "acme".to_owned(), ..<_>::default() };
    let revoke = || entitlements::RevokeGrantRequest {
        tenant: "acme".to_owned(),
        id: "x".to_owned(),
        reason: "mistaken".to_owned(),
        write: None,
    };
    world.entitlements.list_grants(with(&below, list())).await.unwrap();
    let status =
        refused(world.entitlements.revoke_grant(with(&below, revoke())).await, "PERMISSION_DENIED");
    assert_eq!(said(&status, "rule"), "PROVIDER_ONLY");
    refused(world.entitlements.revoke_grant(with(&staff, revoke())).await, "GRANT_NOT_FOUND");
}

// REQ: IAM-09
#[tokio::test(flavor = "multi_thread")]
async fn access_below_is_given_by_those_who_have_all_of_it() {
    let guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    guarded.member("acme", "olga", &[]).await;
    let words = ["members.read", "members.manage", "credentials.manage", "tenants.act_as"];
    let role = Slug::parse("helper").unwrap();
    let permissions = words.map(|word| Permission::parse(word).unwrap()).into();
    let create = domain::CreateRole { role, name: "Helper".to_owned(), permissions };
    guarded.access("platform", domain::Command::CreateRole(create)).await;
    let helper = guarded.service("platform", &[("helper", whole())]).await;
    let root = guarded.service("platform", &[("owner", whole()), ("operator", whole())]).await;
    let mut client = AccessServiceClient::new(guarded.world.channel.clone());
    let list = || access::ListMembersRequest { tenant: "acme".to_owned(), ..<_>::default() };
    client.list_members(with(&helper, list())).await.unwrap();
    let grant = || access::GrantRoleRequest {
        tenant: "acme".to_owned(),
        principal: Some(access::Principal {
            principal: Some(access::principal::Principal::Member("olga".to_owned())),
        }),
        role: "owner".to_owned(),
        ..<_>::default()
    };
    let status = refused(client.grant_role(with(&helper, grant())).await, "PERMISSION_DENIED");
    assert_eq!(said(&status, "rule"), "ABOVE_INCOMPLETE");
    client.grant_role(with(&root, grant())).await.unwrap();
}

// REQ: IAM-16, USE-13
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_does_not_lift_its_own_limits() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let root = guarded.service("platform", &[("owner", whole()), ("operator", whole())]).await;
    let set = |key: &str, value: &str| pb::UpdateSettingsRequest {
        id: "acme".to_owned(),
        set: vec![pb::Setting { key: key.to_owned(), value: value.to_owned() }],
        ..<_>::default()
    };
    let unset = |key: &str| pb::UpdateSettingsRequest {
        id: "acme".to_owned(),
        unset: vec![key.to_owned()],
        ..<_>::default()
    };
    let tenants = &mut guarded.world.tenants;
    let limit = "limits.requests_per_minute";
    tenants.update_settings(with(&owner, set("locale", "vi-VN"))).await.unwrap();
    tenants.update_settings(with(&root, set(limit, "600"))).await.unwrap();
    for request in [set(limit, "1000"), set("background.priority", "high"), unset(limit)] {
        let status = tenants.update_settings(with(&owner, request)).await;
        let status = refused(status, "PERMISSION_DENIED");
        assert_eq!(said(&status, "rule"), "PROVIDER_ONLY");
    }
    let status = tenants.update_settings(with(&root, set(limit, "many"))).await;
    refused(status, "SETTING_VALUE_INVALID");
}

// REQ: IAM-09
#[tokio::test(flavor = "multi_thread")]
async fn the_deployment_is_its_operators() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let operator = guarded.service("acme", &[("operator", whole())]).await;
    let root = guarded.service("platform", &[("operator", whole())]).await;
    let ask = system::GetStatusRequest::default;
    let proof = guarded.proof();
    let world = &mut guarded.world;
    // The platform's methods are not for those who are nobody there, operators of others or not.
    for token in [&owner, &operator] {
        let status =
            refused(world.system.get_status(with(token, ask())).await, "PERMISSION_DENIED");
        assert_eq!(said(&status, "rule"), "NOT_MEMBER");
    }
    for token in [&root, &proof] {
        world.system.get_status(with(token, ask())).await.unwrap();
    }
    // Creating below the platform is the platform's too, by name and by default.
    let create = |parent: &str| pb::CreateTenantRequest {
        id: "own".to_owned(),
        parent: parent.to_owned(),
        name: "Own".to_owned(),
        ..<_>::default()
    };
    for parent in ["", "platform"] {
        refused(
            world.tenants.create_tenant(with(&owner, create(parent))).await,
            "TENANT_NOT_FOUND",
        );
    }
    world.tenants.create_tenant(with(&proof, create(""))).await.unwrap();
    // Others must name a tenant.
    refused(world.tenants.get_tenant(with(&root, get(""))).await, "ID_INVALID");
    refused(world.tenants.get_tenant(with(&root, get("No Such"))).await, "ID_INVALID");
}

// REQ: IAM-09
#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_readers_are_in_the_audit_log() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    guarded.tenant("platform", "rival").await;
    let viewer = guarded.member("acme", "vera", &[("viewer", whole())]).await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let list =
        || audit::ListEntriesRequest { tenant: "acme".to_owned(), page_size: 50, ..<_>::default() };
    for _ in 0..3 {
        refused(guarded.world.audit.list_entries(with(&viewer, list())).await, "PERMISSION_DENIED");
    }
    // Knocking at another tenant's door is told at home, not there.
    refused(
        guarded.world.tenants.get_tenant(with(&viewer, get("rival"))).await,
        "TENANT_NOT_FOUND",
    );
    // They are written behind the calls, whose tokens do not tell when: the log's own tail
    // does. It is read by name itself.
    let tail = audit::TailEntriesRequest { tenant: "acme".to_owned(), ..<_>::default() };
    let mut tail = guarded.world.audit.tail_entries(with(&owner, tail)).await.unwrap().into_inner();
    let mut said: Vec<audit::Entry> = Vec::new();
    let has = |said: &[audit::Entry], action: &str, method: &str| {
        let of = |it: &audit::Entry| it.resource.as_ref().is_some_and(|it| it.id.ends_with(method));
        said.iter().any(|it| it.action == action && of(it))
    };
    let told = async {
        while !(has(&said, "access.read", "/TailEntries")
            && has(&said, "access.denied", "/ListEntries")
            && has(&said, "access.denied", "/GetTenant"))
        {
            let entry = tail.message().await.unwrap().unwrap().entry.unwrap();
            said.extend(entry.action.starts_with("access.").then_some(entry));
        }
    };
    tokio::time::timeout(DEADLINE, told).await.unwrap();
    let denied: Vec<_> = said.iter().filter(|it| it.action == "access.denied").collect();
    let about = |method: &str| {
        let of =
            |it: &&&audit::Entry| it.resource.as_ref().is_some_and(|it| it.id.ends_with(method));
        denied.iter().filter(of).map(|it| format!("{it:?}")).collect::<Vec<_>>()
    };
    let (listing, getting) = (about("/ListEntries"), about("/GetTenant"));
    assert!(listing.iter().all(|it| it.contains("vera") && it.contains("NO_GRANT")), "{listing:?}");
    assert!(!listing.is_empty() && getting.len() == 1, "{said:?}");
    assert!(getting[0].contains("NOT_MEMBER"), "{getting:?}");
    let readers: Vec<_> = said.iter().filter(|it| it.action == "access.read").collect();
    assert!(readers.iter().all(|it| it.actor == "olga"), "{readers:?}");
}
