//! The index of command identities: which were decided within the window, where,
//! and with which body. New entries are in memory; each flush writes them as a
//! sorted run; when there are enough, they become a block of sorted pages with a
//! filter. Memory is bounded: by the entries that no block holds, and by filters,
//! the oldest of which give way, so that their blocks are asked in the store.
//!
//! Two writers may believe that they lead. So each session numbers what it writes
//! from a start of its own, and names in its checkpoints only its own runs; once
//! it leads, only those that it wrote since. It deletes runs when a checkpoint
//! that it wrote under its claim, which no earlier one outdoes, names them no more.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Key, ReadStore, Row, Scan, Value, Write};
use exchequer_types::{Identity, PartitionId, Place, Timestamp};

use super::filter::Filter;
use crate::EngineError;
use crate::settings::IDENTITY_WINDOW;
use crate::tables::{IDENTITY_FILTERS, IDENTITY_PAGES, IDENTITY_RUNS, partition_value};

/// Identity 16 bytes, place 8, body digest 8, instant 8.
const ENTRY_BYTES: usize = 40;
const PAGE_ENTRIES: usize = 128;

/// What is known of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Of the first input with it.
    pub(crate) place: Place,
    pub(crate) body_digest: [u8; 8],
    /// When it was decided, from which the window counts.
    pub(crate) at: Timestamp,
}

impl Known {
    /// Is it within the window still?
    pub(crate) fn is_kept(&self, now: Timestamp) -> bool {
        now.since(self.at) <= IDENTITY_WINDOW
    }
}

#[derive(Debug)]
struct Block {
    id: u64,
    pages: u32,
    newest: Timestamp,
    /// None when it gave way to the bound.
    filter: Option<Filter>,
    /// First identity of each page, 8 bytes of it; with the filter.
    firsts: Vec<u64>,
}

/// The index of one partition.
#[derive(Debug)]
pub(crate) struct Identities {
    partition: PartitionId,
    entries_max: usize,
    filter_bytes_max: usize,
    recent: HashMap<Identity, Known>,
    newest: Timestamp,
    /// Added since the last run was written.
    fresh: Vec<Identity>,
    /// Runs that no block holds: from..to. The next number is the second.
    runs: (u64, u64),
    blocks: Vec<Block>,
    /// Does this writer hold the claim?
    leads: bool,
    /// Runs that this writer's checkpoints name no more: from..to.
    retired: Vec<(u64, u64)>,
    /// Those of them that a checkpoint under the claim has left behind.
    deletable: Vec<(u64, u64)>,
}

/// Writes of a flush, and what they make of the index once they are done.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(crate) writes: Vec<Write>,
    pub(crate) blocks: Vec<pb::IdentityBlock>,
    pub(crate) runs: (u64, u64),
    outcome: FlushOutcome,
}

#[derive(Debug)]
enum FlushOutcome {
    Run,
    Block { block: Block, held: Vec<(Identity, Known)> },
}

impl Identities {
    /// `session` must differ from those of all other writers, past and present.
    pub(crate) fn new(
        partition: PartitionId,
        session: u32,
        entries_max: usize,
        filter_bytes_max: usize,
    ) -> Self {
        // 31 bits, for stores keep whole numbers with a sign.
        let first = u64::from(session >> 1) << 32;
        Self {
            partition,
            entries_max,
            filter_bytes_max,
            recent: HashMap::new(),
            newest: Timestamp::MIN,
            fresh: Vec::new(),
            runs: (first, first),
            blocks: Vec::new(),
            leads: false,
            retired: Vec::new(),
            deletable: Vec::new(),
        }
    }

    /// The session's claim is accepted. What it wrote before, a leader that read it
    /// may have deleted since, so all of it is written anew.
    pub(crate) fn lead(&mut self) {
        self.leads = true;
        if self.runs.0 == self.runs.1 {
            return;
        }
        self.retired.push(self.runs);
        self.runs.0 = self.runs.1;
        self.fresh = self.recent.keys().copied().collect();
        self.fresh.sort_unstable();
    }

