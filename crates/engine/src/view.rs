//! Views: which generation of each is read, how far it has folded, and how a
//! query waits for what it must see.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use exchequer_codec::Entry;
use exchequer_kernel::Projection;
use exchequer_readstore::{Key, RowSet, Table};
use exchequer_types::{Offset, PartitionId, Timestamp};
use futures::future::{Either, select};
use tokio::sync::watch;

use crate::sharing::Share;
use crate::{Ports, Tail, Token};

/// A projection as the runtime holds it.
pub trait View: Send + Sync + core::fmt::Debug {
    fn name(&self) -> &'static str;
    fn version(&self) -> u32;
    fn tables(&self) -> &'static [&'static Table];
    fn reads(&self, entry: &Entry, rows: &RowSet) -> Vec<(&'static Table, Key)>;
    fn fold(&self, entry: &Entry, rows: &mut RowSet);
}

/// A projection with its tables.
#[derive(Debug)]
pub struct ViewOf<P> {
    pub projection: P,
    pub tables: &'static [&'static Table],
}

impl<P> View for ViewOf<P>
where
    P: Projection<Entry = Entry, Rows = RowSet, Key = (&'static Table, Key)>
        + Send
        + Sync
        + core::fmt::Debug,
{
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn version(&self) -> u32 {
        P::VERSION
    }

    fn tables(&self) -> &'static [&'static Table] {
        self.tables
    }

    fn reads(&self, entry: &Entry, rows: &RowSet) -> Vec<(&'static Table, Key)> {
        self.projection.reads(entry, rows)
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        self.projection.fold(entry, rows);
    }
}

/// How far one generation of a view has folded each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progressed {
    /// Has it been read where this generation stands?
    pub known: bool,
    /// Next offset, by partition.
    pub offsets: Vec<Offset>,
    /// Time of the last commit folded, by partition.
    pub folded_at: Vec<Timestamp>,
}

impl Progressed {
    /// Has it come as far as `other` in every partition?
    pub(crate) fn is_at_least(&self, other: &Self) -> bool {
        self.offsets.iter().zip(&other.offsets).all(|(own, other)| own >= other)
    }
}

/// One generation of a view.
#[derive(Debug)]
pub struct Generation {
    pub number: u64,
    /// The version of the fold that makes it. This process only follows what another version
    /// makes.
    pub(crate) fold: u64,
    progress: watch::Sender<Progressed>,
}

impl Generation {
    pub(crate) fn new((number, fold): (u64, u64), partitions: u32) -> Self {
        let partitions = partitions as usize;
        let start = Progressed {
            known: false,
            offsets: vec![0; partitions],
            folded_at: vec![Timestamp::MIN; partitions],
        };
        Self { number, fold, progress: watch::Sender::new(start) }
    }

    pub(crate) fn progressed(&self, progress: Progressed) {
        self.progress.send_replace(progress);
    }

    pub fn progress(&self) -> Progressed {
        self.progress.borrow().clone()
    }
}

/// A view as it is served.
#[derive(Debug)]
pub struct ViewHandle {
    pub view: Arc<dyn View>,
    /// Which partitions of it are folded here.
    pub(crate) share: Share,
    /// The one that is read.
    active: watch::Sender<Arc<Generation>>,
    /// The one that is built beside it.
    building: Mutex<Option<Arc<Generation>>>,
    /// Highest generation ever begun.
    latest: Mutex<u64>,
    /// How many wait for it to progress.
    waiting: watch::Sender<usize>,
}

/// One that waits, for as long as it does.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn among(all: &'a watch::Sender<usize>) -> Self {
        all.send_modify(|all| *all += 1);
        Self(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|all| *all -= 1);
    }
}

/// How far a view is behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewLag {
    pub view: &'static str,
    pub generation: u64,
    /// 0 when none is.
    pub building: u64,
    pub events: u64,
    pub seconds: f64,
}

/// A view has not come as far as a query must see, within its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the view {view} has not seen this write yet: retry")]
pub struct Behind {
    pub view: &'static str,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ViewHandle {
    pub(crate) fn new(
        view: Arc<dyn View>,
        share: Share,
        active: Arc<Generation>,
        latest: u64,
    ) -> Self {
        Self {
            view,
            share,
            active: watch::Sender::new(active),
            building: Mutex::new(None),
            latest: Mutex::new(latest),
            waiting: watch::Sender::new(0),
        }
    }

    /// The generation that is read.
    pub fn active(&self) -> Arc<Generation> {
        Arc::clone(&self.active.borrow())
    }

    pub fn building(&self) -> Option<Arc<Generation>> {
        lock(&self.building).clone()
    }

