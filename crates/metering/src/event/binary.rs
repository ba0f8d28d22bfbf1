//! Events in binary mode: attributes stand in headers, and the body is the data.

use std::borrow::Cow;

use super::Event;
use super::parts::{Data, Parts, Value};
use super::rejection::Refused;

/// One event. `headers` are attributes by their names in CloudEvents, without the prefix
/// that the carrier puts before them (`ce-` in HTTP, `ce_` in Kafka); `content_type` is
/// the carrier's own header.
pub fn binary<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    content_type: Option<&'a [u8]>,
    body: &'a [u8],
) -> Result<Event<'a>, Refused> {
    read(headers, decoded, content_type, body)
}

/// The same where a carrier's headers hold any text as it is, as those of Kafka do.
pub fn binary_plain<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    content_type: Option<&'a [u8]>,
    body: &'a [u8],
) -> Result<Event<'a>, Refused> {
    read(headers, plain, content_type, body)
}

fn read<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    value_of: fn(&'a [u8]) -> Value<'a>,
    content_type: Option<&'a [u8]>,
    body: &'a [u8],
) -> Result<Event<'a>, Refused> {
    let mut parts = Parts::default();
    let mut bytes = body.len();
    for (name, value) in headers {
        bytes += name.len() + value.len();
        parts.put(name, value_of(value));
    }
    if let Some(kind) = content_type {
        parts.put("datacontenttype", plain(kind));
    }
    parts.finish(Data::Bytes(body), bytes)
}

fn plain(value: &[u8]) -> Value<'_> {
    match core::str::from_utf8(value) {
        Ok(text) => Value::Text(Cow::Borrowed(text)),
        Err(_) => Value::Wrong("must be in UTF-8".to_owned()),
    }
}

/// As the HTTP binding decodes: quotes and their escapes first, then percent signs.
fn decoded(value: &[u8]) -> Value<'_> {
    let Ok(text) = core::str::from_utf8(value.trim_ascii()) else {
        return Value::Wrong("must be in UTF-8, each other character percent-encoded".to_owned());
    };
    if !text.contains(['%', '"']) {
        return Value::Text(Cow::Borrowed(text));
    }
    let quoted = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let text = quoted.map_or(Cow::Borrowed(text), |it| Cow::Owned(unquoted(it)));
    match percent_decoded(text.as_bytes()) {
        Some(text) => Value::Text(Cow::Owned(text)),
        None => Value::Wrong("has a percent sign that encodes no UTF-8".to_owned()),
    }
}

fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(it) = chars.next() {
        out.extend(if it == '\\' { chars.next() } else { Some(it) });
    }
    out
}

fn percent_decoded(bytes: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        if *first == b'%' {
            let (digits, behind) = behind.split_at_checked(2)?;
            let digits = core::str::from_utf8(digits).ok()?;
            let are_digits = digits.bytes().all(|it| it.is_ascii_hexdigit());
            out.push(are_digits.then(|| u8::from_str_radix(digits, 16).ok()).flatten()?);
            rest = behind;
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(out).ok()
}
