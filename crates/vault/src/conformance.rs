//! What every key store must do: one list of cases, run on each implementation.

#![expect(clippy::unwrap_used, reason = "a test's own checks")]

use std::sync::Arc;

use exchequer_types::{KeyId, PartitionId, TenantId, Timestamp};
use futures::future::BoxFuture;

use crate::{Found, KeyStore, Mark, Row, SubjectKeyRow, TenantKeyRow, VaultError};

/// Gives a store on the same contents again, as after a restart.
pub trait Reopen {
    /// A new, empty store that holds at most `keys_max` persons' keys.
    fn create(&mut self, keys_max: usize) -> BoxFuture<'_, Arc<dyn KeyStore>>;
    /// The store once more. None where nothing is durable.
    fn reopen(&mut self) -> BoxFuture<'_, Option<Arc<dyn KeyStore>>>;
    /// Does it keep to `keys_max`? One that is not held in memory need not.
    fn is_bounded(&self) -> bool {
        true
    }
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn tenant_row(id: &str, master: &str) -> TenantKeyRow {
    TenantKeyRow { tenant: tenant(id), master: master.to_owned(), wrapped: vec![1; 105] }
}

fn subject_row(id: &str, key: u8, subject: u8, micros: i64) -> SubjectKeyRow {
    SubjectKeyRow {
        key: KeyId([key; 16]),
        tenant: tenant(id),
        subject: [subject; 16],
        created_at: Timestamp::saturating_from_micros(micros),
        wrapped: vec![key; 105],
    }
}

/// Runs every case.
pub async fn run(world: &mut dyn Reopen) {
    rows_are_found_by_all_their_names(world).await;
    the_newest_wrap_of_a_tenant_counts(world).await;
    an_id_is_taken_once(world).await;
    what_is_erased_stays_erased(world).await;
    an_erased_id_never_comes_in(world).await;
    if world.is_bounded() {
        the_bound_holds(world).await;
    }
    marks_are_remembered(world).await;
}

async fn rows_are_found_by_all_their_names(world: &mut dyn Reopen) {
    let store = world.create(100).await;
    let rows = [subject_row("acme", 1, 9, 10), subject_row("acme", 2, 9, 20)];
    store.insert(Row::Tenant(tenant_row("acme", "1"))).await.unwrap();
    for row in rows.clone() {
        store.insert(Row::Subject(row)).await.unwrap();
    }
    store.insert(Row::Subject(subject_row("other", 3, 9, 30))).await.unwrap();
    let check = async |store: &dyn KeyStore| {
        assert_eq!(store.tenant(&tenant("acme")).await.unwrap(), Some(tenant_row("acme", "1")));
        assert_eq!(store.tenant(&tenant("other")).await.unwrap(), None);
        assert_eq!(store.find(KeyId([1; 16])).await.unwrap(), Found::Live(rows[0].clone()));
        assert_eq!(store.find(KeyId([4; 16])).await.unwrap(), Found::Unknown);
        assert_eq!(store.of_subject(&tenant("acme"), [9; 16]).await.unwrap(), rows, "oldest first");
        assert_eq!(store.of_subject(&tenant("acme"), [8; 16]).await.unwrap(), []);
        assert_eq!(store.of_subject(&tenant("other"), [9; 16]).await.unwrap().len(), 1);
    };
    check(store.as_ref()).await;
    drop(store);
    if let Some(store) = world.reopen().await {
        check(store.as_ref()).await;
    }
}

async fn the_newest_wrap_of_a_tenant_counts(world: &mut dyn Reopen) {
    let store = world.create(100).await;
    for row in [tenant_row("b", "1"), tenant_row("a", "1")] {
        store.insert(Row::Tenant(row)).await.unwrap();
    }
    store.insert(Row::Rewrap(tenant_row("b", "2"))).await.unwrap();
    let expected = [tenant_row("a", "1"), tenant_row("b", "2")];
    assert_eq!(store.tenants().await.unwrap(), expected);
    drop(store);
    if let Some(store) = world.reopen().await {
        assert_eq!(store.tenants().await.unwrap(), expected);
    }
}

async fn an_id_is_taken_once(world: &mut dyn Reopen) {
    let store = world.create(100).await;
    store.insert(Row::Subject(subject_row("acme", 1, 9, 10))).await.unwrap();
    let again = store.insert(Row::Subject(subject_row("acme", 1, 8, 10))).await;
    assert_eq!(again, Err(VaultError::Exists(KeyId([1; 16]))));
    assert_eq!(
        store.find(KeyId([1; 16])).await.unwrap(),
        Found::Live(subject_row("acme", 1, 9, 10))
    );
}

async fn what_is_erased_stays_erased(world: &mut dyn Reopen) {
    let store = world.create(100).await;
    for key in 1..=3 {
        store.insert(Row::Subject(subject_row("acme", key, 9, i64::from(key)))).await.unwrap();
    }
    let durable = store.erase(&[KeyId([1; 16]), KeyId([3; 16])]);
    assert!(store.is_erased(KeyId([1; 16])), "from the call on");
    durable.await.unwrap();
    assert!(store.is_erased(KeyId([3; 16])), "and behind it");
    let check = async |store: &dyn KeyStore| {
        assert_eq!(store.find(KeyId([1; 16])).await.unwrap(), Found::Erased);
        assert_eq!(store.find(KeyId([3; 16])).await.unwrap(), Found::Erased);
        assert!(!store.is_erased(KeyId([2; 16])));
        assert_eq!(
            store.of_subject(&tenant("acme"), [9; 16]).await.unwrap(),
            [subject_row("acme", 2, 9, 2)]
        );
    };
    check(store.as_ref()).await;
    // Again changes nothing.
    store.erase(&[KeyId([1; 16])]).await.unwrap();
    check(store.as_ref()).await;
    drop(store);
    if let Some(store) = world.reopen().await {
        check(store.as_ref()).await;
    }
}

async fn an_erased_id_never_comes_in(world: &mut dyn Reopen) {
    let store = world.create(100).await;
    store.erase(&[KeyId([7; 16])]).await.unwrap();
    let refused = store.insert(Row::Subject(subject_row("acme", 7, 9, 10))).await;
    assert_eq!(refused, Err(VaultError::Exists(KeyId([7; 16]))));
    assert_eq!(store.find(KeyId([7; 16])).await.unwrap(), Found::Erased);
    drop(store);
    if let Some(store) = world.reopen().await {
        assert_eq!(store.find(KeyId([7; 16])).await.unwrap(), Found::Erased);
    }
}

async fn the_bound_holds(world: &mut dyn Reopen) {
    let store = world.create(2).await;
    for key in 1..=2 {
        store.insert(Row::Subject(subject_row("acme", key, key, 1))).await.unwrap();
    }
    let refused = store.insert(Row::Subject(subject_row("acme", 3, 3, 1))).await;
    assert_eq!(refused, Err(VaultError::Full { keys_max: 2 }));
    store.erase(&[KeyId([1; 16])]).await.unwrap();
    store.insert(Row::Subject(subject_row("acme", 3, 3, 1))).await.unwrap();
}

async fn marks_are_remembered(world: &mut dyn Reopen) {
    let store = world.create(100).await;
    let mark =
        |partition, head: &[u8]| Mark { partition: PartitionId(partition), head: head.to_vec() };
    assert_eq!(store.marks(), []);
    store.save_marks(vec![mark(1, b"x"), mark(0, b"y")]).await.unwrap();
    store.save_marks(vec![mark(1, b"z")]).await.unwrap();
    let expected = [mark(0, b"y"), mark(1, b"z")];
    assert_eq!(store.marks(), expected);
    drop(store);
    if let Some(store) = world.reopen().await {
        assert_eq!(store.marks(), expected);
    }
}
