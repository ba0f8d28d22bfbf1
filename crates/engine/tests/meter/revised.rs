//! What is counted afterwards, and what is taken back.

use std::sync::Arc;
use std::time::Duration;

use exchequer_codec::usage::encode_correction;
use exchequer_metering::{
    AdoptedSchema, Aggregation, BackfillOrder, Fate, Meter, Terms, partition_of_event,
};
use exchequer_projection_usage::Kind;
use exchequer_proto::usage::v1 as pb;
use exchequer_readstore::MemoryStore;
use exchequer_types::{Period, Slug, Timestamp};

use crate::world::{PARTITIONS, Process, World, counter, event, key, now, sum_of_tokens, tenant};
use crate::{DATA, until};

fn correct(world: &World, id: &str, event: &str, amended: Option<&str>) {
    correct_at(world, now(), (id, event), amended);
}

fn correct_at(world: &World, at: Timestamp, (id, event): (&str, &str), amended: Option<&str>) {
    let what = match amended {
        None => pb::correction::What::Void(pb::Void {}),
        Some(data) => pb::correction::What::Amend(pb::Amend { data: data.to_owned() }),
    };
    let correction = pb::Correction {
        id: id.to_owned(),
        tenant: "acme".to_owned(),
        source: "test".to_owned(),
        event: event.to_owned(),
        what: Some(what),
        reason: "wrong".to_owned(),
        actor: "u-1".to_owned(),
    };
    let partition = partition_of_event("acme", event, PARTITIONS, &mut Vec::new());
    world.log.push(partition, encode_correction(at, correction, &key()));
}

/// A process that has to read everything again, from the seals and the records.
async fn anew(world: &mut World, process: Process) -> Process {
    process.stop().await;
    world.store = Arc::new(MemoryStore::new(true));
    let process = world.start().await;
    // Revisions come behind the records that they are about.
    until(async || process.meters.states().iter().all(|state| state.leading)).await;
    process.settled().await;
    process
}

// REQ: USE-02 USE-08
#[tokio::test(flavor = "multi_thread")]
async fn unmatched_events_count_once_their_tenant_or_meter_is_there() {
    let mut world = World::new();
    world.settings.usage.batch_records_max = 7;
    let process = world.start().await;
    for n in 0..50 {
        world.send_as(&event("newcomer", &format!("e-{n}"), DATA), now());
        world.send_as(&event("newcomer", &format!("e-{}", n / 2), DATA), now());
        world.send(&format!("e-{n}"), DATA);
    }
    process.settled().await;
    assert_eq!(process.figure("newcomer", "tokens").await, None);
    assert_eq!(process.count("newcomer", Fate::Unmatched).await, 50);
    world.definitions.put_tenant(&tenant("newcomer"), &tenant("reseller"), Vec::new());
    world.send_as(&event("newcomer", "e-50", DATA), now());
    process.settled().await;
    assert_eq!(process.figure("newcomer", "tokens").await, None, "its provider has no meter");
    let meters = vec![sum_of_tokens()];
    world.definitions.put_meters(&tenant("reseller"), meters, Terms::default());
    until(async || {
        process.figure("newcomer", "tokens").await.map(|it| it.to_string())
            == Some("102".to_owned())
    })
    .await;
    let matched = process.counts("newcomer").await.of(Kind::Matched);
    assert_eq!((matched, process.count("newcomer", Fate::Unmatched).await), (51, 51));
    // Whatever comes later, they are not counted again.
    world.definitions.put_meters(
        &tenant("reseller"),
        vec![sum_of_tokens(), counter("calls")],
        Terms::default(),
    );
    world.send_as(&event("newcomer", "e-51", DATA), now());
    process.settled().await;
    process.written().await;
    let shown = |it: Option<exchequer_types::Quantity>| it.map(|it| it.to_string());
    assert_eq!(shown(process.figure("newcomer", "tokens").await).as_deref(), Some("104"));
    assert_eq!(shown(process.figure("newcomer", "calls").await).as_deref(), Some("1"));
    let process = anew(&mut world, process).await;
    assert_eq!(shown(process.figure("newcomer", "tokens").await).as_deref(), Some("104"));
    assert_eq!(process.shown("tokens").await, "100");
    process.stop().await;
}

