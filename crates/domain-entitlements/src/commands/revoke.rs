//! A grant is taken back before its end.

use super::check_reason;
use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoke {
    /// Of the grant.
    pub id: String,
    pub reason: String,
}

impl Revoke {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        check_reason(&self.reason)?;
        let grant = state.open_grant(&self.id).ok_or(Rejection::GrantNotFound)?;
        Ok(vec![Event::GrantRevoked {
            id: grant.id.clone(),
            reason: self.reason.clone(),
            timer: grant.expiry.as_ref().map(|expiry| expiry.timer.clone()),
        }])
    }
}
