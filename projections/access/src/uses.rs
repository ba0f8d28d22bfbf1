//! When credentials were last used, and how often. No event tells of it: gateways count in
//! memory and add to these rows now and then, so a crash loses what was not added yet.
//!
//! Each process adds to rows of its own, so that none overwrites what another one counted, and
//! whoever asks adds them up. Rows that have not grown for long, of processes that are gone as
//! a rule, are taken over by one of those that use the credential. Nobody adds to a row any
//! more by then: a process whose row has not grown for half as long begins another one.

use core::time::Duration;
use std::collections::BTreeMap;

use exchequer_readstore::{
    Batch, Column, Fault, Key, Kind, ReadStore, Row, Scan, Table, Value, Write,
};
use exchequer_types::{TenantId, Timestamp};
use futures::future::try_join_all;

use crate::rows::part_key;

/// By tenant, then by credential. Outside of all generations: a rebuild keeps it.
pub static ACCESS_USES: Table = Table {
    name: "access_uses",
    partition_key: &[Column { name: "tenant", kind: Kind::Text }],
    // Its id; where processes share the work, then a space and the name of one, and, of its
    // later rows, a space and the day on which it began the row.
    clustering: &[Column { name: "credential", kind: Kind::Text }],
    columns: &[
        Column { name: "last_used_at", kind: Kind::Int },
        Column { name: "requests", kind: Kind::Int },
    ],
};

const GENERATION: u64 = 0;
/// Credentials whose rows are read at once.
const READS_AT_ONCE_MAX: usize = 32;
/// Rows of one read: about as many as there are processes.
const ROWS_MAX: usize = 256;
/// Between a credential's id and a process. Less than every other character of an id.
const SEPARATOR: char = ' ';
/// What is behind every row of the credential, and before those of others.
const BEHIND: char = '!';
/// A process whose row has grown within it may take over rows,
const RECENT: Duration = Duration::from_secs(86_400);
/// to which nothing was added for so long.
const IDLE: Duration = Duration::from_secs(7 * 86_400);
const DAY_MICROS: i64 = 86_400_000_000;
/// Rows that are taken over at once: they and the one that grows are one write.
const TAKEN_MAX: usize = 64;

/// How a credential was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses {
    /// The latest that is known.
    pub last_used_at: Timestamp,
    /// Requests in which it was accepted.
    pub requests: u64,
}

impl Uses {
    fn and(self, more: Self) -> Self {
        Self {
            last_used_at: self.last_used_at.max(more.last_used_at),
            requests: self.requests.saturating_add(more.requests),
        }
    }
}

/// How those of `credentials` that were ever used were used, by id.
pub async fn uses_of(
    store: &dyn ReadStore,
    tenant: &TenantId,
    credentials: &[&str],
) -> Result<BTreeMap<String, Uses>, Fault> {
    let mut found = BTreeMap::new();
    for some in credentials.chunks(READS_AT_ONCE_MAX) {
        let reads = some.iter().map(|id| counted(store, tenant, id));
        for (id, rows) in some.iter().zip(try_join_all(reads).await?) {
            if let Some(uses) = rows.iter().map(|row| row.uses).reduce(Uses::and) {
                found.insert((*id).to_owned(), uses);
            }
        }
    }
    Ok(found)
}

/// Adds `more` of a credential to what `process` has counted before; its name is empty where it
/// is the only one. Done once at a time in a process.
pub async fn add_uses(
    store: &dyn ReadStore,
    (tenant, credential): (&TenantId, &str),
    process: &str,
    more: Uses,
    now: Timestamp,
) -> Result<(), Fault> {
    let rows = counted(store, tenant, credential).await?;
    let rows = added(rows, &name(credential, process), more, now);
    let rows = rows.into_iter().map(|it| it.write(tenant)).collect();
    store.write(Batch { rows, last: Vec::new() }).await
}

/// A row as it is, or is to be.
#[derive(Debug)]
struct Counted<U> {
    name: String,
    uses: U,
    timestamp: u64,
}

