//! How fast appends are on given brokers, beside the bare client with the same
//! settings: `figures BOOTSTRAP REPLICAS`. Makes topics with a prefix of this run.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exchequer_journal::Journal;
use exchequer_journal_kafka::topics::{self, Layout};
use exchequer_journal_kafka::{KafkaJournal, Settings};
use exchequer_types::PartitionId;
use futures::StreamExt as _;
use futures::stream::{self, FuturesUnordered};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

const P0: PartitionId = PartitionId(0);
const RECORD_BYTES: usize = 256;

type Res<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Res<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, replicas] = words.as_slice() else {
        return Err("usage: figures BOOTSTRAP REPLICAS".into());
    };
    let prefix = format!("figures-{}.", std::process::id());
    let settings = Settings { prefix: prefix.clone(), ..Settings::new(bootstrap) };
    let layout = Layout { partitions: 1, replicas: replicas.parse()?, ..Layout::default() };
    let (journal, usage) = (layout.topic("journal"), layout.topic("usage"));
    let specs: Vec<_> = journal.into_iter().chain(usage).collect();
    let (name, asked) = (format!("{prefix}journal"), (settings.clone(), specs.clone()));
    let create = move || topics::create(&asked.0, &asked.1).map_err(|error| error.to_string());
    tokio::task::spawn_blocking(create).await??;
    let journal = KafkaJournal::open(&settings, &specs[0])?;

    one_caller(&journal).await?;
    at_once(&journal, 1_000, 200_000).await?;
    bare(bootstrap, &name, 200_000)?;
    together(&journal).await?;
    let fresh = KafkaJournal::open(&settings, &specs[0])?;
    reading(&fresh).await
}

fn say(line: &str) -> Res<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn record() -> Bytes {
    Bytes::from(vec![7; RECORD_BYTES])
}

async fn one_caller(journal: &KafkaJournal) -> Res<()> {
    const COUNT: usize = 3_000;
    let mut taken = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let begun = Instant::now();
        journal.append(P0, record()).await?;
        taken.push(begun.elapsed());
    }
    say(&format!("append acknowledged, one caller: {}", percentiles(&mut taken)))?;
    taken.clear();
    for _ in 0..COUNT {
        let begun = Instant::now();
        let end = journal.append(P0, record()).await?.ok_or("no place was told")?;
        journal.wait(P0, end).await;
        taken.push(begun.elapsed());
    }
    say(&format!("append to seen by the tail, one caller: {}", percentiles(&mut taken)))
}

async fn at_once(journal: &KafkaJournal, in_flight: usize, count: usize) -> Res<()> {
    let begun = Instant::now();
    let mut taken = Vec::with_capacity(count);
    let calls = stream::iter(0..count).map(|_| async {
        let begun = Instant::now();
        let answer = journal.append(P0, record()).await;
        answer.map(|_| begun.elapsed())
    });
    let mut answers = calls.buffer_unordered(in_flight);
    while let Some(answer) = answers.next().await {
        taken.push(answer?);
    }
    let rate = per_second(count, begun.elapsed());
    say(&format!("append, {in_flight} in flight: {rate}/s, {}", percentiles(&mut taken)))
}

/// The bare client: hands over as fast as its queue takes, and waits for all.
fn bare(bootstrap: &str, topic: &str, count: usize) -> Res<()> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "0")
        .create()?;
    let bytes = record();
    let begun = Instant::now();
    for _ in 0..count {
        while producer.in_flight_count() >= 1_000 {
            std::thread::yield_now();
        }
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).payload(&bytes);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(60))?;
    say(&format!("bare client, 1000 in flight: {}/s", per_second(count, begun.elapsed())))
}

async fn together(journal: &KafkaJournal) -> Res<()> {
    const CALLS: usize = 400;
    const EACH: usize = 1_000;
    let done = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut calls = FuturesUnordered::new();
    for _ in 0..CALLS {
        if calls.len() >= 16
            && let Some(answer) = calls.next().await
        {
            let _: Option<u64> = answer?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        calls.push(journal.append_all(P0, vec![record(); EACH]));
    }
    while let Some(answer) = calls.next().await {
        let _: Option<u64> = answer?;
    }
    let rate = per_second(CALLS * EACH, begun.elapsed());
    say(&format!("append_all of {EACH}, 16 in flight: {rate} records/s"))
}

async fn reading(journal: &KafkaJournal) -> Res<()> {
    let end = journal.end(P0).await?;
    let begun = Instant::now();
    let mut next = 0;
    while next < end {
        next += journal.read(P0, next, 1 << 20).await?.len() as u64;
    }
    let rate = per_second(usize::try_from(end)?, begun.elapsed());
    say(&format!("read of {end} records from the brokers: {rate}/s"))
}

fn per_second(count: usize, taken: Duration) -> u64 {
    (count as f64 / taken.as_secs_f64()) as u64
}

fn percentiles(taken: &mut [Duration]) -> String {
    taken.sort_unstable();
    let at = |part: usize| taken[(taken.len() * part / 1_000).min(taken.len() - 1)].as_micros();
    format!("p50 {} us, p99 {} us", at(500), at(990))
}
