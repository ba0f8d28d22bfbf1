//! Blocks are put together, four of about one size into one, so that a look-up asks few
//! filters however many identities there are. Pages are read and written a few at a time,
//! so that memory stays bounded. A merged block counts from the checkpoint on that names it.

use core::iter::Peekable;
use std::vec::IntoIter;

use bytes::Bytes;
use exchequer_readstore::{Batch, ReadStore, Scan, Value, Write};
use exchequer_types::{Identity, PartitionId, Timestamp};

use super::entries::{ENTRY_BYTES, PAGE_ENTRIES, first_of, read_entries, write_entries};
use super::filter::Filter;
use super::{Block, IndexTables, Known, column, filter_write, page_write};
use crate::EngineError;
use crate::tables::partition_value;

/// Blocks that are merged into one.
pub(super) const FAN_IN: usize = 4;
/// The largest merged block.
pub(super) const MERGED_PAGES_MAX: u32 = 32_768;
/// Pages of one block that are read at once.
const READ_PAGES: usize = 16;
/// Pages that are written at once.
const WRITE_PAGES: usize = 64;

/// Blocks to be merged.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(super) tables: &'static IndexTables,
    pub(super) partition: PartitionId,
    /// Number and pages, oldest first.
    pub(super) inputs: Vec<(u64, u32)>,
    pub(super) id: u64,
    pub(super) newest: Timestamp,
    /// What was decided before is left out: its window is over.
    pub(super) kept_from: Timestamp,
    pub(super) filter_bits: usize,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(super) inputs: Vec<u64>,
    pub(super) block: Block,
}

impl Merge {
    /// Reads the blocks and writes one in their place, which nothing names yet.
    pub(crate) async fn run(self, store: &dyn ReadStore) -> Result<Merged, EngineError> {
        let mut readers = Vec::new();
        for (block, pages) in &self.inputs {
            readers.push(Reader::new(*block, *pages));
        }
        let entries = self.inputs.iter().map(|(_, pages)| *pages as usize * PAGE_ENTRIES).sum();
        let mut filter = Filter::with_capacity(entries, self.filter_bits);
        let mut firsts = Vec::new();
        let mut page: Vec<(Identity, Known)> = Vec::with_capacity(PAGE_ENTRIES);
        let mut writes: Vec<Write> = Vec::new();
        loop {
            for reader in &mut readers {
                reader.fill(store, &self).await?;
            }
            // Without a wait, up to the end of what one of them holds.
            let ended = loop {
                let next = match self.next(&mut readers) {
                    Next::Entry(identity, known) => Some((identity, known)),
                    Next::Fill => break false,
                    Next::End => None,
                };
                if let Some((identity, known)) = next {
                    filter.insert(&identity);
                    page.push((identity, known));
                }
                if page.len() == PAGE_ENTRIES || (next.is_none() && !page.is_empty()) {
                    firsts.push(first_of(&page[0].0.0));
                    let bytes = write_entries(page.drain(..));
                    let number = firsts.len() as u32 - 1;
                    let values = Some(vec![Value::Bytes(bytes)]);
                    writes.push(page_write(self.tables, self.partition, self.id, number, values));
                }
                if next.is_none() {
                    break true;
                }
            };
            if ended {
                break;
            }
            if writes.len() >= WRITE_PAGES {
                let rows = core::mem::take(&mut writes);
                store.write(Batch { rows, last: Vec::new() }).await?;
            }
        }
        let pages: Vec<u8> = firsts.iter().flat_map(|first| first.to_be_bytes()).collect();
        let values =
            vec![Bytes::copy_from_slice(filter.as_bytes()), Bytes::from(pages)].into_iter();
        let values = Some(values.map(Value::Bytes).collect());
        writes.push(filter_write(self.tables, self.partition, self.id, values));
        store.write(Batch { rows: writes, last: Vec::new() }).await?;
        let block = Block {
            id: self.id,
            pages: firsts.len() as u32,
            newest: self.newest,
            filter: Some(filter),
            firsts,
        };
        Ok(Merged { inputs: self.inputs.iter().map(|(id, _)| *id).collect(), block })
    }

    /// The least entry of all; of two with one identity the later block's.
    fn next(&self, readers: &mut [Reader]) -> Next {
        loop {
            let mut least: Option<Identity> = None;
            for reader in readers.iter_mut() {
                match reader.held.peek() {
                    Some((it, _)) => least = Some(least.map_or(*it, |least| least.min(*it))),
                    None if reader.next_page < reader.pages => return Next::Fill,
                    None => {}
                }
            }
            let Some(least) = least else { return Next::End };
            let taken = readers.iter_mut().filter_map(|reader| reader.take(&least));
            let found = taken.last().filter(|known| known.at >= self.kept_from);
            if let Some(known) = found {
                return Next::Entry(least, known);
            }
        }
    }
}

/// What comes next of a merge.
enum Next {
    Entry(Identity, Known),
    /// First a reader must have pages again.
    Fill,
    End,
}

/// Reads one block from its first page to its last.
#[derive(Debug)]
struct Reader {
    block: u64,
    pages: u32,
    next_page: u32,
    held: Peekable<IntoIter<(Identity, Known)>>,
}

impl Reader {
    fn new(block: u64, pages: u32) -> Self {
        Self { block, pages, next_page: 0, held: Vec::new().into_iter().peekable() }
    }

    /// Reads the next pages, when it holds nothing more.
    async fn fill(&mut self, store: &dyn ReadStore, merge: &Merge) -> Result<(), EngineError> {
        if self.held.peek().is_none() && self.next_page < self.pages {
            let partition = vec![partition_value(merge.partition), Value::uint(self.block)];
            let mut scan = Scan::of(merge.tables.pages, 0, partition, READ_PAGES);
            scan.from = Some(vec![Value::uint(u64::from(self.next_page))]);
            let rows = store.scan(scan).await?;
            let missing = (self.pages - self.next_page).min(READ_PAGES as u32) as usize;
            if rows.len() < missing {
                let message = "a block of the index was deleted while it was merged";
                return Err(exchequer_readstore::Fault::retryable(message).into());
            }
            self.next_page += missing as u32;
            let mut held = Vec::with_capacity(rows.len() * PAGE_ENTRIES);
            for row in rows.iter().take(missing) {
                let bytes = column(row, 0);
                debug_assert_eq!(bytes.len() % ENTRY_BYTES, 0);
                held.extend(read_entries(&bytes));
            }
            self.held = held.into_iter().peekable();
        }
        Ok(())
    }

    /// The next entry, if it is that of `identity`.
    fn take(&mut self, identity: &Identity) -> Option<Known> {
        self.held.next_if(|(it, _)| it == identity).map(|(_, known)| known)
    }
}
