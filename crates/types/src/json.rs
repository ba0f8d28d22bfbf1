//! JSON in the canonical form of RFC 8785, for audit entries: members sorted,
//! no white space, the shortest escapes. Numbers here are whole, so that no
//! floating point is ever written.

use std::collections::BTreeMap;

/// A JSON value that we write ourselves. Member names are ASCII, so that the
/// order of bytes is RFC 8785's order of UTF-16 units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    /// |value| must stay below 2^53 to be read back exactly by everyone.
    Int(i64),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<&'static str, Json>),
    /// Members named by data; names must be ASCII.
    Map(BTreeMap<String, Json>),
    /// Text that is canonical JSON already.
    Canonical(String),
}

impl Json {
    /// A text value.
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    /// An object of `members`.
    pub fn object<const N: usize>(members: [(&'static str, Self); N]) -> Self {
        Self::Object(BTreeMap::from(members))
    }

    /// Appends the canonical form to `out`.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Int(value) => write_int(out, *value),
            Self::Text(value) => Self::write_text(out, value),
            Self::Canonical(value) => out.push_str(value),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => write_members(out, members.iter().map(|(k, v)| (*k, v))),
            Self::Map(members) => write_members(out, members.iter().map(|(k, v)| (k.as_str(), v))),
        }
    }

    /// The canonical form.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// Appends `value` as a JSON string with RFC 8785's escapes.
    pub fn write_text(out: &mut String, value: &str) {
        out.push('"');
        let mut clean_from = 0;
        for (at, byte) in value.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            out.push_str(&value[clean_from..at]);
            clean_from = at + 1;
            write_escape(out, byte);
        }
        out.push_str(&value[clean_from..]);
        out.push('"');
    }
}

fn write_escape(out: &mut String, byte: u8) {
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        8 => out.push_str("\\b"),
        9 => out.push_str("\\t"),
        10 => out.push_str("\\n"),
        12 => out.push_str("\\f"),
        13 => out.push_str("\\r"),
        _ => {
            out.push_str("\\u00");
            out.push_str(&crate::hash::hex(&[byte]));
        }
    }
}

fn write_int(out: &mut String, value: i64) {
    use core::fmt::Write as _;
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

fn write_members<'a>(out: &mut String, members: impl Iterator<Item = (&'a str, &'a Json)>) {
    out.push('{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        Json::write_text(out, name);
        out.push(':');
        value.write(out);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_canonical_form() {
        let value = Json::object([
            ("b", Json::List(vec![Json::Int(-3), Json::Bool(true), Json::Null])),
            ("a", Json::text("line\n\"q\" \\ \u{1} é €")),
        ]);
        assert_eq!(
            value.canonical(),
            "{\"a\":\"line\\n\\\"q\\\" \\\\ \\u0001 é €\",\"b\":[-3,true,null]}"
        );
    }
}
