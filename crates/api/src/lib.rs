//! The edge: gRPC services on top of the platform, with health and reflection.
//! Commands go to the gateway alone, queries read the views alone; nothing is
//! decided here.

mod access;
mod access_answers;
mod access_fields;
mod access_queries;
mod access_resources;
mod adoption;
mod answers;
mod around;
mod audit;
mod audit_drafts;
pub mod authn;
mod backfills;
mod batch;
mod call;
mod catalogs;
mod check;
mod context;
mod credentials;
mod customer;
mod document_paths;
mod edge;
mod entitlements;
mod evaluation;
mod filter;
mod flag_queries;
mod flags;
pub mod guard;
mod hashed;
mod health;
mod json;
mod keys;
pub mod limits;
mod linger;
mod lists;
mod malformed;
mod mask;
mod messages;
mod meter_queries;
mod meters;
mod observe;
mod pages;
mod personal;
mod quota_headers;
mod quotas;
mod quotas_http;
mod replay;
mod resources;
mod standard;
pub mod status;
mod subscription_fields;
mod subscriptions;
mod system;
mod tail;
mod tenants;
mod usage;

use std::sync::Arc;

use exchequer_engine::Platform;
use exchequer_proto::access::v1::access_service_server::AccessServiceServer;
use exchequer_proto::access::v1::credential_service_server::CredentialServiceServer;
use exchequer_proto::audit::v1::audit_service_server::AuditServiceServer;
use exchequer_proto::catalog::v1::catalog_service_server::CatalogServiceServer;
use exchequer_proto::entitlements::v1::entitlement_service_server::EntitlementServiceServer;
use exchequer_proto::flags::v1::evaluation_service_server::EvaluationServiceServer;
use exchequer_proto::flags::v1::flag_service_server::FlagServiceServer;
use exchequer_proto::subscriptions::v1::subscription_service_server::SubscriptionServiceServer;
use exchequer_proto::system::v1::key_service_server::KeyServiceServer;
use exchequer_proto::system::v1::system_service_server::SystemServiceServer;
use exchequer_proto::tenants::v1::tenant_service_server::TenantServiceServer;
use exchequer_proto::usage::v1::correction_service_server::CorrectionServiceServer;
use exchequer_proto::usage::v1::meter_service_server::MeterServiceServer;
use tokio::sync::watch;
use tonic::service::Routes;

use edge::Edge;
pub use observe::{ACCESS_LOG, AccessLog, Observe, Observed, Refuse};

pub use answers::RequestId;
pub use customer::{Customer, evaluate};

/// The largest request, in bytes; a larger one is `REQUEST_TOO_LARGE`.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// The descriptors cannot be served: a bug of the build.
#[derive(Debug, thiserror::Error)]
#[error("the API's descriptors cannot be served: {0}")]
pub struct ReflectionError(String);

/// All services on one router, open to whoever can reach it: calls act as who they say
/// they are. Streams end soon after `stopping` says true.
pub fn routes(
    platform: Platform,
    stopping: watch::Receiver<bool>,
) -> Result<axum::Router, ReflectionError> {
    let runtime = Arc::clone(&platform.ports.runtime);
    Ok(around::around(services(platform, stopping)?, runtime, None))
}

/// The same behind the guard: calls act as whom their credential proves, and do what its
/// grants allow.
pub fn guarded_routes(
    platform: Platform,
    stopping: watch::Receiver<bool>,
    access: guard::Access,
) -> Result<axum::Router, ReflectionError> {
    let runtime = Arc::clone(&platform.ports.runtime);
    let guard = guard::Guard::new(&platform, access, stopping.clone())
        .map_err(|error| ReflectionError(error.to_string()))?;
    Ok(around::around(services(platform, stopping)?, runtime, Some(guard)))
}

fn services(
    platform: Platform,
    stopping: watch::Receiver<bool>,
) -> Result<axum::Router, ReflectionError> {
    let standard = standard::routes(&platform, stopping.clone());
    let standard = standard.map_err(|error| ReflectionError(error.to_string()))?;
    let edge = Edge { platform, stopping };
    let judge = || guard::Judge::of(&edge.platform);
    let tenants = tenants::Tenants { edge: edge.clone(), judge: judge() };
    let access = access::Access { edge: edge.clone(), judge: judge() };
    let credentials = credentials::Credentials { edge: edge.clone(), judge: judge() };
    let audit = audit::Audit { edge: edge.clone() };
    let catalogs = catalogs::Catalogs { edge: edge.clone() };
    let entitlements = entitlements::Entitlements { edge: edge.clone() };
    let subscriptions = subscriptions::Subscriptions { edge: edge.clone() };
    let quotas = quotas::service(&edge);
    let flags = flags::Flags { edge: edge.clone(), judge: judge() };
    let evaluations = evaluation::Evaluations { edge: edge.clone() };
    let keys = keys::Keys { edge: edge.clone() };
    let meters = meters::Meters { edge: edge.clone() };
    let corrections = meters::Corrections { edge: edge.clone() };
    let (ingest, events) = usage::ways_in(&edge);
    let usage = usage::queries(&edge);
    let system = system::System { edge };
    let routes =
        Routes::new(TenantServiceServer::new(tenants).max_decoding_message_size(REQUEST_BYTES_MAX))
            .add_service(
                AccessServiceServer::new(access).max_decoding_message_size(REQUEST_BYTES_MAX),
            )
            .add_service(
                CredentialServiceServer::new(credentials)
                    .max_decoding_message_size(REQUEST_BYTES_MAX),
            )
            .add_service(
                AuditServiceServer::new(audit).max_decoding_message_size(REQUEST_BYTES_MAX),
            )
            .add_service(
                SystemServiceServer::new(system).max_decoding_message_size(REQUEST_BYTES_MAX),
            )
            .add_service(KeyServiceServer::new(keys).max_decoding_message_size(REQUEST_BYTES_MAX))
            .add_service(
                MeterServiceServer::new(meters).max_decoding_message_size(REQUEST_BYTES_MAX),
            )
            .add_service(
                CorrectionServiceServer::new(corrections)
                    .max_decoding_message_size(REQUEST_BYTES_MAX),
            )
            .add_service(
                EntitlementServiceServer::new(entitlements)
                    .max_decoding_message_size(REQUEST_BYTES_MAX),
            )
            .add_service(
                CatalogServiceServer::new(catalogs).max_decoding_message_size(REQUEST_BYTES_MAX),
            )
            .add_service(
                SubscriptionServiceServer::new(subscriptions)
                    .max_decoding_message_size(REQUEST_BYTES_MAX),
            )
            .add_service(FlagServiceServer::new(flags).max_decoding_message_size(REQUEST_BYTES_MAX))
            .add_service(
                EvaluationServiceServer::new(evaluations)
                    .max_decoding_message_size(REQUEST_BYTES_MAX),
            );
    let routes = routes
        .add_service(quotas)
        .add_service(ingest)
        .add_service(usage)
        .into_axum_router()
        .merge(events);
    Ok(routes.merge(standard).fallback(malformed::unknown))
}
