//! A team. It has no grants yet.

use std::collections::BTreeSet;

use exchequer_access::TEAM_DEPTH_MAX;
use exchequer_kernel::Ctx;
use exchequer_types::{ActorId, Slug};

use super::{check_known, check_name, check_size};
use crate::policy::depth;
use crate::state::TEAMS_MAX;
use crate::{Event, Rejection, State, evolve};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTeam {
    pub team: Slug,
    pub name: String,
    pub members: BTreeSet<ActorId>,
    /// Teams whose members are to belong to this one too.
    pub teams: BTreeSet<Slug>,
}

impl CreateTeam {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if state.teams.contains_key(&self.team) {
            return Err(Rejection::TeamExists);
        }
        check_name(&self.name)?;
        check_size(self.members.len(), self.teams.len())?;
        check_known(state, &self.members, &self.teams)?;
        if state.teams.len() >= TEAMS_MAX {
            return Err(Rejection::TeamsTooMany);
        }
        let created = Event::TeamCreated {
            team: self.team.clone(),
            name: self.name.clone(),
            members: self.members.clone(),
            teams: self.teams.clone(),
        };
        let mut after = state.clone();
        evolve::evolve(&mut after, &created, ctx.now);
        if depth(&after, &self.team) > TEAM_DEPTH_MAX {
            return Err(Rejection::TeamTooDeep);
        }
        Ok(vec![created])
    }
}
