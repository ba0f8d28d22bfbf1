//! `QuotaService`: reservations to the limit, refusals with what is left and when there is
//! more, and the metadata of replies.

use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::entitlements::v1 as entitlements;
use exchequer_proto::entitlements::v1::entitlement_service_client::EntitlementServiceClient;
use exchequer_proto::quotas::v1 as pb;
use exchequer_proto::quotas::v1::quota_service_client::QuotaServiceClient;
use exchequer_proto::quotas::v1::reserve_result::Result as R;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::world::World;

type Client = QuotaServiceClient<Channel>;

/// A tenant `acme` that has 10 units of `exports`, and nothing else.
async fn stage() -> (World, Client) {
    let mut world = World::start().await;
    world.tenant("acme").await;
    world.sells("platform", &["exports"]).await;
    let mut grants = EntitlementServiceClient::new(world.channel.clone());
    let amount = entitlements::Amount { kind: entitlements::AmountKind::Units.into(), units: 10 };
    let grant = entitlements::GrantEntitlementRequest {
        tenant: "acme".to_owned(),
        feature: "exports".to_owned(),
        amount: Some(amount),
        kind: entitlements::GrantKind::Manual.into(),
        reason: "to begin with".to_owned(),
        ..Default::default()
    };
    grants.grant_entitlement(grant).await.unwrap();
    let client = QuotaServiceClient::new(world.channel.clone());
    (world, client)
}

fn reserve(id: &str, amount: u64) -> pb::ReserveRequest {
    pb::ReserveRequest {
        tenant: "acme".to_owned(),
        reservation: id.to_owned(),
        feature: "exports".to_owned(),
        amount,
        ..Default::default()
    }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

fn header<'a>(metadata: &'a tonic::metadata::MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name).map(|it| it.to_str().unwrap())
}

// REQ: USE-06, USE-07
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_and_says_what_is_left() {
    let (_world, mut client) = stage().await;
    let given = client.reserve(reserve("r1", 7)).await.unwrap();
    assert_eq!(header(given.metadata(), "x-quota-limit"), Some("10"));
    assert_eq!(header(given.metadata(), "x-quota-remaining"), Some("3"));
    assert_eq!(header(given.metadata(), "x-quota-reset"), None, "it never begins anew");
    let given = given.into_inner();
    assert_eq!(given.status(), pb::ReservationStatus::Open);
    assert_eq!(given.quota.unwrap().remaining, Some(3));
    let refused = client.reserve(reserve("r2", 4)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["remaining"].as_str()),
        ("QUOTA_LIMIT_REACHED", "3")
    );
    assert_eq!(info.metadata["http_status"], "402");
    assert!(refused.get_details_retry_info().is_none_or(|it| it.retry_delay.is_none()));
    assert_eq!(header(refused.metadata(), "x-quota-remaining"), Some("3"));
    let again = client.reserve(reserve("r1", 7)).await.unwrap().into_inner();
    assert_eq!(again.quota.unwrap().reserved, 7, "the very same");
    let other = client.reserve(reserve("r1", 1)).await.unwrap_err();
    assert_eq!(
        (other.code(), reason(&other).as_str()),
        (Code::AlreadyExists, "RESERVATION_CONFLICT")
    );
    let finalise = pb::FinaliseRequest {
        tenant: "acme".to_owned(),
        reservation: "r1".to_owned(),
        amount: Some(5),
        ..Default::default()
    };
    let done = client.finalise(finalise).await.unwrap().into_inner();
    assert_eq!((done.used, done.quota.unwrap().remaining), (5, Some(5)));
    let adjust = pb::AdjustHeldRequest {
        tenant: "acme".to_owned(),
        feature: "exports".to_owned(),
        units: 5,
        reason: "deleted".to_owned(),
        ..Default::default()
    };
    let free = client.adjust_held(adjust).await.unwrap();
    assert_eq!(header(free.metadata(), "x-quota-remaining"), Some("10"));
    let unknown = pb::ReleaseRequest {
        tenant: "acme".to_owned(),
        reservation: "nobody".to_owned(),
        ..Default::default()
    };
    let unknown = client.release(unknown).await.unwrap_err();
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "RESERVATION_UNKNOWN")
    );
}

// REQ: USE-06
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_at_once_get_what_there_is_and_no_more() {
    let (_world, client) = stage().await;
    let calls = (0..200).map(|index| {
        let mut client = client.clone();
        async move { client.reserve(reserve(&format!("r{index}"), 1)).await.is_ok() }
    });
    let given = futures::future::join_all(calls).await;
    assert_eq!(given.into_iter().filter(|it| *it).count(), 10);
}

