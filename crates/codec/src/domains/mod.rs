//! One module for each domain: its commands, events, replies and state as
//! bytes. A type name begins with its domain's word.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod catalog;
pub(crate) mod entitlements;
pub(crate) mod flags;
pub(crate) mod quotas;
pub(crate) mod subscriptions;
pub(crate) mod tenants;
pub(crate) mod usage;

/// A type name and a payload.
pub(crate) type Encoded = (&'static str, Vec<u8>);

/// The domain's word in a type name.
pub(crate) fn domain_of(kind: &str) -> &str {
    kind.split_once('.').map_or(kind, |(domain, _)| domain)
}
