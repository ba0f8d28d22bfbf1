//! What the platform stands on: logs, store, keys, and who shares the work. Opened before
//! the platform and closed behind it. Embedded, it is a data folder; on a cluster, brokers
//! and nodes.

#[cfg(feature = "cluster")]
pub(crate) mod cluster;
mod embedded;
#[cfg(feature = "cluster")]
mod tables;

use std::sync::Arc;

use exchequer_engine::{Outlets, UsagePorts};
use exchequer_journal::{InputLog, Journal, Membership};
use exchequer_readstore::ReadStore;
use exchequer_runtime::TokioRuntime;
use exchequer_vault::Vault;
use futures::future::BoxFuture;

use crate::RunError;
use crate::config::Config;

/// Everything that a platform is given from outside.
pub(crate) struct Backend {
    pub(crate) deployment_key: [u8; 32],
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) inputs: Arc<dyn InputLog>,
    /// None in a process whose roles have nothing to do with usage.
    pub(crate) usage: Option<UsagePorts>,
    pub(crate) store: Arc<dyn ReadStore>,
    /// Of a gateway.
    pub(crate) vault: Option<Vault>,
    /// What operators tell it from others by; empty where it is the only one.
    pub(crate) process: String,
    /// Of a process that shares its work with others.
    pub(crate) membership: Option<Arc<dyn Membership>>,
    pub(crate) outlets: Outlets,
    /// Brings metrics of its own up to date.
    pub(crate) gauges: Option<Arc<dyn Fn() + Send + Sync>>,
    closing: Closing,
}

/// What has to be closed.
enum Closing {
    Embedded(embedded::Opened),
    #[cfg(feature = "cluster")]
    Cluster(cluster::Opened),
}

impl Backend {
    pub(crate) async fn open(config: &Config, runtime: &TokioRuntime) -> Result<Self, RunError> {
        #[cfg(feature = "cluster")]
        if config.is_cluster() {
            return cluster::open(config, runtime).await;
        }
        embedded::open(config, runtime).await
    }

    /// Gives up what this process has of shared work, so that others go on at once. Its
    /// tasks are still to run.
    pub(crate) fn leave(&self) -> BoxFuture<'_, ()> {
        match &self.closing {
            Closing::Embedded(_) => Box::pin(core::future::ready(())),
            #[cfg(feature = "cluster")]
            Closing::Cluster(opened) => Box::pin(opened.leave()),
        }
    }

    /// When no task runs any more.
    pub(crate) async fn close(self) {
        match self.closing {
            Closing::Embedded(opened) => opened.close().await,
            #[cfg(feature = "cluster")]
            Closing::Cluster(_) => {}
        }
    }
}
