//! A whole platform on in-memory ports, which outlive it: it is ended and started
//! again on the same journal, store and, if the script says so, input log.

use core::future::Future;
use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use exchequer_codec::Entry;
use exchequer_consumer_adoption::Adoption;
use exchequer_engine::{
    Commanding, Forwarder, Parts, Platform, Ports, React, Seen, Settings, Token, View, ViewOf,
    live_of,
};
use exchequer_journal::{InputLog, MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_kernel::SealKey;
use exchequer_projection_access as access;
use exchequer_projection_audit as audit;
use exchequer_projection_catalogs as catalogs;
use exchequer_projection_dead_letters as dead_letters;
use exchequer_projection_entitlements as entitlements;
use exchequer_projection_flags as flags;
use exchequer_projection_meters as meters;
use exchequer_projection_quotas as quotas;
use exchequer_projection_subscriptions as subscriptions;
use exchequer_projection_tenants as tenants;
use exchequer_projection_timers as timers;
use exchequer_readstore::{LoadLive, MemoryStore, Row};
use exchequer_runtime::{OnEnd, Runtime as _, TaskKind};
use exchequer_types::{PartitionId, Timestamp};

use crate::executor::Executor;

const PARTITIONS: u64 = 16;
/// How long a question to the gateway's memory may take, in virtual time.
const PATIENCE: Duration = Duration::from_secs(5);
const ASKED: TaskKind = TaskKind { name: "asked", on_end: OnEnd::Fine };

/// What a script may set at its head.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) partitions: u32,
    pub(crate) settings: Settings,
}

impl Setup {
    /// Reads the columns of `with`; what is not one of them stays.
    pub(crate) fn read(columns: &mut BTreeMap<String, u64>) -> Self {
        let mut settings = Settings::default();
        let mut take = |key: &str, default: usize| {
            columns.remove(key).and_then(|it| usize::try_from(it).ok()).unwrap_or(default)
        };
        settings.commit_inputs_max = take("commit_inputs_max", settings.commit_inputs_max);
        settings.tenant_commands_max = take("tenant_commands_max", settings.tenant_commands_max);
        settings.view_rows_max = take("view_rows_max", settings.view_rows_max);
        settings.state_bytes_max = take("state_bytes_max", settings.state_bytes_max);
        let partitions = columns.remove("partitions").unwrap_or(PARTITIONS);
        Self { partitions: u32::try_from(partitions).unwrap_or(1).max(1), settings }
    }
}

/// What was asked of the platform, once it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked<T>(Arc<Mutex<Option<T>>>);

impl<T> Asked<T> {
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The platform and what it stands on.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) executor: Executor,
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) store: Arc<MemoryStore>,
    inputs: Arc<MemoryInput>,
    setup: Setup,
    key: SealKey,
    starts: u8,
    platform: Option<Platform>,
}

impl World {
    /// Starts a platform that has never run.
    pub(crate) fn new(setup: Setup, now: Timestamp) -> Result<Self, String> {
        let executor = Executor::starting_at(now);
        let mut world = Self {
            journal: Arc::new(MemoryJournal::new(setup.partitions)),
            store: Arc::new(MemoryStore::with_steps(true, Arc::new(|_| Box::pin(pause())))),
            inputs: inputs(&executor, setup.partitions, 1),
            executor,
            setup,
            key: key("first"),
            starts: 1,
            platform: None,
        };
        world.start()?;
        Ok(world)
    }

