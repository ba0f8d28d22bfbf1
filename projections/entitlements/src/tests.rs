//! Fold, query and snapshots on the store in memory: in any batches, replayed, and a
//! snapshot loaded at any place and folded on from there.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_codec::{Entry, event_types};
use exchequer_domain_entitlements::{Amount, Entitlements, Event, Expiry, GrantKind, State, check};
use exchequer_domain_tenants as tenants;
use exchequer_kernel::{Decider as _, Live as _, Projection as _};
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{
    Batch, LoadLive as _, Loaded, MemoryStore, ReadStore as _, RowSet, Value, Write,
};
use exchequer_tenant::Event as Any;
use exchequer_types::{
    Allowance, Features, HeldBy, HeldPlan, PartitionId, PlanContent, PlanRef, Slug, TenantId,
    TenantStatus, Timestamp,
};

use crate::rows::{key, values_of};
use crate::snapshot::OF_TENANTS;
use crate::sources::Marks;
use crate::{
    ENTITLEMENT_SOURCES, ENTITLEMENTS, EntitlementsView, LiveEntitlements, Snapshot, TABLES, get,
};

const VIEW: Suite<EntitlementsView> = Suite { projection: EntitlementsView, tables: TABLES };

fn id(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::saturating_from_micros(i64::try_from(seconds).unwrap() * 1_000_000)
}

fn created(tenant: &str, test_clock: Option<Timestamp>) -> Any {
    created_by(Some("platform"), tenant, test_clock)
}

fn created_by(provider: Option<&str>, tenant: &str, test_clock: Option<Timestamp>) -> Any {
    Any::Tenants(tenants::Event::Created {
        id: id(tenant),
        parent: provider.map(id),
        parent_version: 1,
        depth: 1,
        name: tenant.to_owned(),
        settings: BTreeMap::new(),
        provider: false,
        test_clock,
    })
}

fn features(pairs: &[(&str, Allowance)]) -> Features {
    pairs.iter().map(|(feature, allowance)| (slug(feature), *allowance)).collect()
}

fn plan_given(seats: u64) -> Any {
    let held = HeldPlan {
        plan: PlanRef {
            provider: TenantId::platform(),
            catalog: slug("saas"),
            version: 2,
            plan: slug("pro"),
        },
        by: HeldBy::Trial,
        seats,
        add_ons: BTreeMap::from([(slug("more"), 2)]),
        since: at(7),
    };
    let content = PlanContent {
        plan: features(&[
            ("reports", Allowance::Limit(u64::MAX)),
            ("seats", Allowance::Seats),
            ("sso", Allowance::On),
            ("storage", Allowance::Unlimited),
        ]),
        add_ons: BTreeMap::from([(slug("more"), features(&[("exports", Allowance::Limit(5))]))]),
    };
    Any::Entitlements(Event::PlanGiven { held, content })
}

fn granted(grant: &str, amount: Amount, until: Option<u64>) -> Any {
    Any::Entitlements(Event::Granted {
        id: grant.to_owned(),
        feature: slug("audit"),
        amount,
        kind: GrantKind::AddOn,
        reason: "\"as agreed\", é".to_owned(),
        expiry: until.map(|until| Expiry { at: at(until), timer: format!("tme_{grant}") }),
    })
}

fn used(feature: &str, used: u64) -> Any {
    Any::Entitlements(Event::UseReported { feature: slug(feature), used })
}

fn revoked(grant: &str) -> Any {
    let (id, reason) = (grant.to_owned(), "by mistake".to_owned());
    Any::Entitlements(Event::GrantRevoked { id, reason, timer: None })
}

fn expired(grant: &str) -> Any {
    let (id, timer) = (grant.to_owned(), format!("tme_{grant}"));
    Any::Entitlements(Event::GrantExpired { id, timer })
}

