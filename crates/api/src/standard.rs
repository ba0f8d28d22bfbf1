//! The services that every gRPC client knows, health and reflection. The library serves
//! them and knows nothing of a server that stops: their streams are ended here, so that
//! none holds it up.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use exchequer_engine::Platform;
use exchequer_proto::DESCRIPTORS;
use futures::FutureExt as _;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

use crate::guard::ending::Ending;
use crate::{health, status};

/// The only one of their methods that answers once: it tells to the end.
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Both services; their streams end when `stopping` says true.
pub(crate) fn routes(
    platform: &Platform,
    stopping: watch::Receiver<bool>,
) -> Result<Router, Error> {
    let standard = Routes::default()
        .add_service(health::start(platform))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let router = standard.into_axum_router().reset_fallback();
    Ok(router.layer(from_fn_with_state(stopping, end_with_server)))
}

fn reflection() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that clients can show an error's details.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

async fn end_with_server(
    State(mut stopping): State<watch::Receiver<bool>>,
    request: Request,
    next: Next,
) -> Response {
    let is_stream = request.uri().path() != CHECK;
    let response = next.run(request).await;
    if !is_stream {
        return response;
    }
    let end = async move {
        if stopping.wait_for(|stopping| *stopping).await.is_err() {
            // Nobody is left who could say so.
            core::future::pending::<()>().await;
        }
        status::shutting_down()
    };
    response.map(|body| Body::new(Ending::new(body, end.boxed())))
}
