//! The deployment's own notes on its topics: the id that positions in a topic name,
//! and the number of partitions it was created with. They are in a compacted topic.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use exchequer_types::LogId;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use rdkafka::{ClientContext, Offset as KafkaOffset, TopicPartitionList};
use serde_json::{Value, json};

use super::check::check_partitions;
use super::spec::{DESCRIPTIONS, Spec};
use crate::SetupError;
use crate::client::{self, Reporter};
use crate::settings::Settings;

/// A topic that was found right, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub spec: Spec,
    /// Made when the topic was created.
    pub id: LogId,
    /// Of a topic to which the records of another log were carried.
    pub moved: Option<Moved>,
}

/// Where records come from that were carried to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The log that they stood in.
    pub from: LogId,
    /// A record's offset here, less its offset there.
    pub shift: u64,
    /// Are all of them here? Until then no process uses the topic.
    pub is_whole: bool,
}

/// What is written down of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub id: LogId,
    pub partitions: u32,
    pub moved: Option<Moved>,
}

const POLL: Duration = Duration::from_millis(50);

/// All notes, by name of the topic. None are there when the topic of notes is missing.
pub(crate) fn read(
    settings: &Settings,
    consumer: &BaseConsumer<Reporter>,
) -> Result<BTreeMap<String, Note>, SetupError> {
    let name = settings.named(DESCRIPTIONS);
    let failed =
        |error| SetupError::of("read the notes on topics", &settings.bootstrap, None, &error);
    match check_partitions(consumer, settings, &name, 1) {
        Err(error) if error.is_about_a_missing_topic() => return Ok(BTreeMap::new()),
        checked => checked?,
    }
    let (low, high) =
        client::watermarks(consumer, &name, 0, settings.request_wait()).map_err(failed)?;
    let mut notes = BTreeMap::new();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&name, 0, KafkaOffset::Offset(low)).map_err(failed)?;
    consumer.assign(&list).map_err(failed)?;
    let begun = Instant::now();
    // Compaction leaves gaps, also at the end: the position says when all is read.
    while position(consumer, &name).unwrap_or(low) < high {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
                match message.payload().and_then(decode) {
                    Some(note) => notes.insert(key, note),
                    None => notes.remove(&key),
                };
            }
            Some(Err(error)) => return Err(failed(error)),
            None if begun.elapsed() > settings.request_wait() => {
                let message = format!("{name} is not read within the time; is its leader there?");
                return Err(SetupError::unreachable(message));
            }
            None => {}
        }
    }
    consumer.unassign().map_err(failed)?;
    Ok(notes)
}

fn position(consumer: &BaseConsumer<Reporter>, name: &str) -> Option<i64> {
    let list = consumer.position().ok()?;
    list.find_partition(name, 0)?.offset().to_raw().filter(|offset| *offset >= 0)
}

/// Writes one note, and waits until it is kept.
pub(crate) fn write(settings: &Settings, name: &str, note: Note) -> Result<(), SetupError> {
    let failed = |error| SetupError::of("note a topic", &settings.bootstrap, None, &error);
    let outcome = Outcome::default();
    let producer: ThreadedProducer<Outcome> =
        client::make(&settings.producer(None), outcome.clone()).map_err(failed)?;
    let value = encode(note);
    let topic = settings.named(DESCRIPTIONS);
    producer
        .send(BaseRecord::to(&topic).partition(0).key(name).payload(&value))
        .map_err(|(error, _)| failed(error))?;
    producer.flush(settings.request_wait()).map_err(failed)?;
    match outcome.told.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(delivered) => delivered.map_err(failed),
        None => Err(SetupError::unreachable(format!("nobody said that {topic} has the note"))),
    }
}

/// What became of one record.
#[derive(Clone, Default)]
struct Outcome {
    told: Arc<Mutex<Option<KafkaResult<()>>>>,
}

impl ClientContext for Outcome {}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        let told = delivered.as_ref().map(drop).map_err(|(error, _)| error.clone());
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }
}

fn encode(note: Note) -> String {
    // An id shows itself as 32 hexadecimal digits.
    let hex = |id: LogId| format!("{id:?}");
    let mut value = json!({ "v": 1, "id": hex(note.id), "partitions": note.partitions });
    if let Some(Moved { from, shift, is_whole }) = note.moved {
        value["moved"] = json!({ "from": hex(from), "shift": shift, "whole": is_whole });
    }
    value.to_string()
}

fn decode(bytes: &[u8]) -> Option<Note> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let partitions = u32::try_from(value["partitions"].as_u64()?).ok()?;
    let moved = match &value["moved"] {
        Value::Null => None,
        it => Some(Moved {
            from: decode_id(&it["from"])?,
            shift: it["shift"].as_u64()?,
            is_whole: it["whole"].as_bool()?,
        }),
    };
    Some(Note { id: decode_id(&value["id"])?, partitions, moved })
}

fn decode_id(value: &Value) -> Option<LogId> {
    let hex = value.as_str().filter(|hex| hex.len() == 32 && hex.is_ascii())?;
    let mut id = [0; 16];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(LogId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_written() {
        let note = Note { id: LogId([0xab; 16]), partitions: 16, moved: None };
        assert_eq!(decode(encode(note).as_bytes()), Some(note));
        let moved = Some(Moved { from: LogId([7; 16]), shift: 0, is_whole: false });
        let note = Note { moved, ..note };
        assert_eq!(decode(encode(note).as_bytes()), Some(note));
        assert_eq!(decode(encode(note).replace("false", "1").as_bytes()), None);
        assert_eq!(decode(b"{}"), None);
        assert_eq!(decode(br#"{"id":"zz","partitions":1}"#), None);
    }
}
