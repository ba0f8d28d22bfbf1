//! The root tenant comes into being at the first start.

use std::collections::BTreeMap;

use exchequer_types::{ProviderProfile, TenantId, TenantStatus};

use super::check_name;
use crate::{Event, Rejection, Tenant};

/// Creates the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    pub name: String,
}

impl Bootstrap {
    pub(crate) fn decide(&self, tenant: Option<&Tenant>) -> Result<Vec<Event>, Rejection> {
        if tenant.is_some() {
            return Err(Rejection::Exists);
        }
        check_name(&self.name)?;
        let profile = ProviderProfile {
            id: TenantId::platform(),
            version: 1,
            parent: None,
            depth: 0,
            status: TenantStatus::Active,
            settings: BTreeMap::new(),
        };
        Ok(vec![
            Event::Created {
                id: TenantId::platform(),
                parent: None,
                parent_version: 0,
                depth: 0,
                name: self.name.clone(),
                settings: BTreeMap::new(),
                provider: true,
                test_clock: None,
            },
            Event::ProviderProfiled(profile),
        ])
    }
}
