//! A role of the tenant's own changes, and with it what all its grants give.

use std::collections::BTreeSet;

use exchequer_access::{BuiltIn, Permission, RoleDef, Scope};
use exchequer_kernel::Ctx;
use exchequer_types::Slug;

use super::check_name;
use crate::giving::Giver;
use crate::{Event, Rejection, State};

/// What is both added and removed is in the role then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateRole {
    pub role: Slug,
    /// None: left as it is.
    pub name: Option<String>,
    pub add_permissions: BTreeSet<Permission>,
    pub remove_permissions: BTreeSet<Permission>,
}

impl UpdateRole {
    /// Nobody puts a permission into a role, or takes one out of it, that they lack for the
    /// whole tenant.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if BuiltIn::parse(self.role.as_str()).is_some() {
            return Err(Rejection::RoleBuiltIn);
        }
        let role = state.roles.get(&self.role);
        let role = role.ok_or(Rejection::RoleNotFound { field: "key" })?;
        let name = self.name.as_ref().unwrap_or(&role.name);
        check_name(name)?;
        let kept = role.permissions.difference(&self.remove_permissions);
        let permissions: BTreeSet<_> = kept.chain(&self.add_permissions).copied().collect();
        if permissions.is_empty() {
            return Err(Rejection::RoleEmpty);
        }
        if permissions == role.permissions && *name == role.name {
            return Err(Rejection::Unchanged);
        }
        let changed = permissions.symmetric_difference(&role.permissions).copied().collect();
        let changed = RoleDef::new(name.clone(), changed);
        Giver::of(state, ctx).may_give(&changed, &Scope::tenant(), None, ctx.recorded_at)?;
        Ok(vec![Event::RoleUpdated { role: self.role.clone(), name: name.clone(), permissions }])
    }
}
