//! What became of records, as lists and counts: from the rows and from what is in memory.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_metering::{EventIdentity, Fate};
use exchequer_readstore::{Fault, ReadStore, Row, Scan, Value};
use exchequer_types::{Offset, PartitionId, Timestamp};

use crate::bytes::Damaged;
use crate::checkpoint::checkpoint;
use crate::live::{LiveUsage, Position};
use crate::notes::{Counts, Kind, Listed, Note, hour};
use crate::query::QueryError;
use crate::tables::{GENERATION, USAGE_FATES, USAGE_LISTED, receipt_rows};

const HOUR_MICROS: i64 = 3_600_000_000;
/// Hours whose counts are looked at in one step.
const HOURS_AT_ONCE: i64 = 24;
/// Hours of a list that one call looks through.
const HOURS_EXAMINED_MAX: usize = 1_024;
/// Rows read in one step.
const CHUNK_ROWS_MAX: usize = 256;
/// Records under one identity that are told.
pub const RELATED_MAX: usize = 100;
const TRIES_MAX: usize = 8;

/// Where an item of a list stands in it.
pub type ListPlace = (Timestamp, u32, Offset);

/// Which items are wanted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub tenant: &'a str,
    pub kinds: &'a [Kind],
    /// Of receipt; the end is excluded.
    pub from: Timestamp,
    pub to: Timestamp,
    /// Only those that come behind it: earlier ones.
    pub after: Option<ListPlace>,
    /// At least 1.
    pub limit: usize,
}

/// Part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPage {
    /// Newest first.
    pub items: Vec<Listed>,
    /// Behind which the next page begins; None on the last one.
    pub next: Option<ListPlace>,
}

/// A page of what `wanted` names, of the items that `is_wanted`.
pub async fn listed(
    store: &dyn ReadStore,
    live: &LiveUsage,
    wanted: &Wanted<'_>,
    is_wanted: &(dyn Fn(&Listed) -> bool + Sync),
) -> Result<ListedPage, QueryError> {
    // Memory first: what is written meanwhile is found in the rows.
    let held = held(live, wanted.tenant, |note| wanted.kinds.contains(&note.kind))?;
    let matched = held_matches(live, wanted.tenant);
    let (mut page, mut examined) = (ListedPage::default(), 0);
    let first = wanted.after.map_or(wanted.to, |after| after.0.max(Timestamp::MIN));
    let mut end = Timestamp::saturating_from_micros(hour(first).micros() + HOUR_MICROS);
    while end > wanted.from {
        let start = hour(Timestamp::saturating_from_micros(
            (end.micros() - HOURS_AT_ONCE * HOUR_MICROS).max(hour(wanted.from).micros()),
        ));
        let mut hours = hours_of(store, live, wanted, start, end).await?;
        hours.extend(
            held.iter().map(|it| hour(it.received_at)).filter(|it| (start..end).contains(it)),
        );
        for at in hours.into_iter().rev() {
            examined += 1;
            let mut items = of_hour(store, wanted, at).await?;
            items.extend(held.iter().filter(|it| hour(it.received_at) == at).cloned());
            items.sort_unstable_by_key(|it| core::cmp::Reverse(place(it)));
            items.dedup_by_key(|it| (it.kind, place(it)));
            for item in items {
                let at = place(&item);
                let is_in = (wanted.from..wanted.to).contains(&item.received_at)
                    && wanted.after.is_none_or(|after| at < after)
                    && !(item.kind == Kind::Fate(Fate::Unmatched) && matched.contains(&at));
                if !is_in || !is_wanted(&item) {
                    continue;
                }
                // A record that stands in two lists comes on one page: behind its place is none.
                let is_more = page.items.last().is_some_and(|last| place(last) != at);
                if page.items.len() >= wanted.limit && is_more {
                    page.next = page.items.last().map(place);
                    return Ok(page);
                }
                page.items.push(item);
            }
            if examined >= HOURS_EXAMINED_MAX {
                page.next = Some((at, 0, 0));
                return Ok(page);
            }
        }
        end = start;
    }
    Ok(page)
}

