//! Events of a type are not checked any more.

use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetireEventSchema {
    /// CloudEvents `type`.
    pub kind: String,
}

impl RetireEventSchema {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let schema = state.schemas.get(&self.kind).ok_or(Rejection::SchemaNotFound)?;
        if schema.retired {
            return Err(Rejection::SchemaRetired);
        }
        Ok(vec![Event::EventSchemaRetired { kind: self.kind.clone() }])
    }
}
