//! Usage from the topic to a figure that can be queried, with broker, store and producer on
//! the same cores: a filled topic is drained, producer and meters run beside each other, and
//! single events are timed beside a steady load.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exchequer_engine::meter::{DefinitionsSource, MemoryDefinitions, Meters};
use exchequer_engine::{
    Outlets, Parts, Platform, Ports, Roles, Settings as Bounds, UsageIntake, UsagePorts,
    UsageSettings,
};
use exchequer_journal::{MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_journal_kafka::{KafkaJournal, KafkaOutlet};
use exchequer_kernel::SealKey;
use exchequer_metering::{Aggregation, GROUPS_DEFAULT, GroupBy, Meter, Path, Terms};
use exchequer_projection_usage::{Asking, LiveUsage, Query, QueryError, Step};
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_types::{PartitionId, Slug, TenantId, Timestamp};

use super::produce::{Events, Probe, Writer, send};
use super::servers::{Servers, Topics};
use crate::report::{Figure, p99};
use crate::usage_events::Totals;
use crate::{Args, Failure};

const NAME: &str = "cluster-usage";
const PARTITIONS: u32 = 16;
const DRAINED: u64 = 6_000_000;
const LIVE: u64 = 1_000_000;
const TENANTS: u64 = 10;
const PROBED: &str = "p0";
const PROBES: u64 = 200;
const PROBE_INTERVAL: Duration = Duration::from_millis(80);
/// Of which one in so many is also waited for elsewhere.
const ELSEWHERE_EVERY: u64 = 8;
const LOAD: u64 = 10_000;
/// Before the first probe: meters have written what is new once, and servers have compiled
/// themselves.
const WARM: Duration = Duration::from_secs(60);
/// Before a figure is asked for anew that a meter is writing.
const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(900);

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let servers = Servers::start()?;
    let drained = DRAINED / 100 * args.percent as u64;
    // Servers that have just started compile themselves for a while.
    drain(&servers, "warm", PARTITIONS, (Events::Mixed, TENANTS, drained / 6)).await?;
    let drain = drain(&servers, "drain", PARTITIONS, (Events::Mixed, TENANTS, drained)).await?;
    let live = live(&servers, LIVE / 100 * args.percent as u64).await?;
    let (visible, elsewhere) = visible(&servers).await?;
    Ok(vec![
        Figure::new(NAME, "draining a filled topic, events/s", drain, Some((">=", 100_000.0))),
        Figure::new(NAME, "live with the producer, events/s", live, Some((">=", 40_000.0))),
        Figure::new(
            NAME,
            "acknowledged to visible at 10,000 events/s, p99 ms",
            visible,
            Some(("<", 250.0)),
        ),
        Figure::new(NAME, "the same for another process, p99 ms", elsewhere, None),
    ])
}

/// Events/s from the start of the meters to figures with all of them.
pub(super) async fn drain(
    servers: &Servers,
    prefix: &str,
    partitions: u32,
    (events, tenants, count): (Events, u64, u64),
) -> Result<f64, Failure> {
    let topics = servers.topics(prefix, partitions)?;
    let store = servers.read_store(prefix).await?;
    produce(servers, &topics, (events, count), None).await?;
    let begun = Instant::now();
    let metering = Metering::start(&topics, store, tenants).await?;
    metering.settled().await?;
    let elapsed = begun.elapsed();
    metering.check((events, tenants, count)).await?;
    metering.stop().await;
    Ok(count as f64 / elapsed.as_secs_f64())
}

async fn live(servers: &Servers, count: u64) -> Result<f64, Failure> {
    let topics = servers.topics("live", PARTITIONS)?;
    let store = servers.read_store("live").await?;
    let metering = Metering::start(&topics, store, TENANTS).await?;
    let begun = Instant::now();
    produce(servers, &topics, (Events::Mixed, count), None).await?;
    metering.settled().await?;
    let elapsed = begun.elapsed();
    metering.check((Events::Mixed, TENANTS, count)).await?;
    metering.stop().await;
    Ok(count as f64 / elapsed.as_secs_f64())
}

