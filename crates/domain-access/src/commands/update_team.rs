//! A team gets another name, or members and teams come into it and leave it.

use std::collections::BTreeSet;

use exchequer_access::TEAM_DEPTH_MAX;
use exchequer_kernel::Ctx;
use exchequer_types::{ActorId, Slug};

use super::{check_known, check_name, check_size};
use crate::giving::Giver;
use crate::policy::{depth, is_inside};
use crate::{Event, Rejection, State, Team, evolve};

/// What is in the team already, or is not in it, is neither added nor removed. What is
/// both added and removed is in it then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateTeam {
    pub team: Slug,
    /// None: left as it is.
    pub name: Option<String>,
    pub add_members: BTreeSet<ActorId>,
    pub remove_members: BTreeSet<ActorId>,
    pub add_teams: BTreeSet<Slug>,
    pub remove_teams: BTreeSet<Slug>,
}

impl UpdateTeam {
    /// Whoever comes in gets what the team has, so nobody changes who is in a team that
    /// has what they lack.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let team = state.teams.get(&self.team);
        let team = team.ok_or(Rejection::TeamNotFound { field: "key" })?;
        self.name.as_deref().map_or(Ok(()), check_name)?;
        check_known(state, &self.add_members, &self.add_teams)?;
        let Some((updated, changes_who)) = self.change(team) else {
            return Err(Rejection::Unchanged);
        };
        if let Some(inner) = self.add_teams.iter().find(|it| is_inside(state, it, &self.team)) {
            return Err(Rejection::TeamCycle { team: inner.clone() });
        }
        let mut after = state.clone();
        evolve::evolve(&mut after, &updated, ctx.now);
        if let Some(team) = after.teams.get(&self.team) {
            check_size(team.members.len(), team.teams.len())?;
        }
        if depth(&after, &self.team) > TEAM_DEPTH_MAX {
            return Err(Rejection::TeamTooDeep);
        }
        if changes_who {
            Giver::of(state, ctx).may_give_team(state, &self.team, ctx.recorded_at)?;
        }
        Ok(vec![updated])
    }

    /// What changes in effect, and whether it changes who belongs to the team.
    fn change(&self, team: &Team) -> Option<(Event, bool)> {
        let name = self.name.clone().filter(|name| *name != team.name);
        let (added, removed) = change(&team.members, &self.add_members, &self.remove_members);
        let (added_teams, removed_teams) = change(&team.teams, &self.add_teams, &self.remove_teams);
        let changes_who = [&added, &removed].iter().any(|it| !it.is_empty())
            || [&added_teams, &removed_teams].iter().any(|it| !it.is_empty());
        let is_change = changes_who || name.is_some();
        let team = self.team.clone();
        let updated = Event::TeamUpdated { team, name, added, removed, added_teams, removed_teams };
        is_change.then_some((updated, changes_who))
    }
}

/// What is added and removed in effect.
fn change<T: Ord + Clone>(
    before: &BTreeSet<T>,
    add: &BTreeSet<T>,
    remove: &BTreeSet<T>,
) -> (BTreeSet<T>, BTreeSet<T>) {
    let added = add.difference(before).cloned().collect();
    let removed = remove.intersection(before).filter(|it| !add.contains(*it)).cloned().collect();
    (added, removed)
}
