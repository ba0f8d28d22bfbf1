//! Where rows lie: what is read of a long range, and rows that several windows share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use exchequer_metering::{Aggregation, Contribution, Meter};
use exchequer_readstore::{
    Batch, Fault, Generation, Key, Keys, MemoryStore, ReadStore, Row, Scan, Table,
};
use exchequer_types::{PartitionId, Period};
use futures::future::BoxFuture;

use super::figures::{ask, asked, given};
use super::harness::{Platform, at, contribution, meter, tenant};
use crate::{Checkpoint, Kept, LiveUsage, Query, Step, USAGE_SEALS, flush, query};

/// Counts how often rows are asked for.
#[derive(Debug)]
struct Counting<'a> {
    store: &'a MemoryStore,
    scans: AtomicUsize,
    /// Those of rows by their keys.
    gets: AtomicUsize,
}

impl<'a> Counting<'a> {
    fn new(store: &'a MemoryStore) -> Self {
        Self { store, scans: AtomicUsize::new(0), gets: AtomicUsize::new(0) }
    }
}

impl ReadStore for Counting<'_> {
    fn is_atomic(&self) -> bool {
        self.store.is_atomic()
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
        self.store.write(batch)
    }

    fn get(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> BoxFuture<'_, Result<Option<Row>, Fault>> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.store.get(table, generation, key)
    }

    fn get_many(&self, keys: Keys) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.store.get_many(keys)
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        self.store.scan(scan)
    }

    fn drop_generation(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        self.store.drop_generation(table, generation)
    }
}

// REQ: USE-04
#[tokio::test]
async fn a_range_of_a_hundred_years_costs_no_more_than_the_years_in_use() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let meter = meter(Aggregation::Count, &[], 1);
    for time in ["2024-03-01T10:10:00Z", "2026-01-05T10:20:00Z"] {
        let mut event = contribution(&meter, &given(time, "s1", "", 1), 0);
        event.period = None;
        platform.seal(0, vec![event]);
        platform.write(0, None).await;
    }
    let elsewhere = LiveUsage::new(platform.live.partitions());
    let store = Counting::new(&platform.store);
    let figures = async |from: &str, to: &str| {
        store.scans.store(0, Ordering::Relaxed);
        let asked = asked(&tenant, from, to, Step::Whole);
        let answer = query(&store, &elsewhere, &asked).await.unwrap();
        let count = answer.windows.first().and_then(|it| it.groups[0].figure);
        (count.map(|it| it.to_string()), store.scans.load(Ordering::Relaxed))
    };
    let told = |count: &str| Some(count.to_owned());
    let all = figures("1970-01-01T00:00:00Z", "2070-01-01T00:00:00Z").await;
    // Rows of 13 weeks lie together.
    assert_eq!(all, (told("2"), 8));
    let early = figures("1970-01-01T00:00:00Z", "2024-03-02T00:00:00Z").await;
    assert_eq!(early, (told("1"), 1));
    let late = figures("2024-03-02T00:00:00Z", "2070-01-01T00:00:00Z").await;
    assert_eq!(late.0, told("1"));
    let none = figures("2027-06-01T00:00:00Z", "2060-01-01T00:00:00Z").await;
    assert_eq!(none, (None, 0));
}

/// Whatever its meters, windows, groups and subjects: one question, and rows of one partition
/// of the store.
// REQ: USE-04
#[tokio::test]
async fn what_a_tenant_with_little_use_adds_lies_in_one_place() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let later = Meter { version: 2, ..meter(Aggregation::Max, &[], 1).as_ref().clone() };
    let meters = [meter(Aggregation::Count, &["region"], 10), Arc::new(later)];
    let (start, end) = (at("2026-02-15T00:00:00Z"), at("2026-03-15T00:00:00Z"));
    let event = |meter| Contribution {
        period: Some(Period { start, end }),
        ..contribution(meter, &given("2026-02-20T10:10:00Z", "s1", "eu", 4), 0)
    };
    for round in 1..=2 {
        platform.seal(0, meters.iter().map(event).collect());
        let segment = platform.live.source(PartitionId(0)).unwrap().freeze().unwrap();
        let store = Counting::new(&platform.store);
        let mut checkpoint = Checkpoint { seal: segment.to(), ..Checkpoint::default() };
        let batch = flush(&store, &segment, &mut checkpoint).await.unwrap();
        // The checkpoint is the other one.
        assert_eq!(store.gets.into_inner(), 2, "round {round}");
        assert_eq!(store.scans.into_inner(), 0, "round {round}");
        let rows = batch.rows.iter().filter(|row| row.table.name != USAGE_SEALS.name);
        let places: BTreeSet<_> =
            rows.map(|row| (row.table.name, row.key.partition.clone())).collect();
        assert_eq!(places.len(), 1, "{places:?}");
        platform.store.write(batch).await.unwrap();
        platform.live.source(PartitionId(0)).unwrap().written(segment.to());
    }
    let elsewhere = LiveUsage::new(platform.live.partitions());
    let store = Counting::new(&platform.store);
    let (from, to) = ("2026-02-20T00:00:00Z", "2026-02-21T00:00:00Z");
    let asked = Query { by_subject: true, ..asked(&tenant, from, to, Step::Of(Kept::Day)) };
    let answer = query(&store, &elsewhere, &Query { version: Some(1), ..asked }).await.unwrap();
    let figure = answer.windows[0].groups[0].figure.map(|it| it.to_string());
    assert_eq!((figure.as_deref(), store.scans.into_inner()), (Some("2"), 1));
}

/// A period that was moved has the start of the one before.
// REQ: USE-04 KER-06
#[tokio::test]
async fn periods_that_differ_in_their_ends_lose_nothing_of_each_other() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let meter = meter(Aggregation::Count, &["region"], 5_000);
    let event = |n: usize, end: &str| {
        let mut event =
            contribution(&meter, &given("2026-01-05T10:10:00Z", "s1", &format!("g{n}"), 1), 0);
        event.period = Some(Period { start: at("2026-01-01T00:00:00Z"), end: at(end) });
        event
    };
    let (short, long) = ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
    // More than the row that both share has room for.
    platform.seal(0, (0..1_100).map(|n| event(n, short)).collect());
    platform.write(0, None).await;
    platform.seal(0, [(1_050, short), (1_060, long)].map(|(n, end)| event(n, end)).to_vec());
    platform.write(0, None).await;
    let (from, to) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let group_by = vec!["region".to_owned()];
    let asked = Query { group_by, top: 5_000, ..asked(&tenant, from, to, Step::Of(Kept::Period)) };
    let answer = ask(&platform, &asked).await;
    let [figures] = answer.windows.as_slice() else { panic!("a period is known by its start") };
    let of = |group: &str| {
        let group = figures.groups.iter().find(|it| it.values == [group]);
        group.and_then(|it| it.figure).map(|it| it.to_string())
    };
    let told = [of("g7"), of("g1050"), of("g1060")].map(Option::unwrap_or_default);
    assert_eq!(told, ["1", "2", "2"]);
}
