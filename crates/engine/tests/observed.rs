//! What can be seen of the platform from outside: whether it is ready, and the trace
//! that a command leaves behind.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use exchequer_codec::Entry;
use exchequer_consumer_adoption::Adoption;
use exchequer_domain_tenants as tenants;
use exchequer_engine::{
    Commanding, Parts, Platform, Ports, React, Settings, Submission, Unready, View, ViewOf,
};
use exchequer_journal::{MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_kernel::{SealKey, Status};
use exchequer_projection_tenants as tenants_view;
use exchequer_projection_timers as timers_view;
use exchequer_readstore::{Key, MemoryStore, RowSet, Table};
use exchequer_runtime::trace::{Attribute, Span, TraceContext, Tracer};
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_tenant::Command;
use exchequer_types::{ActorId, CommandId, Issuer, StreamId, TenantId};

const PATIENCE: Duration = Duration::from_secs(20);
const TRACE_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What outlives a process.
struct World {
    journal: Arc<MemoryJournal>,
    store: Arc<MemoryStore>,
    starts: u8,
}

impl World {
    fn new() -> Self {
        let (journal, store) = (MemoryJournal::new(3), MemoryStore::new(true));
        Self { journal: Arc::new(journal), store: Arc::new(store), starts: 0 }
    }

    async fn start(&mut self, runtime: &TokioRuntime, views: Vec<Arc<dyn View>>) -> Platform {
        self.starts += 1;
        let clock = runtime.clone();
        let limits = MemoryInputLimits::default();
        let inputs = MemoryInput::new(3, [self.starts; 16], limits, Arc::new(move || clock.now()));
        let ports = Ports {
            journal: Arc::<MemoryJournal>::clone(&self.journal),
            inputs: Arc::new(inputs),
            store: Arc::<MemoryStore>::clone(&self.store),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[3; 32]),
            settings: Arc::new(Settings::default()),
            usage: None,
        };
        let consumers: Vec<Arc<dyn React>> = vec![Arc::new(Commanding(Adoption { partitions: 3 }))];
        Platform::start(ports, Parts { views, consumers, ..Parts::default() }).await.unwrap()
    }
}

fn views() -> Vec<Arc<dyn View>> {
    vec![
        Arc::new(ViewOf { projection: tenants_view::TenantsView, tables: tenants_view::TABLES }),
        Arc::new(ViewOf { projection: timers_view::TimersView, tables: timers_view::TABLES }),
    ]
}

/// A view that cannot fold anything.
#[derive(Debug)]
struct Stuck;

impl View for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        &[]
    }

    fn reads(&self, _: &Entry, _: &RowSet) -> Vec<(&'static Table, Key)> {
        Vec::new()
    }

    fn fold(&self, _: &Entry, rows: &mut RowSet) {
        rows.fail("not understood".to_owned());
    }
}

