//! What the platform names by ids that nobody can read, by numbers instead.

use exchequer_codec::{decode_event, decode_record};
use exchequer_domain_entitlements as entitlements;
use exchequer_tenant::Event;
use exchequer_types::TenantId;

use crate::commands::Named;
use crate::show;
use crate::world::World;

impl World {
    /// Ids of all of a tenant's grants, in the order in which they were given.
    pub(crate) fn grants(&self, tenant: &TenantId) -> Vec<String> {
        let records = self.partitions().flat_map(|partition| {
            let records = self.journal.records(partition).into_iter();
            records.filter_map(move |bytes| decode_record(partition, &bytes).2)
        });
        let events = records.flat_map(|commit| commit.events);
        let of_tenant = events.filter(|event| event.stream == tenant.as_str());
        let grants = of_tenant.filter_map(|event| {
            match decode_event(&event.stream, &event.r#type, &event.payload).ok()? {
                Event::Entitlements(entitlements::Event::Granted { id, .. }) => Some(id),
                _ => None,
            }
        });
        grants.collect()
    }
}

impl Named for World {
    fn entry(&self, tenant: &str, number: u64) -> Option<String> {
        let entries = show::entries(self, &TenantId::parse(tenant).ok()?).ok()?;
        entries.into_iter().nth(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    fn grant(&self, tenant: &str, number: u64) -> Option<String> {
        let grants = self.grants(&TenantId::parse(tenant).ok()?);
        grants.into_iter().nth(usize::try_from(number).ok()?.checked_sub(1)?)
    }
}
