//! Kills the server with SIGKILL while 64 connections write, starts it again on
//! the same folder, and compares every answer it ever gave with what is there;
//! round after round. Ends with an error that says what differs.

use core::time::Duration;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser as _;
use exchequer_e2e::{Ledger, Load, Random, Res, Server, check, ensure, run};

const CONNECTIONS: usize = 64;
/// A server lives this long under load before it is killed.
const LIFE_MS_MIN: u64 = 30;
const LIFE_MS_MAX: u64 = 1_200;
/// Answers of earlier rounds that each round looks at again; the last one at all.
const EARLIER_MAX: usize = 500;
const WRONG_SHOWN_MAX: usize = 20;

/// Kill -9 and restart.
#[derive(Debug, clap::Parser)]
#[command(name = "kill")]
struct Args {
    /// Kills.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Of the commands and the moments; from the clock when absent.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let seed = args.seed.unwrap_or_else(clock);
    say(&format!("kill: {} rounds, --seed {seed}", args.rounds));
    match rounds(args.rounds, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("kill: FAILED, --seed {seed}: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // A reader that went away is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[tokio::main]
async fn rounds(rounds: u64, seed: u64) -> Res<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let result = all(rounds, seed, &data).await;
    if result.is_err() {
        say(&format!("kill: the folder is kept in {}", folder.keep().display()));
    }
    result
}

async fn all(rounds: u64, seed: u64, data: &Path) -> Res<()> {
    let mut random = Random::new(seed, 0);
    let mut ledger = Ledger::default();
    let mut server = Server::start(data)?;
    for round in 1..=rounds {
        let before = ledger.answered.len();
        let life = LIFE_MS_MIN + random.below(LIFE_MS_MAX - LIFE_MS_MIN);
        let mut now = one_life(server, random.number(), round, life).await?;
        verify(data)?;
        if random.percent(30) {
            kill_while_starting(data, &mut random)?;
        }
        // The next life in turn with the usual bounds and with tight ones.
        server = if round % 2 == 0 { Server::start(data)? } else { Server::start_tight(data)? };
        let started_in = server.started_in;
        let sent = (now.answered.len(), now.unanswered.len());
        let earlier = (0..EARLIER_MAX).filter_map(|_| random.pick(&ledger.answered).cloned());
        let mut looked_at = now.clone();
        looked_at.answered.extend(earlier);
        let found = check::everything(&server, &looked_at).await?;
        report(&found.wrong)?;
        now.unanswered.clear();
        now.answered.extend(found.answered);
        ledger.merge(now);
        say(&format!(
            "round {round}: killed after {life} ms, {} answered, {} unanswered of which {} were \
             decided, {} tenants, {} answers before, started in {:.2} s: nothing is missing",
            sent.0,
            sent.1,
            found.decided,
            found.tenants,
            before,
            started_in.as_secs_f64()
        ));
    }
    let found = check::everything(&server, &ledger).await?;
    report(&found.wrong)?;
    let done = server.stop()?;
    ensure(done.status.success(), || {
        format!("SIGTERM ended in {}:\n{}", done.status, done.output)
    })?;
    verify(data)?;
    let count = ledger.answered.len();
    say(&format!("kill: {rounds} rounds, {count} answers, all there, the journal verifies"));
    Ok(())
}

/// Writes for so long, then kills.
async fn one_life(server: Server, seed: u64, round: u64, life_ms: u64) -> Res<Ledger> {
    let load = Load::start(&server, CONNECTIONS, seed, &format!("r{round}")).await?;
    let mut ledger = std::pin::pin!(load.ledger());
    let life = Duration::from_millis(life_ms);
    if let Ok(ended) = tokio::time::timeout(life, &mut ledger).await {
        let ledger = ended?;
        report(&ledger.wrong)?;
        return Err(format!("the server went away by itself:\n{}", server.kill()?).into());
    }
    server.kill()?;
    ledger.await
}

/// Kills it once or more in the middle of its recovery.
fn kill_while_starting(data: &Path, random: &mut Random) -> Res<()> {
    for _ in 0..=random.below(3) {
        let life = Duration::from_millis(random.below(150));
        Server::kill_after(data, life)?;
        verify(data)?;
    }
    Ok(())
}

/// `exchequer verify journal` finds nothing wrong.
fn verify(data: &Path) -> Res<()> {
    let done = run(["verify".as_ref(), "journal".as_ref(), "--data".as_ref(), data.as_ref()])?;
    ensure(done.status.success(), || format!("the journal does not verify:\n{}", done.output))
}

fn report(wrong: &[String]) -> Res<()> {
    for line in wrong.iter().take(WRONG_SHOWN_MAX) {
        say(&format!("  {line}"));
    }
    ensure(wrong.is_empty(), || format!("{} differences", wrong.len()))
}
