//! Kafka's client by itself, with nothing of ours around it: what a broker on this machine
//! can do.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use crate::Failure;

const BYTES: usize = 256;
const IN_FLIGHT: usize = 1_000;
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(30);

/// A topic, of which it writes to the first partition and reads all.
pub(crate) struct Bare {
    bootstrap: String,
    topic: String,
    partitions: u32,
}

impl Bare {
    pub(super) async fn create(
        bootstrap: &str,
        topic: &str,
        partitions: u32,
    ) -> Result<Self, Failure> {
        let admin: AdminClient<DefaultClientContext> = config(bootstrap).create()?;
        let new = NewTopic::new(topic, partitions as i32, TopicReplication::Fixed(1));
        for made in admin.create_topics([&new], &AdminOptions::new()).await? {
            made.map_err(|(topic, code)| format!("{topic}: {code}"))?;
        }
        Ok(Self { bootstrap: bootstrap.to_owned(), topic: topic.to_owned(), partitions })
    }

    fn producer(&self, linger_ms: u32) -> Result<FutureProducer, Failure> {
        let mut config = config(&self.bootstrap);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", linger_ms.to_string())
            .set("queue.buffering.max.messages", "200000");
        Ok(config.create()?)
    }

    /// How long one record after the other takes from the producer to the consumer.
    pub(super) async fn trips(&self) -> Result<Trips<'_>, Failure> {
        let consumer = consumer(&self.bootstrap, &self.topic, self.partitions)?;
        let mut trips = Trips { bare: self, producer: self.producer(0)?, consumer, next: 0 };
        trips.run(100).await?;
        Ok(trips)
    }

    /// Acknowledged records/s, so many of them unacknowledged at a time.
    pub(super) async fn rate(&self, records: u64, linger_ms: u32) -> Result<f64, Failure> {
        let producer = self.producer(linger_ms)?;
        let payload = [7; BYTES];
        let send = |_| {
            let record = FutureRecord::<(), _>::to(&self.topic).partition(0).payload(&payload[..]);
            producer.send(record, Timeout::Never)
        };
        let begun = Instant::now();
        let mut outcomes = stream::iter(0..records).map(send).buffer_unordered(IN_FLIGHT);
        while let Some(sent) = outcomes.next().await {
            sent.map_err(|(error, _)| error)?;
        }
        let rate = records as f64 / begun.elapsed().as_secs_f64();
        producer.flush(FLUSH_WAIT_MAX)?;
        Ok(rate)
    }
}

/// A producer and a consumer of one topic.
pub(crate) struct Trips<'a> {
    bare: &'a Bare,
    producer: FutureProducer,
    consumer: StreamConsumer,
    next: u64,
}

impl Trips<'_> {
    pub(super) async fn run(&mut self, count: usize) -> Result<Vec<Duration>, Failure> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            self.next += 1;
            let mut payload = [7; BYTES];
            payload[..8].copy_from_slice(&self.next.to_be_bytes());
            let record =
                FutureRecord::<(), _>::to(&self.bare.topic).partition(0).payload(&payload[..]);
            let begun = Instant::now();
            let sent = self.producer.send(record, Timeout::Never);
            let received = async {
                loop {
                    let message = self.consumer.recv().await?;
                    if message.payload().is_some_and(|it| it[..8] == payload[..8]) {
                        return Ok::<_, Failure>(begun.elapsed());
                    }
                }
            };
            let (sent, received) = futures::future::join(sent, received).await;
            sent.map_err(|(error, _)| error)?;
            times.push(received?);
        }
        Ok(times)
    }
}

pub(super) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

/// Reads all partitions of a topic from their beginnings.
pub(super) fn consumer(
    bootstrap: &str,
    topic: &str,
    partitions: u32,
) -> Result<StreamConsumer, Failure> {
    let mut config = config(bootstrap);
    config.set("group.id", "readers").set("enable.auto.commit", "false");
    let consumer: StreamConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition as i32, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}
