//! A provider saves what its catalog is to say. A wrong document is not kept.

use exchequer_types::Slug;

use crate::document::Document;
use crate::rejection::CATALOGS_MAX;
use crate::{Content, Event, Rejection, State, check};

/// Replaces the draft that was there; the catalog begins with its first draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaveDraft {
    pub catalog: Slug,
    pub document: Document,
}

impl SaveDraft {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let known = state.catalogs.get(&self.catalog);
        if known.is_none() && state.catalogs.len() >= CATALOGS_MAX {
            return Err(Rejection::CatalogsTooMany);
        }
        let violations = check(&self.document);
        if !violations.is_empty() {
            return Err(Rejection::Invalid { violations });
        }
        let content = Content::of(self.document.clone());
        let draft = known.and_then(|catalog| catalog.draft.as_ref());
        if draft.is_some_and(|draft| draft.content.hash() == content.hash()) {
            return Err(Rejection::Unchanged { hash: content.hash(), version: None });
        }
        Ok(vec![Event::DraftSaved { catalog: self.catalog.clone(), content }])
    }
}
