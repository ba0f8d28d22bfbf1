//! The instant at which a grant expires has come.

use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireTimer {
    pub timer: String,
}

impl FireTimer {
    /// Acts only while its timer is pending.
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let is_its = |timer: &str| timer == self.timer;
        let grant = state
            .open_grants()
            .find(|grant| grant.expiry.as_ref().is_some_and(|expiry| is_its(&expiry.timer)))
            .ok_or(Rejection::GrantNotFound)?;
        Ok(vec![Event::GrantExpired { id: grant.id.clone(), timer: self.timer.clone() }])
    }
}
