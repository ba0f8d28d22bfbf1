//! Deterministic simulation: the whole platform on in-memory ports, from one
//! seed, with every fault that the ports' contracts allow, and checkers that
//! read the result from zero.

mod check;
mod driver;
mod exec;
mod plan;
mod ports;
mod procs;
mod rng;
mod search;
mod usage;
mod workload;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use exchequer_kernel::mutation;
pub use exchequer_kernel::mutation::Mutation;
pub use search::{LETTERS, letter, seeds_in_parallel, seeds_kept};

use driver::Driver;
use exec::{Executor, Sim, Stop, lock};
use plan::Plan;
use procs::Procs;
use rng::Rng;
use workload::People;
use world::World;

/// A run that takes more polls than this does not come to rest.
const POLLS_MAX: u64 = 600_000;
/// Tells the seed of the course of usage apart.
const USAGE: u64 = 0x7573_6167_6500_0000;
/// The same of the course of reservations.
const RESERVATIONS: u64 = 0x7265_7365_7276_6500;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub seed: u64,
    /// What does not hold; empty when all does.
    pub violations: Vec<String>,
    /// BLAKE3 of everything that happened, in hexadecimal.
    pub trace_hash: String,
    /// What happened, when it was asked for.
    pub lines: Vec<String>,
    /// One line of numbers.
    pub summary: String,
}

static QUIET: Once = Once::new();

/// The panics that poison a command are part of the course: nobody need read them.
fn quieten() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<&str>();
        if text != Some(&"a bug that was put there") {
            loud(panic);
        }
    }));
}

/// Runs the seed, with one rule weakened or none: the courses of the platform, of usage and
/// of reservations, or the one whose rule is weakened.
pub fn run(seed: u64, weakened: Option<Mutation>, keep_lines: bool) -> Report {
    QUIET.call_once(quieten);
    let platform = |sim: &Sim| run_in(sim, Plan::draw);
    let reservations = |sim: &Sim| run_in(sim, Plan::draw_reservations);
    let usage = |sim: &Sim| usage::run_in(sim);
    match weakened {
        Some(it) if it.is_of_usage() => course(seed, weakened, keep_lines, USAGE, &usage),
        Some(Mutation::ReservedHolds) => {
            course(seed, weakened, keep_lines, RESERVATIONS, &reservations)
        }
        Some(_) => course(seed, weakened, keep_lines, 0, &platform),
        None => {
            let mut report = course(seed, None, keep_lines, 0, &platform);
            let others = [
                course(seed, None, keep_lines, USAGE, &usage),
                course(seed, None, keep_lines, RESERVATIONS, &reservations),
            ];
            for other in others {
                report.violations.extend(other.violations);
                report.lines.extend(other.lines);
                report.summary = format!("{}; {}", report.summary, other.summary);
                report.trace_hash.push_str(&other.trace_hash);
            }
            report
        }
    }
}

/// One course. `salt` tells the seeds of courses apart.
fn course(
    seed: u64,
    weakened: Option<Mutation>,
    keep_lines: bool,
    salt: u64,
    run_in: &dyn Fn(&Sim) -> (Vec<String>, String),
) -> Report {
    mutation::set(weakened);
    let sim = Sim::new(seed ^ salt, keep_lines);
    let ran = catch_unwind(AssertUnwindSafe(|| run_in(&sim)));
    mutation::set(None);
    mutation::poison(None);
    let (violations, summary) = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
        (vec![format!("SIM-12 panicked: {}", text.unwrap_or_default())], String::new())
    });
    let trace_hash = sim.trace_hash();
    Report { seed, violations, trace_hash, lines: sim.take_lines(), summary }
}

fn run_in(sim: &Sim, draw: fn(&mut Rng) -> Plan) -> (Vec<String>, String) {
    let plan = sim.rng(draw);
    sim.note(|| format!("{plan:?}"));
    mutation::poison(plan.poisoned.as_deref());
    let world = World::new(sim.clone(), plan);
    if !world.is_embedded() {
        lock(&world.store).with_steps(&world);
    }
    let procs = Procs::new(&world);
    let people = People::new(&world, &procs);
    let is_over = Arc::new(AtomicBool::new(false));
    let driver = Driver {
        world: world.clone(),
        procs: procs.clone(),
        people,
        is_over: Arc::clone(&is_over),
    };
    sim.spawn_on(exec::OUTSIDE, procs.clone().supervise());
    sim.spawn_on(exec::OUTSIDE, driver.direct());
    let mut executor = Executor::new(sim.clone());
    let stop = executor.run(POLLS_MAX, || is_over.load(Ordering::Relaxed));
    if stop != Stop::Done {
        world.violation(format!("SIM-11 the run does not come to rest: {stop:?}"));
    }
    let weakened = weakened();
    mutation::set(weakened.filter(|it| it.is_of_rules()));
    let mut violations = core::mem::take(&mut *lock(&world.violations));
    violations.extend(check::check(&world));
    mutation::set(weakened);
    sim.append_lines(|| check::describe(&world));
    let chains = check::chains(&world);
    let claims: usize = chains.iter().map(|chain| chain.claims).sum();
    let records: usize = (0..world.plan.partitions)
        .map(|partition| world.journal.records(exchequer_types::PartitionId(partition)).len())
        .sum();
    let summary = format!(
        "{:?}, {} s, {} polls, {} asked, {records} records, {claims} claims",
        world.plan.shape,
        sim.micros() / 1_000_000,
        executor.polls,
        lock(&world.asked).len(),
    );
    (violations, summary)
}

/// The rule that is weakened on this thread.
pub(crate) fn weakened() -> Option<Mutation> {
    Mutation::ALL.into_iter().find(|mutation| mutation::active(*mutation))
}
