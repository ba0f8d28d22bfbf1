//! One kind of live snapshots: folded by the tail before callers are answered,
//! loaded from its view when it is not in memory.
//!
//! A load notes where the fold stands, and from then on keeps what comes for its
//! key. It waits until the view holds everything up to that place, reads the rows,
//! and folds the rest onto them. Where the rows cannot say what of the rest they
//! hold already, it takes them only if nothing came: by then the fold has passed
//! whatever the view can have seen.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use exchequer_codec::Entry;
use exchequer_kernel::Live;
use exchequer_readstore::{LoadLive, Loaded};
use exchequer_runtime::{Counter, Metric};
use exchequer_types::{Offset, PartitionId};
use futures::future::{Either, select};
use tokio::sync::watch;
use tracing::{error, warn};

use super::cache::{Cache, Entered, Folded, Settled, fold};
use crate::backoff::Backoff;
use crate::tail::{TailItem, TailListener};
use crate::view::{Behind, ViewHandle};
use crate::{EngineError, Ports, Tail, Token};

const NOT_STARTED: u64 = u64::MAX;

/// What was asked for, and what it has seen.
#[derive(Debug)]
pub struct Seen<S> {
    pub snapshot: Arc<S>,
    pub partition: PartitionId,
    /// Everything of `partition` below it is in the snapshot.
    pub offset: Offset,
}

impl<S> Seen<S> {
    /// For a question that must see as much.
    pub fn token(&self) -> Token {
        Token(vec![(self.partition, self.offset)])
    }
}

/// The snapshots of one kind in this process.
pub struct LiveView<L: Live> {
    live: L,
    ports: Ports,
    tail: Arc<Tail>,
    view: OnceLock<Arc<ViewHandle>>,
    cache: RwLock<Cache<L>>,
    /// Next offset, by partition: what the snapshots in memory hold.
    through: Vec<AtomicU64>,
    /// Grows with each load that ends.
    loads: watch::Sender<u64>,
    hits: Counter,
    misses: Counter,
}

impl<L: Live> core::fmt::Debug for LiveView<L> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LiveView").field("name", &L::NAME).finish_non_exhaustive()
    }
}

