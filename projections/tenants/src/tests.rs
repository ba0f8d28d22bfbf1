//! Fold and query on the store in memory: in any batches, replayed, and cut off
//! between any two rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_codec::{Entry, event_types};
use exchequer_domain_tenants::{Event, State, Tenant, Tenants};
use exchequer_kernel::{Decider as _, Projection as _};
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{Batch, Key, MemoryStore, ReadStore as _, RowSet, Value, Write};
use exchequer_types::{PartitionId, ProviderProfile, TenantId, TenantStatus, Timestamp};

use crate::{ChildCounts, TABLES, TENANTS, TenantsView, effective_settings, get, list};

const VIEW: Suite<TenantsView> = Suite { projection: TenantsView, tables: TABLES };

fn id(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::saturating_from_micros(i64::try_from(seconds).unwrap() * 1_000_000)
}

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn created(tenant: &str, parent: Option<&str>, own: &[(&str, &str)]) -> Event {
    Event::Created {
        id: id(tenant),
        parent: parent.map(id),
        parent_version: 1,
        depth: u32::from(parent.is_some()),
        name: format!("{tenant} Ltd \"é\""),
        settings: settings(own),
        provider: parent.is_none(),
        test_clock: (tenant == "d").then(|| at(50)),
    }
}

fn reason(text: &str) -> String {
    text.to_owned()
}

fn entry(partition: u32, seq: u64, events: Vec<(&str, Event)>) -> Entry {
    let events: Vec<_> = events
        .into_iter()
        .map(|(stream, event)| (stream, exchequer_tenant::Event::Tenants(event)))
        .collect();
    Entry::of_events(PartitionId(partition), seq, at(seq), &events)
}

