//! An index of identities, of commands or of usage: which were seen first within the
//! window, where, and with which body. New entries are in memory; each flush writes them
//! as a sorted run; when there are enough, they become a block of sorted pages with a
//! filter, and blocks of one size are merged. Memory is bounded: by the entries that no
//! block holds, and by filters, the oldest of which give way, so that their blocks are
//! asked in the store.
//!
//! Two writers may believe that they lead. So each session numbers what it writes
//! from a start of its own, and names in its checkpoints only its own runs; once
//! it leads, only those that it wrote since. It deletes runs when a checkpoint
//! that it wrote under its claim, which no earlier one outdoes, names them no more.
//! Blocks are never written anew: whoever claims next may have read an earlier
//! checkpoint, which names them. So one that was merged, or whose window is over, is
//! deleted once something that was appended behind the first checkpoint without it is
//! accepted: a later claim then finds that checkpoint there.

mod entries;
mod filter;
mod merge;
#[cfg(test)]
mod tests;

use core::hash::{BuildHasherDefault, Hasher};
use core::time::Duration;
use std::collections::HashMap;

use bytes::Bytes;
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Key, ReadStore, Row, Scan, Table, Value, Write};
use exchequer_types::{Identity, PartitionId, Place, Timestamp};

use crate::EngineError;
use crate::tables::partition_value;
use entries::{PAGE_ENTRIES, find_entry, first_of, read_entries, write_entries};
use filter::Filter;
use merge::{FAN_IN, MERGED_PAGES_MAX};
pub(crate) use merge::{Merge, Merged};

/// Where an index is kept.
#[derive(Debug)]
pub(crate) struct IndexTables {
    /// Sorted entries that no block holds yet.
    pub(crate) runs: &'static Table,
    /// Pages of the blocks.
    pub(crate) pages: &'static Table,
    /// Each block's filter and the first identity of each page.
    pub(crate) filters: &'static Table,
}

/// What one index is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexShape {
    pub(crate) tables: &'static IndexTables,
    /// How long an identity is kept.
    pub(crate) window: Duration,
    /// Entries in memory that become a block.
    pub(crate) entries_max: usize,
    /// Filters in memory.
    pub(crate) filter_bytes_max: usize,
    /// Of a filter, for each entry.
    pub(crate) filter_bits: usize,
}

/// Where each question takes a way to the store and back, fewer are asked in vain.
pub(crate) fn filter_bits(store: &dyn ReadStore) -> usize {
    if store.is_atomic() { filter::BITS_SMALL } else { filter::BITS_EXACT }
}

/// Merged blocks are numbered apart from runs, within a session's numbers.
const MERGED: u64 = 1 << 31;

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
    pub(crate) fn is_kept(&self, now: Timestamp, window: Duration) -> bool {
        now.since(self.at) <= window
    }
}

/// Identities are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(bytes) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*bytes);
        }
    }

    // The length of an array's bytes comes first.
    fn write_usize(&mut self, _: usize) {}
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
    shape: IndexShape,
    recent: HashMap<Identity, Known, BuildHasherDefault<Unhashed>>,
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
    /// Blocks, with their pages, that another one took the place of or whose window is over;
    /// those of them that a checkpoint under the claim has left behind; and those that
    /// whoever claims next knows to be left.
    retired_blocks: Vec<(u64, u32)>,
    left_blocks: Vec<(u64, u32)>,
    deletable_blocks: Vec<(u64, u32)>,
    /// Being written by a merge: its number, and pages that it has at most.
    merging: Option<(u64, u32)>,
    next_merged: u64,
}

/// Writes of a flush, and what they make of the index once they are done.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(crate) writes: Vec<Write>,
    pub(crate) blocks: Vec<pb::IdentityBlock>,
    pub(crate) runs: (u64, u64),
    /// Blocks that were retired by then, and those that it deletes.
    retired: usize,
    deleted: usize,
    /// Blocks that it retires, for their window is over.
    expired: Vec<(u64, u32)>,
    /// Entries that it holds.
    fresh: usize,
    outcome: FlushOutcome,
}

