//! What the engine is given: the ports, the deployment's key, its bounds.

use std::sync::Arc;

use exchequer_journal::{InputLog, Journal};
use exchequer_kernel::SealKey;
use exchequer_readstore::ReadStore;
use exchequer_runtime::Runtime;

use crate::Settings;

/// The outside of the engine. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Ports {
    pub journal: Arc<dyn Journal>,
    pub inputs: Arc<dyn InputLog>,
    pub store: Arc<dyn ReadStore>,
    pub runtime: Arc<dyn Runtime>,
    pub key: SealKey,
    pub settings: Arc<Settings>,
}

/// Why a loop ended. The message is for logs.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Journal(#[from] exchequer_journal::Fault),
    #[error(transparent)]
    Store(#[from] exchequer_readstore::Fault),
    #[error(transparent)]
    Decode(#[from] exchequer_codec::DecodeError),
    #[error(transparent)]
    Vault(#[from] exchequer_vault::VaultError),
    /// A remembered place is not found again: the journal is not the one that was read.
    #[error(
        "partition {partition}: commit {seq} is not at offset {offset} any more: this journal is not the one that {reader} read; if the journal is right, remove the views"
    )]
    Forgotten { reader: String, partition: u32, offset: u64, seq: u64 },
    #[error("{0}")]
    Stopped(String),
}

impl EngineError {
    /// May the same loop go on later?
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Journal(fault) => fault.is_retryable(),
            Self::Store(fault) => fault.retryable,
            Self::Vault(error) => error.is_retryable(),
            _ => false,
        }
    }
}
