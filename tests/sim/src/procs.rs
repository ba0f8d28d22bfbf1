//! Processes: what runs in each, how they start on their ports, die, pause, and
//! are started again by a supervisor.

use std::sync::{Arc, Mutex};

use exchequer_consumer_adoption::Adoption;
use exchequer_engine::{
    Commanding, Forwarder, LiveKind, Parts, Platform, Ports, React, Roles, View, ViewOf, live_of,
};
use exchequer_journal::{InputLog, MemoryInput, MemoryInputLimits};
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
use exchequer_runtime::{OnEnd, Runtime};

use crate::exec::{Proc, SimRuntime, lock};
use crate::plan::Shape;
use crate::ports::inputs::{OwnInputPort, SharedInputPort};
use crate::ports::journal::JournalPort;
use crate::ports::store::StorePort;
use crate::world::{Log, World};

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// One of two that decide; at calm times only the first runs.
    Decider(u8),
    Gateway,
    /// Views and the clock.
    Views,
    /// Reactors, and the bootstrap.
    Reactors,
    Everything,
}

#[derive(Debug)]
struct Slot {
    role: Role,
    proc: Option<Proc>,
    platform: Option<Platform>,
    paused: bool,
    /// Started whenever it is down.
    wanted: bool,
}

/// All processes of the deployment. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Procs {
    world: World,
    slots: Arc<Mutex<Vec<Slot>>>,
    serial: Arc<Mutex<Proc>>,
}

pub(crate) fn views() -> Vec<Arc<dyn View>> {
    vec![
        Arc::new(ViewOf { projection: tenants::TenantsView, tables: tenants::TABLES }),
        Arc::new(ViewOf { projection: access::AccessView, tables: access::TABLES }),
        Arc::new(ViewOf { projection: audit::AuditView, tables: audit::TABLES }),
        Arc::new(ViewOf { projection: timers::TimersView, tables: timers::TABLES }),
        Arc::new(ViewOf {
            projection: dead_letters::DeadLettersView,
            tables: dead_letters::TABLES,
        }),
        Arc::new(ViewOf { projection: catalogs::CatalogsView, tables: catalogs::TABLES }),
        Arc::new(ViewOf {
            projection: subscriptions::SubscriptionsView,
            tables: subscriptions::TABLES,
        }),
        Arc::new(ViewOf { projection: flags::FlagsView, tables: flags::TABLES }),
        Arc::new(ViewOf { projection: meters::MetersView, tables: meters::TABLES }),
        Arc::new(ViewOf { projection: quotas::QuotasView, tables: quotas::TABLES }),
        Arc::new(ViewOf {
            projection: entitlements::EntitlementsView,
            tables: entitlements::TABLES,
        }),
    ]
}

/// What is kept in memory where views are.
fn lives() -> Vec<Arc<dyn LiveKind>> {
    vec![
        live_of(entitlements::LiveEntitlements),
        live_of(flags::LiveFlags),
        live_of(meters::LiveMeters),
        live_of(meters::LiveTerms),
        live_of(quotas::LiveQuotas),
        live_of(access::LiveAccess),
    ]
}

