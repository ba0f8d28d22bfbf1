//! Everything in one process: a decider for each partition, the views, the
//! processes and the clock, around one shared tail.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::gateway::{Gateway, Submission};
use crate::live::{LiveKind, LiveView, Lives};
use crate::meter::{self, DefinitionsSource, LiveDefinitions, Meters};
use crate::reactor::{Cursors, React};
use crate::sharing::Share;
use crate::view::{View, ViewHandle, Views};
use crate::{
    EngineError, Failures, Outlets, Ports, Tail, audit_topic, clock, decider, erasures, failures,
    projector, reactor, thresholds,
};
use exchequer_codec::Entry;
use exchequer_domain_tenants as tenants;
use exchequer_journal::{Alone, Group, Membership};
use exchequer_kernel::Status;
use exchequer_readstore::LoadLive;
use exchequer_runtime::{Metric, OnEnd, TaskError, TaskKind};
use exchequer_tenant::Command;
use exchequer_types::{ActorId, CommandId, Issuer, PartitionId, StreamId, TenantId};
use exchequer_vault::Vault;
use futures::future::join_all;

/// The view that the clock reads.
const TIMERS: &str = "timers";
/// The view that has the limits whose use is measured.
const QUOTAS: &str = "quotas";
const BOOTSTRAP_PATIENCE: Duration = Duration::from_secs(5);

const DECIDER: TaskKind = TaskKind { name: "decider", on_end: OnEnd::ShutDown };
const REACTOR: TaskKind = TaskKind { name: "reactor", on_end: OnEnd::ShutDown };
const CLOCK: TaskKind = TaskKind { name: "clock", on_end: OnEnd::ShutDown };
/// One that stops says so in what is asked of readiness: everything else goes on.
const METER: TaskKind = TaskKind { name: "meter", on_end: OnEnd::Fine };
/// Limits are compared with meters by each process that meters.
const THRESHOLDS: TaskKind = TaskKind { name: "thresholds", on_end: OnEnd::Fine };
/// Who reads the topic falls behind; nothing here waits for it.
const SEALER: TaskKind = TaskKind { name: "sealer", on_end: OnEnd::Fine };
const FOLLOWER: TaskKind = TaskKind { name: "follower", on_end: OnEnd::ShutDown };
/// Operators see less of what fails here.
const TELLING: TaskKind = TaskKind { name: "failures", on_end: OnEnd::Fine };
const BOOTSTRAP: TaskKind = TaskKind { name: "bootstrap", on_end: OnEnd::Fine };

/// What a process does beside answering from its tail. Views and processes are
/// run where they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Decides every partition that it can claim; else it follows the journal.
    pub decides: bool,
    /// Sees to it that the root tenant exists.
    pub bootstraps: bool,
    /// Meters every partition of usage that it can claim, where there are logs of usage.
    pub meters: bool,
}

impl Roles {
    /// Everything in one process.
    pub const ALL: Self = Self { decides: true, bootstraps: true, meters: true };
}

/// What a platform is made of, beside its ports.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub views: Vec<Arc<dyn View>>,
    /// Each loads from one of `views`.
    pub lives: Vec<Arc<dyn LiveKind>>,
    pub consumers: Vec<Arc<dyn React>>,
    /// Consumers that other processes run, or share with this one.
    pub consumers_elsewhere: Vec<&'static str>,
    /// Whose meters count what; when absent, the snapshots among `lives` say so.
    pub definitions: Option<Arc<dyn DefinitionsSource>>,
    /// Which partitions this process works on; when absent, it is the only process.
    pub membership: Option<Arc<dyn Membership>>,
    /// What operators tell this process from others by; empty where it is the only one.
    pub process: String,
    /// Topics that others read.
    pub outlets: Outlets,
}

/// A running platform. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Platform {
    pub ports: Ports,
    pub tail: Arc<Tail>,
    pub gateway: Gateway,
    pub views: Views,
    lives: Lives,
    pub(crate) draining: Arc<AtomicBool>,
    pub(crate) bootstraps: bool,
    /// By consumer, of this process alone.
    pub cursors: Arc<BTreeMap<&'static str, Arc<Cursors>>>,
    /// Consumers whose other cursors are where other processes have written them.
    pub consumers_elsewhere: Arc<[&'static str]>,
    /// Where what is said of persons is encrypted and read.
    pub vault: Option<Vault>,
    /// Of usage, where this process meters it or answers for it.
    pub meters: Option<Meters>,
    /// Of a process that shares its work with others.
    pub membership: Option<Arc<dyn Membership>>,
    /// What operators tell it from others by.
    pub process: Arc<str>,
}

impl Platform {
    /// Starts every role in this process.
    pub async fn start(ports: Ports, given: Parts) -> Result<Self, EngineError> {
        Self::start_as(Roles::ALL, ports, given).await
    }

