//! Who may do what: permissions, roles, scopes, and the policy of one tenant,
//! compiled once from its members, teams, roles and grants, which then decides
//! without allocating. Pure: no clock, no I/O; the README states the rules.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod address;
mod below;
mod explain;
mod give;
mod grant;
mod permission;
mod policy;
mod role;
mod scope;
#[cfg(test)]
mod tests;

pub use address::{AddressRange, AddressRangeError, admits};
pub use below::Above;
pub use explain::Look;
pub use give::{Gift, may_give};
pub use grant::{Grant, Principal};
pub use permission::{Finest, Permission, UnknownPermission};
pub use policy::{Place, Policy, Rule, Source, TEAM_DEPTH_MAX, TeamDef, Verdict};
pub use role::{BuiltIn, RoleDef};
pub use scope::{Scope, ScopeError, Target};
