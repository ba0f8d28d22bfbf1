//! Records of usage that cannot be counted as they are, for who wrote them: a producer on a
//! broker gets no verdict. They are published before their seal, so that none is left out:
//! while their topic fails, the seal waits, and counting in its partition with it. After a
//! fault one may come twice, with the same place. What a gateway refused was told to its
//! sender, and is not here.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use exchequer_codec::usage::decode_record;
use exchequer_journal::{Fault, Outgoing};
use exchequer_metering::event::cut;
use exchequer_metering::{EventRecord, Fate, Record, RecordBody};
use exchequer_projection_usage::Kind;
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{PartitionId, TenantId, Timestamp, partition_of};
use prost::Message as _;
use serde_json::value::RawValue;
use serde_json::{Map, json};
use tracing::{info, warn};

use super::Context;
use super::judging::{Batch, Told};
use crate::failures::METER;

/// Bytes of one append.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// What is kept of a letter, whatever its writer did: it always fits the outlet.
const VALUE_BYTES_MAX: usize = 512 * 1024;
const TEXT_BYTES_MAX: usize = 1_024;
const HEADERS_MAX: usize = 64;
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// Before the names of the headers that say where a record was, and why it is here.
const OURS: &str = "exchequer-";
const CONTENT_TYPE: &str = "content-type";
const STRUCTURED: &str = "application/cloudevents+json";
/// The longest wait before what failed is published again; the first is that of a claim.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How often it is said that they cannot be published.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// What of one batch cannot be counted, by the partition it goes to.
pub(super) type Letters = BTreeMap<PartitionId, Vec<Outgoing>>;

/// What of the batch is to be published, where there is a topic for it.
pub(super) fn of(context: &Context, partition: PartitionId, batch: &Batch) -> Letters {
    let mut letters = Letters::new();
    let Some(outlet) = &context.letters else { return letters };
    // What a revision lists was sealed before.
    if batch.revision.is_some() {
        return letters;
    }
    for told in &batch.listed {
        let kind = batch.records.get(told.index).map(|it| it.kind);
        if matches!(kind, Some(Kind::Fate(Fate::Invalid) | Kind::Refused))
            && let Some(letter) = letter(context, partition, told)
        {
            let is_nobodys = letter.key.is_empty();
            let own = partition_of(&letter.key, outlet.partitions());
            let to = if is_nobodys { partition } else { own };
            letters.entry(to).or_default().push(letter);
        }
    }
    letters
}

pub(super) fn count(letters: &Letters) -> u64 {
    letters.values().map(|it| it.len() as u64).sum()
}

/// Publishes them, however often it takes: resolves when all are durable. Whoever loses the
/// partition meanwhile drops it.
pub(super) async fn publish(context: &Context, partition: PartitionId, letters: Letters) {
    let Some(outlet) = &context.letters else { return };
    let mut trouble = Trouble { partition, failures: 0, warned_at: None };
    for (to, letters) in letters {
        for part in parts(letters) {
            while let Err(fault) = outlet.publish(to, part.clone()).await {
                trouble.wait(context, fault).await;
            }
        }
    }
    if trouble.failures > 0 {
        info!(partition = partition.0, failures = trouble.failures, "dead letters go on");
        context.failures.resumed(partition, METER, context.ports.runtime.now());
        context.meters.update(partition, |it| it.fault = None);
    }
}

/// Publishing that fails.
struct Trouble {
    partition: PartitionId,
    failures: u32,
    warned_at: Option<Timestamp>,
}

impl Trouble {
    async fn wait(&mut self, context: &Context, fault: Fault) {
        let runtime = &context.ports.runtime;
        let (partition, now) = (self.partition, runtime.now());
        if self.warned_at.is_none_or(|at| now.since(at) >= WARN_INTERVAL) {
            self.warned_at = Some(now);
            let error = &fault;
            warn!(partition = partition.0, %error, "counting waits for the topic of dead letters");
        }
        let message = format!("counting waits for the topic of dead letters: {fault}");
        context.failures.stuck(partition, METER, message, now);
        context.meters.update(partition, |it| it.fault = Some(fault));
        let doubled = 2_u32.saturating_pow(self.failures.min(16));
        self.failures += 1;
        let wait = context.ports.settings.claim_retry.saturating_mul(doubled).min(RETRY_MAX);
        // Partitions that fail together come again one by one.
        let nonce = f64::from(runtime.nonce()[0]);
        runtime.sleep(wait.mul_f64(0.5 + nonce / 512.0)).await;
    }
}