async fn until(platform: &Platform, holds: impl Fn(&[Unready]) -> bool) {
    let reached = async {
        while !holds(&platform.unready()) {
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok(), "{:?}", platform.unready());
}

async fn stop(runtime: TokioRuntime) {
    runtime.shut_down();
    runtime.stopped().await;
}

// REQ: EDG-07
#[tokio::test(flavor = "multi_thread")]
async fn ready_is_who_decides_everything_and_has_folded_what_was_there() {
    let mut world = World::new();
    let runtime = TokioRuntime::default();
    let platform = world.start(&runtime, views()).await;
    until(&platform, <[Unready]>::is_empty).await;
    assert!(platform.is_ready());
    // What everybody calls first is there, from the first moment on.
    let root = platform.tail.partition_of(&StreamId::Tenant(TenantId::platform()));
    assert!(platform.tail.state(root).head.seq > 0);
    platform.drain();
    assert_eq!(platform.unready(), [Unready::Draining]);
    assert!(!platform.is_ready());
    stop(runtime).await;

    // A view that is new has everything still to fold, and this one never will.
    let runtime = TokioRuntime::default();
    let mut with_stuck = views();
    with_stuck.push(Arc::new(Stuck));
    let platform = world.start(&runtime, with_stuck).await;
    let is_stuck =
        |it: &Unready| matches!(it, Unready::Behind { view: "stuck", commits, .. } if *commits > 0);
    until(&platform, |reasons| !reasons.is_empty() && reasons.iter().all(is_stuck)).await;
    assert!(!platform.is_ready());
    assert!(platform.unready()[0].to_string().contains("view stuck"));
    stop(runtime).await;
}

#[derive(Debug, Default)]
struct Collector(Mutex<Vec<Span>>);

impl Tracer for Collector {
    fn samples(&self, _: &[u8; 16]) -> bool {
        true
    }

    fn record(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

impl Collector {
    /// Waits for so many spans of this name.
    async fn named(&self, name: &str, count: usize) -> Vec<Span> {
        let found = async {
            loop {
                let spans = self.0.lock().unwrap().clone();
                let found: Vec<Span> = spans.into_iter().filter(|it| it.name == name).collect();
                if found.len() >= count {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        let names = || self.0.lock().unwrap().iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        found.unwrap_or_else(|_| panic!("no {count} spans {name} among {:?}", names()))
    }
}

fn settings_of_the_root(id: &str, trace_parent: &str) -> Submission {
    let set = BTreeMap::from([("locale".to_owned(), id.to_owned())]);
    let update = tenants::UpdateSettings { set, unset: Vec::new() };
    let mut submission = Submission::new(
        StreamId::Tenant(TenantId::platform()),
        Issuer::parse("api").unwrap(),
        CommandId::parse(id).unwrap(),
        ActorId::parse("u-1").unwrap(),
        Command::Tenants(tenants::Command::UpdateSettings(update)),
    );
    submission.trace_parent = Some(trace_parent.to_owned());
    submission
}

// REQ: OPS-02
#[tokio::test(flavor = "multi_thread")]
async fn a_traced_command_is_one_trace_up_to_its_rows_and_what_follows_from_it() {
    let mut world = World::new();
    let runtime = TokioRuntime::default();
    let collector = Arc::new(Collector::default());
    runtime.trace_with(Arc::<Collector>::clone(&collector));
    let platform = world.start(&runtime, views()).await;
    until(&platform, <[Unready]>::is_empty).await;
    let untraced = TRACE_PARENT.replace("-01", "-00");
    for (id, trace_parent) in [("de", TRACE_PARENT), ("fr", &untraced), ("ko", "no trace")] {
        let submission = settings_of_the_root(id, trace_parent);
        let answer = platform.gateway.submit(submission, PATIENCE).await.unwrap();
        assert_eq!(answer.status(), Some(Status::Accepted), "{answer:?}");
    }
    let sender = TraceContext::parse(TRACE_PARENT).unwrap();
    let decide = collector.named("decide", 1).await.remove(0);
    assert_eq!(decide.parent, Some(sender.span));
    let accepted = ("exchequer.outcome", Attribute::Text("accepted".to_owned()));
    assert!(decide.attributes.contains(&accepted), "{decide:?}");
    let append = collector.named("append journal", 1).await.remove(0);
    assert_eq!(append.parent, Some(decide.context.span));
    assert!(decide.began <= decide.ended && decide.ended <= append.ended);
    let project = collector.named("project tenants", 1).await.remove(0);
    assert_eq!(project.parent, Some(sender.span));
    // The root is a provider: each partition is told of its new settings.
    for react in collector.named("react adoption", 3).await {
        assert_eq!((react.parent, react.failure.as_deref()), (Some(sender.span), None));
        let decided = collector.named("decide", 4).await;
        assert!(decided.iter().any(|it| it.parent == Some(react.context.span)));
    }
    let spans = collector.0.lock().unwrap().clone();
    assert!(spans.iter().all(|it| it.context.trace == sender.trace && it.context.sampled));
    assert!(spans.iter().all(|it| it.name != "project timers"), "nothing of it is a timer");
    let mut ids: Vec<_> = spans.iter().map(|it| it.context.span).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "no two spans have an id");
    stop(runtime).await;
}
