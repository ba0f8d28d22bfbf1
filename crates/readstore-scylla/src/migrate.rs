//! Brings a keyspace up to date, by files that are only ever added to, and checks that one is.
//! What was applied is recorded in the keyspace itself, with its text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use exchequer_readstore::Table;
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::response::query_result::QueryRowsResult;
use scylla::serialize::row::SerializeRow;
use tracing::info;

use crate::fault::{refused_or_failed, unexpected};
use crate::schema::{Change, Shape, Tables, missing, parse};
use crate::ties::LATEST;
use crate::{OpenError, Replication, Settings, connect};

/// A file of `schemas/store/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// From 1, without gaps.
    pub number: u32,
    pub name: Cow<'static, str>,
    pub text: Cow<'static, str>,
}

impl Migration {
    pub(crate) const fn file(number: u32, name: &'static str, text: &'static str) -> Self {
        Self { number, name: Cow::Borrowed(name), text: Cow::Borrowed(text) }
    }
}

/// All files, in their order. A file is never changed once it is released; what comes later
/// goes into another one.
pub const MIGRATIONS: &[Migration] = &[
    Migration::file(1, "0001-tables", include_str!("../../../schemas/store/0001-tables.cql")),
    Migration::file(
        2,
        "0002-usage-windows",
        include_str!("../../../schemas/store/0002-usage-windows.cql"),
    ),
    Migration::file(
        3,
        "0003-usage-common",
        include_str!("../../../schemas/store/0003-usage-common.cql"),
    ),
    Migration::file(
        4,
        "0004-usage-unsettled",
        include_str!("../../../schemas/store/0004-usage-unsettled.cql"),
    ),
    Migration::file(
        5,
        "0005-views-fold",
        include_str!("../../../schemas/store/0005-views-fold.cql"),
    ),
    Migration::file(6, "0006-failures", include_str!("../../../schemas/store/0006-failures.cql")),
];

/// What [`migrate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    pub created_keyspace: bool,
    /// Names of what was applied now.
    pub applied: Vec<String>,
}

/// Where it is recorded what was applied.
const RECORD: &str = "store_migrations";
/// Its only partition.
const PART: &str = "store";

/// A change of the schema is waited for at least so long.
const STATEMENT_WAIT_MIN: Duration = Duration::from_secs(60);

/// Creates the keyspace when it is missing, applies what is not applied yet and records it.
/// Safe to repeat, also after it was cut off; to be run once at a time, as the store may not
/// agree with itself about one table created twice at once.
pub async fn migrate(
    settings: &Settings,
    replication: &Replication,
    migrations: &[Migration],
) -> Result<Migrated, OpenError> {
    // A change of the schema takes as long as the nodes need to agree on it; twice at the same
    // time is what they cope with least.
    let patient = Settings {
        request_timeout: settings.request_timeout.max(STATEMENT_WAIT_MIN),
        speculative_after: None,
        ..settings.clone()
    };
    let session = connect::session(&patient).await?;
    let keyspace = &settings.keyspace;
    let created_keyspace = create_keyspace(&session, keyspace, replication).await?;
    let record = format!(
        "CREATE TABLE IF NOT EXISTS {keyspace}.{RECORD} (part text, number int, name text, text text, applied_at timestamp, PRIMARY KEY (part, number))"
    );
    run(&session, &record, "create the record of migrations", ()).await?;
    // A store that takes no timestamps of the future would refuse rows some day; better now.
    let probe = format!(
        "DELETE FROM {keyspace}.{RECORD} USING TIMESTAMP {LATEST} WHERE part = 'probe' AND number = 0"
    );
    run(&session, &probe, "take a high timestamp", ()).await?;
    let recorded = recorded(&session, keyspace, migrations).await?;
    let mut applied = Vec::new();
    for migration in migrations.iter().filter(|it| it.number > recorded) {
        apply(&session, keyspace, migration).await?;
        info!(keyspace, migration = %migration.name, "store migrated");
        applied.push(migration.name.to_string());
    }
    Ok(Migrated { created_keyspace, applied })
}

