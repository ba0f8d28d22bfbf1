//! What a setting's value is: anything that the settings file can hold, or a secret,
//! which is never shown and may stand in a file of its own.

use core::fmt::{self, Write as _};

use figment::value::{Empty, Num, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::reader::Reader;

/// A value as `--dump-config` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As TOML.
    Value(String),
    Unset,
    /// A secret that is set.
    Hidden,
}

/// The type of a setting.
pub(crate) trait Setting: Sized {
    /// The value of `key`; None when it is absent, or wrong, which is noted.
    fn read(reader: &mut Reader, key: &str, default: &Self) -> Option<Self>;

    fn shown(&self) -> Shown;
}

impl<T: DeserializeOwned + Serialize> Setting for T {
    fn read(reader: &mut Reader, key: &str, default: &Self) -> Option<Self> {
        let value = reader.take(key)?;
        match value.deserialize() {
            Ok(read) => Some(read),
            Err(error) => {
                reader.wrong_type(key, &value, &error, &default.shown());
                None
            }
        }
    }

    fn shown(&self) -> Shown {
        match Value::serialize(self) {
            Ok(Value::Empty(..)) | Err(_) => Shown::Unset,
            Ok(value) => Shown::Value(toml(&value)),
        }
    }
}

/// A text that is nobody's business. `<key>_file` names a file that holds it.
#[derive(Clone, Default)]
pub struct Secret(Option<String>);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(Some(text))
    }

    /// The text itself: hand it to whom it is meant for, and to no log.
    pub fn expose(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Secret(set)" } else { "Secret(unset)" })
    }
}

impl Setting for Secret {
    fn read(reader: &mut Reader, key: &str, _: &Self) -> Option<Self> {
        reader.secret(key).map(Self::new)
    }

    fn shown(&self) -> Shown {
        if self.0.is_some() { Shown::Hidden } else { Shown::Unset }
    }
}

fn toml(value: &Value) -> String {
    match value {
        Value::String(_, text) => quoted(text),
        Value::Char(_, it) => quoted(&it.to_string()),
        Value::Bool(_, it) => it.to_string(),
        Value::Num(_, num) => number(*num),
        Value::Empty(_, Empty::None | Empty::Unit) => "\"\"".to_owned(),
        Value::Dict(_, dict) => {
            let fields = dict.iter().filter(|(_, value)| !matches!(value, Value::Empty(..)));
            let fields: Vec<String> =
                fields.map(|(key, value)| format!("{key} = {}", toml(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(_, items) => {
            let items: Vec<String> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

fn number(num: Num) -> String {
    if let Some(whole) = num.to_i128() {
        return whole.to_string();
    }
    match (num.to_u128(), num.to_f64()) {
        (Some(whole), _) => whole.to_string(),
        (None, Some(float)) => format!("{float:?}"),
        (None, None) => "0".to_owned(),
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for it in text.chars() {
        match it {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            it if it.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04X}", it as u32);
            }
            it => out.push(it),
        }
    }
    out.push('"');
    out
}
