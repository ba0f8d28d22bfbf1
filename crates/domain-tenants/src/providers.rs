//! What a partition knows of providers, and the settings that follow from it.

use std::collections::BTreeMap;

use exchequer_types::{ProviderProfile, TenantId};

use crate::Tenant;
use crate::rejection::DEPTH_MAX;

/// The provider profiles that a partition has adopted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Providers {
    by_id: BTreeMap<TenantId, ProviderProfile>,
}

impl Providers {
    pub fn get(&self, id: &TenantId) -> Option<&ProviderProfile> {
        self.by_id.get(id)
    }

    /// Version of `id` that is adopted; 0 when none is.
    pub fn version(&self, id: &TenantId) -> u64 {
        self.get(id).map_or(0, |profile| profile.version)
    }

    pub fn adopt(&mut self, profile: ProviderProfile) {
        self.by_id.insert(profile.id.clone(), profile);
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &ProviderProfile> + '_ {
        self.by_id.values()
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    pub value: String,
    /// The tenant that set it.
    pub source: TenantId,
}

/// The value in force of one setting of `tenant`.
pub fn effective_setting<'a>(
    tenant: &'a Tenant,
    providers: &'a Providers,
    key: &str,
) -> Option<&'a str> {
    let mut found = tenant.settings.get(key);
    let mut next = tenant.parent.as_ref();
    for _ in 0..=DEPTH_MAX {
        let Some(profile) = next.filter(|_| found.is_none()).and_then(|id| providers.get(id))
        else {
            break;
        };
        found = profile.settings.get(key);
        next = profile.parent.as_ref();
    }
    found.map(String::as_str)
}

/// The settings in force for `tenant`: its own, then its provider's, then that
/// one's provider's, up to the root.
pub fn effective_settings(
    tenant: &Tenant,
    providers: &Providers,
) -> BTreeMap<String, EffectiveSetting> {
    let mut out = BTreeMap::new();
    let mut take = |source: &TenantId, settings: &BTreeMap<String, String>| {
        for (key, value) in settings {
            out.entry(key.clone()).or_insert_with(|| EffectiveSetting {
                value: value.clone(),
                source: source.clone(),
            });
        }
    };
    take(&tenant.id, &tenant.settings);
    let mut next = tenant.parent.as_ref();
    for _ in 0..=DEPTH_MAX {
        let Some(profile) = next.and_then(|id| providers.get(id)) else { break };
        take(&profile.id, &profile.settings);
        next = profile.parent.as_ref();
    }
    out
}
