//! What a process's destinations have to do. One scan serves all that keep up;
//! one whose queue is full scans for itself until it has caught up again. A
//! destination's cursor stands before its first work that is not done.

use std::collections::VecDeque;

use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Head, Reaction};

use super::Effect;
use crate::tail::TailItem;

/// Commits with work that wait for one destination.
const QUEUE_COMMITS_MAX: usize = 64;

/// Destinations that this process has to do with.
#[derive(Debug)]
pub(super) struct Dispatch {
    /// Where the scan for all stands, by source.
    pub(super) shared: Vec<Head>,
    pub(super) destinations: Vec<Destination>,
}

/// One destination.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) number: u32,
    queue: VecDeque<Work>,
    busy: bool,
    /// By source: what lies below was done before this process started.
    start: Vec<Head>,
    /// By source, while it scans for itself.
    behind: Option<Vec<Head>>,
    /// As written, by source.
    saved: Vec<u64>,
}

/// The reactions of one commit.
#[derive(Debug)]
struct Work {
    source: usize,
    /// The place before the commit.
    before: Head,
    /// None once it is being done.
    reactions: Option<Vec<Reaction<Effect>>>,
}

impl Destination {
    /// The next work, unless some is being done.
    pub(super) fn begin(&mut self) -> Option<Vec<Reaction<Effect>>> {
        if self.busy {
            return None;
        }
        let reactions = self.queue.front_mut()?.reactions.take();
        self.busy = reactions.is_some();
        reactions
    }

    /// The work that was begun is done.
    pub(super) fn finish(&mut self) {
        self.busy = false;
        self.queue.pop_front();
    }

    /// Takes over the reactions to the commit at `offset`, of which `before` is the
    /// last place that was scanned: other records may lie between. False when the
    /// queue is full.
    fn push(
        &mut self,
        source: usize,
        before: &Head,
        offset: u64,
        reactions: Vec<Reaction<Effect>>,
    ) -> bool {
        let is_new = offset >= self.start[source].offset;
        if reactions.is_empty() || !is_new {
            return true;
        }
        if self.queue.len() >= QUEUE_COMMITS_MAX {
            return false;
        }
        let before = before.clone();
        self.queue.push_back(Work { source, before, reactions: Some(reactions) });
        true
    }
}

impl Dispatch {
    /// Destinations that stand at `heads`, each by source.
    pub(super) fn new(sources: usize, heads: Vec<(u32, Vec<Head>)>) -> Self {
        let first = |source: usize| {
            let of_source = heads.iter().map(|(_, heads)| &heads[source]);
            of_source.min_by_key(|head| head.offset).cloned().unwrap_or_default()
        };
        let shared = (0..sources).map(first).collect();
        let destinations = heads
            .into_iter()
            .map(|(number, start)| Destination {
                number,
                queue: VecDeque::new(),
                busy: false,
                saved: start.iter().map(|head| head.offset).collect(),
                start,
                behind: None,
            })
            .collect();
        Self { shared, destinations }
    }

    /// Hands out the reactions to a commit that the scan for all has met, and
    /// moves the scan behind it.
    pub(super) fn dispatch(
        &mut self,
        source: usize,
        item: TailItem,
        mut reactions: Vec<Reaction<Effect>>,
    ) {
        let shared = &self.shared;
        for destination in &mut self.destinations {
            if destination.behind.is_some() {
                continue;
            }
            let own = reactions.extract_if(.., |it| it.destination == destination.number).collect();
            if !destination.push(source, &shared[source], item.entry.offset, own) {
                destination.behind = Some(shared.clone());
            }
        }
        self.shared[source] = item.head;
    }

    /// The source that a destination scans next for itself, and from where. None
    /// when it keeps up, and for now when its queue is full.
    pub(super) fn next_behind(&mut self, at: usize) -> Option<(usize, Head)> {
        let destination = &mut self.destinations[at];
        let behind = destination.behind.as_ref()?;
        if destination.queue.len() >= QUEUE_COMMITS_MAX {
            return None;
        }
        let lagging =
            behind.iter().zip(&self.shared).position(|(own, all)| own.offset < all.offset);
        if let Some(source) = lagging {
            return Some((source, behind[source].clone()));
        }
        destination.behind = None;
        None
    }

