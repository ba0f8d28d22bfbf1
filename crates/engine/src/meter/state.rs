//! What a meter holds of its partition, ahead of what is accepted by at most the seal in
//! flight and the batch that is judged meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use exchequer_kernel::Head;
use exchequer_metering::Definitions;
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, Identity, Offset, PartitionId, Timestamp};

use super::names::SharedNames;
use super::revising::{Pending, UnmatchedRanges};
use crate::identities::Identities;

/// One partition of usage, as it is judged.
#[derive(Debug)]
pub(super) struct Metering {
    pub(super) partition: PartitionId,
    pub(super) partitions: u32,
    pub(super) definitions: Definitions,
    pub(super) identities: Identities,
    pub(super) names: SharedNames,
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
    /// Where records stand that no meter counted.
    pub(super) unmatched: UnmatchedRanges,
    /// In the order in which they are done.
    pub(super) revisions: VecDeque<Pending>,
    /// Did the one under way find records that stay unmatched?
    pub(super) revision_left: bool,
    /// Corrections that are not written yet, by the identity of their event.
    pub(super) corrections: BTreeMap<Identity, Vec<Offset>>,
    /// Was any ever written?
    pub(super) may_have_corrections: bool,
    /// Changes of definitions that were asked for; none when all must be.
    pub(super) changes_seen: Option<u64>,
    /// Tenants that were asked for and that there are not, until something changes.
    pub(super) absent: BTreeSet<String>,
    /// Epoch under which checkpoints are written.
    pub(super) checkpoint_epoch: u64,
}

impl Metering {
    /// Everything that was decided ahead is gone: it stands where `head` does.
    pub(super) fn stand_at(&mut self, head: &Head) {
        self.seq = head.seq;
        self.hash = head.hash;
        self.next_seal = head.offset;
    }
}
