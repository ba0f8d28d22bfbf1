//! The context of an evaluation as a message, taken apart into names and values. What
//! cannot be a context is refused with the path of what is wrong.

use exchequer_flag_eval::{Attribute, Context, ContextError, Number, NumberError};
use exchequer_proto::flags::v1 as pb;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use tonic::Status;

use crate::check::Check;
use crate::status::{self, CONTEXT_INVALID, CONTEXT_TOO_LARGE};

/// Objects in each other.
const DEPTH_MAX: usize = 8;
/// Of a name in a refusal.
const PATH_CHARS_MAX: usize = 200;

/// A context that was checked, with what it borrows from.
#[derive(Debug, Default)]
pub(crate) struct Given {
    targeting_key: Option<String>,
    tenant: Option<String>,
    attributes: Vec<(String, Value)>,
}

#[derive(Debug)]
enum Value {
    Boolean(bool),
    Number(Number),
    Text(String),
    List(Vec<String>),
}

impl Given {
    /// What `it` holds. What is wrong is told by `check`.
    pub(crate) fn read(check: &mut Check, it: pb::Context) -> Self {
        let mut given = Self {
            targeting_key: (!it.targeting_key.is_empty()).then_some(it.targeting_key),
            tenant: (!it.tenant.is_empty()).then_some(it.tenant),
            attributes: Vec::new(),
        };
        given.take(check, "", it.attributes.unwrap_or_default(), 1);
        if let Err(error) = given.borrowed() {
            let code = match error {
                ContextError::TooLarge | ContextError::TooMany => CONTEXT_TOO_LARGE,
                ContextError::NameInvalid { .. } | ContextError::Repeated { .. } => CONTEXT_INVALID,
            };
            check.refuse(code, "context", error.to_string());
        }
        given
    }

    /// For the compiler of flags. A context that was refused is not asked for.
    pub(crate) fn context(&self) -> Result<Context<'_>, Status> {
        self.borrowed().map_err(|error| status::internal("context", &error.to_string()))
    }

    fn borrowed(&self) -> Result<Context<'_>, ContextError> {
        let attributes = self.attributes.iter().map(|(name, value)| {
            let value = match value {
                Value::Boolean(it) => Attribute::Boolean(*it),
                Value::Number(it) => Attribute::Number(*it),
                Value::Text(it) => Attribute::Text(it),
                Value::List(it) => Attribute::List(it.iter().map(String::as_str).collect()),
            };
            (name.as_str(), value)
        });
        Context::new(self.targeting_key.as_deref(), self.tenant.as_deref(), attributes)
    }

    /// The members of an object, whose name and point are `prefix`.
    fn take(&mut self, check: &mut Check, prefix: &str, object: Struct, depth: usize) {
        for (name, value) in object.fields {
            let name = format!("{prefix}{name}");
            let value = match value.kind {
                // What is null is missing.
                None | Some(Kind::NullValue(_)) => continue,
                Some(Kind::StructValue(object)) if depth < DEPTH_MAX => {
                    self.take(check, &format!("{name}."), object, depth + 1);
                    continue;
                }
                Some(Kind::StructValue(_)) => {
                    Err(format!("must have objects at most {DEPTH_MAX} deep"))
                }
                Some(Kind::BoolValue(it)) => Ok(Value::Boolean(it)),
                Some(Kind::StringValue(it)) => Ok(Value::Text(it)),
                Some(Kind::NumberValue(it)) => {
                    number(it).map(Value::Number).map_err(|error| error.to_string())
                }
                Some(Kind::ListValue(list)) => texts(list).map(Value::List),
            };
            match value {
                Ok(value) => self.attributes.push((name, value)),
                Err(message) => {
                    let path: String = name.chars().take(PATH_CHARS_MAX).collect();
                    check.refuse(CONTEXT_INVALID, &format!("context.attributes.{path}"), message);
                }
            }
        }
    }
}

