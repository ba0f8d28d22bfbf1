//! Events as a service's own Kafka client writes them to the topic of usage.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::DefaultProducerContext;
use rdkafka::producer::{
    BaseRecord, FutureProducer, FutureRecord, Producer as _, ThreadedProducer,
};
use rdkafka::util::Timeout;

use super::bare::config;
use crate::Failure;
use crate::usage_events::{self, Template, number};

const FLUSH_WAIT_MAX: Duration = Duration::from_secs(120);
/// Waited for room in the producer's queue.
const FULL_WAIT: Duration = Duration::from_millis(2);
const SUBJECTS: u64 = 10_000;

/// Which events: 90 of a hundred are new, over ten tenants; or all are, and each of 10,000
/// subjects is one of so many tenants'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Events {
    Mixed,
    Of { tenants: u64 },
}

/// Events in structured mode.
pub(super) struct Writer {
    events: Events,
    template: Template,
    value: Vec<u8>,
    began: u64,
}

impl Writer {
    /// `began`: seconds of the first event's time.
    pub(super) fn new(events: Events, began: u64) -> Result<Self, Failure> {
        let template = Template::json(began)?;
        let value = template.repeat(1, b"", b"");
        Ok(Self { events, template, value, began })
    }

    /// Key and value of what stands at place `n`.
    fn write(&mut self, n: u64) -> (String, &[u8]) {
        match self.events {
            Events::Mixed => {
                let number = number(n);
                self.template.write(&mut self.value, number);
                (usage_events::key(number), &self.value)
            }
            Events::Of { tenants } => {
                let at = self.began * 1_000_000 + n;
                let time = exchequer_types::Timestamp::saturating_from_micros(at as i64);
                let subject = n % SUBJECTS;
                let (tenant, tokens, model) = (subject % tenants, 100 + n % 900, n / 7 % 10);
                self.value = format!(
                    "{{\"specversion\":\"1.0\",\"id\":\"e-{n:010}\",\"source\":\"/bench\",\
                     \"type\":\"api.request\",\"time\":\"{time}\",\"tenant\":\"t{tenant}\",\
                     \"subject\":\"s-{subject:04}\",\"data\":{{\"tokens\":{tokens},\
                     \"model\":\"m-{model}\",\"ms\":{}}}}}",
                    100 + n % 211
                )
                .into_bytes();
                (format!("t{tenant}/e-{n:010}"), &self.value)
            }
        }
    }
}

fn headers() -> OwnedHeaders {
    let value = Some("application/cloudevents+json");
    OwnedHeaders::new().insert(Header { key: "content-type", value })
}

fn settings(bootstrap: &str, linger_ms: u32) -> rdkafka::config::ClientConfig {
    let mut config = config(bootstrap);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", linger_ms.to_string())
        .set("queue.buffering.max.messages", "200000");
    config
}

/// Writes `count` events, at most `per_second`, and waits until all are acknowledged. Blocks.
pub(super) fn send(
    (bootstrap, topic): (&str, &str),
    mut writer: Writer,
    count: u64,
    per_second: Option<u64>,
) -> Result<(), Failure> {
    let producer: ThreadedProducer<DefaultProducerContext> = settings(bootstrap, 5).create()?;
    let headers = headers();
    let begun = Instant::now();
    for n in 0..count {
        if let Some(per_second) = per_second.filter(|_| n % 100 == 0) {
            let due = Duration::from_secs_f64(n as f64 / per_second as f64);
            if let Some(early) = due.checked_sub(begun.elapsed()) {
                std::thread::sleep(early);
            }
        }
        let (key, value) = writer.write(n);
        let mut record = BaseRecord::to(topic).key(&key).payload(value).headers(headers.clone());
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(FULL_WAIT);
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
    producer.flush(FLUSH_WAIT_MAX)?;
    Ok(())
}

/// Writes single events of a tenant that has no others.
pub(super) struct Probe {
    producer: FutureProducer,
    topic: String,
    tenant: String,
}

impl Probe {
    pub(super) fn new(bootstrap: &str, topic: &str, tenant: &str) -> Result<Self, Failure> {
        let producer = settings(bootstrap, 0).create()?;
        Ok(Self { producer, topic: topic.to_owned(), tenant: tenant.to_owned() })
    }

    /// Where the acknowledged record stands: partition and offset.
    pub(super) async fn send(&self, n: u64) -> Result<(u32, u64), Failure> {
        let tenant = &self.tenant;
        let value = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"p-{n}\",\"source\":\"/bench\",\
             \"type\":\"api.request\",\"tenant\":\"{tenant}\",\"subject\":\"s-1\",\
             \"data\":{{\"tokens\":1,\"model\":\"m-1\",\"ms\":1}}}}"
        );
        let key = format!("{tenant}/p-{n}");
        let record = FutureRecord::to(&self.topic).key(&key).payload(&value).headers(headers());
        let sent = self.producer.send(record, Timeout::Never).await;
        let at = sent.map_err(|(error, _)| error)?;
        Ok((u32::try_from(at.partition)?, u64::try_from(at.offset)?))
    }
}
