//! A kind of snapshots that tells whatever is lost, doubled or out of order: the
//! list of all events of a tenant. Kept in two forms: one row, or a row an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use exchequer_codec::Entry;
use exchequer_kernel::{Live, Projection};
use exchequer_readstore::{
    Column, Fault, Generation, Key, Kind, LoadLive, Loaded, ReadStore, RowSet, Scan, Table, Value,
};
use exchequer_types::{StreamId, TenantId};
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

static LISTS: Table = Table {
    name: "toy_lists",
    partition_key: &[column("stream", Kind::Text)],
    clustering: &[],
    columns: &[column("events", Kind::Text)],
};

static EVENTS: Table = Table {
    name: "toy_events",
    partition_key: &[column("stream", Kind::Text)],
    clustering: &[column("position", Kind::Int)],
    columns: &[column("event", Kind::Text)],
};

pub(crate) const TABLES: &[&Table] = &[&LISTS, &EVENTS];

fn list_key(stream: &str) -> Key {
    Key { partition: vec![Value::text(stream)], clustering: Vec::new() }
}

/// An event of no tenant is of no interest.
fn events(entry: &Entry) -> impl Iterator<Item = (&str, u64, String)> {
    entry.commit.events.iter().enumerate().filter(|(_, it)| !it.stream.starts_with('~')).map(
        |(index, event)| {
            let at = entry.timestamp(index);
            (event.stream.as_str(), at, format!("{at}:{};", event.r#type))
        },
    )
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ToyView;

impl Projection for ToyView {
    type Entry = Entry;
    type Rows = RowSet;
    type Key = (&'static Table, Key);

    const NAME: &'static str = "toy";
    const VERSION: u32 = 1;

    fn reads(&self, entry: &Entry, _: &RowSet) -> Vec<Self::Key> {
        events(entry).map(|(stream, _, _)| (&LISTS, list_key(stream))).collect()
    }

    fn fold(&self, entry: &Entry, rows: &mut RowSet) {
        for (stream, at, event) in events(entry) {
            let key =
                Key { partition: vec![Value::text(stream)], clustering: vec![Value::uint(at)] };
            rows.put(&EVENTS, key, vec![Value::text(&event)], at);
            let (old, position) = match rows.get(&LISTS, &list_key(stream)) {
                Some((values, position)) => (values[0].as_text().to_owned(), position),
                None => (String::new(), 0),
            };
            if position < at {
                rows.put(&LISTS, list_key(stream), vec![Value::text(old + &event)], at);
            }
        }
    }
}

/// What a test holds back and counts.
#[derive(Debug)]
pub(crate) struct Gate {
    /// A load passes it before it reads, and again behind.
    pub(crate) before: Semaphore,
    pub(crate) behind: Semaphore,
    pub(crate) loads: AtomicUsize,
    /// Folds that fail from now on.
    pub(crate) failures: AtomicUsize,
}

impl Gate {
    pub(crate) fn open() -> Arc<Self> {
        Arc::new(Self {
            before: Semaphore::new(Semaphore::MAX_PERMITS),
            behind: Semaphore::new(Semaphore::MAX_PERMITS),
            loads: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
        })
    }
}

/// `ROWS`: is it read from a row an event?
#[derive(Clone, Debug)]
pub(crate) struct Toy<const ROWS: bool>(pub(crate) Arc<Gate>);

impl<const ROWS: bool> Live for Toy<ROWS> {
    type Entry = Entry;
    type Key = TenantId;
    type Snapshot = String;

    const NAME: &'static str = if ROWS { "toy-rows" } else { "toy-list" };
    const VIEW: &'static str = "toy";

    fn stream(&self, key: &TenantId) -> StreamId {
        StreamId::Tenant(key.clone())
    }

    fn keys(&self, entry: &Entry) -> Vec<TenantId> {
        let mut keys: Vec<TenantId> =
            events(entry).filter_map(|(stream, _, _)| TenantId::parse(stream).ok()).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    fn fold(&self, key: &TenantId, snapshot: &String, entry: &Entry) -> Result<String, String> {
        let failures = &self.0.failures;
        let left = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() {
            return Err("as the test wants".to_owned());
        }
        let own = events(entry).filter(|(stream, _, _)| *stream == key.as_str());
        Ok(own.fold(snapshot.clone(), |list, (_, _, event)| list + &event))
    }

    fn weight(&self, snapshot: &String) -> usize {
        snapshot.len()
    }
}

impl<const ROWS: bool> LoadLive for Toy<ROWS> {
    fn load<'a>(
        &'a self,
        store: &'a dyn ReadStore,
        generation: Generation,
        key: &'a TenantId,
    ) -> BoxFuture<'a, Result<Loaded<String>, Fault>> {
        Box::pin(async move {
            let gone = |_| Fault::lasting("the test has ended");
            let _before = self.0.before.acquire().await.map_err(gone)?;
            let loaded = read::<ROWS>(store, generation, key.as_str()).await?;
            self.0.loads.fetch_add(1, Ordering::SeqCst);
            let _behind = self.0.behind.acquire().await.map_err(gone)?;
            Ok(loaded)
        })
    }
}

async fn read<const ROWS: bool>(
    store: &dyn ReadStore,
    generation: Generation,
    stream: &str,
) -> Result<Loaded<String>, Fault> {
    if !ROWS {
        let row = store.get(&LISTS, generation, list_key(stream)).await?;
        return Ok(Loaded {
            timestamp: row.as_ref().map(|row| row.timestamp),
            snapshot: row.map_or_else(String::new, |row| row.values[0].as_text().to_owned()),
        });
    }
    let mut snapshot = String::new();
    let mut scan = Scan::of(&EVENTS, generation, vec![Value::text(stream)], 7);
    loop {
        // Page by page, so that others come between.
        let rows = store.scan(scan.clone()).await?;
        tokio::task::yield_now().await;
        for row in &rows {
            snapshot.push_str(row.values[0].as_text());
        }
        match rows.into_iter().last() {
            Some(last) => scan.after = Some(last.key.clustering),
            None => return Ok(Loaded { snapshot, timestamp: None }),
        }
    }
}
