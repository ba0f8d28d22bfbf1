//! The schema of a type of events, in its next version. Whether it compiles is checked where
//! it comes in.

use exchequer_metering::{EVENT_TYPE_CHARS_MAX, normal_form};

use super::{check_room, is_text};
use crate::state::{SCHEMA_BYTES_MAX, SCHEMAS_MAX};
use crate::{Event, Rejection, State, schema_bytes};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutEventSchema {
    /// CloudEvents `type`.
    pub kind: String,
    /// JSON Schema.
    pub text: String,
}

impl PutEventSchema {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let kind = &self.kind;
        if !is_text(kind, EVENT_TYPE_CHARS_MAX) || kind.trim() != kind {
            return Err(Rejection::EventTypeInvalid);
        }
        let text = self.text.trim();
        let normal = checked(text)?;
        let before = state.schemas.get(kind);
        let in_force = before.filter(|it| !it.retired);
        if in_force.is_some_and(|it| normal_form(&it.text).is_ok_and(|it| it == normal)) {
            return Err(Rejection::SchemaUnchanged);
        }
        if before.is_none() && state.schemas.len() >= SCHEMAS_MAX {
            return Err(Rejection::SchemasTooMany);
        }
        let held = in_force.map_or(0, |it| schema_bytes(kind, &it.text));
        check_room(state, held, schema_bytes(kind, text))?;
        Ok(vec![Event::EventSchemaSet {
            kind: kind.clone(),
            version: before.map_or(0, |it| it.version) + 1,
            text: text.to_owned(),
        }])
    }
}

/// The schema's normal form.
fn checked(text: &str) -> Result<String, Rejection> {
    let invalid = |reason: String| Rejection::SchemaInvalid { reason };
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(invalid(format!("it has {} bytes", text.len())));
    }
    let normal = normal_form(text).map_err(|unreadable| invalid(unreadable.reason))?;
    if normal.starts_with('{') { Ok(normal) } else { Err(invalid("it is no object".to_owned())) }
}
