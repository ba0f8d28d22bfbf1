//! Fold and query on the store in memory, with entries that the tenant root
//! would write, and with rows that a store does not show yet.

use std::sync::Arc;

use exchequer_codec::Entry;
use exchequer_kernel::Projection as _;
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{Batch, Fault, MemoryStore, ReadStore as _, RowSet};
use exchequer_types::{Hash, Json, PartitionId, TenantId, Timestamp};

use crate::{
    AUDIT_ENTRIES, AuditEntry, AuditView, Filter, PAGE_BYTES_MAX, Page, ROWS_EXAMINED_MAX, TABLES,
    after, list,
};

const VIEW: Suite<AuditView> = Suite { projection: AuditView, tables: TABLES };

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::saturating_from_micros(i64::try_from(seconds).unwrap() * 1_000_000)
}

/// What an entry tells, for the tests.
#[derive(Clone)]
struct Told {
    action: &'static str,
    actor: &'static str,
    resource: (&'static str, &'static str),
    recorded: Timestamp,
    context: Json,
}

fn told(seconds: u64) -> Told {
    Told {
        action: "invoice.read",
        actor: "u-1",
        resource: ("invoice", "i-1"),
        recorded: at(seconds),
        context: Json::Null,
    }
}

fn leaf(seq: u64, told: &Told) -> String {
    let text = |value: &str| Json::text(value);
    let json = Json::object([
        ("action", text(told.action)),
        ("actor", text(told.actor)),
        ("after", Json::object([("actor", text("not this one"))])),
        ("before", Json::Null),
        ("command", Json::object([("id", text("c-\"9\"")), ("issuer", text("api"))])),
        ("context", told.context.clone()),
        ("outcome", text("accepted")),
        ("prev", text(&Hash::ZERO.to_hex())),
        (
            "resource",
            Json::object([("id", text(told.resource.1)), ("type", text(told.resource.0))]),
        ),
        ("seq", Json::Int(i64::try_from(seq).unwrap())),
        ("tenant", text("acme")),
        (
            "time",
            Json::object([
                ("claimed", text(&at(1).to_string())),
                ("recorded", text(&told.recorded.to_string())),
            ]),
        ),
        ("v", Json::Int(1)),
    ]);
    json.canonical()
}

/// A commit at `now` seconds with entries from `first_seq` on.
fn entry(seq: u64, now: u64, first_seq: u64, entries: &[Told]) -> Entry {
    let audit = (first_seq..).zip(entries).map(|(seq, told)| pb::AuditEntry {
        input: 0,
        tenant: "acme".to_owned(),
        seq,
        leaf: leaf(seq, told).into_bytes().into(),
    });
    let commit =
        pb::Commit { seq, now: at(now).micros(), audit: audit.collect(), ..pb::Commit::default() };
    Entry { partition: PartitionId(0), offset: seq, hash: Hash::ZERO, commit: Arc::new(commit) }
}

/// Five entries in three commits. The timer behind entry 4 was due long before.
fn history() -> Vec<Entry> {
    let late = Told { action: "tenant.closed", actor: "timer", ..told(15) };
    vec![
        entry(1, 10, 1, &[told(10), Told { actor: "u-2", ..told(10) }]),
        entry(2, 20, 3, &[Told { resource: ("plan", "i-1"), ..told(20) }]),
        entry(3, 30, 4, &[late, Told { resource: ("plan", "p-\"é\""), ..told(30) }]),
    ]
}

/// A store that does not show the entry `seq`.
async fn without(seq: i64) -> MemoryStore {
    let store = MemoryStore::new(false);
    let mut rows = VIEW.writes(&store, &history()).await;
    rows.retain(|write| write.key.clustering[0].as_int() != seq);
    store.write(Batch { rows, last: Vec::new() }).await.unwrap();
    store
}

fn seqs(entries: &[AuditEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq).collect()
}

async fn page(
    store: &MemoryStore,
    filter: &Filter,
    before: Option<u64>,
    limit: usize,
) -> Result<Page, Fault> {
    list(store, GENERATION, &acme(), filter.into(), before, limit).await
}