#[derive(Debug)]
enum FlushOutcome {
    Run,
    Block(Block),
}

impl Identities {
    /// `session` must differ from those of all other writers, past and present.
    pub(crate) fn new(partition: PartitionId, session: u32, shape: IndexShape) -> Self {
        // 31 bits, for stores keep whole numbers with a sign.
        let first = u64::from(session >> 1) << 32;
        Self {
            partition,
            shape,
            recent: HashMap::default(),
            newest: Timestamp::MIN,
            fresh: Vec::new(),
            runs: (first, first),
            blocks: Vec::new(),
            leads: false,
            retired: Vec::new(),
            deletable: Vec::new(),
            retired_blocks: Vec::new(),
            left_blocks: Vec::new(),
            deletable_blocks: Vec::new(),
            merging: None,
            next_merged: first | MERGED,
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
        blocks: &[pb::IdentityBlock],
        runs: Option<pb::Range>,
    ) -> Result<(), EngineError> {
        let runs = runs.unwrap_or_default();
        self.retired.push((runs.from, runs.to));
        let mut scan =
            Scan::of(self.shape.tables.runs, 0, vec![partition_value(self.partition)], usize::MAX);
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
        for it in blocks {
            if it.retired {
                self.retired_blocks.push((it.id, it.pages));
                continue;
            }
            let newest = Timestamp::saturating_from_micros(it.newest);
            self.newest = self.newest.max(newest);
            let mut block =
                Block { id: it.id, pages: it.pages, newest, filter: None, firsts: Vec::new() };
            if self.shape.filter_bytes_max > 0 {
                self.load_filter(store, &mut block).await?;
            }
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
        let row =
            store.get(self.shape.tables.filters, 0, block_key(self.partition, block.id)).await?;
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
            now.since(block.newest) <= self.shape.window
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
                if again.filter.is_none() {
                    return Err(deleted(block.id));
                }
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
                let Some(row) = store.get(self.shape.tables.pages, 0, key).await? else {
                    return Err(deleted(block.id));
                };
                let found = find_entry(&column(&row, 0), identity);
                if found.is_some() {
                    return Ok(found);
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
        for (id, pages) in self.deletable_blocks.iter().copied() {
            let (tables, partition) = (self.shape.tables, self.partition);
            writes.extend((0..pages).map(|page| page_write(tables, partition, id, page, None)));
            writes.push(filter_write(tables, partition, id, None));
        }
        let is_over = |block: &&Block| now.since(block.newest) > self.shape.window;
        let (over, kept): (Vec<&Block>, Vec<&Block>) = self.blocks.iter().partition(is_over);
        let expired: Vec<_> = over.iter().map(|block| (block.id, block.pages)).collect();
        let mut blocks: Vec<_> = kept.into_iter().map(Block::named).collect();
        let retired = self.retired_blocks.iter().chain(&self.left_blocks).chain(&self.merging);
        blocks.extend(retired.chain(&expired).map(|(id, pages)| pb::IdentityBlock {
            id: *id,
            pages: *pages,
            newest: 0,
            retired: true,
        }));
        let (retired, fresh) = (self.retired_blocks.len(), self.fresh.len());
        let deleted = self.deletable_blocks.len();
        if self.recent.len() < self.shape.entries_max {
            let runs = self.write_run(&mut writes);
            let outcome = FlushOutcome::Run;
            return Flush { writes, blocks, runs, retired, deleted, expired, fresh, outcome };
        }
        let block = self.write_block(&mut writes);
        blocks.push(block.named());
        // Runs are numbered on, so that a block's number is never used again.
        let runs = (self.runs.1 + 1, self.runs.1 + 1);
        let outcome = FlushOutcome::Block(block);
        Flush { writes, blocks, runs, retired, deleted, expired, fresh, outcome }
    }

    fn write_run(&self, writes: &mut Vec<Write>) -> (u64, u64) {
        if self.fresh.is_empty() {
            return self.runs;
        }
        let known = self.fresh.iter().filter_map(|it| Some((*it, *self.recent.get(it)?)));
        let entries: Vec<_> = known.collect();
        let bytes = write_entries(entries.into_iter());
        writes.push(self.run(self.runs.1, Some(vec![Value::Bytes(bytes)])));
        (self.runs.0, self.runs.1 + 1)
    }

    fn write_block(&self, writes: &mut Vec<Write>) -> Block {
        let mut held: Vec<_> = self.recent.iter().map(|(it, known)| (*it, *known)).collect();
        // In the order of the bytes, compared as a whole.
        held.sort_unstable_by_key(|(identity, _)| u128::from_be_bytes(identity.0));
        let (id, tables) = (self.runs.1, self.shape.tables);
        let mut firsts = Vec::new();
        for (page, chunk) in held.chunks(PAGE_ENTRIES).enumerate() {
            firsts.push(first_of(&chunk[0].0.0));
            let values = vec![Value::Bytes(write_entries(chunk.iter().copied()))];
            writes.push(page_write(tables, self.partition, id, page as u32, Some(values)));
        }
        let filter = Filter::of(held.iter().map(|(it, _)| it), self.shape.filter_bits);
        let pages: Vec<u8> = firsts.iter().flat_map(|first| first.to_be_bytes()).collect();
        let values = vec![
            Value::Bytes(Bytes::copy_from_slice(filter.as_bytes())),
            Value::Bytes(Bytes::from(pages)),
        ];
        writes.push(filter_write(tables, self.partition, id, Some(values)));
        let pages = firsts.len() as u32;
        Block { id, pages, newest: self.newest, filter: Some(filter), firsts }
    }

    /// The writes of `flush` are done. What was inserted meanwhile came after.
    pub(crate) fn flushed(&mut self, flush: Flush) {
        self.fresh.drain(..flush.fresh.min(self.fresh.len()));
        self.blocks.retain(|block| !flush.expired.iter().any(|(id, _)| *id == block.id));
        self.deletable.clear();
        self.deletable_blocks.drain(..flush.deleted);
        if flush.runs.0 != self.runs.0 {
            self.retired.push(self.runs);
        }
        if self.leads {
            self.deletable.append(&mut self.retired);
            self.left_blocks.extend(self.retired_blocks.drain(..flush.retired));
            self.left_blocks.extend(flush.expired);
        } else {
            self.retired_blocks.extend(flush.expired);
        }
        self.runs = flush.runs;
        if let FlushOutcome::Block(block) = flush.outcome {
            // What was added or has changed meanwhile: few beside what the block holds.
            let later = self.fresh.iter().filter_map(|it| Some((*it, *self.recent.get(it)?)));
            let later: Vec<_> = later.collect();
            self.recent.clear();
            self.recent.extend(later);
            self.blocks.push(block);
            self.bound_filters();
        }
    }

    /// How many blocks written checkpoints have left behind: to be named when what is
    /// appended now is accepted.
    pub(crate) fn left(&self) -> usize {
        self.left_blocks.len()
    }

    /// What was appended when `left` blocks were left behind is accepted.
    pub(crate) fn accepted(&mut self, left: usize) {
        let left = left.min(self.left_blocks.len());
        self.deletable_blocks.extend(self.left_blocks.drain(..left));
    }

    /// How long an identity is kept.
    pub(crate) fn window(&self) -> Duration {
        self.shape.window
    }

    /// Entries that the next flush will hold.
    pub(crate) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Entries in memory that no block holds.
    pub(crate) fn recent_len(&self) -> usize {
        self.recent.len()
    }

    /// Blocks that should be merged, if there are and this writer leads; at most one
    /// merge at a time.
    pub(crate) fn merge_due(&mut self, now: Timestamp) -> Option<Merge> {
        if !self.leads || self.merging.is_some() || self.blocks.len() < FAN_IN {
            return None;
        }
        let unit = self.shape.entries_max.div_ceil(PAGE_ENTRIES).max(1) as u32;
        // Blocks of one size lie within a factor of four.
        let tier = |block: &Block| (block.pages.div_ceil(unit)).max(1).ilog(FAN_IN as u32);
        let small = |blocks: &&[Block]| {
            blocks.iter().all(|block| tier(block) == tier(&blocks[0]))
                && blocks.iter().map(|block| block.pages).sum::<u32>() <= MERGED_PAGES_MAX
        };
        let window = self.shape.window;
        let lasts = |blocks: &&[Block]| {
            blocks.iter().all(|block| now.since(block.newest) <= window) && small(blocks)
        };
        let inputs = self.blocks.windows(FAN_IN).rfind(lasts)?;
        let id = self.next_merged;
        let merge = Merge {
            tables: self.shape.tables,
            partition: self.partition,
            filter_bits: self.shape.filter_bits,
            inputs: inputs.iter().map(|block| (block.id, block.pages)).collect(),
            id,
            newest: inputs.iter().map(|block| block.newest).max().unwrap_or(self.newest),
            kept_from: now.saturating_sub(self.shape.window),
        };
        self.merging = Some((id, inputs.iter().map(|block| block.pages).sum()));
        self.next_merged += 1;
        Some(merge)
    }

    /// A merge is done: from the next checkpoint on its block is asked instead.
    pub(crate) fn merged(&mut self, merged: Merged) {
        self.merging = None;
        let is_input = |block: &Block| merged.inputs.contains(&block.id);
        // Inputs whose window was over meanwhile are retired already.
        let Some(at) = self.blocks.iter().position(is_input) else {
            self.retired_blocks.push((merged.block.id, merged.block.pages));
            return;
        };
        let gone = self.blocks.iter().filter(|block| is_input(block));
        self.retired_blocks.extend(gone.map(|block| (block.id, block.pages)));
        self.blocks.retain(|block| !is_input(block));
        self.blocks.insert(at, merged.block);
        self.bound_filters();
    }

    fn bound_filters(&mut self) {
        let mut bytes = 0;
        for block in self.blocks.iter_mut().rev() {
            bytes += block.filter.as_ref().map_or(0, |it| it.as_bytes().len());
            bytes += block.firsts.len() * 8;
            if bytes > self.shape.filter_bytes_max {
                block.filter = None;
                block.firsts = Vec::new();
            }
        }
    }

    fn run(&self, run: u64, values: Option<Vec<Value>>) -> Write {
        let key = Key {
            partition: vec![partition_value(self.partition)],
            clustering: vec![Value::uint(run)],
        };
        Write { table: self.shape.tables.runs, generation: 0, key, values, timestamp: run }
    }
}

impl Block {
    fn named(&self) -> pb::IdentityBlock {
        pb::IdentityBlock {
            id: self.id,
            pages: self.pages,
            newest: self.newest.micros(),
            retired: false,
        }
    }
}

/// Nothing may be taken for unknown because of it.
fn deleted(block: u64) -> EngineError {
    let message = format!("block {block} of the index was deleted by whoever leads");
    exchequer_readstore::Fault::retryable(message).into()
}

fn block_key(partition: PartitionId, block: u64) -> Key {
    let partition = vec![partition_value(partition), Value::uint(block)];
    Key { partition, clustering: Vec::new() }
}

fn page_write(
    tables: &'static IndexTables,
    partition: PartitionId,
    block: u64,
    page: u32,
    values: Option<Vec<Value>>,
) -> Write {
    let mut key = block_key(partition, block);
    key.clustering.push(Value::uint(u64::from(page)));
    // A block is written once: what deletes it comes later.
    let timestamp = block + u64::from(values.is_none());
    Write { table: tables.pages, generation: 0, key, values, timestamp }
}

fn filter_write(
    tables: &'static IndexTables,
    partition: PartitionId,
    block: u64,
    values: Option<Vec<Value>>,
) -> Write {
    let key = block_key(partition, block);
    let timestamp = block + u64::from(values.is_none());
    Write { table: tables.filters, generation: 0, key, values, timestamp }
}

fn column(row: &Row, index: usize) -> Bytes {
    row.values.get(index).map(Value::as_bytes).unwrap_or_default()
}
