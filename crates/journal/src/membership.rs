//! Port of group membership: which partitions this process is to work on, among the
//! processes that share them. It only suggests: the claim in a log decides who writes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use exchequer_types::{Offset, PartitionId};
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::Fault;

/// Work that processes share by partition, each kind for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Those that decide commands.
    Deciders,
    /// Those that meter usage.
    Meters,
    /// Those that fold views, and wake what is due.
    Projectors,
    /// Those that run processes.
    Consumers,
    /// Those that publish what others read.
    Sealers,
}

/// Partitions of a group that are one process's.
pub type Owned = Arc<BTreeSet<PartitionId>>;

impl Group {
    pub const ALL: [Self; 5] =
        [Self::Deciders, Self::Meters, Self::Projectors, Self::Consumers, Self::Sealers];

    /// As settings, metrics and the broker name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deciders => "deciders",
            Self::Meters => "meters",
            Self::Projectors => "projectors",
            Self::Consumers => "consumers",
            Self::Sealers => "sealers",
        }
    }

    pub const fn index(self) -> usize {
        match self {
            Self::Deciders => 0,
            Self::Meters => 1,
            Self::Projectors => 2,
            Self::Consumers => 3,
            Self::Sealers => 4,
        }
    }
}

/// A process that is a member of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupMember {
    pub group: Group,
    /// What the process is called.
    pub process: String,
    /// Those that are its own.
    pub partitions: BTreeSet<PartitionId>,
}

/// Who works on what, as far as anybody can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// By group and name.
    pub found: Vec<GroupMember>,
    /// What is not known, and why; empty when all is. What is found of it is older.
    pub unknown: String,
}

/// How a process learns which partitions are its own.
pub trait Membership: Send + Sync + core::fmt::Debug {
    /// The partitions of `group` that are this process's, as the last heartbeat confirmed.
    /// One that is to be given up is taken out first, and goes to another process when
    /// this one has [`released`](Self::released) it, or after a bound. A receiver whose
    /// sender is gone keeps what it saw last: the process is about to end.
    fn owned(&self, group: Group) -> watch::Receiver<Owned>;

    /// This process does nothing on `partition` any more, which is no longer its own. Said
    /// again, or of one that it never had, it means nothing.
    fn released(&self, group: Group, partition: PartitionId);

    /// Is `partition` still this process's? Asked of whoever gives partitions out, before a
    /// writer claims: a process that was paused for long may have heard of nothing yet. `low`
    /// is left there for tools that show how far a group is.
    fn confirm(
        &self,
        group: Group,
        partition: PartitionId,
        _low: Offset,
    ) -> BoxFuture<'_, Result<bool, Fault>> {
        let is_own = self.owned(group).borrow().contains(&partition);
        Box::pin(core::future::ready(Ok(is_own)))
    }

    /// Every process of the deployment and what it works on, for people: by the time it is
    /// read, partitions may have gone elsewhere. Nothing where there is nobody to ask.
    fn members(&self) -> BoxFuture<'_, Members> {
        Box::pin(core::future::ready(Members::default()))
    }
}

/// The only process: every partition is its own.
#[derive(Debug)]
pub struct Alone {
    owned: watch::Sender<Owned>,
}

impl Alone {
    pub fn new(partitions: u32) -> Self {
        let owned = (0..partitions).map(PartitionId).collect();
        Self { owned: watch::Sender::new(Arc::new(owned)) }
    }
}

impl Membership for Alone {
    fn owned(&self, _group: Group) -> watch::Receiver<Owned> {
        self.owned.subscribe()
    }

    fn released(&self, _group: Group, _partition: PartitionId) {}
}

/// Groups in memory whose members share partitions evenly. Cloning shares them.
#[derive(Clone, Debug)]
pub struct MemoryGroups {
    partitions: u32,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    members: Vec<Arc<Member>>,
    /// By group: who has a partition, or has still to release it.
    held: [Vec<Option<u64>>; Group::ALL.len()],
    next: u64,
}

#[derive(Debug)]
struct Member {
    number: u64,
    groups: BTreeSet<Group>,
    owned: [watch::Sender<Owned>; Group::ALL.len()],
}

/// One process's part in [`MemoryGroups`]; dropped, it has left.
#[derive(Debug)]
pub struct MemoryMember {
    groups: MemoryGroups,
    member: Arc<Member>,
}

