//! What outlives every process: the logs, the read store, what is on its way
//! through the network, and what is known of how it went.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use exchequer_journal::MemoryJournal;
use exchequer_kernel::SealKey;
use exchequer_types::{LogId, PartitionId};

use crate::exec::{OUTSIDE, Proc, Sim, lock};
use crate::plan::{Plan, Rates, Shape};
use crate::ports::inputs::SharedInputs;
use crate::ports::store::StoreState;
use crate::workload::{Asked, Evaluated, Glance, Look};

/// An append that was sent and has not landed.
#[derive(Debug)]
pub(crate) struct Underway {
    pub(crate) proc: Proc,
    pub(crate) partition: PartitionId,
    pub(crate) records: Vec<Bytes>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) sim: Sim,
    pub(crate) plan: Plan,
    pub(crate) key: SealKey,
    pub(crate) journal: MemoryJournal,
    pub(crate) inputs: SharedInputs,
    pub(crate) store: Mutex<StoreState>,
    pub(crate) rates: Mutex<Rates>,
    pub(crate) underway: Mutex<BTreeMap<u64, Underway>>,
    pub(crate) asked: Mutex<Vec<Asked>>,
    /// What gateways said of entitlements.
    pub(crate) glances: Mutex<Vec<Glance>>,
    pub(crate) looks: Mutex<Vec<Look>>,
    /// What gateways said of flags.
    pub(crate) evaluated: Mutex<Vec<Evaluated>>,
    pub(crate) violations: Mutex<Vec<String>>,
}

/// The world. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct World(pub(crate) Arc<Shared>);

impl core::ops::Deref for World {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl World {
    pub(crate) fn new(sim: Sim, plan: Plan) -> Self {
        let log = |sim: &Sim| {
            let id = sim.rng(|rng| (rng.next(), rng.next()));
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&id.0.to_le_bytes());
            bytes[8..].copy_from_slice(&id.1.to_le_bytes());
            LogId(bytes)
        };
        let ids = [log(&sim), log(&sim)];
        let shared = Shared {
            key: SealKey::new(&[7; 32]),
            journal: MemoryJournal::new(plan.partitions),
            inputs: SharedInputs::new(plan.partitions, ids),
            store: Mutex::new(StoreState::new(plan.atomic_store)),
            rates: Mutex::new(plan.rates),
            underway: Mutex::default(),
            asked: Mutex::default(),
            glances: Mutex::default(),
            looks: Mutex::default(),
            evaluated: Mutex::default(),
            violations: Mutex::default(),
            sim,
            plan,
        };
        Self(Arc::new(shared))
    }

    pub(crate) fn rates(&self) -> Rates {
        *lock(&self.rates)
    }

    /// No more faults from now on.
    pub(crate) fn calm(&self) {
        *lock(&self.rates) = Rates::NONE;
        lock(&self.inputs.skew_micros).fill(0);
        self.sim.note(|| "calm".to_owned());
    }

    pub(crate) fn violation(&self, text: String) {
        self.sim.note(|| format!("VIOLATION {text}"));
        lock(&self.violations).push(text);
    }

    /// One step of a port: time passes, and the process may die here.
    pub(crate) async fn step(&self, name: &str) {
        let proc = self.sim.running();
        let rates = self.rates();
        if proc != OUTSIDE && self.sim.chance(rates.crash) {
            self.sim.note(|| format!("crash at {name}"));
            self.sim.kill(proc);
            core::future::pending::<()>().await;
        }
        self.delay(rates).await;
    }

    /// As long as a call takes.
    pub(crate) async fn delay(&self, rates: Rates) {
        let micros = if self.sim.chance(rates.slow) {
            self.sim.within(100_000, 3_000_000)
        } else if self.sim.chance(600) {
            1
        } else {
            self.sim.within(10, 2_000)
        };
        self.sim.sleep(micros).await;
    }

    /// Puts what is underway from `proc` (None: from everyone) on the log up to a
    /// random point, and loses the rest: a process that writes to its own disk
    /// dies, or all power goes.
    pub(crate) fn cut_off(&self, proc: Option<Proc>) {
        let mut underway = lock(&self.underway);
        let ids: Vec<u64> = underway
            .iter()
            .filter(|(_, it)| proc.is_none_or(|proc| it.proc == proc))
            .map(|(id, _)| *id)
            .collect();
        let kept = self.sim.rng(|rng| rng.below(ids.len() as u64 + 1));
        for (index, id) in (0..).zip(ids) {
            let Some(it) = underway.remove(&id) else { continue };
            if index < kept {
                self.land(it.partition, it.records);
            }
        }
    }

    pub(crate) fn land(&self, partition: PartitionId, records: Vec<Bytes>) -> u64 {
        let offset = self.journal.push_all(partition, records);
        self.sim.note(|| format!("journal {partition} +{offset}"));
        offset
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.plan.shape == Shape::Embedded
    }
}