    /// Reads back what a checkpoint names; the next flush writes it as this
    /// session's own. A retryable fault when the checkpoint's writer went on and
    /// deleted its runs meanwhile.
    pub(crate) async fn load(
        &mut self,
        store: &dyn ReadStore,
        checkpoint: &pb::PartitionCheckpoint,
    ) -> Result<(), EngineError> {
        let runs = checkpoint.runs.unwrap_or_default();
        self.retired.push((runs.from, runs.to));
        let mut scan =
            Scan::of(&IDENTITY_RUNS, 0, vec![partition_value(self.partition)], usize::MAX);
        scan.from = Some(vec![Value::uint(runs.from)]);
        scan.to = Some(vec![Value::uint(runs.to)]);
        let rows = store.scan(scan).await?;
        if rows.len() as u64 != runs.to - runs.from {
            let message = "the checkpoint was replaced while its index was read";
            return Err(exchequer_readstore::Fault::retryable(message).into());
        }
        for row in rows {
            for (identity, known) in read_entries(&column(&row, 0)) {
                self.insert(identity, known);
            }
        }
        for it in &checkpoint.blocks {
            let newest = Timestamp::saturating_from_micros(it.newest);
            self.newest = self.newest.max(newest);
            let mut block =
                Block { id: it.id, pages: it.pages, newest, filter: None, firsts: Vec::new() };
            self.load_filter(store, &mut block).await?;
            self.blocks.push(block);
        }
        self.bound_filters();
        Ok(())
    }

    async fn load_filter(
        &self,
        store: &dyn ReadStore,
        block: &mut Block,
    ) -> Result<(), EngineError> {
        let row = store.get(&IDENTITY_FILTERS, 0, self.block_key(block.id)).await?;
        if let Some(row) = row {
            block.filter = Filter::from_bytes(column(&row, 0).to_vec());
            block.firsts = column(&row, 1).chunks_exact(8).map(first_of).collect();
        }
        Ok(())
    }

    /// What memory knows of `identity`: Some for what is certain, None when the
    /// store must be asked or nothing is known; `must_ask` tells.
    pub(crate) fn recent(&self, identity: &Identity) -> Option<Known> {
        self.recent.get(identity).copied()
    }

    /// Could a block hold `identity`?
    pub(crate) fn must_ask(&self, identity: &Identity, now: Timestamp) -> bool {
        self.candidates(identity, now).next().is_some()
    }

    fn candidates(&self, identity: &Identity, now: Timestamp) -> impl Iterator<Item = &Block> {
        self.blocks.iter().rev().filter(move |block| {
            now.since(block.newest) <= IDENTITY_WINDOW
                && block.filter.as_ref().is_none_or(|filter| filter.may_contain(identity))
        })
    }