impl<L: LoadLive<Entry = Entry> + Send + Sync + 'static> LiveView<L> {
    pub(super) fn new(live: L, ports: &Ports, tail: &Arc<Tail>, bytes_max: usize) -> Self {
        Self {
            live,
            ports: ports.clone(),
            tail: Arc::clone(tail),
            view: OnceLock::new(),
            cache: RwLock::new(Cache::new(bytes_max)),
            through: (0..tail.partitions()).map(|_| AtomicU64::new(NOT_STARTED)).collect(),
            loads: watch::Sender::new(0),
            hits: Metric::LiveHits.counter(&[L::NAME]),
            misses: Metric::LiveMisses.counter(&[L::NAME]),
        }
    }

    /// Loads come from `view` from now on.
    pub(super) fn connect(&self, view: Arc<ViewHandle>) {
        // A second one would be the same view.
        let _ = self.view.set(view);
    }

    pub(super) fn refresh_gauges(&self) {
        let (entries, bytes) = self.size();
        Metric::LiveEntries.gauge(&[L::NAME]).set(entries as f64);
        Metric::LiveBytes.gauge(&[L::NAME]).set(bytes as f64);
    }

    /// Snapshots in memory, and about how many bytes they take.
    pub fn size(&self) -> (usize, usize) {
        self.read().size()
    }

    /// The snapshot of `key`, if it is in memory: not older than the last reply of this
    /// process. For whoever asks on every call.
    pub fn ready(&self, key: &L::Key) -> Option<Arc<L::Snapshot>> {
        let snapshot = Arc::clone(self.read().ready(key)?);
        self.hits.increment(1);
        Some(snapshot)
    }

    /// The snapshot of `key`, not older than what `token` names of its partition.
    /// Waits at most `patience`, and only for such a token or for a load.
    pub async fn get(
        &self,
        key: &L::Key,
        token: &Token,
        patience: Duration,
    ) -> Result<Seen<L::Snapshot>, Behind> {
        let partition = self.tail.partition_of(&self.live.stream(key));
        let wanted = token.offset(partition);
        if let Some(seen) = self.peek(key, partition)
            && seen.offset >= wanted
        {
            self.hits.increment(1);
            return Ok(seen);
        }
        let reached = core::pin::pin!(self.reach(key, partition, wanted));
        match select(reached, self.ports.runtime.sleep(patience)).await {
            Either::Left((seen, _)) => Ok(seen),
            Either::Right(_) => Err(Behind { view: L::NAME }),
        }
    }

    /// Reads rows, and waits until the fold has passed whatever they can hold: after a
    /// restart the view may be ahead of the tail.
    async fn read_rows(
        &self,
        generation: u64,
        key: &L::Key,
        partition: PartitionId,
    ) -> Result<Loaded<L::Snapshot>, EngineError> {
        let loaded = self.live.load(self.ports.store.as_ref(), generation, key).await?;
        let end = self.ports.journal.end(partition).await?;
        self.until_passed(partition, end).await;
        Ok(loaded)
    }

    fn read(&self) -> RwLockReadGuard<'_, Cache<L>> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Cache<L>> {
        self.cache.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn through(&self, partition: PartitionId) -> Offset {
        self.through[partition.index()].load(Ordering::Acquire)
    }

    fn peek(&self, key: &L::Key, partition: PartitionId) -> Option<Seen<L::Snapshot>> {
        let cache = self.read();
        let snapshot = Arc::clone(cache.ready(key)?);
        Some(Seen { snapshot, partition, offset: self.through(partition) })
    }

    async fn reach(
        &self,
        key: &L::Key,
        partition: PartitionId,
        wanted: Offset,
    ) -> Seen<L::Snapshot> {
        self.until_passed(partition, wanted).await;
        let mut loads = self.loads.subscribe();
        loop {
            loads.borrow_and_update();
            let entered = {
                let mut cache = self.write();
                match cache.enter(key) {
                    Entered::Ready(snapshot) => {
                        return Seen { snapshot, partition, offset: self.through(partition) };
                    }
                    Entered::Wait => None,
                    Entered::Load(ticket) => Some((ticket, self.through(partition))),
                }
            };
            match entered {
                Some((ticket, from)) => {
                    self.misses.increment(1);
                    if let Some(seen) = self.load(key, partition, ticket, from).await {
                        return seen;
                    }
                }
                // The sender is ours, so it does not end.
                None => drop(loads.changed().await),
            }
        }
    }

    /// Waits until the snapshots in memory hold everything of `partition` below `next`.
    async fn until_passed(&self, partition: PartitionId, next: Offset) {
        let mut changes = self.tail.changes();
        loop {
            changes.borrow_and_update();
            let through = self.through(partition);
            if through != NOT_STARTED && through >= next {
                return;
            }
            // The sender is our tail's, so it does not end.
            drop(changes.changed().await);
        }
    }

    /// Loads under `ticket`; None when that was given up. The fold stood at `from`
    /// when the ticket was given out.
    async fn load(
        &self,
        key: &L::Key,
        partition: PartitionId,
        ticket: u64,
        mut from: Offset,
    ) -> Option<Seen<L::Snapshot>> {
        let _ended = Ended { view: self, key, ticket };
        let Some(view) = self.view.get() else {
            return core::future::pending().await;
        };
        let mut backoff = Backoff::default();
        loop {
            let generation = view.passed(partition, from).await;
            let loaded = match self.read_rows(generation.number, key, partition).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    warn!(live = L::NAME, ?key, %error, "not loaded");
                    backoff.pause(self.ports.runtime.as_ref()).await;
                    continue;
                }
            };
            // Rows of a generation that is not read any more may be going.
            if view.active().number != generation.number {
                continue;
            }
            let seq = loaded.timestamp.map(|timestamp| timestamp >> 16);
            let (settled, offset) = {
                let mut cache = self.write();
                let settled = cache.settle(&self.live, key, ticket, loaded.snapshot, seq);
                (settled, self.through(partition))
            };
            match settled {
                Ok(Settled::Ready(snapshot)) => return Some(Seen { snapshot, partition, offset }),
                Ok(Settled::Again) => from = offset,
                Ok(Settled::Lost) => return None,
                Err(message) => {
                    error!(live = L::NAME, ?key, message, "not folded");
                    backoff.pause(self.ports.runtime.as_ref()).await;
                    return None;
                }
            }
        }
    }
}

/// Whoever waits for a load is told that it has ended, however it did.
struct Ended<'a, L: LoadLive<Entry = Entry> + Send + Sync + 'static> {
    view: &'a LiveView<L>,
    key: &'a L::Key,
    ticket: u64,
}

impl<L: LoadLive<Entry = Entry> + Send + Sync + 'static> Drop for Ended<'_, L> {
    fn drop(&mut self) {
        self.view.write().give_up(self.key, self.ticket);
        self.view.loads.send_modify(|loads| *loads += 1);
    }
}

impl<L: LoadLive<Entry = Entry> + Send + Sync + 'static> TailListener for LiveView<L> {
    fn accepted(&self, item: &TailItem) {
        let entry = &item.entry;
        let keys = self.live.keys(entry);
        if keys.is_empty() {
            return;
        }
        // Folded beside those who read; what changed meanwhile is folded in `accept`.
        let bases: Vec<_> = {
            let cache = self.read();
            keys.into_iter().map(|key| (cache.ready_untouched(&key), key)).collect()
        };
        let folded = bases.into_iter().map(|(base, key)| {
            let after = base.as_ref().map(|base| fold(&self.live, &key, base, entry));
            Folded { key, base, after }
        });
        let folded: Vec<Folded<L>> = folded.collect();
        let failures = {
            let mut cache = self.write();
            let failures = cache.accept(&self.live, item, folded);
            self.through[entry.partition.index()].store(item.head.offset, Ordering::Release);
            failures
        };
        for message in failures {
            let (partition, offset) = (entry.partition.0, entry.offset);
            error!(live = L::NAME, partition, offset, message, "not folded");
        }
    }

    fn passed(&self, partition: PartitionId, next: Offset) {
        self.through[partition.index()].store(next, Ordering::Release);
    }

    fn started(&self, partition: PartitionId, next: Offset) {
        self.through[partition.index()].store(next, Ordering::Release);
    }
}
