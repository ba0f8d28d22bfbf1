//! Taking over from the journal what records need to be judged: their tenants and those
//! tenants' meters. It enters the seal of the batch, and is used from that batch on.

use std::collections::BTreeSet;

use exchequer_codec::usage::{adopted_from_proto, adopted_to_proto};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_metering::{Adoption, Record};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{PartitionId, TenantId};

use super::definitions::{Changed, DefinitionsSource, Position};
use super::state::{Adoptee, Metering};
use crate::EngineError;

/// Ids of tenants that there are not, remembered so that they are not asked for again.
const ABSENT_MAX: usize = 4_096;
/// Tenants that are taken over for one batch.
const TENANTS_MAX: usize = 512;

/// Adoptions of one seal.
struct Adopting<'a> {
    state: &'a mut Metering,
    source: &'a dyn DefinitionsSource,
    adopted: Vec<pb::Adopted>,
}

/// Takes over what `records` need and what has changed since it was taken over. Says how
/// many of the records can be judged with it.
pub(super) async fn adopt(
    state: &mut Metering,
    source: &dyn DefinitionsSource,
    records: &[Record<'_>],
) -> Result<(Vec<pb::Adopted>, usize), EngineError> {
    let mut it = Adopting { state, source, adopted: Vec::new() };
    it.refresh().await?;
    let (mut last, mut asked) = ("", 0);
    for (index, record) in records.iter().enumerate() {
        let (tenant, ..) = record.names();
        if tenant == last {
            continue;
        }
        last = tenant;
        if it.state.definitions.tenant(tenant).is_some() || it.state.absent.contains(tenant) {
            continue;
        }
        if asked == TENANTS_MAX {
            return Ok((it.adopted, index));
        }
        let Ok(id) = TenantId::parse(tenant) else { continue };
        asked += 1;
        it.take_tenant(&id).await?;
    }
    Ok((it.adopted, records.len()))
}

/// Has anything changed, perhaps, that was taken over?
pub(super) fn is_behind(state: &Metering, source: &dyn DefinitionsSource) -> bool {
    Some(*source.changed().borrow()) != state.changes_seen
}

/// Takes over what seal `seq` names at `index`, from the next record on.
pub(super) fn apply(
    state: &mut Metering,
    (seq, index): (u64, u64),
    message: &pb::Adopted,
) -> Result<(), EngineError> {
    let adoption = adopted_from_proto(message)?;
    remember(state, &adoption, message);
    let place = (seq, state.next, state.through);
    state.revisions.begin(&state.definitions, place, &adoption);
    state.definitions.adopt(seq, state.next, adoption);
    state.unsaved.push((seq, index, state.next, message.clone()));
    Ok(())
}

/// What is older than what `message` names is passed over from now on.
pub(super) fn remember(state: &mut Metering, adoption: &Adoption, message: &pb::Adopted) {
    let position = (PartitionId(message.journal_partition), message.journal_offset);
    state.adopted_at.insert(Adoptee::of(adoption), position);
}

impl Adopting<'_> {
    async fn refresh(&mut self) -> Result<(), EngineError> {
        let state = &mut *self.state;
        let now = *self.source.changed().borrow();
        if state.changes_seen == Some(now) {
            return Ok(());
        }
        let changes = state.changes_seen.and_then(|since| self.source.changes_since(since));
        let changes: BTreeSet<Changed> = if let Some(changes) = changes {
            changes.into_iter().collect()
        } else {
            state.absent.clear();
            let known = state.definitions.tenants().map(|it| (*it.id).clone());
            let waiting = state.revisions.unmatched.keys();
            let tenants = known.chain(waiting.filter_map(|id| TenantId::parse(id.as_str()).ok()));
            let providers = state.definitions.providers().map(|(id, _)| id.clone());
            tenants.map(Changed::Tenant).chain(providers.map(Changed::Provider)).collect()
        };
        for changed in changes {
            match changed {
                Changed::Tenant(id) => {
                    self.state.absent.remove(id.as_str());
                    let is_known = self.state.definitions.tenant(id.as_str()).is_some();
                    // One whose events came before it is taken over as soon as it is there.
                    if is_known || self.state.revisions.may_wait_for(id.as_str()) {
                        self.take_tenant(&id).await?;
                    }
                }
                Changed::Provider(id) => {
                    if self.state.definitions.meters(&id).is_some() {
                        self.take_meters(&id).await?;
                    }
                }
            }
        }
        self.state.changes_seen = Some(now);
        Ok(())
    }

    async fn take_tenant(&mut self, id: &TenantId) -> Result<(), EngineError> {
        let terms = self.source.tenant(id).await?;
        let known = self.state.definitions.tenant(id.as_str());
        if terms.adopted.provider.is_none() && known.is_none() {
            if self.state.absent.len() >= ABSENT_MAX {
                self.state.absent.clear();
            }
            self.state.absent.insert(id.as_str().to_owned());
            return Ok(());
        }
        let is_same = known.is_some_and(|known| {
            known.provider == terms.adopted.provider && known.periods == terms.adopted.periods
        });
        let provider = terms.adopted.provider.clone();
        if !is_same {
            self.take(&Adoption::Tenant(terms.adopted), terms.position)?;
        }
        match provider {
            Some(provider) if self.state.definitions.meters(&provider).is_none() => {
                self.take_meters(&provider).await
            }
            _ => Ok(()),
        }
    }

    async fn take_meters(&mut self, provider: &TenantId) -> Result<(), EngineError> {
        let set = self.source.meters(provider).await?;
        let known = self.state.definitions.meters(provider);
        let is_same = known.is_some_and(|known| {
            known.version == set.adopted.version && known.terms == set.adopted.terms
        });
        if !is_same {
            self.take(&Adoption::Meters(set.adopted.clone()), set.position)?;
        }
        Ok(())
    }

    /// What is taken over is read back from what the seal will say, as by whoever reads
    /// the seal.
    fn take(&mut self, adoption: &Adoption, position: Position) -> Result<(), EngineError> {
        let known = self.state.adopted_at.get(&Adoptee::of(adoption));
        if known.is_some_and(|known| known.0 == position.0 && position.1 < known.1) {
            return Ok(());
        }
        let message = adopted_to_proto(adoption, position);
        let place = (self.state.seq + 1, self.adopted.len() as u64);
        apply(self.state, place, &message)?;
        if !mutation::active(Mutation::UnnamedDefinitions) {
            self.adopted.push(message);
        }
        Ok(())
    }
}
