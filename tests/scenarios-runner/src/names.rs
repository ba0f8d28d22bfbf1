//! What the platform names by ids that nobody can read, by numbers instead.

use exchequer_access::Principal;
use exchequer_codec::{decode_event, decode_record};
use exchequer_domain_access as access;
use exchequer_domain_entitlements as entitlements;
use exchequer_kernel::Decider as _;
use exchequer_tenant::Event;
use exchequer_types::{Slug, TenantId, Timestamp};

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

impl World {
    /// A tenant's access control, folded out of the journal.
    pub(crate) fn access(&self, tenant: &TenantId) -> access::State {
        let mut state = access::State::default();
        for partition in self.partitions() {
            let records = self.journal.records(partition).into_iter();
            let commits = records.filter_map(|bytes| decode_record(partition, &bytes).2);
            let events = commits.flat_map(|commit| commit.events);
            for event in events.filter(|event| event.stream == tenant.as_str()) {
                if let Ok(Event::Access(it)) =
                    decode_event(&event.stream, &event.r#type, &event.payload)
                {
                    let at = Timestamp::saturating_from_micros(event.at);
                    access::Access::evolve(&mut state, &it, at);
                }
            }
        }
        state
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

    fn credential(&self, tenant: &str, name: &str) -> Option<String> {
        let state = self.access(&TenantId::parse(tenant).ok()?);
        let named = state.credentials.values().filter(|it| it.name == name);
        named.max_by_key(|it| it.created_at).map(|it| it.id.clone())
    }

    fn role_grant(&self, tenant: &str, principal: &Principal, role: &Slug) -> Option<String> {
        let state = self.access(&TenantId::parse(tenant).ok()?);
        let mut grants = state.grants_of(principal);
        grants.find(|it| it.role == *role).map(|it| it.id.clone())
    }
}
