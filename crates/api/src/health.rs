//! The standard health service: serving while every partition is decided here.

use core::time::Duration;

use exchequer_engine::Platform;
use exchequer_proto::audit::v1::audit_service_server::SERVICE_NAME as AUDIT;
use exchequer_proto::system::v1::system_service_server::SERVICE_NAME as SYSTEM;
use exchequer_proto::tenants::v1::tenant_service_server::SERVICE_NAME as TENANTS;
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
    let task = async move {
        let mut told = None;
        loop {
            let ready = platform.is_ready();
            if told != Some(ready) {
                let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
                // The empty name stands for the whole server.
                for service in ["", TENANTS, AUDIT, SYSTEM] {
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
