//! `google.protobuf.Value` to canonical JSON (RFC 8785).

use prost_types::value::Kind;
use serde_json::{Map, Number, Value};

/// Lists and objects in each other.
const DEPTH_MAX: usize = 32;

/// The canonical form, or what the value must be.
pub(crate) fn canonical(value: prost_types::Value) -> Result<String, String> {
    let value = convert(value, 0)?;
    serde_json_canonicalizer::to_string(&value).map_err(|_| "must be JSON".to_owned())
}

fn convert(value: prost_types::Value, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err(format!("must nest at most {DEPTH_MAX} deep"));
    }
    Ok(match value.kind {
        None => return Err("must have a kind in every value".to_owned()),
        Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::StringValue(value)) => Value::String(value),
        Some(Kind::NumberValue(value)) => Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| "must have no number that JSON lacks, such as NaN".to_owned())?,
        Some(Kind::ListValue(list)) => {
            let items = list.values.into_iter().map(|it| convert(it, depth + 1));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(object)) => {
            let members = object
                .fields
                .into_iter()
                .map(|(name, value)| Ok((name, convert(value, depth + 1)?)));
            Value::Object(members.collect::<Result<Map<_, _>, String>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> prost_types::Value {
        prost_types::Value { kind: Some(kind) }
    }

    fn object(members: &[(&str, prost_types::Value)]) -> prost_types::Value {
        let fields = members.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        value(Kind::StructValue(prost_types::Struct { fields: fields.collect() }))
    }

    // REQ: AUD-02
    #[test]
    fn writes_the_canonical_form() {
        let number = |it| value(Kind::NumberValue(it));
        let list = prost_types::ListValue {
            values: vec![
                number(1.0),
                number(1e21),
                number(-0.0),
                number(0.1),
                value(Kind::NullValue(0)),
            ],
        };
        let found = canonical(object(&[
            // U+FB33 sorts before U+1F600 by code point, and behind it by UTF-16 unit.
            ("\u{fb33}", value(Kind::BoolValue(true))),
            ("\u{1f600}", value(Kind::StringValue("é\n".to_owned()))),
            ("a", value(Kind::ListValue(list))),
        ]));
        let expected = "{\"a\":[1,1e+21,0,0.1,null],\"\u{1f600}\":\"é\\n\",\"\u{fb33}\":true}";
        assert_eq!(found.as_deref(), Ok(expected));
    }

    #[test]
    fn refuses_what_json_lacks() {
        for number in [f64::NAN, f64::INFINITY] {
            assert!(canonical(value(Kind::NumberValue(number))).is_err());
        }
        assert!(canonical(prost_types::Value { kind: None }).is_err());
        let nest =
            |depth| (0..depth).fold(value(Kind::BoolValue(true)), |it, _| object(&[("a", it)]));
        assert!(canonical(nest(DEPTH_MAX)).is_ok());
        assert!(canonical(nest(DEPTH_MAX + 1)).is_err());
    }
}
