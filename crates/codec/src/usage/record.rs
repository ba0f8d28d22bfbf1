//! Records of the usage log. An event is written and read by hand, borrowing from the
//! record's bytes; what is rare goes the usual way.

use bytes::{Bytes, BytesMut};
use exchequer_kernel::SealKey;
use exchequer_metering::{Body, CorrectionRecord, EventRecord, Record, RecordBody};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::Timestamp;
use prost::Message as _;

use super::wire::{
    Fields, Malformed, Value, field_bytes, put_length, put_number, put_text, text, varint_bytes,
};
use crate::DecodeError;

/// Bytes of the field `mac`: tag, length, and the MAC itself.
const MAC_FIELD_BYTES: usize = 34;

/// The bytes of an event's record. They are cut off `out`, in which there may be room for
/// many.
pub fn encode_event(out: &mut BytesMut, received_at: Timestamp, event: &EventRecord<'_>) -> Bytes {
    let body = &event.body;
    let time = body.time.map(Timestamp::micros);
    let texts = [
        (1, event.tenant),
        (2, event.source),
        (3, event.id),
        (4, body.kind),
        (5, body.subject),
        (6, body.schema),
    ];
    let text_bytes = |text: &str| if text.is_empty() { 0 } else { field_bytes(text.len()) };
    let length = texts.iter().map(|(_, text)| text_bytes(text)).sum::<usize>()
        + time.map_or(0, |time| 1 + varint_bytes(time.cast_unsigned()))
        + text_bytes(body.data);
    out.reserve(11 + field_bytes(length));
    put_number(out, 1, received_at.micros());
    put_length(out, 2, length);
    for (number, text) in texts {
        put_text(out, number, text);
    }
    match time {
        // Zero is a time too.
        Some(0) => out.extend_from_slice(&[7 << 3, 0]),
        Some(time) => put_number(out, 7, time),
        None => {}
    }
    put_text(out, 8, body.data);
    out.split().freeze()
}

/// The record of what a gateway refused.
pub fn encode_refused(received_at: Timestamp, refused: pb::Refused, key: &SealKey) -> Bytes {
    sealed(received_at, pb::usage_record::Body::Refused(refused), None, key)
}

/// The record of a correction that was decided.
pub fn encode_correction(
    received_at: Timestamp,
    correction: pb::Correction,
    key: &SealKey,
) -> Bytes {
    sealed(received_at, pb::usage_record::Body::Correction(correction), None, key)
}

/// The record by which the one with these bytes is sent on to its own partition, received
/// there at `received_at`; `from` says where it had been.
pub fn encode_forwarded(
    record: &[u8],
    received_at: Timestamp,
    from: pb::Forwarded,
    key: &SealKey,
) -> Result<Bytes, DecodeError> {
    let body = pb::UsageRecord::decode(record)?.body;
    let body = body.ok_or(DecodeError::Field { field: "body" })?;
    Ok(sealed(received_at, body, Some(from), key))
}

fn sealed(
    received_at: Timestamp,
    body: pb::usage_record::Body,
    forwarded: Option<pb::Forwarded>,
    key: &SealKey,
) -> Bytes {
    let record = pb::UsageRecord {
        received_at: received_at.micros(),
        body: Some(body),
        forwarded,
        mac: Bytes::new(),
    };
    let mut bytes = record.encode_to_vec();
    let mac = key.usage_mac(&bytes);
    bytes.extend_from_slice(&[(7 << 3) | 2, 32]);
    bytes.extend_from_slice(&mac);
    Bytes::from(bytes)
}

/// Reads a record, whatever its bytes are: what cannot be read says why. Without a key
/// every MAC counts as right, as it does for a verifier to whom the key is not given.
pub fn decode_record<'a>(bytes: &'a [u8], key: Option<&SealKey>) -> Record<'a> {
    let unreadable = |reason| Record {
        received_at: Timestamp::MIN,
        forwarded: None,
        is_authentic: false,
        body: RecordBody::Unreadable(reason),
    };
    match read(bytes, key) {
        Ok(record) => record,
        Err(Malformed) => unreadable("is no record of the usage log"),
    }
}

