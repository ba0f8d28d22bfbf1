//! The end of the journal, folded once for everyone in the process: deciders
//! feed it what they fold, or it reads by itself where no decider is. Readers
//! that keep up share the decoded commits; one that is behind reads the journal
//! with the same fold.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use exchequer_codec::{Entry, UnopenedReason, WAKE, decode_record};
use exchequer_journal::{Fault, FaultKind, Journal};
use exchequer_kernel::{Head, Verdict, fold};
use exchequer_proto::journal::v1 as pb;
use exchequer_runtime::{Metric, TaskError};
use exchequer_types::{Hash, Identity, Offset, PartitionId, StreamId, partition_of};
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::decider::resume;
use crate::spans::{TracedInput, traced_inputs};
use crate::{EngineError, Ports};

/// Which waiting callers an input belongs to: its command's identity and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputKey {
    pub identity: Identity,
    pub body_digest: [u8; 8],
}

/// An input that is a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputId {
    pub key: InputKey,
    /// Does an outcome that takes the identity take this one's?
    pub is_kept: bool,
}

/// An accepted commit, and the reader's place behind it.
#[derive(Clone, Debug)]
pub struct TailItem {
    pub entry: Entry,
    pub head: Head,
    /// By input; None for an input that is no command.
    pub keys: Arc<[Option<InputId>]>,
    /// Size of the record.
    pub bytes: usize,
    /// What of it is traced; None when nothing is, or when it was read again.
    pub traced: Option<Arc<[TracedInput]>>,
}

/// Told of each accepted commit, in order, and when a partition can't decide.
/// Listeners are called one after the other, in the order in which they were added.
pub trait TailListener: Send + Sync + core::fmt::Debug {
    fn accepted(&self, item: &TailItem);
    /// Everything below `next` is folded, and what was accepted of it is told.
    fn passed(&self, _partition: PartitionId, _next: Offset) {}
    /// The fold begins at `next`; nothing below it is told.
    fn started(&self, _partition: PartitionId, _next: Offset) {}
    fn unavailable(&self, _partition: PartitionId, _fault: &Fault) {}
}

/// What the fold has seen of a partition.
#[derive(Clone, Debug, Default)]
pub struct PartitionState {
    pub head: Head,
    pub ignored: u64,
    pub breaks: u64,
    /// Is a writer in this process deciding?
    pub leading: bool,
    /// Is the partition this process's own, to be decided?
    pub own: bool,
    /// Where the journal ended when one first was, or when it was first followed to its end.
    pub led_from: Option<Offset>,
    /// Why none can, at the moment.
    pub fault: Option<Fault>,
}

impl PartitionState {
    /// Is it decided by another process, and known here to the end it had at the start?
    pub fn is_followed(&self) -> bool {
        !self.own && self.led_from.is_some()
    }
}

/// The shared end of the journal.
#[derive(Debug)]
pub struct Tail {
    ports: Ports,
    partitions: Vec<Mutex<Partition>>,
    /// Each partition's next offset, for readers that only ask whether there is news.
    offsets: Vec<AtomicU64>,
    listeners: RwLock<Vec<Arc<dyn TailListener>>>,
    /// Grows with everything that is folded.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Partition {
    /// Is it known from where on the partition is folded here?
    started: bool,
    /// Of a partition that was begun to be followed: where it ended then.
    ends_at: Option<Offset>,
    state: PartitionState,
    ring: VecDeque<TailItem>,
    ring_bytes: usize,
    /// Every accepted commit from this offset on is in the ring.
    ring_from: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tail {
    pub fn new(ports: Ports) -> Self {
        let count = ports.journal.partitions();
        Self {
            ports,
            partitions: (0..count).map(|_| Mutex::default()).collect(),
            offsets: (0..count).map(|_| AtomicU64::new(0)).collect(),
            listeners: RwLock::default(),
            changes: watch::Sender::new(0),
        }
    }

    pub fn partitions(&self) -> u32 {
        self.partitions.len() as u32
    }

    /// Where `stream` is decided.
    pub fn partition_of(&self, stream: &StreamId) -> PartitionId {
        match stream {
            StreamId::Tenant(id) => partition_of(id.as_str().as_bytes(), self.partitions()),
            StreamId::Partition(own) => *own,
        }
    }

    /// Adds a listener, before anything is folded.
    pub fn listen(&self, listener: Arc<dyn TailListener>) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.push(listener);
    }

