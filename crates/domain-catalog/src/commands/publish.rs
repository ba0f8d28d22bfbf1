//! The draft becomes the next version, for ever. What says nothing new is no version.

use exchequer_types::{Hash, Slug};

use crate::rejection::VERSIONS_MAX;
use crate::{Event, Rejection, State, VersionStatus};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub catalog: Slug,
    /// The draft that the caller saw; None: whatever the draft is.
    pub hash: Option<Hash>,
}

impl Publish {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let catalog = state.catalogs.get(&self.catalog).ok_or(Rejection::NotFound)?;
        let draft = catalog.draft.as_ref().ok_or(Rejection::DraftNotFound)?;
        let hash = draft.content.hash();
        if self.hash.is_some_and(|seen| seen != hash) {
            return Err(Rejection::DraftChanged { hash });
        }
        // What was retired may be sold anew.
        if let Some(latest) = catalog.latest()
            && latest.hash == hash
            && latest.status() == VersionStatus::Published
        {
            return Err(Rejection::Unchanged { hash, version: Some(latest.number) });
        }
        let next = u32::try_from(catalog.versions.len() + 1);
        match next {
            Ok(version) if catalog.versions.len() < VERSIONS_MAX => Ok(vec![Event::Published {
                catalog: self.catalog.clone(),
                version,
                content: draft.content.clone(),
            }]),
            _ => Err(Rejection::VersionsTooMany),
        }
    }
}
