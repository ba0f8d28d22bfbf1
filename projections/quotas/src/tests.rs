//! Fold, query and snapshots on the store in memory: in any batches, replayed, and a snapshot
//! loaded at any place and folded on from there.

use std::sync::Arc;

use exchequer_codec::Entry;
use exchequer_domain_quotas::{
    Beyond, ClearedTimer, Counting, Event, Figures, State, Terms, Timer,
};
use exchequer_kernel::{Live as _, Projection as _};
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{LoadLive as _, Loaded, MemoryStore, RowSet};
use exchequer_tenant::Event as Any;
use exchequer_types::{CycleUnit, PartitionId, Quantity, Slug, TenantId, Timestamp};

use crate::{LiveQuotas, MeteredQuota, QUOTAS, QuotasView, TABLES, get, metered};

const VIEW: Suite<QuotasView> = Suite { projection: QuotasView, tables: TABLES };
const DAY: u64 = 86_400;

fn id(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::saturating_from_micros(i64::try_from(seconds).unwrap() * 1_000_000)
}

fn figures(used: u64, reserved: u64) -> Figures {
    Figures { used, reserved, over_since: None }
}

fn limited(feature: &str, limit: Option<u64>, beyond: Beyond, meter: Option<&str>) -> Any {
    let counting = (feature == "queries").then(|| Counting::calendar(CycleUnit::Day));
    let meter = meter.map(slug);
    Any::Quotas(Event::Limited {
        feature: slug(feature),
        window: counting.and_then(|it| it.window_at(at(5))),
        terms: Arc::new(Terms {
            limit,
            beyond,
            counting,
            meter,
            thresholds: vec![50, 80],
            ..Terms::default()
        }),
        figures: figures(0, 0),
        noted: vec![],
    })
}

fn reserved(id: &str, feature: &str, after: Figures) -> Any {
    let (id, feature) = (id.to_owned(), slug(feature));
    Any::Quotas(Event::Reserved { id, feature, amount: 3, expires_at: at(60), figures: after })
}

fn entry(partition: u32, seq: u64, events: Vec<(&str, Any)>) -> Entry {
    Entry::of_events(PartitionId(partition), seq, at(seq), &events)
}

/// Two tenants in one partition, `b` closed in the end; one in another.
fn history() -> Vec<Entry> {
    let quotas = |event| Any::Quotas(event);
    let finalised = |id: &str, after| {
        let (id, feature) = (id.to_owned(), slug("storage"));
        quotas(Event::Finalised { id, feature, amount: 2, figures: after })
    };
    let moved = Event::TimerMoved {
        cleared: Some(ClearedTimer { id: "tmq_1".to_owned(), fired: true }),
        timer: Some(Timer { id: "tmq_2".to_owned(), due: at(9) }),
    };
    let reached = Event::ThresholdReached {
        feature: slug("queries"),
        percent: 80,
        window: None,
        limit: 10,
        held: Quantity::whole(8),
    };
    let released =
        Event::Released { id: "r3".to_owned(), feature: slug("queries"), figures: figures(0, 0) };
    let expired = Event::Expired {
        ids: vec!["r2".to_owned()],
        figures: vec![(slug("storage"), figures(2, 0))],
    };
    let adjusted = Event::Adjusted {
        feature: slug("storage"),
        units: 1,
        reason: "deleted".to_owned(),
        figures: figures(1, 0),
        noted: vec![50],
    };
    let window = Counting::calendar(CycleUnit::Day).window_at(at(DAY)).unwrap();
    let reset = Event::Reset { feature: slug("queries"), window, figures: figures(0, 4) };
    let closed = Event::Closed {
        features: vec![slug("queries"), slug("storage")],
        timer: Some("tmq_2".to_owned()),
    };
    let soft = || limited("queries", Some(10), Beyond::Bill, Some("queries"));
    let hard = || limited("storage", Some(10), Beyond::Refuse, None);
    vec![
        entry(0, 1, vec![("a", hard()), ("a", soft()), ("b", hard())]),
        entry(1, 1, vec![("c", limited("queries", None, Beyond::Allow, Some("queries")))]),
        entry(0, 2, vec![("a", reserved("r1", "storage", figures(0, 3)))]),
        entry(
            0,
            3,
            vec![
                ("a", reserved("r2", "storage", figures(0, 6))),
                ("a", finalised("r1", figures(2, 3))),
                ("b", soft()),
                ("a", Any::Released { reason: "another domain's".to_owned() }),
            ],
        ),
        entry(0, 4, vec![("a", quotas(expired)), ("a", quotas(moved)), ("a", quotas(reached))]),
        entry(0, 5, vec![("b", reserved("r3", "queries", figures(0, 3))), ("b", quotas(released))]),
        entry(
            0,
            6,
            vec![
                ("a", quotas(adjusted)),
                ("a", limited("queries", Some(20), Beyond::Refuse, None)),
            ],
        ),
        entry(0, 7, vec![("a", quotas(reset)), ("b", quotas(closed))]),
        entry(0, 8, vec![("a", quotas(Event::Lifted { feature: slug("queries") }))]),
    ]
}

