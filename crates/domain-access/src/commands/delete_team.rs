//! A team is dissolved, with its grants. Its members stay members of the tenant.

use exchequer_access::Principal;
use exchequer_kernel::Ctx;
use exchequer_types::Slug;

use super::revoked;
use crate::giving::Giver;
use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTeam {
    pub team: Slug,
}

impl DeleteTeam {
    /// Who cannot give what the team has cannot take it either.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if !state.teams.contains_key(&self.team) {
            return Err(Rejection::TeamNotFound { field: "key" });
        }
        Giver::of(state, ctx).may_give_team(state, &self.team, ctx.recorded_at)?;
        let mut events = revoked(state.grants_of(&Principal::Team(self.team.clone())));
        let parents = state.teams.values().filter(|it| it.teams.contains(&self.team));
        let parents = parents.map(|it| it.key.clone()).collect();
        events.push(Event::TeamDeleted { team: self.team.clone(), parents });
        Ok(events)
    }
}
