//! The normal form of an event, over which its digest is taken, so that one event is
//! the same event however it was sent: structured or binary, members in any order,
//! `1.0` or `1`. Numbers are compared exactly, whatever their size, which RFC 8785's
//! form would not do.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt as _, hash_derive_key_context};
use exchequer_types::{Identity, Json, TenantId, Timestamp};
use serde_json::value::RawValue;

use crate::extract::Unreadable;
use crate::outline::Outline;

/// Levels of lists and objects inside each other.
pub const DEPTH_MAX: usize = 32;

static IDENTITY_KEY: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("exchequer usage event identity v1"));
static DIGEST_KEY: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("exchequer usage event body v1"));

/// Identity of an event within its window: the first 16 bytes of BLAKE3, in its key
/// derivation mode, over tenant, source and id, each behind its length in bytes (u64,
/// little-endian).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventIdentity(pub [u8; 16]);

/// What tells two bodies under one identity apart: the first 8 bytes of BLAKE3, in its
/// key derivation mode, over type, schema, subject, time and data in normal form, each
/// behind its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyDigest(pub [u8; 8]);

/// What of an event is its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// CloudEvents `type`.
    pub kind: &'a str,
    /// CloudEvents `dataschema`; empty when there is none.
    pub schema: &'a str,
    /// CloudEvents `subject`; empty when there is none.
    pub subject: &'a str,
    /// CloudEvents `time`, when the event tells it.
    pub time: Option<Timestamp>,
    /// JSON; `null` when there is none.
    pub data: &'a str,
}

impl EventIdentity {
    pub fn of(tenant: &TenantId, source: &str, id: &str) -> Self {
        Self::of_texts(tenant.as_str(), source, id)
    }

    /// The same of a tenant that was not checked.
    pub fn of_texts(tenant: &str, source: &str, id: &str) -> Self {
        Self::with(&mut Vec::new(), [tenant, source, id])
    }

    /// The same, put together in `message`.
    pub(crate) fn with(message: &mut Vec<u8>, names: [&str; 3]) -> Self {
        message.clear();
        for name in names {
            put(message, name.as_bytes());
        }
        Self(first(&hashed(&IDENTITY_KEY, message)))
    }
}

impl From<EventIdentity> for Identity {
    fn from(it: EventIdentity) -> Self {
        Self(it.0)
    }
}

impl BodyDigest {
    pub fn of(body: &Body<'_>) -> Result<Self, Unreadable> {
        Self::with(&mut Vec::new(), &mut Outline::default(), body)
    }

    /// The same, put together in `message`; the outline is that of the data afterwards.
    pub(crate) fn with(
        message: &mut Vec<u8>,
        outline: &mut Outline,
        body: &Body<'_>,
    ) -> Result<Self, Unreadable> {
        message.clear();
        put(message, body.kind.as_bytes());
        put(message, body.schema.as_bytes());
        put(message, body.subject.as_bytes());
        match body.time {
            Some(time) => put(message, time.micros().to_string().as_bytes()),
            None => put(message, &[]),
        }
        let length_at = message.len();
        message.extend_from_slice(&[0; 8]);
        let data_at = message.len();
        outline.read(body.data);
        if outline.write_normal(message).is_none() {
            // What is wrong or rare is read the long way.
            message.truncate(data_at);
            message.extend_from_slice(normal_form(body.data)?.as_bytes());
        }
        let length = length_of(message.len() - data_at);
        if let Some(place) = message.get_mut(length_at..data_at) {
            place.copy_from_slice(&length);
        }
        Ok(Self(first(&hashed(&DIGEST_KEY, message))))
    }
}

fn put(message: &mut Vec<u8>, part: &[u8]) {
    message.extend_from_slice(&length_of(part.len()));
    message.extend_from_slice(part);
}

fn length_of(bytes: usize) -> [u8; 8] {
    u64::try_from(bytes).unwrap_or(u64::MAX).to_le_bytes()
}

/// BLAKE3 in its key derivation mode, of a context that was hashed before.
fn hashed(context: &ContextKey, message: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_from_context_key(context).update(message).finalize().as_bytes()
}

fn first<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    core::array::from_fn(|at| hash[at])
}

/// JSON without white space, members sorted by the bytes of their names, strings as
/// RFC 8785 writes them, and each number as its digits without zeros at either end,
/// `e` and an exponent; zero is `0`. Members must not stand twice.
pub fn normal_form(data: &str) -> Result<String, Unreadable> {
    let mut out = String::with_capacity(data.len());
    write(data.trim(), DEPTH_MAX, &mut out)?;
    Ok(out)
}

fn write(text: &str, depth: usize, out: &mut String) -> Result<(), Unreadable> {
    match text.as_bytes().first() {
        Some(b'{') => write_object(text, deeper(depth)?, out),
        Some(b'[') => write_list(text, deeper(depth)?, out),
        Some(b'"') => {
            let value: Cow<'_, str> = parse(text)?;
            Json::write_text(out, &value);
            Ok(())
        }
        Some(b'-' | b'0'..=b'9') => {
            parse::<&RawValue>(text)?;
            write_number(text, out)
        }
        _ => {
            parse::<&RawValue>(text)?;
            out.push_str(text);
            Ok(())
        }
    }
}

