//! What breaks in a round: begun under load, held for a while, and mended. Processes that
//! were killed are started again, as whoever supervises them would.

use core::time::Duration;
use std::path::Path;
use std::time::Instant;

use exchequer_e2e::{Random, Res, ensure, wait};
use exchequer_services::{Mending, clients};

use crate::journal::Journal;
use crate::load::Load;
use crate::world::{FAR, PARTITIONS, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of a process of that role.
    Kill(&'static str),
    /// `kill -9` of a broker; with twelve times as many partitions as brokers, each leads some.
    KillBroker,
    /// A broker that neither answers nor ends.
    PauseBroker,
    /// A decider that sleeps past its session and goes on as if nothing had been.
    PauseDecider,
    /// The network between a decider and all brokers.
    CutDecider,
    /// What a decider sends arrives only when another has taken over.
    HoldDecider,
    PauseStore,
    KillStore,
    /// The topic of commands forgets all that is decided, and deciders start on the rest.
    Retention,
    /// The clock of a process of that role goes an hour ahead while it runs, and back.
    ClockAhead(&'static str),
    /// A process of that role starts an hour behind, and is put right.
    ClockBehind(&'static str),
}

/// Each comes once in so many consecutive seeds; those that differ most stand together.
pub(crate) const FAULTS: &[Fault] = &[
    Fault::Kill("decider"),
    Fault::PauseDecider,
    Fault::KillBroker,
    Fault::CutDecider,
    Fault::Kill("meter"),
    Fault::PauseStore,
    Fault::Retention,
    Fault::ClockBehind(""),
    Fault::Kill("gateway"),
    Fault::KillStore,
    Fault::Kill("projector"),
    Fault::ClockAhead(""),
    Fault::Kill("consumer"),
    Fault::PauseBroker,
    Fault::HoldDecider,
    Fault::Kill("sealer"),
];

/// Whose clocks go wrong, one role after the other, each time all faults have been.
const CLOCKS: &[&str] = &["meter", "decider", "projector", "consumer", "gateway"];

/// A session ends after 6 seconds of silence.
const PAST_SESSION_MS: u64 = 8_000;
const STORE_DOWN: Duration = Duration::from_secs(30);
const HOUR_SECONDS: i64 = 3_600;
/// A partition whose decider was killed is decided again after this.
const TAKEOVER_MAX: Duration = Duration::from_secs(10);
/// So is one whose broker is gone.
const BROKER_LOSS_MAX: Duration = Duration::from_secs(20);

impl Fault {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let of = |count: usize, number: u64| (number % count as u64) as usize;
        let role = CLOCKS[of(CLOCKS.len(), seed / FAULTS.len() as u64)];
        match FAULTS[of(FAULTS.len(), seed)] {
            Self::ClockAhead(_) => Self::ClockAhead(role),
            Self::ClockBehind(_) => Self::ClockBehind(role),
            other => other,
        }
    }

    /// Is a broker away?
    pub(crate) fn is_of_broker(self) -> bool {
        matches!(self, Self::KillBroker | Self::PauseBroker)
    }

    /// How long a caller may wait for its answer, where that is promised.
    pub(crate) fn answer_max(self) -> Option<Duration> {
        match self {
            Self::Kill("decider") => Some(TAKEOVER_MAX),
            it if it.is_of_broker() => Some(BROKER_LOSS_MAX),
            _ => None,
        }
    }

    /// Breaks and mends; says in words what was done.
    pub(crate) async fn run(
        self,
        world: &mut World,
        journal: &mut Journal,
        load: &Load,
        random: &mut Random,
    ) -> Res<String> {
        match self {
            Self::Kill(role) => kill(world, role, random).await,
            Self::KillBroker => kill_broker(world, load, random).await,
            Self::PauseBroker => pause_broker(world, random).await,
            Self::PauseDecider => pause_decider(world, random).await,
            Self::CutDecider => cut(world, random).await,
            Self::HoldDecider => hold(world, random).await,
            Self::PauseStore => pause_store(world).await,
            Self::KillStore => kill_store(world, load),
            Self::Retention => retention(world, journal).await,
            Self::ClockAhead(role) => clock_ahead(world, role, random).await,
            Self::ClockBehind(role) => clock_behind(world, role, random).await,
        }
    }
}

fn any(world: &World, role: &str, random: &mut Random) -> Res<&'static str> {
    Ok(random.pick(&world.of_role(role)).ok_or("no process of that role")?)
}

/// So many milliseconds, drawn.
fn between(random: &mut Random, from: u64, to: u64) -> Duration {
    Duration::from_millis(from + random.below(to - from))
}

async fn kill(world: &mut World, role: &str, random: &mut Random) -> Res<String> {
    let (name, down) = (any(world, role, random)?, between(random, 0, 8_000));
    world.member(name)?.kill()?;
    wait::pass_async(down).await;
    world.begin_missing()?;
    Ok(format!("kill -9 of {name}, started again after {} ms", down.as_millis()))
}

async fn kill_broker(world: &mut World, load: &Load, random: &mut Random) -> Res<String> {
    let id = 1 + random.below(world.kafka.brokers() as u64) as usize;
    let down = between(random, 1_000, 8_000);
    world.kafka.kill_broker(id)?;
    wait::pass_async(down).await;
    let begun = Instant::now();
    load.gently(|| world.kafka.start_broker(id))?;
    let took = begun.elapsed().as_secs();
    let down = down.as_millis();
    Ok(format!("kill -9 of broker {id}, started again after {down} ms, which took {took} s"))
}

async fn pause_broker(world: &mut World, random: &mut Random) -> Res<String> {
    let id = 1 + random.below(world.kafka.brokers() as u64) as usize;
    let down = between(random, 2_000, 10_000);
    world.kafka.pause_broker(id)?;
    wait::pass_async(down).await;
    world.kafka.resume_broker(id)?;
    Ok(format!("SIGSTOP of broker {id} for {} ms", down.as_millis()))
}

async fn pause_decider(world: &mut World, random: &mut Random) -> Res<String> {
    let name = any(world, "decider", random)?;
    let asleep = between(random, PAST_SESSION_MS, PAST_SESSION_MS + 4_000);
    world.member(name)?.running()?.pause()?;
    wait::pass_async(asleep).await;
    world.member(name)?.running()?.resume()?;
    Ok(format!("SIGSTOP of {name} for {} ms, then SIGCONT", asleep.as_millis()))
}

async fn cut(world: &mut World, random: &mut Random) -> Res<String> {
    let time = between(random, 2_000, PAST_SESSION_MS + 4_000);
    let how = if random.percent(50) { Mending::Late } else { Mending::Lossy };
    world.relays.iter().for_each(exchequer_services::Relay::cut);
    wait::pass_async(time).await;
    world.relays.iter().for_each(|relay| relay.mend(how));
    let ms = time.as_millis();
    Ok(format!("{FAR} cut off from the brokers for {ms} ms, what was under way is {how:?}"))
}

async fn hold(world: &mut World, random: &mut Random) -> Res<String> {
    let time = between(random, PAST_SESSION_MS + 1_000, PAST_SESSION_MS + 4_000);
    world.relays.iter().for_each(exchequer_services::Relay::hold);
    wait::pass_async(time).await;
    world.relays.iter().for_each(|relay| relay.mend(Mending::Late));
    let ms = time.as_millis();
    Ok(format!("what {FAR} sends to the brokers is held for {ms} ms, and arrives then"))
}

async fn pause_store(world: &mut World) -> Res<String> {
    world.store.pause()?;
    wait::pass_async(STORE_DOWN).await;
    world.store.resume()?;
    Ok(format!("SIGSTOP of the store for {} s", STORE_DOWN.as_secs()))
}

fn kill_store(world: &mut World, load: &Load) -> Res<String> {
    world.store.kill()?;
    let begun = Instant::now();
    load.gently(|| world.store.start_again())?;
    let down = begun.elapsed().as_secs();
    Ok(format!("kill -9 of the store, started again at once, which took {down} s"))
}

async fn retention(world: &mut World, journal: &mut Journal) -> Res<String> {
    journal.catch_up().await?;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/delete_records.py");
    let lows: Vec<String> = (0..PARTITIONS).map(|it| journal.low(it).to_string()).collect();
    let mut words = vec!["commands"];
    words.extend(lows.iter().map(String::as_str));
    let output = clients::python(&world.kafka.bootstrap(), &program, &words)?;
    ensure(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())?;
    for name in world.of_role("decider") {
        world.member(name)?.kill()?;
    }
    world.begin_missing()?;
    Ok(format!("commands deleted below {}, both deciders started anew", lows.join(", ")))
}

async fn clock_ahead(world: &mut World, role: &str, random: &mut Random) -> Res<String> {
    let name = any(world, role, random)?;
    let time = between(random, 2_000, 8_000);
    world.member(name)?.clock.step(HOUR_SECONDS)?;
    wait::pass_async(time).await;
    world.member(name)?.clock.step(0)?;
    Ok(format!("the clock of {name} an hour ahead for {} ms", time.as_millis()))
}

async fn clock_behind(world: &mut World, role: &str, random: &mut Random) -> Res<String> {
    let name = any(world, role, random)?;
    let time = between(random, 4_000, 8_000);
    let member = world.member(name)?;
    member.kill()?;
    member.clock.step(-HOUR_SECONDS)?;
    world.begin_missing()?;
    wait::pass_async(time).await;
    world.member(name)?.clock.step(0)?;
    Ok(format!("{name} started with its clock an hour behind for {} ms", time.as_millis()))
}
