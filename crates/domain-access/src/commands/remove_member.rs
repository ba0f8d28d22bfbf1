//! A member leaves, with its grants, its places in teams and its personal tokens.

use exchequer_access::Principal;
use exchequer_kernel::Ctx;
use exchequer_types::{ActorId, Slug};

use super::revoked;
use crate::giving::Giver;
use crate::{Cause, Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveMember {
    pub member: ActorId,
}

impl RemoveMember {
    /// Who cannot give what the member has cannot take it either.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if !state.members.contains_key(&self.member) {
            return Err(Rejection::MemberNotFound { field: "id" });
        }
        let giver = Giver::of(state, ctx);
        let principal = Principal::Member(self.member.clone());
        giver.may_give_all(state, state.grants_of(&principal), ctx.recorded_at)?;
        for team in teams(state, &self.member) {
            giver.may_give_team(state, team, ctx.recorded_at)?;
        }
        Ok(removal(state, &self.member))
    }
}

/// The events by which a member is removed.
pub(super) fn removal(state: &State, member: &ActorId) -> Vec<Event> {
    let mut events = revoked(state.grants_of(&Principal::Member(member.clone())));
    let tokens = state.open_credentials().filter(|it| it.kind.owner() == Some(member));
    events.extend(tokens.map(|token| Event::CredentialRevoked {
        id: token.id.clone(),
        cause: Cause::OwnerRemoved,
        timers: token.timers().cloned().collect(),
    }));
    let teams = teams(state, member).cloned().collect();
    events.push(Event::MemberRemoved { member: member.clone(), teams });
    events
}

fn teams<'a>(state: &'a State, member: &'a ActorId) -> impl Iterator<Item = &'a Slug> {
    state.teams.values().filter(|it| it.members.contains(member)).map(|it| &it.key)
}
