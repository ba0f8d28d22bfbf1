//! Topics, shared keys and tables of a cluster.

use std::path::Path;

use exchequer_journal_kafka::topics::{self, Created};
use exchequer_readstore_scylla::{MIGRATIONS, Migrated, keys_settings, migrate, migrate_keys};
use serde_json::json;

use super::{Done, SetupError};
use crate::backend::cluster::{ClusterError, apart, fingerprint};
use crate::config::Config;
use crate::{RunError, keys, persons};

/// Topics that are missing, and for a new deployment the keys that are named by files.
pub(super) async fn create_topics(config: &Config) -> Result<Done, SetupError> {
    let settings = config.kafka.settings().map_err(|error| run(error.into()))?;
    let specs = config.kafka.layout(config.journal.partitions).topics();
    let created = apart(move || topics::create(&settings, &specs)).await.map_err(run)?;
    let created = created.map_err(|error| run(error.into()))?;
    let is_new = created.iter().all(|(_, it)| *it == Created::New);
    let made = if is_new { make_keys(config)? } else { Vec::new() };
    let mut lines: Vec<String> = created
        .iter()
        .map(|(name, it)| {
            let word = match it {
                Created::New => "created",
                Created::Adopted => "was there and is noted now",
                Created::Known => "is as it must be",
            };
            format!("{name} {word}")
        })
        .collect();
    lines.extend(
        made.iter().map(|it| format!("{it} made: give every process a copy, keep one apart")),
    );
    let topics: Vec<_> = created
        .iter()
        .map(|(name, it)| json!({ "topic": name, "created": *it == Created::New }))
        .collect();
    Ok(Done { text: lines.join("\n"), json: json!({ "topics": topics, "keys": made }) })
}

/// Keys that a new deployment's settings name and that are not there. Later, a missing file
/// is a lost one.
fn make_keys(config: &Config) -> Result<Vec<String>, SetupError> {
    let mut made = Vec::new();
    let shown = |path: &Path| path.display().to_string();
    if let Some(path) = config.keys.deployment_file.as_deref().filter(|it| !it.exists()) {
        keys::make_at(path).map_err(|error| SetupError::Run(RunError::Key(error)))?;
        made.push(shown(path));
    }
    if let Some(path) = config.keys.master_path.as_deref().filter(|it| !it.exists()) {
        persons::make_master(path).map_err(|error| SetupError::Run(RunError::Persons(error)))?;
        made.push(shown(path));
    }
    Ok(made)
}

/// The keyspace and its tables, as this program needs them.
pub(super) async fn migrate_store(config: &Config) -> Result<Done, SetupError> {
    let settings = config.scylla.settings().map_err(|error| run(error.into()))?;
    let replication = config.scylla.replication();
    let key = keys::load(&config.place.data, config.keys.deployment_file.as_deref());
    let fingerprint = fingerprint(&key.map_err(|error| SetupError::Run(RunError::Key(error)))?);
    let views = migrate(&settings, &replication, MIGRATIONS).await;
    let views = views.map_err(|error| run(error.into()))?;
    let of_keys = keys_settings(&settings);
    let keys = migrate_keys(&of_keys, &replication, &fingerprint).await;
    let keys = keys.map_err(|error| run(error.into()))?;
    let keyspaces = [(&settings.keyspace, views), (&of_keys.keyspace, keys)];
    let mut lines = Vec::new();
    for (keyspace, done) in &keyspaces {
        if done.created_keyspace {
            lines.push(format!("keyspace {keyspace} created"));
        }
        lines.extend(done.applied.iter().map(|it| format!("{keyspace}: {it} applied")));
        if done.applied.is_empty() {
            lines.push(format!("keyspace {keyspace} is up to date"));
        }
    }
    let shown = |(keyspace, done): &(&String, Migrated)| json!({ "keyspace": keyspace, "created": done.created_keyspace, "applied": done.applied });
    let json = keyspaces.iter().map(shown).collect();
    Ok(Done { text: lines.join("\n"), json })
}

pub(super) fn run(error: ClusterError) -> SetupError {
    SetupError::Run(error.into())
}