/// The number that the double's shortest text says: 0.1 is 0.1. NaN and infinity are none.
fn number(value: f64) -> Result<Number, NumberError> {
    format!("{value:e}").parse()
}

fn texts(list: ListValue) -> Result<Vec<String>, String> {
    let texts = list.values.into_iter().map(|it| match it.kind {
        Some(Kind::StringValue(text)) => Ok(text),
        _ => Err("must be a list of texts alone".to_owned()),
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> prost_types::Value {
        prost_types::Value { kind: Some(kind) }
    }

    fn object(members: Vec<(&str, prost_types::Value)>) -> Struct {
        let fields = members.into_iter().map(|(name, value)| (name.to_owned(), value));
        Struct { fields: fields.collect() }
    }

    fn read(attributes: Struct) -> Result<Vec<String>, String> {
        let mut check = Check::default();
        let context = pb::Context { attributes: Some(attributes), ..pb::Context::default() };
        let given = Given::read(&mut check, context);
        check.done().map_err(|status| status.message().to_owned())?;
        given.context().unwrap();
        Ok(given.attributes.iter().map(|(name, value)| format!("{name}: {value:?}")).collect())
    }

    // REQ: FLG-04
    #[test]
    fn objects_are_taken_apart_by_their_names() {
        let list = |items: Vec<Kind>| {
            value(Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() }))
        };
        let user = object(vec![
            ("age", value(Kind::NumberValue(41.5))),
            ("gone", value(Kind::NullValue(0))),
            ("roles", list(vec![Kind::StringValue("admin".to_owned())])),
        ]);
        let found = read(object(vec![
            ("beta", value(Kind::BoolValue(true))),
            ("user", value(Kind::StructValue(user))),
        ]));
        let found = found.unwrap();
        assert_eq!(found[0], "beta: Boolean(true)");
        assert!(found[1].starts_with("user.age: Number("), "{found:?}");
        assert_eq!(found[2..], ["user.roles: List([\"admin\"])"]);
        let mixed = object(vec![("a", list(vec![Kind::BoolValue(true)]))]);
        let expected = "context.attributes.a must be a list of texts alone";
        assert_eq!(read(mixed).unwrap_err(), expected);
    }

    // REQ: FLG-04
    #[test]
    fn a_double_is_what_its_text_says() {
        let cases =
            [(0.1, "0.1"), (-0.0, "0"), (1e300, "1e300"), (1.0 / 3.0, "0.3333333333333333")];
        for (double, text) in cases {
            assert_eq!(number(double), text.parse(), "{text}");
        }
        for double in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 2_f64.powi(53)] {
            assert!(number(double).is_ok(), "{double}");
        }
        for double in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(number(double), Err(NumberError::Malformed));
        }
    }

    // REQ: FLG-04
    #[test]
    fn what_is_no_context_is_refused_with_its_path() {
        for number in [f64::NAN, f64::INFINITY] {
            let user = object(vec![("age", value(Kind::NumberValue(number)))]);
            let refused = read(object(vec![("user", value(Kind::StructValue(user)))])).unwrap_err();
            assert!(refused.starts_with("context.attributes.user.age must be a decimal"));
        }
        let large = value(Kind::StringValue("x".repeat(1_000_000)));
        let refused = read(object(vec![("a", large)])).unwrap_err();
        assert!(refused.starts_with("context must have at most 65536 bytes"), "{refused}");
        let deep =
            (0..20).fold(object(vec![]), |it, _| object(vec![("a", value(Kind::StructValue(it)))]));
        assert!(read(deep).unwrap_err().contains("at most 8 deep"));
        let twice = object(vec![
            ("a.b", value(Kind::BoolValue(true))),
            ("a", value(Kind::StructValue(object(vec![("b", value(Kind::BoolValue(true)))])))),
        ]);
        assert!(read(twice).unwrap_err().contains("once"));
        let own = object(vec![("tenant", value(Kind::StringValue("other".to_owned())))]);
        assert!(read(own).unwrap_err().contains("fields of their own"));
    }
}