/// Is the keyspace as this program needs it?
pub(crate) async fn check(
    session: &Session,
    keyspace: &str,
    migrations: &[Migration],
    declared: &[&'static Table],
) -> Result<(), OpenError> {
    if replication_of(session, keyspace).await?.is_none() {
        return Err(OpenError::NoKeyspace { keyspace: keyspace.to_owned() });
    }
    let (tables, is_recorded) = tables_of(session, keyspace).await?;
    let mut problems = Vec::new();
    if is_recorded {
        let recorded = recorded(session, keyspace, migrations).await?;
        let pending = migrations.iter().filter(|it| it.number > recorded);
        problems.extend(pending.map(|it| format!("{} is not applied", it.name)));
    } else {
        problems.push("nothing is applied".to_owned());
    }
    problems.extend(missing(declared, &tables));
    if problems.is_empty() {
        return Ok(());
    }
    Err(OpenError::Behind { keyspace: keyspace.to_owned(), problems })
}

async fn create_keyspace(
    session: &Session,
    keyspace: &str,
    replication: &Replication,
) -> Result<bool, OpenError> {
    let wanted = replication.options();
    if let Some(found) = replication_of(session, keyspace).await? {
        if !is_same(&found, &wanted) {
            return Err(OpenError::Replication {
                keyspace: keyspace.to_owned(),
                found: format!("{found:?}"),
                wanted: format!("{wanted:?}"),
            });
        }
        return Ok(false);
    }
    let options: Vec<_> =
        wanted.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect();
    let create = format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{{}}}",
        options.join(", ")
    );
    run(session, &create, "create the keyspace", ()).await?;
    info!(keyspace, "keyspace created");
    Ok(true)
}

