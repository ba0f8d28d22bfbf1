//! What makes a cluster ready for its first process, and for a new version: topics from
//! their description, keys that all processes share, the store's tables, and what a data
//! folder held before. Each may be repeated.

#[cfg(any(feature = "cluster", test))]
mod moving;
#[cfg(feature = "cluster")]
mod of_cluster;

use std::path::PathBuf;

use exchequer_cli::Setup;
use serde_json::Value;

use crate::config::Config;
use crate::{ConfigError, RunError};

/// What was done, for people and for programs.
#[derive(Debug)]
pub struct Done {
    pub text: String,
    pub json: Value,
}

/// Why nothing, or not all of it, was done.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "the settings name no cluster: a data folder needs neither topics nor tables. For a \
         cluster set journal.backend = \"kafka\" and views.backend = \"scylla\""
    )]
    Embedded,
    #[error(transparent)]
    Run(#[from] RunError),
    #[cfg(any(feature = "cluster", test))]
    #[error(transparent)]
    Move(#[from] moving::MoveError),
}

/// As sysexits.h has it.
const EXIT_USAGE: u8 = 64;

impl SetupError {
    /// What the program ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Embedded => EXIT_USAGE,
            Self::Run(error) => error.exit_code(),
            #[cfg(any(feature = "cluster", test))]
            Self::Move(error) => error.exit_code(),
        }
    }
}

/// Does what the tool asks for, with the settings of `config`.
pub async fn setup(what: Setup, config: Option<PathBuf>) -> Result<Done, SetupError> {
    let config = Config::load_for_setup(config.as_deref())?;
    if !config.is_cluster() {
        return Err(SetupError::Embedded);
    }
    done(what, &config).await
}

#[cfg(feature = "cluster")]
async fn done(what: Setup, config: &Config) -> Result<Done, SetupError> {
    match what {
        Setup::Topics => of_cluster::create_topics(config).await,
        Setup::Store => of_cluster::migrate_store(config).await,
        Setup::Logs(moving) => Box::pin(moving::migrate_log(config, &moving)).await,
    }
}

#[cfg(not(feature = "cluster"))]
fn done(_: Setup, _: &Config) -> core::future::Ready<Result<Done, SetupError>> {
    // A program without the clients refuses such settings before.
    core::future::ready(Err(SetupError::Embedded))
}
