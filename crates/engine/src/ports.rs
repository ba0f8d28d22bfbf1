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
    /// The logs of usage; none where no usage is metered.
    pub usage: Option<UsagePorts>,
}

/// The logs of usage, each with as many partitions as the journal.
#[derive(Clone, Debug)]
pub struct UsagePorts {
    /// What gateways and producers append to.
    pub log: Arc<dyn Journal>,
    /// What meters append to.
    pub seals: Arc<dyn Journal>,
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
    /// A remembered place lies behind the journal's end: an older journal was put under
    /// newer views.
    #[error(
        "partition {partition}: the journal ends at offset {end}, and {reader} has read it to {offset}: it is older than the views. If it is the right one, as after a restore, stop and remove the folder `views`; else put the newer journal back"
    )]
    Older { reader: String, partition: u32, offset: u64, end: u64 },
    /// A newer program has written the log.
    #[error(
        "partition {partition}: the log was last written by a program of feature level {found}, and this one knows levels up to {known}: start that program again, or a later one"
    )]
    Newer { partition: u32, found: u32, known: u32 },
    /// Some rows of a meter are at seal `at`, because a write that ended there was not done.
    #[error("rows were written up to seal {at} by a meter that did not end its write")]
    Split { at: u64 },
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
            Self::Split { .. } => true,
            _ => false,
        }
    }
}
