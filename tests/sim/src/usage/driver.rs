//! The course of usage from its beginning to rest: the storm, the calm, and what is asked
//! of the views on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use exchequer_projection_usage::{Kept, Query, Step, TOP_MAX, query};
use exchequer_types::{PartitionId, Timestamp};

use super::procs::Procs;
use super::{Asked, Course, DAY, Glance, SECOND, What, tenant};
use crate::exec::{EPOCH_MICROS, OUTSIDE, lock};
use crate::rng::Rng;

/// Once faults stop, everybody has sent everything after this long.
const SENT_WITHIN: u64 = 400 * SECOND;
/// Everything is sealed, looked at again and written after this long.
const SETTLE: u64 = 130 * SECOND;

#[derive(Clone, Debug)]
pub(super) struct Driver {
    pub(super) course: Course,
    pub(super) procs: Procs,
    pub(super) is_over: Arc<AtomicBool>,
}

impl Driver {
    pub(super) async fn direct(self) {
        let (sim, course) = (self.course.world.sim.clone(), &self.course);
        for _ in 0..course.shaped.gateways {
            let rng = sim.rng(Rng::fork);
            sim.spawn_on(OUTSIDE, course.clone().gateway(self.procs.clone(), rng));
        }
        let rng = sim.rng(Rng::fork);
        sim.spawn_on(OUTSIDE, course.clone().corrector(self.procs.clone(), rng));
        let rng = sim.rng(Rng::fork);
        sim.spawn_on(OUTSIDE, course.clone().definer(rng));
        let end = sim.micros() + course.world.plan.storm_micros;
        while sim.micros() < end {
            let mean = course.world.plan.intervention_micros / 2;
            sim.sleep(sim.within(mean / 4, mean * 2)).await;
            self.intervene();
        }
        self.calm();
        if self.everything_is_sent().await {
            sim.sleep(SETTLE).await;
            self.is_at_rest();
        }
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn calm(&self) {
        self.course.world.calm();
        self.course.is_calm.store(true, Ordering::Relaxed);
        for index in 0..self.procs.len() {
            self.procs.pause(index, false);
            self.procs.want(index, index == 0);
            // Who is started now hears of everything.
            self.procs.kill(index);
        }
    }

    async fn everything_is_sent(&self) -> bool {
        let sim = &self.course.world.sim;
        let deadline = sim.micros() + SENT_WITHIN;
        while self.course.busy.load(Ordering::Relaxed) > 0 {
            if sim.micros() > deadline {
                self.course.world.violation("SIM-11 not all usage is taken in".to_owned());
                return false;
            }
            sim.sleep(500_000).await;
        }
        true
    }

    fn is_at_rest(&self) {
        let world = &self.course.world;
        let Some((_, platform)) = self.procs.platform(0) else {
            return world.violation("SIM-11 no process meters".to_owned());
        };
        for (partition, state) in
            platform.meters.iter().flat_map(exchequer_engine::meter::Meters::states).enumerate()
        {
            let end = world.usage.records(PartitionId(partition as u32)).len() as u64;
            if !state.leading || state.next != end {
                world.violation(format!(
                    "SIM-25 usage partition {partition} is sealed up to {} of {end}: {:?}",
                    state.next, state.fault
                ));
            }
        }
    }

    fn intervene(&self) {
        let sim = &self.course.world.sim;
        let index = sim.within(0, self.procs.len() as u64) as usize;
        match sim.within(0, 100) {
            0..12 => self.procs.kill(index),
            12..26 => self.pause_for(index, sim.within(10_000, 4 * SECOND)),
            26..40 => self.rebalance(),
            40..44 => self.power_loss(),
            44..52 => self.course.stranger(),
            52..60 => self.skew(),
            60..64 => sim.leap(sim.within(1, 3_600) * SECOND),
            64..68 if self.course.shaped.days_pass => sim.leap(sim.within(1, 20) * DAY),
            _ => self.glance(index),
        }
    }

    fn pause_for(&self, index: usize, micros: u64) {
        self.procs.pause(index, true);
        let (driver, sim) = (self.clone(), self.course.world.sim.clone());
        let proc = self.procs.proc(index);
        sim.clone().spawn_on(OUTSIDE, async move {
            sim.sleep(micros).await;
            if driver.procs.proc(index) == proc {
                driver.procs.pause(index, false);
            }
        });
    }

    /// The second process wants what the first one has, which may be frozen meanwhile.
    fn rebalance(&self) {
        if self.procs.len() < 2 || self.procs.proc(1).is_some() {
            return;
        }
        let sim = self.course.world.sim.clone();
        sim.note(|| "rebalance".to_owned());
        if sim.chance(600) {
            self.pause_for(0, sim.within(10_000, 3 * SECOND));
        }
        self.procs.start(1);
        let driver = self.clone();
        sim.clone().spawn_on(OUTSIDE, async move {
            sim.sleep(sim.within(50_000, 4 * SECOND)).await;
            driver.procs.kill(usize::from(sim.chance(600)));
        });
    }

    fn power_loss(&self) {
        let world = &self.course.world;
        world.sim.note(|| "power loss".to_owned());
        world.cut_off(None);
        for index in 0..self.procs.len() {
            self.procs.kill(index);
        }
        if world.is_embedded() {
            world.lose_unsynced_rows();
        }
    }

    fn skew(&self) {
        let sim = &self.course.world.sim;
        let micros = match sim.within(0, 10) {
            0..6 => sim.within(0, 60 * SECOND) as i64 - 30 * SECOND as i64,
            6 => sim.within(61 * SECOND, 100 * SECOND) as i64,
            _ => 0,
        };
        let partition = sim.within(0, u64::from(self.course.world.plan.partitions)) as usize;
        lock(&self.course.world.inputs.skew_micros)[partition] = micros;
    }

    /// Asks a view; what it says must be true at the position that it names.
    fn glance(&self, index: usize) {
        let Some((proc, platform)) = self.procs.platform(index) else { return };
        let sim = &self.course.world.sim;
        let meters = self.course.definitions.all_meters();
        if meters.is_empty() {
            return;
        }
        let mut rng = sim.rng(Rng::fork);
        let (_, meter) = rng.pick(&meters).clone();
        let what = match rng.below(4) {
            0 => What::EachSubject,
            1 => What::Subject(format!("u{}", rng.below(5))),
            2 => What::Groups(meter.group_by.iter().map(|it| it.name.to_string()).collect()),
            _ => What::Total,
        };
        let asked = Asked {
            tenant: tenant(rng.below(self.course.shaped.tenants)),
            meter: meter.key.to_string(),
            version: meter.version,
            step: *rng.pick(&Kept::ALL),
            what,
        };
        let course = self.course.clone();
        sim.spawn_on(proc, async move {
            let Some(meters) = platform.meters.clone() else { return };
            let found = query(platform.ports.store.as_ref(), &meters.live, &asked.query()).await;
            if let Ok(answer) = found {
                lock(&course.glances).push(Glance { asked, answer });
            }
        });
    }
}

impl Asked {
    /// All time that there is, in whole months; of minutes as much as an answer has.
    pub(super) fn range(&self) -> (Timestamp, Timestamp) {
        let (before, after) = if self.step == Kept::Minute { (10, 20) } else { (61, 365) };
        let at =
            |days: i64| Timestamp::saturating_from_micros(EPOCH_MICROS + days * 86_400_000_000);
        (at(-before), at(after))
    }

    pub(super) fn query(&self) -> Query<'_> {
        let (from, to) = self.range();
        Query {
            tenant: &self.tenant,
            meter: &self.meter,
            version: Some(self.version),
            from,
            to,
            step: Step::Of(self.step),
            subject: match &self.what {
                What::Subject(subject) => Some(subject),
                _ => None,
            },
            by_subject: self.what == What::EachSubject,
            group_by: match &self.what {
                What::Groups(names) => names.clone(),
                _ => Vec::new(),
            },
            filters: Vec::new(),
            top: TOP_MAX,
            lateness: core::time::Duration::ZERO,
            seen: &[],
        }
    }
}
