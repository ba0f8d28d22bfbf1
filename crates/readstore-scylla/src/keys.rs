//! The key store of a cluster: rows of wrapped keys in a keyspace of their own, which every
//! gateway reads and adds to. A tenant's first key alone is compared in the store, so that
//! two gateways never encrypt under two.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exchequer_types::{KeyId, PartitionId, TenantId, Timestamp};
use exchequer_vault::{
    Finding, Found, KeyStore, Mark, Row, SubjectHash, SubjectKeyRow, TenantKeyRow, VaultError,
};
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::serialize::row::SerializeRow;
use scylla::statement::SerialConsistency;
use scylla::statement::prepared::PreparedStatement;

use crate::migrate::{self, Migration};
use crate::{OpenError, Replication, Settings, connect};

/// All files of `schemas/keys/`, in their order.
const MIGRATIONS: &[Migration] =
    &[Migration::file(1, "0001-keys", include_str!("../../../schemas/keys/0001-keys.cql"))];

/// Ids of keys that were erased here, remembered so that nothing that was read just before
/// is served. The oldest go first.
const ERASED_MAX: usize = 1_000_000;
/// Rows of one page, where all of a table are read.
const PAGE_ROWS: i32 = 1_000;
/// The timestamp of what is written once, and of what takes it away again: whatever the
/// nodes' clocks say, the later one stands.
const WRITTEN: i64 = 1;
const ERASED: i64 = 2;
/// The row that tells whose keys these are.
const FINGERPRINT: &str = "fingerprint";

/// A [`KeyStore`] that gateways share.
pub struct ScyllaKeys {
    session: Session,
    keyspace: String,
    statements: Statements,
    erased: Mutex<Remembered>,
    marks: Mutex<BTreeMap<PartitionId, Vec<u8>>>,
}

struct Statements {
    tenant: PreparedStatement,
    tenants: PreparedStatement,
    add_tenant: PreparedStatement,
    rewrap_tenant: PreparedStatement,
    key: PreparedStatement,
    add_key: PreparedStatement,
    of_person: PreparedStatement,
    add_of_person: PreparedStatement,
    erase: PreparedStatement,
    wipe: PreparedStatement,
    wipe_of_person: PreparedStatement,
    mark: PreparedStatement,
}

#[derive(Default)]
struct Remembered {
    ids: BTreeSet<KeyId>,
    order: VecDeque<KeyId>,
}

impl fmt::Debug for ScyllaKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScyllaKeys").field("keyspace", &self.keyspace).finish_non_exhaustive()
    }
}

/// Where the keys lie that belong to a read store: in a keyspace beside it.
pub fn keys_settings(settings: &Settings) -> Settings {
    Settings { keyspace: format!("{}_keys", settings.keyspace), ..settings.clone() }
}

/// Makes the keys' keyspace, or brings it up to this program, for the deployment of
/// `fingerprint`, which tells its key from others. `settings` are those of [`keys_settings`].
pub async fn migrate_keys(
    settings: &Settings,
    replication: &Replication,
    fingerprint: &[u8],
) -> Result<migrate::Migrated, OpenError> {
    let done = migrate::migrate(settings, replication, MIGRATIONS).await?;
    let session = connect::session(settings).await?;
    if found_fingerprint(&session, &settings.keyspace).await?.is_none() {
        let text = format!(
            "INSERT INTO {}.deployment (name, value) VALUES (?, ?) IF NOT EXISTS",
            settings.keyspace
        );
        let insert = prepared(&session, text, true).await.map_err(not_opened)?;
        run(&session, &insert, (FINGERPRINT, fingerprint)).await.map_err(not_opened)?;
    }
    check_fingerprint(&session, &settings.keyspace, fingerprint).await?;
    Ok(done)
}

/// Does this process have the key of the deployment whose keys these are?
pub async fn check_deployment(settings: &Settings, fingerprint: &[u8]) -> Result<(), OpenError> {
    let session = connect::session(settings).await?;
    migrate::check(&session, &settings.keyspace, MIGRATIONS, &[]).await?;
    check_fingerprint(&session, &settings.keyspace, fingerprint).await
}

async fn check_fingerprint(
    session: &Session,
    keyspace: &str,
    fingerprint: &[u8],
) -> Result<(), OpenError> {
    let keyspace = keyspace.to_owned();
    match found_fingerprint(session, &keyspace).await? {
        Some(found) if found == fingerprint => Ok(()),
        Some(_) => Err(OpenError::OtherDeployment { keyspace }),
        None => Err(OpenError::NoDeployment { keyspace }),
    }
}