    /// Adds a listener that is told before all others, whoever came earlier.
    pub(crate) fn listen_first(&self, listener: Arc<dyn TailListener>) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.insert(0, listener);
    }

    /// Partitions tell them side by side.
    fn listeners(&self) -> RwLockReadGuard<'_, Vec<Arc<dyn TailListener>>> {
        self.listeners.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes with each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The next offset of `partition`, as folded here.
    pub fn offset(&self, partition: PartitionId) -> u64 {
        self.offsets[partition.index()].load(Ordering::Acquire)
    }

    pub fn state(&self, partition: PartitionId) -> PartitionState {
        lock(&self.partitions[partition.index()]).state.clone()
    }

    /// Where `partition` ended when it was first decided here.
    pub(crate) fn led_from(&self, partition: PartitionId) -> Option<Offset> {
        lock(&self.partitions[partition.index()]).state.led_from
    }

    /// Why no writer here can decide `partition`, at the moment.
    pub fn fault(&self, partition: PartitionId) -> Option<Fault> {
        lock(&self.partitions[partition.index()]).state.fault.clone()
    }

    /// Brings the tail to `head` at least. The first call begins there, and what
    /// lies below is never told; later, what lies between is read, since there may
    /// be waiting callers whose outcomes it holds.
    pub async fn reach(&self, partition: PartitionId, head: &Head) -> Result<(), EngineError> {
        if self.begin(partition, head) {
            return Ok(());
        }
        let mut own = self.state(partition).head;
        while own.offset < head.offset {
            let read = self.ports.settings.read_bytes_max;
            for record in self.ports.journal.read(partition, own.offset, read).await? {
                if record.offset >= head.offset {
                    break;
                }
                let (verdict, item) = fold_record(partition, &mut own, &record.bytes);
                self.advance(partition, verdict, &own, item);
            }
        }
        Ok(())
    }

    /// Begins at `head`, unless the tail has begun.
    fn begin(&self, partition: PartitionId, head: &Head) -> bool {
        {
            let mut it = lock(&self.partitions[partition.index()]);
            if it.started {
                return false;
            }
            it.started = true;
            it.ring_from = head.offset;
            it.state.head = head.clone();
            self.offsets[partition.index()].store(head.offset, Ordering::Release);
        }
        for listener in self.listeners().iter() {
            listener.started(partition, head.offset);
        }
        self.changes.send_modify(|changes| *changes += 1);
        true
    }

    /// Takes over a record that was just folded. `head` is the place behind it.
    /// What is not news is passed over.
    pub fn advance(
        &self,
        partition: PartitionId,
        verdict: Verdict,
        head: &Head,
        item: Option<TailItem>,
    ) {
        {
            let mut it = lock(&self.partitions[partition.index()]);
            if head.offset <= it.state.head.offset {
                return;
            }
            debug_assert_eq!(head.offset, it.state.head.offset + 1);
            it.state.head = head.clone();
            self.offsets[partition.index()].store(head.offset, Ordering::Release);
            count(&mut it.state, partition, verdict);
            if let Some(item) = &item {
                it.push(item.clone(), self.ports.settings.tail_bytes_max);
            }
        }
        for listener in self.listeners().iter() {
            if let Some(item) = &item {
                listener.accepted(item);
            }
            listener.passed(partition, head.offset);
        }
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Says whether `partition` is this process's own, to be decided.
    pub(crate) fn set_own(&self, partition: PartitionId, own: bool) {
        lock(&self.partitions[partition.index()]).state.own = own;
    }

    /// Says whether a writer in this process decides `partition`, or why it can't.
    pub fn set_leading(&self, partition: PartitionId, leading: Result<bool, Fault>) {
        let is_news;
        let fault = {
            let mut it = lock(&self.partitions[partition.index()]);
            it.state.leading = matches!(leading, Ok(true));
            is_news = it.state.leading && it.state.led_from.is_none();
            if is_news {
                it.state.led_from = Some(it.state.head.offset);
            }
            it.state.fault = leading.err();
            it.state.fault.clone()
        };
        if is_news {
            self.changes.send_modify(|changes| *changes += 1);
        }
        if let Some(fault) = fault {
            for listener in self.listeners().iter() {
                listener.unavailable(partition, &fault);
            }
        }
    }

    /// Notes when everything is folded that was there when the partition was begun.
    fn caught_up(&self, partition: PartitionId) {
        {
            let it = &mut lock(&self.partitions[partition.index()]);
            let is_there = it.ends_at.is_some_and(|end| it.state.head.offset >= end);
            if !is_there || it.state.led_from.is_some() {
                return;
            }
            it.state.led_from = it.ends_at;
        }
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Is each partition known here up to where it ended when it was begun? Before that its
    /// end here is any place in the journal.
    pub(crate) fn has_caught_up(&self) -> bool {
        (0..self.partitions()).all(|it| self.led_from(PartitionId(it)).is_some())
    }

    /// Accepted commits behind `head`, which moves with them: as many as there are,
    /// up to a bound; none when it has reached the end.
    pub async fn next(
        &self,
        partition: PartitionId,
        head: &mut Head,
    ) -> Result<Vec<TailItem>, EngineError> {
        if head.offset >= self.offset(partition) {
            return Ok(Vec::new());
        }
        if let Some(items) = self.ring_behind(partition, head) {
            return Ok(items);
        }
        let read = self.ports.settings.read_bytes_max;
        let limit = self.offset(partition);
        let records = self.ports.journal.read(partition, head.offset, read).await?;
        let mut items = Vec::new();
        for record in records {
            // Not beyond what is folded for everyone: nothing is seen before it counts.
            if record.offset >= limit {
                break;
            }
            let (_, item) = fold_record(partition, head, &record.bytes);
            items.extend(item);
        }
        Ok(items)
    }

    /// The accepted commit at `offset`, if it is in memory.
    pub(crate) fn recent(&self, partition: PartitionId, offset: Offset) -> Option<Arc<pb::Commit>> {
        let it = lock(&self.partitions[partition.index()]);
        let at = it.ring.binary_search_by_key(&offset, |item| item.entry.offset).ok()?;
        Some(Arc::clone(&it.ring[at].entry.commit))
    }

    fn ring_behind(&self, partition: PartitionId, head: &mut Head) -> Option<Vec<TailItem>> {
        let it = lock(&self.partitions[partition.index()]);
        if head.offset >= it.state.head.offset {
            return Some(Vec::new());
        }
        if head.offset < it.ring_from {
            return None;
        }
        let first = it.ring.partition_point(|item| item.entry.offset < head.offset);
        let items: Vec<TailItem> = it.ring.iter().skip(first).take(64).cloned().collect();
        *head = match items.last() {
            Some(item) if first + items.len() < it.ring.len() => item.head.clone(),
            _ => it.state.head.clone(),
        };
        Some(items)
    }

    /// Follows `partition` from `head` on by reading, for ever: for a process in
    /// which no decider feeds it.
    pub async fn follow(&self, partition: PartitionId, mut head: Head) -> Result<(), EngineError> {
        self.check_remembered("the gateway", partition, &head).await?;
        self.reach(partition, &head).await?;
        self.note_end(partition).await?;
        loop {
            self.caught_up(partition);
            self.ports.journal.wait(partition, head.offset).await;
            let read = self.ports.settings.read_bytes_max;
            for record in self.ports.journal.read(partition, head.offset, read).await? {
                let (verdict, mut item) = fold_record(partition, &mut head, &record.bytes);
                if let Some(item) = &mut item {
                    let runtime = self.ports.runtime.as_ref();
                    item.traced = traced_inputs(runtime, &item.entry.commit);
                }
                self.advance(partition, verdict, &head, item);
            }
        }
    }

    /// Follows `partition` from where the tail is, whatever may be tried again; ends only
    /// with what can't be.
    pub(crate) async fn follow_on(&self, partition: PartitionId) -> Result<(), TaskError> {
        let mut backoff = Backoff::default();
        loop {
            let head = self.state(partition).head;
            match self.follow(partition, head).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(partition = partition.0, %error, "cannot read for now");
                    backoff.pause(self.ports.runtime.as_ref()).await;
                }
                Err(error) => return Err(TaskError(format!("partition {partition}: {error}"))),
            }
        }
    }

    /// Begins `partition` at the checkpoint of whoever decided it last.
    pub(crate) async fn begin_at_checkpoint(
        &self,
        partition: PartitionId,
    ) -> Result<(), EngineError> {
        let head = resume::checkpointed(&self.ports, partition).await?;
        self.check_remembered("the gateway", partition, &head).await?;
        self.note_end(partition).await?;
        self.begin(partition, &head);
        Ok(())
    }

    /// Notes where the partition ends, the first time.
    async fn note_end(&self, partition: PartitionId) -> Result<(), EngineError> {
        let it = &self.partitions[partition.index()];
        if lock(it).ends_at.is_none() {
            let end = self.ports.journal.end(partition).await?;
            lock(it).ends_at = Some(end);
        }
        Ok(())
    }

    /// A remembered place must be found again.
    pub async fn check_remembered(
        &self,
        reader: &str,
        partition: PartitionId,
        head: &Head,
    ) -> Result<(), EngineError> {
        check_remembered(self.ports.journal.as_ref(), reader, partition, head).await
    }
}