/// All pages, each as its seqs.
async fn pages(store: &MemoryStore, filter: &Filter, limit: usize) -> Vec<Vec<u64>> {
    let mut out = Vec::new();
    let mut before = None;
    loop {
        let page = page(store, filter, before, limit).await.unwrap();
        out.push(seqs(&page.entries));
        before = page.next;
        if before.is_none() {
            return out;
        }
    }
}

// REQ: KER-06
#[tokio::test]
async fn any_batches_and_a_replay_give_the_same_rows() {
    VIEW.check_batches(&history()).await;
    let rows = VIEW.folded(&history()).await.snapshot(&AUDIT_ENTRIES, GENERATION);
    assert_eq!(rows.len(), 5);
}

// REQ: KER-06
#[tokio::test]
async fn a_batch_cut_off_anywhere_is_made_good_by_a_replay() {
    VIEW.check_cut_offs(&history()).await;
}

// REQ: AUD-02
#[tokio::test]
async fn an_entry_comes_back_as_it_was_written() {
    let store = VIEW.folded(&history()).await;
    let found = after(&store, GENERATION, &acme(), 4, 9).await.unwrap();
    let written = Told { resource: ("plan", "p-\"é\""), ..told(30) };
    let expected = AuditEntry {
        tenant: "acme".to_owned(),
        seq: 5,
        recorded_at: at(30),
        claimed_at: at(1),
        committed_at: at(30),
        actor: "u-1".to_owned(),
        action: "invoice.read".to_owned(),
        resource_type: "plan".to_owned(),
        resource_id: "p-\"é\"".to_owned(),
        command_id: "c-\"9\"".to_owned(),
        issuer: "api".to_owned(),
        prev: Hash::ZERO.to_hex(),
        json: leaf(5, &written),
    };
    assert_eq!(found, [expected]);
}

#[tokio::test]
async fn pages_are_newest_first_and_whole() {
    let store = VIEW.folded(&history()).await;
    let all = Filter::default();
    assert_eq!(pages(&store, &all, 2).await, [vec![5, 4], vec![3, 2], vec![1]]);
    assert_eq!(pages(&store, &all, 5).await, [[5, 4, 3, 2, 1]]);
    assert_eq!(pages(&store, &all, 0).await.len(), 5);
    let nobody = TenantId::parse("nobody").unwrap();
    let empty = list(&store, GENERATION, &nobody, (&all).into(), None, 5).await.unwrap();
    assert_eq!(empty, Page::default());
    assert_eq!(page(&store, &all, Some(1), 5).await.unwrap(), Page::default());
}

#[tokio::test]
async fn each_part_of_the_filter_narrows_the_list() {
    let store = VIEW.folded(&history()).await;
    let text = |value: &str| Some(value.to_owned());
    let all = Filter::default;
    let cases = [
        (Filter { actor: text("u-2"), ..all() }, vec![2]),
        (Filter { action: text("tenant.closed"), ..all() }, vec![4]),
        (Filter { resource_type: text("plan"), ..all() }, vec![5, 3]),
        (Filter { resource_id: text("i-1"), ..all() }, vec![4, 3, 2, 1]),
        (Filter { resource_type: text("plan"), resource_id: text("i-1"), ..all() }, vec![3]),
        // Entry 4 was recorded at 15, behind entry 3 of 20.
        (Filter { from: Some(at(15)), to: Some(at(20)), ..all() }, vec![4]),
        (Filter { from: Some(at(20)), ..all() }, vec![5, 3]),
        (Filter { to: Some(at(20)), ..all() }, vec![4, 2, 1]),
        (Filter { actor: text("u-3"), ..all() }, vec![]),
    ];
    for (filter, expected) in cases {
        for limit in 1..=5 {
            assert_eq!(pages(&store, &filter, limit).await.concat(), expected, "{filter:?}");
        }
    }
}

#[tokio::test]
async fn a_call_examines_a_bounded_number_of_rows() {
    let count = ROWS_EXAMINED_MAX + 200;
    let mut entries = vec![told(10); count];
    entries[7].actor = "u-9";
    let store = VIEW.folded(&[entry(1, 10, 1, &entries)]).await;
    let filter = Filter { actor: Some("u-9".to_owned()), ..Filter::default() };
    let first = page(&store, &filter, None, 10).await.unwrap();
    assert_eq!((first.entries.len(), first.next), (0, Some(201)));
    let second = page(&store, &filter, first.next, 10).await.unwrap();
    assert_eq!((seqs(&second.entries), second.next), (vec![8], None));
    let late = Filter { from: Some(at(11)), ..filter };
    assert_eq!(page(&store, &late, None, 10).await.unwrap(), Page::default());
}

