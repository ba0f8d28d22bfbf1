//! The deployment's own notes on its topics: the id that positions in a topic name,
//! and the number of partitions it was created with. They are in a compacted topic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use exchequer_types::LogId;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use serde_json::{Value, json};

use super::check::check_partitions;
use super::spec::{Spec, descriptions};
use crate::SetupError;
use crate::client::Reporter;
use crate::settings::Settings;

/// A topic that was found right, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub spec: Spec,
    /// Made when the topic was created.
    pub id: LogId,
}

/// What is written down of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub id: LogId,
    pub partitions: u32,
}

const POLL: Duration = Duration::from_millis(50);

/// All notes, by name of the topic. None are there when the topic of notes is missing.
pub(crate) fn read(
    settings: &Settings,
    consumer: &BaseConsumer<Reporter>,
) -> Result<BTreeMap<String, Note>, SetupError> {
    let name = settings.named(&descriptions(1).name);
    let failed =
        |error| SetupError::of("read the notes on topics", &settings.bootstrap, None, &error);
    match check_partitions(consumer, settings, &name, 1) {
        Err(error) if error.is_about_a_missing_topic() => return Ok(BTreeMap::new()),
        checked => checked?,
    }
    let ends = consumer.fetch_watermarks(&name, 0, settings.request_wait());
    let (low, high) = ends.map_err(failed)?;
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
    let producer: ThreadedProducer<_> = settings.producer().create().map_err(failed)?;
    let value = encode(note);
    let topic = settings.named(&descriptions(1).name);
    producer
        .send(BaseRecord::to(&topic).partition(0).key(name).payload(&value))
        .map_err(|(error, _)| failed(error))?;
    producer.flush(settings.request_wait()).map_err(failed)
}

fn encode(note: Note) -> String {
    // An id shows itself as 32 hexadecimal digits.
    let id = format!("{:?}", note.id);
    json!({ "v": 1, "id": id, "partitions": note.partitions }).to_string()
}

fn decode(bytes: &[u8]) -> Option<Note> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let hex = value["id"].as_str().filter(|hex| hex.len() == 32 && hex.is_ascii())?;
    let mut id = [0; 16];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    let partitions = u32::try_from(value["partitions"].as_u64()?).ok()?;
    Some(Note { id: LogId(id), partitions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_written() {
        let note = Note { id: LogId([0xab; 16]), partitions: 16 };
        assert_eq!(decode(encode(note).as_bytes()), Some(note));
        assert_eq!(decode(b"{}"), None);
        assert_eq!(decode(br#"{"id":"zz","partitions":1}"#), None);
    }
}
