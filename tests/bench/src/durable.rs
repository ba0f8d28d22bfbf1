//! Durable commands on one partition, beside a plain file that receives the same
//! bytes with the same fsync batching.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exchequer_types::PartitionId;

use crate::report::Figure;
use crate::world::{PATIENCE, ViewsRun, World, append, submission};
use crate::{Args, Failure};

const CALLERS: usize = 1_000;
const TENANTS: usize = 100;
const LATENCY_CALLS: usize = 2_000;
const ROUNDS: usize = 5;

/// With 1,000 callers in process. Platform and plain file take turns, so that what
/// else the machine does meets both; the ratio is the median of the rounds'.
pub(crate) async fn throughput(args: &Args, views: ViewsRun) -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(folder.path(), 1, views).await?;
    world.create_tenants(0, TENANTS).await?;
    let commands = 60_000 * args.scale;
    let (mut rates, mut file_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bytes, mut count) = (0, 0);
    for _ in 0..ROUNDS {
        let first = world.platform.tail.state(PartitionId(0)).head.offset;
        let elapsed = run_callers(&world, commands).await?;
        let last = world.platform.tail.state(PartitionId(0)).head.offset;
        let batches = commits(&world, first, last).await?;
        let plain = plain_file(folder.path(), &batches)?;
        rates.push(commands as f64 / elapsed.as_secs_f64());
        file_rates.push(commands as f64 / plain.as_secs_f64());
        ratios.push(plain.as_secs_f64() / elapsed.as_secs_f64());
        bytes += batches.iter().map(Vec::len).sum::<usize>();
        count += batches.len();
    }
    world.stop().await;
    let name = match views {
        ViewsRun::None => "durable",
        ViewsRun::All => "durable-with-views",
    };
    let all = (commands * ROUNDS) as f64;
    Ok(vec![
        Figure::new(name, "commands/s", median(rates), None),
        Figure::new(name, "the same bytes to a plain file, commands/s", median(file_rates), None),
        Figure::new(name, "ratio", median(ratios), Some((">=", 0.25))),
        Figure::new(name, "bytes a command", bytes as f64 / all, None),
        Figure::new(name, "commands a commit", all / count as f64, None),
    ])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `commands` appends by `CALLERS` callers, each with one outstanding.
pub(crate) async fn run_callers(world: &World, commands: usize) -> Result<Duration, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let run = format!("{:x}", u128::from_le_bytes(world.platform.ports.runtime.nonce()));
    let callers = (0..CALLERS).map(|_| {
        let (next, run) = (Arc::clone(&next), run.clone());
        let gateway = world.platform.gateway.clone();
        #[expect(clippy::disallowed_methods, reason = "callers are no part of the platform")]
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= commands {
                    return Ok::<(), String>(());
                }
                let submission =
                    submission(&format!("t{}", n % TENANTS), format!("{run}-{n}"), append())
                        .map_err(|error| error.to_string())?;
                gateway.submit(submission, PATIENCE).await.map_err(|error| error.to_string())?;
            }
        })
    });
    for caller in futures::future::join_all(callers).await {
        caller??;
    }
    Ok(begun.elapsed())
}

async fn commits(world: &World, from: u64, to: u64) -> Result<Vec<Vec<u8>>, Failure> {
    let mut out = Vec::new();
    let mut offset = from;
    while offset < to {
        for record in world.platform.ports.journal.read(PartitionId(0), offset, 4 << 20).await? {
            out.push(record.bytes.to_vec());
            offset = record.offset + 1;
        }
    }
    Ok(out)
}

/// One write and one fdatasync for each commit.
fn plain_file(folder: &Path, batches: &[Vec<u8>]) -> Result<Duration, Failure> {
    let mut file = File::create(folder.join("plain"))?;
    let begun = Instant::now();
    for batch in batches {
        file.write_all(batch)?;
        file.sync_data()?;
    }
    Ok(begun.elapsed())
}

/// One command after the other, by a task, as a service's handler is one.
async fn one_caller(world: &World) -> Result<Vec<Duration>, Failure> {
    let gateway = world.platform.gateway.clone();
    #[expect(clippy::disallowed_methods, reason = "a caller is no part of the platform")]
    let caller = tokio::spawn(async move {
        let mut calls = Vec::new();
        for n in 0..LATENCY_CALLS {
            let submission = submission("t0", format!("one-{n}"), append())?;
            let begun = Instant::now();
            gateway.submit(submission, PATIENCE).await?;
            calls.push(begun.elapsed());
        }
        Ok(calls)
    });
    caller.await?
}

/// One caller, beside one append and fdatasync of the same size.
pub(crate) async fn latency(_: &Args) -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(folder.path(), 16, ViewsRun::All).await?;
    world.create_tenants(0, 1).await?;
    let partition = exchequer_types::partition_of(b"t0", 16);
    let first = world.platform.tail.state(partition).head.offset;
    let mut calls = one_caller(&world).await?;
    let record = world.platform.ports.journal.read(partition, first, 1).await?;
    let size = record.first().map_or(0, |record| record.bytes.len());
    world.stop().await;
    let mut file = File::create(folder.path().join("plain"))?;
    let bytes = vec![7; size];
    let mut appends = Vec::new();
    for _ in 0..LATENCY_CALLS {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        appends.push(begun.elapsed());
    }
    let micros = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    let (call, plain) = (micros(&mut calls), micros(&mut appends));
    let p99 = calls[calls.len() * 99 / 100].as_secs_f64() * 1e6;
    Ok(vec![
        Figure::new("latency", "one caller, p50 us", call, None),
        Figure::new("latency", "one caller, p99 us", p99, None),
        Figure::new("latency", "one append and fdatasync, p50 us", plain, None),
        Figure::new("latency", "ratio of p50", call / plain, Some(("<=", 2.0))),
    ])
}