    /// Asks the blocks, newest first.
    pub(crate) async fn ask(
        &self,
        store: &dyn ReadStore,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<Option<Known>, EngineError> {
        for block in self.candidates(identity, now) {
            let mut loaded = None;
            let firsts = if block.filter.is_some() {
                &block.firsts
            } else {
                let mut again = Block {
                    id: block.id,
                    pages: block.pages,
                    newest: block.newest,
                    filter: None,
                    firsts: Vec::new(),
                };
                self.load_filter(store, &mut again).await?;
                &loaded.insert(again).firsts
            };
            let wanted = first_of(&identity.0);
            // Equal leading bytes may begin on the page before.
            let after = firsts.partition_point(|first| *first <= wanted);
            let before = firsts.partition_point(|first| *first < wanted);
            for page in before.saturating_sub(1)..after {
                let key = Key {
                    partition: vec![partition_value(self.partition), Value::uint(block.id)],
                    clustering: vec![Value::uint(page as u64)],
                };
                let Some(row) = store.get(&IDENTITY_PAGES, 0, key).await? else { continue };
                let found = read_entries(&column(&row, 0)).find(|(it, _)| it == identity);
                if let Some((_, known)) = found {
                    return Ok(Some(known));
                }
            }
        }
        Ok(None)
    }

    /// The first input of `identity` within the window is `known`.
    pub(crate) fn insert(&mut self, identity: Identity, known: Known) {
        if self.recent.insert(identity, known) != Some(known) {
            self.fresh.push(identity);
        }
        self.newest = self.newest.max(known.at);
    }

    /// The writes that bring the store up to date.
    pub(crate) fn flush(&self, now: Timestamp) -> Flush {
        let deletable = self.deletable.iter().flat_map(|(from, to)| *from..*to);
        let mut writes: Vec<Write> = deletable.map(|run| self.run(run, None)).collect();
        let expired = |block: &&Block| now.since(block.newest) > IDENTITY_WINDOW;
        for block in self.blocks.iter().filter(expired) {
            writes.extend((0..block.pages).map(|page| self.page(block.id, page, None)));
            writes.push(self.filter_write(block.id, None));
        }
        let mut blocks: Vec<_> = self
            .blocks
            .iter()
            .filter(|block| !expired(block))
            .map(|block| pb::IdentityBlock {
                id: block.id,
                pages: block.pages,
                newest: block.newest.micros(),
            })
            .collect();
        if self.recent.len() < self.entries_max {
            let runs = self.write_run(&mut writes);
            return Flush { writes, blocks, runs, outcome: FlushOutcome::Run };
        }
        let (block, held) = self.write_block(&mut writes);
        blocks.push(pb::IdentityBlock {
            id: block.id,
            pages: block.pages,
            newest: block.newest.micros(),
        });
        // Runs are numbered on, so that a block's number is never used again.
        let runs = (self.runs.1 + 1, self.runs.1 + 1);
        Flush { writes, blocks, runs, outcome: FlushOutcome::Block { block, held } }
    }

    fn write_run(&self, writes: &mut Vec<Write>) -> (u64, u64) {
        if self.fresh.is_empty() {
            return self.runs;
        }
        let entries = self.fresh.iter().filter_map(|it| Some((*it, *self.recent.get(it)?)));
        writes.push(self.run(self.runs.1, Some(vec![Value::Bytes(write_entries(entries))])));
        (self.runs.0, self.runs.1 + 1)
    }

    fn write_block(&self, writes: &mut Vec<Write>) -> (Block, Vec<(Identity, Known)>) {
        let sorted: BTreeMap<_, _> = self.recent.iter().map(|(it, known)| (*it, *known)).collect();
        let held: Vec<(Identity, Known)> = sorted.into_iter().collect();
        let id = self.runs.1;
        let mut firsts = Vec::new();
        for (page, chunk) in held.chunks(PAGE_ENTRIES).enumerate() {
            firsts.push(first_of(&chunk[0].0.0));
            let bytes = write_entries(chunk.iter().copied());
            writes.push(self.page(id, page as u32, Some(vec![Value::Bytes(bytes)])));
        }
        let filter = Filter::of(held.iter().map(|(identity, _)| identity));
        let pages: Vec<u8> = firsts.iter().flat_map(|first| first.to_be_bytes()).collect();
        writes.push(self.filter_write(
            id,
            Some(vec![
                Value::Bytes(Bytes::copy_from_slice(filter.as_bytes())),
                Value::Bytes(Bytes::from(pages)),
            ]),
        ));
        let pages = firsts.len() as u32;
        (Block { id, pages, newest: self.newest, filter: Some(filter), firsts }, held)
    }

    /// The writes of `flush` are done. Nothing was inserted meanwhile that they
    /// do not hold, except what came after.
    pub(crate) fn flushed(&mut self, flush: Flush, fresh_before: usize, now: Timestamp) {
        self.fresh.drain(..fresh_before.min(self.fresh.len()));
        self.blocks.retain(|block| now.since(block.newest) <= IDENTITY_WINDOW);
        self.deletable.clear();
        if flush.runs.0 != self.runs.0 {
            self.retired.push(self.runs);
        }
        if self.leads {
            self.deletable.append(&mut self.retired);
        }
        self.runs = flush.runs;
        if let FlushOutcome::Block { block, held } = flush.outcome {
            for (identity, known) in held {
                // Its window may have ended meanwhile, and another have begun.
                if self.recent.get(&identity) == Some(&known) {
                    self.recent.remove(&identity);
                }
            }
            self.blocks.push(block);
            self.bound_filters();
        }
    }

    /// Entries that the next flush will hold.
    pub(crate) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    fn bound_filters(&mut self) {
        let mut bytes = 0;
        for block in self.blocks.iter_mut().rev() {
            bytes += block.filter.as_ref().map_or(0, |it| it.as_bytes().len());
            bytes += block.firsts.len() * 8;
            if bytes > self.filter_bytes_max {
                block.filter = None;
                block.firsts = Vec::new();
            }
        }
    }

    fn block_key(&self, block: u64) -> Key {
        let partition = vec![partition_value(self.partition), Value::uint(block)];
        Key { partition, clustering: Vec::new() }
    }

    fn run(&self, run: u64, values: Option<Vec<Value>>) -> Write {
        let key = Key {
            partition: vec![partition_value(self.partition)],
            clustering: vec![Value::uint(run)],
        };
        Write { table: &IDENTITY_RUNS, generation: 0, key, values, timestamp: run }
    }

    fn page(&self, block: u64, page: u32, values: Option<Vec<Value>>) -> Write {
        let key = Key {
            partition: vec![partition_value(self.partition), Value::uint(block)],
            clustering: vec![Value::uint(u64::from(page))],
        };
        Write { table: &IDENTITY_PAGES, generation: 0, key, values, timestamp: block }
    }

    fn filter_write(&self, block: u64, values: Option<Vec<Value>>) -> Write {
        let key = self.block_key(block);
        Write { table: &IDENTITY_FILTERS, generation: 0, key, values, timestamp: block }
    }
}

fn column(row: &Row, index: usize) -> Bytes {
    row.values.get(index).map(Value::as_bytes).unwrap_or_default()
}

/// The leading 8 bytes, in the order of the whole.
fn first_of(identity: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&identity[..8]);
    u64::from_be_bytes(bytes)
}

