//! What is durable stays, what is erased goes, and damage is never passed over.

mod backup;
mod crash;
mod master;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use exchequer_types::{KeyId, TenantId, Timestamp};
use exchequer_vault::conformance::{self, Reopen};
use exchequer_vault::{Found, KeyStore, Row, SubjectKeyRow, TenantKeyRow};
use futures::executor::block_on;
use futures::future::{BoxFuture, ready};
use tempfile::TempDir;

use crate::{LocalKeys, OpenError, Opened, Options, ROWS_FILE};

pub(crate) fn open(folder: &Path) -> (LocalKeys, Opened) {
    LocalKeys::open(folder, Options::default()).unwrap()
}

pub(crate) fn rows(folder: &Path) -> PathBuf {
    folder.join(ROWS_FILE)
}

pub(crate) fn tenant_row(id: &str, master: &str) -> Row {
    let tenant = TenantId::parse(id).unwrap();
    Row::Tenant(TenantKeyRow { tenant, master: master.to_owned(), wrapped: vec![0xaa; 105] })
}

pub(crate) fn subject_row(key: u8) -> Row {
    Row::Subject(SubjectKeyRow {
        key: KeyId([key; 16]),
        tenant: TenantId::parse("acme").unwrap(),
        subject: [key; 16],
        created_at: Timestamp::saturating_from_micros(i64::from(key)),
        wrapped: vec![key ^ 0xff; 105],
    })
}

pub(crate) fn is_live(keys: &LocalKeys, key: u8) -> bool {
    matches!(keys.find(KeyId([key; 16])), Found::Live(_))
}

#[derive(Default)]
struct Local {
    folder: Option<TempDir>,
    keys_max: usize,
}

impl Reopen for Local {
    fn create(&mut self, keys_max: usize) -> BoxFuture<'_, Arc<dyn KeyStore>> {
        self.folder = Some(tempfile::tempdir().unwrap());
        self.keys_max = keys_max;
        Box::pin(ready(self.open_again().unwrap()))
    }

    fn reopen(&mut self) -> BoxFuture<'_, Option<Arc<dyn KeyStore>>> {
        Box::pin(ready(self.open_again()))
    }
}

impl Local {
    fn open_again(&self) -> Option<Arc<dyn KeyStore>> {
        let folder = self.folder.as_ref()?.path();
        let options = Options { keys_max: self.keys_max, ..Options::default() };
        Some(Arc::new(LocalKeys::open(folder, options).unwrap().0))
    }
}

#[test]
fn it_conforms() {
    block_on(conformance::run(&mut Local::default()));
}

#[test]
fn one_process_has_the_keys() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let second = LocalKeys::open(dir.path(), Options::default());
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    assert!(first.1.created);
    drop(first);
    assert!(!open(dir.path()).1.created);
}

// REQ: IAM-18
#[test]
fn erased_bytes_leave_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, _) = open(dir.path());
    block_on(keys.insert(tenant_row("acme", "1"))).unwrap();
    for key in 1..=3 {
        block_on(keys.insert(subject_row(key))).unwrap();
    }
    let has = |key: u8| {
        let bytes = std::fs::read(rows(dir.path())).unwrap();
        bytes.windows(105).any(|it| it == [key ^ 0xff; 105])
    };
    assert!(has(1) && has(2) && has(3));
    block_on(keys.erase(&[KeyId([2; 16])])).unwrap();
    // Closing waits for what is to be written, as an idle writer would.
    keys.close();
    assert!(has(1) && !has(2) && has(3));
    drop(keys);
    let (keys, _) = open(dir.path());
    assert!(is_live(&keys, 1) && !is_live(&keys, 2) && is_live(&keys, 3));
    assert_eq!(keys.find(KeyId([2; 16])), Found::Erased);
    assert!(block_on(keys.insert(subject_row(2))).is_err(), "for ever");
}

// REQ: EDG-06
#[test]
fn older_wraps_leave_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, _) = open(dir.path());
    block_on(keys.insert(tenant_row("acme", "first"))).unwrap();
    block_on(keys.insert(tenant_row("acme", "second"))).unwrap();
    keys.close();
    let bytes = std::fs::read(rows(dir.path())).unwrap();
    assert!(!bytes.windows(5).any(|it| it == b"first"));
    assert!(bytes.windows(6).any(|it| it == b"second"));
}

#[test]
fn what_is_closed_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, _) = open(dir.path());
    keys.close();
    let refused = block_on(keys.insert(subject_row(1))).unwrap_err();
    assert!(refused.is_retryable() && refused.to_string().contains("closed"));
}
