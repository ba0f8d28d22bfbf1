//! Timers of many tenants that are due in the same second: how fast they are
//! decided, and what a caller notices meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exchequer_domain_tenants as tenants;
use exchequer_engine::{TailItem, TailListener};
use exchequer_tenant::Command;

use crate::report::Figure;
use crate::world::{PATIENCE, ViewsRun, World, append, submission};
use crate::{Args, Failure};

const TENANTS: usize = 100_000;
const AHEAD: Duration = Duration::from_secs(24 * 3600);
/// A caller thinks this long between two commands.
const THINKING: Duration = Duration::from_millis(1);

/// Counts timers that have fired.
#[derive(Debug, Default)]
struct Fired(AtomicUsize);

impl TailListener for Fired {
    fn accepted(&self, item: &TailItem) {
        let events = item.entry.commit.events.iter();
        let fired = events.filter(|event| event.r#type == "kernel.timer-cleared.v1").count();
        self.0.fetch_add(fired, Ordering::Relaxed);
    }
}

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(folder.path(), 16, ViewsRun::All).await?;
    let tenants = TENANTS / 100 * args.percent;
    // The last one is the caller's, and has no timer.
    world.create_tenants(0, tenants + 1).await?;
    schedule(&world, tenants).await?;
    let fired = Arc::new(Fired::default());
    world.platform.tail.listen(Arc::<Fired>::clone(&fired));
    let calm = call_until(&world, tenants, |calls| calls >= 2_000).await?;
    let begun = Instant::now();
    world.runtime.travel(AHEAD);
    let busy = call_until(&world, tenants, |_| fired.0.load(Ordering::Relaxed) >= tenants).await?;
    let seconds = begun.elapsed().as_secs_f64();
    world.stop().await;
    let rate = tenants as f64 / seconds;
    let what = format!("{tenants} timers of the same second, decided, 1/s");
    Ok(vec![
        Figure::new("renewals", &what, rate, Some((">=", 20_000.0))),
        Figure::new("renewals", "a caller, p99 ms, before", p99(calm), None),
        Figure::new("renewals", "a caller, p99 ms, meanwhile", p99(busy), Some(("<=", 50.0))),
    ])
}

async fn schedule(world: &World, count: usize) -> Result<(), Failure> {
    let at = world.platform.ports.runtime.now().saturating_add(AHEAD);
    for chunk in (0..count).collect::<Vec<_>>().chunks(4_000) {
        let calls = chunk.iter().map(|n| {
            let schedule = tenants::Command::ScheduleClosing(tenants::ScheduleClosing { at });
            let command = Command::Tenants(schedule);
            let submission = submission(&format!("t{n}"), format!("close-{n}"), command);
            let gateway = &world.platform.gateway;
            async move { Ok::<_, Failure>(gateway.submit(submission?, PATIENCE).await?) }
        });
        futures::future::try_join_all(calls).await?;
    }
    Ok(())
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

/// In milliseconds.
fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() * 99 / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
