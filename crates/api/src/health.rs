//! The standard health service: serving while the process is ready, which is when it
//! decides every partition, its views have caught up, and nobody has asked it to end.

use core::time::Duration;
use std::collections::BTreeSet;

use exchequer_engine::Platform;
use exchequer_proto::METHODS;
use exchequer_runtime::{OnEnd, TaskKind};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};

const HEALTH: TaskKind = TaskKind { name: "health", on_end: OnEnd::Fine };
const INTERVAL: Duration = Duration::from_millis(250);

/// The service, kept true by a task.
pub(crate) fn start(platform: &Platform) -> HealthServer<impl Health> {
    let (reporter, service) = tonic_health::server::health_reporter();
    let platform = platform.clone();
    let runtime = platform.ports.runtime.clone();
    let paths = METHODS.iter().filter_map(|method| method.path.split('/').nth(1));
    // The empty name stands for the whole server.
    let services: BTreeSet<&str> = paths.chain([""]).collect();
    let task = async move {
        let mut told = None;
        loop {
            let ready = platform.is_ready();
            if told != Some(ready) {
                let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
                for service in &services {
                    reporter.set_service_status(service, status).await;
                }
                told = Some(ready);
            }
            platform.ports.runtime.sleep(INTERVAL).await;
        }
    };
    runtime.spawn(HEALTH, Box::pin(task));
    service
}