    fn start(&mut self) -> Result<(), String> {
        let ports = Ports {
            journal: Arc::<MemoryJournal>::clone(&self.journal),
            inputs: Arc::<MemoryInput>::clone(&self.inputs),
            store: Arc::<MemoryStore>::clone(&self.store),
            runtime: Arc::new(self.executor.clone()),
            key: self.key.clone(),
            settings: Arc::new(self.setup.settings.clone()),
            usage: None,
        };
        let views: Vec<Arc<dyn View>> = vec![
            Arc::new(ViewOf { projection: tenants::TenantsView, tables: tenants::TABLES }),
            Arc::new(ViewOf { projection: catalogs::CatalogsView, tables: catalogs::TABLES }),
            Arc::new(ViewOf {
                projection: subscriptions::SubscriptionsView,
                tables: subscriptions::TABLES,
            }),
            Arc::new(ViewOf {
                projection: entitlements::EntitlementsView,
                tables: entitlements::TABLES,
            }),
            Arc::new(ViewOf { projection: flags::FlagsView, tables: flags::TABLES }),
            Arc::new(ViewOf { projection: meters::MetersView, tables: meters::TABLES }),
            Arc::new(ViewOf { projection: quotas::QuotasView, tables: quotas::TABLES }),
            Arc::new(ViewOf { projection: access::AccessView, tables: access::TABLES }),
            Arc::new(ViewOf { projection: audit::AuditView, tables: audit::TABLES }),
            Arc::new(ViewOf { projection: timers::TimersView, tables: timers::TABLES }),
            Arc::new(ViewOf {
                projection: dead_letters::DeadLettersView,
                tables: dead_letters::TABLES,
            }),
        ];
        let consumers: Vec<Arc<dyn React>> = vec![
            Arc::new(Commanding(Adoption { partitions: self.setup.partitions })),
            Arc::new(Forwarder { ports: ports.clone() }),
        ];
        let lives = vec![
            live_of(entitlements::LiveEntitlements),
            live_of(flags::LiveFlags),
            live_of(meters::LiveMeters),
            live_of(meters::LiveTerms),
            live_of(quotas::LiveQuotas),
            live_of(access::LiveAccess),
        ];
        let given = Parts { views, lives, consumers, ..Parts::default() };
        let started = self.ask(Platform::start(ports, given));
        self.executor.settle();
        let platform = started.take().ok_or("the platform does not start")?;
        self.platform = Some(platform.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Ends every task where it stands.
    pub(crate) fn stop(&mut self) {
        self.platform = None;
        self.executor.clear();
    }

    /// Starts anew, with another key of the deployment if one is named. The input
    /// log is a queue in memory: what it held is lost.
    pub(crate) fn start_anew(&mut self, other_key: Option<&str>) -> Result<(), String> {
        self.stop();
        self.starts += 1;
        self.inputs = inputs(&self.executor, self.setup.partitions, self.starts);
        if let Some(name) = other_key {
            self.key = key(name);
        }
        self.start()
    }

    pub(crate) fn platform(&self) -> Result<&Platform, String> {
        self.platform.as_ref().ok_or_else(|| "the platform does not run".to_owned())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.executor.now()
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        (0..self.setup.partitions).map(PartitionId)
    }

    /// What the gateway has in memory under `key`, loaded if it is not there.
    pub(crate) fn live<L>(&self, key: L::Key) -> Result<Seen<L::Snapshot>, String>
    where
        L: LoadLive<Entry = Entry> + Send + Sync + 'static,
    {
        let live = self.platform()?.live::<L>().ok_or("no such snapshots are kept")?;
        let asked = self.ask(async move { live.get(&key, &Token::default(), PATIENCE).await });
        self.executor.settle();
        let seen = asked.take().ok_or("the gateway does not answer")?;
        seen.map_err(|behind| format!("{behind:?}"))
    }

    /// Asks without waiting for anything.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = T> + Send + 'static,
    ) -> Asked<T> {
        let asked = Asked(Arc::default());
        let answer = Arc::clone(&asked.0);
        let task = async move {
            let it = question.await;
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(it);
            Ok(())
        };
        self.executor.spawn(ASKED, Box::pin(task));
        asked
    }

    /// Records in the journal, over all partitions.
    pub(crate) fn records(&self) -> usize {
        (0..self.setup.partitions).map(|it| self.journal.records(PartitionId(it)).len()).sum()
    }

    /// Puts bytes on the input log of `partition`, as a stranger could.
    pub(crate) fn put(&self, partition: PartitionId, record: Bytes) -> Result<(), String> {
        let lane = exchequer_journal::Lane::Commands;
        let inputs = Arc::clone(&self.inputs);
        let put = self.ask(async move { inputs.submit(lane, partition, record).await });
        self.executor.settle();
        let put = put.take().ok_or("the input log does not answer")?;
        put.map(|_| ()).map_err(|fault| fault.message)
    }

    /// What must hold at the end of every script: no task gave up, no chain is
    /// broken, nobody waits, and each view equals one that is folded from the start.
    pub(crate) fn check(&self) -> Result<(), String> {
        let platform = self.platform()?;
        if let Some(failure) = self.executor.failures().first() {
            return Err(format!("a task gave up: {failure}"));
        }
        for partition in (0..self.setup.partitions).map(PartitionId) {
            let state = platform.tail.state(partition);
            if state.breaks > 0 || state.fault.is_some() {
                return Err(format!("partition {partition}: {state:?}"));
            }
        }
        match platform.gateway.waiting() {
            0 => {}
            waiting => return Err(format!("{waiting} commands are still counted as undecided")),
        }
        let names: Vec<&'static str> = platform.views.iter().map(|it| it.view.name()).collect();
        names.into_iter().try_for_each(|name| self.check_view(platform, name))
    }

    fn check_view(&self, platform: &Platform, name: &'static str) -> Result<(), String> {
        let before = self.rows(platform, name)?;
        let running = platform.clone();
        let rebuilt = self.ask(async move { running.rebuild(name).await });
        self.executor.settle();
        match rebuilt.take() {
            Some(Ok(Some(_))) => {}
            other => return Err(format!("view {name} is not rebuilt: {other:?}")),
        }
        let after = self.rows(platform, name)?;
        let differs = before.iter().zip(&after).find(|(one, other)| one != other);
        match differs {
            None if before.len() == after.len() => Ok(()),
            _ => Err(format!(
                "view {name} is not what its fold from the start gives: {differs:?}, {} rows against {}",
                before.len(),
                after.len()
            )),
        }
    }

    fn rows(&self, platform: &Platform, view: &str) -> Result<Vec<Row>, String> {
        let handle = platform.view(view).ok_or_else(|| format!("there is no view {view}"))?;
        let generation = handle.active().number;
        let tables = handle.view.tables().iter();
        Ok(tables.flat_map(|table| self.store.snapshot(table, generation)).collect())
    }
}

fn inputs(executor: &Executor, partitions: u32, starts: u8) -> Arc<MemoryInput> {
    let clock = executor.clone();
    let now = Arc::new(move || clock.now());
    Arc::new(MemoryInput::new(partitions, [starts; 16], MemoryInputLimits::default(), now))
}

/// Lets everyone else go on first, so that what happens between two writes of the
/// store happens.
async fn pause() {
    let mut is_first = true;
    core::future::poll_fn(move |context| {
        if core::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// The deployment's key that a script calls `name`.
pub(crate) fn key(name: &str) -> SealKey {
    let mut bytes = [0; 32];
    for (byte, letter) in bytes.iter_mut().zip(name.bytes()) {
        *byte = letter;
    }
    SealKey::new(&bytes)
}
