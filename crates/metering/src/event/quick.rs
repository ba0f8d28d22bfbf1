//! Events as nearly all of them are written: each attribute once, as a text in which
//! nothing is escaped. Read in one pass that copies nothing; whatever is unusual or wrong
//! is left to the thorough reading, so that there is one place that says what is wrong.

use std::borrow::Cow;

use exchequer_types::{TenantId, Timestamp};

use super::parts::NO_DATA;
use super::rejection::bytes_max;
use super::scan::Scanner;
use super::{EVENT_BYTES_MAX, Event, SPECVERSION};
use crate::normal::DEPTH_MAX;

const CONTENT_TYPE: &str = "application/json";

#[derive(Default)]
struct Found<'a> {
    specversion: Option<&'a str>,
    id: Option<&'a str>,
    source: Option<&'a str>,
    kind: Option<&'a str>,
    time: Option<&'a str>,
    subject: Option<&'a str>,
    schema: Option<&'a str>,
    content_type: Option<&'a str>,
    tenant: Option<&'a str>,
    data: Option<&'a str>,
}

/// The event where `scanner` stands, which then stands behind it. None says nothing about
/// the event.
pub(super) fn event<'a>(scanner: &mut Scanner<'a>) -> Option<Event<'a>> {
    let from = scanner.at();
    let mut found = Found::default();
    scanner.passes(b'{')?;
    loop {
        scanner.space();
        let name = scanner.plain()?;
        scanner.space();
        scanner.passes(b':')?;
        scanner.space();
        found.member(name, scanner)?;
        scanner.space();
        if scanner.passes(b',').is_none() {
            scanner.passes(b'}')?;
            break;
        }
    }
    if scanner.at() - from > EVENT_BYTES_MAX {
        return None;
    }
    found.event()
}

impl<'a> Found<'a> {
    /// The value on which `scanner` stands.
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Option<()> {
        let slot = match name {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.kind,
            "time" => &mut self.time,
            "subject" => &mut self.subject,
            "dataschema" => &mut self.schema,
            "datacontenttype" => &mut self.content_type,
            "tenant" => &mut self.tenant,
            "data" => {
                let from = scanner.at();
                scanner.value(DEPTH_MAX).ok()?;
                return once(&mut self.data, scanner.since(from));
            }
            "data_base64" => return None,
            _ => return scanner.value(DEPTH_MAX).ok(),
        };
        once(slot, scanner.plain()?)
    }

    fn event(self) -> Option<Event<'a>> {
        if self.specversion? != SPECVERSION
            || !matches!(self.content_type, None | Some(CONTENT_TYPE))
        {
            return None;
        }
        let tenant = self.tenant?;
        TenantId::check(tenant).ok()?;
        let time = optional("time", self.time)?;
        let time = if time.is_empty() { None } else { Some(Timestamp::parse(time).ok()?) };
        Some(Event {
            tenant: Cow::Borrowed(tenant),
            source: required("source", self.source)?,
            id: required("id", self.id)?,
            kind: required("type", self.kind)?,
            subject: Cow::Borrowed(optional("subject", self.subject)?),
            schema: Cow::Borrowed(optional("dataschema", self.schema)?),
            time,
            data: self.data.unwrap_or(NO_DATA),
        })
    }
}

fn once<'a>(slot: &mut Option<&'a str>, value: &'a str) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

fn required<'a>(name: &'static str, text: Option<&'a str>) -> Option<Cow<'a, str>> {
    let text = optional(name, text)?;
    (!text.is_empty()).then_some(Cow::Borrowed(text))
}

/// Empty when it is not there.
fn optional<'a>(name: &'static str, text: Option<&'a str>) -> Option<&'a str> {
    let text = text.unwrap_or_default();
    // Those below the blank do not stand in a text as it is.
    let is_clean = text.bytes().all(|it| it < 0x7f) || !text.chars().any(char::is_control);
    (is_clean && text.len() <= bytes_max(name)).then_some(text)
}
