//! Sets of unique counts that are too large for their cell: sorted members in rows of
//! their own, first in one, then in one for each first byte. A set is the union of all
//! its rows and its cell, so writing a part of it twice changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_readstore::{Batch, Fault, Key, ReadStore, Scan, Value, Write};
use exchequer_types::{Hash, Period, Timestamp};

use crate::amount::{Amount, MEMBER_BYTES, Member, Members};
use crate::flush::put;
use crate::tables::{GENERATION, Place, USAGE_SETS};
use crate::texts::values;

/// Members that a cell holds itself.
const INLINE_MAX: usize = 16;
/// Members of the first row: further ones go by their first byte. In this crate's tests it
/// takes few.
const FIRST_MAX: usize = if cfg!(test) { 40 } else { 4_096 };
/// Members of one row, 1 MiB: about 16 million of one cell and source partition are told
/// apart; what comes above is not counted.
const PER_ROW_MAX: usize = 65_536;
/// Rows of a set.
const ROWS_MAX: usize = 257;

/// Members that do not fit into their cell.
#[derive(Debug)]
pub(crate) struct Spilled {
    window: Period,
    cell: [u8; 16],
    members: Vec<Member>,
}

/// What several cells could not hold: each set is written once.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    by_cell: BTreeMap<(Period, [u8; 16]), BTreeSet<Member>>,
}

impl Sets {
    pub(crate) fn add(&mut self, spilled: Spilled) {
        let Spilled { window, cell, members } = spilled;
        self.by_cell.entry((window, cell)).or_default().extend(members);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_cell.is_empty()
    }

    pub(crate) fn into_spilled(self) -> impl Iterator<Item = Spilled> {
        self.by_cell.into_iter().map(|((window, cell), members)| Spilled {
            window,
            cell,
            members: members.into_iter().collect(),
        })
    }
}

impl Spilled {
    /// Adds `more` to a cell, as far as it has room. What it holds stays in it: were it
    /// moved to rows that are then not written, it would be nowhere. Where there is no room for
    /// all, rows have everything, what the cell holds too: which ones have room depends on how
    /// the log was cut, and cell and rows that stand in the end may be of different meters.
    pub(crate) fn merge(
        window: Period,
        name: &[u8],
        held: &mut Amount,
        more: &Amount,
    ) -> Option<Self> {
        let (Amount::Unique(held), Amount::Unique(more)) = (&mut *held, more) else {
            held.merge(more);
            return None;
        };
        let room = INLINE_MAX.saturating_sub(held.held.len());
        let new: Vec<Member> = more.held.difference(&held.held).copied().collect();
        let has_room = new.len() <= room;
        let mut members = Vec::new();
        if !has_room {
            members.extend(&more.held);
            // It is the first time: later they are there.
            members.extend(held.held.iter().filter(|_| !held.spilled));
        }
        held.held.extend(new.into_iter().take(room));
        held.spilled |= !has_room;
        (!has_room).then(|| Self { window, cell: cell_id(name, window), members })
    }

    /// What rows may lack of `amount`, which a cell that is behind it holds.
    pub(crate) fn behind(
        window: Period,
        name: &[u8],
        held: &Amount,
        amount: &Amount,
    ) -> Option<Self> {
        let (Amount::Unique(held), Amount::Unique(more)) = (held, amount) else { return None };
        let members = || more.held.iter().copied().collect();
        held.spilled.then(|| Self { window, cell: cell_id(name, window), members: members() })
    }
}

/// A batch in two, to be written one after the other where a store does not write it as a
/// whole: members, and then the cells which rely on them. A cell that came late, of a meter that
/// was overtaken, would else hide those that were in another's.
pub fn members_first(batch: Batch) -> [Batch; 2] {
    let (sets, rows) = batch.rows.into_iter().partition(|it| it.table.name == USAGE_SETS.name);
    [Batch { rows: sets, last: Vec::new() }, Batch { rows, last: batch.last }]
}