async fn found_fingerprint(
    session: &Session,
    keyspace: &str,
) -> Result<Option<Vec<u8>>, OpenError> {
    let text = format!("SELECT value FROM {keyspace}.deployment WHERE name = ?");
    let select = prepared(session, text, false).await.map_err(not_opened)?;
    let found = rows::<(Vec<u8>,), _>(session, &select, (FINGERPRINT,)).await;
    Ok(found.map_err(not_opened)?.into_iter().next().map(|(value,)| value))
}

impl ScyllaKeys {
    /// Opens the keys of the deployment of `fingerprint`. Changes nothing.
    pub async fn open(settings: &Settings, fingerprint: &[u8]) -> Result<Self, OpenError> {
        let session = connect::session(settings).await?;
        let keyspace = settings.keyspace.clone();
        migrate::check(&session, &keyspace, MIGRATIONS, &[]).await?;
        check_fingerprint(&session, &keyspace, fingerprint).await?;
        let statements = Statements::prepare(&session, &keyspace).await.map_err(not_opened)?;
        let text = format!("SELECT partition, head FROM {keyspace}.erasures_applied");
        let marks = prepared(&session, text, false).await.map_err(not_opened)?;
        let marks = all_rows::<(i64, Vec<u8>)>(&session, &marks).await.map_err(not_opened)?;
        let mark = |(partition, head)| Some((PartitionId(u32::try_from(partition).ok()?), head));
        Ok(Self {
            marks: Mutex::new(marks.into_iter().filter_map(mark).collect()),
            erased: Mutex::default(),
            session,
            keyspace,
            statements,
        })
    }

    async fn add(&self, row: Row) -> Result<(), VaultError> {
        let (session, statements) = (&self.session, &self.statements);
        match row {
            Row::Tenant(TenantKeyRow { tenant, master, wrapped }) => {
                let values = (tenant.as_str(), master, wrapped);
                let is_ours = was_applied(session, &statements.add_tenant, values).await?;
                if is_ours { Ok(()) } else { Err(VaultError::Overtaken(tenant)) }
            }
            Row::Rewrap(TenantKeyRow { tenant, master, wrapped }) => {
                let values = (master, wrapped, tenant.as_str());
                was_applied(session, &statements.rewrap_tenant, values).await.map(|_| ())
            }
            Row::Subject(row) => {
                if self.look_up(row.key).await? != Found::Unknown {
                    return Err(VaultError::Exists(row.key));
                }
                let SubjectKeyRow { key, tenant, subject, created_at, wrapped } = row;
                let (key, subject, at) = (key.0.to_vec(), subject.to_vec(), created_at.micros());
                // First what an erasure finds it by.
                let of_person = (tenant.as_str(), subject.clone(), key.clone(), at);
                run(session, &statements.add_of_person, of_person).await?;
                let values = (key, tenant.as_str(), subject, at, wrapped);
                run(session, &statements.add_key, values).await
            }
        }
    }

    async fn look_up(&self, key: KeyId) -> Result<Found, VaultError> {
        type Columns = (Option<String>, Option<Vec<u8>>, Option<i64>, Option<Vec<u8>>, Option<i64>);
        let found = rows::<Columns, _>(&self.session, &self.statements.key, (key.0.to_vec(),));
        let Some((tenant, subject, at, wrapped, erased)) = found.await?.into_iter().next() else {
            return Ok(Found::Unknown);
        };
        if erased.is_some() {
            return Ok(Found::Erased);
        }
        let row = || {
            Some(SubjectKeyRow {
                key,
                tenant: TenantId::parse(tenant?).ok()?,
                subject: subject?.try_into().ok()?,
                created_at: Timestamp::saturating_from_micros(at?),
                wrapped: wrapped?,
            })
        };
        // Half of a row is one that is being inserted.
        Ok(row().map_or(Found::Unknown, Found::Live))
    }

    async fn of_person(
        &self,
        tenant: &TenantId,
        subject: SubjectHash,
    ) -> Result<Vec<SubjectKeyRow>, VaultError> {
        let values = (tenant.as_str(), subject.to_vec());
        let ids = rows::<(Vec<u8>,), _>(&self.session, &self.statements.of_person, values).await?;
        let mut found = Vec::new();
        for (id,) in ids {
            let Some(key) = KeyId::from_slice(&id) else { continue };
            if let Found::Live(row) = self.look_up(key).await? {
                found.push(row);
            }
        }
        found.sort_by_key(|row| (row.created_at, row.key));
        Ok(found)
    }

