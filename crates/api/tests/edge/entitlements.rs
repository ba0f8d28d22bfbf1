//! The calls about entitlements over a real port.

use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::entitlements::v1 as pb;
use exchequer_proto::tenants::v1 as pbt;
use prost::Message as _;
use tonic::Code;

use crate::world::{Reply, World, named, refused, seeing, write};

/// Checks `feature` of `acme`, seeing no more than the last reply of this server.
async fn check(world: &mut World, feature: &str) -> pb::Entitlement {
    let request = pb::CheckEntitlementRequest {
        tenant: "acme".to_owned(),
        feature: feature.to_owned(),
        units: 0,
    };
    world.entitlements.check_entitlement(request).await.unwrap().into_inner()
}

fn units(units: u64) -> pb::Amount {
    pb::Amount { kind: pb::AmountKind::Units.into(), units }
}

fn grant(feature: &str, amount: pb::Amount) -> pb::GrantEntitlementRequest {
    pb::GrantEntitlementRequest {
        tenant: "acme".to_owned(),
        feature: feature.to_owned(),
        amount: Some(amount),
        kind: pb::GrantKind::Manual.into(),
        reason: "as agreed".to_owned(),
        expires_at: None,
        write: None,
    }
}

fn revoke(id: &str, reason: &str) -> pb::RevokeGrantRequest {
    pb::RevokeGrantRequest {
        tenant: "acme".to_owned(),
        id: id.to_owned(),
        reason: reason.to_owned(),
        write: None,
    }
}

fn report(feature: &str, used: u64) -> pb::ReportUseRequest {
    pb::ReportUseRequest {
        tenant: "acme".to_owned(),
        feature: feature.to_owned(),
        used,
        write: None,
    }
}

// REQ: ENT-01, ENT-03, ENT-04
#[tokio::test(flavor = "multi_thread")]
async fn the_next_check_sees_what_was_granted_and_revoked() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    world.sells("platform", &["sso"]).await;
    for number in 0..20 {
        let before = check(&mut world, "sso").await;
        assert_eq!((before.allowed, before.reason()), (false, pb::Reason::NoPlan), "{number}");
        let on = pb::Amount { kind: pb::AmountKind::On.into(), units: 0 };
        let granted = world.entitlements.grant_entitlement(grant("sso", on)).await.unwrap();
        let granted = Reply::of(granted);
        assert!(granted.message.id.starts_with("grt_") && !granted.token.is_empty());
        let now = check(&mut world, "sso").await;
        assert_eq!((now.allowed, now.reason()), (true, pb::Reason::Included));
        let Some(pb::rule::Rule::Grant(rule)) = now.rule.unwrap().rule else { panic!() };
        assert_eq!((rule.id.as_str(), rule.kind()), (&*granted.message.id, pb::GrantKind::Manual));
        let revoked = revoke(&granted.message.id, "by mistake");
        let revoked = world.entitlements.revoke_grant(revoked).await.unwrap().into_inner();
        assert_eq!(
            (revoked.ended_by(), &*revoked.ended_reason),
            (pb::EndedBy::Revocation, "by mistake")
        );
        assert!(!check(&mut world, "sso").await.allowed);
    }
}

