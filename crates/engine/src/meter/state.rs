//! What a meter holds of its partition, ahead of what is accepted by at most the seal in
//! flight and the batch that is judged meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_kernel::{Head, Verdict};
use exchequer_metering::{Adoption, Definitions, Revisions};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, Identity, Offset, PartitionId, TenantId, Timestamp};

use super::definitions::Position;
use super::judging::Spare;
use super::names::SharedNames;
use super::recounting::Touched;
use crate::identities::Identities;

/// Of whom something is taken over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Adoptee {
    Tenant(TenantId),
    Provider(TenantId),
}

impl Adoptee {
    pub(super) fn of(adoption: &Adoption) -> Self {
        match adoption {
            Adoption::Tenant(it) => Self::Tenant(it.tenant.clone()),
            Adoption::Meters(it) => Self::Provider(it.provider.clone()),
        }
    }
}

/// What operators look at: from the beginning of the logs, or from the checkpoint behind which
/// it was first counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records of the seals that were ignored.
    pub ignored: u64,
    /// Records of the seals that cannot belong to their chain.
    pub breaks: u64,
    /// Records of usage that were put aside as dead letters.
    pub dead_letters: u64,
}

impl Tally {
    pub(super) fn of(it: &pb::MeterCheckpoint) -> Self {
        Self { ignored: it.ignored, breaks: it.breaks, dead_letters: it.dead_letters }
    }

    /// The fold has passed a record of the seals.
    pub(super) fn passed(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => {}
            Verdict::Ignorable(_) => self.ignored += 1,
            Verdict::Break(_) => self.breaks += 1,
        }
    }
}

/// One partition of usage, as it is judged.
#[derive(Debug)]
pub(super) struct Metering {
    pub(super) partition: PartitionId,
    pub(super) partitions: u32,
    pub(super) definitions: Definitions,
    pub(super) identities: Identities,
    pub(super) names: SharedNames,
    pub(super) spare: Spare,
    /// Of the last seal that was made.
    pub(super) seq: u64,
    pub(super) hash: Hash,
    /// Where the next seal is expected to stand.
    pub(super) next_seal: Offset,
    /// Next record of the usage log.
    pub(super) next: Offset,
    pub(super) through: Timestamp,
    /// Taken over and not written yet: seal, index in it, the offset from which it is in
    /// force.
    pub(super) unsaved: Vec<(u64, u64, Offset, pb::Adopted)>,
    /// What was taken back from windows that are to be put together anew.
    pub(super) touched: Vec<Touched>,
    /// The same of earlier writes, whose rows told of later seals: with the next write.
    pub(super) waiting: Vec<Touched>,
    /// What has to be looked at again.
    pub(super) revisions: Revisions,
    /// Corrections that are not written yet, by the identity of their event.
    pub(super) corrections: BTreeMap<Identity, Vec<Offset>>,
    /// Was any ever written?
    pub(super) may_have_corrections: bool,
    /// Changes of definitions that were asked for; none when all must be.
    pub(super) changes_seen: Option<u64>,
    /// How far the journal was when each of these was taken over: what is older is passed
    /// over, for this process may lag behind the one that metered before.
    pub(super) adopted_at: BTreeMap<Adoptee, Position>,
    /// Tenants that were asked for and that there are not, until something changes.
    pub(super) absent: BTreeSet<String>,
    /// Epoch of the claim, under which checkpoints are written.
    pub(super) checkpoint_epoch: u64,
    /// Of the accepted seals, and of what stands between them.
    pub(super) tally: Tally,
}

impl Metering {
    /// Everything that was decided ahead is gone: it stands where `head` does.
    pub(super) fn stand_at(&mut self, head: &Head) {
        self.seq = head.seq;
        self.hash = head.hash;
        self.next_seal = head.offset;
    }
}
