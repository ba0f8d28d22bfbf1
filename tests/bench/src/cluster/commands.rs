//! Commands through gateway, Kafka and decider: how long one takes beside a bare record's way
//! to its consumer, and how many a thousand callers get decided beside what a bare producer
//! gets acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exchequer_engine::Gateway;
use exchequer_readstore::ReadStore;
use exchequer_types::PartitionId;

use super::bare::{Bare, Trips};
use super::servers::{Servers, Topics, Work, World};
use super::{grpc, median};
use crate::report::Figure;
use crate::world::{PATIENCE, append, create_tenants, submission};
use crate::{Args, Failure};

const CALLERS: usize = 1_000;
const TENANTS: usize = 100;
const CALLS: usize = 500;
const ROUNDS: usize = 5;
/// Of the platform, and of the bare producer.
const COMMANDS: usize = 40_000;
const RECORDS: u64 = 300_000;
/// Through gRPC; four times as many before it is measured.
const GRPC_COMMANDS: usize = 50_000;
/// Before anything is measured.
const WARM_COMMANDS: usize = 2_000_000;
const WARM_CALLS: usize = 30_000;

/// One caller: of a process that is gateway and decider, then of a gateway apart from it. Bare
/// records, of a topic with as many partitions, take turns with each; a ratio is the median of
/// the rounds'.
pub(crate) async fn latency(args: &Args) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for partitions in [1, 16] {
        figures.extend(latency_of(partitions, CALLS * args.scale).await?);
    }
    Ok(figures)
}

async fn latency_of(partitions: u32, calls: usize) -> Result<Vec<Figure>, Failure> {
    let servers = Servers::start()?;
    let topics = servers.topics("latency", partitions)?;
    let store: Arc<dyn ReadStore> = Arc::new(servers.read_store("latency").await?);
    let world = World::start(&topics, Arc::clone(&store), Work::deciding()).await?;
    create_tenants(&world.platform, 0, 1).await?;
    let bare = Bare::create(&servers.kafka.bootstrap(), "bare", partitions).await?;
    let mut trips = bare.trips().await?;
    let with_decider = turns(&mut trips, &world, "with", calls).await?;
    let apart = World::start(&topics, store, Work::gateway()).await?;
    let of_apart = turns(&mut trips, &apart, "apart", calls).await?;
    apart.stop().await;
    world.stop().await;
    let mut figures = Vec::new();
    for (how, turns) in [("with the decider", with_decider), ("apart", of_apart)] {
        let Turns { trips, times, ratios, all } = turns;
        let figure = |what: &str, value, goal| {
            let what = format!("{partitions} partitions, one caller, gateway {how}, {what}");
            Figure::new("cluster-latency", &what, value, goal)
        };
        figures.push(figure("a bare record beside it, p50 us", median(trips), None));
        figures.push(figure("p50 us", median(times), None));
        figures.push(figure("p99 us", crate::report::p99(all) * 1e3, None));
        figures.push(figure("ratio of p50", median(ratios), Some(("<=", 3.0))));
    }
    Ok(figures)
}

/// Of each round, in microseconds; and every call's time.
#[derive(Default)]
struct Turns {
    trips: Vec<f64>,
    times: Vec<f64>,
    ratios: Vec<f64>,
    all: Vec<Duration>,
}

async fn turns(
    trips: &mut Trips<'_>,
    world: &World,
    name: &str,
    calls: usize,
) -> Result<Turns, Failure> {
    let gateway = &world.platform.gateway;
    // Servers that have just started compile themselves for a while.
    one_caller(gateway, &format!("{name}-warm"), WARM_CALLS).await?;
    trips.run(WARM_CALLS).await?;
    let mut turns = Turns::default();
    for round in 0..ROUNDS {
        let trip = p50(trips.run(calls).await?);
        let spent = one_caller(gateway, &format!("{name}-{round}"), calls).await?;
        turns.all.extend(spent.iter().copied());
        let time = p50(spent);
        turns.trips.push(trip);
        turns.times.push(time);
        turns.ratios.push(time / trip);
    }
    Ok(turns)
}

