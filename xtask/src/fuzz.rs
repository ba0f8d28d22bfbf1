//! Fuzz targets: libFuzzer on stable Rust, by asking the compiler for the
//! coverage counters it reads. They form a workspace of their own, because the
//! counters would otherwise be compiled into everything.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::process::{Args, Res, cargo, command, output, root, run, say, target_dir};
use crate::tally::Tally;

pub(crate) const MANIFEST: &str = "tests/fuzz/Cargo.toml";

const COVERAGE: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions -Coverflow-checks --cfg fuzzing";

const SECONDS: u64 = 10;

pub(crate) fn main(args: &Args) -> Res<()> {
    let mut seconds = SECONDS;
    let mut targets = Vec::new();
    let mut words = args.forwarded().iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let number = words.next().ok_or("--seconds needs a number")?;
            seconds = number.parse().map_err(|_| format!("--seconds {number}: not a number"))?;
        } else {
            targets.push(word.clone());
        }
    }
    let tally = fuzz(seconds, &targets)?;
    if tally.is_clean() { Ok(()) } else { Err(tally.to_string().into()) }
}

/// One test per target.
pub(crate) fn job(seconds: u64) -> Res<Tally> {
    fuzz(seconds, &[])
}

fn fuzz(seconds: u64, chosen: &[String]) -> Res<Tally> {
    let all = targets()?;
    if let Some(unknown) = chosen.iter().find(|name| !all.contains(name)) {
        return Err(format!("no target named {unknown}; there are: {}", all.join(" ")).into());
    }
    let host = host()?;
    let folder = target_dir()?.join("fuzz");
    build(&host, &folder)?;
    let mut tally = Tally::default();
    for target in all.iter().filter(|name| chosen.is_empty() || chosen.contains(name)) {
        say(&format!("\n--- {target}, {seconds} s"));
        let program = folder.join(&host).join("release").join(target);
        let outcome = run_target(&program, target, &folder, seconds);
        if let Err(error) = &outcome {
            say(&error.to_string());
        }
        tally += Tally::of(outcome.is_ok());
    }
    Ok(tally)
}

fn targets() -> Res<Vec<String>> {
    let text = output(&mut cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--manifest-path",
        MANIFEST,
    ])?)?;
    let metadata: Value = serde_json::from_str(&text)?;
    let mut names = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        for target in package["targets"].as_array().into_iter().flatten() {
            let is_program =
                target["kind"].as_array().is_some_and(|kinds| kinds.contains(&"bin".into()));
            if let (true, Some(name)) = (is_program, target["name"].as_str()) {
                names.push(name.to_owned());
            }
        }
    }
    if names.is_empty() {
        return Err(format!("{MANIFEST} has no programs").into());
    }
    Ok(names)
}

/// Naming the host as target keeps the counters out of build scripts and macros.
fn build(host: &str, folder: &Path) -> Res<()> {
    let mut command =
        cargo(&["build", "--release", "--bins", "--manifest-path", MANIFEST, "--target", host])?;
    command.arg("--target-dir").arg(folder).env("RUSTFLAGS", COVERAGE);
    run(&mut command)
}

fn host() -> Res<String> {
    let text = output(command("rustc")?.arg("-vV"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "rustc does not name its host".into())
}

/// New inputs go to the first folder; the seeds in the tree are only read.
fn run_target(program: &Path, target: &str, folder: &Path, seconds: u64) -> Res<()> {
    let corpus = folder.join("corpus").join(target);
    let findings = folder.join("findings").join(target);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&findings)?;
    let mut command = command(program)?;
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", findings.display()));
    command.args(["-verbosity=0", "-print_final_stats=1"]).arg(&corpus);
    let seeds = root()?.join("tests/fuzz/seeds").join(target);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    run(&mut command).map_err(|error| {
        let (program, findings) = (program.display(), findings.display());
        format!("{target}: {error}\nrepeat with: {program} {findings}/FILE").into()
    })
}
