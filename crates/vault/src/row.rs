//! What a key store keeps: wrapped keys alone. Without the master key a row says
//! no more than that a tenant has so many persons.

use exchequer_types::{KeyId, TenantId, Timestamp};

/// Names a person inside its tenant without telling who: the first 16 bytes of a
/// keyed BLAKE3 of the subject's id, under a key derived from the tenant's.
pub type SubjectHash = [u8; 16];

/// A tenant's key, wrapped by a master key. The newest row of a tenant counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantKeyRow {
    pub tenant: TenantId,
    /// Which master key wraps it.
    pub master: String,
    pub wrapped: Vec<u8>,
}

/// A person's key, wrapped by its tenant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectKeyRow {
    pub key: KeyId,
    pub tenant: TenantId,
    pub subject: SubjectHash,
    pub created_at: Timestamp,
    pub wrapped: Vec<u8>,
}

/// What is inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// The first key of a tenant.
    Tenant(TenantKeyRow),
    /// A tenant's key, wrapped anew.
    Rewrap(TenantKeyRow),
    Subject(SubjectKeyRow),
}