/// Two partitions; `b` is closed while suspended, `c` while active.
fn history() -> Vec<Entry> {
    let closed = || Event::Closed { reason: reason("gone"), timer: None, by_timer: false };
    let suspended = || Event::Suspended { reason: reason("unpaid") };
    let profile = ProviderProfile {
        id: id("platform"),
        version: 1,
        parent: None,
        depth: 0,
        status: TenantStatus::Active,
        settings: BTreeMap::new(),
    };
    let root = created("platform", None, &[("locale", "en"), ("tone", "dry")]);
    vec![
        entry(
            0,
            1,
            vec![("platform", root), ("platform", Event::ProviderProfiled(profile.clone()))],
        ),
        entry(1, 1, vec![("~partition-1", Event::ProviderAdopted(profile))]),
        entry(
            1,
            2,
            vec![
                ("a", created("a", Some("platform"), &[("locale", "vi")])),
                ("a", Event::Promoted),
            ],
        ),
        entry(0, 2, vec![("b", created("b", Some("a"), &[])), ("c", created("c", Some("a"), &[]))]),
        entry(0, 3, vec![("b", suspended()), ("c", suspended())]),
        entry(0, 4, vec![("c", Event::Reinstated), ("b", Event::Renamed { name: reason("B2") })]),
        entry(1, 3, vec![("d", created("d", Some("a"), &[("tone", "warm")])), ("d", suspended())]),
        entry(
            0,
            5,
            vec![
                ("b", Event::ClosingScheduled { timer: reason("tmr_1"), at: at(90) }),
                ("b", closed()),
                ("c", Event::SettingsChanged { set: settings(&[("x", "1")]), unset: vec![] }),
                ("c", closed()),
            ],
        ),
        entry(
            1,
            4,
            vec![
                ("d", Event::ClosingScheduled { timer: reason("tmr_2"), at: at(80) }),
                ("d", Event::ClockAdvanced { to: at(60) }),
            ],
        ),
    ]
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

// REQ: KER-14, BIL-30
#[tokio::test]
async fn a_row_is_what_the_domain_makes_of_the_events() {
    let store = VIEW.folded(&history()).await;
    for tenant in ["platform", "a", "b", "c", "d"] {
        let mut state = State::default();
        for entry in history() {
            for event in &entry.commit.events {
                let decoded =
                    exchequer_codec::decode_event(&event.stream, &event.r#type, &event.payload);
                if let (true, Ok(exchequer_tenant::Event::Tenants(it))) =
                    (event.stream == tenant, decoded)
                {
                    Tenants::evolve(&mut state, &it, Timestamp::saturating_from_micros(event.at));
                }
            }
        }
        let listed = get(&store, GENERATION, &id(tenant)).await.unwrap();
        assert_eq!(listed.map(|it| it.tenant), state.tenant, "{tenant}");
        let clock = state.tenant.and_then(|tenant| tenant.clock);
        assert_eq!(clock, (tenant == "d").then(|| at(60)), "{tenant}");
    }
}

// REQ: KER-06
#[tokio::test]
async fn children_are_counted_over_all_partitions() {
    let store = VIEW.folded(&history()).await;
    let children =
        async |tenant: &str| get(&store, GENERATION, &id(tenant)).await.unwrap().unwrap().children;
    assert_eq!(children("a").await, ChildCounts { active: 0, suspended: 1, closed: 2 });
    assert_eq!(children("platform").await, ChildCounts { active: 1, ..ChildCounts::default() });
    assert_eq!(children("b").await, ChildCounts::default());
    assert_eq!(get(&store, GENERATION, &id("nobody")).await.unwrap(), None);
}

async fn pages(store: &MemoryStore, limit: usize, statuses: &[TenantStatus]) -> Vec<Vec<String>> {
    let is_wanted = |it: &Tenant| statuses.is_empty() || statuses.contains(&it.status);
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page =
            list(store, GENERATION, &id("a"), after.as_ref(), limit, &is_wanted).await.unwrap();
        pages.push(page.tenants.iter().map(|it| it.tenant.id.to_string()).collect());
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

#[tokio::test]
async fn children_are_listed_by_id_page_by_page() {
    let store = VIEW.folded(&history()).await;
    assert_eq!(pages(&store, 2, &[]).await, [vec!["b", "c"], vec!["d"]]);
    assert_eq!(pages(&store, 3, &[]).await, [["b", "c", "d"]]);
    assert_eq!(pages(&store, 0, &[]).await, [["b"], ["c"], ["d"]]);
    assert_eq!(pages(&store, 1, &[TenantStatus::Closed]).await, [["b"], ["c"]]);
    assert_eq!(pages(&store, 9, &[TenantStatus::Suspended]).await, [["d"]]);
    assert_eq!(pages(&store, 9, &[TenantStatus::Active]).await, [Vec::<String>::new()]);
    let roots = list(&store, GENERATION, &id("platform"), None, 9, &|_| true).await.unwrap();
    assert_eq!(roots.tenants[0].children, ChildCounts { active: 0, suspended: 1, closed: 2 });
}

#[tokio::test]
async fn a_long_filtered_list_comes_in_short_pages() {
    let events: Vec<(String, Event)> = (0..crate::ROWS_EXAMINED_MAX + 500)
        .map(|number| format!("t-{number:05}"))
        .map(|name| (name.clone(), created(&name, Some("a"), &[])))
        .collect();
    let events = events.iter().map(|(name, event)| (name.as_str(), event.clone())).collect();
    let last = ("t-05499", Event::Suspended { reason: reason("") });
    let store = VIEW.folded(&[entry(0, 1, events), entry(0, 2, vec![last])]).await;
    let pages = pages(&store, 10, &[TenantStatus::Suspended]).await;
    assert_eq!(pages, [vec![], vec!["t-05499"]]);
}

// REQ: IAM-15
#[tokio::test]
async fn settings_in_force_come_from_the_nearest_that_set_them() {
    let store = VIEW.folded(&history()).await;
    let found = effective_settings(&store, GENERATION, &id("d")).await.unwrap().unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|(key, it)| (key.as_str(), it.value.as_str(), it.source.as_str()))
        .collect();
    assert_eq!(found, [("locale", "vi", "a"), ("tone", "warm", "d")]);
    assert_eq!(effective_settings(&store, GENERATION, &id("nobody")).await.unwrap(), None);
}

fn failure(entry: &Entry) -> Option<String> {
    let mut rows = RowSet::default();
    TenantsView.fold(entry, &mut rows);
    rows.failure().map(str::to_owned)
}

fn renamed_to(kind: &str, payload: &'static [u8]) -> Entry {
    let mut entry = entry(4, 9, vec![("a", created("a", None, &[]))]);
    let commit = Arc::make_mut(&mut entry.commit);
    kind.clone_into(&mut commit.events[0].r#type);
    commit.events[0].payload = payload.into();
    entry
}

// REQ: KER-10
#[tokio::test]
async fn what_is_not_understood_stops_the_view() {
    let unknown = failure(&renamed_to("tenants.merged.v1", b"")).unwrap();
    assert!(
        unknown.starts_with("partition 4, offset 9, event 0 (tenants.merged.v1): "),
        "{unknown}"
    );
    assert!(failure(&renamed_to("tenants.created.v1", b"\xff")).is_some());
    let never = failure(&renamed_to("tenants.renamed.v1", b"")).unwrap();
    assert!(never.contains("never created"), "{never}");
    for other in ["audit.appended.v1", "kernel.timer-set.v1", "billing.paid.v7"] {
        assert_eq!(failure(&renamed_to(other, b"\xff")), None, "{other}");
    }
    assert!(crate::fold::PASSED_OVER.iter().all(|kind| event_types().contains(kind)));
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let store = MemoryStore::new(true);
    let mut values = vec![Value::text(""); 14];
    for index in [3, 4, 6, 7, 8, 10, 13] {
        values[index] = Value::Int(0);
    }
    let key = Key { partition: vec![Value::text("a")], clustering: vec![] };
    let row =
        Write { table: &TENANTS, generation: GENERATION, key, values: Some(values), timestamp: 1 };
    store.write(Batch { rows: vec![row], last: vec![] }).await.unwrap();
    let fault = get(&store, GENERATION, &id("a")).await.unwrap_err();
    assert!(!fault.retryable && fault.message.contains("status"), "{fault}");
}

#[tokio::test]
async fn what_is_folded_anew_ignores_the_generation_before() {
    let store = VIEW.folded(&history()).await;
    let found: Option<Tenant> =
        get(&store, GENERATION + 1, &id("a")).await.unwrap().map(|it| it.tenant);
    assert_eq!(found, None);
}

#[test]
fn reads_may_cross_threads() {
    fn is_send(_: impl Send) {}
    let store = MemoryStore::new(true);
    let root = TenantId::platform();
    is_send(list(&store, GENERATION, &root, None, 1, &|_| true));
    is_send(effective_settings(&store, GENERATION, &root));
}