impl Procs {
    pub(crate) fn new(world: &World) -> Self {
        let roles = match world.plan.shape {
            Shape::Embedded => vec![Role::Everything],
            Shape::Cluster => vec![
                Role::Decider(0),
                Role::Decider(1),
                Role::Gateway,
                Role::Gateway,
                Role::Views,
                Role::Reactors,
            ],
        };
        let slot = |role| Slot {
            role,
            proc: None,
            platform: None,
            paused: false,
            wanted: role != Role::Decider(1),
        };
        let slots = roles.into_iter().map(slot).collect();
        Self { world: world.clone(), slots: Arc::new(Mutex::new(slots)), serial: Arc::default() }
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.slots).len()
    }

    pub(crate) fn role(&self, index: usize) -> Role {
        lock(&self.slots)[index].role
    }

    pub(crate) fn is_up(&self, index: usize) -> bool {
        lock(&self.slots)[index].proc.is_some()
    }

    /// The platform of a process that has `wanted` roles and is up, chosen by the seed.
    pub(crate) fn platform(&self, wanted: &[Role]) -> Option<(Proc, Platform)> {
        let slots = lock(&self.slots);
        let up: Vec<_> = slots
            .iter()
            .filter(|slot| slot.role == Role::Everything || wanted.contains(&slot.role))
            .filter_map(|slot| Some((slot.proc?, slot.platform.clone()?)))
            .collect();
        if up.is_empty() {
            return None;
        }
        Some(self.world.sim.rng(|rng| rng.pick(&up).clone()))
    }

    /// Commands that each gateway counts as undecided.
    pub(crate) fn waiting(&self) -> Vec<(Role, usize)> {
        let slots = lock(&self.slots);
        let up = slots.iter().filter_map(|slot| Some((slot.role, slot.platform.as_ref()?)));
        up.map(|(role, platform)| (role, platform.gateway.waiting())).collect()
    }

    /// Views with a generation that is being built.
    pub(crate) fn building(&self) -> Vec<&'static str> {
        let slots = lock(&self.slots);
        let views =
            slots.iter().filter_map(|slot| slot.platform.as_ref()).flat_map(|it| it.views.iter());
        views.filter(|view| view.building().is_some()).map(|view| view.view.name()).collect()
    }

    /// Starts the process, unless it is up.
    pub(crate) fn start(&self, index: usize) {
        let proc = {
            let mut serial = lock(&self.serial);
            *serial += 1;
            *serial
        };
        let role = {
            let mut slots = lock(&self.slots);
            let slot = &mut slots[index];
            if slot.proc.is_some() {
                return;
            }
            slot.proc = Some(proc);
            slot.paused = false;
            slot.role
        };
        let faulty = self.world.rates().slow > 0;
        let skew_micros = match self.world.sim.rng(|rng| rng.below(4)) {
            0 if faulty => self.world.sim.within(0, 40_000_000) as i64 - 20_000_000,
            _ => 0,
        };
        self.world.sim.note(|| format!("start {role:?} as p{proc}, clock {skew_micros:+} us"));
        let ports = self.ports(proc, skew_micros);
        let procs = self.clone();
        self.world.sim.spawn_on(proc, async move { procs.boot(index, proc, role, ports).await });
    }

    async fn boot(self, index: usize, proc: Proc, role: Role, ports: Ports) {
        let adoption = Adoption { partitions: self.world.plan.partitions };
        let consumers = || -> Vec<Arc<dyn React>> {
            vec![Arc::new(Commanding(adoption)), Arc::new(Forwarder { ports: ports.clone() })]
        };
        let follows = Roles { decides: false, bootstraps: false, meters: false };
        let (roles, views, lives, consumers) = match role {
            Role::Everything => (Roles::ALL, views(), lives(), consumers()),
            Role::Decider(_) => (Roles { decides: true, ..follows }, vec![], vec![], vec![]),
            Role::Gateway => (follows, vec![], vec![], vec![]),
            Role::Views => (follows, views(), lives(), vec![]),
            Role::Reactors => (Roles { bootstraps: true, ..follows }, vec![], vec![], consumers()),
        };
        let given = Parts { views, lives, consumers, ..Parts::default() };
        match Platform::start_as(roles, ports.clone(), given).await {
            Ok(platform) => {
                let mut slots = lock(&self.slots);
                if slots[index].proc == Some(proc) {
                    slots[index].platform = Some(platform);
                }
            }
            Err(error) if error.is_retryable() => {
                self.world.sim.note(|| format!("start failed: {error}"));
                self.world.sim.kill(proc);
            }
            Err(error) => {
                self.world.violation(format!("SIM-12 {role:?} does not start: {error}"));
                self.world.sim.kill(proc);
            }
        }
    }

    fn ports(&self, proc: Proc, skew_micros: i64) -> Ports {
        let world = &self.world;
        let runtime = Arc::new(SimRuntime { sim: world.sim.clone(), proc, skew_micros });
        let inputs: Arc<dyn InputLog> = match world.plan.shape {
            Shape::Cluster => Arc::new(SharedInputPort(world.clone())),
            Shape::Embedded => {
                let sim = world.sim.clone();
                let limits = MemoryInputLimits { records_max: 100, bytes_max: 1 << 20 };
                let now = Arc::new(move || sim.now_skewed(skew_micros));
                let incarnation = runtime.nonce();
                let queue = MemoryInput::new(world.plan.partitions, incarnation, limits, now);
                Arc::new(OwnInputPort { world: world.clone(), queue })
            }
        };
        Ports {
            journal: Arc::new(JournalPort(world.clone(), Log::Journal)),
            inputs,
            store: Arc::new(StorePort(world.clone())),
            runtime,
            key: world.key.clone(),
            settings: Arc::new(world.plan.settings.clone()),
            usage: None,
        }
    }

    /// Kills the process in that slot. Its platform, and all it waits for, is gone.
    pub(crate) fn kill(&self, index: usize) {
        let (proc, platform) = {
            let mut slots = lock(&self.slots);
            let slot = &mut slots[index];
            slot.paused = false;
            (slot.proc.take(), slot.platform.take())
        };
        drop(platform);
        if let Some(proc) = proc {
            self.world.sim.note(|| format!("kill p{proc}"));
            self.world.sim.kill(proc);
            self.world.sim.pause(proc, false);
            if self.world.is_embedded() {
                self.world.cut_off(Some(proc));
            }
        }
    }

    pub(crate) fn want(&self, index: usize, wanted: bool) {
        lock(&self.slots)[index].wanted = wanted;
    }

    pub(crate) fn pause(&self, index: usize, paused: bool) {
        let proc = {
            let mut slots = lock(&self.slots);
            slots[index].paused = paused;
            slots[index].proc
        };
        if let Some(proc) = proc {
            self.world.sim.note(|| format!("p{proc} paused: {paused}"));
            self.world.sim.pause(proc, paused);
        }
    }

    /// Starts what is down and wanted, for ever. Hears of what ended by itself.
    pub(crate) async fn supervise(self) {
        loop {
            self.hear();
            for index in 0..self.len() {
                let is_down = {
                    let slots = lock(&self.slots);
                    slots[index].wanted && slots[index].proc.is_none()
                };
                if is_down && (self.world.rates().crash == 0 || self.world.sim.chance(300)) {
                    self.start(index);
                }
            }
            self.world.sim.sleep(100_000).await;
        }
    }

    /// Processes that died by themselves leave their slots.
    fn hear(&self) {
        let mut gone: Vec<Proc> = self.world.sim.take_killed();
        for ended in self.world.sim.take_ended() {
            if let Some(error) = &ended.error {
                self.world.sim.note(|| format!("{} ended: {error}", ended.kind.name));
                // A writer that was away for so long that its input is gone.
                if !error.contains("input log begins at") {
                    let name = ended.kind.name;
                    self.world.violation(format!("SIM-12 the {name} stopped: {error}"));
                }
            }
            if ended.kind.on_end == OnEnd::ShutDown {
                gone.push(ended.proc);
            }
        }
        for proc in gone {
            let index = lock(&self.slots).iter().position(|slot| slot.proc == Some(proc));
            if let Some(index) = index {
                self.kill(index);
            }
        }
    }
}
