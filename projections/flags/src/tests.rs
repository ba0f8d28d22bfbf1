//! Fold, query and snapshots on the store in memory: in any batches, replayed, and a
//! snapshot loaded at any place and folded on from there.

use exchequer_codec::Entry;
use exchequer_domain_flags::{
    Definition, Dialect, Event, Flags, State, Targeting, snapshot_version,
};
use exchequer_flag_eval::{
    Condition, Context, Kind, Outcome, Reason, Rule, Scalar, Split, Test, Value, Variant, compile,
};
use exchequer_kernel::{Decider as _, Live as _, Projection as _};
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{LoadLive as _, MemoryStore, RowSet};
use exchequer_tenant::Event as Any;
use exchequer_types::{PartitionId, Slug, TenantId, Timestamp};

use crate::{
    FlagsView, LiveFlags, LiveProject, ProjectKey, TABLES, Wanted, get_environment, get_flag,
    get_project, list_environments, list_flags, list_projects,
};

const VIEW: Suite<FlagsView> = Suite { projection: FlagsView, tables: TABLES };

fn id(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::saturating_from_micros(i64::try_from(seconds).unwrap() * 1_000_000)
}

fn entry(partition: u32, seq: u64, events: Vec<(&str, Event)>) -> Entry {
    let events: Vec<_> =
        events.into_iter().map(|(stream, event)| (stream, Any::Flags(event))).collect();
    Entry::of_events(PartitionId(partition), seq, at(seq), &events)
}

fn definition(name: &str) -> Definition {
    let variant = |key: &str, value| Variant { key: key.to_owned(), value: Value::Boolean(value) };
    Definition {
        name: name.to_owned(),
        description: "é \"quoted\"".to_owned(),
        tags: vec!["web".to_owned()],
        kind: Kind::Boolean,
        variants: vec![variant("on", true), variant("off", false)],
        default_variant: "on".to_owned(),
        off_variant: "off".to_owned(),
    }
}

fn split(on: u32, before: Option<&Split>) -> Split {
    let weights = [("on", on), ("off", 100_000 - on)];
    Split::weighted("s", "targeting_key", weights).lay_out(before).unwrap()
}

fn targeting() -> Targeting {
    let test = Test::Is(Scalar::Text("vn".to_owned()));
    let condition = Condition::Attribute { name: "country".to_owned(), test };
    let outcome = Outcome::Variant("on".to_owned());
    Targeting {
        enabled: true,
        rules: vec![Rule { id: "r".to_owned(), condition, outcome }],
        fallthrough: Some(Outcome::Split(split(10_000, None))),
        ..Targeting::default()
    }
}

fn project(project: &str) -> Event {
    Event::ProjectCreated { project: slug(project), name: project.to_uppercase() }
}

fn environment(project: &str, environment: &str) -> Event {
    Event::EnvironmentCreated {
        project: slug(project),
        environment: slug(environment),
        name: environment.to_uppercase(),
        dialect: Dialect::FractionalV2,
        salt: format!("salt-{environment}"),
        production: environment == "live",
    }
}

fn flag(project: &str, flag: &str) -> Event {
    let definition = definition(flag);
    Event::FlagCreated { project: slug(project), flag: slug(flag), definition }
}

fn web() -> Slug {
    slug("web")
}

/// Two tenants with a project of the same key; one flag goes through everything.
fn history() -> Vec<Entry> {
    let (prod, a) = (|| slug("prod"), || slug("a"));
    let toggled = |environment: &str, enabled| Event::FlagToggled {
        project: web(),
        flag: a(),
        environment: slug(environment),
        enabled,
    };
    let set = || Event::TargetingSet {
        project: web(),
        flag: a(),
        environment: prod(),
        targeting: targeting(),
    };
    let grown = || Event::RolloutGrown {
        project: web(),
        flag: a(),
        environment: prod(),
        rule: None,
        split: split(50_000, Some(&split(10_000, None))),
    };
    let updated = || Event::FlagUpdated { project: web(), flag: a(), definition: definition("A") };
    vec![
        entry(0, 1, vec![("acme", project("web")), ("acme", environment("web", "prod"))]),
        entry(1, 1, vec![("other", project("web")), ("other", environment("web", "prod"))]),
        entry(0, 2, vec![("acme", flag("web", "a")), ("acme", flag("web", "b"))]),
        entry(0, 4, vec![("acme", set()), ("acme", environment("web", "test"))]),
        entry(1, 2, vec![("other", flag("web", "a")), ("other", toggled("prod", true))]),
        entry(0, 5, vec![("acme", toggled("test", true)), ("acme", project("app"))]),
        entry(0, 6, vec![("acme", grown()), ("acme", updated())]),
        entry(
            0,
            7,
            vec![
                ("acme", Event::FlagArchived { project: web(), flag: slug("b") }),
                ("acme", flag("web", "c")),
            ],
        ),
        entry(0, 8, vec![("acme", Event::FlagRestored { project: web(), flag: slug("b") })]),
        entry(0, 9, vec![("acme", Event::FlagArchived { project: web(), flag: slug("c") })]),
    ]
}

