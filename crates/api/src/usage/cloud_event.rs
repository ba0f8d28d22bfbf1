//! Events in the protobuf form of CloudEvents.

use std::borrow::Cow;

use exchequer_metering::event::{Data, EVENT_BYTES_MAX, Parts, Refused, Value};
use exchequer_proto::io::cloudevents::v1::CloudEvent;
use exchequer_proto::io::cloudevents::v1::cloud_event::cloud_event_attribute_value::Attr;
use exchequer_proto::io::cloudevents::v1::cloud_event::{self, CloudEventAttributeValue};
use exchequer_types::Timestamp;
use prost::Message as _;

use super::gate::Read;

/// Reads `message`, of which the event borrows.
pub(crate) fn read(message: &CloudEvent) -> Read<'_> {
    let mut parts = Parts::default();
    let fields = [
        ("specversion", &message.spec_version),
        ("id", &message.id),
        ("source", &message.source),
        ("type", &message.r#type),
    ];
    for (name, text) in fields {
        parts.put(name, Value::Text(Cow::Borrowed(text)));
    }
    for (name, value) in &message.attributes {
        let is_time = name == "time";
        let value = match value.attr.as_ref() {
            Some(Attr::CeTimestamp(at)) if is_time => instant(at).map_or_else(outside, Value::Time),
            _ => attribute(value),
        };
        parts.put(name, value);
    }
    let data = match &message.data {
        None => Data::None,
        Some(cloud_event::Data::BinaryData(bytes)) => Data::Bytes(bytes),
        Some(cloud_event::Data::TextData(text)) => Data::Bytes(text.as_bytes()),
        Some(cloud_event::Data::ProtoData(_)) => {
            Data::Wrong("must be JSON in text_data or binary_data, not proto_data".to_owned())
        }
    };
    // Its exact size is told of a refused one alone.
    let bytes = bytes_max(message);
    if bytes > EVENT_BYTES_MAX {
        return parts.finish(data, message.encoded_len());
    }
    let told = |refused: Refused| Refused { bytes: message.encoded_len(), ..refused };
    parts.finish(data, 0).map_err(told)
}

/// At least as many bytes as the event has.
fn bytes_max(message: &CloudEvent) -> usize {
    /// Tags and lengths of a field, or a value without a length.
    const AROUND: usize = 32;
    let attribute = |value: &CloudEventAttributeValue| match &value.attr {
        Some(Attr::CeString(text) | Attr::CeUri(text) | Attr::CeUriRef(text)) => text.len(),
        Some(Attr::CeBytes(bytes)) => bytes.len(),
        _ => 0,
    };
    let attributes = message.attributes.iter();
    let attributes = attributes.map(|(name, it)| 2 * AROUND + name.len() + attribute(it));
    let data = match &message.data {
        None => 0,
        Some(cloud_event::Data::BinaryData(bytes)) => bytes.len(),
        Some(cloud_event::Data::TextData(text)) => text.len(),
        Some(cloud_event::Data::ProtoData(any)) => any.type_url.len() + any.value.len(),
    };
    let texts = [&message.id, &message.source, &message.spec_version, &message.r#type];
    let texts = texts.iter().map(|it| AROUND + it.len());
    texts.sum::<usize>() + attributes.sum::<usize>() + data + 2 * AROUND
}

fn outside<'v>() -> Value<'v> {
    Value::Wrong("must lie between 1970-01-01 and 9999-12-31".to_owned())
}

fn attribute(value: &CloudEventAttributeValue) -> Value<'_> {
    match &value.attr {
        None => Value::Null,
        Some(Attr::CeString(text) | Attr::CeUri(text) | Attr::CeUriRef(text)) => {
            Value::Text(Cow::Borrowed(text))
        }
        Some(Attr::CeTimestamp(at)) => match instant(at) {
            Some(at) => Value::Text(Cow::Owned(at.to_string())),
            None => outside(),
        },
        Some(Attr::CeBoolean(_)) => Value::Other("a truth"),
        Some(Attr::CeInteger(_)) => Value::Other("a number"),
        Some(Attr::CeBytes(_)) => Value::Other("bytes"),
    }
}

fn instant(at: &prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = u32::try_from(at.nanos).ok().filter(|it| *it < 1_000_000_000)?;
    let micros = at.seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))?;
    Timestamp::from_micros(micros).ok()
}
