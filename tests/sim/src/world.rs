//! What outlives every process: the logs, the read store, what is on its way
//! through the network, and what is known of how it went.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use exchequer_codec::usage::{decode_record, encode_correction, encode_refused};
use exchequer_journal::MemoryJournal;
use exchequer_kernel::SealKey;
use exchequer_proto::usage::v1::{UsageRecord, usage_record::Body};
use exchequer_types::{LogId, PartitionId, Timestamp};
use prost::Message as _;

use crate::exec::{OUTSIDE, Proc, Sim, lock};
use crate::plan::{Plan, Rates, Shape};
use crate::ports::inputs::SharedInputs;
use crate::ports::store::StoreState;
use crate::workload::{Asked, Evaluated, Glance, Look};

/// A log that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Journal,
    Usage,
    Seals,
}

/// An append that was sent and has not landed.
#[derive(Debug)]
pub(crate) struct Underway {
    pub(crate) proc: Proc,
    pub(crate) log: Log,
    pub(crate) partition: PartitionId,
    pub(crate) records: Vec<Bytes>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) sim: Sim,
    pub(crate) plan: Plan,
    pub(crate) key: SealKey,
    pub(crate) journal: MemoryJournal,
    pub(crate) usage: MemoryJournal,
    pub(crate) seals: MemoryJournal,
    /// By partition: when the last record of usage was received.
    received: Mutex<Vec<Timestamp>>,
    pub(crate) inputs: SharedInputs,
    pub(crate) store: Mutex<StoreState>,
    pub(crate) rates: Mutex<Rates>,
    /// With the last number that was given out.
    pub(crate) underway: Mutex<(u64, BTreeMap<u64, Underway>)>,
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
            usage: MemoryJournal::new(plan.partitions),
            seals: MemoryJournal::new(plan.partitions),
            received: Mutex::new(vec![Timestamp::MIN; plan.partitions as usize]),
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
        let underway = &mut underway.1;
        let ids: Vec<u64> = underway
            .iter()
            .filter(|(_, it)| proc.is_none_or(|proc| it.proc == proc))
            .map(|(id, _)| *id)
            .collect();
        let kept = self.sim.rng(|rng| rng.below(ids.len() as u64 + 1));
        for (index, id) in (0..).zip(ids) {
            let Some(it) = underway.remove(&id) else { continue };
            if index < kept {
                self.land(it.log, it.partition, it.records);
            }
        }
    }

    pub(crate) fn land(&self, log: Log, partition: PartitionId, records: Vec<Bytes>) -> u64 {
        let records = match log {
            Log::Usage => records.into_iter().map(|it| self.received(partition, it)).collect(),
            Log::Journal | Log::Seals => records,
        };
        let offset = self.log(log).push_all(partition, records);
        self.sim.note(|| format!("{} {partition} +{offset}", format!("{log:?}").to_lowercase()));
        offset
    }

    pub(crate) fn log(&self, log: Log) -> &MemoryJournal {
        match log {
            Log::Journal => &self.journal,
            Log::Usage => &self.usage,
            Log::Seals => &self.seals,
        }
    }

    /// What comes from outside is stamped where it lands, by a clock that never goes back;
    /// what a meter sends on carries its stamp.
    fn received(&self, partition: PartitionId, record: Bytes) -> Bytes {
        let mut clocks = lock(&self.received);
        let last = &mut clocks[partition.index()];
        let message = UsageRecord::decode(record.clone()).ok().filter(|it| it.received_at == 0);
        let Some(mut message) = message else {
            *last = (*last).max(decode_record(&record, None).received_at);
            return record;
        };
        let skew = lock(&self.inputs.skew_micros)[partition.index()];
        *last = self.sim.now_skewed(skew).max(*last);
        match message.body {
            Some(Body::Refused(it)) => encode_refused(*last, it, &self.key),
            Some(Body::Correction(it)) => encode_correction(*last, it, &self.key),
            _ => {
                message.received_at = last.micros();
                Bytes::from(message.encode_to_vec())
            }
        }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.plan.shape == Shape::Embedded
    }
}
