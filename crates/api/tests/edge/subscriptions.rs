//! The calls about subscriptions over a real port, in a sandbox's own time.

use exchequer_catalog_file::{SAMPLES, parse};
use exchequer_codec::document_to_proto;
use exchequer_proto::catalog::v1 as pbc;
use exchequer_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::entitlements::v1 as pbe;
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_proto::subscriptions::v1::subscription_service_client::SubscriptionServiceClient;
use exchequer_proto::tenants::v1 as pbt;
use exchequer_types::Timestamp;
use pb::when::When as W;
use prost::Message as _;
use tonic::Code;
use tonic::transport::Channel;

use crate::world::{Reply, World, named, refused, seeing};

const TENANT: &str = "box";

struct Shop {
    world: World,
    client: SubscriptionServiceClient<Channel>,
}

fn instant(text: &str) -> prost_types::Timestamp {
    exchequer_codec::instant(Timestamp::parse(&format!("{text}T00:00:00Z")).unwrap())
}

fn tenant() -> String {
    TENANT.to_owned()
}

fn when(when: W) -> pb::When {
    pb::When { when: Some(when) }
}

fn starter() -> pb::CreateSubscriptionRequest {
    pb::CreateSubscriptionRequest {
        tenant: tenant(),
        catalog: "main".to_owned(),
        plan: "starter".to_owned(),
        price: "monthly".to_owned(),
        currency: "USD".to_owned(),
        seats: 1,
        ..pb::CreateSubscriptionRequest::default()
    }
}

fn to(plan: &str, at: W) -> pb::ChangeSubscriptionRequest {
    let change = pb::SelectionChange { plan: Some(plan.to_owned()), ..Default::default() };
    pb::ChangeSubscriptionRequest {
        tenant: tenant(),
        change: Some(change),
        when: Some(when(at)),
        write: None,
    }
}

fn cancel(at: W) -> pb::CancelSubscriptionRequest {
    let reason = "too dear".to_owned();
    pb::CancelSubscriptionRequest { tenant: tenant(), when: Some(when(at)), reason, write: None }
}

fn lines(reply: &pb::SubscriptionReply) -> Vec<i64> {
    reply.charges.iter().flat_map(|it| it.lines.iter().map(|line| line.amount)).collect()
}

fn current(reply: &pb::SubscriptionReply) -> &pb::Subscription {
    reply.subscription.as_ref().unwrap()
}

impl Shop {
    /// The platform sells the sample catalog; a sandbox stands at the first of April 2026.
    async fn open() -> Self {
        let mut world = World::start().await;
        let mut catalogs = CatalogServiceClient::new(world.channel.clone());
        let sample = SAMPLES.iter().find(|sample| sample.name == "saas").unwrap();
        let document = Some(document_to_proto(&parse(sample.text).unwrap()));
        let (platform, catalog) = ("platform".to_owned(), "main".to_owned());
        let save = pbc::SaveDraftRequest {
            tenant: platform.clone(),
            catalog: catalog.clone(),
            document,
            write: None,
        };
        catalogs.save_draft(save).await.unwrap();
        let hash = String::new();
        let publish = pbc::PublishCatalogRequest { tenant: platform, catalog, hash, write: None };
        catalogs.publish_catalog(publish).await.unwrap();
        let create = pbt::CreateTenantRequest {
            id: tenant(),
            name: "Sandbox".to_owned(),
            test_clock: Some(instant("2026-04-01")),
            ..pbt::CreateTenantRequest::default()
        };
        world.tenants.create_tenant(create).await.unwrap();
        let client = SubscriptionServiceClient::new(world.channel.clone());
        Self { world, client }
    }

    async fn advance(&mut self, day: &str) -> Reply<pbt::Tenant> {
        let request =
            pbt::AdvanceClockRequest { id: tenant(), to: Some(instant(day)), write: None };
        Reply::of(self.world.tenants.advance_clock(request).await.unwrap())
    }

