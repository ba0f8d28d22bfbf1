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

/// Rows of wrapped keys. Reads are answered from memory.
pub trait KeyStore: Send + Sync + core::fmt::Debug {
    /// Inserts a row. Resolves when it is durable: nothing is encrypted before.
    /// A person's key whose id is taken or erased is refused.
    fn insert(&self, row: Row) -> BoxFuture<'_, Result<(), VaultError>>;

    /// The newest row of a tenant's key.
    fn tenant(&self, tenant: &TenantId) -> Option<TenantKeyRow>;

    /// The newest row of every tenant, ascending by tenant.
    fn tenants(&self) -> Vec<TenantKeyRow>;

    /// A person's key.
    fn find(&self, key: KeyId) -> Found;

    /// The live keys of a person, oldest first.
    fn of_subject(&self, tenant: &TenantId, subject: SubjectHash) -> Vec<SubjectKeyRow>;

    fn is_erased(&self, key: KeyId) -> bool;

    /// Erases keys: from the moment of the call on they are not found. Resolves
    /// when that is durable; the bytes of the wrapped keys are gone soon after.
    /// Ids that were never inserted are erased all the same, and can't be later.
    fn erase(&self, keys: &[KeyId]) -> BoxFuture<'_, Result<(), VaultError>>;

    /// Up to where erasures were applied.
    fn marks(&self) -> Vec<Mark>;

    /// Remembers marks, behind everything that was erased before the call.
    fn save_marks(&self, marks: Vec<Mark>) -> BoxFuture<'_, Result<(), VaultError>>;
}