// REQ: USE-06
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_each_by_itself() {
    let (_world, mut client) = stage().await;
    let item =
        |id: &str, amount| pb::ReserveRequest { tenant: String::new(), ..reserve(id, amount) };
    let batch = pb::BatchReserveRequest {
        tenant: "acme".to_owned(),
        requests: vec![item("a", 6), item("b", 6), item("c", 4)],
        write: Some(WriteOptions { command_id: "batch-1".to_owned(), ..Default::default() }),
    };
    let results = client.batch_reserve(batch.clone()).await.unwrap().into_inner().results;
    let shown: Vec<Result<u64, i32>> = results
        .iter()
        .map(|it| match it.result.as_ref().unwrap() {
            R::Reservation(it) => Ok(it.amount),
            R::Error(error) => Err(error.code),
        })
        .collect();
    assert_eq!(shown.iter().filter(|it| it.is_err()).count(), 1);
    assert_eq!(shown.iter().flatten().sum::<u64>(), 10);
    let again = client.batch_reserve(batch).await.unwrap().into_inner().results;
    let given = |results: &[pb::ReserveResult]| {
        let reservations = results.iter().filter_map(|it| match it.result.clone() {
            Some(R::Reservation(it)) => Some(it),
            _ => None,
        });
        reservations.collect::<Vec<_>>()
    };
    assert_eq!(given(&results), given(&again), "the first answers");
}

// REQ: USE-06, ENT-03
#[tokio::test(flavor = "multi_thread")]
async fn questions_set_nothing_aside() {
    let (_world, mut client) = stage().await;
    let check = |feature: &str, amount| pb::CheckQuotaRequest {
        tenant: "acme".to_owned(),
        feature: feature.to_owned(),
        amount,
    };
    let ten = client.check_quota(check("exports", 10)).await.unwrap();
    assert_eq!(header(ten.metadata(), "x-quota-remaining"), Some("10"));
    assert!(ten.into_inner().allowed);
    let more = client.check_quota(check("exports", 11)).await.unwrap().into_inner();
    assert_eq!((more.allowed, more.reason.as_str()), (false, "QUOTA_LIMIT_REACHED"));
    let none = client.check_quota(check("gold", 0)).await.unwrap().into_inner();
    assert_eq!(
        (none.allowed, none.reason.as_str(), none.quota),
        (false, "FEATURE_NOT_INCLUDED", None)
    );
    let get = |feature: &str| pb::GetQuotaRequest {
        tenant: "acme".to_owned(),
        feature: feature.to_owned(),
        ..Default::default()
    };
    let quota = client.get_quota(get("exports")).await.unwrap().into_inner();
    assert_eq!((quota.limit, quota.held, quota.thresholds), (Some(10), 0, vec![80]));
    let missing = client.get_quota(get("gold")).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "QUOTA_NOT_FOUND"));
    let list = pb::ListQuotasRequest {
        tenant: "acme".to_owned(),
        filter: "remaining >= 10".to_owned(),
        ..Default::default()
    };
    assert_eq!(client.list_quotas(list).await.unwrap().into_inner().quotas.len(), 1);
    let nobody = pb::ListQuotasRequest { tenant: "nobody".to_owned(), ..Default::default() };
    let nobody = client.list_quotas(nobody).await.unwrap_err();
    assert_eq!(reason(&nobody), "TENANT_NOT_FOUND");
}

// REQ: USE-06
#[tokio::test(flavor = "multi_thread")]
async fn wrong_fields_are_named() {
    let (_world, mut client) = stage().await;
    let ttl = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let cases = [
        (
            pb::ReserveRequest { feature: "?".to_owned(), ..reserve("r", 1) },
            "ID_INVALID",
            "feature",
        ),
        (reserve("", 1), "RESERVATION_ID_INVALID", "reservation"),
        (reserve("r", u64::MAX), "QUOTA_AMOUNT_INVALID", "amount"),
        (
            pb::ReserveRequest { ttl: ttl(0, 0), ..reserve("r", 1) },
            "RESERVATION_TTL_INVALID",
            "ttl",
        ),
        (
            pb::ReserveRequest { ttl: ttl(1, 5), ..reserve("r", 1) },
            "RESERVATION_TTL_INVALID",
            "ttl",
        ),
        (
            pb::ReserveRequest { ttl: ttl(-1, 0), ..reserve("r", 1) },
            "RESERVATION_TTL_INVALID",
            "ttl",
        ),
        (
            pb::ReserveRequest { ttl: ttl(86_401, 0), ..reserve("r", 1) },
            "RESERVATION_TTL_INVALID",
            "ttl",
        ),
    ];
    for (request, code, field) in cases {
        let refused = client.reserve(request.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, code));
        let fields = refused.get_details_bad_request().unwrap().field_violations;
        assert_eq!(fields[0].field, field, "{request:?}");
    }
}
