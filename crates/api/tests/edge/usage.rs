//! What came of events, over a real port: figures, fates, lists, events and files, from
//! the event as it is sent to the answer.

use core::time::Duration;

use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::correction_service_client::CorrectionServiceClient;
use exchequer_proto::usage::v1::meter_service_client::MeterServiceClient;
use exchequer_proto::usage::v1::usage_service_client::UsageServiceClient;
use prost_types::Timestamp;
use tonic::Request;
use tonic::transport::Channel;

use crate::ingest::client::{BATCH, post};
use crate::world::{World, named};

const TOKEN: &str = "x-exchequer-usage-consistency";
/// An hour of which the events are in time, and the one they are sent in.
const HOUR_SECONDS: i64 = 3_600;

struct Shop {
    world: World,
    usage: UsageServiceClient<Channel>,
    corrections: CorrectionServiceClient<Channel>,
    /// Start of the current hour.
    hour: i64,
    /// One for each time that events were sent: their partitions differ.
    tokens: Vec<String>,
}

impl Shop {
    /// A meter of tokens by model, and a tenant.
    async fn open() -> Self {
        let mut world = World::start().await;
        world.tenant("acme").await;
        let group = pb::MeterGroupBy { name: text("model"), path: text("$.model") };
        let rules = pb::MeterRules {
            event_type: text("call"),
            aggregation: pb::Aggregation::Sum.into(),
            value: text("$.tokens"),
            group_by: vec![group],
            unit: text("tokens"),
            ..pb::MeterRules::default()
        };
        let (tenant, key) = (text("platform"), text("tokens"));
        let create = pb::CreateMeterRequest { tenant, key, rules: Some(rules), write: None };
        MeterServiceClient::new(world.channel.clone()).create_meter(create).await.unwrap();
        let usage = UsageServiceClient::new(world.channel.clone());
        let corrections = CorrectionServiceClient::new(world.channel.clone());
        let now = world.platform.ports.runtime.now().micros() / 1_000_000;
        let hour = now - now.rem_euclid(HOUR_SECONDS);
        Self { world, usage, corrections, hour, tokens: Vec::new() }
    }

    /// Sends events: id, type, subject, seconds since the current hour began, data.
    async fn send(&mut self, events: &[(&str, &str, &str, i64, &str)]) -> Vec<String> {
        let events = events.iter().map(|(id, kind, subject, second, data)| {
            let at = exchequer_types::Timestamp::saturating_from_micros((self.hour + second) * 1_000_000);
            format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"/t","type":"{kind}","tenant":"acme","subject":"{subject}","time":"{at}","data":{data}}}"#
            )
        });
        let body = format!("[{}]", events.collect::<Vec<_>>().join(","));
        let replied = post(self.world.address, &[BATCH], body).await;
        self.tokens.push(replied.headers[TOKEN].to_str().unwrap().to_owned());
        replied.verdicts()
    }

    /// A request that must see all that was sent.
    fn seeing<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        for token in &self.tokens {
            request.metadata_mut().append(TOKEN, token.parse().unwrap());
        }
        request
    }

    fn at(&self, second: i64) -> Timestamp {
        Timestamp { seconds: self.hour + second, nanos: 0 }
    }

    fn query(&self, from: i64, to: i64, grain: pb::UsageGrain) -> pb::QueryUsageRequest {
        pb::QueryUsageRequest {
            tenant: text("acme"),
            meter: text("tokens"),
            from: Some(self.at(from)),
            to: Some(self.at(to)),
            grain: grain.into(),
            ..pb::QueryUsageRequest::default()
        }
    }

    async fn figures(&mut self, query: pb::QueryUsageRequest) -> String {
        let reply = self.usage.query_usage(self.seeing(query)).await.unwrap().into_inner();
        let position = reply.position.unwrap();
        assert!(position.age.unwrap().seconds < 60, "{position:?}");
        assert!(!position.consistency_token.is_empty());
        let windows = reply.windows.iter().map(|it| told(it, self.hour));
        windows.collect::<Vec<_>>().join("; ")
    }
}

