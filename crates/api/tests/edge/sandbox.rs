//! Sandboxes over a real port: tenants that live in their own time.

use exchequer_proto::entitlements::v1 as pb;
use exchequer_proto::tenants::v1 as pbt;
use tonic::Code;

use crate::world::{World, named, refused};

fn instant(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

fn advance(to: i64) -> pbt::AdvanceClockRequest {
    pbt::AdvanceClockRequest { id: "box".to_owned(), to: Some(instant(to)), write: None }
}

async fn sandbox(world: &mut World, clock: i64) -> pbt::Tenant {
    let request = pbt::CreateTenantRequest {
        id: "box".to_owned(),
        name: "Sandbox".to_owned(),
        test_clock: Some(instant(clock)),
        ..pbt::CreateTenantRequest::default()
    };
    world.tenants.create_tenant(request).await.unwrap().into_inner()
}

async fn check(world: &mut World) -> pb::Entitlement {
    let request = pb::CheckEntitlementRequest {
        tenant: "box".to_owned(),
        feature: "beta".to_owned(),
        units: 0,
    };
    world.entitlements.check_entitlement(request).await.unwrap().into_inner()
}

// REQ: BIL-30, KER-09
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_expires_when_the_sandboxs_own_clock_passes_its_end() {
    let mut world = World::start().await;
    let created = sandbox(&mut world, 1_000).await;
    assert_eq!(created.test_clock, Some(instant(1_000)));
    world.sells("platform", &["beta"]).await;
    let grant = pb::GrantEntitlementRequest {
        tenant: "box".to_owned(),
        feature: "beta".to_owned(),
        amount: Some(pb::Amount { kind: pb::AmountKind::On.into(), units: 0 }),
        kind: pb::GrantKind::Trial.into(),
        reason: "try it".to_owned(),
        expires_at: Some(instant(2_000)),
        write: None,
    };
    let granted = world.entitlements.grant_entitlement(grant).await.unwrap().into_inner();
    assert_eq!(granted.granted_at, Some(instant(1_000)), "in its own time");
    assert!(check(&mut world).await.allowed, "2,000 is long past, but not here");
    world.tenants.advance_clock(advance(1_999)).await.unwrap();
    assert!(check(&mut world).await.allowed);
    let advanced = world.tenants.advance_clock(advance(5_000)).await.unwrap().into_inner();
    assert_eq!(advanced.test_clock, Some(instant(5_000)));
    let told = check(&mut world).await;
    assert_eq!((told.allowed, told.reason()), (false, pb::Reason::Expired));
    let list = pb::ListGrantsRequest {
        tenant: "box".to_owned(),
        include_ended: true,
        ..pb::ListGrantsRequest::default()
    };
    let grants = world.entitlements.list_grants(list).await.unwrap().into_inner().grants;
    assert_eq!(
        (grants[0].ended_by(), grants[0].ended_at),
        (pb::EndedBy::Expiry, Some(instant(2_000)))
    );
}

// REQ: BIL-30
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_moves_forward_and_only_in_a_sandbox() {
    let mut world = World::start().await;
    sandbox(&mut world, 1_000).await;
    let status = refused(world.tenants.advance_clock(advance(1_000)).await, "CLOCK_BACKWARDS");
    assert_eq!((named(&status).1, status.code()), (vec!["to".to_owned()], Code::InvalidArgument));
    world.tenant("acme").await;
    let real = pbt::AdvanceClockRequest { id: "acme".to_owned(), ..advance(9) };
    let status = refused(world.tenants.advance_clock(real).await, "TENANT_NOT_SANDBOX");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let missing = pbt::AdvanceClockRequest { to: None, ..advance(9) };
    let status = refused(world.tenants.advance_clock(missing).await, "FIELD_MISSING");
    assert_eq!(named(&status).1, ["to"]);
}
