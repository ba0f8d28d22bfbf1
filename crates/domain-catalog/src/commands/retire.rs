//! A version is not sold any more. Who holds it keeps it.

use exchequer_types::Slug;

use crate::{Event, Rejection, State, VersionStatus};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retire {
    pub catalog: Slug,
    pub version: u32,
}

impl Retire {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let number = self.version;
        let catalog = state.catalogs.get(&self.catalog).ok_or(Rejection::NotFound)?;
        let version = catalog.version(number);
        let version = version.ok_or(Rejection::VersionNotFound { version: number })?;
        if version.status() == VersionStatus::Retired {
            return Err(Rejection::AlreadyRetired { version: number });
        }
        let (catalog, hash) = (self.catalog.clone(), version.hash);
        Ok(vec![Event::Retired { catalog, version: number, hash }])
    }
}