fn entry(partition: u32, seq: u64, events: Vec<(&str, Any)>) -> Entry {
    Entry::of_events(PartitionId(partition), seq, at(seq), &events)
}

/// Two tenants in one partition, `b` a sandbox that is closed in the end; one in another.
fn history() -> Vec<Entry> {
    let renamed = Any::Tenants(tenants::Event::Renamed { name: "B".to_owned() });
    let advanced = Any::Tenants(tenants::Event::ClockAdvanced { to: at(900) });
    let closed = Any::Entitlements(Event::Closed { timers: vec![] });
    let suspended = Any::Tenants(tenants::Event::Suspended { reason: "unpaid".to_owned() });
    let gone = tenants::Event::Closed { reason: "gone".to_owned(), timer: None, by_timer: false };
    vec![
        entry(0, 1, vec![("a", created("a", None)), ("b", created("b", Some(at(500))))]),
        entry(1, 1, vec![("c", created_by(Some("a"), "c", None))]),
        entry(0, 2, vec![("a", plan_given(3)), ("b", granted("g1", Amount::On, Some(800)))]),
        entry(0, 3, vec![("b", renamed), ("a", used("sso", 4))]),
        entry(0, 4, vec![("a", granted("g2", Amount::Units(9), None)), ("b", expired("g1"))]),
        entry(0, 5, vec![("b", advanced), ("a", plan_given(4)), ("a", used("sso", 0))]),
        entry(1, 2, vec![("c", used("reports", 8)), ("c", granted("g3", Amount::Unlimited, None))]),
        entry(0, 6, vec![("a", revoked("g2")), ("b", granted("g4", Amount::On, None))]),
        entry(0, 7, vec![("b", closed), ("a", Any::Entitlements(Event::PlanWithdrawn))]),
        entry(0, 8, vec![("a", suspended.clone()), ("b", Any::Tenants(gone))]),
        entry(1, 3, vec![("c", suspended)]),
        entry(1, 4, vec![("c", Any::Tenants(tenants::Event::Reinstated))]),
    ]
}

