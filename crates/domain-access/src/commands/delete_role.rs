//! A role of the tenant's own goes, when nobody has it.

use exchequer_access::BuiltIn;
use exchequer_types::Slug;

use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRole {
    pub role: Slug,
}

impl DeleteRole {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        if BuiltIn::parse(self.role.as_str()).is_some() {
            return Err(Rejection::RoleBuiltIn);
        }
        if !state.roles.contains_key(&self.role) {
            return Err(Rejection::RoleNotFound { field: "key" });
        }
        match state.grants.values().filter(|grant| grant.role == self.role).count() {
            0 => Ok(vec![Event::RoleDeleted { role: self.role.clone() }]),
            grants => Err(Rejection::RoleInUse { grants }),
        }
    }
}
