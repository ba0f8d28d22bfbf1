//! Port of the key store: rows are inserted and erased, never changed, and never
//! derived from the journal.

use exchequer_types::{KeyId, PartitionId, TenantId};
use futures::future::BoxFuture;

use crate::{Row, SubjectHash, SubjectKeyRow, TenantKeyRow, VaultError};

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Live(SubjectKeyRow),
    /// For ever.
    Erased,
    /// Never inserted here, or lost with an older backup.
    Unknown,
}

/// Up to where the journal's erasures are applied, in one partition. The bytes
/// belong to whoever applies them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub partition: PartitionId,
    pub head: Vec<u8>,
}

/// What a store finds, or why it cannot look.
pub type Finding<'a, T> = BoxFuture<'a, Result<T, VaultError>>;

/// Rows of wrapped keys. Where several processes share the store, each finds what another
/// has inserted.
pub trait KeyStore: Send + Sync + core::fmt::Debug {
    /// Inserts a row. Resolves when it is durable: nothing is encrypted before.
    /// A person's key whose id is taken or erased is refused. A tenant's first key is
    /// refused as [`VaultError::Overtaken`] when another process has inserted one that this
    /// one has not seen.
    fn insert(&self, row: Row) -> Finding<'_, ()>;

    /// The newest row of a tenant's key.
    fn tenant<'a>(&'a self, tenant: &'a TenantId) -> Finding<'a, Option<TenantKeyRow>>;

    /// The newest row of every tenant, ascending by tenant.
    fn tenants(&self) -> Finding<'_, Vec<TenantKeyRow>>;

    /// A person's key.
    fn find(&self, key: KeyId) -> Finding<'_, Found>;

    /// The live keys of a person, oldest first.
    fn of_subject<'a>(
        &'a self,
        tenant: &'a TenantId,
        subject: SubjectHash,
    ) -> Finding<'a, Vec<SubjectKeyRow>>;

    /// Was it erased here, by a call to [`Self::erase`], or before? Where several processes
    /// share the store, what another one erased before this one began may be told by
    /// [`Self::find`] alone.
    fn is_erased(&self, key: KeyId) -> bool;

    /// Erases keys: from the moment of the call on they are not found. Resolves
    /// when that is durable; the bytes of the wrapped keys are gone soon after.
    /// Ids that were never inserted are erased all the same, and can't be later.
    fn erase(&self, keys: &[KeyId]) -> Finding<'_, ()>;

    /// Up to where erasures were applied.
    fn marks(&self) -> Vec<Mark>;

    /// Remembers marks, behind everything that was erased before the call.
    fn save_marks(&self, marks: Vec<Mark>) -> Finding<'_, ()>;
}