/// What the domain makes of a tenant's events.
fn from_zero(entries: &[Entry], tenant: &str) -> State {
    let mut state = State::default();
    let events = entries.iter().flat_map(|entry| &entry.commit.events);
    for event in events.filter(|event| event.stream == tenant) {
        let decoded = exchequer_codec::decode_event(&event.stream, &event.r#type, &event.payload);
        if let Ok(Any::Entitlements(it)) = decoded {
            Entitlements::evolve(&mut state, &it, Timestamp::saturating_from_micros(event.at));
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

// REQ: KER-14, BIL-30
#[tokio::test]
async fn a_row_holds_the_domains_state_exactly() {
    let history = history();
    for end in 1..=history.len() {
        let store = VIEW.folded(&history[..end]).await;
        for tenant in ["a", "b", "c"] {
            let Some((snapshot, _)) = get(&store, GENERATION, &id(tenant)).await.unwrap() else {
                assert_eq!((end, tenant), (1, "c"));
                continue;
            };
            assert_eq!(snapshot.state, from_zero(&history[..end], tenant), "{tenant} at {end}");
            let clock = if end < 6 { at(500) } else { at(900) };
            assert_eq!(snapshot.clock, (tenant == "b").then_some(clock));
            let provider = if tenant == "c" { "a" } else { "platform" };
            assert!(snapshot.is_customer_of(&id(provider)), "{tenant} at {end}");
            assert!(!snapshot.is_customer_of(&id("b")));
            let status = match (tenant, end) {
                ("a", 10..) | ("c", 11) => TenantStatus::Suspended,
                ("b", 10..) => TenantStatus::Closed,
                _ => TenantStatus::Active,
            };
            assert_eq!(snapshot.status, status, "{tenant} at {end}");
        }
    }
    let store = VIEW.folded(&history).await;
    assert_eq!(get(&store, GENERATION, &id("nobody")).await.unwrap(), None);
    assert_eq!(get(&store, GENERATION + 1, &id("a")).await.unwrap(), None);
}

/// Feature, source, what it gives, units, packs, and how a grant ended.
fn sources(store: &MemoryStore, tenant: &str) -> Vec<String> {
    let rows = store.snapshot(&ENTITLEMENT_SOURCES, GENERATION).into_iter();
    let rows = rows.filter(|row| row.key.partition[0].as_text() == tenant);
    let shown = rows.map(|row| {
        let (key, it) = (&row.key.clustering, &row.values);
        let [gives, ended_by, ended_reason] = [0, 8, 9].map(|at| it[at].as_text());
        format!(
            "{} {}: {gives} {} x{} {ended_by} {ended_reason}",
            key[0].as_text(),
            key[1].as_text(),
            it[1].as_int(),
            it[2].as_int(),
        )
    });
    shown.map(|text| text.trim_end().to_owned()).collect()
}

// REQ: ENT-01
#[tokio::test]
async fn each_source_of_a_feature_is_a_row() {
    let history = history();
    let plan = |reports: &str| {
        vec![
            "exports add-on:more: units 5 x2".to_owned(),
            reports.to_owned(),
            "seats plan: per seat -1 x1".to_owned(),
            "sso plan: on -1 x1".to_owned(),
        ]
    };
    let store = VIEW.folded(&history[..4]).await;
    let mut expected = plan("reports plan: units 9223372036854775807 x1");
    expected.extend(["sso use: units 4 x1".to_owned(), "storage plan: unlimited -1 x1".to_owned()]);
    assert_eq!(sources(&store, "a"), expected);
    assert_eq!(sources(&store, "b"), ["audit grant:g1: on -1 x1"]);
    let store = VIEW.folded(&history).await;
    // Without a plan nothing of it stands there; grants say how they ended.
    assert_eq!(sources(&store, "a"), ["audit grant:g2: units 9 x1 revocation by mistake"]);
    let ended = ["audit grant:g1: on -1 x1 expiry", "audit grant:g4: on -1 x1 closing"];
    assert_eq!(sources(&store, "b"), ended);
    let granted = ["audit grant:g3: unlimited -1 x1", "reports use: units 8 x1"];
    assert_eq!(sources(&store, "c"), granted);
}

// REQ: ENT-03, ENT-04
#[tokio::test]
async fn a_snapshot_loaded_at_any_place_and_folded_on_equals_the_rows() {
    let history = history();
    let last = VIEW.folded(&history).await;
    for loaded_at in 0..=history.len() {
        let store = VIEW.folded(&history[..loaded_at]).await;
        for tenant in ["a", "b", "c", "nobody"] {
            let key = id(tenant);
            let live = LiveEntitlements;
            let Loaded { mut snapshot, timestamp } =
                live.load(&store, GENERATION, &key).await.unwrap();
            assert_eq!(timestamp.is_some(), snapshot.exists);
            for entry in &history[loaded_at..] {
                if live.keys(entry).contains(&key) {
                    snapshot = live.fold(&key, &snapshot, entry).unwrap();
                }
            }
            let expected = get(&last, GENERATION, &key).await.unwrap();
            let expected = expected.map(|(snapshot, _)| snapshot).unwrap_or_default();
            assert_eq!(snapshot, expected, "{tenant}, loaded at {loaded_at}");
            assert!(live.weight(&snapshot) > 0);
        }
    }
}

#[test]
fn keys_name_each_tenant_that_changes_once() {
    let keys = |entry: &Entry| LiveEntitlements.keys(entry);
    let history = history();
    assert_eq!(keys(&history[0]), [id("a"), id("b")]);
    assert_eq!(keys(&history[3]), [id("a")], "another name changes no entitlement");
    assert_eq!(keys(&history[5]), [id("a"), id("b")]);
}

// REQ: BIL-30
#[test]
fn a_sandbox_is_asked_in_its_own_time() {
    let live = LiveEntitlements;
    let history = history();
    let sandbox = id("b");
    let snapshot = live.fold(&sandbox, &Snapshot::default(), &history[0]).unwrap();
    let snapshot = live.fold(&sandbox, &snapshot, &history[2]).unwrap();
    let told = check(&snapshot.state, &slug("audit"), snapshot.time(at(1_000_000)));
    assert!(told.allowed, "its clock stands before the grant's end");
    let real = Snapshot { clock: None, ..snapshot };
    assert!(!check(&real.state, &slug("audit"), real.time(at(1_000_000))).allowed);
}

// REQ: FLG-09
#[tokio::test]
async fn the_root_is_nobodys_customer() {
    let root = entry(0, 1, vec![("platform", created_by(None, "platform", None))]);
    let root = [root, entry(0, 2, vec![("platform", granted("g1", Amount::On, None))])];
    let store = VIEW.folded(&root).await;
    let platform = id("platform");
    let (snapshot, _) = get(&store, GENERATION, &platform).await.unwrap().unwrap();
    assert!(snapshot.exists && snapshot.provider.is_none());
    assert!(!snapshot.is_customer_of(&platform));
    assert!(!Snapshot::default().is_customer_of(&platform), "nor is nobody");
}

fn failure(entry: &Entry) -> Option<String> {
    let mut rows = RowSet::default();
    EntitlementsView.fold(entry, &mut rows);
    rows.failure().map(str::to_owned)
}

fn with_type(kind: &str, payload: &'static [u8]) -> Entry {
    let mut entry = entry(4, 9, vec![("a", created("a", None))]);
    let commit = Arc::make_mut(&mut entry.commit);
    kind.clone_into(&mut commit.events[0].r#type);
    commit.events[0].payload = payload.into();
    entry
}

// REQ: KER-10
#[test]
fn what_is_not_understood_stops_the_view() {
    let unknown = failure(&with_type("entitlements.doubled.v1", b"")).unwrap();
    let expected = "partition 4, offset 9, event 0 (entitlements.doubled.v1): ";
    assert!(unknown.starts_with(expected), "{unknown}");
    assert!(failure(&with_type("tenants.created.v1", b"\xff")).is_some());
    let never = failure(&with_type("entitlements.plan-withdrawn.v1", b"")).unwrap();
    assert!(never.contains("never created"), "{never}");
    let live = LiveEntitlements.fold(
        &id("a"),
        &Snapshot::default(),
        &with_type("entitlements.doubled.v1", b""),
    );
    assert!(live.is_err());
    for other in ["audit.appended.v1", "tenants.renamed.v1", "billing.paid.v7"] {
        assert_eq!(failure(&with_type(other, b"\xff")), None, "{other}");
    }
    assert!(OF_TENANTS.iter().all(|kind| event_types().contains(kind)));
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let history = history();
    let (snapshot, _) =
        get(&VIEW.folded(&history[..5]).await, GENERATION, &id("a")).await.unwrap().unwrap();
    let whole = values_of(&snapshot, &Marks::default());
    for (column, value) in [
        ("provider", Value::text("{\"?\":?}")),
        ("status", Value::text("asleep")),
        ("record", Value::Bytes(b"\xff\xff".as_slice().into())),
    ] {
        let index = ENTITLEMENTS.columns.iter().position(|it| it.name == column).unwrap();
        let mut values = whole.clone();
        values[index] = value;
        let store = MemoryStore::new(true);
        let row = Write {
            table: &ENTITLEMENTS,
            generation: GENERATION,
            key: key("a"),
            values: Some(values),
            timestamp: 1,
        };
        store.write(Batch { rows: vec![row], last: vec![] }).await.unwrap();
        let fault = get(&store, GENERATION, &id("a")).await.unwrap_err();
        assert!(!fault.retryable && fault.message.contains(column), "{fault}");
    }
}
