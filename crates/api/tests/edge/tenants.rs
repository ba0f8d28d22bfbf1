//! The tenants' calls over a real port.

use crate::world::{Reply, World, named, refused, seeing, write};
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::tenants::v1 as pb;
use prost::Message as _;
use tonic::Code;
use tonic_types::StatusExt as _;

fn get(id: &str, token: &str) -> tonic::Request<pb::GetTenantRequest> {
    seeing(pb::GetTenantRequest { id: id.to_owned(), ..<_>::default() }, token)
}

// REQ: KER-01, KER-09
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_by_its_token() {
    let mut world = World::start().await;
    let created = world.tenant("acme").await;
    assert_eq!((created.message.id.as_str(), created.message.version), ("acme", 1));
    let found = Reply::of(world.tenants.get_tenant(get("acme", &created.token)).await.unwrap());
    assert_eq!(found.message.name, "Acme");
    assert_eq!(found.message.children, Some(pb::ChildCounts::default()));
    for number in 0..50 {
        let name = format!("Acme {number}");
        let id = "acme".to_owned();
        let request = pb::RenameTenantRequest { id, name: name.clone(), write: None };
        let renamed = Reply::of(world.tenants.rename_tenant(request).await.unwrap());
        let found = world.tenants.get_tenant(get("acme", &renamed.token)).await.unwrap();
        assert_eq!(found.into_inner().name, name);
    }
}

// REQ: KER-03
#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_gives_the_same_bytes_again() {
    let mut world = World::start().await;
    let first = world.tenant("acme").await;
    let request = pb::RenameTenantRequest {
        id: "acme".to_owned(),
        name: "Other".to_owned(),
        write: Some(write("rename-1")),
    };
    let renamed = Reply::of(world.tenants.rename_tenant(request.clone()).await.unwrap());
    assert_eq!(renamed.command_id, "rename-1");
    let again = world.tenant("acme").await;
    assert_eq!(again.message.encode_to_vec(), first.message.encode_to_vec());
    let again = Reply::of(world.tenants.rename_tenant(request.clone()).await.unwrap());
    assert_eq!(again.message.encode_to_vec(), renamed.message.encode_to_vec());
    let other = pb::RenameTenantRequest { name: "Third".to_owned(), ..request };
    let status = refused(world.tenants.rename_tenant(other).await, "COMMAND_ID_REUSED");
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(named(&status).1, ["write.command_id"]);
}

// REQ: KER-04
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_the_current_version() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let mut request = pb::SuspendTenantRequest {
        id: "acme".to_owned(),
        reason: "unpaid".to_owned(),
        write: Some(WriteOptions { expected_version: Some(9), ..WriteOptions::default() }),
    };
    let status = refused(world.tenants.suspend_tenant(request.clone()).await, "VERSION_CONFLICT");
    assert_eq!(status.code(), Code::Aborted);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["current_version"], "1");
    request.write = Some(WriteOptions { expected_version: Some(1), ..WriteOptions::default() });
    let suspended = world.tenants.suspend_tenant(request).await.unwrap().into_inner();
    assert_eq!(suspended.status(), pb::TenantStatus::Suspended);
    assert_eq!((suspended.reason.as_str(), suspended.version), ("unpaid", 2));
}

// REQ: KER-05
#[tokio::test(flavor = "multi_thread")]
async fn validating_changes_nothing() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let mut request = pb::RenameTenantRequest {
        id: "acme".to_owned(),
        name: "Dry".to_owned(),
        write: Some(WriteOptions {
            command_id: "dry-1".to_owned(),
            validate_only: true,
            ..WriteOptions::default()
        }),
    };
    let validated = Reply::of(world.tenants.rename_tenant(request.clone()).await.unwrap());
    assert_eq!((validated.message.name.as_str(), validated.message.version), ("Dry", 2));
    let found = world.tenants.get_tenant(get("acme", &validated.token)).await.unwrap();
    assert_eq!(found.into_inner().version, 1);
    let bad = pb::RenameTenantRequest { name: String::new(), ..request.clone() };
    let status = refused(world.tenants.rename_tenant(bad).await, "NAME_INVALID");
    assert_eq!((status.code(), named(&status).1), (Code::InvalidArgument, vec!["name".to_owned()]));
    // The id is free for the real one.
    request.write = Some(write("dry-1"));
    let renamed = world.tenants.rename_tenant(request).await.unwrap().into_inner();
    assert_eq!(renamed.version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_too_late_is_not_decided() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let not_after = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let request = pb::PromoteTenantRequest {
        id: "acme".to_owned(),
        write: Some(WriteOptions { not_after, ..WriteOptions::default() }),
    };
    refused(world.tenants.promote_tenant(request).await, "COMMAND_EXPIRED");
}