fn read<'a>(bytes: &'a [u8], key: Option<&SealKey>) -> Result<Record<'a>, Malformed> {
    let (mut received_at, mut forwarded) = (Timestamp::MIN, None);
    let mut body = None;
    let mut is_authentic = key.is_none();
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, value) => received_at = time(value)?,
            (2..=5, _) if body.is_some() => return Err(Malformed),
            (2, Value::Bytes(event)) => body = Some(RecordBody::Event(read_event(event)?)),
            (3, Value::Bytes(refused)) => body = Some(read_refused(refused)?),
            (4, Value::Bytes(correction)) => body = Some(read_correction(correction)?),
            // It says itself why it counts for nothing, whoever wrote it.
            (5, Value::Bytes(raw)) => (body, is_authentic) = (Some(read_raw(raw)?), true),
            (6, Value::Bytes(from)) => forwarded = Some(read_forwarded(from)?),
            (7, Value::Bytes(mac)) => {
                // It is the last field, and over all that stands before it.
                if let (Some(key), 0, Ok(mac)) = (key, fields.left(), mac.try_into()) {
                    is_authentic = key.verifies_usage(&bytes[..bytes.len() - MAC_FIELD_BYTES], mac);
                }
            }
            (2..=7, _) => return Err(Malformed),
            _ => {}
        }
    }
    let body = body.ok_or(Malformed)?;
    Ok(Record { received_at, forwarded, is_authentic, body })
}

fn time(value: Value<'_>) -> Result<Timestamp, Malformed> {
    match value {
        Value::Varint(micros) => {
            Timestamp::from_micros(micros.cast_signed()).map_err(|_| Malformed)
        }
        _ => Err(Malformed),
    }
}

fn read_event(bytes: &[u8]) -> Result<EventRecord<'_>, Malformed> {
    let body = Body { kind: "", schema: "", subject: "", time: None, data: "" };
    let mut event = EventRecord { tenant: "", source: "", id: "", body };
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => event.tenant = text(value)?,
            2 => event.source = text(value)?,
            3 => event.id = text(value)?,
            4 => event.body.kind = text(value)?,
            5 => event.body.subject = text(value)?,
            6 => event.body.schema = text(value)?,
            7 => event.body.time = Some(time(value)?),
            8 => event.body.data = text(value)?,
            _ => {}
        }
    }
    Ok(event)
}

fn read_refused(bytes: &[u8]) -> Result<RecordBody<'_>, Malformed> {
    let (mut tenant, mut source, mut id, mut field, mut reason) = ("", "", "", "", "");
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => tenant = text(value)?,
            2 => source = text(value)?,
            3 => id = text(value)?,
            // Its type is shown, and decides nothing.
            4 => drop(text(value)?),
            5 => field = text(value)?,
            6 => reason = text(value)?,
            _ => {}
        }
    }
    Ok(RecordBody::Refused { tenant, source, id, field, reason })
}

fn read_raw(bytes: &[u8]) -> Result<RecordBody<'_>, Malformed> {
    let mut body = RecordBody::Unreadable("is as a producer wrote it to a broker");
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, value) => drop(text(value)?),
            (2, Value::Bytes(header)) => read_header(header)?,
            (3 | 4, Value::Bytes(_)) => {}
            (5, Value::Bytes(refused)) => body = read_refused(refused)?,
            (2..=5, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(body)
}

fn read_header(bytes: &[u8]) -> Result<(), Malformed> {
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, value) => drop(text(value)?),
            (2, Value::Bytes(_)) => {}
            (2, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(())
}

fn read_correction(bytes: &[u8]) -> Result<RecordBody<'_>, Malformed> {
    let mut it = CorrectionRecord { id: "", tenant: "", source: "", event: "", amended: None };
    let mut is_said = false;
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, value) => it.id = text(value)?,
            (2, value) => it.tenant = text(value)?,
            (3, value) => it.source = text(value)?,
            (4, value) => it.event = text(value)?,
            (5 | 6, _) if is_said => return Err(Malformed),
            (5, Value::Bytes(_)) => is_said = true,
            (6, Value::Bytes(amend)) => {
                is_said = true;
                it.amended = Some(read_amend(amend)?);
            }
            (5 | 6, _) => return Err(Malformed),
            (7 | 8, value) => drop(text(value)?),
            _ => {}
        }
    }
    if is_said { Ok(RecordBody::Correction(it)) } else { Err(Malformed) }
}

fn read_amend(bytes: &[u8]) -> Result<&str, Malformed> {
    let mut data = "";
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            data = text(value)?;
        }
    }
    Ok(data)
}

/// When it was received first.
fn read_forwarded(bytes: &[u8]) -> Result<Timestamp, Malformed> {
    let mut received_at = Timestamp::MIN;
    let mut fields = Fields::of(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            3 => received_at = time(value)?,
            1 | 2 if !matches!(value, Value::Varint(_)) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(received_at)
}
