//! The standard health service: serving while the process is ready, which is when it
//! decides every partition, its views have caught up, and nobody has asked it to end.
//! Whoever watches is told that it ends before its stream does.

use core::time::Duration;
use std::collections::BTreeSet;

use exchequer_engine::Platform;
use exchequer_proto::METHODS;
use exchequer_runtime::{OnEnd, TaskKind};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::watch;
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::status;

const HEALTH: TaskKind = TaskKind { name: "health", on_end: OnEnd::Fine };
const INTERVAL: Duration = Duration::from_millis(250);

struct Service {
    platform: Platform,
    /// By name. The empty one stands for the whole server.
    services: BTreeSet<&'static str>,
    /// What those who watch are told.
    ready: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
}

/// The service. What is watched is kept true by a task; streams end once `stopping` says true.
pub(crate) fn start(
    platform: &Platform,
    stopping: watch::Receiver<bool>,
) -> HealthServer<impl Health> {
    let (tell, ready) = watch::channel(platform.is_ready());
    let paths = METHODS.iter().filter_map(|method| method.path.split('/').nth(1));
    let services = paths.chain([""]).collect();
    let watched = platform.clone();
    let task = async move {
        loop {
            let is_ready = watched.is_ready();
            tell.send_if_modified(|told| core::mem::replace(told, is_ready) != is_ready);
            watched.ports.runtime.sleep(INTERVAL).await;
        }
    };
    platform.ports.runtime.spawn(HEALTH, Box::pin(task));
    HealthServer::new(Service { platform: platform.clone(), services, ready, stopping })
}

#[async_trait]
impl Health for Service {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.services.contains(request.get_ref().service.as_str()) {
            return Err(Status::not_found("there is no such service here"));
        }
        let serves = self.platform.is_ready() && !*self.stopping.borrow();
        Ok(Response::new(answer(serving(serves))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watched = Watched {
            is_known: self.services.contains(request.get_ref().service.as_str()),
            ready: self.ready.clone(),
            stopping: self.stopping.clone(),
            told: None,
            is_over: false,
        };
        Ok(Response::new(futures::stream::unfold(watched, Watched::next).boxed()))
    }
}

/// One stream of what is told.
struct Watched {
    is_known: bool,
    ready: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
    told: Option<ServingStatus>,
    is_over: bool,
}

impl Watched {
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        while !self.is_over {
            let stops = *self.stopping.borrow_and_update();
            let now = if self.is_known {
                serving(*self.ready.borrow_and_update() && !stops)
            } else {
                ServingStatus::ServiceUnknown
            };
            if self.told.replace(now) != Some(now) {
                return Some((Ok(answer(now)), self));
            }
            let changed = tokio::select! {
                changed = self.stopping.changed(), if !stops => changed,
                changed = self.ready.changed(), if !stops => changed,
                else => Ok(()),
            };
            if stops || changed.is_err() {
                self.is_over = true;
                return Some((Err(status::shutting_down()), self));
            }
        }
        None
    }
}

const fn serving(serves: bool) -> ServingStatus {
    if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