fn p50(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// One command after the other, by a task, as a service's handler is one.
async fn one_caller(gateway: &Gateway, run: &str, calls: usize) -> Result<Vec<Duration>, Failure> {
    let (gateway, run) = (gateway.clone(), run.to_owned());
    #[expect(clippy::disallowed_methods, reason = "a caller is no part of the platform")]
    let caller = tokio::spawn(async move {
        let mut times = Vec::with_capacity(calls);
        for n in 0..calls {
            let submission = submission("t0", format!("{run}-{n}"), append())?;
            let begun = Instant::now();
            gateway.submit(submission, PATIENCE).await?;
            times.push(begun.elapsed());
        }
        Ok(times)
    });
    caller.await?
}

/// `commands` by a thousand callers, each with one on its way.
pub(super) async fn callers(
    gateway: &Gateway,
    run: &str,
    (tenants, commands): (usize, usize),
) -> Result<f64, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|_| {
        let (next, gateway, run) = (Arc::clone(&next), gateway.clone(), run.to_owned());
        #[expect(clippy::disallowed_methods, reason = "callers are no part of the platform")]
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= commands {
                    return Ok::<(), String>(());
                }
                let submission =
                    submission(&format!("t{}", n % tenants), format!("{run}-{n}"), append())
                        .map_err(|error| error.to_string())?;
                gateway.submit(submission, PATIENCE).await.map_err(|error| error.to_string())?;
            }
        })
    });
    for caller in futures::future::join_all(callers).await {
        caller??;
    }
    Ok(commands as f64 / begun.elapsed().as_secs_f64())
}

/// A thousand callers, on one partition each way.
pub(crate) async fn rate(args: &Args) -> Result<Vec<Figure>, Failure> {
    let servers = Servers::start()?;
    let bare = Bare::create(&servers.kafka.bootstrap(), "bare", 1).await?;
    let topics = servers.topics("rate", 1)?;
    let measured = in_process(&servers, &topics, &bare, args).await?;
    let [rate, bare_rate, of_commit] = measured.map(median);
    let name = "cluster-rate";
    let mut figures = vec![
        Figure::new(name, "bare producer, 1,000 unacknowledged, records/s", bare_rate, None),
        Figure::new(name, "1,000 callers in process, commands/s", rate, None),
        Figure::new(name, "commands in a commit", of_commit, None),
        Figure::new(name, "ratio in process", rate / bare_rate, Some((">=", 0.15))),
    ];
    let commands = GRPC_COMMANDS * args.scale;
    let path = grpc::rate(&servers, "path", &["gateway", "decider"], commands).await?;
    let whole = grpc::rate(&servers, "whole", &[], commands).await?;
    for (who, rate, goal) in
        [("gateway and decider", path, Some((">=", 0.06))), ("all roles", whole, None)]
    {
        let what = |what: &str| format!("1,000 callers through gRPC, {who}, {what}");
        figures.push(Figure::new(name, &what("commands/s"), rate, None));
        figures.push(Figure::new(name, &what("ratio"), rate / bare_rate, goal));
    }
    Ok(figures)
}

async fn in_process(
    servers: &Servers,
    topics: &Topics,
    bare: &Bare,
    args: &Args,
) -> Result<[Vec<f64>; 3], Failure> {
    let store = Arc::new(servers.read_store("rate").await?);
    let world = World::start(topics, store, Work::deciding()).await?;
    create_tenants(&world.platform, 0, TENANTS).await?;
    let gateway = &world.platform.gateway;
    // Servers that have just started compile themselves for a while.
    callers(gateway, "warm", (TENANTS, WARM_COMMANDS)).await?;
    bare.rate(RECORDS, 0).await?;
    let (mut rates, mut bare_rates, mut of_commits) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let commands = (TENANTS, COMMANDS * args.scale);
        let before = world.platform.ports.journal.end(PartitionId(0)).await?;
        rates.push(callers(gateway, &format!("r{round}"), commands).await?);
        let commits = world.platform.ports.journal.end(PartitionId(0)).await? - before;
        of_commits.push(commands.1 as f64 / commits.max(1) as f64);
        // Whichever suits it better.
        let at_once = bare.rate(RECORDS, 0).await?;
        bare_rates.push(bare.rate(RECORDS, 5).await?.max(at_once));
    }
    world.stop().await;
    Ok([rates, bare_rates, of_commits])
}