/// A place in `journal` that `reader` remembers must be found again.
pub(crate) async fn check_remembered(
    journal: &dyn Journal,
    reader: &str,
    partition: PartitionId,
    head: &Head,
) -> Result<(), EngineError> {
    if head.seq == 0 {
        return Ok(());
    }
    let end = journal.end(partition).await?;
    if head.commit_offset >= end {
        let (reader, partition, offset) = (reader.to_owned(), partition.0, head.offset);
        return Err(EngineError::Older { reader, partition, offset, end });
    }
    let found = journal.read(partition, head.commit_offset, 1).await?;
    if found.first().is_some_and(|record| Hash::blake3(&record.bytes) == head.hash) {
        return Ok(());
    }
    Err(EngineError::Forgotten {
        reader: reader.to_owned(),
        partition: partition.0,
        offset: head.commit_offset,
        seq: head.seq,
    })
}

impl Partition {
    fn push(&mut self, item: TailItem, bytes_max: usize) {
        self.ring_bytes += item.bytes;
        self.ring.push_back(item);
        while self.ring_bytes > bytes_max && self.ring.len() > 1 {
            if let Some(gone) = self.ring.pop_front() {
                self.ring_bytes -= gone.bytes;
                self.ring_from = gone.head.offset;
            }
        }
    }
}

