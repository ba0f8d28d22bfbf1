//! Events of use: how they come in.

mod cloud_event;
mod errors;
mod gate;
mod http;
mod inflate;
mod ingest;
mod outgoing;
mod query;
mod query_columns;
mod query_events;
mod query_export;
mod query_fate;
mod query_figures;
mod query_lists;
mod query_watch;
mod room;
mod schemas;
mod stream;
mod verdict;

use std::sync::Arc;

use exchequer_event_schema::Cache;
use exchequer_proto::usage::v1::ingest_service_server::IngestServiceServer;
use exchequer_proto::usage::v1::usage_service_server::UsageServiceServer;

pub(crate) use errors::{as_json, of as error_as_json};

use crate::edge::Edge;
use gate::Gate;
use ingest::Ingest;
use schemas::PlatformSchemas;

/// Where events are sent by HTTP.
pub(crate) const EVENTS_PATH: &str = "/v1/events";
/// What of the usage log a query must have seen, and what a reply has.
pub(crate) const CONSISTENCY: &str = "x-exchequer-usage-consistency";

pub(crate) use query::{Asked as Seen, Usage, at_rest};

/// What came of events.
pub(crate) fn queries(edge: &Edge) -> UsageServiceServer<query::Usage> {
    UsageServiceServer::new(query::Usage { edge: edge.clone() })
        .max_decoding_message_size(crate::REQUEST_BYTES_MAX)
}

/// All ways in.
pub(crate) fn ways_in(edge: &Edge) -> (IngestServiceServer<Ingest>, axum::Router) {
    let schemas = PlatformSchemas { platform: edge.platform.clone(), compiled: Cache::default() };
    let gate = Gate::new(&edge.platform, Arc::new(schemas));
    let routes = http::routes(gate.clone());
    let ingest = IngestServiceServer::new(Ingest { edge: edge.clone(), gate })
        .max_decoding_message_size(gate::REQUEST_BYTES_MAX);
    (ingest, routes)
}
