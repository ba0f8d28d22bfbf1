//! CloudEvents 1.0 as events of use: read from the JSON form, one or a list, from binary
//! mode, and from attributes one by one (the protobuf form). An event borrows from the
//! bytes it was read from. What is no event is refused with the field and what to do.

mod binary;
mod parts;
mod quick;
mod rejection;
mod scan;
mod structured;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use exchequer_types::Timestamp;

use crate::normal::{Body, EventIdentity};

pub use binary::{binary, binary_plain};
pub use parts::{Data, Parts, Value};
pub use rejection::{REASON_BYTES_MAX, Refused, Rejection, Told, codes, cut};
pub use structured::{Batch, batch, is_no_list, structured};

/// The version of CloudEvents that is spoken here.
pub const SPECVERSION: &str = "1.0";
/// An event as it is sent, with its attributes.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
pub const ID_BYTES_MAX: usize = 256;
pub const SOURCE_BYTES_MAX: usize = 512;
pub const SUBJECT_BYTES_MAX: usize = 256;
pub const SCHEMA_BYTES_MAX: usize = 512;

/// An event that can be written to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Whose use it is: a tenant's id, as [`TenantId::check`] has it.
    pub tenant: Cow<'a, str>,
    pub source: Cow<'a, str>,
    pub id: Cow<'a, str>,
    /// CloudEvents `type`.
    pub kind: Cow<'a, str>,
    /// Empty when there is none.
    pub subject: Cow<'a, str>,
    /// CloudEvents `dataschema`; empty when there is none.
    pub schema: Cow<'a, str>,
    /// When it happened; none when the event does not say, and then it is when it was
    /// received. How far off it may lie is the meter's to judge.
    pub time: Option<Timestamp>,
    /// JSON that has a normal form; `null` when there is none.
    pub data: &'a str,
}

impl Event<'_> {
    pub fn identity(&self) -> EventIdentity {
        EventIdentity::of_texts(&self.tenant, &self.source, &self.id)
    }

    pub fn body(&self) -> Body<'_> {
        Body {
            kind: &self.kind,
            schema: &self.schema,
            subject: &self.subject,
            time: self.time,
            data: self.data,
        }
    }
}
