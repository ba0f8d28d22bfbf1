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

/// Looks in a row that must find the same, and the pause between them.
const LOOKS: usize = 4;
const NEXT_LOOK: Duration = Duration::from_secs(1);

/// Ends the thread when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    _alive: SyncSender<()>,
}

impl Watch {
    /// Asks for the topic's number of partitions, and calls `tend` as often.
    pub(crate) fn start(
        shared: Arc<Shared>,
        consumer: Arc<BaseConsumer<Reporter>>,
        tend: Box<dyn Fn() + Send>,
    ) -> Self {
        let (alive, ended) = sync_channel(1);
        let pause = Duration::from_millis(shared.settings.options.topology_ms.max(100).into());
        let looking = move || {
            let mut looks = 0;
            loop {
                let wait = if looks == 0 { pause } else { pause.min(NEXT_LOOK) };
                if ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                tend();
                if shared.settings.stopped.check().is_err() {
                    continue;
                }
                let problem = problem(&shared, &consumer);
                looks = if problem.is_some() { looks + 1 } else { 0 };
                // A broker that has just come back may know of fewer topics than there are.
                if let Some(problem) = problem.filter(|_| looks >= LOOKS) {
                    shared.settings.stopped.stop(problem);
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

/// What is wrong with the topic, if its brokers say that anything is.
fn problem(shared: &Shared, consumer: &BaseConsumer<Reporter>) -> Option<String> {
    let partitions = shared.partitions.len() as u32;
    let checked = topics::check_partitions(consumer, &shared.settings, &shared.name, partitions);
    checked.err().filter(|error| error.kind == SetupKind::Topics).map(|error| error.to_string())
}