fn told(window: &pb::UsageWindow, hour: i64) -> String {
    let figures =
        window.figures.iter().map(|it| format!("{}={}", it.values.join("/"), it.quantity));
    let start = window.start.unwrap().seconds - hour;
    format!("{start} {}", figures.collect::<Vec<_>>().join(" "))
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// Three that are counted, one twice, one late, and some that count for nothing.
async fn sent() -> Shop {
    let mut shop = Shop::open().await;
    let verdicts = shop
        .send(&[
            ("a", "call", "s1", 0, r#"{"tokens":10,"model":"small"}"#),
            ("b", "call", "s2", 0, r#"{"tokens":5.25,"model":"large"}"#),
            ("c", "call", "s1", -HOUR_SECONDS, r#"{"tokens":1,"model":"small"}"#),
            ("late", "call", "s1", -30 * HOUR_SECONDS, r#"{"tokens":7,"model":"small"}"#),
            ("text", "call", "s1", 0, r#"{"tokens":"many","model":"small"}"#),
            ("odd", "other", "s1", 0, "null"),
        ])
        .await;
    assert_eq!(verdicts, ["ACCEPTED"; 6]);
    shop.send(&[("a", "call", "s1", 0, r#"{"tokens":10,"model":"small"}"#)]).await;
    shop.send(&[("b", "call", "s2", 0, r#"{"tokens":999,"model":"large"}"#)]).await;
    shop
}

// REQ: USE-04
// REQ: USE-05
// REQ: FIG-03
#[tokio::test(flavor = "multi_thread")]
async fn figures_show_events_at_once() {
    let mut shop = sent().await;
    let hours = shop.query(-HOUR_SECONDS, HOUR_SECONDS, pb::UsageGrain::Hour);
    assert_eq!(shop.figures(hours.clone()).await, "-3600 =1; 0 =15.25");
    let by = pb::QueryUsageRequest { group_by: vec![text("model")], ..hours.clone() };
    assert_eq!(shop.figures(by.clone()).await, "-3600 small=1; 0 small=10 large=5.25");
    let largest = pb::QueryUsageRequest { top: 1, ..by.clone() };
    assert_eq!(shop.figures(largest).await, "-3600 small=1; 0 small=10 (other)=5.25");
    let filter = pb::UsageFilter { name: text("model"), values: vec![text("large")] };
    let filtered = pb::QueryUsageRequest { filters: vec![filter], ..hours.clone() };
    assert_eq!(shop.figures(filtered).await, "0 =5.25");
    let subject = pb::QueryUsageRequest { subject: text("s1"), ..hours.clone() };
    assert_eq!(shop.figures(subject).await, "-3600 =1; 0 =10");
    let subjects = pb::QueryUsageRequest {
        by_subject: true,
        ..shop.query(-30 * HOUR_SECONDS, 60, pb::UsageGrain::Whole)
    };
    assert_eq!(shop.figures(subjects).await, "-108000 s1=18 s2=5.25");
}

// REQ: USE-04
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused_by_its_field() {
    let mut shop = Shop::open().await;
    let hours = shop.query(-HOUR_SECONDS, HOUR_SECONDS, pb::UsageGrain::Hour);
    let ok = |it: &pb::QueryUsageRequest| it.clone();
    let group_by = vec![text("model")];
    let cases = [
        (
            pb::QueryUsageRequest { tenant: text("none"), ..ok(&hours) },
            "TENANT_NOT_FOUND",
            "tenant",
        ),
        (pb::QueryUsageRequest { meter: text("none"), ..ok(&hours) }, "METER_NOT_FOUND", "meter"),
        (pb::QueryUsageRequest { from: None, ..ok(&hours) }, "FIELD_MISSING", "from"),
        (pb::QueryUsageRequest { to: hours.from, ..ok(&hours) }, "RANGE_INVALID", "to"),
        (pb::QueryUsageRequest { from: Some(shop.at(1)), ..ok(&hours) }, "RANGE_INVALID", "from"),
        (pb::QueryUsageRequest { grain: 0, ..ok(&hours) }, "FIELD_MISSING", "grain"),
        (pb::QueryUsageRequest { grain: 99, ..ok(&hours) }, "ENUM_UNKNOWN", "grain"),
        (pb::QueryUsageRequest { top: 1_001, ..ok(&hours) }, "VALUE_INVALID", "top"),
        (
            pb::QueryUsageRequest { subject: text("s"), group_by, ..ok(&hours) },
            "VALUE_INVALID",
            "group_by",
        ),
    ];
    for (request, code, field) in cases {
        let status = shop.usage.query_usage(request).await.unwrap_err();
        let (found, fields) = named(&status);
        assert_eq!(
            (found.as_str(), fields.first().map(String::as_str)),
            (code, Some(field)),
            "{status:?}"
        );
    }
    let mut request = Request::new(hours);
    request.metadata_mut().insert(TOKEN, "made-up".parse().unwrap());
    let status = shop.usage.query_usage(request).await.unwrap_err();
    assert_eq!(named(&status), (text("METADATA_INVALID"), vec![text(TOKEN)]));
}

// REQ: USE-03
// REQ: USE-08
#[tokio::test(flavor = "multi_thread")]
async fn each_event_has_a_fate() {
    let mut shop = sent().await;
    let fate = |id: &str| pb::GetEventFateRequest {
        tenant: text("acme"),
        source: text("/t"),
        id: text(id),
        ..Default::default()
    };
    for (id, expected, count) in [
        ("a", pb::Fate::Counted, 1),
        ("late", pb::Fate::Late, 1),
        ("c", pb::Fate::Late, 1),
        ("text", pb::Fate::Invalid, 0),
        ("odd", pb::Fate::Unmatched, 0),
    ] {
        let told = shop.usage.get_event_fate(shop.seeing(fate(id))).await.unwrap().into_inner();
        assert_eq!((told.fate(), told.contributions.len()), (expected, count), "{told:?}");
        assert_eq!(told.event.unwrap().id, id);
        assert!(told.seal.unwrap().seq > 0);
    }
    let told = shop.usage.get_event_fate(shop.seeing(fate("a"))).await.unwrap().into_inner();
    let it = &told.contributions[0];
    assert_eq!((it.meter.as_str(), it.rules_version, it.quantity.as_str()), ("tokens", 1, "10"));
    assert_eq!((it.groups.clone(), it.windows.len()), (vec![text("small")], 4));
    let dated = pb::GetEventFateRequest { time: Some(shop.at(-HOUR_SECONDS)), ..fate("c") };
    let told = shop.usage.get_event_fate(shop.seeing(dated)).await.unwrap().into_inner();
    assert_eq!(told.fate(), pb::Fate::Late);
    let told = shop.usage.get_event_fate(shop.seeing(fate("b"))).await.unwrap().into_inner();
    assert_eq!((told.fate(), told.contributions[0].quantity.as_str()), (pb::Fate::Counted, "5.25"));
    let related: Vec<_> = told.related.iter().map(pb::ListedEvent::kind).collect();
    assert_eq!(related, [pb::ListedKind::Conflicting]);
    assert_eq!(told.related[0].first, told.event.unwrap().place);
    let status = shop.usage.get_event_fate(shop.seeing(fate("none"))).await.unwrap_err();
    assert_eq!(named(&status).0, "USAGE_EVENT_NOT_FOUND");
}

// REQ: USE-08
// REQ: KER-12
#[tokio::test(flavor = "multi_thread")]
async fn lists_and_counts_tell_what_became_of_all_that_was_sent() {
    let mut shop = sent().await;
    let list =
        pb::ListRejectedEventsRequest { tenant: text("acme"), page_size: 2, ..Default::default() };
    let first =
        shop.usage.list_rejected_events(shop.seeing(list.clone())).await.unwrap().into_inner();
    let ids =
        |events: &[pb::ListedEvent]| events.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
    assert_eq!((ids(&first.events)[0].as_str(), first.events.len()), ("b", 2));
    let next = pb::ListRejectedEventsRequest { page_token: first.next_page_token, ..list.clone() };
    let next = shop.usage.list_rejected_events(shop.seeing(next)).await.unwrap().into_inner();
    assert_eq!((next.events.len(), next.next_page_token.as_str()), (1, ""));
    let told: std::collections::BTreeSet<_> =
        ids(&first.events).into_iter().chain(ids(&next.events)).collect();
    assert_eq!(told, ["b", "odd", "text"].map(text).into());
    let filter = text(r#"field = "$.tokens""#);
    let faults = pb::ListRejectedEventsRequest { filter, ..list };
    let faults = shop.usage.list_rejected_events(shop.seeing(faults)).await.unwrap().into_inner();
    assert_eq!(ids(&faults.events), ["text"], "{next:?}");
    assert_eq!(faults.events[0].reason, "must be a number, not a text");
    let corrections = pb::ListCorrectionsRequest { tenant: text("acme"), ..Default::default() };
    let corrections = shop.usage.list_corrections(shop.seeing(corrections)).await;
    let mut late = ids(&corrections.unwrap().into_inner().corrections);
    late.sort_unstable();
    assert_eq!(late, ["c", "late"]);
    let reconcile = pb::ReconcileUsageRequest {
        tenant: text("acme"),
        from: Some(shop.at(-HOUR_SECONDS)),
        to: Some(shop.at(2 * HOUR_SECONDS)),
    };
    let counts = shop.usage.reconcile_usage(shop.seeing(reconcile)).await.unwrap().into_inner();
    let expected = pb::ReceivedCounts {
        received: 8,
        counted: 2,
        late: 2,
        duplicate: 1,
        conflicting: 1,
        unmatched: 1,
        invalid: 1,
        ..Default::default()
    };
    assert_eq!(counts.total.unwrap(), expected);
}

// REQ: USE-16
#[tokio::test(flavor = "multi_thread")]
async fn a_voided_event_counts_for_nothing_and_is_listed() {
    let mut shop = sent().await;
    let void = pb::VoidEventRequest {
        tenant: text("acme"),
        source: text("/t"),
        event: text("a"),
        reason: text("sent by mistake"),
        write: None,
    };
    shop.corrections.void_event(void).await.unwrap();
    let list = pb::ListCorrectionsRequest {
        tenant: text("acme"),
        kinds: vec![pb::ListedKind::Voided.into()],
        ..Default::default()
    };
    loop {
        let found = shop.usage.list_corrections(list.clone()).await.unwrap().into_inner();
        if !found.corrections.is_empty() {
            break;
        }
        shop.world.platform.ports.runtime.sleep(Duration::from_millis(5)).await;
    }
    let hours = shop.query(0, HOUR_SECONDS, pb::UsageGrain::Hour);
    assert_eq!(shop.figures(hours).await, "0 =5.25");
    let asked = pb::GetEventFateRequest {
        tenant: text("acme"),
        source: text("/t"),
        id: text("a"),
        ..Default::default()
    };
    let told = shop.usage.get_event_fate(asked).await.unwrap().into_inner();
    assert_eq!((told.fate(), told.voided, told.contributions.len()), (pb::Fate::Counted, true, 0));
}

// REQ: USE-08
#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_and_exported_as_they_came() {
    let mut shop = sent().await;
    let list = pb::ListEventsRequest {
        tenant: text("acme"),
        from: Some(shop.at(-HOUR_SECONDS)),
        to: Some(shop.at(1)),
        page_size: 2,
        r#type: text("call"),
        ..Default::default()
    };
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = pb::ListEventsRequest { page_token, ..list.clone() };
        let page = shop.usage.list_events(shop.seeing(page)).await.unwrap().into_inner();
        ids.extend(page.events.into_iter().map(|it| it.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    ids.sort_unstable();
    assert_eq!(ids, ["a", "a", "b", "b", "c", "text"]);
    for (format, start) in [
        (pb::ExportFormat::Csv, b"source,id".as_slice()),
        (pb::ExportFormat::Parquet, b"PAR1".as_slice()),
    ] {
        let export = pb::ExportEventsRequest {
            tenant: text("acme"),
            from: list.from,
            to: list.to,
            format: format.into(),
            ..Default::default()
        };
        let mut parts = shop.usage.export_events(shop.seeing(export)).await.unwrap().into_inner();
        let (mut file, mut events) = (Vec::new(), 0);
        while let Some(part) = parts.message().await.unwrap() {
            file.extend_from_slice(&part.chunk);
            events = part.events;
        }
        assert_eq!((events, &file[..start.len()]), (7, start), "{format:?}");
    }
}

// REQ: USE-05
#[tokio::test(flavor = "multi_thread")]
async fn a_meter_is_watched_as_it_counts() {
    let mut shop = Shop::open().await;
    let watch = pb::WatchUsageRequest {
        tenant: text("acme"),
        meter: text("tokens"),
        grain: pb::UsageGrain::Month.into(),
        ..Default::default()
    };
    let mut told = shop.usage.watch_usage(watch).await.unwrap().into_inner();
    let first = told.message().await.unwrap().unwrap().window.unwrap();
    assert_eq!(first.figures, []);
    shop.send(&[("a", "call", "s1", 0, r#"{"tokens":2.5,"model":"small"}"#)]).await;
    let next = told.message().await.unwrap().unwrap().window.unwrap();
    assert_eq!(next.figures[0].quantity, "2.5");
    shop.world.stopping.send_replace(true);
    let status = told.message().await.unwrap_err();
    assert_eq!(named(&status).0, "SHUTTING_DOWN");
}