    /// Starts some roles in this process.
    pub async fn start_as(roles: Roles, ports: Ports, given: Parts) -> Result<Self, EngineError> {
        let tail = Arc::new(Tail::new(ports.clone()));
        let shares = Shares::new(given.membership.as_ref(), tail.partitions());
        // Before the gateway: what a reply tells of is in the snapshots by then.
        let lives = Lives::open(&ports, &tail, &given.lives);
        let definitions = match given.definitions {
            Some(given) => Some(given),
            None => LiveDefinitions::open(&lives, &tail).map(|it| it as Arc<dyn DefinitionsSource>),
        };
        let gateway = Gateway::new(ports.clone(), Arc::clone(&tail));
        tell_failures(&ports, &gateway, &given.process);
        start_deciders(roles, &ports, &gateway, &shares).await?;
        let mut handles = Vec::new();
        let notices = Arc::new(clock::Notices::new(tail.partitions()));
        for view in given.views {
            let view = if view.name() == TIMERS {
                Arc::new(clock::Noting { view, notices: Arc::clone(&notices) })
            } else {
                view
            };
            handles
                .push(projector::start(&ports, &tail, view, shares.of(Group::Projectors)).await?);
        }
        let views = Views::new(handles);
        lives.connect(&views)?;
        let metering = (&shares, gateway.failures(), &given.outlets);
        let meters = start_meters(roles, &ports, definitions, metering);
        if let (true, Some(meters), Some(view), Some(quotas)) =
            (roles.meters, &meters, views.get(QUOTAS), lives.get())
        {
            let (ports, gateway, meters) = (ports.clone(), gateway.clone(), meters.clone());
            let (view, entitlements) = (Arc::clone(view), lives.get());
            let watch = thresholds::Watch { ports, gateway, meters, view, quotas, entitlements };
            watch.start(THRESHOLDS);
        }
        let cursors = start_consumers(given.consumers, &ports, &gateway, &shares);
        if let Some(timers) = views.get(TIMERS) {
            // Who folds the timers of a partition hears of them first.
            let sources = clock::Sources { view: Arc::clone(timers), notices };
            let share = shares.of(Group::Projectors);
            let run = clock::run(ports.clone(), gateway.clone(), sources, share);
            ports.runtime.spawn(CLOCK, Box::pin(run));
        }
        if let Some(audit) = &given.outlets.audit {
            audit_topic::start(SEALER, &ports, &tail, audit, &shares.of(Group::Sealers));
        }
        let cursors = Arc::new(cursors);
        let draining = Arc::new(AtomicBool::new(false));
        let (vault, membership) = (None, given.membership);
        let platform = Self {
            ports,
            tail,
            gateway,
            views,
            lives,
            draining,
            bootstraps: roles.bootstraps,
            cursors,
            consumers_elsewhere: given.consumers_elsewhere.into(),
            vault,
            meters,
            membership,
            process: given.process.into(),
        };
        if roles.bootstraps {
            platform.ports.runtime.spawn(BOOTSTRAP, Box::pin(platform.clone().bootstrap()));
        }
        Ok(platform)
    }

    /// The platform with a vault for what is said of persons. Resolves when every
    /// erasure that the journal holds is applied to it: nothing may be served before.
    pub async fn with_vault(self, vault: Vault) -> Result<Self, EngineError> {
        erasures::start(&self.ports, &self.tail, &vault).await?;
        Ok(Self { vault: Some(vault), ..self })
    }

