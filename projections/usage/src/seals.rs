//! Where records of the usage log stand among the seals: which seal tells of one, and
//! where those of a range of time may be.

use exchequer_readstore::{Fault, ReadStore, Row, Scan, Value};
use exchequer_types::{Offset, PartitionId, Timestamp};

use crate::live::LiveUsage;
use crate::notes::Sealed;
use crate::tables::{GENERATION, USAGE_SEALS};

/// Seals that are looked through in one step.
pub const SEALS_EXAMINED_MAX: usize = 4_096;
const CHUNK_ROWS_MAX: usize = 256;

/// The seal that tells of the record at `offset`; none when there is no such one yet.
pub async fn seal_of(
    store: &dyn ReadStore,
    live: &LiveUsage,
    partition: PartitionId,
    offset: Offset,
) -> Result<Option<Sealed>, Fault> {
    let covers = |it: &Sealed| it.from <= offset && offset < it.to;
    if let Some(found) = held(live, partition).into_iter().find(covers) {
        return Ok(Some(found));
    }
    let mut scan = scan(partition, 1);
    scan.reverse = true;
    scan.to = Some(vec![Value::uint(offset.saturating_add(1))]);
    let rows = store.scan(scan).await?;
    Ok(rows.first().map(read).filter(covers))
}

/// Ranges of a partition, from `after` on, in which events of `from..to` may be; and where
/// to look next when there may be more.
pub async fn ranges(
    store: &dyn ReadStore,
    live: &LiveUsage,
    partition: PartitionId,
    (from, to): (Timestamp, Timestamp),
    after: Offset,
) -> Result<(Vec<(Offset, Offset)>, Option<Offset>), Fault> {
    let is_in = |it: &Sealed| {
        it.to > after && it.times.is_some_and(|(first, last)| first < to && from <= last)
    };
    // Memory first: what is written meanwhile is found in the rows. Where a write was cut
    // off, some of it stands between rows.
    let mut held = held(live, partition).into_iter().peekable();
    let mut found: Vec<(Offset, Offset)> = Vec::new();
    let mut take = |it: &Sealed| match found.last_mut() {
        Some(last) if last.1 >= it.from => last.1 = last.1.max(it.to),
        _ => found.push((it.from.max(after), it.to)),
    };
    // The one that `after` lies in begins before it.
    let first = seal_of(store, live, partition, after).await?;
    let mut next = first.as_ref().map_or(after, |it| it.from);
    let mut examined = 0;
    loop {
        let mut scan = scan(partition, CHUNK_ROWS_MAX);
        scan.from = Some(vec![Value::uint(next)]);
        let rows = store.scan(scan).await?;
        for row in &rows {
            let seal = read(row);
            while let Some(held) = held.next_if(|it| it.from < seal.from) {
                [held].iter().filter(|it| it.from >= next && is_in(it)).for_each(&mut take);
            }
            [seal].iter().filter(|it| is_in(it)).for_each(&mut take);
            next = seal.to;
        }
        examined += rows.len();
        if rows.len() < CHUNK_ROWS_MAX {
            break;
        }
        if examined >= SEALS_EXAMINED_MAX {
            return Ok((found, Some(next)));
        }
    }
    held.filter(|it| it.from >= next && is_in(it)).for_each(|it| take(&it));
    Ok((found, None))
}

fn scan(partition: PartitionId, rows_max: usize) -> Scan {
    Scan::of(&USAGE_SEALS, GENERATION, vec![Value::Int(i64::from(partition.0))], rows_max)
}

/// Seals that are not written yet, ascending.
fn held(live: &LiveUsage, partition: PartitionId) -> Vec<Sealed> {
    let Some(source) = live.source(partition) else { return Vec::new() };
    source.parts().flat_map(|part| part.notes.seals.iter().copied()).collect()
}

fn read(row: &Row) -> Sealed {
    let uint = |at: usize| row.values.get(at).map_or(0, Value::as_uint);
    let instant =
        |at: usize| Timestamp::saturating_from_micros(row.values.get(at).map_or(0, Value::as_int));
    let times = (instant(4), instant(5));
    Sealed {
        seq: uint(0),
        offset: uint(1),
        from: row.key.clustering.first().map_or(0, Value::as_uint),
        to: uint(2),
        through: instant(3),
        times: (times.0 <= times.1).then_some(times),
    }
}