fn deeper(depth: usize) -> Result<usize, Unreadable> {
    let reason = || Unreadable { reason: format!("more than {DEPTH_MAX} levels deep") };
    depth.checked_sub(1).ok_or_else(reason)
}

fn write_object(text: &str, depth: usize, out: &mut String) -> Result<(), Unreadable> {
    let members: Members<'_> = parse(text)?;
    out.push('{');
    for (index, (name, value)) in members.0.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        Json::write_text(out, name);
        out.push(':');
        write(value.get(), depth, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_list(text: &str, depth: usize, out: &mut String) -> Result<(), Unreadable> {
    let items: Vec<&RawValue> = parse(text)?;
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item.get(), depth, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_number(text: &str, out: &mut String) -> Result<(), Unreadable> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (digits, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{part}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        out.push('0');
        return Ok(());
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let exponent: i64 = exponent
        .trim_start_matches('+')
        .parse()
        .map_err(|_| Unreadable { reason: format!("the exponent {exponent} is too large") })?;
    let exponent = exponent.saturating_sub(size(part.len())).saturating_add(size(zeros));
    if negative {
        out.push('-');
    }
    out.push_str(significant);
    out.push('e');
    out.push_str(&exponent.to_string());
    Ok(())
}

fn parse<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|error| Unreadable { reason: error.to_string() })
}

/// Members of an object, each once.
struct Members<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> serde::Deserialize<'a> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'a> serde::de::Visitor<'a> for Reader {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'a>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<Cow<'a, str>, &RawValue>()? {
                    if let Some((name, _)) = members.get_key_value(&name) {
                        let twice = format!("the member {name:?} stands twice");
                        return Err(serde::de::Error::custom(twice));
                    }
                    members.insert(name, value);
                }
                Ok(Members(members))
            }
        }
        reader.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(data: &str) -> Body<'_> {
        Body { kind: "tokens", schema: "", subject: "u1", time: None, data }
    }

    // REQ: USE-03
    #[test]
    fn one_value_has_one_form() {
        for (data, form) in [
            (" { \"b\" : 1.0 , \"a\" : [ true , null ] } ", r#"{"a":[true,null],"b":1e0}"#),
            ("12.50", "125e-1"),
            ("-0.0", "0"),
            ("1500", "15e2"),
            ("1.5E+3", "15e2"),
            ("\"\\u0041\\/\\u00e9\"", "\"A/é\""),
            ("[]", "[]"),
            ("{}", "{}"),
            (
                "100000000000000000000000000000000000001",
                "100000000000000000000000000000000000001e0",
            ),
        ] {
            assert_eq!(normal_form(data).as_deref(), Ok(form), "{data}");
        }
    }

    // REQ: USE-03
    #[test]
    fn what_has_no_form_is_refused() {
        for data in
            ["", "{", "[1,]", "{\"a\":1,\"a\":1}", "01", "tru", "nullx", "1e99999999999999999999"]
        {
            assert!(normal_form(data).is_err(), "{data}");
        }
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(normal_form(&deep(DEPTH_MAX)).is_ok());
        assert!(normal_form(&deep(DEPTH_MAX + 1)).is_err());
    }

    // REQ: USE-03
    #[test]
    fn bodies_differ_by_what_counts() {
        let digest = |body: &Body<'_>| BodyDigest::of(body).unwrap();
        let first = digest(&body("{\"n\":1,\"m\":2}"));
        assert_eq!(first, digest(&body("{ \"m\": 2.0, \"n\": 10e-1 }")));
        let time = Timestamp::from_micros(1).ok();
        for other in [
            body("{\"n\":1,\"m\":3}"),
            Body { kind: "token", ..body("{\"n\":1,\"m\":2}") },
            Body { subject: "u2", ..body("{\"n\":1,\"m\":2}") },
            Body { schema: "s", ..body("{\"n\":1,\"m\":2}") },
            Body { time, ..body("{\"n\":1,\"m\":2}") },
        ] {
            assert_ne!(first, digest(&other), "{other:?}");
        }
    }

    // REQ: USE-03
    #[test]
    fn parts_of_an_identity_do_not_run_together() {
        let tenant = TenantId::parse("acme").unwrap();
        let of = |source, id| EventIdentity::of(&tenant, source, id);
        assert_ne!(of("ab", "c"), of("a", "bc"));
        assert_eq!(of("ab", "c"), of("ab", "c"));
    }

    proptest! {
        #[test]
        fn white_space_and_order_count_for_nothing(a in any::<i32>(), b in "[a-zA-Z0-9 é\"\\\\]{0,12}") {
            let text = serde_json::to_string(&b).unwrap();
            let one = format!("{{\"a\":{a},\"b\":{text}}}");
            let two = format!("{{ \"b\" : {text},\n\"a\" : {a}.000 }}");
            prop_assert_eq!(normal_form(&one), normal_form(&two));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&normal_form(&one).unwrap()).is_ok());
        }
    }
}