    async fn create(
        &mut self,
        request: pb::CreateSubscriptionRequest,
    ) -> Reply<pb::SubscriptionReply> {
        Reply::of(self.client.create_subscription(request).await.unwrap())
    }

    async fn get(&mut self, token: &str) -> pb::Subscription {
        let request = pb::GetSubscriptionRequest { tenant: tenant(), ..<_>::default() };
        self.client.get_subscription(seeing(request, token)).await.unwrap().into_inner()
    }

    async fn has(&mut self, feature: &str) -> bool {
        let (tenant, feature) = (tenant(), feature.to_owned());
        let request = pbe::CheckEntitlementRequest { tenant, feature, units: 0 };
        let told = self.world.entitlements.check_entitlement(request).await.unwrap();
        told.into_inner().allowed
    }
}

// REQ: BIL-03, BIL-04, BIL-06, BIL-19, BIL-21, BIL-30
#[tokio::test(flavor = "multi_thread")]
async fn from_trial_to_the_fall_back_plan() {
    let mut shop = Shop::open().await;
    assert!(!shop.has("export-pdf").await);
    let trial = pb::CreateSubscriptionRequest { trial_days: Some(14), ..starter() };
    let created = shop.create(trial).await;
    assert_eq!(current(&created.message).state(), pb::SubscriptionState::Trialing);
    assert_eq!(current(&created.message).trial_ends_at, Some(instant("2026-04-15")));
    assert!(created.message.charges.is_empty());
    assert!(shop.has("export-pdf").await, "what was bought is there with the reply");
    assert!(!shop.has("forecast").await);

    let advanced = shop.advance("2026-04-30").await;
    let active = shop.get(&advanced.token).await;
    assert_eq!(active.state(), pb::SubscriptionState::Active);
    assert_eq!(active.anchor, "2026-04-15T00:00:00");
    assert_eq!(active.period.unwrap().end, Some(instant("2026-05-15")));

    // Half way: half of 29.00 back, half of 99.00 to pay.
    let changed = shop.client.change_subscription(to("pro", W::Now(()))).await.unwrap();
    let changed = changed.into_inner();
    assert_eq!(lines(&changed), [-1450, 4950]);
    assert_eq!(changed.charges[0].lines[0].rounding(), pb::Rounding::HalfAwayFromZero);
    assert_eq!((changed.charges[0].lines[0].num, changed.charges[0].total), (1_296_000, 3500));
    assert!(shop.has("forecast").await);

    let cancelled = shop.client.cancel_subscription(cancel(W::PeriodEnd(()))).await.unwrap();
    let cancelled = cancelled.into_inner();
    assert_eq!(current(&cancelled).state(), pb::SubscriptionState::Cancelled);
    assert_eq!(current(&cancelled).cancels_at, Some(instant("2026-05-15")));
    assert!(shop.has("forecast").await);
    let advanced = shop.advance("2026-05-15").await;
    let ended = shop.get(&advanced.token).await;
    assert_eq!((ended.state(), &*ended.cancel_reason), (pb::SubscriptionState::Ended, "too dear"));
    assert_eq!(ended.fallback.unwrap().plan, "free");
    assert!(!shop.has("forecast").await && shop.has("api-access").await);

    let list = pb::ListChargesRequest { tenant: tenant(), ..Default::default() };
    let listed = shop.client.list_charges(seeing(list, &advanced.token)).await.unwrap();
    let causes: Vec<_> =
        listed.into_inner().charges.iter().map(|it| (it.cause(), it.total)).collect();
    let expected = [(pb::ChargeCause::Changed, 3500), (pb::ChargeCause::Activated, 2900)];
    assert_eq!(causes, expected);
}

