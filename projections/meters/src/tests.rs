//! Fold, query and snapshots on the store in memory: in any batches, replayed, and a
//! snapshot loaded at any place and folded on from there.

use std::collections::BTreeMap;

use exchequer_codec::Entry;
use exchequer_domain_subscriptions::{Counted, EndReason, Event as S, LifePeriod, PeriodKind};
use exchequer_domain_tenants as tenants;
use exchequer_domain_usage::{Backfill, Correction, Event as U};
use exchequer_kernel::Projection as _;
use exchequer_metering::{Aggregation, Meter as Rules, Path, Terms};
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{LoadLive, MemoryStore};
use exchequer_tenant::Event as Any;
use exchequer_types::{
    ActorId, Anchor, Cycle, PartitionId, Period, Slug, TenantId, Timestamp, Zone,
};

use crate::{
    Definitions, LiveMeters, LiveTerms, MetersView, PERIODS_MAX, TABLES, TenantTerms, concerns,
    get_definitions, get_event_schema_version, get_meter_version, get_terms,
};

const VIEW: Suite<MetersView> = Suite { projection: MetersView, tables: TABLES };

fn id(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::saturating_from_micros(i64::try_from(seconds).unwrap() * 1_000_000)
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn entry(partition: u32, seq: u64, events: Vec<(&str, Any)>) -> Entry {
    Entry::of_events(PartitionId(partition), seq, at(seq), &events)
}

fn rules(key: &str, version: u32) -> Rules {
    Rules {
        key: slug(key),
        version,
        event_type: "request".to_owned(),
        aggregation: Aggregation::Sum,
        value: Some(Path::parse("$.tokens").unwrap()),
        group_by: Vec::new(),
        filters: Vec::new(),
        unit: format!("v{version}"),
        groups_max: 10,
    }
}

fn created(tenant: &str, parent: Option<&str>, settings: &[(&str, &str)]) -> Any {
    Any::Tenants(tenants::Event::Created {
        id: id(tenant),
        parent: parent.map(id),
        parent_version: 1,
        depth: 1,
        name: tenant.to_owned(),
        settings: texts(settings),
        provider: false,
        test_clock: None,
    })
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn settings(set: &[(&str, &str)], unset: &[&str]) -> Any {
    let unset = unset.iter().map(|it| (*it).to_owned()).collect();
    Any::Tenants(tenants::Event::SettingsChanged { set: texts(set), unset })
}

fn made(key: &str) -> Any {
    Any::Usage(U::MeterCreated { rules: rules(key, 1) })
}

fn updated(key: &str, version: u32) -> Any {
    Any::Usage(U::MeterUpdated { rules: rules(key, version) })
}

fn backfill(key: &str, from: u64) -> Any {
    let backfill =
        Backfill { id: format!("bfl_{from}"), from: at(from), until: None, requested_at: at(9) };
    Any::Usage(U::BackfillRequested { meter: slug(key), version: 2, backfill })
}

fn schema(kind: &str, version: u32, text: &str) -> Any {
    Any::Usage(U::EventSchemaSet { kind: kind.to_owned(), version, text: text.to_owned() })
}

fn corrected() -> Any {
    Any::Usage(U::EventCorrected(Correction {
        id: "cor_1".to_owned(),
        source: "/api".to_owned(),
        event: "e-1".to_owned(),
        data: None,
        reason: "wrong".to_owned(),
        actor: ActorId::parse("u-1").unwrap(),
    }))
}

fn monthly(index: u32, start: &str, end: &str) -> LifePeriod {
    let anchor = Anchor::of(time("2026-01-31T00:00:00Z"), Zone::default());
    let counted = Counted { anchor, cycle: Cycle::MONTH, boundary: index + 1 };
    let (start, end) = (time(start), Some(time(end)));
    LifePeriod { index, kind: PeriodKind::Paid, start, end, counted: Some(counted) }
}

fn renewed(period: LifePeriod) -> Any {
    Any::Subscriptions(S::Renewed { period })
}

const JANUARY: &str = "2026-01-31T00:00:00Z";
const FEBRUARY: &str = "2026-02-28T00:00:00Z";
const MARCH: &str = "2026-03-31T00:00:00Z";

/// Two providers with a meter of the same key, and a customer that renews.
fn history() -> Vec<Entry> {
    let retired = Any::Usage(U::MeterRetired { meter: slug("calls") });
    let unset = Any::Usage(U::EventSchemaRetired { kind: "call".to_owned() });
    let lateness = [("usage.lateness-minutes", "5"), ("timezone", "UTC")];
    vec![
        entry(0, 1, vec![("vendor", created("vendor", Some("platform"), &lateness))]),
        entry(
            1,
            1,
            vec![("other", created("other", Some("platform"), &[])), ("other", made("calls"))],
        ),
        entry(0, 2, vec![("vendor", made("calls")), ("vendor", made("tokens"))]),
        entry(0, 4, vec![("vendor", updated("tokens", 2)), ("vendor", backfill("tokens", 3))]),
        entry(
            0,
            5,
            vec![("vendor", schema("request", 1, "{}")), ("vendor", schema("call", 1, "{}"))],
        ),
        entry(1, 2, vec![("other", schema("request", 1, "{\"a\":1}"))]),
        entry(0, 6, vec![("vendor", schema("request", 2, "{\"b\":2}")), ("vendor", unset)]),
        entry(0, 7, vec![("vendor", retired), ("acme", created("acme", Some("vendor"), &[]))]),
        entry(
            0,
            8,
            vec![("vendor", corrected()), ("acme", renewed(monthly(0, JANUARY, FEBRUARY)))],
        ),
        entry(0, 9, vec![("acme", renewed(monthly(1, FEBRUARY, MARCH)))]),
        entry(1, 3, vec![("other", settings(&[("usage.behind-days", "9")], &[]))]),
        entry(0, 10, vec![("vendor", settings(&[("name", "x")], &["usage.lateness-minutes"]))]),
    ]
}

async fn definitions(store: &MemoryStore, tenant: &str) -> Definitions {
    get_definitions(store, GENERATION, &id(tenant)).await.unwrap()
}

async fn terms(store: &MemoryStore, tenant: &str) -> TenantTerms {
    get_terms(store, GENERATION, &id(tenant)).await.unwrap()
}

// REQ: KER-13
#[tokio::test]
async fn rows_are_the_same_in_any_batches_and_behind_any_cut() {
    VIEW.check_batches(&history()).await;
    VIEW.check_cut_offs(&history()).await;
}

// REQ: USE-01
#[tokio::test]
async fn a_providers_definitions_are_those_in_force() {
    let store = VIEW.folded(&history()).await;
    let vendor = definitions(&store, "vendor").await;
    let meters: Vec<_> =
        vendor.meters().map(|it| (it.rules.key.as_str(), it.rules.version)).collect();
    assert_eq!(meters, [("tokens", 2)]);
    let schemas: Vec<_> = vendor.schemas().map(|it| (it.kind.as_str(), it.version)).collect();
    assert_eq!(schemas, [("request", 2)]);
    assert!(vendor.schema("request").is_some() && vendor.schema("call").is_none());
    let backfills: Vec<_> = vendor.backfills().map(|(_, it)| it.id.as_str()).collect();
    assert_eq!(backfills, ["bfl_3"]);
    // Nine definitions, a setting that came and went; neither corrections nor other settings.
    assert_eq!(vendor.version(), 9 + 2);
    assert_eq!(vendor.terms(), Terms::default());
    let other = definitions(&store, "other").await;
    assert_eq!(other.meters().count(), 1);
    assert_eq!(other.terms().behind_max.as_secs(), 9 * 86_400);
    assert_eq!(definitions(&store, "nobody").await, Definitions::default());
}

// REQ: USE-01
#[tokio::test]
async fn every_version_stays_what_it_was() {
    let store = VIEW.folded(&history()).await;
    let vendor = id("vendor");
    for (version, second) in [(1, 2), (2, 4)] {
        let found = get_meter_version(&store, GENERATION, &vendor, &slug("tokens"), version).await;
        assert_eq!(found.unwrap(), Some((rules("tokens", version), at(second))));
    }
    let found = get_meter_version(&store, GENERATION, &vendor, &slug("tokens"), 3).await;
    assert_eq!(found.unwrap(), None);
    for (version, text, second) in [(1, "{}", 5), (2, "{\"b\":2}", 6)] {
        let found = get_event_schema_version(&store, GENERATION, &vendor, "request", version);
        assert_eq!(found.await.unwrap(), Some((text.to_owned(), at(second))));
    }
}

// REQ: USE-04
#[tokio::test]
async fn a_tenant_has_its_provider_and_its_billing_periods() {
    let store = VIEW.folded(&history()).await;
    let acme = terms(&store, "acme").await;
    assert_eq!(acme.counted_by(&id("acme")), Some(id("vendor")));
    let period = |start: &str, end: &str| Period { start: time(start), end: time(end) };
    let next = period(MARCH, "2026-04-30T00:00:00Z");
    let expected = vec![period(JANUARY, FEBRUARY), period(FEBRUARY, MARCH), next];
    assert_eq!(acme.periods(), expected);
    assert_eq!(terms(&store, "nobody").await.counted_by(&id("nobody")), None);
    let root = TenantTerms { exists: true, ..TenantTerms::default() };
    assert_eq!(root.counted_by(&id("platform")), Some(id("platform")));
}

// REQ: USE-04
#[test]
fn periods_are_cut_moved_and_ended() {
    let mut terms = TenantTerms::default();
    let mut take = |event: S| {
        terms.take(&Any::Subscriptions(event));
        let text = |it: &Period| {
            format!("{}/{}", it.start.to_string().split_at(10).0, it.end.to_string().split_at(10).0)
        };
        let shown: Vec<String> = terms.periods().iter().map(text).collect();
        shown.join(" ")
    };
    let middle = "2026-02-15T00:00:00Z";
    let begun = take(S::Renewed { period: monthly(0, JANUARY, FEBRUARY) });
    assert_eq!(begun, "2026-01-31/2026-02-28 2026-02-28/2026-03-31");
    let pause = |end: Option<&str>| LifePeriod {
        index: 1,
        kind: PeriodKind::Paused,
        start: time(middle),
        end: end.map(time),
        counted: None,
    };
    let cut = Some(time(middle));
    assert_eq!(take(S::Paused { period: pause(None), cut }), "2026-01-31/2026-02-15");
    let resume_at = Some(time("2026-02-20T00:00:00Z"));
    assert_eq!(take(S::PauseMoved { resume_at }), "2026-01-31/2026-02-15 2026-02-15/2026-02-20");
    let resumed = monthly(2, "2026-02-18T00:00:00Z", MARCH);
    let cut = Some(resumed.start);
    let shown = take(S::Resumed { period: resumed, cut });
    assert!(shown.starts_with(
        "2026-01-31/2026-02-15 2026-02-15/2026-02-18 2026-02-18/2026-03-31 2026-03-31/"
    ));
    // What begins where the one before did replaces it.
    let shown =
        take(S::Renewed { period: monthly(3, "2026-02-18T00:00:00Z", "2026-03-18T00:00:00Z") });
    assert!(
        shown.contains("2026-02-18/2026-03-18 2026-03-18/") && !shown.contains("/2026-03-31 "),
        "{shown}"
    );
    let reason = EndReason::Cancelled { reason: "done".to_owned() };
    let cut = Some(time("2026-03-01T00:00:00Z"));
    let ended = take(S::Ended { reason, cut, fallback: None });
    assert_eq!(ended, "2026-01-31/2026-02-15 2026-02-15/2026-02-18 2026-02-18/2026-03-01");
}

// REQ: USE-04
#[test]
fn periods_of_a_tenant_are_bounded_and_ascend() {
    let mut terms = TenantTerms::default();
    let anchor = Anchor::of(time(JANUARY), Zone::default());
    for index in 0..100 {
        let Period { start, end } = anchor.period(Cycle::MONTH, index).unwrap();
        let counted = Some(Counted { anchor, cycle: Cycle::MONTH, boundary: index + 1 });
        let end = Some(end);
        let period = LifePeriod { index, kind: PeriodKind::Paid, start, end, counted };
        terms.take(&Any::Subscriptions(S::Renewed { period }));
        let periods = terms.periods();
        assert!(periods.len() <= PERIODS_MAX);
        assert!(periods.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
    assert_eq!(terms.periods().len(), PERIODS_MAX);
}

// REQ: USE-05
#[tokio::test]
async fn a_snapshot_loaded_anywhere_and_folded_on_is_the_row() {
    let (history, whole) = (history(), VIEW.folded(&history()).await);
    for cut in 0..=history.len() {
        let store = VIEW.folded(&history[..cut]).await;
        for tenant in ["vendor", "other", "acme"] {
            let key = id(tenant);
            let meters = folded_on(&LiveMeters, &store, &key, &history[cut..]).await;
            assert_eq!(meters, definitions(&whole, tenant).await, "{tenant} from {cut}");
            let found = folded_on(&LiveTerms, &store, &key, &history[cut..]).await;
            assert_eq!(found, terms(&whole, tenant).await, "{tenant} from {cut}");
        }
    }
}

async fn folded_on<L>(live: &L, store: &MemoryStore, key: &L::Key, rest: &[Entry]) -> L::Snapshot
where
    L: LoadLive<Entry = Entry>,
{
    let mut snapshot = live.load(store, GENERATION, key).await.unwrap().snapshot;
    for entry in rest.iter().filter(|entry| live.keys(entry).contains(key)) {
        snapshot = live.fold(key, &snapshot, entry).unwrap();
    }
    assert!(live.weight(&snapshot) > 0);
    snapshot
}

// REQ: USE-01
#[test]
fn corrections_concern_no_definitions() {
    let corrected = entry(0, 1, vec![("acme", corrected())]);
    assert_eq!(concerns(&corrected), (Vec::new(), Vec::new()));
    let created = entry(0, 2, vec![("acme", created("acme", Some("vendor"), &[]))]);
    assert_eq!(concerns(&created), (vec![id("acme")], vec![id("acme")]));
}

// REQ: KER-13
#[tokio::test]
async fn a_damaged_row_says_that_the_view_is_to_be_rebuilt() {
    use exchequer_readstore::{Batch, ReadStore as _, RowSet, Value, Write};
    let store = MemoryStore::new(true);
    let key = crate::rows::key("vendor");
    let values = vec![Value::Int(1), Value::Int(1), Value::Int(1), Value::Bytes(vec![0xff].into())];
    let row = Write {
        table: &crate::USAGE_DEFINITIONS,
        generation: GENERATION,
        key,
        values: Some(values),
        timestamp: 1,
    };
    store.write(Batch { rows: vec![row], last: Vec::new() }).await.unwrap();
    let fault = get_definitions(&store, GENERATION, &id("vendor")).await.unwrap_err();
    assert!(fault.to_string().contains("rebuild the view"), "{fault}");
    let mut rows = RowSet::default();
    MetersView
        .fold(&entry(0, 1, vec![("acme", renewed(monthly(0, JANUARY, FEBRUARY)))]), &mut rows);
}