/// Milliseconds from a producer's acknowledgement to the answer of a query that counts it:
/// of the process that meters, and of one that has the store alone.
async fn visible(servers: &Servers) -> Result<(f64, f64), Failure> {
    let topics = servers.topics("visible", PARTITIONS)?;
    let store = servers.read_store("visible").await?;
    let metering = Metering::start(&topics, store, TENANTS).await?;
    let probe = Probe::new(&servers.kafka.bootstrap(), &topics.settings.named_topic(), PROBED)?;
    let elsewhere = LiveUsage::new(PARTITIONS);
    let seconds = (PROBE_INTERVAL * PROBES as u32).as_secs()
        + WARM.as_secs()
        + 2
        + 2 * (PROBES / ELSEWHERE_EVERY);
    let load = produce(servers, &topics, (Events::Mixed, LOAD * seconds), Some(LOAD));
    let probes = async {
        let (mut spent, mut spent_elsewhere) = (Vec::new(), Vec::new());
        tokio::time::sleep(WARM).await;
        for n in 0..PROBES {
            let (partition, offset) = probe.send(n).await?;
            let begun = Instant::now();
            let partition = PartitionId(partition);
            if !metering.meters.wait_for(partition, offset + 1, PATIENCE).await {
                return Err(format!("event {n} has no fate").into());
            }
            let here = &metering.meters.live;
            let counted = metering.figure(here, PROBED).await?;
            spent.push(begun.elapsed());
            if counted != n + 1 {
                return Err(format!("{counted} events are counted of {}", n + 1).into());
            }
            if n % ELSEWHERE_EVERY == 0 {
                while metering.figure(&elsewhere, PROBED).await? <= n {
                    tokio::time::sleep(PAUSE).await;
                }
                spent_elsewhere.push(begun.elapsed());
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
        Ok::<_, Failure>((p99(spent), p99(spent_elsewhere)))
    };
    let (load, spent) = futures::future::join(load, probes).await;
    load?;
    metering.stop().await;
    spent
}

async fn produce(
    servers: &Servers,
    topics: &Topics,
    (events, count): (Events, u64),
    per_second: Option<u64>,
) -> Result<(), Failure> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() - 60;
    let writer = Writer::new(events, began)?;
    let (bootstrap, topic) = (servers.kafka.bootstrap(), topics.settings.named_topic());
    let sending = move || send((&bootstrap, &topic), writer, count, per_second);
    tokio::task::spawn_blocking(sending).await?
}

/// The topic of usage, as its producers name it.
trait NamedTopic {
    fn named_topic(&self) -> String;
}

impl NamedTopic for exchequer_journal_kafka::Settings {
    fn named_topic(&self) -> String {
        format!("{}usage", self.prefix)
    }
}

/// Meters of all partitions, in this process.
struct Metering {
    platform: Platform,
    meters: Meters,
    runtime: TokioRuntime,
}

impl Metering {
    async fn start(
        topics: &Topics,
        store: impl exchequer_readstore::ReadStore + 'static,
        tenants: u64,
    ) -> Result<Self, Failure> {
        let settings = &topics.settings;
        let intake = Arc::new(UsageIntake);
        let log = KafkaJournal::open_produced(settings, &topics.known("usage")?.spec, intake)?;
        let seals = topics.journal("usage-seals")?;
        let letters = KafkaOutlet::open(settings, &topics.known("dead-letters")?.spec)?;
        let runtime = TokioRuntime::default();
        let clock = runtime.clone();
        let now = Arc::new(move || clock.now());
        let limits = MemoryInputLimits::default();
        let inputs = MemoryInput::new(topics.partitions, [1; 16], limits, now);
        let usage = UsageSettings::of_cluster();
        let ports = Ports {
            journal: Arc::new(MemoryJournal::new(topics.partitions)),
            inputs: Arc::new(inputs),
            store: Arc::new(store),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[7; 32]),
            settings: Arc::new(Bounds { usage, ..Bounds::default() }),
            usage: Some(UsagePorts { log: Arc::new(log), seals: Arc::new(seals) }),
        };
        let roles = Roles { decides: false, bootstraps: false, meters: true };
        let outlets = Outlets { dead_letters: Some(Arc::new(letters)), ..Outlets::default() };
        let definitions: Arc<dyn DefinitionsSource> = Arc::new(definitions(tenants)?);
        let given = Parts { definitions: Some(definitions), outlets, ..Parts::default() };
        let platform = Platform::start_as(roles, ports, given).await?;
        let meters = platform.meters.clone().ok_or("nothing is metered")?;
        Ok(Self { platform, meters, runtime })
    }

    /// Everything that is in the topic has its fate, and queries see it.
    async fn settled(&self) -> Result<(), Failure> {
        for partition in (0..self.meters.partitions()).map(PartitionId) {
            let end = self.meters.ports.log.end(partition).await?;
            if !self.meters.wait_for(partition, end, PATIENCE).await {
                return Err(format!("{:?}", self.meters.state(partition)).into());
            }
        }
        Ok(())
    }

    /// The figures are exactly those of the events.
    async fn check(&self, (events, tenants, count): (Events, u64, u64)) -> Result<(), Failure> {
        let expected = match events {
            Events::Mixed => Totals::of(count).events,
            Events::Of { .. } => count,
        };
        let mut counted = 0;
        for tenant in 0..tenants {
            counted += self.figure(&self.meters.live, &format!("t{tenant}")).await?;
        }
        if counted == expected {
            return Ok(());
        }
        Err(format!("{counted} events are counted of {expected}").into())
    }

    /// What has been requested, by the store and what `live` has above it.
    async fn figure(&self, live: &LiveUsage, tenant: &str) -> Result<u64, Failure> {
        let tenant = TenantId::parse(tenant)?;
        let day = 24 * 3_600_000_000;
        let start = self.runtime.now().micros() / day * day;
        let asked = Query {
            tenant: &tenant,
            meter: "requests",
            version: None,
            from: Timestamp::saturating_from_micros(start - day),
            to: Timestamp::saturating_from_micros(start + 2 * day),
            step: Step::Whole,
            subject: None,
            by_subject: false,
            group_by: Vec::new(),
            filters: Vec::new(),
            top: 10,
            lateness: Duration::ZERO,
            seen: &[],
        };
        let store = self.platform.ports.store.as_ref();
        // As the API does.
        let asking = Asking::new(store, live, &asked)?;
        let answer = loop {
            match asking.answer().await {
                Err(QueryError::Moving { .. }) => tokio::time::sleep(PAUSE).await,
                answer => break answer?,
            }
        };
        let figure = answer.windows.first().and_then(|it| it.groups.first()?.figure);
        Ok(figure.map_or(Ok(0), |it| it.to_string().parse())?)
    }

    async fn stop(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
    }
}

