//! The course of usage: meters that fight over partitions, restart and pause, while events
//! come in twice, late, in conflict, astray and forged, and while providers change what
//! counts them. It has a seed of its own, so that it does not disturb that of the platform.

mod check;
mod data;
mod definitions;
mod driver;
mod model;
mod people;
mod procs;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use exchequer_engine::{Settings, UsageSettings};
use exchequer_projection_usage::Answer;
use exchequer_types::{Offset, PartitionId, TenantId};

use self::data::Written;
use self::definitions::Definitions;
use self::driver::Driver;
use self::procs::Procs;
use crate::exec::{Executor, OUTSIDE, Sim, Stop, lock};
use crate::plan::{Plan, Shape};
use crate::rng::Rng;
use crate::workload::word;
use crate::world::World;

/// A run that takes more polls than this does not come to rest.
const POLLS_MAX: u64 = 400_000;
const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;
/// Types of events.
const TYPES: [&str; 3] = ["call", "job", "gone"];

/// What follows from the seed before anything happens.
#[derive(Clone, Copy, Debug)]
struct Shaped {
    gateways: u64,
    batches_per_gateway: u64,
    tenants: u64,
    providers: u64,
    changes: u64,
    corrections: u64,
    /// Days pass at once.
    days_pass: bool,
    /// Two meters claim all partitions all the time.
    rivals: bool,
    /// A process hears late of what changes.
    lags: bool,
}

/// What was asked of a view, and what it said.
#[derive(Clone, Debug)]
struct Glance {
    asked: Asked,
    answer: Answer,
}

/// A question that the model can answer too.
#[derive(Clone, Debug)]
struct Asked {
    tenant: TenantId,
    meter: String,
    version: u32,
    step: exchequer_projection_usage::Kept,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Total,
    Groups(Vec<String>),
    EachSubject,
    Subject(String),
}

/// An append that was acknowledged.
#[derive(Clone, Debug)]
struct Acknowledged {
    partition: PartitionId,
    /// Of the first, as far as the acknowledgement told.
    offset: Option<Offset>,
    /// As they were sent, before they were stamped.
    records: Vec<Bytes>,
}

/// Everything that the course shares.
#[derive(Clone, Debug)]
struct Course {
    world: World,
    shaped: Shaped,
    definitions: Definitions,
    written: Arc<Mutex<Written>>,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    /// Bodies that were sent, by tenant, source and id, for corrections.
    sent: Arc<Mutex<BTreeMap<(String, String, String), data::Members>>>,
    glances: Arc<Mutex<Vec<Glance>>>,
    busy: Arc<AtomicU64>,
    is_calm: Arc<AtomicBool>,
}

fn tenant(number: u64) -> TenantId {
    word(TenantId::parse(format!("t{number}")))
}

fn provider(number: u64) -> TenantId {
    word(TenantId::parse(format!("p{number}")))
}

/// Runs the course of usage; gives what does not hold, and one line of numbers.
pub(crate) fn run_in(sim: &Sim) -> (Vec<String>, String) {
    let (plan, shaped) = sim.rng(draw);
    sim.note(|| format!("{plan:?} {shaped:?}"));
    let world = World::new(sim.clone(), plan);
    if !world.is_embedded() {
        lock(&world.store).with_steps(&world);
    }
    let course = Course {
        world: world.clone(),
        shaped,
        definitions: Definitions::default(),
        written: Arc::default(),
        acknowledged: Arc::default(),
        sent: Arc::default(),
        glances: Arc::default(),
        busy: Arc::default(),
        is_calm: Arc::default(),
    };
    let procs = Procs::new(&course);
    let is_over = Arc::new(AtomicBool::new(false));
    let driver =
        Driver { course: course.clone(), procs: procs.clone(), is_over: Arc::clone(&is_over) };
    sim.spawn_on(OUTSIDE, procs.clone().supervise());
    sim.spawn_on(OUTSIDE, driver.direct());
    let mut executor = Executor::new(sim.clone());
    let stop = executor.run(POLLS_MAX, || is_over.load(Ordering::Relaxed));
    if stop != Stop::Done {
        world.violation(format!("SIM-11 the meters do not come to rest: {stop:?}"));
    }
    let weakened = crate::weakened();
    exchequer_kernel::mutation::set(None);
    let mut violations = core::mem::take(&mut *lock(&world.violations));
    let checked = check::check(&course, &procs);
    exchequer_kernel::mutation::set(weakened);
    violations.extend(checked.violations);
    let summary = format!(
        "usage: {:?}, {} s, {} polls, {}",
        world.plan.shape,
        sim.micros() / SECOND,
        executor.polls,
        checked.summary,
    );
    (violations, summary)
}

fn draw(rng: &mut Rng) -> (Plan, Shaped) {
    let plan = Plan::draw(rng);
    let usage = usage_settings(rng);
    let mut of = |small: u64, large: u64| rng.within(small, large) as usize;
    let settings = Settings {
        read_bytes_max: of(1, 20_000),
        claim_retry: Duration::from_millis(of(20, 200) as u64),
        usage,
        ..Settings::default()
    };
    let plan = Plan { settings, poisoned: None, storm_micros: rng.within(10, 40) * SECOND, ..plan };
    let shaped = Shaped {
        gateways: rng.within(2, 5),
        batches_per_gateway: rng.within(20, 70),
        tenants: rng.within(2, 6),
        providers: rng.within(1, 3),
        changes: rng.within(4, 24),
        corrections: rng.below(20),
        days_pass: rng.chance(400),
        rivals: plan.shape == Shape::Cluster && rng.chance(300),
        lags: rng.chance(600),
    };
    (plan, shaped)
}

fn usage_settings(rng: &mut Rng) -> UsageSettings {
    let mut of = |small: u64, large: u64| rng.within(small, large) as usize;
    UsageSettings {
        identity_entries_max: of(3, 60),
        identity_filter_bytes_max: of(16, 4_000),
        cells_bytes_max: of(1_000, 400_000),
        flush_interval: Duration::from_millis(of(50, 5_000) as u64),
        idle_flush_interval: Duration::from_millis(of(50, 2_000) as u64),
        batch_records_max: of(1, 30),
        read_bytes_max: of(1, 20_000),
        seal_linger: Duration::from_millis(of(0, 60) as u64),
        idle_seal_interval: Duration::from_secs(of(1, 60) as u64),
        read_by_others: rng.chance(500),
        ..UsageSettings::default()
    }
}
