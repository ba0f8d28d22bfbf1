//! One partition's timers, read from the view in due order, once: from the earliest
//! that is not woken on, page by page, as far as they are due.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use exchequer_projection_timers::{self as timers, DueTimer};
use exchequer_readstore::{Fault, Generation, ReadStore};
use exchequer_types::{Offset, PartitionId, StreamId, Timestamp};

use super::notices::Notice;

/// Timers read at once.
const PAGE_TIMERS_MAX: usize = 256;
/// The first page is short: mostly a timer or two are due.
const FIRST_PAGE_TIMERS_MAX: usize = 8;
/// All timers are looked at again this often, whatever is known of them: what a
/// fault made the clock forget is late, and not lost.
const WHOLE: Duration = Duration::from_secs(3600);

/// Notices told apart while the view has not passed them.
const NOTICES_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Lane {
    partition: PartitionId,
    /// No timer that is not woken, and is known of, is due before.
    next: Timestamp,
    /// When all of them are looked at again.
    whole_at: Timestamp,
    pass: Option<Pass>,
    /// This clock is ahead of the writer's by about this much.
    ahead: Duration,
    /// Noticed, and to be looked at again when the view has passed it: the first goes first.
    noticed: VecDeque<Notice>,
    /// Streams that are being woken.
    pub(super) underway: usize,
    /// Those that were, by the next offset that the view must reach to have seen it.
    unseen: BTreeMap<Offset, Vec<StreamId>>,
}

#[derive(Debug)]
struct Pass {
    /// The last timer that was read; the one before the first, at the start.
    after: DueTimer,
    page: VecDeque<DueTimer>,
    /// Pages read.
    pages: usize,
    /// Is nothing behind this page?
    is_last: bool,
}

impl Pass {
    fn starting_at(due: Timestamp) -> Self {
        let after = DueTimer { due, stream: String::new(), id: String::new() };
        Self { after, page: VecDeque::new(), pages: 0, is_last: false }
    }
}

impl Lane {
    pub(super) fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            next: Timestamp::MIN,
            whole_at: Timestamp::MIN,
            pass: None,
            ahead: Duration::ZERO,
            noticed: VecDeque::new(),
            underway: 0,
            unseen: BTreeMap::new(),
        }
    }

    /// When there may be something to wake.
    pub(super) fn next(&self) -> Timestamp {
        if self.pass.is_some() {
            return Timestamp::MIN;
        }
        self.next.min(self.whole_at).saturating_add(self.ahead)
    }

    /// The view has come to `offset`.
    pub(super) fn progressed(&mut self, offset: Offset) {
        while let Some(seen) = self.noticed.front().filter(|it| it.offset < offset) {
            let due = seen.due;
            self.noticed.pop_front();
            self.look_at(due);
        }
    }

    /// A timer was set, whose row may not be there before the view has passed it.
    pub(super) fn noticed(&mut self, notice: Notice) {
        self.look_at(notice.due);
        // Put together with the last one only: those before it do not wait for ever more.
        let is_full = self.noticed.len() >= NOTICES_MAX;
        match self.noticed.back_mut().filter(|_| is_full) {
            Some(last) => *last = last.and(notice),
            None => self.noticed.push_back(notice),
        }
    }

    /// Timers due at `due` or later are looked at again.
    pub(super) fn look_at(&mut self, due: Timestamp) {
        self.next = self.next.min(due);
    }

    /// A stream was woken at `begun` for a timer due at `due`, and decided at
    /// `decided_at` by the writer's clock. Was that too early?
    pub(super) fn decided(
        &mut self,
        begun: Timestamp,
        due: Timestamp,
        decided_at: Timestamp,
    ) -> bool {
        let ahead = begun.since(decided_at);
        let is_early = decided_at < due;
        if is_early || ahead < self.ahead / 2 {
            self.ahead = ahead;
        }
        is_early
    }

    /// The view has seen that `stream` was woken when it has reached `next`.
    pub(super) fn woken(&mut self, stream: StreamId, next: Offset) {
        self.unseen.entry(next).or_default().push(stream);
    }

    /// Streams that the view has seen woken, now that it has reached `offset`.
    pub(super) fn seen(&mut self, offset: Offset) -> impl Iterator<Item = StreamId> + use<> {
        let unseen = self.unseen.split_off(&(offset + 1));
        core::mem::replace(&mut self.unseen, unseen).into_values().flatten()
    }

    /// All timers are looked at again, `at` the latest.
    pub(super) fn look_at_all(&mut self, at: Timestamp) {
        self.whole_at = self.whole_at.min(at);
    }

    /// The next timer that is due. What `passes_over` says yes to when it is read is
    /// left out: what the view has not seen by then it may have seen later.
    pub(super) async fn next_due(
        &mut self,
        store: &dyn ReadStore,
        generation: Generation,
        now: Timestamp,
        mut passes_over: impl FnMut(&DueTimer) -> bool,
    ) -> Result<Option<DueTimer>, Fault> {
        let now = now.saturating_sub(self.ahead);
        loop {
            let Some(pass) = &mut self.pass else {
                if !self.begin(now) {
                    return Ok(None);
                }
                continue;
            };
            match pass.page.pop_front() {
                Some(timer) if timer.due <= now => return Ok(Some(timer)),
                Some(timer) => {
                    self.pass = None;
                    self.look_at(timer.due);
                }
                None if pass.is_last => self.pass = None,
                None => {
                    pass.read(store, generation, self.partition).await?;
                    pass.page.retain(|timer| timer.due > now || !passes_over(timer));
                }
            }
        }
    }

    /// Begins a pass, if there may be something due.
    fn begin(&mut self, now: Timestamp) -> bool {
        if self.whole_at <= now {
            self.whole_at = now.saturating_add(WHOLE);
            self.next = Timestamp::MIN;
        }
        if self.next > now {
            return false;
        }
        self.pass = Some(Pass::starting_at(self.next));
        self.next = Timestamp::MAX;
        true
    }
}

impl Pass {
    async fn read(
        &mut self,
        store: &dyn ReadStore,
        generation: Generation,
        partition: PartitionId,
    ) -> Result<(), Fault> {
        let limit = if self.pages == 0 { FIRST_PAGE_TIMERS_MAX } else { PAGE_TIMERS_MAX };
        let after = Some(&self.after);
        let page = timers::due(store, generation, partition, Timestamp::MAX, after, limit).await?;
        self.is_last = page.len() < limit;
        if let Some(last) = page.last() {
            self.after = last.clone();
        }
        self.pages += 1;
        self.page = page.into();
        Ok(())
    }
}
