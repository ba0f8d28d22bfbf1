//! `sim --seeds N [--from S]`, `sim --seed S [--trace] [--mutation a]`, `sim --mutations`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use exchequer_sim::{LETTERS, Mutation, letter, run, seeds_in_parallel, seeds_kept};

/// Within so many seeds each mutation must be caught.
const MUTATION_SEEDS: u64 = 300;

/// Deterministic simulation of the whole platform.
#[derive(Parser, Debug)]
#[command(name = "sim")]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// With `--seed`: print everything that happened.
    #[arg(long)]
    trace: bool,
    /// Weaken the rule of this letter.
    #[arg(long, value_parser = mutation)]
    mutation: Option<Mutation>,
    /// Weaken each rule in turn, and look for a seed that notices.
    #[arg(long)]
    mutations: bool,
}

fn mutation(text: &str) -> Result<Mutation, String> {
    let index = LETTERS.char_indices().find(|(_, letter)| letter.to_string() == text);
    index
        .map(|(index, _)| Mutation::ALL[index])
        .ok_or_else(|| format!("must be one letter of {LETTERS}"))
}

fn say(text: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn main() -> ExitCode {
    let args = Args::parse();
    let succeeded = if args.mutations {
        mutations(args.from)
    } else if let Some(seed) = args.seed {
        one(seed, &args)
    } else {
        many(&args)
    };
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, args: &Args) -> bool {
    let begun = Instant::now();
    let report = run(seed, args.mutation, args.trace);
    report.lines.iter().for_each(|line| say(line));
    report.violations.iter().for_each(|text| say(text));
    let millis = begun.elapsed().as_millis();
    say(&format!("seed {seed}: {}, {millis} ms, trace {}", report.summary, report.trace_hash));
    report.violations.is_empty()
}

fn many(args: &Args) -> bool {
    let begun = Instant::now();
    let failed = seeds_in_parallel(args.from..args.from + args.seeds, args.mutation, false, |_| {});
    for report in &failed {
        say(&format!("seed {} failed: {}", report.seed, report.summary));
        report.violations.iter().take(3).for_each(|text| say(&format!("  {text}")));
    }
    if args.mutation.is_none() {
        for report in &failed {
            keep(report.seed, &report.violations[0]);
        }
    }
    let seconds = begun.elapsed().as_secs();
    say(&format!("{} seeds, {} failed, {seconds} s", args.seeds, failed.len()));
    failed.is_empty()
}

/// A seed that failed stays in the tree and is run by the tests.
fn keep(seed: u64, violation: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds.txt");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    if seeds_kept(&text).contains(&seed) {
        return;
    }
    let why: String = violation.chars().take(100).collect();
    if let Err(error) = std::fs::write(path, format!("{text}{seed} # {why}\n")) {
        say(&format!("{path}: {error}"));
    }
}

fn mutations(from: u64) -> bool {
    let mut all = true;
    for mutation in Mutation::ALL {
        let begun = Instant::now();
        let seeds = from..from + MUTATION_SEEDS;
        let found = seeds_in_parallel(seeds, Some(mutation), true, |_| {});
        let seconds = begun.elapsed().as_secs();
        let letter = letter(mutation);
        if let Some(report) = found.first() {
            let why: String = report.violations[0].chars().take(120).collect();
            say(&format!("({letter}) {mutation:?}: seed {}, {seconds} s: {why}", report.seed));
        } else {
            all = false;
            say(&format!(
                "({letter}) {mutation:?}: NOT CAUGHT in {MUTATION_SEEDS} seeds, {seconds} s"
            ));
        }
    }
    all
}
