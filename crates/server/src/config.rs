//! Settings: defaults, then one TOML file, then `EXCHEQUER__SECTION__KEY`, then
//! the command line. An unknown key is refused by name.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use exchequer_cli::default_data_dir;
use exchequer_engine::{COMMIT_BYTES_MAX, Settings};
use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};

const ENV_PREFIX: &str = "EXCHEQUER__";
/// A commit must hold what one small command comes to.
const COMMIT_BYTES_MIN: usize = 64 * 1024;

/// What `run` takes on the command line.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Folder of all data; created when absent.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Loopback address and port.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// TOML file with settings.
    #[arg(long)]
    config: Option<PathBuf>,
}

/// All settings of a process.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of all data; created when absent. Since v0.1.0
    pub data: PathBuf,
    /// Loopback address and port. Since v0.1.0
    pub listen: SocketAddr,
    pub engine: Engine,
    pub journal: Journal,
    pub views: Views,
    pub keys: Keys,
}

/// `engine`: bounds of the deciders, views and gateway. Since v0.1.0
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// State of tenants held in memory.
    pub state_bytes_max: usize,
    /// Flags and entitlements held in memory for evaluations and checks.
    pub live_bytes_max: usize,
    /// Entries of the identity index in memory before they are written, for each partition.
    pub identity_entries_max: usize,
    /// Filters of the identity index held in memory.
    pub identity_filter_bytes_max: usize,
    /// Commands that a decider reads ahead, for each lane of each partition.
    pub read_ahead_inputs_max: usize,
    /// Size of one commit, at most 900 KiB.
    pub commit_bytes_max: usize,
    /// Commands in one commit.
    pub commit_inputs_max: usize,
    /// State is written behind after this long at the latest.
    pub flush_interval_ms: u64,
    /// Tenants changed before state is written behind, for each partition.
    pub flush_streams_max: usize,
    /// Undecided commands of one tenant.
    pub tenant_commands_max: usize,
    /// Undecided commands.
    pub commands_max: usize,
    /// Recent commits kept decoded for readers, for each partition.
    pub tail_bytes_max: usize,
    /// Rows that a view folds before it writes.
    pub view_rows_max: usize,
    /// Bytes of journal read at once by a reader that is behind.
    pub read_bytes_max: usize,
    /// Waiting after a lost claim, doubled up to 30 times as much.
    pub claim_retry_ms: u64,
}

/// `journal`: the embedded journal. Since v0.1.0
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// Fixed when the data folder is created.
    pub partitions: u32,
    pub segment_bytes_max: u64,
    /// Newest records kept in memory.
    pub recent_bytes_max: usize,
}

/// `views`: the embedded read store. Since v0.1.0
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Views {
    /// Blocks of files kept in memory.
    pub cache_bytes_max: u64,
}

/// `keys`. Since v0.1.0
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// File with the deployment's key, 32 bytes. `keys/deployment.key` in the data
    /// folder when absent, which is made at the first start.
    pub deployment_file: Option<PathBuf>,
}

/// Settings that a process cannot run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("settings: {0}")]
    Figment(Box<figment::Error>),
    #[error("settings: cannot read {}: it is not there", path.display())]
    NoFile { path: PathBuf },
    #[error(
        "listen: {address} is not a loopback address; until there is access control \
         Exchequer listens on loopback only, for instance on 127.0.0.1:7447"
    )]
    NotLoopback { address: SocketAddr },
    #[error("{field}: must be {expected}")]
    OutOfRange { field: &'static str, expected: &'static str },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: default_data_dir(),
            listen: SocketAddr::from(([127, 0, 0, 1], 7447)),
            engine: Engine::default(),
            journal: Journal::default(),
            views: Views::default(),
            keys: Keys::default(),
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        let it = Settings::default();
        Self {
            state_bytes_max: it.state_bytes_max,
            live_bytes_max: it.live_bytes_max,
            identity_entries_max: it.identity_entries_max,
            identity_filter_bytes_max: it.identity_filter_bytes_max,
            read_ahead_inputs_max: it.read_ahead_inputs_max,
            commit_bytes_max: it.commit_bytes_max,
            commit_inputs_max: it.commit_inputs_max,
            flush_interval_ms: it.flush_interval.as_millis() as u64,
            flush_streams_max: it.flush_streams_max,
            tenant_commands_max: it.tenant_commands_max,
            commands_max: it.commands_max,
            tail_bytes_max: it.tail_bytes_max,
            view_rows_max: it.view_rows_max,
            read_bytes_max: it.read_bytes_max,
            claim_retry_ms: it.claim_retry.as_millis() as u64,
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        let it = exchequer_journal_local::Options::default();
        Self {
            partitions: it.partitions,
            segment_bytes_max: it.segment_bytes_max,
            recent_bytes_max: it.recent_bytes_max,
        }
    }
}

