//! The keys of persons, from the folder's file to the keyspace that gateways share. Rows that
//! are there already are compared, so that it may be done again.

use std::path::PathBuf;

use exchequer_cli::Moving;
use exchequer_vault::{Found, KeyStore, MemoryKeys, Row, VaultError};
use exchequer_vault_local::{OpenError, ROWS_FILE, peek_file};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::config::Config;
use crate::persons;

/// Rows on their way at once.
const AT_ONCE_MAX: usize = 32;
/// Keys of one erasure.
const ERASED_AT_ONCE_MAX: usize = 1_000;

/// Why the keys were not carried.
#[derive(Debug, thiserror::Error)]
pub enum PersonsError {
    #[error(
        "{} is missing: name a backup of the keys of persons with --persons, made by `exchequer \
         admin keys backup`. When they are lost for ever, --without-persons goes on: what the \
         journal says of persons is shown as erased then",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(
        "the master keys of the settings do not open the keys of persons: name the folder's own, \
         keys/{} in it, with keys.master_path",
        exchequer_vault_local::MASTER_FILE
    )]
    OtherMaster(#[source] persons::PersonsError),
    #[error(
        "the keyspace of keys holds another key of {0}: it is not this deployment's. Use a \
         keyspace that is new"
    )]
    Other(String),
    #[error("the keys of persons were not carried: the same command goes on where it was")]
    Store(#[from] VaultError),
}

impl PersonsError {
    /// As sysexits.h has them.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Missing { .. } | Self::Open(_) | Self::OtherMaster(_) => 64,
            Self::Store(_) => 69,
            Self::Other(_) => 78,
        }
    }
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Counted {
    pub(super) tenants: usize,
    pub(super) persons: usize,
    pub(super) erased: usize,
}

/// The keys of a folder, which the settings' master keys open. None: they are lost.
pub(super) async fn read(
    config: &Config,
    moving: &Moving,
) -> Result<Option<MemoryKeys>, PersonsError> {
    if moving.without_persons {
        return Ok(None);
    }
    let path = moving.persons.clone();
    let path = path.unwrap_or_else(|| moving.data.join("keys").join(ROWS_FILE));
    if !path.exists() {
        return Err(PersonsError::Missing { path });
    }
    let checked = persons::check_rows(config, peek_file(&path)?).await;
    checked.map_err(PersonsError::OtherMaster)?;
    Ok(Some(peek_file(&path)?))
}

/// Inserts and erases until `to` holds what `from` does.
pub(super) async fn carry(from: &MemoryKeys, to: &dyn KeyStore) -> Result<Counted, PersonsError> {
    let (rows, erased) = from.contents();
    let (tenants, persons): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| matches!(row, Row::Tenant(_)));
    let counted = Counted { tenants: tenants.len(), persons: persons.len(), erased: erased.len() };
    for rows in [tenants, persons] {
        let puts = stream::iter(rows.into_iter().map(|row| put(to, row)));
        puts.buffer_unordered(AT_ONCE_MAX).try_collect::<()>().await?;
    }
    for keys in erased.chunks(ERASED_AT_ONCE_MAX) {
        to.erase(keys).await?;
    }
    to.save_marks(from.marks()).await?;
    Ok(counted)
}

async fn put(to: &dyn KeyStore, row: Row) -> Result<(), PersonsError> {
    match to.insert(row.clone()).await {
        Ok(()) => Ok(()),
        Err(VaultError::Overtaken(tenant)) => {
            let found = to.tenant(&tenant).await?.map(Row::Tenant);
            if found.as_ref() == Some(&row) {
                return Ok(());
            }
            Err(PersonsError::Other(format!("tenant {tenant}")))
        }
        Err(VaultError::Exists(key)) => match to.find(key).await? {
            Found::Live(found) if Row::Subject(found.clone()) == row => Ok(()),
            Found::Erased => Ok(()),
            _ => Err(PersonsError::Other(format!("the id {key}"))),
        },
        Err(error) => Err(error.into()),
    }
}