/// Records with this identity that were not simply counted, newest first, at most
/// [`RELATED_MAX`].
pub async fn related(
    store: &dyn ReadStore,
    live: &LiveUsage,
    tenant: &str,
    identity: EventIdentity,
) -> Result<Vec<Listed>, QueryError> {
    let mut found =
        held(live, tenant, |note| note.identity == identity && note.kind != Kind::Unusable)?;
    let partition =
        vec![Value::text(tenant), Value::Bytes(bytes::Bytes::copy_from_slice(&identity.0))];
    let mut scan = Scan::of(&USAGE_FATES, GENERATION, partition, RELATED_MAX);
    scan.reverse = true;
    for row in store.scan(scan).await? {
        let kind = row.values.first().map_or("", Value::as_text);
        let kind = Kind::parse(kind).ok_or(Damaged)?;
        let at = |index: usize| row.values.get(index);
        let received_at = Timestamp::saturating_from_micros(at(2).map_or(0, Value::as_int));
        let source = uint32(row.key.clustering.first());
        let offset = row.key.clustering.get(1).map_or(0, Value::as_uint);
        let detail = at(3).map(Value::as_bytes).unwrap_or_default();
        let seal = at(1).map_or(0, Value::as_uint);
        found.push(Listed::read(kind, (received_at, source, offset), seal, &detail)?);
    }
    found.sort_by_key(|it| core::cmp::Reverse((place(it), it.seal)));
    found.dedup_by_key(|it| place(it));
    found.truncate(RELATED_MAX);
    Ok(found)
}

