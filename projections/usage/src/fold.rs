//! Coarser windows from minutes: an hour's cell is that of its minutes together, and it
//! came first when the first of these did.

use exchequer_types::Period;

use crate::amount::Amount;
use crate::hashing::NumberMap;
use crate::tables::Kept;
use crate::window::{Of, Window};

/// A cell of a window, as a segment adds to it.
#[derive(Clone, Debug)]
pub(crate) struct Added {
    pub(crate) window: Period,
    /// Number of its group or subject in the segment.
    pub(crate) name: u32,
    pub(crate) arrival: u32,
    pub(crate) amount: Amount,
}

/// What `parts` of a series add to the windows of one length, in the order in which cells
/// first came. `of` says whether by group or by subject; `wants` leaves out windows.
pub(crate) fn fold<'w>(
    parts: impl Iterator<Item = &'w Window>,
    kept: Kept,
    of: Of,
    wants: impl Fn(Period) -> bool,
) -> Vec<Added> {
    let parts: Vec<(Period, &Window)> = parts
        .filter_map(|part| Some((window(part, kept).filter(|it| wants(*it))?, part)))
        .collect();
    let mut folded: Vec<Added> = Vec::with_capacity(parts.len());
    // Most windows come of one part; cells of the others are looked up.
    let mut parts_of: NumberMap<(i64, i64), usize> = NumberMap::default();
    for (window, _) in &parts {
        *parts_of.entry((window.start.micros(), window.end.micros())).or_default() += 1;
    }
    let mut places: NumberMap<(i64, i64, u32), usize> = NumberMap::default();
    for (window, part) in &parts {
        let (start, end) = (window.start.micros(), window.end.micros());
        let is_shared = parts_of.get(&(start, end)).is_some_and(|parts| *parts > 1);
        for (name, arrival, amount) in part.cells(of) {
            if is_shared {
                let at = *places.entry((start, end, name)).or_insert(folded.len());
                if let Some(known) = folded.get_mut(at) {
                    known.arrival = known.arrival.min(arrival);
                    known.amount.merge(&amount);
                    continue;
                }
            }
            folded.push(Added { window: *window, name, arrival, amount });
        }
    }
    folded.sort_by_key(|it| it.arrival);
    folded
}

/// The window of that length which a part counts in.
pub(crate) fn window(part: &Window, kept: Kept) -> Option<Period> {
    match kept {
        Kept::Period => part.period,
        kept => kept.window(part.minute?),
    }
}
