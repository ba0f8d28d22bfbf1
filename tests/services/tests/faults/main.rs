//! Fault rounds on real processes under load, `cargo xtask faults`: commands and events of
//! use go on while something breaks, and afterwards everything is checked from zero.

mod audit_topic;
mod fault;
mod journal;
mod load;
mod metered_again;
mod notice;
mod round;
mod told;
mod usage;
mod views;
mod world;

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use exchequer_e2e::Res;
use fault::Fault;
use round::Course;

/// Rounds of an ordinary run.
const ROUNDS: u64 = 4;
const ROUNDS_VARIABLE: &str = "EXCHEQUER_FAULT_ROUNDS";
const SEED_VARIABLE: &str = "EXCHEQUER_FAULT_SEED";

/// Shown whether the test succeeds or not.
fn say(line: &str) {
    // A reader that went away is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn number(variable: &str) -> Res<Option<u64>> {
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    Ok(Some(text.parse().map_err(|_| format!("{variable}: {text} is no number"))?))
}

// REQ: KER-02, KER-06, KER-07, KER-08, KER-11, KER-20, OPS-05, USE-02, USE-12
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rounds() -> Res<()> {
    let rounds = number(ROUNDS_VARIABLE)?.unwrap_or(ROUNDS);
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let seed = number(SEED_VARIABLE)?.unwrap_or_else(clock);
    say(&format!("faults: {rounds} rounds from --seed {seed}"));
    let mut all: Vec<(u64, Fault)> =
        (seed..seed.saturating_add(rounds)).map(|it| (it, Fault::of_seed(it))).collect();
    // What is promised of it is seen in each run.
    if !all.iter().any(|it| it.1.is_of_broker()) {
        say("faults: and one in which a broker is killed");
        all.push((seed, Fault::KillBroker));
    }
    let count = all.len();
    let mut course = Course::start().await?;
    let mut wrong = Vec::new();
    for (number, (seed, fault)) in (1..).zip(all) {
        let done = course.round(number, seed, fault).await;
        wrong = done.unwrap_or_else(|error| vec![error.to_string()]);
        for line in &wrong {
            say(&format!("  {line}"));
        }
        if !wrong.is_empty() {
            say(&format!("FAILED; again: cargo xtask faults --rounds 1 --seed {seed}"));
            break;
        }
    }
    if wrong.is_empty() {
        wrong = course.everything_again().await?;
    }
    if wrong.is_empty()
        && let Err(error) = course.checks_notice().await
    {
        wrong.push(error.to_string());
    }
    // While the servers stand, so that their logs are kept.
    assert!(wrong.is_empty(), "{wrong:#?}");
    say(&format!("faults: {count} rounds from --seed {seed}, all of it there, once"));
    Ok(())
}
