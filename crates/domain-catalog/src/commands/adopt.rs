//! A partition takes over a version of a provider's catalog, or that it is retired.
//! Copies may come late, twice and in any order.

use crate::event::Adoption;
use crate::{Content, Event, Rejection, State};

impl Adoption {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let is_content_true = |content: &Content| content.hash() == self.hash;
        if !self.content.as_ref().is_none_or(is_content_true) {
            return Err(Rejection::HashMismatch);
        }
        if let Some(known) = state.adopted.get(&self.provider, &self.catalog, self.version) {
            if known.hash != self.hash {
                return Err(Rejection::HashMismatch);
            }
            let tells_content = known.content.is_none() && self.content.is_some();
            if self.status <= known.status && !tells_content {
                return Err(Rejection::Adopted);
            }
        }
        Ok(vec![Event::Adopted(self.clone())])
    }
}