/// The store names the class with its package, and each data centre with its factor.
fn is_same(found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    let class = |options: &BTreeMap<String, String>| {
        let class = options.get("class").map_or("", String::as_str);
        class.rsplit('.').next().unwrap_or_default().to_owned()
    };
    let factors = |options: &BTreeMap<String, String>| {
        let mut factors = options.clone();
        factors.remove("class");
        factors
    };
    let (found_factors, wanted_factors) = (factors(found), factors(wanted));
    class(found) == class(wanted)
        && match wanted_factors.get("replication_factor") {
            Some(factor) => found_factors.values().all(|found| found == factor),
            None => found_factors == wanted_factors,
        }
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

async fn apply(session: &Session, keyspace: &str, migration: &Migration) -> Result<(), OpenError> {
    let changes = parse(&migration.text)
        .map_err(|error| OpenError::Malformed(format!("{}: {error}", migration.name)))?;
    // What was applied before it was cut off.
    let (there, _) = tables_of(session, keyspace).await?;
    for change in changes.iter().filter(|change| !change.is_in(&there)) {
        let what = match change {
            Change::Create { table, .. } => format!("create table {table}"),
            Change::Add { table, column, .. } => format!("add column {column} to table {table}"),
        };
        run(session, &change.to_cql(keyspace), &what, ()).await?;
    }
    let record = format!(
        "INSERT INTO {keyspace}.{RECORD} (part, number, name, text, applied_at) VALUES (?, ?, ?, ?, toTimestamp(now()))"
    );
    let values = (PART, number(migration), migration.name.as_ref(), migration.text.as_ref());
    run(session, &record, "record a migration", values).await
}

/// Number of the newest that is recorded; 0 when none is. Each of them is known here.
async fn recorded(
    session: &Session,
    keyspace: &str,
    migrations: &[Migration],
) -> Result<u32, OpenError> {
    let query = format!("SELECT number, text FROM {keyspace}.{RECORD} WHERE part = ?");
    let mut newest = 0;
    for (number, text) in rows::<(i32, String), _>(session, &query, (PART,)).await? {
        let number = u32::try_from(number).unwrap_or(0);
        newest = newest.max(number);
        let known = migrations.iter().find(|it| it.number == number);
        if known.is_some_and(|known| known.text != text) {
            return Err(OpenError::Changed { keyspace: keyspace.to_owned(), number });
        }
    }
    let known = migrations.last().map_or(0, |it| it.number);
    if newest > known {
        return Err(OpenError::Newer { keyspace: keyspace.to_owned(), found: newest, known });
    }
    Ok(newest)
}

fn number(migration: &Migration) -> i32 {
    i32::try_from(migration.number).unwrap_or(i32::MAX)
}

async fn replication_of(
    session: &Session,
    keyspace: &str,
) -> Result<Option<BTreeMap<String, String>>, OpenError> {
    let query = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let found = rows::<(HashMap<String, String>,), _>(session, query, (keyspace,)).await?;
    Ok(found.into_iter().next().map(|(options,)| options.into_iter().collect()))
}

/// The keyspace's tables, and whether the record of migrations is among them.
async fn tables_of(session: &Session, keyspace: &str) -> Result<(Tables, bool), OpenError> {
    let query = "SELECT table_name, column_name, kind, position, type FROM system_schema.columns WHERE keyspace_name = ?";
    let columns =
        rows::<(String, String, String, i32, String), _>(session, query, (keyspace,)).await?;
    let mut keys: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut tables = Tables::new();
    for (table, column, kind, position, of_type) in columns {
        let shape: &mut Shape = tables.entry(table.clone()).or_default();
        if kind == "partition_key" || kind == "clustering" {
            keys.entry((table, kind)).or_default().insert(position, (column, of_type));
        } else {
            shape.columns.insert(column, of_type);
        }
    }
    for ((table, kind), columns) in keys {
        let shape = tables.entry(table).or_default();
        let key = columns.into_values().collect();
        if kind == "clustering" {
            shape.clustering = key;
        } else {
            shape.partition_key = key;
        }
    }
    let is_recorded = tables.remove(RECORD).is_some();
    Ok((tables, is_recorded))
}

async fn run(
    session: &Session,
    statement: &str,
    what: &str,
    values: impl SerializeRow,
) -> Result<(), OpenError> {
    let done = session.query_unpaged(statement, values).await;
    done.map(|_| ()).map_err(|error| refused_or_failed(what, &error))
}

async fn rows<R, V>(session: &Session, query: &str, values: V) -> Result<Vec<R>, OpenError>
where
    R: for<'a, 'b> DeserializeRow<'a, 'b>,
    V: SerializeRow,
{
    const WHAT: &str = "tell its schema";
    let found = session.query_unpaged(query, values).await;
    let found = found.map_err(|error| refused_or_failed(WHAT, &error))?;
    let found: QueryRowsResult =
        found.into_rows_result().map_err(|error| unexpected(WHAT, error))?;
    let rows = found.rows::<R>().map_err(|error| unexpected(WHAT, error))?;
    let rows: Result<Vec<_>, _> = rows.collect();
    Ok(rows.map_err(|error| unexpected(WHAT, error))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    // REQ: KER-13
    #[test]
    fn replication_is_compared_as_the_store_tells_it() {
        let class = ("class", "org.apache.cassandra.locator.NetworkTopologyStrategy");
        let found = options(&[class, ("east", "3"), ("west", "3")]);
        assert!(is_same(&found, &Replication::EachDatacenter(3).options()));
        assert!(!is_same(&found, &Replication::EachDatacenter(2).options()));
        let by_name = |west: u8| {
            let factors = [("east".to_owned(), 3), ("west".to_owned(), west)];
            Replication::Datacenters(factors.into_iter().collect()).options()
        };
        assert!(is_same(&found, &by_name(3)));
        assert!(!is_same(&found, &by_name(2)));
        let simple = options(&[("class", "SimpleStrategy"), ("replication_factor", "3")]);
        assert!(!is_same(&simple, &Replication::EachDatacenter(3).options()));
    }

    // REQ: KER-11
    #[test]
    fn every_file_is_known_and_they_are_numbered_without_gaps() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/store");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "cql"));
        files.sort();
        let file = |it: &Migration| std::path::Path::new(folder).join(format!("{}.cql", it.name));
        let known: Vec<_> = MIGRATIONS.iter().map(file).collect();
        assert_eq!(files, known);
        for (number, migration) in (1..).zip(MIGRATIONS) {
            assert_eq!(migration.number, number);
            assert!(migration.name.starts_with(&format!("{number:04}-")), "{}", migration.name);
            parse(&migration.text).unwrap();
        }
    }
}
