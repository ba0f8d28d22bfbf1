//! What a seal says of its records: how many there are of each fate.

use exchequer_metering::Fate;
use exchequer_proto::usage::v1 as pb;

use crate::DecodeError;

/// Counts by fate, in the order of [`Fate::ALL`].
pub type Counts = [u64; Fate::ALL.len()];

pub fn fate_to_proto(fate: Fate) -> pb::Fate {
    match fate {
        Fate::Counted => pb::Fate::Counted,
        Fate::Late => pb::Fate::Late,
        Fate::Duplicate => pb::Fate::Duplicate,
        Fate::Conflicting => pb::Fate::Conflicting,
        Fate::Unmatched => pb::Fate::Unmatched,
        Fate::Invalid => pb::Fate::Invalid,
        Fate::Forwarded => pb::Fate::Forwarded,
    }
}

/// None for a number that is no fate.
pub fn fate_from_proto(fate: i32) -> Option<Fate> {
    Fate::ALL.into_iter().find(|it| i32::from(fate_to_proto(*it)) == fate)
}

/// Counts without those that are 0.
pub fn counts_to_proto(counts: &Counts) -> Vec<pb::FateCount> {
    let all = Fate::ALL.into_iter().zip(counts).filter(|(_, count)| **count > 0);
    all.map(|(fate, count)| pb::FateCount { fate: fate_to_proto(fate).into(), count: *count })
        .collect()
}

/// The same, read. Each fate stands at most once, in order, and is not 0.
pub fn counts_from_proto(counts: &[pb::FateCount]) -> Result<Counts, DecodeError> {
    let malformed = || DecodeError::Field { field: "counts" };
    let mut all = [0; Fate::ALL.len()];
    for it in counts {
        let place = Fate::ALL.into_iter().position(|of| i32::from(fate_to_proto(of)) == it.fate);
        *place.and_then(|place| all.get_mut(place)).ok_or_else(malformed)? = it.count;
    }
    if counts_to_proto(&all) == counts { Ok(all) } else { Err(malformed()) }
}
