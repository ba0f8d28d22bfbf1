//! A credential ends at once, for ever.

use exchequer_access::Principal;

use super::revoked;
use crate::{Cause, Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeCredential {
    pub id: String,
}

impl RevokeCredential {
    /// Anybody who may manage credentials may, whatever it has: what has leaked must end.
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let credential = state.open_credential(&self.id);
        let credential = credential.ok_or(Rejection::CredentialNotFound { field: "id" })?;
        let mut events = revoked(state.grants_of(&Principal::Credential(self.id.clone())));
        events.push(Event::CredentialRevoked {
            id: self.id.clone(),
            cause: Cause::Asked,
            timers: credential.timers().cloned().collect(),
        });
        Ok(events)
    }
}