    /// As `dispatch`, for one destination. False when its queue is full.
    pub(super) fn dispatch_behind(
        &mut self,
        at: usize,
        source: usize,
        item: TailItem,
        mut reactions: Vec<Reaction<Effect>>,
    ) -> bool {
        let destination = &mut self.destinations[at];
        let Some(mut behind) = destination.behind.take() else { return false };
        // The scan for all may have passed what this one met; it never leads it.
        let within = item.head.offset <= self.shared[source].offset;
        reactions.retain(|it| it.destination == destination.number);
        let offset = item.entry.offset;
        let pushed = within && destination.push(source, &behind[source], offset, reactions);
        if pushed {
            behind[source] = item.head;
        }
        destination.behind = Some(behind);
        pushed
    }

    /// A destination that scans for itself met nothing more up to `head`.
    pub(super) fn moved_behind(&mut self, at: usize, source: usize, head: Head) {
        let all = self.shared[source].clone();
        if let Some(behind) = &mut self.destinations[at].behind {
            behind[source] = if head.offset > all.offset { all } else { head };
        }
    }

    /// Where a destination's cursor stands for a source.
    fn cursor(&self, at: usize, source: usize) -> &Head {
        let destination = &self.destinations[at];
        let scanned = destination.behind.as_ref().unwrap_or(&self.shared);
        let pending = destination.queue.iter().find(|work| work.source == source);
        let scanned = match pending {
            Some(work) if !mutation::active(Mutation::CursorOutcome) => &work.before,
            _ => &scanned[source],
        };
        if scanned.offset < destination.start[source].offset {
            return &destination.start[source];
        }
        scanned
    }

