//! Which partitions this process works on: it begins when one becomes its own, and stops
//! before another process may have it.

use std::collections::BTreeSet;
use std::sync::Arc;

use exchequer_journal::{Fault, Group, Membership, Owned};
use exchequer_types::{Offset, PartitionId};
use tokio::sync::watch;

/// A group of which this process is a member, or not.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    membership: Option<Arc<dyn Membership>>,
    group: Group,
    /// May partitions be another process's?
    are_others: bool,
}

/// One partition of a group, as this process sees it.
#[derive(Debug)]
pub(crate) struct OwnPartition {
    share: Share,
    partition: PartitionId,
    /// None where the process is no member.
    owned: Option<watch::Receiver<Owned>>,
}

/// Asks whether a partition is still this process's.
#[derive(Clone, Debug)]
pub(crate) struct Claiming {
    share: Share,
    partition: PartitionId,
}

impl Claiming {
    /// May a writer claim, whose oldest input that is not in a commit is `low`?
    pub(crate) async fn is_confirmed(&self, low: Offset) -> Result<bool, Fault> {
        match &self.share.membership {
            Some(membership) => membership.confirm(self.share.group, self.partition, low).await,
            None => Ok(false),
        }
    }
}

impl Share {
    /// What `membership` says of `group`.
    pub(crate) fn of(membership: &Arc<dyn Membership>, group: Group, are_others: bool) -> Self {
        Self { membership: Some(Arc::clone(membership)), group, are_others }
    }

    /// Of a process that is no member of `group`.
    pub(crate) fn none(group: Group) -> Self {
        Self { membership: None, group, are_others: true }
    }

    pub(crate) fn watch(&self) -> Option<watch::Receiver<Owned>> {
        self.membership.as_ref().map(|it| it.owned(self.group))
    }

    pub(crate) fn are_others(&self) -> bool {
        self.are_others
    }

    pub(crate) fn released(&self, partition: PartitionId) {
        if let Some(membership) = &self.membership {
            membership.released(self.group, partition);
        }
    }

    /// Nothing is done here on what is not `owned`: told of all, for one may have come and
    /// gone before anybody looked.
    pub(crate) fn release_others(&self, owned: &BTreeSet<PartitionId>, partitions: u32) {
        for partition in (0..partitions).map(PartitionId).filter(|it| !owned.contains(it)) {
            self.released(partition);
        }
    }

    pub(crate) fn partition(&self, partition: PartitionId) -> OwnPartition {
        OwnPartition { share: self.clone(), partition, owned: self.watch() }
    }
}

impl OwnPartition {
    pub(crate) fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Resolves when the partition is this process's own.
    pub(crate) async fn gained(&mut self) {
        self.becomes(true).await;
    }

    /// Resolves when it is that no more.
    pub(crate) async fn lost(&mut self) {
        self.becomes(false).await;
    }

    /// What a writer asks before it claims.
    pub(crate) fn claiming(&self) -> Claiming {
        Claiming { share: self.share.clone(), partition: self.partition }
    }

    /// Nothing is done on the partition here, until it is gained again.
    pub(crate) fn release(&self) {
        self.share.released(self.partition);
    }

    async fn becomes(&mut self, own: bool) {
        let Some(owned) = &mut self.owned else {
            if own {
                core::future::pending::<()>().await;
            }
            return;
        };
        loop {
            let is_own = owned.borrow_and_update().contains(&self.partition);
            if is_own == own {
                return;
            }
            if !is_own {
                // Gained and lost before anybody looked.
                self.share.released(self.partition);
            }
            if owned.changed().await.is_err() {
                core::future::pending::<()>().await;
            }
        }
    }
}

/// Resolves when partitions have come or gone; never where the process is no member, or
/// when it is about to end.
pub(crate) async fn changed(owned: &mut Option<watch::Receiver<Owned>>) {
    if let Some(owned) = owned
        && owned.changed().await.is_ok()
    {
        return;
    }
    core::future::pending::<()>().await;
}