fn count(state: &mut PartitionState, partition: PartitionId, verdict: Verdict) {
    match verdict {
        Verdict::Accepted => {}
        Verdict::Ignorable(_) => {
            state.ignored += 1;
            Metric::RecordsIgnored.counter(&[&partition.to_string()]).increment(1);
        }
        Verdict::Break(_) => {
            state.breaks += 1;
            Metric::ChainBreaks.counter(&[&partition.to_string()]).increment(1);
            let offset = state.head.offset - 1;
            tracing::error!(partition = partition.0, offset, %verdict, "chain break");
        }
    }
}

/// Folds the record at `head.offset`. An accepted commit becomes an item.
pub(crate) fn fold_record(
    partition: PartitionId,
    head: &mut Head,
    bytes: &bytes::Bytes,
) -> (Verdict, Option<TailItem>) {
    let offset = head.offset;
    let (record, hash, commit) = decode_record(partition, bytes);
    let verdict = fold(head, &record, &hash);
    let item = match (verdict, commit) {
        (Verdict::Accepted, Some(commit)) => {
            let inputs = commit.inputs.iter().zip(&commit.outcomes);
            let keys =
                inputs.map(|(input, outcome)| authentic_id(&input.command, outcome)).collect();
            let entry = Entry { partition, offset, hash, commit: Arc::new(commit) };
            Some(TailItem { entry, head: head.clone(), keys, bytes: bytes.len(), traced: None })
        }
        _ => None,
    };
    (verdict, item)
}

/// The id of an input, unless its decider found that no gateway wrote it.
pub(crate) fn authentic_id(command: &bytes::Bytes, outcome: &pb::Outcome) -> Option<InputId> {
    use prost::Message as _;
    let foreign = [UnopenedReason::Mac, UnopenedReason::Malformed];
    if foreign.iter().any(|reason| reason.code() == outcome.code) {
        return None;
    }
    let sealed = pb::SealedCommand::decode(command.clone()).ok()?;
    let envelope = pb::Envelope::decode(sealed.envelope).ok()?;
    let key = InputKey {
        identity: Identity::of(&envelope.stream, &envelope.issuer, &envelope.id),
        body_digest: envelope.body_digest.as_ref().try_into().ok()?,
    };
    Some(InputId { key, is_kept: envelope.r#type != WAKE && !envelope.validate_only })
}

/// The fault of a partition that nobody here can decide.
pub(crate) fn unavailable(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Unavailable, message)
}
