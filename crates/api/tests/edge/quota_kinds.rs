//! Limits of every kind over a real port, as a catalog sets them: windows, bursts, what a
//! refusal says, tenants that are suspended, and what an entitlement says of reservations.

use exchequer_catalog_file::parse;
use exchequer_codec::document_to_proto;
use exchequer_proto::catalog::v1 as pbc;
use exchequer_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use exchequer_proto::entitlements::v1 as pbe;
use exchequer_proto::quotas::v1 as pb;
use exchequer_proto::quotas::v1::quota_service_client::QuotaServiceClient;
use exchequer_proto::subscriptions::v1 as pbs;
use exchequer_proto::subscriptions::v1::subscription_service_client::SubscriptionServiceClient;
use exchequer_proto::tenants::v1 as pbt;
use exchequer_types::Timestamp;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::ingest::client::post_to;
use crate::world::{World, named};

const DESK: &str = r"
name: Desk
currencies: [USD]

features:
  - { id: by-minute, name: A, kind: limit, per: minute }
  - { id: by-hour, name: B, kind: limit, per: hour, refusal: upgrade }
  - { id: by-day, name: C, kind: limit, per: day, refusal: forbid }
  - { id: by-month, name: D, kind: limit, per: month }
  - { id: by-period, name: E, kind: limit, per: period }
  - { id: for-life, name: F, kind: limit }
  - { id: bursts, name: G, kind: limit, burst: 50, grace_hours: 2 }
  - { id: soft, name: H, kind: limit, per: month }
  - { id: sso, name: I, kind: switch }

plans:
  - id: team
    name: Team
    features:
      by-minute: 2
      by-hour: 2
      by-day: 2
      by-month: 2
      by-period: 2
      for-life: 2
      bursts: 2
      soft: { allowance: 2, beyond: bill }
      sso: on
    prices:
      - id: quarterly
        cycle: 3 months
        currencies: { USD: { flat: 25.00 } }
";

struct Shop {
    world: World,
    quotas: QuotaServiceClient<Channel>,
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn instant(text: &str) -> prost_types::Timestamp {
    exchequer_codec::instant(Timestamp::parse(text).unwrap())
}

impl Shop {
    /// A sandbox with the plan, at nine in the morning of 17 January 2027.
    async fn open() -> Self {
        let mut world = World::start().await;
        let mut catalogs = CatalogServiceClient::new(world.channel.clone());
        let document = Some(document_to_proto(&parse(DESK).unwrap()));
        let (tenant, catalog, write) = (text("platform"), text("desk"), None);
        let save = pbc::SaveDraftRequest { tenant, catalog, document, write };
        catalogs.save_draft(save).await.unwrap();
        let (tenant, catalog) = (text("platform"), text("desk"));
        let publish = pbc::PublishCatalogRequest { tenant, catalog, ..Default::default() };
        catalogs.publish_catalog(publish).await.unwrap();
        let create = pbt::CreateTenantRequest {
            id: text("acme"),
            name: text("Acme"),
            test_clock: Some(instant("2027-01-17T09:00:10Z")),
            ..Default::default()
        };
        world.tenants.create_tenant(create).await.unwrap();
        let subscribe = pbs::CreateSubscriptionRequest {
            tenant: text("acme"),
            catalog: text("desk"),
            plan: text("team"),
            price: text("quarterly"),
            currency: text("USD"),
            seats: 1,
            ..Default::default()
        };
        let mut subscriptions = SubscriptionServiceClient::new(world.channel.clone());
        subscriptions.create_subscription(subscribe).await.unwrap();
        let quotas = QuotaServiceClient::new(world.channel.clone());
        Self { world, quotas }
    }

    async fn advance(&mut self, to: &str) {
        let to = Some(instant(to));
        let advance = pbt::AdvanceClockRequest { id: text("acme"), to, write: None };
        self.world.tenants.advance_clock(advance).await.unwrap();
    }

    /// The reply, or the code of the refusal.
    async fn reserve(
        &mut self,
        id: &str,
        feature: &str,
        amount: u64,
    ) -> Result<u64, tonic::Status> {
        let reserve = pb::ReserveRequest {
            tenant: text("acme"),
            reservation: text(id),
            feature: text(feature),
            amount,
            ..Default::default()
        };
        let reply = self.quotas.reserve(reserve).await?.into_inner();
        Ok(reply.quota.unwrap().held)
    }

    async fn finalise(&mut self, id: &str) {
        let finalise = pb::FinaliseRequest {
            tenant: text("acme"),
            reservation: text(id),
            ..Default::default()
        };
        self.quotas.finalise(finalise).await.unwrap();
    }

