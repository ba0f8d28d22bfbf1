//! A tenant's own settings.

use std::collections::BTreeMap;

use exchequer_kernel::Ctx;

use crate::settings;
use crate::tenant::with_profile;
use crate::{Event, Rejection, Tenant};

/// Sets some keys and unsets others. A key stands in one of the two, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateSettings {
    pub set: BTreeMap<String, String>,
    pub unset: Vec<String>,
}

impl UpdateSettings {
    pub(crate) fn decide(&self, tenant: &Tenant, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        for (index, key) in self.unset.iter().enumerate() {
            settings::check_key(key)?;
            if self.set.contains_key(key) || self.unset[..index].contains(key) {
                return Err(Rejection::SettingKeyInvalid { key: key.clone() });
            }
        }
        settings::check(&self.set)?;
        let mut after = tenant.settings.clone();
        after.retain(|key, _| !self.unset.contains(key));
        after.extend(self.set.iter().map(|(key, value)| (key.clone(), value.clone())));
        settings::check_all(&after)?;
        if after == tenant.settings {
            return Err(Rejection::Unchanged);
        }
        let changed = Event::SettingsChanged { set: self.set.clone(), unset: self.unset.clone() };
        Ok(with_profile(tenant, vec![changed], ctx.now))
    }
}
