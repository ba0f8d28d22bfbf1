//! Events into rows. A tenant's row is what the domain's own `evolve` makes of the old one,
//! and those of its features follow from it.

use exchequer_codec::Entry;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Key, RowSet, Table};

use crate::rows::{ENTITLEMENTS, key, row_of, values_of};
use crate::snapshot::{Unfoldable, is_wanted};

/// Needed: the row of each tenant whose entitlements change.
pub(crate) fn reads(entry: &Entry) -> Vec<(&'static Table, Key)> {
    let wanted = entry.commit.events.iter().filter(|event| is_wanted(&event.r#type));
    wanted.map(|event| (&ENTITLEMENTS, key(&event.stream))).collect()
}

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    for (index, event) in entry.commit.events.iter().enumerate() {
        if !is_wanted(&event.r#type) {
            continue;
        }
        if let Err(error) = fold_event(entry, index, event, rows) {
            let (partition, offset, kind) = (entry.partition, entry.offset, &event.r#type);
            rows.fail(format!(
                "partition {partition}, offset {offset}, event {index} ({kind}): {error}"
            ));
            return;
        }
    }
}

fn fold_event(
    entry: &Entry,
    index: usize,
    event: &pb::Event,
    rows: &mut RowSet,
) -> Result<(), Unfoldable> {
    let timestamp = entry.timestamp(index);
    let key = key(&event.stream);
    let (row, at) = match rows.get(&ENTITLEMENTS, &key) {
        Some((values, at)) => (row_of(&event.stream, values)?, at),
        None => Default::default(),
    };
    let (mut snapshot, mut marks) = row;
    if at >= timestamp && !mutation::active(Mutation::DerivedPosition) {
        // This row was written, others of the same batch maybe not.
        marks.write_again(&event.stream, &snapshot.state, rows);
        return Ok(());
    }
    let before = snapshot.state.clone();
    snapshot.take(event)?;
    marks.turn(&event.stream, &before, &snapshot.state, timestamp, rows);
    rows.put(&ENTITLEMENTS, key, values_of(&snapshot, &marks), timestamp);
    Ok(())
}
