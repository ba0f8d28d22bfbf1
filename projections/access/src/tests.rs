//! Fold, queries and snapshots on the store in memory: in any batches, replayed, and a
//! snapshot loaded at any place and folded on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use exchequer_access::{AddressRange, Permission, Principal, Scope, Target};
use exchequer_codec::{Entry, event_types};
use exchequer_domain_access::{
    Access, Cause, CredentialKind, ENDED_CREDENTIALS_MAX, Event, Expiry, Secret, State,
};
use exchequer_domain_tenants as tenants;
use exchequer_kernel::{Decider as _, Live as _, Projection as _};
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{
    Batch, LoadLive as _, Loaded, ReadStore as _, RowSet, Table, Value, Write,
};
use exchequer_tenant::Event as Any;
use exchequer_types::{ActorId, Hash, KeyId, PartitionId, Protected, Slug, TenantId, Timestamp};

use crate::rows::{part_key, tenant_key};
use crate::snapshot::{CREATED, forget};
use crate::{
    ACCESS_CREDENTIALS, ACCESS_GRANTS, ACCESS_MEMBERS, ACCESS_ROLES, ACCESS_TEAMS, ACCESS_TENANTS,
    AccessView, LiveAccess, Snapshot, TABLES, holder_of, whole,
};

const VIEW: Suite<AccessView> = Suite { projection: AccessView, tables: TABLES };

