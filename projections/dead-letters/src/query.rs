//! What the api reads: lists over all partitions, one after the other.

use exchequer_readstore::{Fault, Generation, Key, ReadStore, Row, Scan, Table};
use exchequer_types::PartitionId;

use crate::rows::{
    DEAD_LETTERS, DeadLetter, LetterId, PARKED_STREAMS, ParkedStream, letter_key, parked_key,
    partition_value,
};

/// A page that has reached this many bytes of records ends there.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
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
/// behind `after` on. Fewer when [`PAGE_BYTES_MAX`] is reached before.
pub async fn list(
    store: &dyn ReadStore,
    generation: Generation,
    partitions: u32,
    after: Option<LetterId>,
    limit: usize,
) -> Result<Letters, Fault> {
    let after = after.map(|id| (id.partition, letter_key(id)));
    let walk = Walk { store, generation, table: &DEAD_LETTERS, partitions, limit };
    let (rows, is_cut) = walk.rows(after).await?;
    let letters = rows.iter().map(DeadLetter::from_row).collect::<Result<Vec<_>, _>>()?;
    let next = letters.last().filter(|_| is_cut).map(|letter| letter.id);
    Ok(Letters { letters, next })
}

/// One dead letter.
pub async fn get(
    store: &dyn ReadStore,
    generation: Generation,
    id: LetterId,
) -> Result<Option<DeadLetter>, Fault> {
    let row = store.get(&DEAD_LETTERS, generation, letter_key(id)).await?;
    row.as_ref().map(DeadLetter::from_row).transpose()
}

/// Up to `limit` (at least 1) parked streams of `partitions` partitions, from
/// behind `after` on.
pub async fn list_parked(
    store: &dyn ReadStore,
    generation: Generation,
    partitions: u32,
    after: Option<(PartitionId, &str)>,
    limit: usize,
) -> Result<Parked, Fault> {
    let after = after.map(|(partition, stream)| (partition, parked_key(partition, stream)));
    let walk = Walk { store, generation, table: &PARKED_STREAMS, partitions, limit };
    let (rows, is_cut) = walk.rows(after).await?;
    let streams = rows.iter().map(ParkedStream::from_row).collect::<Result<Vec<_>, _>>()?;
    let next = streams.last().filter(|_| is_cut);
    let next = next.map(|last| (last.partition, last.stream.clone()));
    Ok(Parked { streams, next })
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
    /// Rows from behind `after` on, and whether there are more.
    async fn rows(&self, after: Option<(PartitionId, Key)>) -> Result<(Vec<Row>, bool), Fault> {
        let limit = self.limit.max(1);
        let mut found: Vec<Row> = Vec::new();
        let mut bytes = 0;
        let first = after.as_ref().map_or(0, |(partition, _)| partition.0);
        let mut last = after.map(|(_, key)| key.clustering);
        for partition in first..self.partitions {
            loop {
                let partition = vec![partition_value(PartitionId(partition))];
                let mut scan = Scan::of(self.table, self.generation, partition, CHUNK_ROWS_MAX);
                scan.after = last.take();
                let rows = self.store.scan(scan).await?;
                let is_end = rows.len() < CHUNK_ROWS_MAX;
                for row in rows {
                    if found.len() == limit || bytes >= PAGE_BYTES_MAX {
                        return Ok((found, true));
                    }
                    bytes += bytes_of(&row);
                    found.push(row);
                }
                if is_end {
                    break;
                }
                last = found.last().map(|row| row.key.clustering.clone());
            }
        }
        Ok((found, false))
    }
}

fn bytes_of(row: &Row) -> usize {
    row.values.iter().map(|value| value.as_text().len() + value.as_bytes().len()).sum()
}