/// What the domain makes of a tenant's events.
fn from_zero(entries: &[Entry], tenant: &str) -> State {
    let mut state = State::default();
    let events = entries.iter().flat_map(|entry| &entry.commit.events);
    for event in events.filter(|event| event.stream == tenant) {
        let decoded = exchequer_codec::decode_event(&event.stream, &event.r#type, &event.payload);
        if let Ok(Any::Quotas(it)) = decoded {
            state.take_figures(&it);
        }
    }
    state
}

// REQ: KER-06
#[tokio::test]
async fn any_batches_and_a_replay_give_the_same_rows() {
    VIEW.check_batches(&history()).await;
}

// REQ: KER-06
#[tokio::test]
async fn a_batch_cut_off_anywhere_is_made_good_by_a_replay() {
    VIEW.check_cut_offs(&history()).await;
}

fn shown(store: &MemoryStore) -> Vec<String> {
    let rows = store.snapshot(&QUOTAS, GENERATION).into_iter();
    let rows = rows.map(|row| {
        let it = &row.values;
        let numbers = [0, 2, 3, 4].map(|at| it[at].as_int().to_string());
        let [limit, used, reserved, held] = numbers;
        format!(
            "{} {}: {limit} {} used {used} reserved {reserved} held {held} per {} resets {} reached {}",
            row.key.partition[0].as_text(),
            row.key.clustering[0].as_text(),
            it[1].as_text(),
            it[5].as_text(),
            it[7].as_int() / 1_000_000,
            it[10].as_text(),
        )
    });
    rows.map(|row| row.trim_end().to_owned()).collect()
}

// REQ: USE-05, USE-06
#[tokio::test]
async fn a_row_shows_a_limit_and_what_is_taken_of_it() {
    let history = history();
    let store = VIEW.folded(&history[..5]).await;
    let expected = [
        "a queries: 10 bill used 0 reserved 0 held 0 per day resets 86400 reached 80",
        "a storage: 10 refuse used 2 reserved 0 held 2 per  resets 0 reached",
        "b queries: 10 bill used 0 reserved 0 held 0 per day resets 86400 reached",
        "b storage: 10 refuse used 0 reserved 0 held 0 per  resets 0 reached",
        "c queries: -1 allow used 0 reserved 0 held 0 per day resets 86400 reached",
    ];
    assert_eq!(shown(&store), expected);
    let store = VIEW.folded(&history).await;
    let expected = [
        "a storage: 10 refuse used 1 reserved 0 held 1 per  resets 0 reached 50",
        "c queries: -1 allow used 0 reserved 0 held 0 per day resets 86400 reached",
    ];
    assert_eq!(shown(&store), expected);
}

// REQ: USE-06
#[tokio::test]
async fn what_is_measured_is_listed_by_partition() {
    let history = history();
    let of = |tenant: &str| MeteredQuota { tenant: id(tenant), feature: slug("queries") };
    let store = VIEW.folded(&history[..5]).await;
    let list = async |store: &MemoryStore, partition, after: Option<&MeteredQuota>, limit| {
        metered(store, GENERATION, PartitionId(partition), after, limit).await.unwrap()
    };
    assert_eq!(list(&store, 0, None, 10).await, [of("a"), of("b")]);
    assert_eq!(list(&store, 0, None, 1).await, [of("a")]);
    assert_eq!(list(&store, 0, Some(&of("a")), 10).await, [of("b")]);
    assert_eq!(list(&store, 1, None, 10).await, [of("c")]);
    let store = VIEW.folded(&history).await;
    assert_eq!(list(&store, 0, None, 10).await, []);
}

// REQ: USE-05
#[tokio::test]
async fn a_snapshot_loaded_at_any_place_and_folded_on_equals_the_rows() {
    let history = history();
    let last = VIEW.folded(&history).await;
    for loaded_at in 0..=history.len() {
        let store = VIEW.folded(&history[..loaded_at]).await;
        for tenant in ["a", "b", "c", "nobody"] {
            let (key, live) = (id(tenant), LiveQuotas);
            let Loaded { mut snapshot, .. } = live.load(&store, GENERATION, &key).await.unwrap();
            for entry in &history[loaded_at..] {
                if live.keys(entry).contains(&key) {
                    snapshot = live.fold(&key, &snapshot, entry).unwrap();
                }
            }
            let expected = get(&last, GENERATION, &key).await.unwrap();
            let expected = expected.map(|(snapshot, _)| snapshot).unwrap_or_default();
            assert_eq!(snapshot, expected, "{tenant}, loaded at {loaded_at}");
            assert_eq!(snapshot, from_zero(&history, tenant));
            assert!(live.weight(&snapshot) > 0);
        }
    }
}

fn failure(entry: &Entry) -> Option<String> {
    let mut rows = RowSet::default();
    QuotasView.fold(entry, &mut rows);
    rows.failure().map(str::to_owned)
}

fn with_type(kind: &str, payload: &'static [u8]) -> Entry {
    let mut entry = entry(4, 9, vec![("a", limited("storage", None, Beyond::Allow, None))]);
    let commit = Arc::make_mut(&mut entry.commit);
    kind.clone_into(&mut commit.events[0].r#type);
    commit.events[0].payload = payload.into();
    entry
}

// REQ: KER-10
#[test]
fn what_is_not_understood_stops_the_view() {
    let unknown = failure(&with_type("quotas.doubled.v1", b"")).unwrap();
    let expected = "partition 4, offset 9: event 0 (quotas.doubled.v1): ";
    assert!(unknown.starts_with(expected), "{unknown}");
    assert!(failure(&with_type("quotas.reserved.v1", b"\xff")).is_some());
    let entry = with_type("quotas.doubled.v1", b"");
    assert!(LiveQuotas.fold(&id("a"), &State::default(), &entry).is_err());
    for other in ["audit.appended.v1", "quotas.timer-moved.v1", "billing.paid.v7"] {
        assert_eq!(failure(&with_type(other, b"\xff")), None, "{other}");
    }
}