    /// The code of the refusal; empty when it is given.
    async fn check(&mut self, feature: &str, amount: u64) -> String {
        let check = pb::CheckQuotaRequest { tenant: text("acme"), feature: text(feature), amount };
        let reply = self.quotas.check_quota(check).await.unwrap().into_inner();
        assert_eq!(reply.allowed, reply.reason.is_empty());
        reply.reason
    }

    async fn entitlement(&mut self, feature: &str, units: u64) -> pbe::Entitlement {
        let check =
            pbe::CheckEntitlementRequest { tenant: text("acme"), feature: text(feature), units };
        self.world.entitlements.check_entitlement(check).await.unwrap().into_inner()
    }

    /// Feature, how often it begins anew, and when it does so next.
    async fn listed(&mut self) -> Vec<String> {
        let list = pb::ListQuotasRequest { tenant: text("acme"), ..Default::default() };
        let quotas = self.quotas.list_quotas(list).await.unwrap().into_inner().quotas;
        let shown = quotas.iter().map(|it| {
            let micros = |at: &prost_types::Timestamp| at.seconds * 1_000_000;
            let reset = it.resets_at.as_ref().map(micros);
            let reset = reset.map(|at| Timestamp::saturating_from_micros(at).to_string());
            let (used, limit) = (it.held, it.limit.unwrap());
            let line =
                format!("{} {used}/{limit} {} {}", it.feature, it.per, reset.unwrap_or_default());
            line.trim_end().to_owned()
        });
        shown.collect()
    }
}

// REQ: USE-06
#[tokio::test(flavor = "multi_thread")]
async fn every_window_begins_anew_in_its_own_time() {
    let mut shop = Shop::open().await;
    assert_eq!(
        shop.listed().await,
        [
            "bursts 0/2",
            "by-day 0/2 day 2027-01-18T09:00:10Z",
            "by-hour 0/2 hour 2027-01-17T10:00:00Z",
            "by-minute 0/2 minute 2027-01-17T09:01:00Z",
            "by-month 0/2 month 2027-02-17T09:00:10Z",
            "by-period 0/2 3 months 2027-04-17T09:00:10Z",
            "for-life 0/2",
            "soft 0/2 month 2027-02-17T09:00:10Z",
        ]
    );
    let features = ["by-minute", "by-hour", "by-day", "by-month", "by-period", "for-life"];
    for feature in features {
        assert_eq!(shop.reserve(feature, feature, 2).await.unwrap(), 2);
        shop.finalise(feature).await;
        assert!(!shop.check(feature, 1).await.is_empty(), "{feature}");
    }
    // The sandbox's clock alone says what is free again.
    let steps = [
        ("2027-01-17T09:00:59Z", 0),
        ("2027-01-17T09:01:00Z", 1),
        ("2027-01-17T10:00:00Z", 2),
        ("2027-01-18T09:00:10Z", 3),
        ("2027-02-17T09:00:10Z", 4),
        ("2027-04-17T09:00:10Z", 5),
    ];
    for (now, free) in steps {
        shop.advance(now).await;
        for (at, feature) in features.into_iter().enumerate() {
            let answer = shop.check(feature, 1).await;
            assert_eq!(answer.is_empty(), at < free, "{feature} at {now}: {answer}");
            let told = shop.entitlement(feature, 1).await;
            let used = if at < free { 0 } else { 2 };
            assert_eq!((told.allowed, told.used), (at < free, used), "{feature} at {now}");
        }
    }
}

// REQ: USE-07
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_the_limit_is_set_to() {
    let mut shop = Shop::open().await;
    let cases = [
        ("by-minute", 1, Code::ResourceExhausted, "QUOTA_EXHAUSTED", "429"),
        // No minute has so many.
        ("by-minute", 3, Code::FailedPrecondition, "QUOTA_LIMIT_REACHED", "402"),
        ("by-hour", 1, Code::FailedPrecondition, "QUOTA_LIMIT_REACHED", "402"),
        ("by-day", 1, Code::PermissionDenied, "QUOTA_FORBIDDEN", "403"),
        ("by-month", 1, Code::ResourceExhausted, "QUOTA_EXHAUSTED", "429"),
        ("for-life", 1, Code::FailedPrecondition, "QUOTA_LIMIT_REACHED", "402"),
    ];
    for (feature, amount, code, reason, http) in cases {
        let _ = shop.reserve(feature, feature, 2).await;
        let refused = shop.reserve("more", feature, amount).await.unwrap_err();
        assert_eq!((refused.code(), named(&refused).0.as_str()), (code, reason), "{feature}");
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.metadata["http_status"], http, "{feature}");
        let retry = refused.get_details_retry_info().and_then(|it| it.retry_delay);
        assert_eq!(retry.is_some(), http == "429", "{feature}");
        assert_eq!(refused.metadata().get("x-quota-remaining").unwrap(), "0");
        assert_eq!(shop.check(feature, amount).await, reason, "asked as it is reserved");
    }
}