/// As much as one append takes, each.
fn parts(letters: Vec<Outgoing>) -> Vec<Vec<Outgoing>> {
    let (mut parts, mut bytes) = (vec![Vec::new()], 0);
    for letter in letters {
        if bytes + letter.bytes() > BYTES_MAX && bytes > 0 {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += letter.bytes();
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

/// None when nobody is to mend it: a gateway's refusal, a correction.
fn letter(context: &Context, partition: PartitionId, told: &Told) -> Option<Outgoing> {
    let record = decode_record(&told.bytes, Some(&context.ports.key));
    let written = match &record.body {
        RecordBody::Correction(_) => return None,
        RecordBody::Refused { .. } => raw(&told.bytes)?,
        RecordBody::Event(event) => structured(event),
        RecordBody::Unreadable(_) => Written { value: told.bytes.clone(), ..Written::default() },
    };
    let fault = told.fault.as_ref();
    let text = |it: &str| cut(it, TEXT_BYTES_MAX).to_owned();
    let mut ours = vec![
        ("log", "usage".to_owned()),
        ("partition", partition.to_string()),
        ("offset", told.offset.to_string()),
        ("received-at", received_at(&record)),
        ("field", fault.map(|it| text(&it.field)).unwrap_or_default()),
        ("reason", fault.map(|it| text(&it.reason)).unwrap_or_default()),
    ];
    let bytes = written.bytes.max(written.value.len() as u64);
    if bytes > VALUE_BYTES_MAX as u64 {
        ours.push(("bytes", bytes.to_string()));
    }
    let ours = ours.into_iter().map(|(name, value)| (format!("{OURS}{name}"), Bytes::from(value)));
    let key = written.key.map(|it| (format!("{OURS}key"), first(&it, TEXT_BYTES_MAX)));
    let tenant = TenantId::parse(record.names().0).ok();
    Some(Outgoing {
        key: tenant.map(|it| Bytes::from(it.to_string())).unwrap_or_default(),
        headers: bounded(written.headers).chain(key).chain(ours).collect(),
        value: first(&written.value, VALUE_BYTES_MAX),
    })
}

/// A record as its producer wrote it, or would have.
#[derive(Default)]
struct Written {
    headers: Vec<(String, Bytes)>,
    key: Option<Bytes>,
    value: Bytes,
    /// Of the value, before it was cut.
    bytes: u64,
}

fn first(bytes: &Bytes, bytes_max: usize) -> Bytes {
    bytes.slice(..bytes.len().min(bytes_max))
}

/// A producer's headers, but for those with names of ours.
fn bounded(headers: Vec<(String, Bytes)>) -> impl Iterator<Item = (String, Bytes)> {
    let mut bytes = 0;
    let theirs = headers.into_iter().filter(|(name, _)| !name.starts_with(OURS));
    theirs.take(HEADERS_MAX).take_while(move |(name, value)| {
        bytes += name.len() + value.len();
        bytes <= HEADERS_BYTES_MAX
    })
}

fn received_at(record: &Record<'_>) -> String {
    record.forwarded.unwrap_or(record.received_at).to_string()
}

fn raw(bytes: &Bytes) -> Option<Written> {
    let record = pb::UsageRecord::decode(bytes.clone()).ok()?;
    let Some(pb::usage_record::Body::Raw(raw)) = record.body else { return None };
    let mut headers = Vec::new();
    if !raw.content_type.is_empty() {
        headers.push((CONTENT_TYPE.to_owned(), Bytes::from(raw.content_type)));
    }
    headers.extend(raw.headers.into_iter().map(|it| (it.name, it.value)));
    let bytes = raw.refused.map(|it| it.bytes).unwrap_or_default();
    Some(Written { headers, key: raw.key, value: raw.value, bytes })
}

/// The event in structured mode, however it came.
fn structured(event: &EventRecord<'_>) -> Written {
    let mut members = Map::new();
    let body = &event.body;
    let texts = [
        ("id", event.id),
        ("source", event.source),
        ("type", body.kind),
        ("tenant", event.tenant),
        ("subject", body.subject),
        ("dataschema", body.schema),
    ];
    members.insert("specversion".to_owned(), json!("1.0"));
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        members.insert(name.to_owned(), json!(text));
    }
    if let Some(time) = body.time {
        members.insert("time".to_owned(), json!(time.to_string()));
    }
    let head = serde_json::Value::Object(members).to_string();
    // Data stay as they came; what is no JSON is a text.
    let data = match serde_json::from_str::<&RawValue>(body.data) {
        Ok(_) => body.data.to_owned(),
        Err(_) => json!(body.data).to_string(),
    };
    let head = head.strip_suffix('}').unwrap_or(&head);
    Written {
        headers: vec![(CONTENT_TYPE.to_owned(), Bytes::from_static(STRUCTURED.as_bytes()))],
        value: Bytes::from(format!("{head},\"data\":{data}}}")),
        ..Written::default()
    }
}