#[tokio::test]
async fn a_page_ends_when_it_is_large() {
    let large = Told { context: Json::text("x".repeat(PAGE_BYTES_MAX / 3)), ..told(10) };
    let store = VIEW.folded(&[entry(1, 10, 1, &vec![large; 5])]).await;
    assert_eq!(pages(&store, &Filter::default(), 5).await, [vec![5, 4, 3], vec![2, 1]]);
    let first = after(&store, GENERATION, &acme(), 0, 5).await.unwrap();
    assert_eq!(seqs(&first), [1, 2, 3]);
}

// REQ: AUD-12
#[tokio::test]
async fn a_tail_never_passes_an_entry_that_is_not_visible_yet() {
    let store = without(3).await;
    let tail =
        async |seq, limit| seqs(&after(&store, GENERATION, &acme(), seq, limit).await.unwrap());
    assert_eq!(tail(0, 9).await, [1, 2]);
    assert_eq!(tail(2, 9).await, Vec::<u64>::new());
    VIEW.fold(&store, &history()).await;
    assert_eq!(tail(2, 2).await, [3, 4]);
    assert_eq!(tail(4, 9).await, [5]);
    assert_eq!(tail(5, 9).await, Vec::<u64>::new());
}

#[tokio::test]
async fn a_tail_goes_on_over_many_rows() {
    let store = VIEW.folded(&[entry(1, 10, 1, &vec![told(10); 300])]).await;
    let found = after(&store, GENERATION, &acme(), 10, 270).await.unwrap();
    assert_eq!(seqs(&found), (11..=280).collect::<Vec<_>>());
}

// REQ: AUD-12
#[tokio::test]
async fn a_list_never_passes_an_entry_that_is_not_visible_yet() {
    let all = Filter::default();
    assert_eq!(pages(&without(3).await, &all, 9).await, [[2, 1]]);
    assert_eq!(pages(&without(5).await, &all, 9).await, [[4, 3, 2, 1]]);
    assert_eq!(pages(&without(1).await, &all, 9).await, [Vec::<u64>::new()]);
    for (hidden, before) in [(3, 4), (1, 2), (3, 5)] {
        let fault = page(&without(hidden).await, &all, Some(before), 9).await.unwrap_err();
        assert!(fault.retryable && fault.message.contains(&format!("entry {hidden} ")), "{fault}");
    }
}

fn failure(leaf: &[u8]) -> Option<String> {
    let mut entry = entry(9, 10, 1, &[told(10)]);
    Arc::make_mut(&mut entry.commit).audit[0].leaf = leaf.to_vec().into();
    let mut rows = RowSet::default();
    AuditView.fold(&entry, &mut rows);
    rows.failure().map(str::to_owned)
}

// REQ: KER-10
#[test]
fn what_is_not_understood_stops_the_view() {
    let good = leaf(1, &told(10));
    assert_eq!(failure(good.as_bytes()), None);
    let newer = failure(good.replace("\"v\":1", "\"v\":2").as_bytes()).unwrap();
    assert!(newer.contains("offset 9, audit entry 1 of tenant \"acme\": form 2"), "{newer}");
    let cut = failure(&good.as_bytes()[..good.len() - 1]).unwrap();
    assert!(cut.contains("not an audit entry"), "{cut}");
    let time = failure(good.replace("00Z", "99Z").replace("10Z", "99Z").as_bytes()).unwrap();
    assert!(time.contains("2026-01-31T12:00:00Z"), "{time}");
    assert!(failure(b"\xff").unwrap().contains("UTF-8"));
}

#[test]
fn reads_may_cross_threads() {
    fn is_send(_: impl Send) {}
    let store = MemoryStore::new(true);
    let (tenant, filter) = (acme(), Filter::default());
    is_send(list(&store, GENERATION, &tenant, (&filter).into(), None, 1));
    is_send(after(&store, GENERATION, &tenant, 0, 1));
}
