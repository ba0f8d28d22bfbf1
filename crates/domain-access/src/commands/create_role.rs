//! A role of the tenant's own.

use std::collections::BTreeSet;

use exchequer_access::{BuiltIn, Permission, RoleDef, Scope};
use exchequer_kernel::Ctx;
use exchequer_types::Slug;

use super::check_name;
use crate::giving::Giver;
use crate::state::ROLES_MAX;
use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRole {
    pub role: Slug,
    pub name: String,
    pub permissions: BTreeSet<Permission>,
}

impl CreateRole {
    /// Nobody puts a permission into a role that they lack for the whole tenant.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if BuiltIn::parse(self.role.as_str()).is_some() || state.roles.contains_key(&self.role) {
            return Err(Rejection::RoleExists);
        }
        check_name(&self.name)?;
        if self.permissions.is_empty() {
            return Err(Rejection::RoleEmpty);
        }
        if state.roles.len() >= ROLES_MAX {
            return Err(Rejection::RolesTooMany);
        }
        let def = RoleDef::new(self.name.clone(), self.permissions.clone());
        Giver::of(state, ctx).may_give(&def, &Scope::tenant(), None, ctx.recorded_at)?;
        Ok(vec![Event::RoleCreated {
            role: self.role.clone(),
            name: self.name.clone(),
            permissions: self.permissions.clone(),
        }])
    }
}