// REQ: USE-01 USE-08
#[tokio::test(flavor = "multi_thread")]
async fn a_new_meter_is_backfilled_from_kept_events() {
    let mut world = World::new();
    world.settings.usage.batch_records_max = 7;
    let process = world.start().await;
    for n in 0..50 {
        world.send(&format!("e-{n}"), DATA);
        world.send(&format!("e-{}", n / 2), DATA);
    }
    correct(&world, "c-1", "e-3", None);
    process.settled().await;
    let meters = vec![sum_of_tokens(), counter("calls"), counter("more")];
    world.definitions.put_meters(&tenant("platform"), meters.clone(), Terms::default());
    world.send("e-50", DATA);
    process.settled().await;
    assert_eq!(process.shown("more").await, "1");
    let order = BackfillOrder {
        id: "b-1".to_owned(),
        meter: Slug::parse("more").unwrap(),
        version: 1,
        from: now().saturating_sub(Duration::from_secs(24 * 3_600)),
        until: None,
    };
    world.definitions.put_backfills(&tenant("platform"), vec![order]);
    until(async || process.shown("more").await == "50").await;
    assert_eq!(
        (process.shown("tokens").await, process.shown("calls").await),
        ("100".into(), "50".into())
    );
    // What was backfilled is taken back too.
    correct(&world, "c-2", "e-4", None);
    process.settled().await;
    assert_eq!(
        (process.shown("more").await, process.shown("calls").await),
        ("49".into(), "49".into())
    );
    // And so it is when the meter is retired, and its backfill with it.
    world.definitions.put_backfills(&tenant("platform"), Vec::new());
    let left = meters.into_iter().filter(|it| it.key.as_str() != "more").collect();
    world.definitions.put_meters(&tenant("platform"), left, Terms::default());
    world.send("e-51", DATA);
    process.settled().await;
    correct(&world, "c-3", "e-5", None);
    process.settled().await;
    assert_eq!(
        (process.shown("more").await, process.shown("calls").await),
        ("48".into(), "49".into())
    );
    let process = anew(&mut world, process).await;
    assert_eq!(
        (process.shown("more").await, process.shown("calls").await),
        ("48".into(), "49".into())
    );
    process.stop().await;
}

