//! The instant has come at which a grant, a credential or a rotated secret ends.

use exchequer_access::Principal;

use super::revoked;
use crate::{Event, Expiry, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireTimer {
    pub timer: String,
}

impl FireTimer {
    /// Acts only while its timer is pending.
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let is_its = |expiry: Option<&Expiry>| expiry.is_some_and(|it| it.timer == self.timer);
        let timer = self.timer.clone();
        if let Some(grant) = state.grants.values().find(|it| is_its(it.expiry.as_ref())) {
            return Ok(vec![Event::GrantExpired { id: grant.id.clone(), timer }]);
        }
        if let Some(credential) = state.open_credentials().find(|it| is_its(it.expiry.as_ref())) {
            let id = credential.id.clone();
            let mut events = revoked(state.grants_of(&Principal::Credential(id.clone())));
            let overlap = credential.previous.as_ref().map(|it| it.until.timer.clone());
            events.push(Event::CredentialExpired { id, timer, overlap });
            return Ok(events);
        }
        let mut previous =
            state.open_credentials().filter_map(|it| Some((&it.id, it.previous.as_ref()?)));
        let (id, previous) =
            previous.find(|(_, it)| is_its(Some(&it.until))).ok_or(Rejection::TimerNotPending)?;
        let dropped = previous.secret.hash;
        Ok(vec![Event::CredentialOverlapEnded { id: id.clone(), timer, dropped }])
    }
}
