//! `cargo xtask bench`: every figure of docs/benchmarks.md.

#[cfg(feature = "cluster")]
mod cluster;
mod commerce;
mod durable;
mod echo;
mod guard;
mod pure;
mod renewals;
mod report;
mod reservations;
mod scale;
mod server;
mod usage;
mod usage_events;
mod usage_http;
mod usage_query;
mod usage_stream;
mod vault;
mod world;

use std::path::PathBuf;

use clap::Parser;
use report::Figure;
use world::ViewsRun;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const NAMES: [&str; 15] = [
    "durable",
    "durable-with-views",
    "latency",
    "plan-changes",
    "renewals",
    "grpc",
    "scale",
    "proration",
    "flags",
    "guard",
    "vault",
    "edge",
    "usage",
    "usage-query",
    "reservations",
];

/// Measures what docs/benchmarks.md states.
#[derive(Debug, Parser)]
struct Args {
    /// Only this one: durable, durable-with-views, latency, plan-changes, renewals,
    /// grpc, scale, proration, flags, guard, vault, edge, usage, usage-query, reservations;
    /// with the feature `cluster` also cluster-latency, cluster-rate, cluster-usage,
    /// cluster-rows, cluster-audit, cluster-growth, which start servers.
    #[arg(long)]
    only: Option<String>,
    /// Also writes the figures here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Multiplies how much is measured.
    #[arg(long, default_value_t = 1)]
    scale: usize,
    /// How much of what they do `scale`, `renewals`, `usage` and `usage-query` run.
    #[arg(long, default_value_t = 100)]
    percent: usize,
    /// Not to be called by people: serves this message, for `edge`.
    #[arg(long, hide = true, requires = "echo_on")]
    echo: Option<String>,
    #[arg(long, hide = true)]
    echo_on: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if let (Some(text), Some(address)) = (&args.echo, &args.echo_on) {
        return echo::serve(address, text).await;
    }
    let chosen: Vec<&str> = match &args.only {
        None => NAMES.to_vec(),
        Some(only) => all_names().into_iter().filter(|name| name == only).collect(),
    };
    if chosen.is_empty() {
        return Err(format!("no such benchmark; there are: {}", all_names().join(" ")).into());
    }
    let mut figures: Vec<Figure> = Vec::new();
    for name in chosen {
        let measured = match name {
            "durable" => durable::throughput(&args, ViewsRun::None).await?,
            "durable-with-views" => durable::throughput(&args, ViewsRun::All).await?,
            "latency" => durable::latency(&args).await?,
            "renewals" => renewals::run(&args).await?,
            "grpc" => server::run(&args).await?,
            "plan-changes" => Box::pin(commerce::run(&args)).await?,
            "proration" => pure::proration(&args)?,
            "flags" => pure::flags(&args)?,
            "guard" => Box::pin(guard::run(&args)).await?,
            "reservations" => Box::pin(reservations::run(&args)).await?,
            "vault" => vault::run(&args).await?,
            "edge" => Box::pin(echo::run(&args)).await?,
            "usage" => Box::pin(usage::run(&args)).await?,
            "usage-query" => Box::pin(usage_query::run(&args)).await?,
            #[cfg(feature = "cluster")]
            name if cluster::NAMES.contains(&name) => Box::pin(cluster::run(name, &args)).await?,
            _ => Box::pin(scale::run(&args)).await?,
        };
        for figure in &measured {
            say(&figure.line());
        }
        figures.extend(measured);
    }
    if let Some(path) = &args.json {
        let all: Vec<_> = figures.iter().map(Figure::json).collect();
        std::fs::write(path, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

/// Those that start servers are run by name alone.
fn all_names() -> Vec<&'static str> {
    #[cfg(feature = "cluster")]
    let names = [&NAMES[..], &cluster::NAMES].concat();
    #[cfg(not(feature = "cluster"))]
    let names = NAMES.to_vec();
    names
}

#[expect(clippy::print_stdout, reason = "this program's output")]
fn say(line: &str) {
    println!("{line}");
}