fn write_entries(entries: impl Iterator<Item = (Identity, Known)>) -> Bytes {
    let mut out = Vec::new();
    for (identity, known) in entries {
        out.extend_from_slice(&identity.0);
        let place = (known.place.offset << 16) | u64::from(known.place.index);
        out.extend_from_slice(&place.to_be_bytes());
        out.extend_from_slice(&known.body_digest);
        out.extend_from_slice(&known.at.micros().to_be_bytes());
    }
    Bytes::from(out)
}

fn read_entries(bytes: &Bytes) -> impl Iterator<Item = (Identity, Known)> + '_ {
    bytes.chunks_exact(ENTRY_BYTES).map(|entry| {
        let (mut identity, mut body_digest) = ([0; 16], [0; 8]);
        identity.copy_from_slice(&entry[..16]);
        body_digest.copy_from_slice(&entry[24..32]);
        let place = first_of(&entry[16..24]);
        let place = Place { offset: place >> 16, index: (place & 0xffff) as u32 };
        let at = Timestamp::saturating_from_micros(first_of(&entry[32..]) as i64);
        (Identity(identity), Known { place, body_digest, at })
    })
}

#[cfg(test)]
mod tests {
    use exchequer_readstore::{Batch, MemoryStore};

    use super::*;

    const SESSION: u32 = 77;

    fn identity(n: u64) -> Identity {
        Identity::of("t", "api", &n.to_string())
    }

    fn known(n: u64) -> Known {
        let place = Place { offset: n, index: (n % 7) as u32 };
        Known { place, body_digest: n.to_be_bytes(), at: day(1) }
    }

    fn day(n: i64) -> Timestamp {
        Timestamp::saturating_from_micros(n * 86_400_000_000)
    }

    async fn flush(
        index: &mut Identities,
        store: &MemoryStore,
        now: Timestamp,
    ) -> pb::PartitionCheckpoint {
        let fresh = index.fresh();
        let flush = index.flush(now);
        let (blocks, runs) = (flush.blocks.clone(), flush.runs);
        let rows = flush.writes.clone();
        store.write(Batch { rows, last: vec![] }).await.unwrap();
        index.flushed(flush, fresh, now);
        let runs = Some(pb::Range { from: runs.0, to: runs.1 });
        pb::PartitionCheckpoint { blocks, runs, ..pb::PartitionCheckpoint::default() }
    }

