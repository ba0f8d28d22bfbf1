//! A person's data becomes unreadable for ever: the keys under which it was encrypted go.

use std::collections::BTreeSet;

use exchequer_types::{ActorId, KeyId};

use super::remove_member::removal;
use crate::state::ERASED_KEYS_MAX;
use crate::{Event, Rejection, State};

/// `keys` are all keys of the person in this tenant, as the gateway's key store has them.
/// A member is removed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasePerson {
    pub subject: ActorId,
    pub keys: BTreeSet<KeyId>,
}

impl ErasePerson {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let member = state.members.get(&self.subject);
        let said = member.into_iter().flat_map(|it| [&it.name, &it.email]).flatten();
        let keys = self.keys.iter().copied().chain(said.map(|it| it.key));
        let keys: BTreeSet<KeyId> = keys.filter(|key| !state.erased.contains(key)).collect();
        if member.is_none() && keys.is_empty() {
            return Err(Rejection::PersonNotFound);
        }
        if state.erased.len() + keys.len() > ERASED_KEYS_MAX {
            return Err(Rejection::ErasedKeysTooMany);
        }
        let mut events = match member {
            Some(_) => removal(state, &self.subject),
            None => Vec::new(),
        };
        events.push(Event::PersonErased { subject: self.subject.clone(), keys });
        Ok(events)
    }
}
