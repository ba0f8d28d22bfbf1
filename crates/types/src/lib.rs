//! The words every other crate speaks: ids, instants, places in a log, hashes,
//! canonical JSON, and the facts by which domains tell each other what
//! happened. No I/O, no clock.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod fact;
mod hash;
mod id;
mod json;
mod position;
mod stream;
mod timestamp;

pub use fact::{Fact, ProviderProfile, TenantStatus};
pub use hash::Hash;
pub use id::{
    ActorId, COMMAND_ID_CHARS_MAX, CommandId, IdError, Identity, Issuer, PLATFORM,
    TENANT_ID_CHARS_MAX, TenantId, minted_id,
};
pub use json::Json;
pub use position::{LogId, Offset, PartitionId, Place, partition_of};
pub use stream::StreamId;
pub use timestamp::{Timestamp, TimestampError};