// REQ: ENT-03
#[tokio::test(flavor = "multi_thread")]
async fn units_are_counted_against_the_reported_use() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    world.sells("platform", &["reports"]).await;
    world.entitlements.grant_entitlement(grant("reports", units(10))).await.unwrap();
    let reported = world.entitlements.report_use(report("reports", 8)).await.unwrap();
    let reported = Reply::of(reported);
    assert_eq!((reported.message.used, reported.message.remaining), (8, Some(2)));
    let ask = |units| pb::CheckEntitlementRequest {
        tenant: "acme".to_owned(),
        feature: "reports".to_owned(),
        units,
    };
    for (units, allowed) in [(0, true), (2, true), (3, false)] {
        let request = seeing(ask(units), &reported.token);
        let told = world.entitlements.check_entitlement(request).await.unwrap().into_inner();
        assert_eq!(told.allowed, allowed, "{units} more");
    }
    let full = world.entitlements.report_use(report("reports", 12)).await.unwrap().into_inner();
    assert_eq!((full.allowed, full.reason()), (false, pb::Reason::LimitReached));
    assert_eq!(full.encode_to_vec(), check(&mut world, "reports").await.encode_to_vec());
    let batch = pb::BatchCheckEntitlementsRequest {
        tenant: "acme".to_owned(),
        features: ["sso", "reports", "sso"].map(str::to_owned).to_vec(),
    };
    let batch = world.entitlements.batch_check_entitlements(batch).await.unwrap().into_inner();
    let names: Vec<&str> = batch.entitlements.iter().map(|it| it.feature.as_str()).collect();
    assert_eq!(names, ["sso", "reports", "sso"], "in the order asked for");
}

// REQ: ENT-03
#[tokio::test(flavor = "multi_thread")]
async fn features_and_grants_are_listed_page_by_page() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    world.sells("platform", &["a", "b", "c"]).await;
    let mut ids = Vec::new();
    for feature in ["b", "c", "a"] {
        let granted = world.entitlements.grant_entitlement(grant(feature, units(1))).await;
        ids.push(granted.unwrap().into_inner().id);
    }
    world.entitlements.revoke_grant(revoke(&ids[0], "r")).await.unwrap();
    let mut request = pb::ListEntitlementsRequest {
        tenant: "acme".to_owned(),
        page_size: 2,
        page_token: String::new(),
        ..<_>::default()
    };
    let mut names = Vec::new();
    loop {
        let page = world.entitlements.list_entitlements(request.clone()).await.unwrap();
        let page = page.into_inner();
        names.push(page.entitlements.iter().map(|it| it.feature.clone()).collect::<Vec<_>>());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, [vec!["a", "b"], vec!["c"]], "b was granted once");
    let mut request = pb::ListGrantsRequest {
        tenant: "acme".to_owned(),
        page_size: 1,
        ..pb::ListGrantsRequest::default()
    };
    for (include_ended, expected) in [(false, 2), (true, 3)] {
        request.include_ended = include_ended;
        request.page_token.clear();
        let mut found = Vec::new();
        loop {
            let page = world.entitlements.list_grants(request.clone()).await.unwrap().into_inner();
            found.extend(page.grants.into_iter().map(|it| it.id));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found.len(), expected);
        assert!(found.is_sorted() && found.contains(&ids[0]) == include_ended);
    }
}