// REQ: USE-06
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_lasts_as_long_as_its_grace() {
    let mut shop = Shop::open().await;
    shop.reserve("a", "bursts", 2).await.unwrap();
    shop.finalise("a").await;
    assert_eq!(shop.check("bursts", 1).await, "");
    assert_eq!(shop.check("bursts", 2).await, "QUOTA_LIMIT_REACHED", "half of 2 is 1");
    assert_eq!(shop.reserve("b", "bursts", 1).await.unwrap(), 3);
    shop.finalise("b").await;
    let get =
        pb::GetQuotaRequest { tenant: text("acme"), feature: text("bursts"), ..Default::default() };
    let quota = shop.quotas.get_quota(get).await.unwrap().into_inner();
    assert_eq!((quota.burst, quota.remaining), (Some(1), Some(0)));
    assert_eq!(quota.grace_ends_at, Some(instant("2027-01-17T11:00:10Z")));
    let free = |units| pb::AdjustHeldRequest {
        tenant: text("acme"),
        feature: text("bursts"),
        units,
        reason: text("deleted"),
        ..Default::default()
    };
    shop.advance("2027-01-17T11:00:10Z").await;
    assert_eq!(shop.check("bursts", 1).await, "QUOTA_LIMIT_REACHED");
    assert!(!shop.entitlement("bursts", 1).await.allowed);
    shop.quotas.adjust_held(free(1)).await.unwrap();
    assert_eq!(shop.check("bursts", 1).await, "", "within the limit again: another grace");
    assert!(shop.entitlement("bursts", 1).await.allowed);
}

// REQ: USE-06
#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_as_reservations_are() {
    let mut shop = Shop::open().await;
    let huge = u64::MAX;
    let asked =
        [("soft", 99), ("soft", huge), ("sso", 1), ("gold", 1), ("for-life", 3), ("for-life", 2)];
    let mut answers = Vec::new();
    for (at, (feature, amount)) in asked.into_iter().enumerate() {
        let answer = shop.check(feature, amount).await;
        let reserved = shop.reserve(&format!("r{at}"), feature, amount).await;
        let code = reserved.map_or_else(|it| named(&it).0, |_| String::new());
        // What is not counted needs no reservation.
        assert_eq!(answer, if code == "FEATURE_NOT_LIMITED" { "" } else { &code }, "{feature}");
        answers.push(answer);
    }
    assert_eq!(
        answers[1..5],
        ["QUOTA_AMOUNT_INVALID", "", "FEATURE_NOT_INCLUDED", "QUOTA_LIMIT_REACHED"]
    );
    let (id, reason) = (text("acme"), text("unpaid"));
    let suspend = pbt::SuspendTenantRequest { id: id.clone(), reason, write: None };
    shop.world.tenants.suspend_tenant(suspend).await.unwrap();
    for feature in ["soft", "by-day", "gold"] {
        assert_eq!(shop.check(feature, 1).await, "QUOTA_TENANT_SUSPENDED");
        let refused = shop.reserve("late", feature, 1).await.unwrap_err();
        assert_eq!(named(&refused).0, "QUOTA_TENANT_SUSPENDED");
    }
    let reinstate = pbt::ReinstateTenantRequest { id: id.clone(), write: None };
    shop.world.tenants.reinstate_tenant(reinstate).await.unwrap();
    assert_eq!(shop.check("soft", 1).await, "");
    let close = pbt::CloseTenantRequest { id, reason: text("gone"), write: None };
    shop.world.tenants.close_tenant(close).await.unwrap();
    let refused = shop.reserve("late", "soft", 1).await.unwrap_err();
    assert_eq!(shop.check("soft", 1).await, named(&refused).0);
}