// REQ: BIL-05, KER-19
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_answered_as_the_real_thing_and_changes_nothing() {
    let mut shop = Shop::open().await;
    let created = shop.create(starter()).await;
    assert_eq!(lines(&created.message), [2900]);
    shop.advance("2026-04-16").await;
    let version = {
        let advanced = shop.advance("2026-04-17").await;
        shop.get(&advanced.token).await.version
    };
    let mut ask = to("pro", W::Now(()));
    ask.write = Some(WriteOptions {
        command_id: "change".to_owned(),
        validate_only: true,
        expected_version: Some(version),
        ..WriteOptions::default()
    });
    let preview = Reply::of(shop.client.change_subscription(ask.clone()).await.unwrap());
    assert_eq!(shop.get(&preview.token).await.holding.unwrap().plan.unwrap().plan, "starter");
    assert!(!shop.has("forecast").await);
    ask.write = Some(WriteOptions { validate_only: false, ..ask.write.unwrap() });
    let real = shop.client.change_subscription(ask).await.unwrap().into_inner();
    // Its charges will have ids of their own.
    let without_time = |mut reply: pb::SubscriptionReply| {
        reply.subscription.as_mut().unwrap().updated_at = None;
        reply.charges.iter_mut().for_each(|charge| charge.id.clear());
        reply.encode_to_vec()
    };
    assert_eq!(without_time(preview.message), without_time(real));
}

// REQ: BIL-04, KER-04
#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_at_once_one_wins_and_the_other_is_told_the_version() {
    let mut shop = Shop::open().await;
    let version = current(&shop.create(starter()).await.message).version;
    let write =
        || Some(WriteOptions { expected_version: Some(version), ..WriteOptions::default() });
    let upgrade = pb::ChangeSubscriptionRequest { write: write(), ..to("pro", W::Now(())) };
    let cancel = pb::CancelSubscriptionRequest { write: write(), ..cancel(W::Now(())) };
    let (mut one, mut other) = (shop.client.clone(), shop.client.clone());
    let (upgraded, cancelled) =
        tokio::join!(one.change_subscription(upgrade), other.cancel_subscription(cancel));
    assert!(upgraded.is_ok() != cancelled.is_ok());
    let loser = [upgraded.err(), cancelled.err()].into_iter().flatten().next().unwrap();
    assert_eq!((loser.code(), &*named(&loser).0), (Code::Aborted, "VERSION_CONFLICT"));
}

// REQ: BIL-04
#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_is_read_amended_moved_and_dropped() {
    let mut shop = Shop::open().await;
    shop.create(starter()).await;
    let planned = shop.client.change_subscription(to("pro", W::PeriodEnd(()))).await.unwrap();
    let planned = Reply::of(planned);
    let list = || pb::ListScheduledChangesRequest { tenant: tenant(), ..<_>::default() };
    let listed = shop.client.list_scheduled_changes(seeing(list(), &planned.token)).await;
    let changes = listed.unwrap().into_inner().changes;
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].at, changes[0].at_period_end), (Some(instant("2026-05-01")), true));
    let id = changes[0].id.clone();
    let change = pb::SelectionChange {
        price: Some("monthly-seats".to_owned()),
        seats: Some(3),
        ..Default::default()
    };
    let amend = pb::AmendScheduledChangeRequest {
        tenant: tenant(),
        id: id.clone(),
        change: Some(change),
        write: None,
    };
    let amended = shop.client.amend_scheduled_change(amend).await.unwrap().into_inner();
    let holding = current(&amended).schedule[0].holding.clone().unwrap();
    assert_eq!((holding.plan.unwrap().plan.as_str(), holding.seats), ("pro", 3));
    let reschedule = |at: W| pb::RescheduleChangeRequest {
        tenant: tenant(),
        id: id.clone(),
        when: Some(when(at)),
        write: None,
    };
    let moved = shop.client.reschedule_change(reschedule(W::At(instant("2026-04-20")))).await;
    let moved = moved.unwrap().into_inner();
    assert_eq!(current(&moved).next_due, Some(instant("2026-04-20")));
    refused(shop.client.reschedule_change(reschedule(W::Now(()))).await, "VALUE_INVALID");
    let drop = || pb::DropScheduledChangeRequest { tenant: tenant(), id: id.clone(), write: None };
    let dropped = shop.client.drop_scheduled_change(drop()).await.unwrap().into_inner();
    assert!(current(&dropped).schedule.is_empty());
    let status =
        refused(shop.client.drop_scheduled_change(drop()).await, "SCHEDULED_CHANGE_NOT_FOUND");
    assert_eq!((status.code(), named(&status).1), (Code::NotFound, vec!["id".to_owned()]));
}