/// The domain's own state of a tenant after `entries`.
fn state(tenant: &str, entries: &[Entry]) -> State {
    let mut state = State::default();
    for entry in entries {
        for event in entry.commit.events.iter().filter(|it| it.stream == tenant) {
            let decoded = crate::fold::decode(event).unwrap();
            Flags::evolve(&mut state, &decoded, Timestamp::saturating_from_micros(event.at));
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

// REQ: KER-14
#[tokio::test]
async fn rows_are_what_the_domain_makes_of_the_events() {
    let store = VIEW.folded(&history()).await;
    for tenant in ["acme", "other"] {
        let expected = state(tenant, &history());
        for project in expected.projects.iter() {
            let tenant = id(tenant);
            let found = crate::query::whole(&store, GENERATION, &tenant, &project.key).await;
            assert_eq!(found.unwrap().as_ref(), Some(project));
        }
    }
}

#[tokio::test]
async fn parts_are_found_and_listed_by_key_page_by_page() {
    let store = VIEW.folded(&history()).await;
    let acme = id("acme");
    let page = list_projects(&store, GENERATION, &acme, None, 1, &|_| true).await.unwrap();
    assert_eq!((page.items[0].name.as_str(), page.next.clone()), ("APP", Some(slug("app"))));
    let page =
        list_projects(&store, GENERATION, &acme, page.next.as_ref(), 1, &|_| true).await.unwrap();
    assert_eq!((page.items[0].name.as_str(), page.next), ("WEB", None));
    let page =
        list_environments(&store, GENERATION, &acme, &web(), None, 9, &|_| true).await.unwrap();
    let keys: Vec<_> = page.items.iter().map(|it| it.key.as_str()).collect();
    assert_eq!((keys, page.next), (vec!["prod", "test"], None));
    let flags = async |after: Option<Slug>, limit, archived| {
        let after = after.as_ref();
        let page = list_flags(
            &store,
            GENERATION,
            &acme,
            &web(),
            after,
            limit,
            Wanted { archived, also: &|_| true },
        )
        .await;
        let page = page.unwrap();
        let keys: Vec<_> = page.items.iter().map(|it| it.key.to_string()).collect();
        (keys.join(" "), page.next)
    };
    assert_eq!(flags(None, 9, false).await, ("a b".to_owned(), None));
    assert_eq!(flags(None, 9, true).await, ("a b c".to_owned(), None));
    assert_eq!(flags(None, 1, false).await, ("a".to_owned(), Some(slug("a"))));
    assert_eq!(flags(Some(slug("a")), 1, false).await.0, "b");
    assert!(get_project(&store, GENERATION, &acme, &slug("no")).await.unwrap().is_none());
    let none = get_flag(&store, GENERATION, &acme, &web(), &slug("no")).await.unwrap();
    assert_eq!(none, None);
    let found = get_flag(&store, GENERATION, &id("other"), &web(), &slug("a")).await.unwrap();
    assert_eq!(found.unwrap().version, 2);
    let prod = get_environment(&store, GENERATION, &id("other"), &web(), &slug("prod")).await;
    assert_eq!(prod.unwrap().unwrap().changes, 2);
}

#[tokio::test]
async fn a_long_filtered_list_comes_in_short_pages() {
    let mut events = vec![("acme", project("web"))];
    for number in 0..crate::ROWS_EXAMINED_MAX + 100 {
        let key = format!("f-{number:05}");
        events.push(("acme", flag("web", &key)));
        events.push(("acme", Event::FlagArchived { project: web(), flag: slug(&key) }));
    }
    events.push(("acme", flag("web", "z")));
    let store = VIEW.folded(&[entry(0, 1, events)]).await;
    let list = async |after: Option<Slug>| {
        let after = after.as_ref();
        list_flags(
            &store,
            GENERATION,
            &id("acme"),
            &web(),
            after,
            10,
            Wanted { archived: false, also: &|_| true },
        )
        .await
        .unwrap()
    };
    let page = list(None).await;
    assert!(page.items.is_empty() && page.next.is_some());
    let page = list(page.next).await;
    assert_eq!((page.items.len(), page.next), (1, None));
}

fn key(tenant: &str) -> ProjectKey {
    ProjectKey { tenant: id(tenant), project: web() }
}

async fn loaded(store: &MemoryStore, tenant: &str) -> LiveProject {
    LiveFlags.load(store, GENERATION, &key(tenant)).await.unwrap().snapshot
}

/// Every answer of an environment, and the version of its snapshot.
fn answers(live: &LiveProject, environment: &str) -> Option<(Vec<String>, u64)> {
    let (snapshot, version) = live.environment(&slug(environment))?;
    let mut answers = Vec::new();
    for user in 0..50 {
        let user = format!("user-{user}");
        let country = [("country", exchequer_flag_eval::Attribute::Text("vn"))];
        for attributes in [&country[..], &[]] {
            let context = Context::new(Some(&user), None, attributes.iter().cloned()).unwrap();
            snapshot.evaluate_all(&context, None, |flag, it| {
                answers.push(format!("{} {:?} {:?}", flag.key(), it.variant, it.reason));
            });
        }
    }
    Some((answers, version))
}

/// The same from zero: the domain's state, compiled whole.
fn from_zero(tenant: &str, environment: &str, entries: &[Entry]) -> Option<(Vec<String>, u64)> {
    let state = state(tenant, entries);
    let project = state.projects.get(&web())?;
    let version = snapshot_version(project, &slug(environment))?;
    let flags = project.flags.iter().filter(|it| !it.archived);
    let flags: Vec<_> = flags.map(|it| it.in_environment(&slug(environment))).collect();
    let snapshot = compile(&flags, &exchequer_domain_flags::LIMITS).unwrap();
    let mut answers = Vec::new();
    for user in 0..50 {
        let user = format!("user-{user}");
        let country = [("country", exchequer_flag_eval::Attribute::Text("vn"))];
        for attributes in [&country[..], &[]] {
            let context = Context::new(Some(&user), None, attributes.iter().cloned()).unwrap();
            for flag in snapshot.flags() {
                let it = flag.evaluate(&context, None);
                answers.push(format!("{} {:?} {:?}", flag.key(), it.variant, it.reason));
            }
        }
    }
    Some((answers, version))
}

// REQ: FLG-12
#[tokio::test]
async fn a_snapshot_loaded_anywhere_and_folded_on_answers_as_from_zero() {
    let history = history();
    for from in 0..=history.len() {
        let store = VIEW.folded(&history[..from]).await;
        for tenant in ["acme", "other"] {
            let mut live = loaded(&store, tenant).await;
            for to in from..=history.len() {
                if to > from {
                    let entry = &history[to - 1];
                    if LiveFlags.keys(entry).contains(&key(tenant)) {
                        live = LiveFlags.fold(&key(tenant), &live, entry).unwrap();
                    }
                }
                // Not asked each time, so that changes gather.
                for environment in ["prod", "test"].iter().filter(|it| it.len() + to % 3 != 5) {
                    let expected = from_zero(tenant, environment, &history[..to]);
                    assert_eq!(answers(&live, environment), expected, "{tenant} {from} {to}");
                }
                let expected = state(tenant, &history[..to]);
                assert_eq!(live.project(), expected.projects.get(&web()));
                assert!(LiveFlags.weight(&live) > 0);
            }
        }
    }
}

// REQ: FLG-12
#[tokio::test]
async fn who_holds_a_snapshot_sees_one_version_whole() {
    let history = history();
    let store = VIEW.folded(&history[..4]).await;
    let before = loaded(&store, "acme").await;
    let (held, version) = before.environment(&slug("prod")).unwrap();
    let after = LiveFlags.fold(&key("acme"), &before, &history[6]).unwrap();
    let (now, next) = after.environment(&slug("prod")).unwrap();
    assert_eq!((version, next), (4, 6));
    let user = (0..).map(|it| format!("user-{it}"));
    let user = user.into_iter().find(|it| {
        let slot = exchequer_flag_eval::slot("s", it);
        (60_000..100_000).contains(&slot)
    });
    let user = user.unwrap();
    let context = Context::new(Some(&user), None, []).unwrap();
    let answer = |snapshot: &exchequer_flag_eval::Snapshot| {
        let it = snapshot.evaluate("a", &context, None);
        (it.variant == Some("on"), it.reason)
    };
    assert_eq!(answer(&held), (false, Reason::Split));
    assert_eq!(answer(&now), (true, Reason::Split));
    // What did not change is not compiled again.
    assert!(std::sync::Arc::ptr_eq(held.get("b").unwrap(), now.get("b").unwrap()));
}

#[test]
fn commits_of_other_domains_concern_nobody() {
    let parked = Any::Parked { reason: "r".to_owned() };
    let entry = Entry::of_events(PartitionId(0), 1, at(1), &[("acme", parked)]);
    assert!(LiveFlags.keys(&entry).is_empty());
    assert!(FlagsView.reads(&entry, &RowSet::default()).is_empty());
    let both = entry_of_two();
    let keys: Vec<_> = LiveFlags.keys(&both).into_iter().map(|it| it.project).collect();
    assert_eq!(keys, [slug("app"), slug("web")]);
}

fn entry_of_two() -> Entry {
    entry(
        0,
        1,
        vec![("acme", project("web")), ("acme", project("app")), ("acme", flag("web", "a"))],
    )
}

// REQ: KER-10
#[test]
fn what_is_not_understood_stops_the_view() {
    let failure = |entry: &Entry| {
        let mut rows = RowSet::default();
        FlagsView.fold(entry, &mut rows);
        rows.failure().map(str::to_owned)
    };
    let missing = failure(&entry(4, 9, vec![("acme", environment("web", "prod"))])).unwrap();
    let expected = "partition 4, offset 9, event 0 (flags.environment-created.v1): its project";
    assert!(missing.starts_with(expected), "{missing}");
    let mut unknown = entry(4, 9, vec![("acme", project("web"))]);
    let commit = std::sync::Arc::make_mut(&mut unknown.commit);
    "flags.merged.v1".clone_into(&mut commit.events[0].r#type);
    assert!(failure(&unknown).unwrap().contains("flags.merged.v1"));
}