impl Default for Views {
    fn default() -> Self {
        let it = exchequer_readstore_local::Settings::default();
        Self { cache_bytes_max: it.cache_bytes_max }
    }
}

impl Config {
    /// Settings from all their sources.
    pub fn load(args: RunArgs) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = args.config {
            if !path.is_file() {
                return Err(ConfigError::NoFile { path });
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(Env::prefixed(ENV_PREFIX).split("__"));
        let mut config: Self =
            figment.extract().map_err(|error| ConfigError::Figment(Box::new(error)))?;
        if let Some(data) = args.data {
            config.data = data;
        }
        if let Some(listen) = args.listen {
            config.listen = listen;
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() {
            return Err(ConfigError::NotLoopback { address: self.listen });
        }
        let engine = &self.engine;
        let sizes = [
            ("engine.read_ahead_inputs_max", engine.read_ahead_inputs_max),
            ("engine.tenant_commands_max", engine.tenant_commands_max),
            ("engine.commands_max", engine.commands_max),
            ("engine.view_rows_max", engine.view_rows_max),
            ("engine.identity_entries_max", engine.identity_entries_max),
            ("engine.flush_streams_max", engine.flush_streams_max),
        ];
        for (field, size) in sizes {
            if size == 0 {
                return Err(ConfigError::OutOfRange { field, expected: "at least 1" });
            }
        }
        if !(COMMIT_BYTES_MIN..=COMMIT_BYTES_MAX).contains(&engine.commit_bytes_max) {
            let field = "engine.commit_bytes_max";
            return Err(ConfigError::OutOfRange { field, expected: "64 KiB to 900 KiB" });
        }
        if !(1..=65_535).contains(&engine.commit_inputs_max) {
            let field = "engine.commit_inputs_max";
            return Err(ConfigError::OutOfRange { field, expected: "1 to 65535" });
        }
        Ok(())
    }
}

impl Engine {
    /// As the engine takes them.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            state_bytes_max: self.state_bytes_max,
            live_bytes_max: self.live_bytes_max,
            identity_entries_max: self.identity_entries_max,
            identity_filter_bytes_max: self.identity_filter_bytes_max,
            read_ahead_inputs_max: self.read_ahead_inputs_max,
            commit_bytes_max: self.commit_bytes_max,
            commit_inputs_max: self.commit_inputs_max,
            flush_interval: Duration::from_millis(self.flush_interval_ms),
            flush_streams_max: self.flush_streams_max,
            tenant_commands_max: self.tenant_commands_max,
            commands_max: self.commands_max,
            tail_bytes_max: self.tail_bytes_max,
            view_rows_max: self.view_rows_max,
            read_bytes_max: self.read_bytes_max,
            claim_retry: Duration::from_millis(self.claim_retry_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("exchequer.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(RunArgs { config: Some(path), ..RunArgs::default() })
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let config = load("listen = \"[::1]:9000\"\n[engine]\ntenant_commands_max = 7\n").unwrap();
        assert_eq!(config.listen.port(), 9_000);
        assert_eq!(config.engine.settings().tenant_commands_max, 7);
        assert_eq!(config.journal.partitions, 16);
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        for (text, name) in [("lisen = 1\n", "lisen"), ("[engine]\ncommandz = 1\n", "commandz")] {
            let refused = load(text).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
    }

    // REQ: IAM-15
    #[test]
    fn only_loopback_is_listened_on() {
        let refused = load("listen = \"0.0.0.0:7447\"\n").unwrap_err().to_string();
        assert!(refused.contains("loopback"), "{refused}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let args = RunArgs { config: Some(PathBuf::from("nowhere.toml")), ..RunArgs::default() };
        assert!(Config::load(args).unwrap_err().to_string().contains("nowhere.toml"));
    }
}
