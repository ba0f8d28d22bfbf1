//! SIM-8: the rows of each view are those of a fold from zero.

use std::collections::BTreeMap;

use exchequer_readstore::{Batch, MemoryStore, ReadStore as _, Row, RowSet, Table, load_missing};
use futures::FutureExt as _;

use super::chain::Chain;
use crate::procs::views;
use crate::world::World;

/// The engine's table of generations, by name.
static VIEWS: Table = Table { name: "views", partition_key: &[], clustering: &[], columns: &[] };

/// The engine's table of readers, by name.
static READERS: Table =
    Table { name: "readers", partition_key: &[], clustering: &[], columns: &[] };

pub(crate) fn check(world: &World, chains: &[Chain]) -> Vec<String> {
    let store = world.store_now();
    let generations: BTreeMap<String, u64> = store
        .snapshot(&VIEWS, 0)
        .into_iter()
        .map(|row| (row.key.partition[0].as_text().to_owned(), row.values[0].as_uint()))
        .collect();
    let mut violations = Vec::new();
    for row in store.snapshot(&READERS, 0) {
        let (reader, generation) =
            (row.key.partition[0].as_text(), row.key.clustering[0].as_uint());
        let Some(view) = reader.strip_prefix("view/") else { continue };
        if generations.get(view).is_some_and(|active| *active != generation) {
            violations.push(format!("SIM-15 generation {generation} of {view} was not dropped"));
        }
    }
    for view in views() {
        let name = view.name();
        let Some(active) = generations.get(name).copied() else {
            violations.push(format!("SIM-8 the view {name} has no generation"));
            continue;
        };
        let expected = MemoryStore::new(true);
        let folded = fold(view.as_ref(), &expected, chains).now_or_never();
        if folded != Some(Ok(())) {
            violations.push(format!("SIM-8 the view {name} cannot be folded: {folded:?}"));
        }
        for table in view.tables() {
            let found = store.snapshot(table, active);
            let expected = expected.snapshot(table, 0);
            if let Some(difference) = difference(&found, &expected) {
                violations.push(format!("SIM-8 {name}, {}: {difference}", table.name));
            }
        }
    }
    violations
}

async fn fold(
    view: &dyn exchequer_engine::View,
    store: &MemoryStore,
    chains: &[Chain],
) -> Result<(), String> {
    for entry in chains.iter().flat_map(|chain| &chain.entries) {
        let mut rows = RowSet::default();
        loop {
            let reads = view.reads(entry, &rows);
            let loaded = load_missing(store, 0, &mut rows, reads).await;
            if !loaded.map_err(|fault| fault.message)? {
                break;
            }
        }
        view.fold(entry, &mut rows);
        if let Some(failure) = rows.failure() {
            return Err(failure.to_owned());
        }
        let batch = Batch { rows: rows.into_writes(0), last: Vec::new() };
        store.write(batch).await.map_err(|fault| fault.message)?;
    }
    Ok(())
}

fn difference(found: &[Row], expected: &[Row]) -> Option<String> {
    let only = |rows: &[Row], others: &[Row]| {
        let row = rows.iter().find(|row| !others.contains(row));
        row.map(|row| format!("{:?} {:?} at {}", row.key, row.values, row.timestamp))
    };
    match (only(found, expected), only(expected, found)) {
        (None, None) => None,
        (found, expected) => Some(format!("found {found:?}, expected {expected:?}")),
    }
}
