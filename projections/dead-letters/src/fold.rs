//! Outcomes that are dead letters, and streams that are parked and released,
//! into rows.

use core::fmt::Write as _;

use exchequer_codec::{Entry, decode_event, status_of, status_word};
use exchequer_kernel::Status;
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::RowSet;
use exchequer_tenant::Event;
use exchequer_types::Timestamp;
use prost::Message as _;

use crate::rows::{
    DEAD_LETTER_REPLAYS, DEAD_LETTERS, DeadLetter, LetterId, PARKED_STREAMS, ParkedStream, Replay,
    letter_key, parked_key,
};

/// The kernel's events that neither park nor release.
pub(crate) const PASSED_OVER: [&str; 2] = ["kernel.timer-set.v1", "kernel.timer-cleared.v1"];
/// What is shown of a stream or type that nobody vouches for.
const CLAIM_CHARS_MAX: usize = 256;

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    if let Err(error) = fold_outcomes(entry, rows).and_then(|()| fold_events(entry, rows)) {
        rows.fail(format!("partition {}, offset {}, {error}", entry.partition, entry.offset));
    }
}

fn fold_outcomes(entry: &Entry, rows: &mut RowSet) -> Result<(), String> {
    for (index, outcome) in entry.commit.outcomes.iter().enumerate() {
        match status_of(outcome) {
            Some(Status::DeadLettered) => {}
            Some(status) => {
                mark_replay(entry, index, status, rows);
                continue;
            }
            None => {
                let status = outcome.status;
                return Err(format!(
                    "outcome {index}: status {status} is not known to this version: upgrade before going on"
                ));
            }
        }
        let input = entry.commit.inputs.get(index);
        let input = input.ok_or_else(|| format!("outcome {index} has no input"))?;
        let number = u32::try_from(index).map_err(|_| format!("outcome {index} is too many"))?;
        let id = LetterId { partition: entry.partition, offset: entry.offset, input: number };
        let row = letter(id, entry, input, outcome);
        rows.put(&DEAD_LETTERS, letter_key(id), row.to_values(), entry.timestamp(index));
    }
    Ok(())
}

/// Of an input that opened, and so was sealed by a gateway: is it a dead letter that was
/// submitted again?
fn mark_replay(entry: &Entry, index: usize, status: Status, rows: &mut RowSet) {
    let Some(input) = entry.commit.inputs.get(index) else { return };
    let sealed = pb::SealedCommand::decode(input.command.clone()).unwrap_or_default();
    let mark = pb::ReplayMark::decode(sealed.envelope.clone()).unwrap_or_default();
    let Ok(letter) = mark.replay_of.parse::<LetterId>() else { return };
    let envelope = pb::Envelope::decode(sealed.envelope).unwrap_or_default();
    let (command_id, status) = (envelope.id, status_word(status).to_owned());
    let replay = Replay { at: entry.now(), command_id, status };
    let timestamp = entry.timestamp(index);
    rows.put(&DEAD_LETTER_REPLAYS, letter_key(letter), replay.to_values(), timestamp);
}

fn fold_events(entry: &Entry, rows: &mut RowSet) -> Result<(), String> {
    for (index, event) in entry.commit.events.iter().enumerate() {
        if !event.r#type.starts_with("kernel.") || PASSED_OVER.contains(&event.r#type.as_str()) {
            continue;
        }
        let decoded = decode_event(&event.stream, &event.r#type, &event.payload)
            .map_err(|error| format!("event {index} ({}): {error}", event.r#type))?;
        let timestamp = entry.timestamp(index);
        let key = parked_key(entry.partition, &event.stream);
        match decoded {
            Event::Parked { reason } => {
                let row = ParkedStream {
                    partition: entry.partition,
                    stream: event.stream.clone(),
                    reason,
                    parked_at: Timestamp::saturating_from_micros(event.at),
                };
                rows.put(&PARKED_STREAMS, key, row.to_values(), timestamp);
            }
            Event::Released { .. } => rows.delete(&PARKED_STREAMS, key, timestamp),
            _ => {}
        }
    }
    Ok(())
}

fn letter(id: LetterId, entry: &Entry, input: &pb::Input, outcome: &pb::Outcome) -> DeadLetter {
    let (stream, kind) = claims(input);
    let log = usize::try_from(input.log).ok().and_then(|log| entry.commit.progress.get(log));
    DeadLetter {
        id,
        recorded_at: entry.now(),
        reason: outcome.code.clone(),
        message: outcome.message.clone(),
        stream,
        kind,
        record: input.command.clone(),
        record_hash: hex(&input.command_hash),
        log: log.map(|progress| hex(&progress.log)).unwrap_or_default(),
        log_offset: input.offset,
        replay: None,
    }
}

/// The stream and type that the record names, as far as it can be read.
fn claims(input: &pb::Input) -> (String, String) {
    let sealed = pb::SealedCommand::decode(input.command.clone()).unwrap_or_default();
    let envelope = pb::Envelope::decode(sealed.envelope).unwrap_or_default();
    let shown = |text: String| text.chars().take(CLAIM_CHARS_MAX).collect();
    (shown(envelope.stream), shown(envelope.r#type))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
