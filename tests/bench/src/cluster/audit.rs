//! From a command's acknowledgement to its entry in the hands of a consumer of the audit
//! topic, beside a steady load of other commands.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::StreamConsumer;
use rdkafka::message::Message as _;
use serde_json::Value;

use super::bare::consumer;
use super::commands::callers;
use super::servers::{Servers, Work, World};
use crate::report::{Figure, p99};
use crate::world::{PATIENCE, append, create_tenants, submission};
use crate::{Args, Failure};

const NAME: &str = "cluster-audit";
const PARTITIONS: u32 = 16;
const TENANTS: usize = 100;
const PROBES: usize = 300;
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// Other commands, so many every interval: 1,000 a second.
const LOAD_AT_ONCE: usize = 50;
const WAIT_MAX: Duration = Duration::from_secs(30);

pub(crate) async fn run(_: &Args) -> Result<Vec<Figure>, Failure> {
    let servers = Servers::start()?;
    let topics = servers.topics("audit", PARTITIONS)?;
    let store = Arc::new(servers.read_store("audit").await?);
    let work = Work { publishes: true, ..Work::deciding() };
    let world = World::start(&topics, store, work).await?;
    create_tenants(&world.platform, 0, TENANTS).await?;
    let name = format!("{}audit", topics.settings.prefix);
    let reader = consumer(&servers.kafka.bootstrap(), &name, PARTITIONS)?;
    #[expect(clippy::disallowed_methods, reason = "a reader is no part of the platform")]
    let reading = tokio::spawn(read(reader));
    let mut acknowledged = HashMap::new();
    for n in 0..PROBES {
        let id = format!("probe-{n}");
        let submission = submission(&format!("t{}", n % TENANTS), id.clone(), append())?;
        let run = format!("load-{n}");
        let load = callers(&world.platform.gateway, &run, (TENANTS, LOAD_AT_ONCE));
        let probe = async {
            let answer = world.platform.gateway.submit(submission, PATIENCE).await?;
            Ok::<_, Failure>((answer, Instant::now()))
        };
        let next = tokio::time::sleep(PROBE_INTERVAL);
        let (load, probe, ()) = futures::future::join3(load, probe, next).await;
        load?;
        acknowledged.insert(id, probe?.1);
    }
    let consumed = tokio::time::timeout(WAIT_MAX, reading).await???;
    world.stop().await;
    let late = |(id, at): (&String, &Instant)| {
        consumed.get(id).map(|it| it.saturating_duration_since(*at))
    };
    let times: Option<Vec<Duration>> = acknowledged.iter().map(late).collect();
    let mut times = times.ok_or("an entry did not come")?;
    times.sort();
    let p50 = times[times.len() / 2].as_secs_f64() * 1e3;
    Ok(vec![
        Figure::new(NAME, "acknowledged to consumed at 1,000 commands/s, p50 ms", p50, None),
        Figure::new(
            NAME,
            "acknowledged to consumed at 1,000 commands/s, p99 ms",
            p99(times),
            Some(("<", 1_000.0)),
        ),
    ])
}

/// When each probe's entry came, once all have.
async fn read(consumer: StreamConsumer) -> Result<HashMap<String, Instant>, Failure> {
    let mut seen = HashMap::new();
    while seen.len() < PROBES {
        let message = consumer.recv().await?;
        let at = Instant::now();
        let entry: Value = serde_json::from_slice(message.payload().unwrap_or_default())?;
        let id = entry["command"]["id"].as_str().unwrap_or_default();
        if id.starts_with("probe-") {
            seen.entry(id.to_owned()).or_insert(at);
        }
    }
    Ok(seen)
}