    /// Where a destination's cursors stand, by source.
    pub(super) fn offsets(&self, at: usize) -> impl Iterator<Item = u64> + '_ {
        (0..self.shared.len()).map(move |source| self.cursor(at, source).offset)
    }

    /// Destination, source and place of the cursors that moved since they were
    /// written; they are taken to be written now.
    pub(super) fn take_moved(&mut self) -> Vec<(usize, usize, Head)> {
        let mut moved = Vec::new();
        for at in 0..self.destinations.len() {
            for source in 0..self.shared.len() {
                let head = self.cursor(at, source);
                if head.offset > self.destinations[at].saved[source] {
                    moved.push((at, source, head.clone()));
                }
            }
        }
        for (at, source, head) in &moved {
            self.destinations[*at].saved[*source] = head.offset;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use exchequer_codec::Entry;
    use exchequer_proto::journal::v1 as pb;
    use exchequer_tenant::Command;
    use exchequer_types::{Hash, PartitionId, StreamId};

    use super::*;

    fn head(offset: u64) -> Head {
        Head { offset, ..Head::default() }
    }

    fn item(offset: u64) -> TailItem {
        let commit = Arc::new(pb::Commit::default());
        let entry = Entry { partition: PartitionId(0), offset, hash: Hash::ZERO, commit };
        TailItem { entry, head: head(offset + 1), keys: Arc::new([]), bytes: 0, traced: None }
    }

    fn reaction(destination: u32, id: u64) -> Reaction<Effect> {
        let stream = StreamId::Partition(PartitionId(destination));
        Reaction {
            destination,
            id: id.to_string(),
            input: 0,
            command: Effect::Submit { stream, command: Box::new(Command::Wake), cause: None },
        }
    }

    fn of(heads: Vec<Vec<Head>>) -> Dispatch {
        Dispatch::new(2, (0..).zip(heads).collect())
    }

    fn cursors(dispatch: &Dispatch) -> Vec<u64> {
        (0..dispatch.destinations.len()).map(|at| dispatch.cursor(at, 0).offset).collect()
    }

    // REQ: KER-06
    #[test]
    fn a_cursor_stands_before_work_that_is_not_done() {
        let mut dispatch = of(vec![vec![head(0); 2]; 2]);
        dispatch.dispatch(0, item(0), vec![]);
        dispatch.dispatch(0, item(1), vec![reaction(1, 1)]);
        dispatch.dispatch(0, item(2), vec![]);
        assert_eq!(cursors(&dispatch), [3, 1]);
        assert!(dispatch.destinations[0].begin().is_none());
        assert_eq!(dispatch.destinations[1].begin().map(|it| it.len()), Some(1));
        assert!(dispatch.destinations[1].begin().is_none(), "one at a time");
        assert_eq!(cursors(&dispatch), [3, 1]);
        dispatch.destinations[1].finish();
        assert_eq!(cursors(&dispatch), [3, 3]);
    }

    // REQ: KER-06
    #[test]
    fn what_follows_a_claim_is_done_though_another_cursor_is_further_behind() {
        let mut dispatch = of(vec![vec![head(0); 2], vec![head(2), head(0)]]);
        dispatch.dispatch(0, item(0), vec![reaction(1, 0)]);
        // At offset 1 stands a claim, which is no commit.
        dispatch.dispatch(0, item(2), vec![reaction(1, 2)]);
        assert_eq!(
            dispatch.destinations[1].begin().map(|it| it[0].id.clone()),
            Some("2".to_owned())
        );
    }

    // REQ: KER-17
    #[test]
    fn a_slow_destination_delays_only_itself_and_misses_nothing() {
        let mut dispatch = of(vec![vec![head(0); 2]; 2]);
        for offset in 0..200 {
            dispatch.dispatch(0, item(offset), vec![reaction(0, offset), reaction(1, offset)]);
            if let Some(done) = dispatch.destinations[1].begin() {
                assert_eq!(done[0].id, offset.to_string());
                dispatch.destinations[1].finish();
            }
        }
        assert_eq!(cursors(&dispatch), [0, 200]);
        let mut met = Vec::new();
        while let Some(work) = dispatch.destinations[0].begin() {
            met.extend(work.into_iter().map(|it| it.id));
            dispatch.destinations[0].finish();
            while let Some((source, at)) = dispatch.next_behind(0) {
                let offset = at.offset;
                dispatch.dispatch_behind(0, source, item(offset), vec![reaction(0, offset)]);
            }
        }
        let expected: Vec<_> = (0..200).map(|offset| offset.to_string()).collect();
        assert_eq!(met, expected);
        assert_eq!(cursors(&dispatch), [200, 200]);
        assert!(dispatch.destinations[0].behind.is_none(), "it keeps up again");
    }

    #[test]
    fn what_was_done_before_a_restart_is_not_done_again() {
        let mut dispatch = of(vec![vec![head(0); 2], vec![head(2), head(0)]]);
        for offset in 0..3 {
            dispatch.dispatch(0, item(offset), vec![reaction(0, offset), reaction(1, offset)]);
        }
        assert_eq!(
            dispatch.destinations.iter().map(|it| it.queue.len()).collect::<Vec<_>>(),
            [3, 1]
        );
        assert_eq!(cursors(&dispatch), [0, 2]);
    }
    // REQ: KER-17
    #[test]
    fn what_is_for_the_destinations_of_others_is_left_to_them() {
        let mut dispatch = Dispatch::new(2, vec![(7, vec![head(0); 2])]);
        for offset in 0..200 {
            dispatch.dispatch(0, item(offset), vec![reaction(0, offset), reaction(7, offset)]);
            let done = dispatch.destinations[0].begin().unwrap();
            assert_eq!(done.iter().map(|it| it.destination).collect::<Vec<_>>(), [7]);
            dispatch.destinations[0].finish();
        }
        assert_eq!(cursors(&dispatch), [200]);
    }
}
