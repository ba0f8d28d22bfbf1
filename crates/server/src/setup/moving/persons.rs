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
    #[error("the keys of persons were not all carried{}", if .0.is_retryable() {
        "; when the store answers, the same command goes on where it was"
    } else {
        ""
    })]
    Store(#[from] VaultError),
}

impl PersonsError {
    /// As sysexits.h has them.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Missing { .. } | Self::Open(_) | Self::OtherMaster(_) => 64,
            Self::Store(error) if error.is_retryable() => 69,
            Self::Store(_) | Self::Other(_) => 78,
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

/// Finds no other key in `to` in the place of one that `from` has. Writes nothing.
pub(super) async fn check(from: &MemoryKeys, to: &dyn KeyStore) -> Result<(), PersonsError> {
    let (rows, _) = from.contents();
    let looks = rows.into_iter().map(|row| async move { is_there(to, &row).await.map(drop) });
    stream::iter(looks).buffer_unordered(AT_ONCE_MAX).try_collect().await
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
        Err(error @ (VaultError::Overtaken(_) | VaultError::Exists(_))) => {
            if is_there(to, &row).await? { Ok(()) } else { Err(error.into()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// Has `to` this row? Another one in its place is refused.
async fn is_there(to: &dyn KeyStore, row: &Row) -> Result<bool, PersonsError> {
    match row {
        Row::Tenant(row) | Row::Rewrap(row) => match to.tenant(&row.tenant).await? {
            None => Ok(false),
            Some(found) if found == *row => Ok(true),
            Some(_) => Err(PersonsError::Other(format!("tenant {}", row.tenant))),
        },
        Row::Subject(row) => match to.find(row.key).await? {
            Found::Unknown => Ok(false),
            Found::Erased => Ok(true),
            Found::Live(found) if found == *row => Ok(true),
            Found::Live(_) => Err(PersonsError::Other(format!("the id {}", row.key))),
        },
    }
}

#[cfg(test)]
mod tests {
    use exchequer_types::{KeyId, TenantId, Timestamp};
    use exchequer_vault::{SubjectKeyRow, TenantKeyRow};

    use super::*;

    fn tenant(name: &str, byte: u8) -> Row {
        let tenant = TenantId::parse(name).unwrap();
        Row::Tenant(TenantKeyRow { tenant, master: "1".to_owned(), wrapped: vec![byte; 60] })
    }

    fn person(id: u8, byte: u8) -> Row {
        Row::Subject(SubjectKeyRow {
            key: KeyId([id; 16]),
            tenant: TenantId::parse("acme").unwrap(),
            subject: [1; 16],
            created_at: Timestamp::saturating_from_micros(7),
            wrapped: vec![byte; 60],
        })
    }

    fn keys(rows: impl IntoIterator<Item = Row>) -> MemoryKeys {
        let keys = MemoryKeys::default();
        rows.into_iter().for_each(|row| keys.insert_now(row).unwrap());
        keys
    }

    // REQ: KER-07
    #[tokio::test]
    async fn another_key_is_found_before_any_is_written() {
        let from = keys([tenant("acme", 1), tenant("bolt", 2), person(1, 3), person(2, 4)]);
        for other in [tenant("bolt", 9), person(2, 9)] {
            let to = keys([other]);
            let before = to.contents();
            let refused = check(&from, &to).await.unwrap_err();
            assert!(refused.to_string().contains("holds another key of"), "{refused}");
            assert_eq!(refused.exit_code(), 78);
            assert_eq!(to.contents(), before, "nothing was written");
        }
        let half = keys([tenant("acme", 1), person(2, 4)]);
        half.erase_now(&[KeyId([1; 16])]);
        check(&from, &half).await.unwrap();
        let counted = carry(&from, &half).await.unwrap();
        assert_eq!(counted, Counted { tenants: 2, persons: 2, erased: 0 });
        assert_eq!(half.find(KeyId([1; 16])), Found::Erased, "for ever");
        check(&from, &half).await.unwrap();
    }
}