impl Counted<Option<Uses>> {
    fn write(self, tenant: &TenantId) -> Write {
        let values =
            |it: Uses| vec![Value::Int(it.last_used_at.micros()), Value::uint(it.requests)];
        Write {
            table: &ACCESS_USES,
            generation: GENERATION,
            key: key(tenant, &self.name),
            values: self.uses.map(values),
            timestamp: self.timestamp,
        }
    }
}

/// What becomes of a credential's rows: one of those called `own` has `more`, and what it takes
/// over.
fn added(
    rows: Vec<Counted<Uses>>,
    own: &str,
    more: Uses,
    now: Timestamp,
) -> Vec<Counted<Option<Uses>>> {
    let (recent, idle) = (now.saturating_sub(RECENT), now.saturating_sub(IDLE));
    let mine = rows.iter().filter(|row| row.is_of(own)).max_by_key(|row| row.uses.last_used_at);
    let has_grown = mine.is_some_and(|row| row.uses.last_used_at >= recent);
    let mut rivals =
        rows.iter().filter(|row| !row.is_of(own) && row.uses.last_used_at >= recent).peekable();
    let is_alone = rivals.peek().is_none();
    let takes_all = has_grown && rivals.all(|row| row.name.as_str() > own);
    let at = u64::try_from(now.micros()).unwrap_or(0);
    let mut grown = match mine {
        // Also where the clock has gone back.
        Some(row) if row.may_grow(now) => Counted {
            name: row.name.clone(),
            uses: Some(row.uses.and(more)),
            timestamp: at.max(row.timestamp + 1),
        },
        Some(_) => {
            let name = format!("{own}{SEPARATOR}{}", now.micros() / DAY_MICROS);
            let begun = rows.iter().find(|row| row.name == name);
            Counted {
                name,
                uses: Some(begun.map_or(more, |row| row.uses.and(more))),
                timestamp: begun.map_or(at, |row| at.max(row.timestamp + 1)),
            }
        }
        None => Counted { name: own.to_owned(), uses: Some(more), timestamp: at },
    };
    let mut changed = Vec::new();
    // Nobody else takes over its own ones, where nobody else's has grown.
    let is_taken = |row: &Counted<Uses>| {
        row.uses.last_used_at < idle && (takes_all || is_alone && row.is_of(own))
    };
    let kept = grown.name.clone();
    let taken = rows.into_iter().filter(|row| is_taken(row) && row.name != kept);
    for row in taken.take(TAKEN_MAX) {
        grown.uses = grown.uses.map(|uses| uses.and(row.uses));
        changed.push(Counted { name: row.name, uses: None, timestamp: row.timestamp + 1 });
    }
    changed.push(grown);
    changed
}

impl Counted<Uses> {
    /// Is it a row of the process whose first one is called `own`?
    fn is_of(&self, own: &str) -> bool {
        let rest = self.name.strip_prefix(own);
        // The only process has one row, and those of others begin like it.
        rest.is_some_and(|rest| {
            rest.is_empty() || own.contains(SEPARATOR) && rest.starts_with(SEPARATOR)
        })
    }

    /// May its owner add to it, whoever takes over rows at the same time?
    fn may_grow(&self, now: Timestamp) -> bool {
        !self.name.contains(SEPARATOR) || self.uses.last_used_at >= now.saturating_sub(IDLE / 2)
    }
}

/// All rows of a credential.
async fn counted(
    store: &dyn ReadStore,
    tenant: &TenantId,
    credential: &str,
) -> Result<Vec<Counted<Uses>>, Fault> {
    let partition = vec![Value::text(tenant.as_str())];
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let rows = store
            .scan(Scan {
                from: Some(vec![Value::text(credential)]),
                to: Some(vec![Value::text(format!("{credential}{BEHIND}"))]),
                after: after.take(),
                ..Scan::of(&ACCESS_USES, GENERATION, partition.clone(), ROWS_MAX)
            })
            .await?;
        found.extend(rows.iter().filter_map(read));
        match rows.into_iter().nth(ROWS_MAX - 1) {
            Some(last) => after = Some(last.key.clustering),
            None => return Ok(found),
        }
    }
}

