//! One round after the other on servers that stay: load, a fault drawn by the seed, load
//! again, rest, and the checks. Each round has tenants of its own.

use core::time::Duration;
use std::time::Instant;

use exchequer_e2e::{Client, Random, Res, wait};

use crate::audit_topic::AuditTopic;
use crate::fault::Fault;
use crate::journal::Journal;
use crate::load::{Ledger, Load};
use crate::notice;
use crate::say;
use crate::usage::{Usage, make_meter};
use crate::views::{Expected, open};
use crate::world::World;

/// Answers before anything breaks, and after it was mended.
const ANSWERS_BEFORE: u64 = 40;
const ANSWERS_AFTER: u64 = 40;
/// Something breaks at any moment of this.
const LIFE_MS_MAX: u64 = 1_500;

/// A run: servers, processes, and readers that were there from the beginning.
pub(crate) struct Course {
    world: World,
    gateways: [Client; 2],
    journal: Journal,
    audit: AuditTopic,
    usage: Usage,
    expected: Expected,
    /// Of the last round.
    last: Ledger,
}

/// Seconds of a round, by what they were spent on.
#[derive(Debug, Default)]
struct Times {
    fault: Duration,
    checks: Duration,
}

impl Course {
    pub(crate) async fn start() -> Res<Self> {
        let begun = Instant::now();
        let world = World::start()?;
        let gateways = [world.client("gateway-1").await?, world.client("gateway-2").await?];
        make_meter(&gateways[0]).await?;
        let (journal, audit) = (world.log("journal")?, world.log("audit")?);
        let usage = Usage::open(&world)?;
        say(&format!("servers and processes stand after {} s", begun.elapsed().as_secs()));
        Ok(Self {
            world,
            gateways,
            journal: Journal::new(journal),
            audit: AuditTopic::new(audit),
            usage,
            expected: Expected::new(),
            last: Ledger::default(),
        })
    }

    /// What is wrong after the round of that seed.
    pub(crate) async fn round(&mut self, seed: u64) -> Res<Vec<String>> {
        let (name, mut random, begun) = (format!("s{seed}"), Random::new(seed, 0), Instant::now());
        let (ignored, claims) = (self.journal.ignored, self.journal.claims);
        let mut times = Times::default();
        let load = Load::start(&self.gateways, self.usage.log(), &name, seed);
        load.go_on(ANSWERS_BEFORE).await?;
        wait::pass_async(Duration::from_millis(random.below(LIFE_MS_MAX))).await;
        let breaks = Instant::now();
        let fault = Fault::of_seed(seed);
        let what = fault.run(&mut self.world, &mut self.journal, &mut random).await;
        let what = what.map_err(|error| format!("{fault:?}: {error}"))?;
        times.fault = breaks.elapsed();
        self.world.wait_ready().map_err(|error| format!("{what}: {error}"))?;
        load.go_on(ANSWERS_AFTER).await.map_err(|error| format!("{what}: {error}"))?;
        let ledger = load.finish().await.map_err(|error| format!("{what}: {error}"))?;
        let checks = Instant::now();
        let wrong = self.check(&name, &ledger).await?;
        times.checks = checks.elapsed();
        let events: u64 = ledger.events.values().map(|it| it.count).sum();
        self.world.check()?;
        let (ignored, claims) = (self.journal.ignored - ignored, self.journal.claims - claims);
        let verdict = if wrong.is_empty() { "nothing lost, nothing twice" } else { "WRONG" };
        say(&format!(
            "seed {seed}: {what}; {} commands, {} tries without an answer, the slowest {:.1} s, \
             {events} events; {claims} claims, {ignored} records ignored; {:.0} s, of which \
             {:.0} s broken and {:.0} s checks: {verdict} \
             (cargo xtask faults --rounds 1 --seed {seed})",
            ledger.commands.len(),
            ledger.open,
            ledger.slowest.as_secs_f64(),
            begun.elapsed().as_secs_f64(),
            times.fault.as_secs_f64(),
            times.checks.as_secs_f64(),
        ));
        self.last = ledger;
        Ok(wrong)
    }

    async fn check(&mut self, name: &str, ledger: &Ledger) -> Res<Vec<String>> {
        let mut wrong = ledger.wrong.clone();
        self.journal.catch_up().await?;
        wrong.extend(self.journal.compare(&format!("{name}-"), &ledger.commands));
        wrong.extend(self.usage.compare(&self.gateways[0], &ledger.events).await?);
        wrong.extend(views(&mut self.journal, &self.expected, &self.world).await?);
        wrong.extend(self.audit.compare(&self.journal).await?);
        Ok(wrong)
    }

    /// Breaks each check once.
    pub(crate) async fn checks_notice(&self) -> Res<()> {
        notice::all(&self.world, &self.gateways[0], &self.last).await
    }

    /// Reads all logs once more from their beginnings: what is there is what was there.
    pub(crate) async fn everything_again(&mut self) -> Res<Vec<String>> {
        let mut again = Journal::new(self.world.log("journal")?);
        again.catch_up().await?;
        self.journal.catch_up().await?;
        let mut wrong = again.wrong.clone();
        if again.ends() != self.journal.ends() {
            wrong.push(format!("ends are {:?}, were {:?}", again.ends(), self.journal.ends()));
        }
        wrong.extend(views(&mut again, &Expected::new(), &self.world).await?);
        wrong.extend(AuditTopic::new(self.world.log("audit")?).compare(&again).await?);
        let (commits, claims, ignored) = (again.commits, again.claims, again.ignored);
        say(&format!("from zero: {commits} commits, {claims} claims, {ignored} records ignored"));
        Ok(wrong)
    }
}

/// Waits until the views are those of a fold from zero; what differs if they don't become so.
async fn views(journal: &mut Journal, expected: &Expected, world: &World) -> Res<Vec<String>> {
    let store = open(&world.rows()).await?;
    let mut last = Vec::new();
    let is_same = wait::until_async("views", async || {
        journal.catch_up().await?;
        expected.fold(&journal.take_fresh()).await?;
        last = expected.compare(&store).await?;
        Ok(last.is_empty().then_some(()))
    });
    match is_same.await {
        Ok(()) => Ok(Vec::new()),
        Err(error) if last.is_empty() => Err(error),
        Err(_) => Ok(last),
    }
}