    async fn erase_all(&self, keys: Vec<KeyId>) -> Result<(), VaultError> {
        let (session, statements) = (&self.session, &self.statements);
        for key in keys {
            let found = self.look_up(key).await?;
            let id = key.0.to_vec();
            run(session, &statements.erase, (id.clone(),)).await?;
            run(session, &statements.wipe, (id.clone(),)).await?;
            if let Found::Live(row) = found {
                let values = (row.tenant.as_str(), row.subject.to_vec(), id);
                run(session, &statements.wipe_of_person, values).await?;
            }
        }
        Ok(())
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.erased.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    fn add(&mut self, key: KeyId) {
        if !self.ids.insert(key) {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > ERASED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

impl KeyStore for ScyllaKeys {
    fn insert(&self, row: Row) -> Finding<'_, ()> {
        Box::pin(self.add(row))
    }

    fn tenant<'a>(&'a self, tenant: &'a TenantId) -> Finding<'a, Option<TenantKeyRow>> {
        Box::pin(async move {
            let values = (tenant.as_str(),);
            let found = rows::<(String, String, Vec<u8>), _>(
                &self.session,
                &self.statements.tenant,
                values,
            );
            Ok(found.await?.into_iter().find_map(tenant_row))
        })
    }

    fn tenants(&self) -> Finding<'_, Vec<TenantKeyRow>> {
        Box::pin(async move {
            let found = all_rows(&self.session, &self.statements.tenants).await?;
            let mut rows: Vec<TenantKeyRow> = found.into_iter().filter_map(tenant_row).collect();
            rows.sort_by(|one, other| one.tenant.cmp(&other.tenant));
            Ok(rows)
        })
    }

    fn find(&self, key: KeyId) -> Finding<'_, Found> {
        Box::pin(self.look_up(key))
    }

    fn of_subject<'a>(
        &'a self,
        tenant: &'a TenantId,
        subject: SubjectHash,
    ) -> Finding<'a, Vec<SubjectKeyRow>> {
        Box::pin(self.of_person(tenant, subject))
    }

    fn is_erased(&self, key: KeyId) -> bool {
        self.remembered().ids.contains(&key)
    }

    fn erase(&self, keys: &[KeyId]) -> Finding<'_, ()> {
        let mut remembered = self.remembered();
        for key in keys {
            remembered.add(*key);
        }
        drop(remembered);
        Box::pin(self.erase_all(keys.to_vec()))
    }

    fn marks(&self) -> Vec<Mark> {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        marks.into_iter().map(|(partition, head)| Mark { partition, head }).collect()
    }

    fn save_marks(&self, marks: Vec<Mark>) -> Finding<'_, ()> {
        Box::pin(async move {
            for Mark { partition, head } in marks {
                let values = (i64::from(partition.0), head.clone());
                run(&self.session, &self.statements.mark, values).await?;
                let mut own = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
                own.insert(partition, head);
            }
            Ok(())
        })
    }
}

fn tenant_row((tenant, master, wrapped): (String, String, Vec<u8>)) -> Option<TenantKeyRow> {
    Some(TenantKeyRow { tenant: TenantId::parse(tenant).ok()?, master, wrapped })
}

