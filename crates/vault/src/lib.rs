//! What is said of persons, and secrets, at rest: each field is encrypted under
//! its person's own key, and erasing that key erases the person wherever the
//! ciphertext has gone. Keys lie in a store of their own, behind a port; the
//! master key that wraps them is behind another.

mod cache;
pub mod conformance;
mod entropy;
mod error;
mod kms;
mod memory;
mod message;
mod row;
mod store;
mod vault;

pub use entropy::{Entropy, SeededEntropy};
pub use error::VaultError;
pub use kms::{Kms, MasterKeys, Wrapped};
pub use memory::MemoryKeys;
pub use message::{CLEAR_BYTES_MAX, EXTRA_BYTES, Key, open, seal};
pub use row::{Row, SubjectHash, SubjectKeyRow, TenantKeyRow};
pub use store::{Finding, Found, KeyStore, Mark};
pub use vault::{Clock, Rotated, Vault};