// REQ: BIL-04
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_change_that_is_dropped_is_told_of() {
    let mut shop = Shop::open().await;
    shop.create(starter()).await;
    let planned = shop.client.change_subscription(to("pro", W::At(instant("2026-05-10")))).await;
    let planned = planned.unwrap().into_inner();
    let id = current(&planned).schedule[0].id.clone();
    assert!(current(&planned).dropped_changes.is_empty());
    let cancelled = shop.client.cancel_subscription(cancel(W::PeriodEnd(()))).await.unwrap();
    let cancelled = Reply::of(cancelled);
    let told = &current(&cancelled.message).dropped_changes[0];
    assert_eq!((&told.id, told.reason()), (&id, pb::DropReason::Cancelled));
    let list = pb::ListScheduledChangesRequest { tenant: tenant(), ..<_>::default() };
    let listed = shop.client.list_scheduled_changes(seeing(list, &cancelled.token)).await;
    let listed = listed.unwrap().into_inner();
    assert!(listed.changes.is_empty());
    assert_eq!(listed.dropped_changes, std::slice::from_ref(told));
}

// REQ: BIL-04
#[tokio::test(flavor = "multi_thread")]
async fn paused_resumed_and_in_another_time_zone() {
    let mut shop = Shop::open().await;
    shop.create(starter()).await;
    shop.advance("2026-04-11").await;
    let pause = |resume_at: Option<&str>| {
        let resume_at = resume_at.map(instant);
        pb::PauseSubscriptionRequest { tenant: tenant(), resume_at, write: None }
    };
    let paused = shop.client.pause_subscription(pause(Some("2026-05-01"))).await.unwrap();
    assert_eq!(lines(&paused.into_inner()), [-1933]);
    let moved = shop.client.pause_subscription(pause(None)).await.unwrap().into_inner();
    assert_eq!((current(&moved).resumes_at, lines(&moved).len()), (None, 0));
    refused(shop.client.pause_subscription(pause(None)).await, "SUBSCRIPTION_UNCHANGED");
    let at_end = shop.client.change_subscription(to("pro", W::PeriodEnd(()))).await;
    assert_eq!(named(&refused(at_end, "SUBSCRIPTION_STATE_INVALID")).1, ["when"]);
    assert!(!shop.has("export-pdf").await);
    shop.advance("2026-06-01").await;
    let zone = |name: &str| pb::SetTimeZoneRequest {
        tenant: tenant(),
        time_zone: name.to_owned(),
        write: None,
    };
    shop.client.set_time_zone(zone("Asia/Ho_Chi_Minh")).await.unwrap();
    let resume = pb::ResumeSubscriptionRequest { tenant: tenant(), write: None };
    let resumed = shop.client.resume_subscription(resume).await.unwrap().into_inner();
    assert_eq!(lines(&resumed), [2900]);
    assert_eq!(current(&resumed).anchor, "2026-06-01T07:00:00");
    let status =
        refused(shop.client.set_time_zone(zone("Mars/Olympus")).await, "TIME_ZONE_UNKNOWN");
    assert_eq!(named(&status).1, ["time_zone"]);
}