impl Statements {
    async fn prepare(session: &Session, keyspace: &str) -> Result<Self, VaultError> {
        let plain = async |text: &str| prepared(session, text.replace("KS", keyspace), false).await;
        let compared =
            async |text: &str| prepared(session, text.replace("KS", keyspace), true).await;
        Ok(Self {
            tenant: plain("SELECT tenant, master, wrapped FROM KS.tenant_keys WHERE tenant = ?")
                .await?,
            tenants: plain("SELECT tenant, master, wrapped FROM KS.tenant_keys").await?,
            add_tenant: compared(
                "INSERT INTO KS.tenant_keys (tenant, master, wrapped) VALUES (?, ?, ?) IF NOT EXISTS",
            )
            .await?,
            rewrap_tenant: compared(
                "UPDATE KS.tenant_keys SET master = ?, wrapped = ? WHERE tenant = ? IF EXISTS",
            )
            .await?,
            key: plain(
                "SELECT tenant, subject, created_at, wrapped, erased FROM KS.person_keys WHERE key = ?",
            )
            .await?,
            add_key: plain(&format!(
                "INSERT INTO KS.person_keys (key, tenant, subject, created_at, wrapped) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP {WRITTEN}"
            ))
            .await?,
            of_person: plain(
                "SELECT key FROM KS.keys_of_persons WHERE tenant = ? AND subject = ?",
            )
            .await?,
            add_of_person: plain(&format!(
                "INSERT INTO KS.keys_of_persons (tenant, subject, key, created_at) VALUES (?, ?, ?, ?) USING TIMESTAMP {WRITTEN}"
            ))
            .await?,
            erase: plain(&format!(
                "INSERT INTO KS.person_keys (key, erased) VALUES (?, 1) USING TIMESTAMP {ERASED}"
            ))
            .await?,
            wipe: plain(&format!(
                "DELETE tenant, subject, created_at, wrapped FROM KS.person_keys USING TIMESTAMP {ERASED} WHERE key = ?"
            ))
            .await?,
            wipe_of_person: plain(&format!(
                "DELETE FROM KS.keys_of_persons USING TIMESTAMP {ERASED} WHERE tenant = ? AND subject = ? AND key = ?"
            ))
            .await?,
            mark: plain("INSERT INTO KS.erasures_applied (partition, head) VALUES (?, ?)").await?,
        })
    }
}

/// A statement that may be repeated; one that is compared in the store is not repeated by
/// itself.
async fn prepared(
    session: &Session,
    text: String,
    is_compared: bool,
) -> Result<PreparedStatement, VaultError> {
    let mut statement = session.prepare(text).await.map_err(unavailable)?;
    statement.set_is_idempotent(!is_compared);
    statement.set_serial_consistency(is_compared.then_some(SerialConsistency::LocalSerial));
    Ok(statement)
}

async fn run(
    session: &Session,
    statement: &PreparedStatement,
    values: impl SerializeRow,
) -> Result<(), VaultError> {
    session.execute_unpaged(statement, values).await.map(|_| ()).map_err(unavailable)
}

async fn rows<R, V>(
    session: &Session,
    statement: &PreparedStatement,
    values: V,
) -> Result<Vec<R>, VaultError>
where
    R: for<'a, 'b> DeserializeRow<'a, 'b>,
    V: SerializeRow,
{
    let found = session.execute_unpaged(statement, values).await.map_err(unavailable)?;
    let found = found.into_rows_result().map_err(unavailable)?;
    found.rows::<R>().map_err(unavailable)?.map(|row| row.map_err(unavailable)).collect()
}

/// Every row of a table, page by page.
async fn all_rows<R>(session: &Session, statement: &PreparedStatement) -> Result<Vec<R>, VaultError>
where
    R: for<'a, 'b> DeserializeRow<'a, 'b>,
{
    use core::ops::ControlFlow;
    let mut statement = statement.clone();
    statement.set_page_size(PAGE_ROWS);
    let mut page = scylla::response::PagingState::start();
    let mut all = Vec::new();
    loop {
        let answer = session.execute_single_page(&statement, (), page).await;
        let (found, next) = answer.map_err(unavailable)?;
        let found = found.into_rows_result().map_err(unavailable)?;
        for row in found.rows::<R>().map_err(unavailable)? {
            all.push(row.map_err(unavailable)?);
        }
        match next.into_paging_control_flow() {
            ControlFlow::Continue(next) => page = next,
            ControlFlow::Break(()) => return Ok(all),
        }
    }
}

/// Did the store find what the statement asks it to compare?
async fn was_applied(
    session: &Session,
    statement: &PreparedStatement,
    values: impl SerializeRow,
) -> Result<bool, VaultError> {
    let found = session.execute_unpaged(statement, values).await.map_err(unavailable)?;
    let found = found.into_rows_result().map_err(unavailable)?;
    // The answer's first column; the others are those of the row that stands.
    let mut rows = found.rows::<scylla::value::Row>().map_err(unavailable)?;
    let first = rows.next().transpose().map_err(unavailable)?;
    let applied = first.and_then(|row| row.columns.into_iter().next().flatten());
    applied
        .and_then(|it| it.as_boolean())
        .ok_or_else(|| unavailable("the answer does not say whether a key was taken"))
}

fn unavailable(error: impl fmt::Display) -> VaultError {
    VaultError::Unavailable(format!("the store of keys: {error}"))
}

fn not_opened(error: VaultError) -> OpenError {
    OpenError::Keys(Arc::new(error))
}
