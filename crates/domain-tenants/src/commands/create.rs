//! A tenant below a provider.

use std::collections::BTreeMap;

use exchequer_kernel::Ctx;
use exchequer_types::{ProviderProfile, TenantStatus, Timestamp};

use super::advance_clock::check_clock;
use super::check_name;
use crate::rejection::DEPTH_MAX;
use crate::settings;
use crate::{Event, Rejection, Tenant};

/// Creates the stream's tenant. `parent` is the provider's profile as this
/// partition has adopted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    pub parent: ProviderProfile,
    pub name: String,
    pub settings: BTreeMap<String, String>,
    /// The tenant is a sandbox, whose own time begins here and is moved by commands.
    pub test_clock: Option<Timestamp>,
}

impl Create {
    pub(crate) fn decide(
        &self,
        tenant: Option<&Tenant>,
        ctx: &Ctx,
    ) -> Result<Vec<Event>, Rejection> {
        if tenant.is_some() {
            return Err(Rejection::Exists);
        }
        if self.parent.status != TenantStatus::Active {
            return Err(Rejection::ProviderNotActive { parent: self.parent.id.clone() });
        }
        if self.parent.depth >= DEPTH_MAX {
            return Err(Rejection::TooDeep);
        }
        check_name(&self.name)?;
        settings::check_all(&self.settings)?;
        settings::check(&self.settings)?;
        self.test_clock.map_or(Ok(()), |clock| check_clock("test_clock", clock))?;
        Ok(vec![Event::Created {
            id: ctx.tenant.clone(),
            parent: Some(self.parent.id.clone()),
            parent_version: self.parent.version,
            depth: self.parent.depth + 1,
            name: self.name.clone(),
            settings: self.settings.clone(),
            provider: false,
            test_clock: self.test_clock,
        }])
    }
}
