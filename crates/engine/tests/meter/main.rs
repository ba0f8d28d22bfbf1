//! Meters: each event counts once, whatever is repeated, restarted or fought over.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod produced;
mod revised;
mod shared;
mod world;

use std::sync::Arc;
use std::time::Duration;

use exchequer_codec::usage::encode_claim;
use exchequer_engine::decider::FEATURE_LEVEL;
use exchequer_engine::meter::MemoryDefinitions;
use exchequer_journal::{FaultKind, Journal as _};
use exchequer_metering::{Body, Fate, Terms};
use exchequer_proto::usage::v1::SealClaim;
use exchequer_types::{PartitionId, Timestamp};
use world::{PARTITIONS, PATIENCE, World, counter, event, now, sum_of_tokens, tenant};

const DATA: &str = r#"{"tokens":2,"model":"large"}"#;

/// Waits until it holds.
async fn until(holds: impl AsyncFn() -> bool) {
    let deadline = now().saturating_add(PATIENCE);
    while !holds().await {
        assert!(now() < deadline, "it never holds");
        tokio::task::yield_now().await;
    }
}

// REQ: USE-01 USE-03 USE-05
#[tokio::test(flavor = "multi_thread")]
async fn each_event_counts_once_across_batches_and_restarts() {
    let mut world = World::new();
    let process = world.start().await;
    for n in 0..100 {
        world.send(&format!("e-{n}"), DATA);
        world.send(&format!("e-{}", n / 2), DATA);
    }
    process.settled().await;
    assert_eq!(
        (process.shown("tokens").await, process.shown("calls").await),
        ("200".into(), "100".into())
    );
    process.written().await;
    assert_eq!(process.shown("tokens").await, "200", "from the store");
    process.stop().await;

    let process = world.start().await;
    for n in 0..100 {
        world.send(&format!("e-{n}"), DATA);
    }
    world.send("e-100", DATA);
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "202");
    assert_eq!(process.count("acme", Fate::Counted).await, 101);
    assert_eq!(process.count("acme", Fate::Duplicate).await, 200);
    process.stop().await;
}