fn id(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn actor(text: &str) -> ActorId {
    ActorId::parse(text).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::saturating_from_micros(i64::try_from(seconds).unwrap() * 1_000_000)
}

fn created(tenant: &str, parent: Option<&str>) -> Any {
    Any::Tenants(tenants::Event::Created {
        id: id(tenant),
        parent: parent.map(id),
        parent_version: 1,
        depth: 1,
        name: tenant.to_owned(),
        settings: BTreeMap::new(),
        provider: false,
        test_clock: None,
    })
}

fn of(event: Event) -> Any {
    Any::Access(event)
}

fn protected(text: &str) -> Protected {
    Protected { key: KeyId([9; 16]), text: text.as_bytes().to_vec() }
}

fn member(name: &str) -> Any {
    let member = actor(name);
    of(Event::MemberAdded { member, name: Some(protected(name)), email: None })
}

fn expiry(seconds: u64) -> Expiry {
    Expiry { at: at(seconds), timer: format!("tma_{seconds}") }
}

fn secret(byte: u8) -> Secret {
    Secret { hash: Hash([byte; 32]), hint: format!("h{byte:03}") }
}

fn credential(name: &str, kind: CredentialKind, byte: u8) -> Any {
    of(Event::CredentialCreated {
        id: name.to_owned(),
        kind,
        name: format!("the {name}"),
        secret: secret(byte),
        expiry: byte.is_multiple_of(2).then(|| expiry(900)),
        addresses: vec![AddressRange::parse("192.0.2.0/24").unwrap()],
        requests_per_minute: byte.is_multiple_of(3).then_some(60),
    })
}

fn granted(grant: &str, principal: Principal, role: &str, scope: Scope) -> Any {
    let expiry = (grant == "g2").then(|| expiry(800));
    let (id, role) = (grant.to_owned(), slug(role));
    of(Event::RoleGranted { id, principal, role, scope, expiry })
}

fn entry(partition: u32, seq: u64, events: Vec<(&str, Any)>) -> Entry {
    Entry::of_events(PartitionId(partition), seq, at(seq), &events)
}

/// People and teams of tenant `a`, in two partitions' first commits with `b` and `c`.
fn people() -> Vec<Entry> {
    let team = of(Event::TeamCreated {
        team: slug("web"),
        name: "Web".to_owned(),
        members: BTreeSet::from([actor("kim"), actor("lee")]),
        teams: BTreeSet::new(),
    });
    let outer = of(Event::TeamCreated {
        team: slug("all"),
        name: "All".to_owned(),
        members: BTreeSet::new(),
        teams: BTreeSet::from([slug("web")]),
    });
    let role = of(Event::RoleCreated {
        role: slug("release"),
        name: "Release".to_owned(),
        permissions: BTreeSet::from([Permission::FlagsRead, Permission::FlagsToggle]),
    });
    let updated = of(Event::MemberUpdated {
        member: actor("kim"),
        name: Some(protected("Kim")),
        email: Some(protected("kim@example.org")),
    });
    vec![
        entry(0, 1, vec![("a", created("a", Some("platform"))), ("b", created("b", Some("a")))]),
        entry(1, 1, vec![("c", created("c", Some("platform")))]),
        entry(0, 2, vec![("a", member("kim")), ("a", member("lee")), ("b", member("kim"))]),
        entry(0, 3, vec![("a", team), ("a", outer), ("a", role), ("a", updated)]),
    ]
}

fn history() -> Vec<Entry> {
    [people(), keys(), endings()].concat()
}

fn rotated(byte: u8, dropped: Vec<Hash>) -> Any {
    of(Event::CredentialRotated {
        id: "svc".to_owned(),
        secret: secret(byte),
        overlap: Some(expiry(700)),
        timer: None,
        dropped,
    })
}

/// Credentials and grants, made and changed.
fn keys() -> Vec<Entry> {
    let service = Principal::Credential("svc".to_owned());
    let place = Scope::new(Some(slug("shop")), None, Some(slug("cart"))).unwrap();
    let key = CredentialKind::ServerSdk { project: slug("shop"), environment: slug("prod") };
    let updated = of(Event::CredentialUpdated {
        id: "key".to_owned(),
        name: "another name".to_owned(),
        expiry: None,
        addresses: vec![],
        requests_per_minute: Some(9),
        moved: false,
        timer: None,
    });
    let personal = CredentialKind::Personal { owner: actor("kim") };
    vec![
        entry(
            0,
            4,
            vec![
                ("a", credential("svc", CredentialKind::Service, 1)),
                ("a", granted("g1", service, "release", place)),
                ("b", credential("key", key, 2)),
                ("a", credential("pat", personal, 3)),
            ],
        ),
        entry(
            0,
            5,
            vec![
                ("a", granted("g2", Principal::Team(slug("all")), "viewer", Scope::tenant())),
                ("a", rotated(4, vec![])),
                ("b", updated),
                ("a", member("max")),
            ],
        ),
    ]
}

/// What is taken away again.
fn endings() -> Vec<Entry> {
    let team = of(Event::TeamUpdated {
        team: slug("web"),
        name: None,
        added: BTreeSet::from([actor("max")]),
        removed: BTreeSet::from([actor("lee")]),
        added_teams: BTreeSet::new(),
        removed_teams: BTreeSet::new(),
    });
    let addresses = vec![AddressRange::parse("2001:db8::/32").unwrap()];
    let revoked =
        |id: &str, cause| of(Event::CredentialRevoked { id: id.to_owned(), cause, timers: vec![] });
    vec![
        entry(
            0,
            6,
            vec![
                ("a", team),
                ("a", of(Event::AddressesSet { addresses })),
                ("a", rotated(5, vec![Hash([1; 32])])),
                ("b", of(Event::Bootstrapped { credential: "key".to_owned() })),
            ],
        ),
        entry(
            0,
            7,
            vec![
                ("a", revoked("pat", Cause::OwnerRemoved)),
                ("a", of(Event::MemberRemoved { member: actor("kim"), teams: vec![slug("web")] })),
                ("a", of(Event::GrantExpired { id: "g2".to_owned(), timer: "tma_800".to_owned() })),
                (
                    "a",
                    of(Event::CredentialOverlapEnded {
                        id: "svc".to_owned(),
                        timer: "tma_700".to_owned(),
                        dropped: Hash([4; 32]),
                    }),
                ),
            ],
        ),
        entry(
            0,
            8,
            vec![
                ("a", of(Event::TeamDeleted { team: slug("web"), parents: vec![slug("all")] })),
                ("a", of(Event::RoleDeleted { role: slug("release") })),
                (
                    "a",
                    of(Event::PersonErased {
                        subject: actor("kim"),
                        keys: BTreeSet::from([KeyId([9; 16])]),
                    }),
                ),
                ("b", of(Event::Closed { timers: vec![] })),
            ],
        ),
        entry(1, 2, vec![("c", member("kim"))]),
    ]
}

/// What the domain makes of a tenant's events.
fn from_zero(entries: &[Entry], tenant: &str) -> State {
    let mut state = State::default();
    let events = entries.iter().flat_map(|entry| &entry.commit.events);
    for event in events.filter(|event| event.stream == tenant) {
        let decoded = exchequer_codec::decode_event(&event.stream, &event.r#type, &event.payload);
        if let Ok(Any::Access(it)) = decoded {
            Access::evolve(&mut state, &it, Timestamp::saturating_from_micros(event.at));
        }
    }
    forget(&mut state);
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

// REQ: KER-14, IAM-10, IAM-12
#[tokio::test]
async fn the_rows_hold_the_domains_state_exactly() {
    let history = history();
    for end in 1..=history.len() {
        let store = VIEW.folded(&history[..end]).await;
        for tenant in ["a", "b", "c"] {
            let Some(snapshot) = whole(&store, GENERATION, &id(tenant)).await.unwrap() else {
                assert_eq!((end, tenant), (1, "c"));
                continue;
            };
            assert_eq!(snapshot.state, from_zero(&history[..end], tenant), "{tenant} at {end}");
            let provider = if tenant == "b" { "a" } else { "platform" };
            assert_eq!(snapshot.provider, Some(id(provider)));
        }
    }
    let store = VIEW.folded(&history).await;
    assert_eq!(whole(&store, GENERATION, &id("nobody")).await.unwrap(), None);
    assert_eq!(whole(&store, GENERATION + 1, &id("a")).await.unwrap(), None);
}

// REQ: IAM-10, IAM-13
#[tokio::test]
async fn a_snapshot_loaded_at_any_place_and_folded_on_equals_the_rows() {
    let history = history();
    let last = VIEW.folded(&history).await;
    for loaded_at in 0..=history.len() {
        let store = VIEW.folded(&history[..loaded_at]).await;
        for tenant in ["a", "b", "c", "nobody"] {
            let (key, live) = (id(tenant), LiveAccess);
            let Loaded { mut snapshot, timestamp } =
                live.load(&store, GENERATION, &key).await.unwrap();
            assert_eq!(timestamp, None, "it is made of several rows");
            for entry in &history[loaded_at..] {
                if live.keys(entry).contains(&key) {
                    snapshot = live.fold(&key, &snapshot, entry).unwrap();
                }
            }
            let expected = whole(&last, GENERATION, &key).await.unwrap().unwrap_or_default();
            assert_eq!(snapshot, expected, "{tenant}, loaded at {loaded_at}");
            assert!(live.weight(&snapshot) > 0);
        }
    }
}

// REQ: IAM-12, IAM-13
#[tokio::test]
async fn a_secret_is_found_by_its_hash_until_it_is_dropped() {
    let history = history();
    let found = async |end: usize, byte: u8| {
        let store = VIEW.folded(&history[..end]).await;
        let found = holder_of(&store, GENERATION, &[byte; 32]).await.unwrap();
        found.map(|it| (it.tenant.to_string(), it.credential))
    };
    let whose = |tenant: &str, id: &str| Some((tenant.to_owned(), id.to_owned()));
    assert_eq!(found(4, 1).await, None);
    assert_eq!(found(5, 1).await, whose("a", "svc"));
    assert_eq!(found(6, 1).await, whose("a", "svc"), "it overlaps");
    assert_eq!(found(6, 4).await, whose("a", "svc"));
    assert_eq!(found(7, 1).await, None, "a second rotation dropped it");
    assert_eq!(found(8, 4).await, None, "its overlap has ended");
    let last = history.len();
    assert_eq!(found(last, 5).await, whose("a", "svc"));
    assert_eq!(found(last, 3).await, whose("a", "pat"), "revoked, and still known");
    assert_eq!(found(last, 2).await, whose("b", "key"), "of a closed tenant");
    assert_eq!(found(last, 77).await, None);
}

// REQ: IAM-10
#[test]
fn the_policy_follows_the_events() {
    let history = history();
    let live = LiveAccess;
    let target = Target::default();
    let may = |snapshot: &Snapshot, who: &str| {
        let who = Principal::Member(actor(who));
        snapshot.policy().decide(&who, Permission::FlagsRead, &target, at(10)).allowed
    };
    let mut snapshot = Snapshot::default();
    let mut answers = Vec::new();
    for entry in &history {
        if live.keys(entry).contains(&id("a")) {
            snapshot = live.fold(&id("a"), &snapshot, entry).unwrap();
            answers.push((may(&snapshot, "kim"), may(&snapshot, "max")));
        }
    }
    let expected = [
        (false, false),
        (false, false),
        (false, false),
        (false, false),
        // The team that holds kim's team is granted a role.
        (true, false),
        // Max comes into kim's team.
        (true, true),
        // Kim is removed, and the grant has expired.
        (false, false),
        (false, false),
    ];
    assert_eq!(answers, expected);
}

// REQ: IAM-12
#[tokio::test]
async fn of_the_credentials_that_ended_the_latest_are_loaded() {
    let many = ENDED_CREDENTIALS_MAX + 3;
    let mut history = vec![entry(0, 1, vec![("a", created("a", None))])];
    for number in 0..many {
        let (id, seq) = (format!("c{number:04}"), u64::try_from(number).unwrap() + 2);
        let made = credential(&id, CredentialKind::Service, 1);
        let ended = Event::CredentialRevoked { id, cause: Cause::Asked, timers: vec![] };
        history.push(entry(0, seq, vec![("a", made), ("a", of(ended))]));
    }
    let seq = u64::try_from(many).unwrap() + 2;
    history.push(entry(0, seq, vec![("a", credential("live", CredentialKind::Service, 2))]));
    let store = VIEW.folded(&history).await;
    let snapshot = whole(&store, GENERATION, &id("a")).await.unwrap().unwrap();
    assert_eq!(snapshot.state, from_zero(&history, "a"));
    assert_eq!(snapshot.state.credentials.len(), ENDED_CREDENTIALS_MAX + 1);
    assert!(!snapshot.state.credentials.contains_key("c0002"));
}

#[test]
fn keys_name_each_tenant_that_changes_once() {
    let keys = |entry: &Entry| LiveAccess.keys(entry);
    let history = history();
    assert_eq!(keys(&history[0]), [id("a"), id("b")]);
    assert_eq!(keys(&history[3]), [id("a")]);
    let renamed = Any::Tenants(tenants::Event::Renamed { name: "B".to_owned() });
    assert_eq!(keys(&entry(0, 1, vec![("a", renamed)])), []);
}

fn failure(entry: &Entry) -> Option<String> {
    let mut rows = RowSet::default();
    AccessView.fold(entry, &mut rows);
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
    let unknown = failure(&with_type("access.doubled.v1", b"")).unwrap();
    let expected = "partition 4, offset 9, event 0 (access.doubled.v1): ";
    assert!(unknown.starts_with(expected), "{unknown}");
    assert!(failure(&with_type("tenants.created.v1", b"\xff")).is_some());
    let never = failure(&entry(0, 1, vec![("a", member("kim"))])).unwrap();
    assert!(never.contains("never created"), "{never}");
    let live =
        LiveAccess.fold(&id("a"), &Snapshot::default(), &entry(0, 1, vec![("a", member("kim"))]));
    assert!(live.is_err());
    for other in ["audit.appended.v1", "tenants.renamed.v1", "billing.paid.v7"] {
        assert_eq!(failure(&with_type(other, b"\xff")), None, "{other}");
    }
    assert!(event_types().contains(&CREATED));
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let history = &history()[..5];
    let damage: [(&'static Table, &str, &str); 9] = [
        (&ACCESS_TENANTS, "", "provider"),
        (&ACCESS_TENANTS, "", "addresses"),
        (&ACCESS_TEAMS, "web", "members"),
        (&ACCESS_ROLES, "release", "permissions"),
        (&ACCESS_GRANTS, "g1", "principal_kind"),
        (&ACCESS_GRANTS, "g1", "role"),
        (&ACCESS_CREDENTIALS, "svc", "kind"),
        (&ACCESS_CREDENTIALS, "svc", "addresses"),
        (&ACCESS_MEMBERS, "kim", "name_key"),
    ];
    for (table, part, column) in damage {
        let store = VIEW.folded(history).await;
        let key = if part.is_empty() { tenant_key("a") } else { part_key("a", part) };
        let row = store.get(table, GENERATION, key.clone()).await.unwrap().unwrap();
        let mut values = row.values;
        let index = table.columns.iter().position(|it| it.name == column).unwrap();
        values[index] = match &values[index] {
            Value::Bytes(_) => Value::Bytes(b"?".as_slice().into()),
            _ => Value::text("{\"?\":?}"),
        };
        let timestamp = row.timestamp + 1;
        let row = Write { table, generation: GENERATION, key, values: Some(values), timestamp };
        store.write(Batch { rows: vec![row], last: vec![] }).await.unwrap();
        let fault = whole(&store, GENERATION, &id("a")).await.unwrap_err();
        assert!(!fault.retryable && fault.message.contains("rebuild"), "{fault}");
    }
}
