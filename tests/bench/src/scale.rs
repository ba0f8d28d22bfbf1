//! Ten million commands over 100,000 tenants: memory, replay, cold start, offline
//! verification, all on the one folder that was written.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use exchequer_codec::decode_record;
use exchequer_journal_local::JournalReader;
use exchequer_kernel::{Head, fold};

use crate::report::Figure;
use crate::world::{PATIENCE, ViewsRun, World, append, resident_bytes, submission};
use crate::{Args, Failure};

const TENANTS: usize = 100_000;
const COMMANDS: usize = 10_000_000;
const AT_ONCE: usize = 4_000;

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let commands = COMMANDS / 100 * args.percent;
    let tenants = TENANTS / 100 * args.percent;
    let mut figures = fill(folder.path(), tenants, commands).await?;
    figures.extend(cold_start(folder.path()).await?);
    figures.extend(replay(folder.path())?);
    figures.extend(verify(folder.path())?);
    Ok(figures)
}

async fn fill(folder: &Path, tenants: usize, commands: usize) -> Result<Vec<Figure>, Failure> {
    let world = World::start(folder, 16, ViewsRun::None).await?;
    world.create_tenants(0, tenants).await?;
    let begun = Instant::now();
    let mut n = 0;
    while n < commands {
        let end = (n + AT_ONCE).min(commands);
        let calls = (n..end).map(|n| {
            let submission =
                submission(&format!("t{}", n * 7_919 % tenants), format!("c-{n}"), append());
            let gateway = &world.platform.gateway;
            async move { Ok::<_, Failure>(gateway.submit(submission?, PATIENCE).await?) }
        });
        futures::future::try_join_all(calls).await?;
        n = end;
    }
    let rate = commands as f64 / begun.elapsed().as_secs_f64();
    let resident = resident_bytes("self");
    world.stop().await;
    let megabytes = resident as f64 / 1e6;
    let what = format!("resident MB after {commands} commands over {tenants} tenants");
    Ok(vec![
        Figure::new("scale", "commands/s over 16 partitions", rate, None),
        Figure::new("scale", &what, megabytes, Some(("<", 500.0))),
    ])
}

async fn cold_start(folder: &Path) -> Result<Vec<Figure>, Failure> {
    let begun = Instant::now();
    let world = World::start(folder, 16, ViewsRun::None).await?;
    let submission = submission("t1", "first-after-start".to_owned(), append())?;
    world.platform.gateway.submit(submission, PATIENCE).await?;
    let elapsed = begun.elapsed();
    world.stop().await;
    let seconds = elapsed.as_secs_f64();
    Ok(vec![Figure::new("scale", "cold start to the first answer, s", seconds, Some(("<", 5.0)))])
}

/// The fold of every record with all its events, one core.
fn replay(folder: &Path) -> Result<Vec<Figure>, Failure> {
    let reader = JournalReader::open(folder)?;
    let mut heads = vec![Head::default(); reader.partitions() as usize];
    let mut streams: Vec<HashMap<String, exchequer_tenant::Stream>> =
        vec![HashMap::new(); heads.len()];
    let (mut events, mut spent) = (0_u64, Duration::ZERO);
    for record in reader.records() {
        let record = record?;
        let partition = record.partition;
        let begun = processor_time();
        let (head, hash, commit) = decode_record(partition, &record.bytes);
        fold(&mut heads[partition.index()], &head, &hash);
        for event in commit.iter().flat_map(|commit| &commit.events) {
            let decoded =
                exchequer_codec::decode_event(&event.stream, &event.r#type, &event.payload)?;
            let own = &mut streams[partition.index()];
            let at = exchequer_types::Timestamp::saturating_from_micros(event.at);
            match own.get_mut(&event.stream) {
                Some(stream) => stream.evolve(&decoded, at),
                None => {
                    own.entry(event.stream.clone()).or_default().evolve(&decoded, at);
                }
            }
            events += 1;
        }
        spent += processor_time().saturating_sub(begun);
    }
    let rate = events as f64 / spent.as_secs_f64();
    Ok(vec![Figure::new("scale", "replay, events/s on one core", rate, Some((">=", 1e6)))])
}

/// What this thread has had of a core: other programs may be running beside.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// `exchequer verify journal` on the folder.
fn verify(folder: &Path) -> Result<Vec<Figure>, Failure> {
    let Some(program) = std::env::var_os("EXCHEQUER_BIN") else { return Ok(Vec::new()) };
    let bytes = JournalReader::open(folder)?.bytes();
    let begun = Instant::now();
    let status = Command::new(program)
        .args(["verify", "journal", "--data"])
        .arg(folder)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err("verification failed".into());
    }
    let rate = bytes as f64 / begun.elapsed().as_secs_f64() / 1e9;
    Ok(vec![
        Figure::new("scale", "journal, GB", bytes as f64 / 1e9, None),
        Figure::new("scale", "offline verification, GB/s on one core", rate, Some((">=", 1.0))),
    ])
}
