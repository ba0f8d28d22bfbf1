//! What the api reads: lists over all partitions, one after the other.

use exchequer_readstore::{Fault, Generation, Key, ReadStore, Row, Scan, Table};
use exchequer_types::PartitionId;
use futures::future::try_join_all;

use crate::rows::{
    DEAD_LETTER_REPLAYS, DEAD_LETTERS, DeadLetter, LetterId, PARKED_STREAMS, ParkedStream, Replay,
    letter_key, parked_key, partition_value,
};

/// A page that has reached this many bytes of records ends there.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Rows that one call looks at: a page of a filtered list may be short.
pub const ROWS_EXAMINED_MAX: usize = 5_000;
/// Rows that are read in one step, each with up to 256 KiB.
const CHUNK_ROWS_MAX: usize = 16;

/// Part of the list of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Letters {
    /// By partition, then by place.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins: behind this one. None on the last page.
    pub next: Option<LetterId>,
}

/// Part of the list of parked streams.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Parked {
    /// By partition, then by stream.
    pub streams: Vec<ParkedStream>,
    /// Where the next page begins: behind this one. None on the last page.
    pub next: Option<(PartitionId, String)>,
}

/// Up to `limit` (at least 1) dead letters of `partitions` partitions, from
/// behind `after` on, of those that `is_wanted`. Fewer, or none, when [`PAGE_BYTES_MAX`] or
/// [`ROWS_EXAMINED_MAX`] is reached before.
pub async fn list(
    store: &dyn ReadStore,
    generation: Generation,
    partitions: u32,
    after: Option<LetterId>,
    limit: usize,
    is_wanted: &(dyn Fn(&DeadLetter) -> bool + Sync),
) -> Result<Letters, Fault> {
    let after = after.map(|id| (id.partition, letter_key(id)));
    let walk = Walk { store, generation, table: &DEAD_LETTERS, partitions, limit };
    let (mut letters, last) = walk.rows(after, DeadLetter::from_row, is_wanted).await?;
    for chunk in letters.chunks_mut(CHUNK_ROWS_MAX) {
        let replays = chunk.iter().map(|letter| replay(store, generation, letter.id));
        let replays = try_join_all(replays).await?;
        for (letter, replay) in chunk.iter_mut().zip(replays) {
            letter.replay = replay;
        }
    }
    Ok(Letters { letters, next: last.map(|letter| letter.id) })
}

async fn replay(
    store: &dyn ReadStore,
    generation: Generation,
    id: LetterId,
) -> Result<Option<Replay>, Fault> {
    let row = store.get(&DEAD_LETTER_REPLAYS, generation, letter_key(id)).await?;
    row.as_ref().map(Replay::from_row).transpose()
}

/// One dead letter.
pub async fn get(
    store: &dyn ReadStore,
    generation: Generation,
    id: LetterId,
) -> Result<Option<DeadLetter>, Fault> {
    let row = store.get(&DEAD_LETTERS, generation, letter_key(id)).await?;
    let Some(row) = row else { return Ok(None) };
    let replay = replay(store, generation, id).await?;
    Ok(Some(DeadLetter { replay, ..DeadLetter::from_row(&row)? }))
}

/// Up to `limit` (at least 1) parked streams of `partitions` partitions, from
/// behind `after` on, of those that `is_wanted`. Fewer, or none, when
/// [`ROWS_EXAMINED_MAX`] is reached before.
pub async fn list_parked(
    store: &dyn ReadStore,
    generation: Generation,
    partitions: u32,
    after: Option<(PartitionId, &str)>,
    limit: usize,
    is_wanted: &(dyn Fn(&ParkedStream) -> bool + Sync),
) -> Result<Parked, Fault> {
    let after = after.map(|(partition, stream)| (partition, parked_key(partition, stream)));
    let walk = Walk { store, generation, table: &PARKED_STREAMS, partitions, limit };
    let (streams, last) = walk.rows(after, ParkedStream::from_row, is_wanted).await?;
    Ok(Parked { streams, next: last.map(|last| (last.partition, last.stream)) })
}

/// A list over all partitions.
struct Walk<'a> {
    store: &'a dyn ReadStore,
    generation: Generation,
    table: &'static Table,
    partitions: u32,
    limit: usize,
}

impl Walk<'_> {
    /// What is wanted from behind `after` on, and, when there may be more, the last one
    /// that was looked at.
    async fn rows<T: Clone>(
        &self,
        after: Option<(PartitionId, Key)>,
        read: impl Fn(&Row) -> Result<T, Fault>,
        is_wanted: &(dyn Fn(&T) -> bool + Sync),
    ) -> Result<(Vec<T>, Option<T>), Fault> {
        let limit = self.limit.max(1);
        let mut found: Vec<T> = Vec::new();
        let mut seen: Option<T> = None;
        let (mut bytes, mut examined) = (0, 0);
        let first = after.as_ref().map_or(0, |(partition, _)| partition.0);
        let mut last = after.map(|(_, key)| key.clustering);
        for partition in first..self.partitions {
            loop {
                let partition = vec![partition_value(PartitionId(partition))];
                let mut scan = Scan::of(self.table, self.generation, partition, CHUNK_ROWS_MAX);
                scan.after = last.take();
                let rows = self.store.scan(scan).await?;
                let is_end = rows.len() < CHUNK_ROWS_MAX;
                for row in &rows {
                    let is_full = found.len() == limit || bytes >= PAGE_BYTES_MAX;
                    if is_full || examined == ROWS_EXAMINED_MAX {
                        return Ok((found, seen));
                    }
                    let item = read(row)?;
                    examined += 1;
                    if is_wanted(&item) {
                        bytes += bytes_of(row);
                        found.push(item.clone());
                    }
                    seen = Some(item);
                }
                if is_end {
                    break;
                }
                last = rows.last().map(|row| row.key.clustering.clone());
            }
        }
        Ok((found, None))
    }
}

fn bytes_of(row: &Row) -> usize {
    row.values.iter().map(|value| value.as_text().len() + value.as_bytes().len()).sum()
}
