//! The services that every gRPC client knows, health and reflection. The library that
//! serves reflection knows nothing of a server that stops: its streams are ended here, so
//! that none holds it up.

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

/// Both services; their streams end when `stopping` says true.
pub(crate) fn routes(
    platform: &Platform,
    stopping: watch::Receiver<bool>,
) -> Result<Router, Error> {
    let reflection = Routes::default()
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let reflection = reflection.into_axum_router().reset_fallback();
    let reflection = reflection.layer(from_fn_with_state(stopping.clone(), end_with_server));
    let health = Routes::default().add_service(health::start(platform, stopping));
    Ok(reflection.merge(health.into_axum_router().reset_fallback()))
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
    let response = next.run(request).await;
    let end = async move {
        if stopping.wait_for(|stopping| *stopping).await.is_err() {
            // Nobody is left who could say so.
            core::future::pending::<()>().await;
        }
        status::shutting_down()
    };
    response.map(|body| Body::new(Ending::new(body, end.boxed())))
}
