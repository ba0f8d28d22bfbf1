//! Snapshots in memory: which are there, which are being loaded and what came for
//! them meanwhile, and which go when there are too many. No waiting here: every
//! call is one step under the view's lock.

use core::panic::AssertUnwindSafe;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use exchequer_codec::Entry;
use exchequer_kernel::Live;
use exchequer_kernel::mutation::{self, Mutation};

use crate::tail::TailItem;

/// What each snapshot takes beside its own weight.
const SLOT_BYTES: usize = 256;
/// Commits kept for a snapshot that is being loaded; beyond it is loaded again.
const COLLECTED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Snapshots loaded at once; others wait for one of them.
const LOADS_MAX: usize = 1_024;

pub(super) struct Cache<L: Live> {
    slots: HashMap<L::Key, Slot<L::Snapshot>>,
    /// Keys of the snapshots that are there, in the order in which they may go.
    turns: VecDeque<L::Key>,
    loads: usize,
    /// Of the snapshots that are there.
    bytes: usize,
    bytes_max: usize,
    tickets: u64,
}

enum Slot<S> {
    Ready(Ready<S>),
    Loading(Loading),
}

struct Ready<S> {
    snapshot: Arc<S>,
    weight: usize,
    /// Asked for since its last turn to go.
    recent: AtomicBool,
}

struct Loading {
    ticket: u64,
    collected: Vec<Entry>,
    bytes: usize,
}

impl Loading {
    fn new(ticket: u64) -> Self {
        Self { ticket, collected: Vec::new(), bytes: 0 }
    }
}

/// A caller without a snapshot.
pub(super) enum Entered<S> {
    Ready(Arc<S>),
    /// Somebody else loads it, or too many are being loaded.
    Wait,
    /// The caller loads it, under this ticket.
    Load(u64),
}

/// A loaded snapshot that was brought in.
pub(super) enum Settled<S> {
    Ready(Arc<S>),
    /// Something came that the rows may hold or not: read them again.
    Again,
    /// The load was given up meanwhile: ask again.
    Lost,
}

