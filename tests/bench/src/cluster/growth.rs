//! How commands and usage grow with partitions and with tenants: no cliff is expected, and
//! what bends is to be seen.

use std::sync::Arc;

use super::commands::callers;
use super::produce::Events;
use super::servers::{Servers, Work, World};
use super::usage::drain;
use crate::report::Figure;
use crate::world::create_tenants;
use crate::{Args, Failure, say};

const NAME: &str = "cluster-growth";
const COMMANDS: usize = 40_000;
/// Memory holds them.
const EVENTS: u64 = 600_000;
/// Memory holds a part of them: meters write while they count.
const MORE_EVENTS: u64 = 3_000_000;
/// Partitions and tenants, and events.
const STEPS: [(u32, usize, u64); 8] = [
    (1, 100, EVENTS),
    (4, 100, EVENTS),
    (16, 100, EVENTS),
    (16, 10, EVENTS),
    (16, 1_000, EVENTS),
    (16, 10_000, EVENTS),
    (1, 10_000, EVENTS),
    (16, 10_000, MORE_EVENTS),
];

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for (partitions, tenants, events) in STEPS {
        // Topics and tables of one step do not slow the next one down.
        let servers = Servers::start()?;
        let prefix = format!("g{partitions}_{tenants}");
        if events == EVENTS {
            let commands = COMMANDS / 100 * args.percent;
            let rate = commands_of(&servers, &prefix, partitions, (tenants, commands)).await?;
            let what = format!("commands/s, {partitions} partitions, {tenants} tenants");
            let figure = Figure::new(NAME, &what, rate, None);
            tell(&figure);
            figures.push(figure);
        }
        let count = events / 100 * args.percent as u64;
        let tenants_of = tenants as u64;
        let of = |count| (Events::Of { tenants: tenants_of }, tenants_of, count);
        drain(&servers, &format!("w{prefix}"), partitions, of(EVENTS / 3)).await?;
        let rate = drain(&servers, &format!("u{prefix}"), partitions, of(count)).await?;
        let what = format!("{count} usage events/s, {partitions} partitions, {tenants} tenants");
        let figure = Figure::new(NAME, &what, rate, None);
        tell(&figure);
        figures.push(figure);
    }
    Ok(figures)
}

/// A figure at once: the whole run takes long, and a step of it may fail.
fn tell(figure: &Figure) {
    say(&format!("so far: {}", figure.line()));
}

async fn commands_of(
    servers: &Servers,
    prefix: &str,
    partitions: u32,
    (tenants, commands): (usize, usize),
) -> Result<f64, Failure> {
    let topics = servers.topics(prefix, partitions)?;
    let store = Arc::new(servers.read_store(prefix).await?);
    let world = World::start(&topics, store, Work::deciding()).await?;
    create_tenants(&world.platform, 0, tenants).await?;
    // Servers that have just started compile themselves for a while.
    callers(&world.platform.gateway, "warm", (tenants, 2 * commands)).await?;
    let rate = callers(&world.platform.gateway, "run", (tenants, commands)).await?;
    world.stop().await;
    Ok(rate)
}