    async fn find(
        index: &Identities,
        store: &MemoryStore,
        n: u64,
        now: Timestamp,
    ) -> Option<Known> {
        let known = match index.recent(&identity(n)) {
            None if index.must_ask(&identity(n), now) => {
                index.ask(store, &identity(n), now).await.unwrap()
            }
            recent => recent,
        };
        known.filter(|known| known.is_kept(now))
    }

    // REQ: KER-03
    #[tokio::test]
    async fn identities_are_found_for_the_window_with_memory_bounded() {
        let store = MemoryStore::new(true);
        let mut index = Identities::new(PartitionId(3), SESSION, 500, 2_000);
        let mut checkpoint = pb::PartitionCheckpoint::default();
        for n in 0..5_000 {
            index.insert(identity(n), known(n));
            if n % 100 == 99 {
                checkpoint = flush(&mut index, &store, day(1)).await;
            }
        }
        assert!(index.recent.len() <= 500);
        assert!(index.blocks.iter().any(|block| block.filter.is_none()), "the bound was met");
        let mut again = Identities::new(PartitionId(3), SESSION + 2, 500, 2_000);
        again.load(&store, &checkpoint).await.unwrap();
        for n in (0..5_000).step_by(37) {
            assert_eq!(find(&index, &store, n, day(7)).await, Some(known(n)));
            assert_eq!(find(&again, &store, n, day(7)).await, Some(known(n)), "after a restart");
        }
        assert_eq!(find(&index, &store, 9_999, day(7)).await, None);
        flush(&mut index, &store, day(9)).await;
        assert!(index.blocks.is_empty(), "past the window");
        assert_eq!(find(&index, &store, 0, day(9)).await, None);
    }

    // REQ: KER-03
    #[tokio::test]
    async fn an_identity_is_free_when_its_own_window_is_over() {
        let store = MemoryStore::new(true);
        let mut index = Identities::new(PartitionId(3), SESSION, 500, 2_000);
        index.insert(identity(1), known(1));
        flush(&mut index, &store, day(1)).await;
        index.insert(identity(2), Known { at: day(7), ..known(2) });
        assert_eq!(find(&index, &store, 1, day(8)).await, Some(known(1)), "the last instant");
        assert_eq!(find(&index, &store, 1, day(9)).await, None);
        let again = Known { at: day(9), ..known(9) };
        index.insert(identity(1), again);
        let checkpoint = flush(&mut index, &store, day(9)).await;
        let mut restarted = Identities::new(PartitionId(3), SESSION + 2, 500, 2_000);
        restarted.load(&store, &checkpoint).await.unwrap();
        assert_eq!(find(&restarted, &store, 1, day(15)).await, Some(again), "its new window");
        assert!(find(&restarted, &store, 2, day(15)).await.is_none());
    }

    // REQ: KER-03
    #[tokio::test]
    async fn a_new_window_that_begins_while_a_block_is_written_is_kept() {
        let store = MemoryStore::new(true);
        let mut index = Identities::new(PartitionId(3), SESSION, 2, 2_000);
        index.insert(identity(1), known(1));
        index.insert(identity(2), known(2));
        let fresh = index.fresh();
        let block = index.flush(day(1));
        store.write(Batch { rows: block.writes.clone(), last: vec![] }).await.unwrap();
        let again = Known { at: day(9), ..known(9) };
        index.insert(identity(1), again);
        index.flushed(block, fresh, day(9));
        assert_eq!(find(&index, &store, 1, day(9)).await, Some(again));
        let checkpoint = flush(&mut index, &store, day(9)).await;
        let mut restarted = Identities::new(PartitionId(3), SESSION + 2, 500, 2_000);
        restarted.load(&store, &checkpoint).await.unwrap();
        assert_eq!(find(&restarted, &store, 1, day(9)).await, Some(again));
    }
}