impl MemoryGroups {
    pub fn new(partitions: u32) -> Self {
        let held = core::array::from_fn(|_| vec![None; partitions as usize]);
        let shared = Shared { held, ..Shared::default() };
        Self { partitions, shared: Arc::new(Mutex::new(shared)) }
    }

    /// Another process, which works on `groups`.
    pub fn join(&self, groups: impl IntoIterator<Item = Group>) -> MemoryMember {
        let mut shared = self.lock();
        shared.next += 1;
        let owned = core::array::from_fn(|_| watch::Sender::new(Owned::default()));
        let groups_of_member = groups.into_iter().collect();
        let member = Arc::new(Member { number: shared.next, groups: groups_of_member, owned });
        shared.members.push(Arc::clone(&member));
        shared.share(self.partitions);
        drop(shared);
        MemoryMember { groups: self.clone(), member }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Tells every member what is its own by now. What another has still to release is
    /// nobody's until then.
    fn share(&mut self, partitions: u32) {
        for group in Group::ALL {
            let of_group = |member: &&Arc<Member>| member.groups.contains(&group);
            let members: Vec<_> = self.members.iter().filter(of_group).cloned().collect();
            let held = &mut self.held[group.index()];
            let mut owned = vec![BTreeSet::new(); members.len()];
            for partition in (0..partitions).map(PartitionId) {
                let Some(at) = partition.index().checked_rem(members.len()) else { break };
                let holder = &mut held[partition.index()];
                if holder.is_none_or(|number| number == members[at].number) {
                    *holder = Some(members[at].number);
                    owned[at].insert(partition);
                }
            }
            for (member, owned) in members.iter().zip(owned) {
                member.owned[group.index()].send_if_modified(|it| {
                    let is_other = **it != owned;
                    *it = Arc::new(owned);
                    is_other
                });
            }
        }
    }
}

impl Membership for MemoryMember {
    fn owned(&self, group: Group) -> watch::Receiver<Owned> {
        self.member.owned[group.index()].subscribe()
    }

    fn released(&self, group: Group, partition: PartitionId) {
        let mut shared = self.groups.lock();
        if self.member.owned[group.index()].borrow().contains(&partition) {
            return;
        }
        let holder = &mut shared.held[group.index()][partition.index()];
        if *holder == Some(self.member.number) {
            *holder = None;
            shared.share(self.groups.partitions);
        }
    }
}

impl Drop for MemoryMember {
    fn drop(&mut self) {
        let mut shared = self.groups.lock();
        let number = self.member.number;
        shared.members.retain(|member| member.number != number);
        for holder in shared.held.iter_mut().flatten().filter(|it| **it == Some(number)) {
            *holder = None;
        }
        shared.share(self.groups.partitions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(member: &MemoryMember, group: Group) -> Vec<u32> {
        member.owned(group).borrow().iter().map(|it| it.0).collect()
    }

    // REQ: KER-07
    #[test]
    fn a_partition_goes_to_another_only_when_it_is_released() {
        let groups = MemoryGroups::new(4);
        let first = groups.join([Group::Deciders]);
        assert_eq!(owned(&first, Group::Deciders), [0, 1, 2, 3]);
        let second = groups.join([Group::Deciders, Group::Meters]);
        assert_eq!(owned(&first, Group::Deciders), [0, 2]);
        assert_eq!(owned(&second, Group::Deciders), [] as [u32; 0], "not released yet");
        assert_eq!(owned(&second, Group::Meters), [0, 1, 2, 3]);
        first.released(Group::Deciders, PartitionId(2));
        first.released(Group::Deciders, PartitionId(3));
        second.released(Group::Deciders, PartitionId(1));
        assert_eq!(owned(&second, Group::Deciders), [3]);
        drop(first);
        assert_eq!(owned(&second, Group::Deciders), [0, 1, 2, 3]);
    }

    // REQ: KER-07
    #[test]
    fn the_only_process_has_all() {
        let alone = Alone::new(3);
        for group in Group::ALL {
            assert_eq!(alone.owned(group).borrow().len(), 3);
            alone.released(group, PartitionId(0));
        }
        assert_eq!(alone.owned(Group::Meters).borrow().len(), 3);
    }
}
