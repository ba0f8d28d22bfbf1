//! Streams: what is decided in one order.

use core::fmt;

use crate::{IdError, PartitionId, TenantId};

const PARTITION_PREFIX: &str = "~partition-";

/// A stream's id: a tenant's, or one that belongs to no tenant and begins with `~`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamId {
    Tenant(TenantId),
    /// What a partition has adopted. Not placed by hash: it names its partition.
    Partition(PartitionId),
}

impl StreamId {
    /// Reads a stream's id as the log states it.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if let Some(number) = text.strip_prefix(PARTITION_PREFIX) {
            let parsed = number.parse().ok().filter(|n: &u32| n.to_string() == number);
            return parsed
                .map(|number| Self::Partition(PartitionId(number)))
                .ok_or(IdError::Characters { allowed: "~partition-<number>" });
        }
        TenantId::parse(text).map(Self::Tenant)
    }

    /// The tenant whose stream it is.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant(id) => Some(id),
            Self::Partition(_) => None,
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(id) => id.fmt(f),
            Self::Partition(number) => write!(f, "{PARTITION_PREFIX}{number}"),
        }
    }
}