// REQ: KER-10
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_built_and_listed() {
    let mut world = World::start().await;
    let child = |parent: &str, id: &str| pb::CreateTenantRequest {
        id: id.to_owned(),
        parent: parent.to_owned(),
        name: "Child".to_owned(),
        ..pb::CreateTenantRequest::default()
    };
    let status =
        refused(world.tenants.create_tenant(child("reseller", "c-0")).await, "TENANT_NOT_FOUND");
    assert_eq!((status.code(), named(&status).1), (Code::NotFound, vec!["parent".to_owned()]));
    world.tenant("reseller").await;
    let status =
        refused(world.tenants.create_tenant(child("reseller", "c-0")).await, "TENANT_NOT_PROVIDER");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let promote = pb::PromoteTenantRequest { id: "reseller".to_owned(), write: None };
    assert!(world.tenants.promote_tenant(promote).await.unwrap().into_inner().provider);
    let mut token = String::new();
    for number in 0..5 {
        // At once: the server waits for the partitions to know the provider.
        let created = world.tenants.create_tenant(child("reseller", &format!("c-{number}"))).await;
        let created = Reply::of(created.unwrap());
        assert_eq!(created.message.depth, 2);
        let close = pb::CloseTenantRequest { id: created.message.id, ..<_>::default() };
        if number == 4 {
            token = Reply::of(world.tenants.close_tenant(close).await.unwrap()).token;
        }
    }
    let mut list = pb::ListTenantsRequest {
        parent: "reseller".to_owned(),
        page_size: 2,
        ..pb::ListTenantsRequest::default()
    };
    let mut ids = Vec::new();
    // Children on other partitions were written before this token's commit.
    let all = world.platform.tail.partitions();
    let heads = (0..all).map(exchequer_types::PartitionId);
    let heads = heads.map(|it| (it, world.platform.tail.state(it).head.offset));
    let all = exchequer_engine::Token(heads.collect()).encode();
    loop {
        let page = world.tenants.list_tenants(seeing(list.clone(), &all)).await.unwrap();
        let page = page.into_inner();
        ids.extend(page.tenants.into_iter().map(|it| it.id));
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
        assert!(page_of_another_list_is_refused(&mut world, list.clone()).await);
    }
    assert_eq!(ids, ["c-0", "c-1", "c-2", "c-3", "c-4"]);
    let closed = pb::ListTenantsRequest {
        parent: "reseller".to_owned(),
        status: vec![pb::TenantStatus::Closed.into()],
        ..pb::ListTenantsRequest::default()
    };
    let closed = world.tenants.list_tenants(seeing(closed, &token)).await.unwrap().into_inner();
    assert_eq!(closed.tenants.len(), 1);
    let found = world.tenants.get_tenant(get("reseller", &all)).await.unwrap().into_inner();
    assert_eq!(found.children, Some(pb::ChildCounts { active: 4, suspended: 0, closed: 1 }));
}

async fn page_of_another_list_is_refused(world: &mut World, list: pb::ListTenantsRequest) -> bool {
    let other = pb::ListTenantsRequest { parent: "platform".to_owned(), ..list };
    let status = refused(world.tenants.list_tenants(other).await, "PAGE_TOKEN_INVALID");
    named(&status).1 == ["page_token"]
}

// REQ: KER-10
#[tokio::test(flavor = "multi_thread")]
async fn settings_are_inherited() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let setting = |value: &str| {
        vec![pb::Setting { key: "support.email".to_owned(), value: value.to_owned() }]
    };
    let mut update = pb::UpdateSettingsRequest {
        id: "platform".to_owned(),
        set: setting("root@example.com"),
        ..pb::UpdateSettingsRequest::default()
    };
    let updated = Reply::of(world.tenants.update_settings(update.clone()).await.unwrap());
    let request = pb::GetSettingsRequest { id: "acme".to_owned(), ..<_>::default() };
    let settings = world.tenants.get_settings(seeing(request.clone(), &updated.token)).await;
    let settings = settings.unwrap().into_inner().settings;
    assert!(settings.iter().any(|it| it.value == "root@example.com" && it.source == "platform"));
    "acme".clone_into(&mut update.id);
    update.set = setting("own@example.com");
    let updated = Reply::of(world.tenants.update_settings(update.clone()).await.unwrap());
    let settings = world.tenants.get_settings(seeing(request, &updated.token)).await;
    let settings = settings.unwrap().into_inner().settings;
    assert!(settings.iter().any(|it| it.value == "own@example.com" && it.source == "acme"));
    update.set.extend(setting("twice@example.com"));
    let status = refused(world.tenants.update_settings(update).await, "SETTING_REPEATED");
    assert_eq!(named(&status).1, ["set"]);
}

// REQ: KER-06
#[tokio::test(flavor = "multi_thread")]
async fn a_closing_is_scheduled_moved_and_cancelled() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let mut request = pb::ScheduleClosingRequest {
        id: "acme".to_owned(),
        at: Some(prost_types::Timestamp { seconds: 4_102_444_800, nanos: 7_000 }),
        write: None,
    };
    let scheduled = world.tenants.schedule_closing(request.clone()).await.unwrap().into_inner();
    assert_eq!(scheduled.closes_at, request.at);
    request.at = Some(prost_types::Timestamp { seconds: 4_102_444_900, nanos: 0 });
    let moved = world.tenants.schedule_closing(request.clone()).await.unwrap().into_inner();
    assert_eq!(moved.closes_at, request.at);
    request.at = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let late =
        refused(world.tenants.schedule_closing(request.clone()).await, "CLOSING_IN_THE_PAST");
    assert_eq!(named(&late).1, ["at"]);
    request.at = None;
    let missing = refused(world.tenants.schedule_closing(request).await, "FIELD_MISSING");
    assert_eq!(named(&missing).1, ["at"]);
    let cancel = pb::CancelClosingRequest { id: "acme".to_owned(), write: None };
    let cancelled = world.tenants.cancel_closing(cancel.clone()).await.unwrap().into_inner();
    assert_eq!(cancelled.closes_at, None);
    refused(world.tenants.cancel_closing(cancel).await, "CLOSING_NOT_SCHEDULED");
    let suspend = pb::SuspendTenantRequest { id: "acme".to_owned(), ..<_>::default() };
    world.tenants.suspend_tenant(suspend).await.unwrap();
    let reinstate = pb::ReinstateTenantRequest { id: "acme".to_owned(), write: None };
    let reinstated = world.tenants.reinstate_tenant(reinstate.clone()).await.unwrap();
    assert_eq!(reinstated.into_inner().status(), pb::TenantStatus::Active);
    refused(world.tenants.reinstate_tenant(reinstate).await, "TENANT_NOT_SUSPENDED");
}