    /// Sees to it that the root tenant exists.
    async fn bootstrap(self) -> Result<(), TaskError> {
        let invalid = |error: exchequer_types::IdError| TaskError(error.to_string());
        loop {
            let submission = Submission::new(
                StreamId::Tenant(TenantId::platform()),
                Issuer::parse("bootstrap").map_err(invalid)?,
                CommandId::parse("bootstrap").map_err(invalid)?,
                ActorId::parse("bootstrap").map_err(invalid)?,
                Command::Tenants(tenants::Command::Bootstrap(tenants::Bootstrap {
                    name: "Platform".to_owned(),
                })),
            );
            let answer = self.gateway.submit(submission, BOOTSTRAP_PATIENCE).await;
            match answer.map(|answer| answer.status()) {
                Ok(Some(Status::Accepted | Status::Rejected)) => return Ok(()),
                _ => self.ports.runtime.sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Builds `view` anew beside the old one; gives the generation, or None when
    /// there is no such view.
    pub async fn rebuild(&self, view: &str) -> Result<Option<u64>, EngineError> {
        match self.views.get(view) {
            Some(handle) => projector::rebuild(&self.ports, &self.tail, handle).await.map(Some),
            None => Ok(None),
        }
    }

    /// Brings the gauges up to date: they are computed when they are asked for.
    pub async fn refresh_gauges(&self) {
        let now = self.ports.runtime.now();
        for handle in self.views.iter() {
            let lag = handle.lag(&self.tail, now);
            Metric::ViewLagEvents.gauge(&[lag.view]).set(lag.events as f64);
            Metric::ViewLagSeconds.gauge(&[lag.view]).set(lag.seconds);
        }
        for (consumer, cursors) in self.cursors.iter() {
            let lags = cursors.lags(&self.tail);
            for destination in 0..self.tail.partitions() {
                let labels = [*consumer, &destination.to_string()];
                // One that is another process's is told of there.
                let lag = lags.get(&destination).copied().unwrap_or(0);
                Metric::CursorLagEvents.gauge(&labels).set(lag as f64);
            }
        }
        self.lives.refresh_gauges();
        if let Some(meters) = &self.meters {
            let states = (0..).map(PartitionId).zip(meters.states());
            let lags = states.map(async |(partition, state)| {
                // One that another process meters is told of there.
                let lag = if state.followed { Some(0) } else { meters.lag(partition).await };
                if let Some(lag) = lag {
                    let label = partition.to_string();
                    Metric::UsageLagRecords.gauge(&[&label]).set(lag as f64);
                }
            });
            join_all(lags).await;
            Metric::UsageUnwrittenBytes.gauge(&[]).set(meters.live.bytes() as f64);
        }
        Metric::CommandsWaiting.gauge(&[]).set(self.gateway.waiting() as f64);
    }

    /// A view that this platform was started with.
    pub fn view(&self, name: &str) -> Option<&Arc<ViewHandle>> {
        self.views.get(name)
    }

    /// The live snapshots of a kind that this platform was started with.
    pub fn live<L>(&self) -> Option<Arc<LiveView<L>>>
    where
        L: LoadLive<Entry = Entry> + Send + Sync + 'static,
    {
        self.lives.get()
    }
}

fn start_consumers(
    consumers: Vec<Arc<dyn React>>,
    ports: &Ports,
    gateway: &Gateway,
    shares: &Shares,
) -> BTreeMap<&'static str, Arc<Cursors>> {
    let mut cursors = BTreeMap::new();
    for react in consumers {
        let states = Arc::new(Cursors::default());
        cursors.insert(react.name(), Arc::clone(&states));
        let share = shares.of(Group::Consumers);
        let run = reactor::run(ports.clone(), gateway.clone(), react, states, share);
        ports.runtime.spawn(REACTOR, Box::pin(run));
    }
    cursors
}

/// Others are told what fails here, where there are others.
fn tell_failures(ports: &Ports, gateway: &Gateway, process: &str) {
    if !process.is_empty() {
        let failures = Arc::clone(gateway.failures());
        let tell = failures::tell(ports.clone(), failures, process.to_owned());
        ports.runtime.spawn(TELLING, Box::pin(tell));
    }
}

/// What this process shares with others, by group.
struct Shares {
    membership: Arc<dyn Membership>,
    /// Are there other processes?
    are_others: bool,
}

impl Shares {
    fn new(given: Option<&Arc<dyn Membership>>, partitions: u32) -> Self {
        let membership = match given {
            Some(given) => Arc::clone(given),
            None => Arc::new(Alone::new(partitions)),
        };
        Self { membership, are_others: given.is_some() }
    }

    fn of(&self, group: Group) -> Share {
        Share::of(&self.membership, group, self.are_others)
    }
}

/// A decider for each partition that is this process's own; the others are followed.
async fn start_deciders(
    roles: Roles,
    ports: &Ports,
    gateway: &Gateway,
    shares: &Shares,
) -> Result<(), EngineError> {
    let tail = gateway.tail();
    for partition in (0..tail.partitions()).map(PartitionId) {
        if shares.are_others {
            tail.begin_at_checkpoint(partition).await?;
        }
        let (ports, tail) = (ports.clone(), Arc::clone(tail));
        let runtime = Arc::clone(&ports.runtime);
        if roles.decides {
            let own = shares.of(Group::Deciders).partition(partition);
            let failing = Arc::clone(gateway.failures());
            runtime.spawn(DECIDER, Box::pin(decider::share(ports, tail, failing, own)));
        } else {
            runtime.spawn(FOLLOWER, Box::pin(async move { tail.follow_on(partition).await }));
        }
    }
    Ok(())
}

/// A meter for each partition of usage that is this process's own, where there are logs of
/// it; how far the others are is read where their meters write it.
fn start_meters(
    roles: Roles,
    ports: &Ports,
    definitions: Option<Arc<dyn DefinitionsSource>>,
    (shares, failures, outlets): (&Shares, &Arc<Failures>, &Outlets),
) -> Option<Meters> {
    let (runtime, flushes_max) = (Arc::clone(&ports.runtime), ports.settings.usage.flushes_max);
    let meters = Meters::new(ports.usage.clone()?, definitions?, runtime, flushes_max);
    let share = if roles.meters { shares.of(Group::Meters) } else { Share::none(Group::Meters) };
    for partition in (0..meters.partitions()).map(PartitionId) {
        if !roles.meters && !shares.are_others {
            continue;
        }
        let (ports, meters) = (ports.clone(), meters.clone());
        let (failures, letters) = (Arc::clone(failures), outlets.dead_letters.clone());
        let context = meter::Context { ports, meters, failures, letters };
        let (runtime, own) = (Arc::clone(&context.ports.runtime), share.partition(partition));
        runtime.spawn(METER, Box::pin(meter::share(context, own)));
    }
    Some(meters)
}
