//! Renewals of many subscriptions that are due at once: how fast they are decided,
//! and what a caller notices meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exchequer_engine::{TailItem, TailListener};

use crate::commerce::{ask, publish, subscribe};
use crate::report::{Figure, p99};
use crate::world::{PATIENCE, ViewsRun, World, append, submission};
use crate::{Args, Failure};

const TENANTS: usize = 100_000;
/// Further than one month, and not as far as two.
const AHEAD: Duration = Duration::from_secs(40 * 24 * 3600);
/// A caller thinks this long between two commands.
const THINKING: Duration = Duration::from_millis(1);

/// Counts subscriptions that were renewed.
#[derive(Debug, Default)]
struct Renewed(AtomicUsize);

impl TailListener for Renewed {
    fn accepted(&self, item: &TailItem) {
        let events = item.entry.commit.events.iter();
        let renewed = events.filter(|event| event.r#type == "subscriptions.renewed.v1").count();
        self.0.fetch_add(renewed, Ordering::Relaxed);
    }
}

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(folder.path(), 16, ViewsRun::All).await?;
    let tenants = TENANTS / 100 * args.percent;
    publish(&world).await?;
    // The last one is the caller's, and has no subscription.
    world.create_tenants(0, tenants + 1).await?;
    subscribe_all(&world, tenants).await?;
    let renewed = Arc::new(Renewed::default());
    world.platform.tail.listen(Arc::<Renewed>::clone(&renewed));
    let calm = call_until(&world, tenants, |calls| calls >= 2_000).await?;
    let begun = (Instant::now(), processor_seconds());
    world.runtime.travel(AHEAD);
    let is_over = |_: usize| renewed.0.load(Ordering::Relaxed) >= tenants;
    let busy = call_until(&world, tenants, is_over).await?;
    let seconds = begun.0.elapsed().as_secs_f64();
    let processor = (processor_seconds() - begun.1) * 1e6 / tenants as f64;
    world.stop().await;
    let rate = tenants as f64 / seconds;
    let what = format!("{tenants} renewals due at once, 1/s");
    Ok(vec![
        Figure::new("renewals", &what, rate, Some((">=", 20_000.0))),
        Figure::new("renewals", "processor time a renewal, all views, us", processor, None),
        Figure::new("renewals", "a caller, p99 ms, before", p99(calm), None),
        Figure::new("renewals", "a caller, p99 ms, meanwhile", p99(busy), Some(("<=", 50.0))),
    ])
}

async fn subscribe_all(world: &World, count: usize) -> Result<(), Failure> {
    for chunk in (0..count).collect::<Vec<_>>().chunks(1_000) {
        let calls = chunk.iter().map(|n| async move {
            ask(world, &format!("t{n}"), format!("subscribe-{n}"), subscribe()?).await
        });
        futures::future::try_join_all(calls).await?;
    }
    Ok(())
}

/// What this process has had of all cores.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields = behind_name.split_whitespace().skip(11).take(2);
    // In user and in system mode, in hundredths of a second.
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// One caller with one outstanding command, until `is_over`; how long each took.
async fn call_until(
    world: &World,
    tenant: usize,
    is_over: impl Fn(usize) -> bool,
) -> Result<Vec<Duration>, Failure> {
    let mut calls = Vec::new();
    let run = u128::from_le_bytes(world.platform.ports.runtime.nonce());
    while !is_over(calls.len()) {
        let id = format!("{run:x}-{}", calls.len());
        let submission = submission(&format!("t{tenant}"), id, append())?;
        let begun = Instant::now();
        world.platform.gateway.submit(submission, PATIENCE).await?;
        calls.push(begun.elapsed());
        tokio::time::sleep(THINKING).await;
    }
    Ok(calls)
}