/// Three meters, for so many tenants and the one of single events.
fn definitions(tenants: u64) -> Result<MemoryDefinitions, Failure> {
    let definitions = MemoryDefinitions::default();
    let platform = TenantId::platform();
    let names = (0..tenants).map(|n| format!("t{n}")).chain([PROBED.to_owned()]);
    for name in names {
        definitions.put_tenant(&TenantId::parse(name)?, &platform, Vec::new());
    }
    let meter = |key: &str, aggregation, value: Option<&str>| -> Result<Meter, Failure> {
        Ok(Meter {
            key: Slug::parse(key)?,
            version: 1,
            event_type: "api.request".to_owned(),
            aggregation,
            value: value.map(Path::parse).transpose()?,
            group_by: Vec::new(),
            filters: Vec::new(),
            unit: "units".to_owned(),
            groups_max: GROUPS_DEFAULT,
        })
    };
    let by_model = vec![GroupBy { name: Slug::parse("model")?, path: Path::parse("$.model")? }];
    let tokens =
        Meter { group_by: by_model, ..meter("tokens", Aggregation::Sum, Some("$.tokens"))? };
    let requests = meter("requests", Aggregation::Count, None)?;
    let slowest = meter("slowest", Aggregation::Max, Some("$.ms"))?;
    definitions.put_meters(&platform, vec![requests, tokens, slowest], Terms::default());
    Ok(definitions)
}
