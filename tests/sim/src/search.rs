//! Many seeds at once, on as many threads as there are processors; one seed runs
//! on one thread.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use exchequer_kernel::mutation::Mutation;

use crate::exec::lock;
use crate::{Report, run};

/// How the mutations are named, in the order of [`Mutation::ALL`].
pub const LETTERS: &str = "abcdefghijklmnopqrstuvwxy";
const _: () = assert!(LETTERS.len() == Mutation::ALL.len());

/// The letter of `mutation`.
pub fn letter(mutation: Mutation) -> char {
    let index = Mutation::ALL.iter().position(|it| *it == mutation).unwrap_or(0);
    LETTERS.chars().nth(index).unwrap_or('?')
}

/// Runs `seeds` until one fails and `until_failure` is set, or to the end;
/// `each` is told of each run. Gives the failed ones, by seed.
pub fn seeds_in_parallel(
    seeds: core::ops::Range<u64>,
    weakened: Option<Mutation>,
    until_failure: bool,
    each: impl Fn(&Report) + Sync,
) -> Vec<Report> {
    let next = AtomicU64::new(seeds.start);
    let is_found = AtomicBool::new(false);
    let failed = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, core::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !(until_failure && is_found.load(Ordering::Relaxed)) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run(seed, weakened, false);
                    each(&report);
                    if !report.violations.is_empty() {
                        is_found.store(true, Ordering::Relaxed);
                        lock(&failed).push(report);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_default();
    failed.sort_by_key(|report: &Report| report.seed);
    failed
}

/// The seeds in a file: one a line, comments behind `#`.
pub fn seeds_kept(text: &str) -> Vec<u64> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    lines.filter_map(|line| line.parse().ok()).collect()
}
