//! The words every other crate speaks: ids, instants, places in a log, hashes,
//! canonical JSON, and the facts by which domains tell each other what
//! happened. No I/O, no clock.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod fact;
mod hash;
mod id;
mod json;
mod money;
mod offer;
mod period;
mod position;
mod protected;
mod quantity;
mod stream;
mod timestamp;

pub use fact::{Fact, ProviderProfile, TenantStatus};
pub use hash::Hash;
pub use id::{
    ActorId, COMMAND_ID_CHARS_MAX, CommandId, IdError, Identity, Issuer, PLATFORM, Slug,
    TENANT_ID_CHARS_MAX, TenantId, minted_id,
};
pub use json::Json;
pub use money::{Currency, Decimal, MONEY_CHARS_MAX, Money, MoneyError, Ratio, Rounding, split};
pub use offer::{
    AddOnHolding, AddOnOffer, Allowance, Asked, Component, ComponentKind, Downgrade, Exceeded,
    Features, HeldBy, HeldPlan, Holding, Offer, PlanContent, PlanRef, Proration, Selection,
    SelectionChange,
};
pub use period::{Anchor, Cycle, CycleError, CycleUnit, Per, Period, Zone};
pub use position::{LogId, Offset, PartitionId, Place, partition_of};
pub use protected::{KeyId, Protected};
pub use quantity::{QUANTITY_CHARS_MAX, QUANTITY_DIGITS, Quantity, QuantityError};
pub use stream::StreamId;
pub use timestamp::{Timestamp, TimestampError};
