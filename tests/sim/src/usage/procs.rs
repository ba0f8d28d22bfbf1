//! Processes that meter: in one piece, or two of them that want the same partitions.

use std::sync::{Arc, Mutex};

use exchequer_engine::{Parts, Platform, Ports, Roles, UsagePorts};
use exchequer_journal::{FaultKind, MemoryInput, MemoryInputLimits};
use exchequer_runtime::{OnEnd, Runtime as _};
use exchequer_types::PartitionId;

use super::Course;
use super::definitions::Heard;
use crate::exec::{Proc, SimRuntime, lock};
use crate::ports::inputs::OwnInputPort;
use crate::ports::journal::JournalPort;
use crate::ports::store::StorePort;
use crate::world::{Log, World};

#[derive(Debug, Default)]
struct Slot {
    proc: Option<Proc>,
    platform: Option<Platform>,
    /// Started whenever it is down.
    wanted: bool,
}

/// All processes that meter. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Procs {
    course: Course,
    slots: Arc<Mutex<Vec<Slot>>>,
    serial: Arc<Mutex<Proc>>,
}

impl Procs {
    pub(super) fn new(course: &Course) -> Self {
        let count = if course.world.is_embedded() { 1 } else { 2 };
        let wanted = |index| index == 0 || course.shaped.rivals;
        let slots = (0..count).map(|index| Slot { wanted: wanted(index), ..Slot::default() });
        let slots = Arc::new(Mutex::new(slots.collect()));
        Self { course: course.clone(), slots, serial: Arc::default() }
    }

    fn world(&self) -> &World {
        &self.course.world
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.slots).len()
    }

    pub(super) fn proc(&self, index: usize) -> Option<Proc> {
        lock(&self.slots)[index].proc
    }

    /// The platform of that slot, once it is up.
    pub(super) fn platform(&self, index: usize) -> Option<(Proc, Platform)> {
        let slots = lock(&self.slots);
        let slot = &slots[index];
        Some((slot.proc?, slot.platform.clone()?))
    }

    pub(super) fn want(&self, index: usize, wanted: bool) {
        lock(&self.slots)[index].wanted = wanted;
    }

    /// Starts the process, unless it is up.
    pub(super) fn start(&self, index: usize) {
        let proc = {
            let mut serial = lock(&self.serial);
            *serial += 1;
            *serial
        };
        {
            let mut slots = lock(&self.slots);
            if slots[index].proc.is_some() {
                return;
            }
            slots[index].proc = Some(proc);
        }
        let sim = &self.world().sim;
        let faulty = self.world().rates().slow > 0;
        let skew_micros = match sim.rng(|rng| rng.below(4)) {
            0 if faulty => sim.within(0, 40_000_000) as i64 - 20_000_000,
            _ => 0,
        };
        sim.note(|| format!("start meters as p{proc}, clock {skew_micros:+} us"));
        let lags = self.course.shaped.lags && !self.course.is_calm();
        let definitions = Heard::begin(&self.course.definitions, sim, proc, lags);
        let ports = self.ports(proc, skew_micros);
        let procs = self.clone();
        sim.clone().spawn_on(proc, async move {
            let roles = Roles { decides: false, bootstraps: false, meters: true };
            let given = Parts { definitions: Some(definitions), ..Parts::default() };
            match Platform::start_as(roles, ports, given).await {
                Ok(platform) => {
                    let mut slots = lock(&procs.slots);
                    if slots[index].proc == Some(proc) {
                        slots[index].platform = Some(platform);
                    }
                }
                Err(error) => {
                    let text = format!("SIM-12 the meters do not start: {error}");
                    procs.world().violation(text);
                }
            }
        });
    }

    fn ports(&self, proc: Proc, skew_micros: i64) -> Ports {
        let world = self.world();
        let runtime = Arc::new(SimRuntime { sim: world.sim.clone(), proc, skew_micros });
        let sim = world.sim.clone();
        let now = Arc::new(move || sim.now_skewed(skew_micros));
        // Nobody commands anything here.
        let limits = MemoryInputLimits { records_max: 1, bytes_max: 1 };
        let queue = MemoryInput::new(world.plan.partitions, runtime.nonce(), limits, now);
        let log = |log| Arc::new(JournalPort(world.clone(), log));
        Ports {
            journal: log(Log::Journal),
            inputs: Arc::new(OwnInputPort { world: world.clone(), queue }),
            store: Arc::new(StorePort(world.clone())),
            runtime,
            key: world.key.clone(),
            settings: Arc::new(world.plan.settings.clone()),
            usage: Some(UsagePorts { log: log(Log::Usage), seals: log(Log::Seals) }),
        }
    }

    /// Kills the process in that slot.
    pub(super) fn kill(&self, index: usize) {
        let (proc, platform) = {
            let mut slots = lock(&self.slots);
            let slot = &mut slots[index];
            (slot.proc.take(), slot.platform.take())
        };
        drop(platform);
        if let Some(proc) = proc {
            self.world().sim.note(|| format!("kill p{proc}"));
            self.world().sim.kill(proc);
            self.world().sim.pause(proc, false);
            if self.world().is_embedded() {
                self.world().cut_off(Some(proc));
            }
        }
    }

    pub(super) fn pause(&self, index: usize, paused: bool) {
        if let Some(proc) = self.proc(index) {
            self.world().sim.note(|| format!("p{proc} paused: {paused}"));
            self.world().sim.pause(proc, paused);
        }
    }

    /// Starts what is down and wanted, for ever. Hears of what ended by itself.
    pub(super) async fn supervise(self) {
        loop {
            self.hear();
            for index in 0..self.len() {
                let is_down = {
                    let slots = lock(&self.slots);
                    slots[index].wanted && slots[index].proc.is_none()
                };
                if is_down && (self.course.is_calm() || self.world().sim.chance(300)) {
                    self.start(index);
                }
            }
            self.world().sim.sleep(100_000).await;
        }
    }

    fn hear(&self) {
        let mut gone: Vec<Proc> = self.world().sim.take_killed();
        for ended in self.world().sim.take_ended() {
            if let Some(error) = &ended.error {
                let name = ended.kind.name;
                self.world().violation(format!("SIM-12 the {name} stopped: {error}"));
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
        for index in 0..self.len() {
            self.listen(index);
        }
    }

    /// A meter that has stopped for good says so.
    fn listen(&self, index: usize) {
        let Some((proc, platform)) = self.platform(index) else { return };
        for (partition, state) in
            platform.meters.iter().flat_map(exchequer_engine::meter::Meters::states).enumerate()
        {
            let Some(fault) = state.fault else { continue };
            if matches!(fault.kind, FaultKind::Stopped) {
                let partition = PartitionId(partition as u32);
                let text = format!("SIM-12 the meter of {partition} at p{proc} stopped: {fault}");
                let mut violations = lock(&self.world().violations);
                if !violations.contains(&text) {
                    violations.push(text);
                }
            }
        }
    }
}