// REQ: USE-03
#[tokio::test(flavor = "multi_thread")]
async fn another_body_under_an_identity_is_kept_aside() {
    let mut world = World::new();
    let process = world.start().await;
    world.send("e-1", DATA);
    world.send("e-1", r#"{"tokens":3,"model":"large"}"#);
    world.send("e-1", r#"{ "model": "large", "tokens": 2.0 }"#);
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "2");
    assert_eq!(process.count("acme", Fate::Conflicting).await, 1);
    assert_eq!(process.count("acme", Fate::Duplicate).await, 1);
    process.stop().await;
}

// REQ: KER-12 USE-02
#[tokio::test(flavor = "multi_thread")]
async fn late_and_unusable_events_have_their_fates() {
    let mut world = World::new();
    let process = world.start().await;
    let ago = |hours: u64| Some(now().saturating_sub(Duration::from_secs(hours * 3_600)));
    let at = |id, time| {
        let it = event("acme", id, DATA);
        exchequer_metering::EventRecord { body: Body { time, ..it.body }, ..it }
    };
    world.send_as(&at("late", ago(5)), now());
    world.send_as(&at("too-late", ago(24 * 36)), now());
    world.send("no-number", r#"{"tokens":"many"}"#);
    world.send("no-json", "{");
    world.send_as(&event("nobody", "e-1", DATA), now());
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "2");
    // A call is a call, also when its tokens cannot be read.
    assert_eq!(process.shown("calls").await, "2");
    let counts = process.counts("acme").await;
    let of = |fate| counts.of(exchequer_projection_usage::Kind::Fate(fate));
    assert_eq!((of(Fate::Late), of(Fate::Invalid), of(Fate::Counted)), (1, 2, 1));
    assert_eq!(process.count("nobody", Fate::Unmatched).await, 1);
    process.stop().await;
}

// REQ: USE-01
#[tokio::test(flavor = "multi_thread")]
async fn a_meter_counts_from_when_it_was_made() {
    let mut world = World::new();
    let process = world.start().await;
    world.send("e-1", DATA);
    process.settled().await;
    let meters = vec![sum_of_tokens(), counter("calls"), counter("more")];
    world.definitions.put_meters(&tenant("platform"), meters, Terms::default());
    world.send("e-2", DATA);
    process.settled().await;
    assert_eq!(
        (process.shown("calls").await, process.shown("more").await),
        ("2".into(), "1".into())
    );
    process.stop().await;

    // What the seals name counts, whatever is there now.
    world.store = Arc::new(exchequer_readstore::MemoryStore::new(true));
    world.definitions = Arc::new(MemoryDefinitions::default());
    let process = world.start().await;
    process.settled().await;
    assert_eq!(
        (process.shown("calls").await, process.shown("more").await),
        ("2".into(), "1".into())
    );
    process.stop().await;
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn a_record_on_another_partition_is_sent_on_once() {
    let mut world = World::new();
    let process = world.start().await;
    let it = event("acme", "astray", DATA);
    let (own, _) = world.send("astray", DATA);
    let other = PartitionId((own.0 + 1) % PARTITIONS);
    world.send_to(other, &event("acme", "astray", DATA), now());
    world.send_to(other, &it, now());
    process.settled().await;
    // What was sent on is in the log by then.
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "2");
    assert_eq!(process.count("acme", Fate::Forwarded).await, 2);
    assert_eq!(process.count("acme", Fate::Duplicate).await, 2);
    // A forwarded record that is astray again goes no further, nor does one that nobody
    // here sent on.
    let sent_on = world.log.records(own).pop().unwrap();
    world.log.push(other, sent_on);
    process.settled().await;
    assert_eq!(process.count("acme", Fate::Invalid).await, 1);
    process.stop().await;
}

// REQ: USE-03
#[tokio::test(flavor = "multi_thread")]
async fn two_meters_that_fight_change_nothing() {
    let mut world = World::new();
    let one = world.start().await;
    let other = world.start().await;
    for n in 0..500 {
        world.send(&format!("e-{n}"), DATA);
        if n % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    one.stop().await;
    other.settled().await;
    assert_eq!(other.shown("tokens").await, "1000");
    other.stop().await;
    let process = world.start().await;
    process.settled().await;
    assert_eq!(process.shown("tokens").await, "1000");
    process.stop().await;
}

// REQ: USE-03
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_changed_stops_its_partition_and_no_other() {
    let mut world = World::new();
    let process = world.start().await;
    let places: Vec<_> = (0..20).map(|n| world.send(&format!("e-{n}"), DATA)).collect();
    process.settled().await;
    process.stop().await;

    let (damaged, _) = places[0];
    let records = world.log.records(damaged);
    world.log.truncate(damaged, 0);
    for record in &records {
        let text = record.to_vec();
        let at = text.windows(10).position(|it| it == b"\"tokens\":2").unwrap();
        let mut text = text;
        text[at + 9] = b'9';
        world.log.push(damaged, text.into());
    }
    world.store = Arc::new(exchequer_readstore::MemoryStore::new(true));
    let process = world.start().await;
    let sound = PartitionId((damaged.0 + 1) % PARTITIONS);
    let end = world.log.end(sound).await.unwrap();
    assert!(process.meters.wait_for(sound, end, PATIENCE).await);
    let deadline = now().saturating_add(PATIENCE);
    let fault = loop {
        if let Some(fault) = process.meters.state(damaged).fault {
            break fault;
        }
        assert!(now() < deadline);
        tokio::task::yield_now().await;
    };
    assert_eq!(fault.kind, FaultKind::Stopped);
    assert!(fault.message.contains("has another root than its records"), "{}", fault.message);
    process.stop().await;
}

// REQ: OPS-05, KER-20
#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_program_has_claimed_is_not_metered() {
    let mut world = World::new();
    let process = world.start().await;
    let (partition, _) = world.send("e-1", DATA);
    process.settled().await;
    process.stop().await;
    let claim =
        SealClaim { epoch: 2, owner: [9; 16].to_vec().into(), feature_level: FEATURE_LEVEL + 1 };
    world.seals.push(partition, encode_claim(partition, claim));
    let records = world.seals.records(partition).len();
    world.send("e-1-again", DATA);
    let process = world.start().await;
    let fault = async || process.meters.state(partition).fault;
    until(async || fault().await.is_some()).await;
    let fault = fault().await.unwrap();
    assert_eq!(fault.kind, FaultKind::Stopped);
    assert!(fault.message.contains("of feature level 2"), "{}", fault.message);
    process.stop().await;
    assert_eq!(world.seals.records(partition).len(), records, "nothing was written");
}

// REQ: USE-04
#[tokio::test(flavor = "multi_thread")]
async fn time_goes_on_for_whoever_waits() {
    let mut world = World::new();
    let process = world.start().await;
    let at = Timestamp::saturating_from_micros(now().micros() - 3_000_000);
    for partition in (0..PARTITIONS).map(PartitionId) {
        assert!(process.meters.wait_through(partition, at, PATIENCE).await);
    }
    process.stop().await;
}

// REQ: USE-02 USE-03
#[tokio::test(flavor = "multi_thread")]
async fn the_fate_of_an_event_is_told_by_its_id() {
    let mut world = World::new();
    let process = world.start().await;
    let place = world.send("e-1", DATA);
    world.send_as(&event("acme", "other-type", DATA), now());
    process.settled().await;
    let meters = &process.meters;
    let of =
        async |id: &str| meters.fate(&tenant("acme"), ("test", id), None, PATIENCE).await.unwrap();
    let found = of("e-1").await.unwrap();
    assert_eq!((found.partition, found.offset), place);
    assert_eq!((found.fate, found.is_voided), (Fate::Counted, false));
    let keys: Vec<_> = found.contributions.iter().map(|it| it.meter.key.as_str()).collect();
    assert_eq!(keys, ["tokens", "calls"]);
    assert!(of("e-2").await.is_none());
    process.written().await;
    process.stop().await;
    let process = world.start().await;
    let found =
        process.meters.fate(&tenant("acme"), ("test", "e-1"), None, PATIENCE).await.unwrap();
    assert_eq!(found.unwrap().offset, place.1);
    process.stop().await;
}
