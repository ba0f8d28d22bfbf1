//! The thread that asks now and then how many partitions a topic has: the number
//! decides where each key lives, so when it changes nothing more may be appended.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use crate::client::Reporter;
use crate::topic::Shared;
use crate::{SetupKind, topics};

/// Ends the thread when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    _alive: SyncSender<()>,
}

impl Watch {
    pub(crate) fn start(shared: Arc<Shared>, consumer: Arc<BaseConsumer<Reporter>>) -> Self {
        let (alive, ended) = sync_channel(1);
        let pause = Duration::from_millis(shared.settings.options.topology_ms.max(100).into());
        let partitions = shared.partitions.len() as u32;
        let looking = move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(pause) {
                let (settings, name) = (&shared.settings, &shared.name);
                let checked = topics::check_partitions(&consumer, settings, name, partitions);
                if let Err(error) = checked
                    && error.kind == SetupKind::Topics
                {
                    shared.stop(error.to_string());
                    return;
                }
            }
        };
        let started = thread::Builder::new().name("kafka-watch".to_owned()).spawn(looking);
        if let Err(error) = started {
            tracing::error!(%error, "changes of a topic will not be noticed");
        }
        Self { _alive: alive }
    }
}
