//! What the logs of usage come to, told from zero by the published format and nothing of
//! the product but its fold: fates, what each seal adds and takes back, and lists.

mod adopted;
mod judge;
mod walk;

use std::collections::BTreeMap;

use exchequer_projection_usage::Kind;
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Offset, Timestamp};

pub(super) use self::walk::walk;

/// An event's name: tenant, source, id.
pub(super) type Name = (String, String, String);

/// What one event adds to one version of a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Adds {
    pub(super) tenant: String,
    pub(super) meter: String,
    pub(super) version: u32,
    pub(super) aggregation: i32,
    /// By name of the group-by.
    pub(super) groups: BTreeMap<String, String>,
    pub(super) subject: String,
    pub(super) time: i64,
    pub(super) period: Option<(i64, i64)>,
    pub(super) value: Amount,
    pub(super) place: (u32, Offset),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Amount {
    /// In units of 10^-12.
    Number(i128),
    /// With its kind.
    Member(String),
}

impl Adds {
    pub(super) fn aggregation(&self) -> pb::Aggregation {
        pb::Aggregation::try_from(self.aggregation).unwrap_or_default()
    }
}

/// A change of the figures, by the seal that made it.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) seal: u64,
    pub(super) adds: bool,
    pub(super) what: Adds,
}

/// A seal that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed {
    pub(super) seq: u64,
    pub(super) offset: Offset,
    pub(super) from: Offset,
    pub(super) to: Offset,
    pub(super) through: i64,
}

/// A record of the log, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Fated {
    pub(super) name: Name,
    pub(super) received_at: Timestamp,
    pub(super) kind: Kind,
    /// A revision counted it.
    pub(super) matched: bool,
    /// Where it had been, of a record that was sent on and whose MAC is right.
    pub(super) sent_on: Option<(u32, Offset)>,
}

/// One partition, from zero.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) fated: Vec<Fated>,
    pub(super) changes: Vec<Change>,
    pub(super) seals: Vec<Sealed>,
    pub(super) claims: usize,
    pub(super) revisions: usize,
    pub(super) violations: Vec<String>,
}
