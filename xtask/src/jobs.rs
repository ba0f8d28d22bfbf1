//! The jobs of `./x test`, in order: every job runs although one before it
//! failed, and the last line printed is the sum of all.

use std::time::Instant;

use crate::artefacts::{APART, development};
use crate::forward::SERVER_VARIABLE;
use crate::process::{Args, Res, cargo, command, line_of, root, run, say, stream};
use crate::tally::{Counter, Tally};
use crate::{codegen, deps, fuzz, interop, services, tidy};

pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    run: fn() -> Res<Tally>,
}

pub(crate) const JOBS: &[Job] = &[
    job("fmt", "every Rust file is formatted", fmt),
    job("clippy", "no lint complains", clippy),
    job("deps", "no crate imports what the layer table forbids", || once(deps::check())),
    job("tidy", "sizes, words, links, pages", || once(tidy::check())),
    job("codegen", "no generated file is stale", || once(codegen::check())),
    job("unit", "unit, integration and documentation tests", unit),
    job("simulation", "the platform on one seed after another, and the mutations", simulation),
    job("scenarios", "scenario scripts against their expectations", scenarios),
    job("kill", "kill -9 and restart, five rounds", kill),
    job("interop", "a reader in another language", interop::job),
    job("fuzz", "each fuzz target for a few seconds", || fuzz::job(FUZZ_SECONDS)),
    job(SERVICES, "the cluster's adapters and processes on real servers", services::job),
];

/// The job that needs servers from outside, and the flag that leaves it out.
const SERVICES: &str = "services";
const WITHOUT_SERVICES: &str = "--without-services";

/// A run of everything from nothing.
const MINUTES_MAX: u64 = 60;
const KILL_ROUNDS: &str = "5";
const FUZZ_SECONDS: u64 = 5;

/// Runs the named jobs, or all.
pub(crate) fn main(args: &Args) -> Res<()> {
    let Chosen { jobs, left_out } = chosen(args.forwarded())?;
    let begun = Instant::now();
    let results: Vec<(&Job, Tally, u64)> = jobs.into_iter().map(timed).collect();
    let mut sum = Tally::default();
    say("");
    for (job, tally, seconds) in results {
        sum += tally;
        let mark = if tally.is_clean() { "ok  " } else { "FAIL" };
        say(&format!("{mark} {:<12} {seconds:>5} s  {tally}", job.name));
    }
    let minutes = begun.elapsed().as_secs().div_ceil(60);
    if minutes > MINUTES_MAX {
        say(&format!("\nit took {minutes} minutes; at most {MINUTES_MAX} are wanted"));
    }
    for job in left_out {
        say(&format!("\nnot run, as {WITHOUT_SERVICES} asks: {} ({})", job.name, job.what));
    }
    say(&format!("\n{sum}"));
    // The sum is the last line, so a failure says no more than its exit status.
    if !sum.is_clean() {
        std::process::exit(1);
    }
    Ok(())
}

/// What a command line asks for.
struct Chosen {
    jobs: Vec<&'static Job>,
    left_out: Vec<&'static Job>,
}

fn chosen(words: &[String]) -> Res<Chosen> {
    let (flags, names): (Vec<_>, Vec<_>) = words.iter().partition(|word| *word == WITHOUT_SERVICES);
    let mut wanted: Vec<&'static Job> = Vec::new();
    for name in names {
        let Some(job) = JOBS.iter().find(|job| job.name == name) else {
            let names: Vec<&str> = JOBS.iter().map(|job| job.name).collect();
            return Err(format!("no job named {name}; there are: {}", names.join(" ")).into());
        };
        wanted.push(job);
    }
    if wanted.is_empty() {
        wanted.extend(JOBS);
    }
    let (left_out, jobs): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|job| !flags.is_empty() && job.name == SERVICES);
    if jobs.is_empty() {
        return Err(format!("{WITHOUT_SERVICES} leaves nothing to run").into());
    }
    Ok(Chosen { jobs, left_out })
}

const fn job(name: &'static str, what: &'static str, run: fn() -> Res<Tally>) -> Job {
    Job { name, what, run }
}

fn timed(job: &Job) -> (&Job, Tally, u64) {
    say(&format!("\n=== {}: {}", job.name, job.what));
    let start = Instant::now();
    let tally = (job.run)().unwrap_or_else(|error| {
        say(&format!("{}: {error}", job.name));
        Tally::FAILED
    });
    (job, tally, start.elapsed().as_secs())
}