// REQ: USE-16
#[tokio::test(flavor = "multi_thread")]
async fn events_are_voided_and_amended_once() {
    let mut world = World::new();
    let process = world.start().await;
    for n in 0..10 {
        world.send(&format!("e-{n}"), DATA);
    }
    correct(&world, "c-1", "e-1", None);
    correct(&world, "c-2", "e-1", None);
    correct(&world, "c-3", "e-1", Some(DATA));
    correct(&world, "c-4", "e-2", Some(r#"{"tokens":10,"model":"small"}"#));
    correct(&world, "c-5", "e-2", Some(r#"{"tokens":20,"model":"small"}"#));
    correct(&world, "c-6", "e-3", Some(r#"{"tokens":"#));
    correct(&world, "c-7", "nobody", None);
    process.settled().await;
    assert_eq!(
        (process.shown("tokens").await, process.shown("calls").await),
        ("36".into(), "9".into())
    );
    let counts = process.counts("acme").await;
    assert_eq!((counts.of(Kind::Voided), counts.of(Kind::Amended)), (1, 2));
    assert_eq!(process.count("acme", Fate::Invalid).await, 3);
    assert_eq!(process.count("acme", Fate::Duplicate).await, 1);
    process.written().await;
    process.stop().await;
    let process = world.start().await;
    correct(&world, "c-8", "e-1", None);
    correct(&world, "c-9", "e-2", None);
    process.settled().await;
    assert_eq!(
        (process.shown("tokens").await, process.shown("calls").await),
        ("16".into(), "8".into())
    );
    let process = anew(&mut world, process).await;
    assert_eq!(
        (process.shown("tokens").await, process.shown("calls").await),
        ("16".into(), "8".into())
    );
    process.stop().await;
}

// REQ: USE-03 USE-16
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_anew_is_not_what_it_was_corrected_to() {
    let mut world = World::new();
    let long_ago = now().saturating_sub(Duration::from_secs(36 * 86_400));
    world.send_as(&event("acme", "e-1", DATA), long_ago);
    correct_at(&world, long_ago, ("c-1", "e-1"), None);
    world.send("e-1", DATA);
    correct(&world, "c-2", "e-1", Some(r#"{"tokens":10,"model":"small"}"#));
    let process = world.start().await;
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "10");
    process.written().await;
    process.stop().await;
    let process = world.start().await;
    correct(&world, "c-3", "e-1", Some(r#"{"tokens":4,"model":"small"}"#));
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "4");
    process.stop().await;
}

fn of_values(aggregation: Aggregation) -> Meter {
    let key = Slug::parse(aggregation.as_str().replace('_', "-")).unwrap();
    Meter { key, aggregation, ..sum_of_tokens() }
}

// REQ: USE-01 USE-16
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_subtracted_from_is_put_together_anew() {
    let mut world = World::new();
    let all = [Aggregation::Min, Aggregation::Max, Aggregation::Last, Aggregation::UniqueCount];
    let meters = all.map(of_values).to_vec();
    world.definitions.put_meters(&tenant("platform"), meters, Terms::default());
    let process = world.start().await;
    for (id, tokens) in [("low", 1), ("a", 5), ("b", 5), ("c", 7), ("high", 9)] {
        world.send(id, &format!(r#"{{"tokens":{tokens},"model":"m"}}"#));
    }
    process.settled().await;
    let shown = async |process: &Process| {
        let mut shown = Vec::new();
        for it in all.map(of_values) {
            shown.push(process.shown(it.key.as_str()).await);
        }
        shown
    };
    assert_eq!(shown(&process).await, ["1", "9", "9", "4"]);
    for (correction, event) in [("c-1", "low"), ("c-2", "high"), ("c-3", "a")] {
        correct(&world, correction, event, None);
    }
    until(async || shown(&process).await == ["5", "7", "7", "2"]).await;
    correct(&world, "c-4", "c", Some(r#"{"tokens":4,"model":"m"}"#));
    until(async || shown(&process).await == ["4", "5", "4", "2"]).await;
    // What comes later is added to what was put together.
    world.send("d", r#"{"tokens":20,"model":"m"}"#);
    process.settled().await;
    assert_eq!(shown(&process).await, ["4", "20", "20", "3"]);
    let process = anew(&mut world, process).await;
    until(async || shown(&process).await == ["4", "20", "20", "3"]).await;
    process.stop().await;
}

// REQ: USE-04
#[tokio::test(flavor = "multi_thread")]
async fn a_moved_billing_period_takes_its_events_with_it() {
    let mut world = World::new();
    let start = now();
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let (early, late) = (start.saturating_sub(hours(100)), start.saturating_add(hours(100)));
    let begun = start.saturating_sub(hours(1));
    let put = |world: &World, periods: Vec<Period>| {
        world.definitions.put_tenant(&tenant("acme"), &tenant("platform"), periods);
    };
    put(&world, vec![Period { start: early, end: late }]);
    let process = world.start().await;
    for n in 0..20 {
        world.send(&format!("e-{n}"), DATA);
    }
    process.settled().await;
    let periods = async |process: &Process| process.periods("tokens").await;
    assert_eq!(periods(&process).await, [(early, "40".to_owned())]);
    // A change of plan begins a new period an hour ago: all of it lies in that.
    put(&world, vec![Period { start: early, end: begun }, Period { start: begun, end: late }]);
    until(async || periods(&process).await == [(begun, "40".to_owned())]).await;
    world.send("e-20", DATA);
    correct(&world, "c-1", "e-3", None);
    process.settled().await;
    assert_eq!(periods(&process).await, [(begun, "40".to_owned())]);
    assert_eq!(process.shown("tokens").await, "40", "windows of the calendar stay");
    let process = anew(&mut world, process).await;
    until(async || periods(&process).await == [(begun, "40".to_owned())]).await;
    process.stop().await;
}

// REQ: USE-04
#[tokio::test(flavor = "multi_thread")]
async fn a_moved_billing_period_finds_its_events_however_gateways_clocks_differ() {
    let mut world = World::new();
    world.settings.usage.batch_records_max = 4;
    let start = now();
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let (early, late) = (start.saturating_sub(hours(100)), start.saturating_add(hours(100)));
    let begun = start.saturating_sub(hours(2));
    let put = |world: &World, periods: Vec<Period>| {
        world.definitions.put_tenant(&tenant("acme"), &tenant("platform"), periods);
    };
    put(&world, vec![Period { start: early, end: late }]);
    let process = world.start().await;
    // One gateway's clock is right, and that of another is hours behind.
    for n in 0..4 {
        world.send_as(&event("acme", &format!("first-{n}"), DATA), start);
    }
    let behind = start.saturating_sub(hours(5));
    for n in 0..60 {
        world.send_as(&event("acme", &format!("behind-{n}"), DATA), behind);
    }
    process.settled().await;
    let periods = async |process: &Process| process.periods("tokens").await;
    assert_eq!(periods(&process).await, [(early, "128".to_owned())]);
    put(&world, vec![Period { start: early, end: begun }, Period { start: begun, end: late }]);
    let both = [(early, "120".to_owned()), (begun, "8".to_owned())];
    until(async || periods(&process).await == both).await;
    let process = anew(&mut world, process).await;
    until(async || periods(&process).await == both).await;
    process.stop().await;
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn a_meter_checks_the_schema_of_what_came_past_the_gate() {
    let mut world = World::new();
    let text = r#"{"required":["tokens"],"properties":{"tokens":{"type":"integer"}}}"#;
    let schema = AdoptedSchema { kind: "completion".to_owned(), version: 1, text: text.to_owned() };
    world.definitions.put_schemas(&tenant("platform"), vec![schema]);
    let process = world.start().await;
    world.send("good", DATA);
    world.send("bad", r#"{"tokens":"two","model":"m"}"#);
    world.send("none", r#"{"model":"m"}"#);
    process.settled().await;
    assert_eq!(
        (process.shown("calls").await, process.shown("tokens").await),
        ("1".into(), "2".into())
    );
    assert_eq!(process.count("acme", Fate::Invalid).await, 2);
    process.stop().await;
}

// REQ: USE-01 USE-08
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_one_meter_cannot_use_is_listed_with_that_meter() {
    let mut world = World::new();
    let process = world.start().await;
    world.send("text", r#"{"tokens":"two","model":"m"}"#);
    world.send("good", DATA);
    process.settled().await;
    for _ in 0..2 {
        assert_eq!(process.count("acme", Fate::Counted).await, 2);
        let listed = process.listed(&[Kind::Unusable]).await;
        let told: Vec<_> = listed
            .iter()
            .map(|it| (it.id.as_str(), it.meter.as_str(), it.field.as_str()))
            .collect();
        assert_eq!(told, [("text", "tokens", "$.tokens")]);
        process.written().await;
    }
    process.stop().await;
}
