//! An event's attributes as they come in, one by one, whatever the form they come in,
//! and the event that they make.

use std::borrow::Cow;

use exchequer_types::{TenantId, Timestamp};

use super::rejection::{Refused, Rejection, Told, bytes_max, cut, tenant_invalid, told};
use super::scan::{Scanner, Wrong};
use super::{EVENT_BYTES_MAX, Event, SPECVERSION};
use crate::normal::DEPTH_MAX;

/// What an event without data has.
pub(super) const NO_DATA: &str = "null";

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    /// Of `time`, where the form has instants.
    Time(Timestamp),
    /// As if it were not there.
    Null,
    /// Something that is no text, by name.
    Other(&'static str),
    /// It cannot be read.
    Wrong(String),
}

/// An event's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    None,
    /// JSON that was checked.
    Json(&'a str),
    /// As it came.
    Bytes(&'a [u8]),
    /// In Base64, as the JSON form has what is no JSON.
    Base64,
    /// No JSON: why not.
    Wrong(String),
}

/// Attributes and data, put together one by one.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    specversion: Option<Value<'a>>,
    id: Option<Value<'a>>,
    source: Option<Value<'a>>,
    kind: Option<Value<'a>>,
    time: Option<Value<'a>>,
    subject: Option<Value<'a>>,
    schema: Option<Value<'a>>,
    content_type: Option<Value<'a>>,
    tenant: Option<Value<'a>>,
    repeated: Option<&'static str>,
}

impl<'a> Parts<'a> {
    /// Takes an attribute. Those that are not known here count for nothing.
    pub fn put(&mut self, name: &str, value: Value<'a>) {
        let (name, slot) = match name {
            "specversion" => ("specversion", &mut self.specversion),
            "id" => ("id", &mut self.id),
            "source" => ("source", &mut self.source),
            "type" => ("type", &mut self.kind),
            "time" => ("time", &mut self.time),
            "subject" => ("subject", &mut self.subject),
            "dataschema" => ("dataschema", &mut self.schema),
            "datacontenttype" => ("datacontenttype", &mut self.content_type),
            "tenant" => ("tenant", &mut self.tenant),
            _ => return,
        };
        if slot.replace(value).is_some() {
            self.repeated.get_or_insert(name);
        }
    }

    /// The event, of which `bytes` were sent.
    pub fn finish(self, data: Data<'a>, bytes: usize) -> Result<Event<'a>, Refused> {
        self.finish_unless(None, data, bytes)
    }

    /// The same, unless something was wrong with it as a whole.
    pub(super) fn finish_unless(
        self,
        wrong: Option<Rejection>,
        data: Data<'a>,
        bytes: usize,
    ) -> Result<Event<'a>, Refused> {
        let checked = if bytes > EVENT_BYTES_MAX {
            Err(Rejection::TooLarge { bytes })
        } else {
            wrong.map_or(Ok(()), Err).and_then(|()| self.check(data))
        };
        checked.map_err(|rejection| Refused { rejection, told: Box::new(self.told()), bytes })
    }

    fn told(&self) -> Told {
        let of = |value: &Option<Value<'_>>| text(value.as_ref()).map(told).unwrap_or_default();
        Told {
            tenant: text(self.tenant.as_ref()).and_then(|it| TenantId::parse(it).ok()),
            source: of(&self.source),
            id: of(&self.id),
            kind: of(&self.kind),
        }
    }

