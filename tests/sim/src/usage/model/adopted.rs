//! What seals have taken over: tenants, and the meters of providers, each from a seal on.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::adopted::What;
use prost::Message as _;

/// By tenant or provider, each version with the seal that names it.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    tenants: BTreeMap<String, Vec<(u64, pb::AdoptedTenant)>>,
    meters: BTreeMap<String, Vec<(u64, pb::AdoptedMeters)>>,
    /// Places in the journal, which only go on.
    places: BTreeMap<String, u64>,
}

/// What an event of a tenant is judged by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct View<'a> {
    pub(super) tenant: Option<&'a pb::AdoptedTenant>,
    pub(super) meters: Option<&'a pb::AdoptedMeters>,
}

impl Adopted {
    /// Takes over what `seal` names; says what is wrong with it.
    pub(super) fn take(&mut self, seal: u64, it: &pb::Adopted) -> Result<(), String> {
        let Some(What::Tenant(bytes) | What::Meters(bytes)) = &it.what else {
            return Err("takes over nothing".to_owned());
        };
        if *blake3::hash(bytes).as_bytes() != *it.content {
            return Err("takes over something with another hash".to_owned());
        }
        let unreadable = |error: prost::DecodeError| error.to_string();
        let what = match &it.what {
            Some(What::Tenant(bytes)) => {
                let adopted = pb::AdoptedTenant::decode(bytes.clone()).map_err(unreadable)?;
                let name = format!("tenant {}", adopted.tenant);
                let versions = self.tenants.entry(adopted.tenant.clone()).or_default();
                versions.push((seal, adopted));
                name
            }
            Some(What::Meters(bytes)) => {
                let adopted = pb::AdoptedMeters::decode(bytes.clone()).map_err(unreadable)?;
                let name = format!("meters of {}", adopted.provider);
                let versions = self.meters.entry(adopted.provider.clone()).or_default();
                versions.push((seal, adopted));
                name
            }
            None => return Ok(()),
        };
        let before = self.places.insert(what.clone(), it.journal_offset).unwrap_or(0);
        if it.journal_offset < before {
            return Err(format!(
                "takes over the {what} of {}, which came before that of {before}",
                it.journal_offset
            ));
        }
        Ok(())
    }

    /// What events of `tenant` are judged by from `seal` on.
    pub(super) fn view(&self, tenant: &str, seal: u64) -> View<'_> {
        let tenant = self.tenants.get(tenant).and_then(|versions| last(versions, seal));
        let known = tenant.filter(|it| it.known);
        let versions = known.and_then(|it| self.meters.get(&it.provider));
        View { tenant: known, meters: versions.and_then(|versions| last(versions, seal)) }
    }

    /// Seals that changed something for `tenant` or a provider of it.
    pub(super) fn changes(&self, tenant: &str) -> BTreeSet<u64> {
        let own = self.tenants.get(tenant).into_iter().flatten();
        let providers = own.clone().filter_map(|(_, it)| self.meters.get(&it.provider));
        let meters = providers.flatten().map(|(seal, _)| *seal);
        own.map(|(seal, _)| *seal).chain(meters).collect()
    }
}

fn last<T>(versions: &[(u64, T)], seal: u64) -> Option<&T> {
    versions.iter().rev().find(|(of, _)| *of <= seal).map(|(_, it)| it)
}