// REQ: BIL-04
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_names_the_field_and_writes_nothing() {
    let mut shop = Shop::open().await;
    let cases = [
        (pb::CreateSubscriptionRequest { seats: 0, ..starter() }, "SEATS_TOO_FEW", "seats"),
        (pb::CreateSubscriptionRequest { seats: 6, ..starter() }, "SEATS_TOO_MANY", "seats"),
        (
            pb::CreateSubscriptionRequest { seats: 1_000_000_000_000, ..starter() },
            "SEATS_TOO_MANY",
            "seats",
        ),
        (
            pb::CreateSubscriptionRequest { trial_days: Some(31), ..starter() },
            "TRIAL_TOO_LONG",
            "trial_days",
        ),
        (
            pb::CreateSubscriptionRequest { currency: "usd".to_owned(), ..starter() },
            "VALUE_INVALID",
            "currency",
        ),
        (
            pb::CreateSubscriptionRequest { currency: "EUR".to_owned(), ..starter() },
            "CURRENCY_NOT_OFFERED",
            "currency",
        ),
        (
            pb::CreateSubscriptionRequest { plan: "gold".to_owned(), ..starter() },
            "PLAN_UNKNOWN",
            "plan",
        ),
        (
            pb::CreateSubscriptionRequest { plan: "No Plan".to_owned(), ..starter() },
            "ID_INVALID",
            "plan",
        ),
        (
            pb::CreateSubscriptionRequest { time_zone: "GMT+7".to_owned(), ..starter() },
            "TIME_ZONE_UNKNOWN",
            "time_zone",
        ),
    ];
    for (request, code, field) in cases {
        let status = refused(shop.client.create_subscription(request).await, code);
        assert_eq!(named(&status).1, [field], "{code}");
    }
    let status = refused(
        shop.client.cancel_subscription(cancel(W::Now(()))).await,
        "SUBSCRIPTION_NOT_FOUND",
    );
    assert_eq!((status.code(), named(&status).1), (Code::NotFound, vec![tenant_field()]));
    let get = pb::GetSubscriptionRequest { tenant: tenant(), ..<_>::default() };
    refused(shop.client.get_subscription(get).await, "SUBSCRIPTION_NOT_FOUND");
    let get = pb::GetSubscriptionRequest { tenant: "nobody".to_owned(), ..<_>::default() };
    refused(shop.client.get_subscription(get).await, "TENANT_NOT_FOUND");
    shop.create(starter()).await;
    let again = refused(shop.client.create_subscription(starter()).await, "SUBSCRIPTION_EXISTS");
    assert_eq!(again.code(), Code::AlreadyExists);
    refused(
        shop.client.change_subscription(to("starter", W::Now(()))).await,
        "SUBSCRIPTION_UNCHANGED",
    );
    let past = W::At(instant("2026-03-01"));
    let status =
        refused(shop.client.change_subscription(to("pro", past)).await, "DATE_IN_THE_PAST");
    assert_eq!(named(&status).1, ["when"]);
    let nothing = pb::ChangeSubscriptionRequest { tenant: tenant(), ..Default::default() };
    let status = refused(shop.client.change_subscription(nothing).await, "FIELD_MISSING");
    assert_eq!(named(&status).1, ["change", "when"]);
    let gold =
        refused(shop.client.change_subscription(to("gold", W::Now(()))).await, "PLAN_UNKNOWN");
    assert_eq!(named(&gold).1, ["change.plan"]);
}

fn tenant_field() -> String {
    "tenant".to_owned()
}

// REQ: BIL-04
#[tokio::test(flavor = "multi_thread")]
async fn a_downgrade_below_use_is_accepted_and_says_what_is_exceeded() {
    let mut shop = Shop::open().await;
    let pro = pb::CreateSubscriptionRequest { plan: "pro".to_owned(), ..starter() };
    shop.create(pro).await;
    let report = pbe::ReportUseRequest {
        tenant: tenant(),
        feature: "reports".to_owned(),
        used: 40,
        write: None,
    };
    shop.world.entitlements.report_use(report).await.unwrap();
    let changed = shop.client.change_subscription(to("starter", W::PeriodEnd(()))).await.unwrap();
    let exceeded = changed.into_inner().exceeded;
    let told: Vec<_> = exceeded.iter().map(|it| (&*it.feature, it.limit, it.used)).collect();
    assert_eq!(told, [("reports", 10, 40)]);
}