fn read(row: &Row) -> Option<Counted<Uses>> {
    let [last_used_at, requests] = row.values.as_slice() else { return None };
    let last_used_at = Timestamp::saturating_from_micros(last_used_at.as_int());
    let uses = Uses { last_used_at, requests: requests.as_uint() };
    let name = row.key.clustering.first()?.as_text().to_owned();
    Some(Counted { name, uses, timestamp: row.timestamp })
}

fn name(credential: &str, process: &str) -> String {
    if process.is_empty() {
        credential.to_owned()
    } else {
        format!("{credential}{SEPARATOR}{process}")
    }
}

fn key(tenant: &TenantId, name: &str) -> Key {
    part_key(tenant.as_str(), name)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use exchequer_readstore::MemoryStore;
    use futures::future::BoxFuture;

    use super::*;

    fn used(seconds: i64, requests: u64) -> Uses {
        Uses { last_used_at: Timestamp::saturating_from_micros(seconds * 1_000_000), requests }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::saturating_from_micros(seconds * 1_000_000)
    }

    fn acme() -> TenantId {
        TenantId::parse("acme").unwrap()
    }

    /// Adds to the credential `a`.
    async fn add(store: &dyn ReadStore, process: &str, more: Uses, now: Timestamp) {
        add_uses(store, (&acme(), "a"), process, more, now).await.unwrap();
    }

    async fn found(store: &MemoryStore) -> Option<Uses> {
        uses_of(store, &acme(), &["a"]).await.unwrap().remove("a")
    }

    // REQ: IAM-13
    #[tokio::test]
    async fn uses_add_up() {
        let store = MemoryStore::new(true);
        assert_eq!(found(&store).await, None);
        add(&store, "", used(5, 3), at(10)).await;
        add_uses(&store, (&acme(), "a-1"), "", used(6, 1), at(10)).await.unwrap();
        // The clock has gone back.
        add(&store, "", used(4, 2), at(8)).await;
        let found = uses_of(&store, &acme(), &["a", "a-1", "c"]).await.unwrap();
        assert_eq!(found.get("a"), Some(&used(5, 5)));
        assert_eq!(found.get("a-1"), Some(&used(6, 1)));
        assert_eq!(found.len(), 2);
    }

    /// A store in which another process adds between a read and the write behind it.
    #[derive(Debug)]
    struct Overtaking {
        store: MemoryStore,
        by: Mutex<Option<(&'static str, Uses)>>,
    }

    impl ReadStore for Overtaking {
        fn is_atomic(&self) -> bool {
            self.store.is_atomic()
        }

        fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Fault>> {
            Box::pin(async move {
                let other = self.by.lock().unwrap().take();
                if let Some((process, more)) = other {
                    add(&self.store, process, more, more.last_used_at).await;
                }
                self.store.write(batch).await
            })
        }

        fn get(
            &self,
            table: &'static Table,
            generation: u64,
            key: Key,
        ) -> BoxFuture<'_, Result<Option<Row>, Fault>> {
            self.store.get(table, generation, key)
        }

        fn scan(&self, scan: Scan) -> BoxFuture<'_, Result<Vec<Row>, Fault>> {
            self.store.scan(scan)
        }

        fn drop_generation(
            &self,
            table: &'static Table,
            generation: u64,
        ) -> BoxFuture<'_, Result<(), Fault>> {
            self.store.drop_generation(table, generation)
        }
    }

    // REQ: IAM-13
    #[tokio::test]
    async fn gateways_that_add_at_once_lose_none_of_each_others_uses() {
        let by = Mutex::new(Some(("gw-2:7448", used(9, 30))));
        let store = Overtaking { store: MemoryStore::new(true), by };
        // From when there was one process.
        add(&store.store, "", used(1, 100), at(2)).await;
        add(&store, "gw-1:7448", used(7, 4), at(10)).await;
        assert_eq!(found(&store.store).await, Some(used(9, 134)));
        add(&store, "gw-1:7448", used(7, 4), at(12)).await;
        assert_eq!(found(&store.store).await, Some(used(9, 138)));
    }

    const DAY: i64 = 86_400;

    async fn names(store: &MemoryStore) -> Vec<String> {
        let rows = counted(store, &acme(), "a").await.unwrap();
        rows.into_iter().map(|it| it.name).collect()
    }

    /// One use by `process` at that time.
    async fn once(store: &dyn ReadStore, process: &str, seconds: i64) {
        add(store, process, used(seconds, 1), at(seconds)).await;
    }

    // REQ: IAM-13
    #[tokio::test]
    async fn rows_of_processes_that_are_gone_are_taken_over_once() {
        let store = MemoryStore::new(true);
        for number in 0..300 {
            once(&store, &format!("old-{number:03}"), DAY).await;
        }
        once(&store, "gw-1", 2 * DAY).await;
        once(&store, "gw-1", 2 * DAY).await;
        assert_eq!(names(&store).await.len(), 301, "nobody is gone for long enough");
        once(&store, "gw-2", 9 * DAY).await;
        assert_eq!(names(&store).await.len(), 302, "gw-2 is new");
        for _ in 0..5 {
            once(&store, "gw-2", 9 * DAY).await;
        }
        assert_eq!(names(&store).await, ["a gw-1", "a gw-2"]);
        assert_eq!(found(&store).await, Some(used(9 * DAY, 308)));
        once(&store, "gw-3", 9 * DAY + 9).await;
        once(&store, "gw-3", 9 * DAY + 9).await;
        assert_eq!(names(&store).await, ["a gw-1", "a gw-2", "a gw-3"], "gw-2 comes before");
        once(&store, "gw-2", 9 * DAY + 9).await;
        assert_eq!(names(&store).await, ["a gw-2", "a gw-3"]);
        assert_eq!(found(&store).await, Some(used(9 * DAY + 9, 311)));
    }

    // REQ: IAM-13
    #[tokio::test]
    async fn a_process_that_seldom_uses_a_credential_keeps_few_rows() {
        let store = MemoryStore::new(true);
        for week in 1..=20 {
            once(&store, "gw-1", week * 5 * DAY).await;
            assert!(names(&store).await.len() <= 3, "{:?}", names(&store).await);
        }
        assert_eq!(found(&store).await, Some(used(100 * DAY, 20)));
        // What was held back for days by a store that was away, twice on one day.
        for _ in 0..2 {
            add(&store, "gw-1", used(90 * DAY, 1), at(110 * DAY)).await;
        }
        assert_eq!(found(&store).await, Some(used(100 * DAY, 22)));
    }

    // REQ: IAM-13
    #[tokio::test]
    async fn a_row_that_is_taken_over_is_not_added_to_at_the_same_time() {
        let by = Mutex::default();
        let store = Overtaking { store: MemoryStore::new(true), by };
        once(&store, "gw-1", DAY).await;
        once(&store, "gw-2", 9 * DAY).await;
        // While gw-2 takes over its row, gw-1 uses the credential again.
        *store.by.lock().unwrap() = Some(("gw-1", used(9 * DAY, 1)));
        once(&store, "gw-2", 9 * DAY).await;
        assert_eq!(names(&store.store).await, ["a gw-1 9", "a gw-2"]);
        assert_eq!(found(&store.store).await, Some(used(9 * DAY, 4)));
        once(&store, "gw-1", 9 * DAY).await;
        assert_eq!(names(&store.store).await, ["a gw-1 9", "a gw-2"]);
        assert_eq!(found(&store.store).await, Some(used(9 * DAY, 5)));
    }
}
