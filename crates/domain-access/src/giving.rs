//! Nobody gives, or takes from others, what they have not: neither by a grant, nor by a
//! role, a team or a credential. So no role grants itself.

use core::time::Duration;

use exchequer_access::{Gift, Permission, Principal, RoleDef, Scope, may_give};
use exchequer_kernel::Ctx;
use exchequer_types::{ActorId, Slug, Timestamp};

use crate::policy::policy_of;
use crate::{Grant, Rejection, State};

/// How a credential is named as who acts: this and its id.
pub const KEY_ACTOR_PREFIX: &str = "key:";
/// Who acts with the deployment's own proof.
pub const DEPLOYMENT_ACTOR: &str = "deployment";
/// Who acts when a timer is due.
const TIMER_ACTOR: &str = "timer";
/// Who writes down what the gateways have counted.
const GATEWAY_ACTOR: &str = "gateway";
/// For this long after its removal a member has nothing to give: what it sent just before
/// was allowed by a policy in which it was one.
pub const FORMER_MEMBER_HELD: Duration = Duration::from_secs(300);

/// Who acts, as the tenant knows them.
pub(crate) enum Giver {
    /// A principal of the tenant, with the part of the policy that concerns it.
    Known(Principal, Box<exchequer_access::Policy>),
    /// Was one until now.
    Former,
    /// Of a tenant above, or of the deployment: the gateway has judged it by other rules.
    Outsider,
}

impl Giver {
    pub(crate) fn of(state: &State, ctx: &Ctx) -> Self {
        let known = |who: Principal| {
            let policy = Box::new(policy_of(state, &who));
            Self::Known(who, policy)
        };
        // Somebody of another tenant, whatever it is called there.
        if !is_of_tenant(ctx) {
            return Self::Outsider;
        }
        if let Some(id) = ctx.actor.as_str().strip_prefix(KEY_ACTOR_PREFIX) {
            // One that is not here any more has ended.
            let credential = state.credentials.get(id);
            return match credential.filter(|it| it.holds(ctx.recorded_at)) {
                Some(credential) => known(credential.principal()),
                None => Self::Former,
            };
        }
        if state.members.contains_key(&ctx.actor) {
            return known(Principal::Member(ctx.actor.clone()));
        }
        let removed = state.former.get(&ctx.actor);
        let is_held = |at: &Timestamp| ctx.now < at.saturating_add(FORMER_MEMBER_HELD);
        if ctx.home.is_some() || removed.is_some_and(is_held) {
            Self::Former
        } else {
            Self::Outsider
        }
    }

    /// May it give this role there, for so long?
    pub(crate) fn may_give(
        &self,
        role: &RoleDef,
        scope: &Scope,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let lacks = |permission: Permission| Rejection::NotGivable { permission };
        match self {
            Self::Outsider => Ok(()),
            Self::Former => role.permissions.first().map_or(Ok(()), |it| Err(lacks(*it))),
            Self::Known(who, policy) => {
                may_give(policy, who, &Gift { role, scope, expires_at }, now).map_err(lacks)
            }
        }
    }

    /// May it give all of `grants`, and so hand them on, or take them away?
    pub(crate) fn may_give_all<'a>(
        &self,
        state: &State,
        grants: impl IntoIterator<Item = &'a Grant>,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        grants.into_iter().try_for_each(|grant| match state.role(&grant.role) {
            Some(role) => self.may_give(&role, &grant.scope, grant.expires_at(), now),
            None => Ok(()),
        })
    }

    /// May it change who is in `team`, and so who has what the team has, and the teams
    /// around it?
    pub(crate) fn may_give_team(
        &self,
        state: &State,
        team: &Slug,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let around = state.teams_around(team);
        let grants = state.grants.values().filter(
            |grant| matches!(&grant.principal, Principal::Team(key) if around.contains(key)),
        );
        self.may_give_all(state, grants.map(AsRef::as_ref), now)
    }
}

/// A personal token acts as its owner, so its secret is for the owner alone. The deployment
/// may stand in, so that nobody is locked out.
pub(crate) fn check_owner(owner: &ActorId, ctx: &Ctx) -> Result<(), Rejection> {
    if (ctx.actor == *owner && is_of_tenant(ctx)) || ctx.actor.as_str() == DEPLOYMENT_ACTOR {
        Ok(())
    } else {
        Err(Rejection::TokenOfAnother)
    }
}

/// May whoever acts be a principal of the tenant? Not the deployment, nor somebody of whom
/// the gateway knows that they belong to another tenant.
fn is_of_tenant(ctx: &Ctx) -> bool {
    ctx.actor.as_str() != DEPLOYMENT_ACTOR
        && ctx.home.as_ref().is_none_or(|home| *home == ctx.tenant)
}

/// Would this id be taken for a credential, the deployment, a timer or a gateway?
pub(crate) fn is_reserved(id: &ActorId) -> bool {
    let text = id.as_str();
    text.starts_with(KEY_ACTOR_PREFIX)
        || [DEPLOYMENT_ACTOR, TIMER_ACTOR, GATEWAY_ACTOR].contains(&text)
}
