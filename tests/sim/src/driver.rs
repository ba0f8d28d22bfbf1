//! What befalls the deployment: processes die and pause, power goes, deciders
//! change places, clocks run ahead, inputs pass their retention, strangers write
//! to the logs, views are rebuilt, and days pass at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use exchequer_journal::Lane;
use exchequer_kernel::mutation;
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::PartitionId;
use prost::Message as _;

use crate::check::chain;
use crate::exec::lock;
use crate::procs::{Procs, Role, views};
use crate::workload::{People, customer, provider, rename, sandbox, tenant};
use crate::world::World;

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;
/// Once faults stop, everybody must have been answered after this long.
const ANSWERED_WITHIN: u64 = 400 * SECOND;
/// In calm, one command must be answered after this long, whatever floods.
const CALM_ANSWER_WITHIN: u64 = 60 * SECOND;
/// Views, cursors and cells have come to rest after this long.
const SETTLE: u64 = 100 * SECOND;

#[derive(Clone, Debug)]
pub(crate) struct Driver {
    pub(crate) world: World,
    pub(crate) procs: Procs,
    pub(crate) people: People,
    pub(crate) is_over: Arc<AtomicBool>,
}

impl Driver {
    /// The whole course of a run.
    pub(crate) async fn direct(self) {
        let sim = self.world.sim.clone();
        for _ in 0..self.world.plan.clients {
            let rng = sim.rng(crate::rng::Rng::fork);
            sim.spawn_on(0, self.people.clone().client(rng));
        }
        for number in 0..self.world.plan.providers {
            let rng = sim.rng(crate::rng::Rng::fork);
            sim.spawn_on(0, self.people.clone().merchant(number, rng));
        }
        for _ in 0..self.world.plan.shoppers {
            let rng = sim.rng(crate::rng::Rng::fork);
            sim.spawn_on(0, self.people.clone().shopper(rng));
        }
        for _ in 0..self.world.plan.personnel {
            let rng = sim.rng(crate::rng::Rng::fork);
            sim.spawn_on(0, self.people.clone().personnel(rng));
        }
        for number in 0..self.world.plan.holders {
            let rng = sim.rng(crate::rng::Rng::fork);
            sim.spawn_on(0, self.people.clone().holder(number, rng));
        }
        let end = sim.micros() + self.world.plan.storm_micros;
        while sim.micros() < end {
            let mean = self.world.plan.intervention_micros;
            let wait = sim.within(mean / 4, mean * 2);
            sim.sleep(wait).await;
            self.intervene();
        }
        self.calm();
        if self.everyone_is_answered().await {
            self.let_months_pass().await;
            self.epilogue().await;
            sim.sleep(SETTLE).await;
            for view in self.procs.building() {
                self.world.violation(format!("SIM-8 the rebuild of {view} does not end"));
            }
            for (role, waiting) in self.procs.waiting() {
                if waiting > 0 {
                    let text = format!("SIM-15 {role:?} counts {waiting} commands as undecided");
                    self.world.violation(text);
                }
            }
        }
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn calm(&self) {
        self.world.calm();
        self.release_all();
        for index in 0..self.procs.len() {
            self.procs.pause(index, false);
            let is_second = self.procs.role(index) == Role::Decider(1);
            self.procs.want(index, !is_second);
            if is_second {
                self.procs.kill(index);
            }
        }
    }

    /// The bug is mended, and an operator releases whom it had parked.
    fn release_all(&self) {
        if self.world.plan.poisoned.is_none() {
            return;
        }
        mutation::poison(None);
        let plan = &self.world.plan;
        let all = (0..plan.tenants).map(tenant).chain((0..plan.providers).map(provider));
        let all = all.chain((0..plan.customers).map(customer));
        for tenant in all.chain((0..plan.sandboxes).map(sandbox)) {
            let release = Command::Release { reason: "mended".to_owned() };
            let submission = self.people.submission(&tenant, release);
            let people = self.people.clone();
            self.world.sim.spawn_on(0, async move {
                people.busy.fetch_add(1, Ordering::Relaxed);
                people.ask(submission).await;
                people.busy.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    async fn everyone_is_answered(&self) -> bool {
        let sim = &self.world.sim;
        let deadline = sim.micros() + ANSWERED_WITHIN;
        while self.people.busy.load(Ordering::Relaxed) > 0 {
            if sim.micros() > deadline {
                let asked = lock(&self.world.asked);
                let waiting: Vec<_> = asked
                    .iter()
                    .filter(|it| it.answers.is_empty() && !it.refused)
                    .map(|it| format!("{} {}", it.submission.stream, it.submission.id))
                    .take(5)
                    .collect();
                drop(asked);
                let text = format!("SIM-11 not answered long after the faults: {waiting:?}");
                self.world.violation(text);
                return false;
            }
            sim.sleep(500_000).await;
        }
        true
    }

    /// In calm: subscriptions renew, trials end and grants expire, month after month.
    async fn let_months_pass(&self) {
        if !self.world.plan.months_pass {
            return;
        }
        let sim = &self.world.sim;
        for _ in 0..sim.within(3, 12) {
            self.leap_weeks();
            let mut rng = sim.rng(crate::rng::Rng::fork);
            // Somebody may be faster than the clock, and find much that is due.
            for _ in 0..rng.below(6) {
                let people = self.people.clone();
                let number = rng.below(self.world.plan.customers);
                let submission = people.submission(&customer(number), rename(&mut rng));
                sim.spawn_on(0, async move {
                    people.ask(submission).await;
                });
            }
            sim.sleep(sim.within(2, 8) * SECOND).await;
        }
    }

    /// Sometimes so many that one command cannot decide all that fell due.
    fn leap_weeks(&self) {
        let sim = &self.world.sim;
        let days = if sim.chance(150) { sim.within(66, 160) } else { sim.within(1, 40) };
        sim.leap(days * DAY);
    }

    /// In calm: while one tenant floods, each other one is answered soon.
    async fn epilogue(&self) {
        let sim = &self.world.sim;
        let mut rng = sim.rng(crate::rng::Rng::fork);
        let flooded = rng.below(self.world.plan.tenants);
        for _ in 0..40 {
            let submission = self.people.submission(&tenant(flooded), rename(&mut rng));
            let people = self.people.clone();
            sim.spawn_on(0, async move {
                people.ask(submission).await;
            });
        }
        for number in (0..self.world.plan.tenants).filter(|it| *it != flooded) {
            let begun = sim.micros();
            let submission = self.people.submission(&tenant(number), rename(&mut rng));
            self.people.ask(submission).await;
            let taken = sim.micros() - begun;
            if taken > CALM_ANSWER_WITHIN {
                let text = format!("SIM-11 t{number} waited {taken} us while t{flooded} floods");
                self.world.violation(text);
            }
        }
    }

    fn intervene(&self) {
        let sim = &self.world.sim;
        if self.world.plan.months_pass && sim.chance(60) {
            return self.leap_weeks();
        }
        let index = sim.within(0, self.procs.len() as u64) as usize;
        match sim.within(0, 100) {
            0..15 => self.procs.kill(index),
            15..30 => self.pause_for(index, sim.within(10_000, 4 * SECOND)),
            30..45 => self.rebalance(),
            45..50 => self.power_loss(),
            50..60 => self.rebuild(),
            60..68 => self.garbage(),
            68..76 => self.duplicate(),
            76..84 => self.skew(),
            84..94 => self.retention(),
            94..99 => sim.leap(sim.within(1, 3_600) * SECOND),
            _ => sim.leap(sim.within(1, 9) * DAY),
        }
    }

    fn pause_for(&self, index: usize, micros: u64) {
        if !self.procs.is_up(index) {
            return;
        }
        self.procs.pause(index, true);
        let driver = self.clone();
        let sim = self.world.sim.clone();
        self.world.sim.spawn_on(0, async move {
            sim.sleep(micros).await;
            driver.procs.pause(index, false);
        });
    }

    /// The second decider comes up beside the first one, which may be frozen, and
    /// later one of them goes.
    fn rebalance(&self) {
        if self.world.is_embedded() || self.procs.is_up(1) {
            return;
        }
        let sim = self.world.sim.clone();
        sim.note(|| "rebalance".to_owned());
        if sim.chance(600) {
            self.pause_for(0, sim.within(10_000, 3 * SECOND));
        }
        self.procs.start(1);
        let driver = self.clone();
        self.world.sim.spawn_on(0, async move {
            let wait = sim.within(50_000, 4 * SECOND);
            sim.sleep(wait).await;
            let goes = usize::from(sim.chance(600));
            driver.procs.kill(goes);
            if goes == 0 {
                // The supervisor starts it again, and for a while there are two.
                let wait = sim.within(50_000, 3 * SECOND);
                sim.sleep(wait).await;
                driver.procs.kill(1);
            }
        });
    }

    fn power_loss(&self) {
        self.world.sim.note(|| "power loss".to_owned());
        self.world.cut_off(None);
        for index in 0..self.procs.len() {
            self.procs.kill(index);
        }
        if self.world.is_embedded() {
            self.world.lose_unsynced_rows();
        }
    }

    fn rebuild(&self) {
        let Some((proc, platform)) = self.procs.platform(&[Role::Views]) else { return };
        let names: Vec<&str> = views().iter().map(|view| view.name()).collect();
        let name = *self.world.sim.rng(|rng| rng.pick(&names));
        let sim = self.world.sim.clone();
        self.world.sim.spawn_on(proc, async move {
            let begun = platform.rebuild(name).await;
            sim.note(|| format!("rebuild {name}: {begun:?}"));
        });
    }

    fn partition(&self) -> PartitionId {
        PartitionId(self.world.sim.within(0, u64::from(self.world.plan.partitions)) as u32)
    }

    fn lane(&self) -> Lane {
        if self.world.sim.chance(700) { Lane::Commands } else { Lane::Internal }
    }

    /// Records that nobody sealed, one of them nearly a command.
    fn garbage(&self) {
        let (lane, partition) = (self.lane(), self.partition());
        let nth = self.world.sim.within(0, 1 << 20);
        let sample = self.world.inputs.sample(lane, partition, nth);
        let forged = sample.and_then(|bytes| {
            let mut sealed = pb::SealedCommand::decode(bytes).ok()?;
            sealed.mac = Bytes::from(vec![1; 32]);
            Some(Bytes::from(sealed.encode_to_vec()))
        });
        let junk = Bytes::from(vec![0x5a; self.world.sim.within(0, 60) as usize]);
        let record = forged.filter(|_| self.world.sim.chance(600)).unwrap_or(junk);
        self.strange_input(lane, partition, record);
    }

    /// A sealed command once more, on the same partition or on another one.
    fn duplicate(&self) {
        let (lane, partition) = (self.lane(), self.partition());
        let nth = self.world.sim.within(0, 1 << 20);
        let Some(record) = self.world.inputs.sample(lane, partition, nth) else { return };
        let partition = if self.world.sim.chance(300) { self.partition() } else { partition };
        self.world.put_input(lane, partition, record);
    }

    fn strange_input(&self, lane: Lane, partition: PartitionId, record: Bytes) {
        if !self.world.is_embedded() {
            self.world.put_input(lane, partition, record);
            return;
        }
        let Some((proc, platform)) = self.procs.platform(&[]) else { return };
        self.world.sim.spawn_on(proc, async move {
            // Refused or not: it is nobody's command.
            let _ = platform.ports.inputs.submit(lane, partition, record).await;
        });
    }

    fn skew(&self) {
        let sim = &self.world.sim;
        let micros = match sim.within(0, 10) {
            0..6 => sim.within(0, 60 * SECOND) as i64 - 30 * SECOND as i64,
            6 => sim.within(61 * SECOND, 100 * SECOND) as i64,
            _ => 0,
        };
        let partition = self.partition();
        sim.note(|| format!("broker of {partition}: clock {micros:+} us"));
        lock(&self.world.inputs.skew_micros)[partition.index()] = micros;
    }

    /// Inputs that are decided pass their retention.
    fn retention(&self) {
        if self.world.is_embedded() {
            return;
        }
        let weakened = crate::weakened();
        mutation::set(None);
        let partition = self.partition();
        let lows = chain::decided_below(&self.world, partition);
        mutation::set(weakened);
        for lane in Lane::ALL {
            let low = lows[lane.index()];
            self.world.sim.note(|| format!("{lane:?} {partition} expires below {low}"));
            self.world.inputs.expire(lane, partition, low);
        }
    }
}