    /// Begins a generation, unless one is being built.
    pub(crate) fn begin(&self, partitions: u32) -> Result<Arc<Generation>, u64> {
        let mut building = lock(&self.building);
        if let Some(building) = &*building {
            return Err(building.number);
        }
        let mut latest = lock(&self.latest);
        *latest += 1;
        let of = (*latest, u64::from(self.view.version()));
        let generation = Arc::new(Generation::new(of, partitions));
        *building = Some(Arc::clone(&generation));
        Ok(generation)
    }

    /// Goes on with a generation that was begun before a restart.
    pub(crate) fn resume(&self, generation: Arc<Generation>) {
        *lock(&self.building) = Some(generation);
    }

    /// Generation `number` is some process's.
    pub(crate) fn knows_of(&self, number: u64) {
        let mut latest = lock(&self.latest);
        *latest = number.max(*latest);
    }

    /// The latest generation that this process knows of: in use, being built here, or being
    /// built by a program with another fold.
    pub fn latest(&self) -> u64 {
        *lock(&self.latest)
    }

    /// Readers go over to `generation`.
    pub(crate) fn swap(&self, generation: Arc<Generation>) {
        *lock(&self.building) = None;
        self.active.send_replace(generation);
    }

    /// Is `generation` neither read nor built any more?
    pub(crate) fn is_retired(&self, generation: &Generation) -> bool {
        let number = generation.number;
        self.active().number != number
            && self.building().is_none_or(|building| building.number != number)
    }

    /// Resolves when the generation that is read changes.
    pub(crate) fn swaps(&self) -> watch::Receiver<Arc<Generation>> {
        self.active.subscribe()
    }

    /// Resolves when the generation that is read has progressed beyond `seen`.
    pub async fn progressed(&self, seen: &Progressed) {
        let _waiting = Waiting::among(&self.waiting);
        let mut swaps = self.active.subscribe();
        let generation = Arc::clone(&swaps.borrow_and_update());
        let mut progress = generation.progress.subscribe();
        let moved = progress.wait_for(|progress| progress != seen);
        let swapped = swaps.changed();
        select(core::pin::pin!(moved), core::pin::pin!(swapped)).await;
    }

    /// Whether anybody waits for progress, now and from then on.
    pub(crate) fn waited_for(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Waits until everything that `token` names is folded; gives the generation to read.
    pub async fn at_least(
        &self,
        ports: &Ports,
        token: &Token,
        patience: Duration,
    ) -> Result<u64, Behind> {
        let deadline = ports.runtime.sleep(patience);
        match select(core::pin::pin!(self.reached(token)), deadline).await {
            Either::Left((generation, _)) => Ok(generation),
            Either::Right(_) => Err(Behind { view: self.view.name() }),
        }
    }

    /// The same, however long it takes.
    async fn reached(&self, token: &Token) -> u64 {
        loop {
            let generation = self.active();
            let progress = generation.progress();
            let seen = token.0.iter().all(|(partition, offset)| {
                progress.offsets.get(partition.index()).is_some_and(|folded| folded >= offset)
            });
            if seen {
                return generation.number;
            }
            self.progressed(&progress).await;
        }
    }

    /// Waits until everything of `partition` below `offset` is folded, for as long as
    /// it takes, and it is known what is.
    pub(crate) async fn passed(&self, partition: PartitionId, offset: Offset) -> Arc<Generation> {
        loop {
            let generation = self.active();
            let progress = generation.progress();
            if progress.known && progress.offsets[partition.index()] >= offset {
                return generation;
            }
            self.progressed(&progress).await;
        }
    }

    /// How far the generation that is read is behind `tail`.
    pub fn lag(&self, tail: &Tail, now: Timestamp) -> ViewLag {
        let generation = self.active();
        let progress = generation.progress();
        let mut lag = ViewLag {
            view: self.view.name(),
            generation: generation.number,
            building: self.building().map_or(0, |building| building.number),
            events: 0,
            seconds: 0.0,
        };
        for (index, (offset, at)) in progress.offsets.iter().zip(&progress.folded_at).enumerate() {
            let behind = tail.offset(PartitionId(index as u32)).saturating_sub(*offset);
            lag.events += behind;
            if behind > 0 && *at > Timestamp::MIN {
                lag.seconds = lag.seconds.max(now.since(*at).as_secs_f64());
            }
        }
        lag
    }
}

/// All views of the process, by name.
#[derive(Clone, Debug, Default)]
pub struct Views {
    by_name: Arc<BTreeMap<&'static str, Arc<ViewHandle>>>,
}

impl Views {
    pub(crate) fn new(handles: Vec<Arc<ViewHandle>>) -> Self {
        let by_name = handles.into_iter().map(|handle| (handle.view.name(), handle)).collect();
        Self { by_name: Arc::new(by_name) }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<ViewHandle>> {
        self.by_name.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<ViewHandle>> {
        self.by_name.values()
    }
}
