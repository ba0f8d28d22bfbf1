//! One round after the other on servers that stay: load, a fault drawn by the seed, load
//! again, rest, and the checks. Each round has tenants of its own.

use core::time::Duration;
use std::time::Instant;

use exchequer_e2e::{Client, Random, Res, wait};

use crate::audit_topic::AuditTopic;
use crate::fault::Fault;
use crate::journal::Journal;
use crate::load::{Ledger, Load};
use crate::metered_again::MeteredAgain;
use crate::notice;
use crate::say;
use crate::usage::{Usage, make_meters};
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

/// What a round took, part by part.
#[derive(Debug)]
struct Times {
    begun: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Times {
    fn begin() -> Self {
        Self { begun: Instant::now(), parts: Vec::new() }
    }

    /// What was done since the last call.
    fn done(&mut self, part: &'static str) {
        let before: Duration = self.parts.iter().map(|it| it.1).sum();
        self.parts.push((part, self.begun.elapsed().saturating_sub(before)));
    }
}

impl core::fmt::Display for Times {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:.0} s", self.begun.elapsed().as_secs_f64())?;
        let mut parts = self.parts.iter();
        parts.try_for_each(|(part, took)| write!(f, ", {part} {:.0}", took.as_secs_f64()))
    }
}

impl Course {
    pub(crate) async fn start() -> Res<Self> {
        let begun = Instant::now();
        let world = World::start()?;
        let gateways = [world.client("gateway-1").await?, world.client("gateway-2").await?];
        make_meters(&gateways[0]).await?;
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

    /// What is wrong after the round of that number and seed.
    pub(crate) async fn round(&mut self, number: u64, seed: u64, fault: Fault) -> Res<Vec<String>> {
        let (name, mut random) = (format!("r{number}-s{seed}"), Random::new(seed, 0));
        let (ignored, claims) = (self.journal.ignored, self.journal.claims);
        let mut times = Times::begin();
        let load = Load::start(&self.gateways, self.usage.log(), &name, seed);
        load.go_on(ANSWERS_BEFORE).await?;
        wait::pass_async(Duration::from_millis(random.below(LIFE_MS_MAX))).await;
        times.done("before");
        let what = fault.run(&mut self.world, &mut self.journal, &load, &mut random).await;
        let what = what.map_err(|error| format!("{fault:?}: {error}"))?;
        let told = |error: exchequer_e2e::Failure| format!("{what}: {error}");
        times.done("broken");
        self.world.wait_ready().map_err(told)?;
        times.done("until ready");
        load.go_on(ANSWERS_AFTER).await.map_err(told)?;
        let ledger = wait::within("an answer for each caller", load.finish()).await;
        let ledger = ledger.map_err(told)?.map_err(told)?;
        times.done("after");
        let mut wrong = self.check(&name, &ledger).await?;
        if let Some(max) = fault.answer_max().filter(|max| ledger.slowest > *max) {
            let (slowest, max) = (ledger.slowest.as_secs_f64(), max.as_secs());
            wrong
                .push(format!("a caller waited {slowest:.1} s for its answer, {max} are promised"));
        }
        times.done("checks");
        self.world.check()?;
        let (ignored, claims) = (self.journal.ignored - ignored, self.journal.claims - claims);
        let verdict = if wrong.is_empty() { "nothing lost, nothing twice" } else { "WRONG" };
        let events: u64 = ledger.events.values().map(|it| it.count).sum();
        say(&format!(
            "seed {seed}: {what}; {} commands, {} tries without an answer, the slowest {:.1} s, \
             {events} events; {claims} claims, {ignored} records ignored; {times}: {verdict} \
             (cargo xtask faults --rounds 1 --seed {seed})",
            ledger.commands.len(),
            ledger.open,
            ledger.slowest.as_secs_f64(),
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
        wrong.extend(self.audit.compare(&mut self.journal).await?);
        Ok(wrong)
    }

    /// Breaks each check once.
    pub(crate) async fn checks_notice(&self) -> Res<()> {
        notice::all(&self.world, &self.gateways[0], &self.last).await
    }

    /// Reads all logs once more from their beginnings: what is there is what was there.
    pub(crate) async fn everything_again(&mut self) -> Res<Vec<String>> {
        let mut again = Journal::new(self.world.log("journal")?);
        // Reads by the checks are audited a moment later: the ends move on.
        let ends = wait::until_async("the same ends", async || {
            again.catch_up().await?;
            self.journal.catch_up().await?;
            Ok((again.ends() == self.journal.ends()).then_some(()))
        });
        let are_same = ends.await.is_ok();
        let mut wrong = again.wrong.clone();
        if !are_same {
            wrong.push(format!("ends are {:?}, were {:?}", again.ends(), self.journal.ends()));
        }
        wrong.extend(views(&mut again, &Expected::new(), &self.world).await?);
        wrong.extend(AuditTopic::new(self.world.log("audit")?).compare(&mut again).await?);
        wrong.extend(self.usage_again().await?);
        let (commits, claims, ignored) = (again.commits, again.claims, again.ignored);
        say(&format!("from zero: {commits} commits, {claims} claims, {ignored} records ignored"));
        Ok(wrong)
    }

    /// Counts all usage anew: what the deployment tells of it is what comes out.
    async fn usage_again(&self) -> Res<Vec<String>> {
        let begun = Instant::now();
        let again = MeteredAgain::start(&self.world, &self.usage.log()).await?;
        let mut wrong = again.compare(&self.world).await;
        if matches!(&wrong, Ok(none) if none.is_empty()) {
            wrong = notice::without_rows(&again).await;
        }
        again.end().await;
        say(&format!("usage from zero: {} s", begun.elapsed().as_secs()));
        wrong
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