/// The rows of a set with further members.
pub(crate) async fn write(
    store: &dyn ReadStore,
    place: &Place<'_>,
    version: u32,
    spilled: Spilled,
    seq: u64,
) -> Result<Vec<Write>, Fault> {
    let Spilled { window, cell, members } = spilled;
    let key = |prefix| place.members(window.start, version, cell, prefix);
    let mut first = read(store, place, window.start, version, cell, None).await?;
    let known = first.len();
    let new: Vec<Member> = members.into_iter().filter(|it| !first.contains(it)).collect();
    if new.is_empty() {
        return Ok(Vec::new());
    }
    if known + new.len() <= FIRST_MAX {
        first.extend(new);
        return Ok(vec![put(&USAGE_SETS, key(None), vec![packed(&first)], seq)]);
    }
    let mut by_prefix: BTreeMap<u8, Vec<Member>> = BTreeMap::new();
    for member in new {
        by_prefix.entry(member[0]).or_default().push(member);
    }
    let mut writes = Vec::new();
    for (prefix, new) in by_prefix {
        let mut members = read(store, place, window.start, version, cell, Some(prefix)).await?;
        let known = members.len();
        // All that begin so, also those of the first row: another may write that one anew.
        let new = first.iter().copied().filter(|it| it[0] == prefix).chain(new);
        for member in new {
            if members.len() < PER_ROW_MAX {
                members.insert(member);
            }
        }
        if members.len() > known {
            writes.push(put(&USAGE_SETS, key(Some(prefix)), vec![packed(&members)], seq));
        }
    }
    Ok(writes)
}

/// All members of a cell that stand in rows of their own, and the latest timestamp of those.
pub(crate) async fn stamped(
    store: &dyn ReadStore,
    place: &Place<'_>,
    window: Period,
    version: u32,
    name: &[u8],
) -> Result<(BTreeSet<Member>, Option<u64>), Fault> {
    let rows = store.scan(rows_of(place, window, version, name)).await?;
    let latest = rows.iter().map(|row| row.timestamp).max();
    Ok((rows.iter().flat_map(|row| unpacked(&row.values)).collect(), latest))
}

fn rows_of(place: &Place<'_>, window: Period, version: u32, name: &[u8]) -> Scan {
    let cell = cell_id(name, window);
    let mut scan = Scan::of(&USAGE_SETS, GENERATION, place.partition(window.start), ROWS_MAX);
    let key = |prefix: i64| {
        let mut clustering = place.members(window.start, version, cell, None).clustering;
        clustering.pop();
        clustering.push(Value::Int(prefix));
        clustering
    };
    (scan.from, scan.to) = (Some(key(-1)), Some(key(256)));
    scan
}

/// The rows of a set that is `held` from now on, key and members, and what its cell has
/// itself. A row that has none any more stays, empty: its timestamp tells how far it is.
pub(crate) async fn replace(
    store: &dyn ReadStore,
    place: &Place<'_>,
    (window, version, name): (Period, u32, &[u8]),
    held: BTreeSet<Member>,
) -> Result<(Members, Vec<(Key, Value)>), Fault> {
    let cell = cell_id(name, window);
    let inline = held.iter().copied().take(INLINE_MAX).collect();
    let spilled = held.len() > INLINE_MAX;
    let mut rows: BTreeMap<Option<u8>, BTreeSet<Member>> = BTreeMap::new();
    let is_few = held.len() <= FIRST_MAX;
    for member in held.into_iter().filter(|_| spilled) {
        rows.entry((!is_few).then_some(member[0])).or_default().insert(member);
    }
    let mut writes = Vec::new();
    for prefix in [None].into_iter().chain((0..=u8::MAX).map(Some)) {
        let key = place.members(window.start, version, cell, prefix);
        if let Some(members) = rows.get(&prefix) {
            writes.push((key, packed(members)));
        } else if store.get(&USAGE_SETS, GENERATION, key.clone()).await?.is_some() {
            writes.push((key, packed(&BTreeSet::new())));
        }
    }
    Ok((Members { held: inline, spilled }, writes))
}

async fn read(
    store: &dyn ReadStore,
    place: &Place<'_>,
    start: Timestamp,
    version: u32,
    cell: [u8; 16],
    prefix: Option<u8>,
) -> Result<BTreeSet<Member>, Fault> {
    let key = place.members(start, version, cell, prefix);
    let row = store.get(&USAGE_SETS, GENERATION, key).await?;
    Ok(row.map(|row| unpacked(&row.values).into_iter().collect()).unwrap_or_default())
}

fn packed(members: &BTreeSet<Member>) -> Value {
    Value::Bytes(members.iter().flatten().copied().collect::<Vec<u8>>().into())
}

fn unpacked(values: &[Value]) -> Vec<Member> {
    let bytes = values.first().map(Value::as_bytes).unwrap_or_default();
    let members = bytes.chunks_exact(MEMBER_BYTES);
    members.map(|member| core::array::from_fn(|at| member[at])).collect()
}

/// Of a cell among all that begin at the same instant.
fn cell_id(name: &[u8], window: Period) -> [u8; 16] {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&window.end.micros().to_le_bytes());
    for text in values(name) {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    let hash = Hash::blake3(&bytes).0;
    core::array::from_fn(|at| hash[at])
}
