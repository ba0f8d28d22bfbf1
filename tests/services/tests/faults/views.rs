//! Every view in the store against a fold from zero, row by row.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_codec::Entry;
use exchequer_e2e::Res;
use exchequer_engine::{View, ViewOf};
use exchequer_projection_access as access;
use exchequer_projection_audit as audit;
use exchequer_projection_catalogs as catalogs;
use exchequer_projection_dead_letters as dead_letters;
use exchequer_projection_entitlements as entitlements;
use exchequer_projection_flags as flags;
use exchequer_projection_meters as meters;
use exchequer_projection_quotas as quotas;
use exchequer_projection_subscriptions as subscriptions;
use exchequer_projection_tenants as tenants;
use exchequer_projection_timers as timers;
use exchequer_projection_usage as usage;
use exchequer_readstore::{Batch, MemoryStore, ReadStore as _, Row, RowSet, Table, load_missing};
use exchequer_readstore_scylla::{MIGRATIONS, ScyllaReadStore, Settings};
use exchequer_types::Hash;

/// The engine's table that says which generation of a view is read.
const GENERATIONS: &str = "views";

/// All views of the journal.
pub(crate) fn views() -> Vec<Arc<dyn View>> {
    vec![
        Arc::new(ViewOf { projection: tenants::TenantsView, tables: tenants::TABLES }),
        Arc::new(ViewOf { projection: access::AccessView, tables: access::TABLES }),
        Arc::new(ViewOf { projection: audit::AuditView, tables: audit::TABLES }),
        Arc::new(ViewOf { projection: timers::TimersView, tables: timers::TABLES }),
        Arc::new(ViewOf {
            projection: dead_letters::DeadLettersView,
            tables: dead_letters::TABLES,
        }),
        Arc::new(ViewOf { projection: catalogs::CatalogsView, tables: catalogs::TABLES }),
        Arc::new(ViewOf {
            projection: subscriptions::SubscriptionsView,
            tables: subscriptions::TABLES,
        }),
        Arc::new(ViewOf {
            projection: entitlements::EntitlementsView,
            tables: entitlements::TABLES,
        }),
        Arc::new(ViewOf { projection: flags::FlagsView, tables: flags::TABLES }),
        Arc::new(ViewOf { projection: meters::MetersView, tables: meters::TABLES }),
        Arc::new(ViewOf { projection: quotas::QuotasView, tables: quotas::TABLES }),
    ]
}

/// What the rows must be.
pub(crate) struct Expected {
    store: MemoryStore,
    views: Vec<Arc<dyn View>>,
}

impl Expected {
    pub(crate) fn new() -> Self {
        Self { store: MemoryStore::new(true), views: views() }
    }

    /// Folds these too.
    pub(crate) async fn fold(&self, entries: &[Entry]) -> Res<()> {
        for view in &self.views {
            for entry in entries {
                self.fold_one(view.as_ref(), entry).await?;
            }
        }
        Ok(())
    }

    async fn fold_one(&self, view: &dyn View, entry: &Entry) -> Res<()> {
        let mut rows = RowSet::default();
        loop {
            let reads = view.reads(entry, &rows);
            if !load_missing(&self.store, 0, &mut rows, reads).await? {
                break;
            }
        }
        view.fold(entry, &mut rows);
        if let Some(failure) = rows.failure() {
            return Err(format!("{}: {failure}", view.name()).into());
        }
        let batch = Batch { rows: rows.into_writes(0), last: Vec::new() };
        Ok(self.store.write(batch).await?)
    }

    /// What differs in the store, by view. Empty when all rows are the same.
    pub(crate) async fn compare(&self, store: &ScyllaReadStore) -> Res<Vec<String>> {
        let generations = generations(store).await?;
        let mut wrong = Vec::new();
        for view in &self.views {
            let Some(active) = generations.get(view.name()) else {
                wrong.push(format!("the view {} has no generation", view.name()));
                continue;
            };
            for table in view.tables() {
                let found = store.snapshot(table, *active).await?;
                let expected = self.store.snapshot(table, 0);
                if hash(&found) != hash(&expected) {
                    let differs = difference(&found, &expected);
                    wrong.push(format!("{}, {}: {differs}", view.name(), table.name));
                }
            }
        }
        Ok(wrong)
    }
}

/// The store as it is read by all.
pub(crate) async fn open(settings: &Settings) -> Res<ScyllaReadStore> {
    let views = views();
    let tables: Vec<&'static Table> = views.iter().flat_map(|it| it.tables()).copied().collect();
    let all = [exchequer_engine::TABLES, usage::TABLES, tables.as_slice()].concat();
    Ok(ScyllaReadStore::open(settings, MIGRATIONS, &all).await?)
}

async fn generations(store: &ScyllaReadStore) -> Res<BTreeMap<String, u64>> {
    let table = exchequer_engine::TABLES.iter().find(|table| table.name == GENERATIONS);
    let rows = store.snapshot(table.ok_or("no table of generations")?, 0).await?;
    let each =
        rows.iter().map(|row| (row.key.partition[0].as_text().to_owned(), row.values[0].as_uint()));
    Ok(each.collect())
}

fn hash(rows: &[Row]) -> Hash {
    Hash::blake3(format!("{rows:?}").as_bytes())
}

fn difference(found: &[Row], expected: &[Row]) -> String {
    let by_key = |rows: &[Row]| -> BTreeMap<_, _> {
        rows.iter().map(|row| (row.key.clone(), row.clone())).collect()
    };
    let (left, right) = (by_key(found), by_key(expected));
    let differs = left.keys().chain(right.keys()).find(|key| left.get(*key) != right.get(*key));
    let shown = |row: Option<&Row>| {
        row.map_or_else(|| "none".to_owned(), |it| format!("{:?} at {}", it.values, it.timestamp))
    };
    let row = differs.map(|key| {
        format!("{key:?} is {}, must be {}", shown(left.get(key)), shown(right.get(key)))
    });
    let (count, wanted) = (found.len(), expected.len());
    format!("{count} rows, must be {wanted}; {}", row.unwrap_or_else(|| "their order".to_owned()))
}
