//! What a producer wrote to a broker, as a record of the usage log: an event in structured
//! or binary mode as if a gateway had taken it, and anything else as it is, with the reason
//! why it is no event. The same record makes the same bytes, so that hashes can be taken.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use exchequer_metering::EventRecord;
use exchequer_metering::event::{
    self, Event, REASON_BYTES_MAX, Refused, Rejection, cut, structured,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::Timestamp;
use prost::Message as _;

use super::record::encode_event;
use super::wire::{Fields, Value, put_number};

/// Names and values, in their order.
pub type Headers<'a> = [(&'a str, &'a [u8])];

const CONTENT_TYPE: &str = "content-type";
/// What the names of attributes begin with as headers.
const PREFIX: &str = "ce_";
/// First byte of what gateways and meters write: the field `received_at`.
const OWN: u8 = 0x08;
/// They write nothing larger; what is could not be sent on.
const OWN_BYTES_MAX: usize = 128 * 1024;
/// An event from further ahead was taken in by a gateway whose clock is wrong: the broker's
/// says when it came, for meters would wait for that time. Of anything else the time is under
/// its MAC, which says it of no event by itself: it counts for nothing.
const OWN_AHEAD_MAX: Duration = Duration::from_secs(60);

/// Of what is kept of a record that is no event.
const VALUE_BYTES_MAX: usize = 512 * 1024;
const KEY_BYTES_MAX: usize = 1_024;
const HEADERS_MAX: usize = 64;
const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// The record that stands for what was written with this key, these headers and this
/// value, and appended at `appended_at` by the broker's clock. What gateways and meters
/// write has no headers, and stays as it is, but for what is more than a minute ahead: an event
/// was received when it was appended, and anything else is no record. At most 700 KiB.
pub fn encode_produced(
    appended_at: Timestamp,
    key: Option<&[u8]>,
    headers: &Headers<'_>,
    value: Option<&[u8]>,
) -> Bytes {
    let body = value.unwrap_or_default();
    if headers.is_empty()
        && let Some(own) = own(appended_at, body)
    {
        return own;
    }
    match read(headers, body) {
        Ok(event) => {
            let names = (&*event.tenant, &*event.source, &*event.id);
            let (tenant, source, id) = names;
            let record = EventRecord { tenant, source, id, body: event.body() };
            encode_event(&mut BytesMut::new(), appended_at, &record)
        }
        Err(refused) => raw(appended_at, key, headers, body, refused),
    }
}

/// What a gateway or a meter wrote, as meters read it: one time of receipt, one body, and what
/// may stand behind those.
fn own(appended_at: Timestamp, body: &[u8]) -> Option<Bytes> {
    if body.first() != Some(&OWN) || body.len() > OWN_BYTES_MAX {
        return None;
    }
    let mut fields = Fields::of(body);
    let Ok(Some((1, Value::Varint(received_at)))) = fields.next() else { return None };
    let rest = &body[body.len() - fields.left()..];
    let Ok(Some((kind @ 2..=5, Value::Bytes(_)))) = fields.next() else { return None };
    let (is_event, is_alone) = (kind == 2, fields.left() == 0);
    let mut last = kind;
    while let Some((number, _)) = fields.next().ok()? {
        if !(6..=7).contains(&number) || number <= last {
            return None;
        }
        last = number;
    }
    let latest = appended_at.saturating_add(OWN_AHEAD_MAX).micros();
    if received_at.cast_signed() <= latest {
        return Some(Bytes::copy_from_slice(body));
    }
    (is_event && is_alone).then(|| received(appended_at, rest))
}

fn received(at: Timestamp, rest: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(11 + rest.len());
    put_number(&mut out, 1, at.micros());
    out.extend_from_slice(rest);
    out.freeze()
}

fn read<'a>(headers: &Headers<'a>, body: &'a [u8]) -> Result<Event<'a>, Refused> {
    let kind = content_type(headers);
    let essence = kind.unwrap_or_default().split(|it| *it == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    let attributes =
        || headers.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, *value)));
    if essence == b"application/cloudevents+json" {
        return structured(body);
    }
    let reason = if essence.starts_with(b"application/cloudevents-batch") {
        "a record holds one event: write each of a batch by itself, as \
         application/cloudevents+json"
    } else if essence.starts_with(b"application/cloudevents") {
        "the event must be in JSON, with the header content-type: application/cloudevents+json, \
         or have its attributes as headers such as ce_id"
    } else if attributes().next().is_some() {
        return event::binary_plain(attributes(), kind, body);
    } else {
        "the record must be an event: write it with the header content-type: \
         application/cloudevents+json, or with its attributes as headers such as ce_id"
    };
    let refused = Refused::from(Rejection::Malformed { reason: reason.to_owned() });
    Err(Refused { bytes: body.len(), ..refused })
}

fn content_type<'a>(headers: &Headers<'a>) -> Option<&'a [u8]> {
    let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
    found.map(|(_, value)| *value)
}

fn raw(
    appended_at: Timestamp,
    key: Option<&[u8]>,
    headers: &Headers<'_>,
    body: &[u8],
    Refused { rejection, told, .. }: Refused,
) -> Bytes {
    let first = |bytes: &[u8], max: usize| Bytes::copy_from_slice(&bytes[..bytes.len().min(max)]);
    let kind = content_type(headers).and_then(|it| core::str::from_utf8(it).ok());
    // A content type that is no text stays among the headers.
    let others = headers
        .iter()
        .filter(|(name, _)| kind.is_none() || !name.eq_ignore_ascii_case(CONTENT_TYPE));
    let mut bytes = 0;
    let kept = others
        .take_while(|(name, value)| {
            bytes += name.len() + value.len();
            bytes <= HEADERS_BYTES_MAX
        })
        .take(HEADERS_MAX)
        .map(|(name, value)| pb::Header {
            name: (*name).to_owned(),
            value: Bytes::copy_from_slice(value),
        });
    let message = rejection.to_string();
    let refused = pb::Refused {
        tenant: told.tenant.map(|it| it.to_string()).unwrap_or_default(),
        source: told.source,
        id: told.id,
        r#type: told.kind,
        field: rejection.field().to_owned(),
        reason: format!("{}: {}", rejection.code(), cut(&message, REASON_BYTES_MAX)),
        bytes: body.len() as u64,
    };
    let raw = pb::Raw {
        content_type: kind.map(|it| cut(it, KEY_BYTES_MAX).to_owned()).unwrap_or_default(),
        headers: kept.collect(),
        value: first(body, VALUE_BYTES_MAX),
        key: key.map(|key| first(key, KEY_BYTES_MAX)),
        refused: Some(refused),
    };
    let record = pb::UsageRecord {
        received_at: appended_at.micros(),
        body: Some(pb::usage_record::Body::Raw(raw)),
        ..pb::UsageRecord::default()
    };
    Bytes::from(record.encode_to_vec())
}
