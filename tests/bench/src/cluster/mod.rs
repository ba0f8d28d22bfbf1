//! What a deployment on Kafka and a CQL store does, beside the bare clients of both on the
//! same servers, all of it on the same machine. Each benchmark starts its own servers.

mod audit;
mod bare;
mod commands;
mod growth;
mod grpc;
mod produce;
mod rows;
mod servers;
mod usage;

use crate::report::Figure;
use crate::{Args, Failure};

pub(crate) const NAMES: [&str; 6] = [
    "cluster-latency",
    "cluster-rate",
    "cluster-usage",
    "cluster-rows",
    "cluster-audit",
    "cluster-growth",
];

pub(crate) async fn run(name: &str, args: &Args) -> Result<Vec<Figure>, Failure> {
    match name {
        "cluster-latency" => Box::pin(commands::latency(args)).await,
        "cluster-rate" => Box::pin(commands::rate(args)).await,
        "cluster-usage" => Box::pin(usage::run(args)).await,
        "cluster-rows" => Box::pin(rows::run(args)).await,
        "cluster-audit" => Box::pin(audit::run(args)).await,
        _ => Box::pin(growth::run(args)).await,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
