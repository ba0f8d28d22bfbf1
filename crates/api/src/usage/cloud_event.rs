//! Events in the protobuf form of CloudEvents.

use std::borrow::Cow;

use exchequer_metering::event::{Data, Parts, Value};
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
        parts.put(name, attribute(value));
    }
    let data = match &message.data {
        None => Data::None,
        Some(cloud_event::Data::BinaryData(bytes)) => Data::Bytes(bytes),
        Some(cloud_event::Data::TextData(text)) => Data::Bytes(text.as_bytes()),
        Some(cloud_event::Data::ProtoData(_)) => {
            Data::Wrong("must be JSON in text_data or binary_data, not proto_data".to_owned())
        }
    };
    parts.finish(data, message.encoded_len())
}

fn attribute(value: &CloudEventAttributeValue) -> Value<'_> {
    match &value.attr {
        None => Value::Null,
        Some(Attr::CeString(text) | Attr::CeUri(text) | Attr::CeUriRef(text)) => {
            Value::Text(Cow::Borrowed(text))
        }
        Some(Attr::CeTimestamp(at)) => match instant(at) {
            Some(at) => Value::Text(Cow::Owned(at.to_string())),
            None => Value::Wrong("must lie between 1970-01-01 and 9999-12-31".to_owned()),
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