// REQ: ENT-03, USE-05
#[tokio::test(flavor = "multi_thread")]
async fn an_entitlement_counts_what_is_reserved_and_finalised() {
    let mut shop = Shop::open().await;
    let parts = |it: &pbe::Entitlement| (it.used, it.finalised, it.reserved, it.reported);
    shop.reserve("a", "for-life", 1).await.unwrap();
    let told = shop.entitlement("for-life", 1).await;
    assert_eq!((parts(&told), told.remaining, told.allowed), ((1, 0, 1, 0), Some(1), true));
    shop.finalise("a").await;
    shop.reserve("b", "for-life", 1).await.unwrap();
    let told = shop.entitlement("for-life", 1).await;
    assert_eq!((parts(&told), told.remaining), ((2, 1, 1, 0), Some(0)));
    assert_eq!((told.allowed, told.reason()), (false, pbe::Reason::LimitReached));
    let report = |used| pbe::ReportUseRequest {
        tenant: text("acme"),
        feature: text("for-life"),
        used,
        write: None,
    };
    let reported = shop.world.entitlements.report_use(report(7)).await.unwrap().into_inner();
    assert_eq!(parts(&reported), (7, 1, 1, 7), "what was said when that is more");
    assert_eq!(reported, shop.entitlement("for-life", 1).await);
    let reported = shop.world.entitlements.report_use(report(1)).await.unwrap().into_inner();
    assert_eq!(parts(&reported), (2, 1, 1, 1));
    let list = pbe::ListEntitlementsRequest { tenant: text("acme"), ..Default::default() };
    let listed = shop.world.entitlements.list_entitlements(list).await.unwrap().into_inner();
    assert!(listed.entitlements.contains(&reported));
    // Beyond a soft limit more is given.
    shop.reserve("c", "soft", 5).await.unwrap();
    let told = shop.entitlement("soft", 1).await;
    assert_eq!((parts(&told), told.remaining, told.allowed), ((5, 0, 5, 0), Some(0), true));
}

// REQ: USE-07
#[tokio::test(flavor = "multi_thread")]
async fn the_same_by_http_has_the_status_that_is_set() {
    let shop = Shop::open().await;
    let address = shop.world.address;
    let ask = |call: &str, body: String| {
        let path = format!("/v1/quotas/{call}");
        async move { post_to(address, &path, &[("content-type", "application/json")], body).await }
    };
    let reserve = |id: &str, feature: &str, amount: u64| {
        let body = format!(
            r#"{{"tenant":"acme","reservation":"{id}","feature":"{feature}","amount":{amount}}}"#
        );
        ask("reserve", body)
    };
    let cases = [
        ("by-minute", 429, "QUOTA_EXHAUSTED"),
        ("by-hour", 402, "QUOTA_LIMIT_REACHED"),
        ("by-day", 403, "QUOTA_FORBIDDEN"),
        ("for-life", 402, "QUOTA_LIMIT_REACHED"),
    ];
    for (feature, status, code) in cases {
        let given = reserve(feature, feature, 2).await;
        assert_eq!((given.status.as_u16(), &given.json["status"]), (200, &"OPEN".into()));
        assert_eq!(given.headers["x-quota-remaining"], "0");
        let refused = reserve("more", feature, 1).await;
        assert_eq!(refused.error(), (status, text(code), text("amount")), "{feature}");
        assert_eq!(refused.headers["x-quota-limit"], "2");
        let retry = refused.headers.get("retry-after").map(|it| it.to_str().unwrap());
        assert_eq!(retry, (status == 429).then_some("50"), "{feature}: the rest of the minute");
    }
    let gold = reserve("g", "gold", 1).await;
    assert_eq!(gold.error(), (402, text("FEATURE_NOT_INCLUDED"), text("feature")));
    let body = r#"{"tenant":"acme","reservation":"for-life","amount":1}"#;
    let done = ask("finalise", text(body)).await;
    assert_eq!((done.json["used"].as_u64(), &done.json["status"]), (Some(1), &"FINALISED".into()));
    let body = r#"{"tenant":"acme","feature":"for-life","amount":2}"#;
    let checked = ask("check", text(body)).await;
    assert_eq!(
        (&checked.json["allowed"], &checked.json["reason"]),
        (&false.into(), &"QUOTA_LIMIT_REACHED".into())
    );
    let body = r#"{"tenant":"acme","reservation":"by-hour"}"#;
    assert_eq!(ask("release", text(body)).await.json["status"], "RELEASED");
    assert_eq!(ask("steal", text("{}")).await.error().1, "METHOD_UNKNOWN");
    for bad in ["", "[]", r#"{"tenant":7}"#, r#"{"tenants":"acme"}"#] {
        assert_eq!(ask("reserve", text(bad)).await.error().0, 400, "{bad}");
    }
    let long = format!(r#"{{"tenant":"{}"}}"#, "a".repeat(20_000));
    assert_eq!(ask("reserve", long).await.error().0, 413);
}
