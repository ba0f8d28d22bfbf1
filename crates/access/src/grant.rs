//! A role given to someone, somewhere, for a time.

use exchequer_types::{ActorId, Slug, Timestamp};

use crate::Scope;

/// Who holds grants within a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    Member(ActorId),
    /// Its members, and those of the teams inside it, inherit.
    Team(Slug),
    /// A token or key, by its id. A personal token has no grants: it acts as its owner.
    Credential(String),
}

/// A role given to a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub id: String,
    pub principal: Principal,
    /// A built-in role or one of the tenant's own.
    pub role: Slug,
    pub scope: Scope,
    /// From this instant on it gives nothing.
    pub expires_at: Option<Timestamp>,
}

impl Grant {
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}