/// A job that is one test; its error says what to do.
fn once(result: Res<()>) -> Res<Tally> {
    result.map(|()| Tally::PASSED)
}

fn fmt() -> Res<Tally> {
    for tree in [["--all", "--check"].as_slice(), &["--manifest-path", fuzz::MANIFEST, "--check"]] {
        let mut command = cargo(&["fmt"])?;
        run(command.args(tree).args(["--", "-l"]))
            .map_err(|error| format!("run `cargo fmt` for the files above ({error})"))?;
    }
    Ok(Tally::PASSED)
}

fn clippy() -> Res<Tally> {
    let mut command = cargo(&["clippy", "--workspace", "--all-targets"])?;
    for package in services::ADAPTERS.iter().chain(&[services::SERVERS]) {
        command.args(["--exclude", package]);
    }
    once(run(command.args(["--", "-D", "warnings"])))
}

fn unit() -> Res<Tally> {
    let mut tally = programs()?;
    let mut doctests = cargo(&["test", "--workspace", "--doc"])?;
    for package in APART.iter().chain(services::ADAPTERS).chain(&[services::SERVERS]) {
        doctests.args(["--exclude", package]);
    }
    let mut counter = Counter::default();
    let succeeded = stream(&mut doctests, |line| {
        say(line);
        counter.libtest(line);
    })?;
    tally += counter.finish(succeeded);
    Ok(tally)
}

fn simulation() -> Res<Tally> {
    apart("exchequer-sim")
}

fn scenarios() -> Res<Tally> {
    apart("exchequer-scenarios")
}

/// Tests of a package that is built apart from the others, optimised.
fn apart(package: &str) -> Res<Tally> {
    let mut counter = Counter::default();
    let mut command = cargo(&["test", "--profile", "sim", "--package", package])?;
    let succeeded = stream(&mut command, |line| {
        say(line);
        counter.libtest(line);
    })?;
    Ok(counter.finish(succeeded))
}

fn kill() -> Res<Tally> {
    let built = development()?;
    let mut command = command(built.program("kill")?)?;
    command.args(["--rounds", KILL_ROUNDS]).env(SERVER_VARIABLE, built.program("exchequer")?);
    once(run(&mut command))
}

/// Runs the test programs as `cargo test` would; one package that does not build is
/// one failure and hides no other.
fn programs() -> Res<Tally> {
    let built = development()?;
    let mut tally = Tally::default();
    if !built.complete {
        say("some packages did not build");
        tally += Tally::FAILED;
    }
    let mut count = 0;
    for artefact in built.tests() {
        count += 1;
        say(&format!("\n--- {} {}", artefact.place, artefact.target));
        let folder = root()?.join(&artefact.place);
        let mut command = command(&artefact.executable)?;
        command.current_dir(&folder).env("CARGO_MANIFEST_DIR", &folder);
        if let Ok(server) = built.program("exchequer") {
            command.env(SERVER_VARIABLE, server);
        }
        let mut counter = Counter::default();
        let succeeded = stream(&mut command, |line| {
            say(line);
            counter.libtest(line);
        })?;
        if !succeeded {
            say(&format!("failed: {}", line_of(&command)));
        }
        tally += counter.finish(succeeded);
    }
    if count == 0 {
        return Err("no test program was built".into());
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> (Vec<&'static str>, Vec<&'static str>) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let Chosen { jobs, left_out } = chosen(&words).unwrap();
        let names = |jobs: Vec<&'static Job>| jobs.iter().map(|job| job.name).collect();
        (names(jobs), names(left_out))
    }

    #[test]
    fn the_flag_leaves_out_the_servers_and_says_so() {
        let all: Vec<&str> = JOBS.iter().map(|job| job.name).collect();
        assert_eq!(names(&[]), (all.clone(), vec![]));
        let (run, left_out) = names(&["--without-services"]);
        assert_eq!((run.len() + 1, left_out), (all.len(), vec!["services"]));
        assert_eq!(names(&["services", "fmt"]), (vec!["services", "fmt"], vec![]));
        assert!(chosen(&["services".to_owned(), "--without-services".to_owned()]).is_err());
        assert!(chosen(&["nothing".to_owned()]).is_err());
    }
}