    fn check(&self, data: Data<'a>) -> Result<Event<'a>, Rejection> {
        if let Some(name) = self.repeated {
            return Err(Rejection::AttributeRepeated { name });
        }
        let specversion = required("specversion", self.specversion.as_ref())?;
        if specversion != SPECVERSION {
            return Err(Rejection::SpecversionUnknown { found: told(&specversion) });
        }
        let id = required("id", self.id.as_ref())?;
        let source = required("source", self.source.as_ref())?;
        let kind = required("type", self.kind.as_ref())?;
        let tenant = required("tenant", self.tenant.as_ref())?;
        TenantId::check(&tenant).map_err(tenant_invalid)?;
        let time = match self.time {
            Some(Value::Time(at)) => Some(at),
            _ => optional("time", self.time.as_ref())?.map(|it| time(&it)).transpose()?,
        };
        let subject = optional("subject", self.subject.as_ref())?.unwrap_or_default();
        let schema = optional("dataschema", self.schema.as_ref())?.unwrap_or_default();
        if let Some(kind) = optional("datacontenttype", self.content_type.as_ref())? {
            check_content_type(&kind)?;
        }
        let data = check_data(data)?;
        Ok(Event { tenant, source, id, kind, subject, schema, time, data })
    }
}

fn text<'v>(value: Option<&'v Value<'_>>) -> Option<&'v str> {
    match value {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn required<'a>(name: &'static str, value: Option<&Value<'a>>) -> Result<Cow<'a, str>, Rejection> {
    optional(name, value)?.ok_or(Rejection::AttributeMissing { name })
}

/// What is empty is not there.
fn optional<'a>(
    name: &'static str,
    value: Option<&Value<'a>>,
) -> Result<Option<Cow<'a, str>>, Rejection> {
    let invalid = |reason: String| Err(Rejection::AttributeInvalid { name, reason });
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Text(text)) if text.is_empty() => return Ok(None),
        Some(Value::Text(text)) => text,
        Some(Value::Time(_)) => return invalid("must be a text, not an instant".to_owned()),
        Some(Value::Other(kind)) => return invalid(format!("must be a text, not {kind}")),
        Some(Value::Wrong(reason)) => return invalid(reason.clone()),
    };
    let bytes_max = bytes_max(name);
    if text.len() > bytes_max {
        return invalid(format!("must have at most {bytes_max} bytes"));
    }
    let is_plain = text.bytes().all(|it| (b' '..0x7f).contains(&it));
    if !is_plain && text.chars().any(char::is_control) {
        return invalid("must have no control characters".to_owned());
    }
    Ok(Some(text.clone()))
}

fn time(text: &str) -> Result<Timestamp, Rejection> {
    Timestamp::parse(text)
        .map_err(|error| Rejection::AttributeInvalid { name: "time", reason: error.to_string() })
}

/// `application/json`, or what is JSON by its suffix.
fn check_content_type(kind: &str) -> Result<(), Rejection> {
    if is_json(kind) {
        return Ok(());
    }
    let reason = format!(
        "must be application/json or end with +json, not {:?}: events are measured by the \
         members of their data",
        cut(kind, 64)
    );
    Err(Rejection::DataInvalid { field: "datacontenttype", reason })
}

fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let (_, subtype) = essence.split_once('/').unwrap_or_default();
    let suffix = subtype.rsplit('+').next().unwrap_or_default();
    suffix.eq_ignore_ascii_case("json")
}

fn check_data(data: Data<'_>) -> Result<&str, Rejection> {
    let invalid = |reason: String| Rejection::DataInvalid { field: "data", reason };
    match data {
        Data::None => Ok(NO_DATA),
        Data::Json(text) => Ok(text),
        Data::Wrong(reason) => Err(invalid(reason)),
        Data::Base64 => Err(Rejection::DataInvalid {
            field: "data_base64",
            reason: "cannot be measured: send JSON in data".to_owned(),
        }),
        Data::Bytes(bytes) => {
            let text = core::str::from_utf8(bytes).map_err(|error| {
                invalid(format!("must be JSON in UTF-8: byte {} is not", error.valid_up_to() + 1))
            })?;
            // Some write a mark before what is in UTF-8 anyway.
            let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
            if text.is_empty() {
                return Ok(NO_DATA);
            }
            check_json(text).map_err(|wrong| invalid(not_json(&wrong, 0)))?;
            Ok(text)
        }
    }
}

/// One value and nothing else.
fn check_json(text: &str) -> Result<(), Wrong> {
    let mut scanner = Scanner::new(text);
    scanner.value(DEPTH_MAX)?;
    if scanner.is_at_end() { Ok(()) } else { Err(scanner.wrong("the end")) }
}

/// What is wrong with data that begin at `from` of the text that was read.
pub(super) fn not_json(wrong: &Wrong, from: usize) -> String {
    let at = wrong.at.saturating_sub(from) + 1;
    format!("must be JSON: it {} (byte {at})", wrong.reason)
}
