//! A partition takes over what a provider says of itself. Versions go upwards
//! only, so that copies may come late and twice.

use exchequer_types::ProviderProfile;

use crate::{Event, Providers, Rejection};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptProvider {
    pub profile: ProviderProfile,
}

impl AdoptProvider {
    pub(crate) fn decide(&self, adopted: &Providers) -> Result<Vec<Event>, Rejection> {
        let version = adopted.version(&self.profile.id);
        if self.profile.version <= version {
            return Err(Rejection::ProfileOutdated { adopted: version });
        }
        Ok(vec![Event::ProviderAdopted(self.profile.clone())])
    }
}
