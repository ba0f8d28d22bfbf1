//! What is said of a member changes.

use exchequer_types::{ActorId, Protected};

use super::check_protected;
use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateMember {
    pub member: ActorId,
    /// None: left as it is. Some(None): removed.
    pub name: Option<Option<Protected>>,
    /// None: left as it is. Some(None): removed.
    pub email: Option<Option<Protected>>,
}

impl UpdateMember {
    /// An encrypted field differs each time it is encrypted, so one that is given always
    /// changes something.
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let member = state.members.get(&self.member);
        let member = member.ok_or(Rejection::MemberNotFound { field: "id" })?;
        let name = self.name.as_ref().unwrap_or(&member.name);
        let email = self.email.as_ref().unwrap_or(&member.email);
        check_protected(state, self.name.as_ref().and_then(Option::as_ref), "name")?;
        check_protected(state, self.email.as_ref().and_then(Option::as_ref), "email")?;
        if *name == member.name && *email == member.email {
            return Err(Rejection::Unchanged);
        }
        Ok(vec![Event::MemberUpdated {
            member: self.member.clone(),
            name: name.clone(),
            email: email.clone(),
        }])
    }
}
