//! The program's tools beside the server: offline verification, backup and
//! restore, and an operator's calls to a running server.

mod admin;
mod catalog;
mod chains;
mod connect;
mod keys;
mod output;
mod status;
mod tools;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

pub use admin::{Moving, Setup};
pub use chains::{AuditReport, Bad, PartitionReport, Report, VerifyError, verify};
pub use usage::{
    Asked, FigureReport, GroupReport, SealReport, UsageReport, VersionReport, verify_usage,
};

/// What the program does besides serving.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Verifies what is stored, without a running server and beside one.
    Verify {
        #[command(subcommand)]
        what: tools::Verify,
    },
    /// Copies journal and keys, also while a server is running.
    Backup(tools::Backup),
    /// Puts a backup back into a new data folder.
    Restore(tools::Restore),
    /// Asks a running server, or tells it what to do.
    Admin(admin::Admin),
    /// Compares a provider's catalog with a file, and publishes it.
    Catalog(catalog::Catalog),
}

impl Tool {
    /// What this tool sets up with a deployment's settings, which only whoever reads them
    /// can do; the file with the settings; and whether JSON is asked for.
    pub fn setup(&self) -> Option<(Setup, Option<PathBuf>, bool)> {
        match self {
            Self::Admin(args) => args.setup(),
            _ => None,
        }
    }
}

/// Does it. Fails with a text on stderr and an exit code above 0.
pub async fn run(tool: Tool) -> ExitCode {
    let result = match tool {
        Tool::Verify { what } => tools::verify(&what),
        Tool::Backup(args) => tools::backup(&args),
        Tool::Restore(args) => tools::restore(&args),
        Tool::Admin(args) => admin::run(args).await,
        Tool::Catalog(args) => catalog::run(args).await,
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::complain(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// Where data lies when nobody says: `$XDG_DATA_HOME/exchequer`, or
/// `~/.local/share/exchequer`.
pub fn default_data_dir() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = variable("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        base.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    base.unwrap_or_default().join("exchequer")
}
