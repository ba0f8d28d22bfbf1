//! Somebody becomes a member. Without a grant a member may do nothing.

use exchequer_types::{ActorId, Protected};

use super::check_protected;
use crate::giving::is_reserved;
use crate::state::MEMBERS_MAX;
use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddMember {
    pub member: ActorId,
    pub name: Option<Protected>,
    pub email: Option<Protected>,
}

impl AddMember {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        if is_reserved(&self.member) {
            return Err(Rejection::MemberIdReserved);
        }
        if state.members.contains_key(&self.member) {
            return Err(Rejection::MemberExists);
        }
        check_protected(state, self.name.as_ref(), "name")?;
        check_protected(state, self.email.as_ref(), "email")?;
        if state.members.len() >= MEMBERS_MAX {
            return Err(Rejection::MembersTooMany);
        }
        Ok(vec![Event::MemberAdded {
            member: self.member.clone(),
            name: self.name.clone(),
            email: self.email.clone(),
        }])
    }
}