// REQ: ENT-01
#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_name_the_field() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    world.sells("platform", &["a"]).await;
    let told = |status: tonic::Status| (named(&status).1, status.code());
    let invalid = Code::InvalidArgument;
    let no_kind = pb::Amount { kind: 0, units: 1 };
    let cases = [
        (grant("No Slug", units(1)), "ID_INVALID", "feature"),
        (grant("a", no_kind), "ENUM_UNKNOWN", "amount.kind"),
        (
            pb::GrantEntitlementRequest { amount: None, ..grant("a", units(1)) },
            "FIELD_MISSING",
            "amount",
        ),
        (pb::GrantEntitlementRequest { kind: 9, ..grant("a", units(1)) }, "ENUM_UNKNOWN", "kind"),
        (
            grant("a", pb::Amount { kind: pb::AmountKind::On.into(), units: 3 }),
            "GRANT_AMOUNT_INVALID",
            "amount.units",
        ),
        (grant("a", units(0)), "GRANT_AMOUNT_INVALID", "amount"),
        (
            pb::GrantEntitlementRequest { reason: String::new(), ..grant("a", units(1)) },
            "GRANT_REASON_INVALID",
            "reason",
        ),
        (
            pb::GrantEntitlementRequest {
                kind: pb::GrantKind::Trial.into(),
                ..grant("a", units(1))
            },
            "GRANT_EXPIRY_MISSING",
            "expires_at",
        ),
        (
            pb::GrantEntitlementRequest {
                expires_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
                ..grant("a", units(1))
            },
            "GRANT_EXPIRY_IN_THE_PAST",
            "expires_at",
        ),
    ];
    for (request, code, field) in cases {
        let status = refused(world.entitlements.grant_entitlement(request).await, code);
        assert_eq!(told(status), (vec![field.to_owned()], invalid), "{code}");
    }
    let status =
        refused(world.entitlements.revoke_grant(revoke("grt_x", "r")).await, "GRANT_NOT_FOUND");
    assert_eq!(told(status), (vec!["id".to_owned()], Code::NotFound));
    let status =
        refused(world.entitlements.report_use(report("a", u64::MAX)).await, "USE_OUT_OF_RANGE");
    assert_eq!(told(status), (vec!["used".to_owned()], invalid));
    for features in [vec![], vec!["a".to_owned(); 101]] {
        let batch = pb::BatchCheckEntitlementsRequest { tenant: "acme".to_owned(), features };
        let batch = world.entitlements.batch_check_entitlements(batch).await;
        let status = refused(batch, "FEATURES_COUNT_INVALID");
        assert_eq!(told(status), (vec!["features".to_owned()], invalid));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_not_there_or_closed_is_told() {
    let mut world = World::start().await;
    let unknown = pb::CheckEntitlementRequest {
        tenant: "nobody".to_owned(),
        feature: "sso".to_owned(),
        units: 1,
    };
    let status = refused(world.entitlements.check_entitlement(unknown).await, "TENANT_NOT_FOUND");
    assert_eq!((named(&status).1, status.code()), (vec!["tenant".to_owned()], Code::NotFound));
    let status = refused(
        world.entitlements.grant_entitlement(grant("a", units(1))).await,
        "TENANT_NOT_FOUND",
    );
    assert_eq!(named(&status).1, ["tenant"]);
    world.tenant("acme").await;
    world.sells("platform", &["a"]).await;
    world.entitlements.grant_entitlement(grant("a", units(1))).await.unwrap();
    let close = pbt::CloseTenantRequest {
        id: "acme".to_owned(),
        reason: String::new(),
        write: Some(write("close")),
    };
    world.tenants.close_tenant(close).await.unwrap();
    assert!(!check(&mut world, "a").await.allowed, "closing ends every grant");
    refused(world.entitlements.grant_entitlement(grant("a", units(1))).await, "TENANT_CLOSED");
}

// REQ: ENT-01
#[tokio::test(flavor = "multi_thread")]
async fn what_no_catalog_of_the_provider_has_is_not_granted() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let told = |status: tonic::Status| (named(&status).1, status.code());
    let on = || pb::Amount { kind: pb::AmountKind::On.into(), units: 0 };
    for published in [false, true] {
        if published {
            world.sells("platform", &["sso"]).await;
        }
        let refused = refused(
            world.entitlements.grant_entitlement(grant("teleport", on())).await,
            "FEATURE_UNKNOWN",
        );
        assert_eq!(told(refused), (vec!["feature".to_owned()], Code::NotFound));
    }
    // The next version has it, and the very next call may grant it.
    world.sells("platform", &["sso", "teleport"]).await;
    world.entitlements.grant_entitlement(grant("teleport", on())).await.unwrap();
    // A version that is not sold any more still says what there is.
    world.sells("platform", &["sso"]).await;
    world.entitlements.grant_entitlement(grant("teleport", on())).await.unwrap();
    let validate = WriteOptions { validate_only: true, ..WriteOptions::default() };
    let asked = pb::GrantEntitlementRequest { write: Some(validate), ..grant("flight", on()) };
    refused(world.entitlements.grant_entitlement(asked).await, "FEATURE_UNKNOWN");
}
