//! The data folder of the only process: its logs, its views, its keys.

use std::sync::Arc;

use exchequer_engine::Outlets;
use exchequer_journal::{MemoryInput, MemoryInputLimits};
use exchequer_readstore_local as readstore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_vault_local::LocalKeys;
use readstore::LocalReadStore;

use super::{Backend, Closing};
use crate::config::Config;
use crate::logs::{Logs, check_level};
use crate::{RunError, keys, persons};

/// What lies in the folder.
pub(super) struct Opened {
    logs: Logs,
    store: Arc<LocalReadStore>,
    persons: Arc<LocalKeys>,
}

pub(super) async fn open(config: &Config, runtime: &TokioRuntime) -> Result<Backend, RunError> {
    let data = &config.place.data;
    check_level(data)?;
    std::fs::create_dir_all(data)
        .map_err(|source| RunError::Folder { path: data.clone(), source })?;
    let deployment_key = keys::load(data, config.keys.deployment_file.as_deref())?;
    let logs = Logs::open(config)?;
    let store = Arc::new(open_views(config)?);
    let clock = runtime.clone();
    let inputs = MemoryInput::new(
        config.journal.partitions,
        runtime.nonce(),
        MemoryInputLimits::default(),
        Arc::new(move || clock.now()),
    );
    let (vault, persons) = persons::open(config, runtime, logs.records).await?;
    Ok(Backend {
        deployment_key,
        journal: logs.journal(),
        inputs: Arc::new(inputs),
        usage: Some(logs.usage_ports()),
        store: Arc::<LocalReadStore>::clone(&store),
        vault: Some(vault),
        process: String::new(),
        membership: None,
        outlets: Outlets::default(),
        gauges: None,
        closing: Closing::Embedded(Opened { logs, store, persons }),
    })
}

impl Opened {
    pub(super) async fn close(self) {
        if let Err(error) = self.store.sync().await {
            tracing::warn!(%error, "views were not synced: the next start reads more of the journal");
        }
        self.logs.close();
        self.persons.close();
    }
}

/// Views that a power loss has damaged are dropped: they are folded again.
fn open_views(config: &Config) -> Result<LocalReadStore, RunError> {
    let folder = config.place.data.join("views");
    let settings = readstore::Settings {
        cache_bytes_max: config.views.cache_bytes_max,
        ..readstore::Settings::default()
    };
    match LocalReadStore::open(&folder, &settings) {
        Err(error @ readstore::OpenError::Damaged { .. }) => {
            tracing::warn!(%error, "views are built anew");
            readstore::discard(&folder)
                .map_err(|source| RunError::Folder { path: folder.clone(), source })?;
            Ok(LocalReadStore::open(&folder, &settings)?)
        }
        opened => Ok(opened?),
    }
}
