//! Nobody gives what they have not: neither a permission, nor a wider scope, nor a
//! longer time. So no role grants itself.

use exchequer_types::Timestamp;

use crate::{Permission, Policy, Principal, RoleDef, Rule, Scope};

/// A role about to be granted, or to be defined (then for the whole tenant).
#[derive(Clone, Copy, Debug)]
pub struct Gift<'a> {
    pub role: &'a RoleDef,
    pub scope: &'a Scope,
    /// None: without end.
    pub expires_at: Option<Timestamp>,
}

/// `who` has all of the gift by the tenant's own grants; else the first permission that
/// is missing. Whoever is not of the tenant has nothing to give.
pub fn may_give(
    policy: &Policy,
    who: &Principal,
    gift: &Gift<'_>,
    now: Timestamp,
) -> Result<(), Permission> {
    let missing = |permission: &&Permission| !policy.has_to_give(who, **permission, gift, now);
    match gift.role.permissions.iter().find(missing) {
        Some(missing) => Err(*missing),
        None => Ok(()),
    }
}

impl Policy {
    fn has_to_give(
        &self,
        who: &Principal,
        permission: Permission,
        gift: &Gift<'_>,
        now: Timestamp,
    ) -> bool {
        let mut target = gift.scope.target();
        target.production = gift.role.in_production;
        self.held(who).any(|(held, team)| {
            let lasts =
                held.grant.expires_at.is_none_or(|end| gift.expires_at.is_some_and(|it| it <= end));
            let rule = held.judge(team, permission, &target, now);
            lasts && held.grant.scope.covers(&target) && matches!(rule, Rule::Granted { .. })
        })
    }
}
