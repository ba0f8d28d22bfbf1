//! The suite that every view passes, with this store under it: rows are the same as in memory,
//! in whatever batches they were folded, after a replay and after a batch that was cut off.

use exchequer_kernel::Projection;
use exchequer_readstore::views::{Comparable, Suite};
use exchequer_readstore::{Column, Generation, Key, Kind, Row, RowSet, Table, Value};
use futures::future::BoxFuture;

use crate::support::{Apart, Keyspace};

/// Of each batch that was cut off, so many selections of rows.
const TRIALS_MAX: usize = 10;

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

static TALLIES: Table = Table {
    name: "tallies",
    partition_key: &[text("tenant")],
    clustering: &[text("name")],
    columns: &[int("count"), text("last")],
};

static LATEST: Table = Table {
    name: "latest",
    partition_key: &[text("tenant")],
    clustering: &[],
    columns: &[text("name"), Column { name: "digest", kind: Kind::Bytes }],
};

const TABLES: &[&Table] = &[&TALLIES, &LATEST];

#[derive(Clone, Copy, Debug)]
enum Event {
    Added(&'static str),
    Removed,
}

/// Position, tenant, name, and what happened.
type Entry = (u64, &'static str, &'static str, Event);

/// A row derived from its old value, one that is replaced, and rows that go and come back.
#[derive(Clone, Copy, Debug)]
struct Tallies;

impl Projection for Tallies {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "tallies";
    const VERSION: u32 = 1;

    fn reads(&self, (_, tenant, name, _): &Entry, _: &RowSet) -> Vec<(&'static Table, Key)> {
        vec![(&TALLIES, tally_key(tenant, name))]
    }

    fn fold(&self, (at, tenant, name, event): &Entry, rows: &mut RowSet) {
        let key = tally_key(tenant, name);
        let before = rows.get(&TALLIES, &key).map(|(values, folded)| (values[0].as_int(), folded));
        match event {
            Event::Added(last) if before.is_none_or(|(_, folded)| folded < *at) => {
                let count = before.map_or(0, |(count, _)| count) + 1;
                rows.put(&TALLIES, key, vec![Value::Int(count), Value::text(*last)], *at);
            }
            Event::Removed if before.is_none_or(|(_, folded)| folded < *at) => {
                rows.delete(&TALLIES, key, *at);
            }
            Event::Added(_) | Event::Removed => {}
        }
        let latest = Key { partition: vec![Value::text(*tenant)], clustering: Vec::new() };
        let digest = Value::Bytes(vec![0, u8::try_from(*at & 0xff).unwrap()].into());
        rows.put(&LATEST, latest, vec![Value::text(*name), digest], *at);
    }
}

fn tally_key(tenant: &str, name: &str) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: vec![Value::text(name)] }
}

impl Comparable for Apart<'_> {
    fn all(&self, table: &'static Table, generation: Generation) -> BoxFuture<'_, Vec<Row>> {
        let generation = self.moved(generation);
        Box::pin(async move { self.store.snapshot(table, generation).await.unwrap() })
    }
}

fn history() -> Vec<Entry> {
    use Event::{Added, Removed};
    let at = |seq: u64, index: u64| (seq << 16) | index;
    vec![
        (at(1, 0), "acme", "a", Added("x")),
        (at(1, 1), "acme", "a", Added("y")),
        (at(2, 0), "beta", "a", Added("")),
        (at(2, 1), "acme", "b", Added("é")),
        (at(3, 0), "acme", "a", Removed),
        (at(3, 1), "acme", "a", Added("back")),
        (at(4, 0), "beta", "a", Removed),
        (at(5, 0), "acme", "b", Added("z")),
        (at(5, 1), "gamma", "c", Added("only")),
    ]
}

// REQ: KER-06
#[tokio::test]
async fn rows_are_the_same_in_whatever_batches() {
    let keyspace = Keyspace::create("batches", TABLES).await;
    let store = keyspace.open(TABLES).await;
    let suite = Suite { projection: Tallies, tables: TABLES };
    suite.check_batches_on(|| Apart::new(&store), &history()).await;
    keyspace.drop().await;
}

// REQ: KER-06
#[tokio::test]
async fn rows_are_the_same_after_a_batch_that_was_cut_off() {
    let keyspace = Keyspace::create("cut_offs", TABLES).await;
    let store = keyspace.open(TABLES).await;
    let suite = Suite { projection: Tallies, tables: TABLES };
    suite.check_cut_offs_on(|| Apart::new(&store), &history(), TRIALS_MAX).await;
    keyspace.drop().await;
}
