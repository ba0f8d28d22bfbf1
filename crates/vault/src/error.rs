//! Why something was not encrypted, or not read. What is erased is no error.

/// The vault could not do what it was asked for. Texts are for logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The store or the key service cannot be reached at the moment, or its disk is full.
    #[error("keys are unavailable: {0}")]
    Unavailable(String),
    /// The bound on keys is reached.
    #[error("the key store holds {keys_max} keys and takes no more")]
    Full { keys_max: usize },
    /// More than one field may hold.
    #[error("a field has at most {bytes_max} bytes, this one {bytes}")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// Another key, tenant or field, or bytes that were changed.
    #[error("a ciphertext does not open: it is damaged, or stands where it was not written")]
    Misfit,
    /// A row wrapped under a master key that is not here.
    #[error("master key {0:?} is not among the master keys that were given")]
    MasterUnknown(String),
    /// A master key with the right version and other digits.
    #[error("master key {0} is not the one that wrapped the tenants' keys: put the right one back")]
    MasterWrong(String),
    /// The master keys changed into what cannot be read. The text shows none of them.
    #[error("the master keys cannot be read: {0}")]
    MasterMalformed(&'static str),
    /// The key service makes no new master keys by itself.
    #[error("{0}")]
    Unsupported(String),
    /// An id that is taken, by a row with other contents.
    #[error("key {0} exists already")]
    Exists(exchequer_types::KeyId),
    /// Another process was faster: its key counts.
    #[error("another process has made the key of tenant {0} just now")]
    Overtaken(exchequer_types::TenantId),
}

impl VaultError {
    /// May the same call succeed later?
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Overtaken(_))
    }
}