impl<L: Live<Entry = Entry>> Cache<L> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            slots: HashMap::new(),
            turns: VecDeque::new(),
            loads: 0,
            bytes: 0,
            bytes_max,
            tickets: 0,
        }
    }

    /// Snapshots that are there, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.turns.len(), self.bytes)
    }

    /// The snapshot, if it is there.
    pub(super) fn ready(&self, key: &L::Key) -> Option<&Arc<L::Snapshot>> {
        match self.slots.get(key)? {
            Slot::Ready(ready) => {
                if !ready.recent.load(Ordering::Relaxed) {
                    ready.recent.store(true, Ordering::Relaxed);
                }
                Some(&ready.snapshot)
            }
            Slot::Loading(_) => None,
        }
    }

    /// The same, not as one who asks.
    pub(super) fn ready_untouched(&self, key: &L::Key) -> Option<Arc<L::Snapshot>> {
        match self.slots.get(key)? {
            Slot::Ready(ready) => Some(Arc::clone(&ready.snapshot)),
            Slot::Loading(_) => None,
        }
    }

    /// What there is of `key`; when nothing is, the caller loads it.
    pub(super) fn enter(&mut self, key: &L::Key) -> Entered<L::Snapshot> {
        match self.slots.get(key) {
            Some(Slot::Ready(ready)) => return Entered::Ready(Arc::clone(&ready.snapshot)),
            Some(Slot::Loading(_)) => return Entered::Wait,
            None if self.loads >= LOADS_MAX => return Entered::Wait,
            None => {}
        }
        self.tickets += 1;
        self.loads += 1;
        self.slots.insert(key.clone(), Slot::Loading(Loading::new(self.tickets)));
        Entered::Load(self.tickets)
    }

    /// The load under `ticket` ended without a snapshot.
    pub(super) fn give_up(&mut self, key: &L::Key, ticket: u64) {
        if let Some(Slot::Loading(loading)) = self.slots.get(key)
            && loading.ticket == ticket
        {
            self.slots.remove(key);
            self.loads -= 1;
        }
    }

    /// What was read under `ticket`, with the rest folded onto it. `seq` is that of
    /// the last commit in it, when the rows say so; else nothing may have come.
    pub(super) fn settle(
        &mut self,
        live: &L,
        key: &L::Key,
        ticket: u64,
        snapshot: L::Snapshot,
        seq: Option<u64>,
    ) -> Result<Settled<L::Snapshot>, String> {
        let loading = match self.slots.get_mut(key) {
            Some(Slot::Loading(loading)) if loading.ticket == ticket => loading,
            _ => return Ok(Settled::Lost),
        };
        let in_doubt = seq.is_none() && !loading.collected.is_empty();
        if in_doubt || loading.bytes > COLLECTED_BYTES_MAX {
            *loading = Loading::new(ticket);
            return Ok(Settled::Again);
        }
        let mut snapshot = snapshot;
        for entry in core::mem::take(&mut loading.collected) {
            if seq.is_none_or(|seq| entry.commit.seq > seq) {
                snapshot = fold(live, key, &snapshot, &entry)?;
            }
        }
        let snapshot = Arc::new(snapshot);
        self.loads -= 1;
        self.put(live, key, Arc::clone(&snapshot));
        Ok(Settled::Ready(snapshot))
    }

    /// Takes over what `item` changes: `folded` are the snapshots after it, each
    /// with what it was folded onto. Errors are of snapshots that are dropped.
    pub(super) fn accept(
        &mut self,
        live: &L,
        item: &TailItem,
        folded: Vec<Folded<L>>,
    ) -> Vec<String> {
        let mut failures = Vec::new();
        for Folded { key, base, after } in folded {
            let after = match self.slots.get_mut(&key) {
                None => continue,
                Some(Slot::Loading(loading)) => {
                    loading.bytes += item.bytes;
                    if loading.bytes > COLLECTED_BYTES_MAX {
                        loading.collected.clear();
                    } else if !mutation::active(Mutation::LiveLoad) {
                        loading.collected.push(item.entry.clone());
                    }
                    continue;
                }
                Some(Slot::Ready(ready)) => match base {
                    Some(base) if Arc::ptr_eq(&base, &ready.snapshot) => after,
                    // It was loaded between the fold and now.
                    _ => Some(fold(live, &key, &ready.snapshot, &item.entry)),
                },
            };
            match after {
                Some(Ok(snapshot)) => self.put(live, &key, Arc::new(snapshot)),
                Some(Err(message)) => {
                    failures.push(message);
                    self.drop_ready(&key);
                }
                None => self.drop_ready(&key),
            }
        }
        failures
    }

    fn put(&mut self, live: &L, key: &L::Key, snapshot: Arc<L::Snapshot>) {
        let weight = SLOT_BYTES + live.weight(&snapshot);
        let ready = Ready { snapshot, weight, recent: AtomicBool::new(true) };
        if let Some(Slot::Ready(old)) = self.slots.get_mut(key) {
            self.bytes -= old.weight;
            let recent = core::mem::replace(old, ready).recent;
            old.recent = recent;
        } else {
            self.slots.insert(key.clone(), Slot::Ready(ready));
            self.turns.push_back(key.clone());
        }
        self.bytes += weight;
        self.shrink();
    }

    fn drop_ready(&mut self, key: &L::Key) {
        if let Some(Slot::Ready(ready)) = self.slots.remove(key) {
            self.bytes -= ready.weight;
            self.turns.retain(|it| it != key);
        }
    }

    /// Those go first that were not asked for since their last turn; one stays.
    fn shrink(&mut self) {
        while self.bytes > self.bytes_max && self.turns.len() > 1 {
            let Some(key) = self.turns.pop_front() else { return };
            match self.slots.get(&key) {
                Some(Slot::Ready(ready)) if ready.recent.swap(false, Ordering::Relaxed) => {
                    self.turns.push_back(key);
                }
                Some(Slot::Ready(ready)) => {
                    self.bytes -= ready.weight;
                    self.slots.remove(&key);
                }
                _ => {}
            }
        }
    }
}

/// One key that a commit changes.
pub(super) struct Folded<L: Live> {
    pub(super) key: L::Key,
    /// What was there; None when nothing was.
    pub(super) base: Option<Arc<L::Snapshot>>,
    /// None when there was nothing, or when it cannot be told.
    pub(super) after: Option<Result<L::Snapshot, String>>,
}

/// The snapshot after `entry`. A fold that panics costs its snapshot, not the writer
/// on whose path it runs.
pub(super) fn fold<L: Live<Entry = Entry>>(
    live: &L,
    key: &L::Key,
    snapshot: &L::Snapshot,
    entry: &Entry,
) -> Result<L::Snapshot, String> {
    let folded = AssertUnwindSafe(|| live.fold(key, snapshot, entry));
    std::panic::catch_unwind(folded).unwrap_or_else(|_| Err("the fold panicked".to_owned()))
}
