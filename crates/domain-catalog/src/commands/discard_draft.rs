//! A provider drops its draft.

use exchequer_types::Slug;

use crate::{Event, Rejection, State};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscardDraft {
    pub catalog: Slug,
}

impl DiscardDraft {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let catalog = state.catalogs.get(&self.catalog).ok_or(Rejection::NotFound)?;
        if catalog.draft.is_none() {
            return Err(Rejection::DraftNotFound);
        }
        Ok(vec![Event::DraftDiscarded { catalog: self.catalog.clone() }])
    }
}
