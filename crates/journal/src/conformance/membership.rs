//! What every implementation of [`Membership`] among several processes must do. An
//! adapter's tests run [`CASES`], all of them, each within a time of its own: a case waits
//! for as long as it takes.

use std::collections::BTreeSet;

use exchequer_types::PartitionId;
use futures::FutureExt as _;
use futures::future::{BoxFuture, select_all};
use tokio::sync::watch;

use crate::{Group, Membership, Owned};

/// New groups, which nobody has joined, over some partitions.
pub trait Groups: Send + Sync {
    /// At least 4.
    fn partitions(&self) -> u32;

    /// Another process, which works on `groups` until it is dropped.
    fn join(&self, groups: &[Group]) -> Box<dyn Membership>;
}

/// One case: its name, and a check that panics when the groups fail it.
pub type Case = (&'static str, fn(&dyn Groups) -> BoxFuture<'_, ()>);

pub const CASES: &[Case] = &[
    ("the only member has all partitions", |groups| only(groups).boxed()),
    ("members share, and none has what another has", |groups| shared(groups).boxed()),
    ("what a member leaves goes to the others", |groups| left(groups).boxed()),
    ("groups are apart", |groups| apart(groups).boxed()),
];

const METERS: Group = Group::Meters;

/// A process that stops working on a partition as soon as it is told to, and says so again
/// and again.
struct Process {
    membership: Box<dyn Membership>,
    group: Group,
    owned: watch::Receiver<Owned>,
    partitions: u32,
    works_on: BTreeSet<PartitionId>,
}

impl Process {
    fn join(groups: &dyn Groups, group: Group) -> Self {
        let (membership, partitions) = (groups.join(&[group]), groups.partitions());
        let owned = membership.owned(group);
        Self { membership, group, owned, partitions, works_on: BTreeSet::new() }
    }

    fn look(&mut self) {
        let now = self.owned.borrow_and_update().as_ref().clone();
        // Of all others, for one may have come and gone before anybody looked.
        for other in (0..self.partitions).map(PartitionId).filter(|it| !now.contains(it)) {
            self.membership.released(self.group, other);
        }
        self.works_on = now;
    }
}

/// Goes on until each process works on as many partitions as `shares` says.
async fn reach(processes: &mut [&mut Process], partitions: u32, shares: &[usize]) {
    loop {
        for process in processes.iter_mut() {
            process.look();
        }
        let mut all = BTreeSet::new();
        for partition in processes.iter().flat_map(|it| &it.works_on) {
            assert!(all.insert(*partition), "two work on partition {partition}");
            assert!(partition.0 < partitions, "there is no partition {partition}");
        }
        let found: Vec<usize> = processes.iter().map(|it| it.works_on.len()).collect();
        if found == shares {
            return;
        }
        let changes = processes.iter_mut().map(|it| it.owned.changed().boxed());
        if let (Err(_), ..) = select_all(changes).await {
            panic!("a member says nothing more");
        }
    }
}

async fn only(groups: &dyn Groups) {
    let partitions = groups.partitions();
    let mut process = Process::join(groups, METERS);
    reach(&mut [&mut process], partitions, &[partitions as usize]).await;
}

async fn shared(groups: &dyn Groups) {
    let partitions = groups.partitions();
    let half = partitions as usize / 2;
    let mut first = Process::join(groups, METERS);
    reach(&mut [&mut first], partitions, &[partitions as usize]).await;
    let mut second = Process::join(groups, METERS);
    let shares = [partitions as usize - half, half];
    reach(&mut [&mut first, &mut second], partitions, &shares).await;
}

async fn left(groups: &dyn Groups) {
    let partitions = groups.partitions();
    let half = partitions as usize / 2;
    let mut first = Process::join(groups, METERS);
    let mut second = Process::join(groups, METERS);
    let both = [partitions as usize - half, half];
    reach(&mut [&mut first, &mut second], partitions, &both).await;
    drop(first);
    reach(&mut [&mut second], partitions, &[partitions as usize]).await;
}

async fn apart(groups: &dyn Groups) {
    let partitions = groups.partitions();
    let mut meters = Process::join(groups, METERS);
    let mut sealers = Process::join(groups, Group::Sealers);
    reach(&mut [&mut meters], partitions, &[partitions as usize]).await;
    reach(&mut [&mut sealers], partitions, &[partitions as usize]).await;
    let elsewhere = meters.membership.owned(Group::Sealers);
    assert!(elsewhere.borrow().is_empty(), "it has not joined this group");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryGroups;

    impl Groups for MemoryGroups {
        fn partitions(&self) -> u32 {
            5
        }

        fn join(&self, groups: &[Group]) -> Box<dyn Membership> {
            Box::new(self.join(groups.to_vec()))
        }
    }

    // REQ: KER-07
    #[tokio::test]
    async fn groups_in_memory_conform() {
        for (name, case) in CASES {
            println!("{name}");
            case(&MemoryGroups::new(5)).await;
        }
    }
}