/// Counts by hour of receipt, from `from` to `to`, and how far the source partitions are.
pub async fn reconcile(
    store: &dyn ReadStore,
    live: &LiveUsage,
    tenant: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<(BTreeMap<Timestamp, Counts>, Vec<Position>), QueryError> {
    let (mut hours, mut positions) = (BTreeMap::new(), Vec::new());
    for partition in (0..live.partitions()).map(PartitionId) {
        let mut tries = 0;
        let (own, position) = loop {
            tries += 1;
            match of_source(store, live, tenant, partition, from, to).await? {
                Some(found) => break found,
                None if tries == TRIES_MAX => return Err(QueryError::Moving { partition }),
                None => {}
            }
        };
        positions.push(position);
        for (hour, counts) in own {
            hours.entry(hour).or_insert_with(Counts::default).add(&counts);
        }
    }
    Ok((hours, positions))
}

type Hours = BTreeMap<Timestamp, Counts>;

/// None when the partition was written meanwhile.
async fn of_source(
    store: &dyn ReadStore,
    live: &LiveUsage,
    tenant: &str,
    partition: PartitionId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<(Hours, Position)>, QueryError> {
    let before = checkpoint(store, partition).await?.unwrap_or_default();
    let (mut hours, mut held, mut ends) = (Hours::new(), Vec::new(), BTreeSet::new());
    let in_memory = match live.source(partition) {
        None => None,
        Some(source) => {
            let Some(parts) = source.behind(before.seal) else { return Ok(None) };
            for part in parts {
                ends.insert(part.to());
                for (hour, tenants) in part.notes.hours.range(from..to) {
                    held.extend(tenants.get(tenant).map(|it| (*hour, part.to(), *it)));
                }
            }
            Some(source.position())
        }
    };
    let (mut moved, mut at) = (false, BTreeMap::new());
    for (hour, counts, seal) in counts(store, tenant, partition, from, to).await? {
        // Of a batch that is not whole yet: what memory adds must begin where it ends.
        moved |= seal > before.seal && !ends.contains(&seal);
        at.insert(hour, seal);
        hours.entry(hour).or_default().add(&counts);
    }
    for (hour, end, counts) in held {
        if at.get(&hour).is_none_or(|seal| *seal < end) {
            hours.entry(hour).or_default().add(&counts);
        }
    }
    let after = checkpoint(store, partition).await?.unwrap_or_default();
    if moved || after.seal != before.seal {
        return Ok(None);
    }
    let stored = Position { seal: before.seal, offset: before.offset, through: before.through };
    let position = in_memory.filter(|it| it.seal >= stored.seal).unwrap_or(stored);
    Ok(Some((hours, position)))
}

/// Rows of counts: hour, counts, and the seal that they are at.
async fn counts(
    store: &dyn ReadStore,
    tenant: &str,
    partition: PartitionId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<(Timestamp, Counts, u64)>, QueryError> {
    let mut rows = receipt_rows(store, (tenant, partition), (from, to), CHUNK_ROWS_MAX);
    let mut found = Vec::new();
    loop {
        let some = rows.next().await?;
        if some.is_empty() {
            return Ok(found);
        }
        for row in some {
            let hour = row.key.clustering.get(1).map_or(0, Value::as_int);
            let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
            let hour = Timestamp::saturating_from_micros(hour);
            found.push((hour, Counts::read(&bytes)?, row.timestamp >> 16));
        }
    }
}

/// Hours in `start..end` of which rows have items that are wanted.
async fn hours_of(
    store: &dyn ReadStore,
    live: &LiveUsage,
    wanted: &Wanted<'_>,
    start: Timestamp,
    end: Timestamp,
) -> Result<BTreeSet<Timestamp>, QueryError> {
    let mut hours = BTreeSet::new();
    for partition in (0..live.partitions()).map(PartitionId) {
        let found = counts(store, wanted.tenant, partition, start, end).await?;
        let has_any = |counts: &Counts| wanted.kinds.iter().any(|kind| counts.of(*kind) > 0);
        let with_any = found.into_iter().filter(|(_, counts, _)| has_any(counts));
        hours.extend(with_any.map(|(hour, _, _)| hour));
    }
    Ok(hours)
}

/// Items of one hour, of each kind as many as a page takes.
async fn of_hour(
    store: &dyn ReadStore,
    wanted: &Wanted<'_>,
    at: Timestamp,
) -> Result<Vec<Listed>, Fault> {
    let mut items = Vec::new();
    for kind in wanted.kinds {
        let of =
            vec![Value::text(wanted.tenant), Value::text(kind.as_str()), Value::Int(at.micros())];
        let mut scan = Scan::of(&USAGE_LISTED, GENERATION, of, wanted.limit + 1);
        scan.reverse = true;
        scan.to = Some(vec![Value::Int(wanted.to.micros())]);
        scan.after = wanted.after.map(|(received_at, source, offset)| {
            vec![
                Value::Int(received_at.micros()),
                Value::Int(i64::from(source)),
                Value::uint(offset),
            ]
        });
        for row in store.scan(scan).await? {
            items.push(item(*kind, &row).map_err(|error| Fault::lasting(error.to_string()))?);
        }
    }
    Ok(items)
}

fn item(kind: Kind, row: &Row) -> Result<Listed, Damaged> {
    let received_at = row.key.clustering.first().map_or(0, Value::as_int);
    let received_at = Timestamp::saturating_from_micros(received_at);
    let source = uint32(row.key.clustering.get(1));
    let offset = row.key.clustering.get(2).map_or(0, Value::as_uint);
    let seal = row.values.first().map_or(0, Value::as_uint);
    let detail = row.values.get(1).map(Value::as_bytes).unwrap_or_default();
    Listed::read(kind, (received_at, source, offset), seal, &detail)
}

/// Items that are not written yet.
fn held(
    live: &LiveUsage,
    tenant: &str,
    is_wanted: impl Fn(&Note) -> bool,
) -> Result<Vec<Listed>, Damaged> {
    let mut found = Vec::new();
    for source in live.each() {
        let number = source.partition().0;
        let notes = source.parts().flat_map(|part| &part.notes.listed);
        for note in notes.filter(|note| *note.tenant == *tenant && is_wanted(note)) {
            found.push(Listed::of(note, number)?);
        }
    }
    Ok(found)
}

/// Records that are matched since, as far as that is not written yet.
fn held_matches(live: &LiveUsage, tenant: &str) -> BTreeSet<ListPlace> {
    let mut found = BTreeSet::new();
    for source in live.each() {
        let number = source.partition().0;
        let notes = source.parts().flat_map(|part| &part.notes.listed);
        let matches = notes.filter(|note| *note.tenant == *tenant && note.kind == Kind::Matched);
        found.extend(matches.map(|note| (note.received_at, number, note.offset)));
    }
    found
}

fn place(it: &Listed) -> ListPlace {
    (it.received_at, it.source_partition, it.offset)
}

fn uint32(value: Option<&Value>) -> u32 {
    value.map_or(0, Value::as_uint).try_into().unwrap_or(u32::MAX)
}
