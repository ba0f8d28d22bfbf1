//! Limits that are kept: how much of a feature a tenant has taken, and what it has
//! reserved. Pure: `decide` per command in `commands/`, `evolve` in `state.rs`, limits
//! taken over in `follow.rs`, counting anew in `quota.rs`.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod commands;
mod event;
mod follow;
pub mod invariants;
mod quota;
mod rejection;
mod reservations;
mod show;
mod state;
mod terms;
#[cfg(test)]
mod tests;
mod timer;

pub use commands::{AdjustHeld, Command, Finalise, FireTimer, NoteThreshold, Release, Reserve};
pub use event::{ClearedTimer, Event, Figures};
pub use follow::{close, follow_terms};
pub use quota::{Ended, Quota, reaches};
pub use rejection::{
    REASON_CHARS_MAX, RESERVATION_ID_CHARS_MAX, Rejection, TTL_SECONDS_DEFAULT, TTL_SECONDS_MAX,
    UNITS_MAX, codes,
};
pub use reservations::{
    ENDED_KEPT_SECONDS, ENDED_MAX, End, LEAVES, RESERVATIONS_MAX, Reservation, Reservations,
};
pub use show::shown;
pub use state::{QUOTAS_MAX, State, Timer, weight};
pub use terms::{Beyond, Counting, Refusal, THRESHOLD_DEFAULT, Terms};

use exchequer_kernel::{Ctx, Decider};
use exchequer_types::{Fact, Slug, Timestamp};

/// The domain's rules over one tenant. That the tenant exists, is not closed and has the
/// feature is checked before.
#[derive(Clone, Copy, Debug)]
pub struct Quotas;

impl Decider for Quotas {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Command, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Reserve(it) => it.decide(state, ctx),
            Command::Finalise(it) => it.decide(state, ctx),
            Command::Release(it) => it.decide(state, ctx),
            Command::AdjustHeld(it) => it.decide(state, ctx),
            Command::NoteThreshold(it) => it.decide(state, ctx),
            Command::FireTimer(it) => it.decide(state, ctx),
        }
    }

    fn evolve(state: &mut State, event: &Event, at: Timestamp) {
        state::evolve(state, event, at);
    }
}

/// What an accepted command is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Nothing,
    /// The reservation after the command, and its feature's quota.
    Reservation(Box<(Reservation, Quota)>),
    Quota(Box<Quota>),
}

/// The small public form of `event`, for timers, the other domains and processes.
pub fn facts(event: &Event) -> Vec<Fact> {
    match event {
        Event::TimerMoved { cleared, timer } => {
            let cleared = cleared
                .as_ref()
                .map(|it| Fact::TimerCleared { id: it.id.clone(), fired: it.fired });
            let set = timer.as_ref().map(|it| Fact::TimerSet { id: it.id.clone(), due: it.due });
            cleared.into_iter().chain(set).collect()
        }
        Event::Closed { timer: Some(timer), .. } => {
            vec![Fact::TimerCleared { id: timer.clone(), fired: false }]
        }
        _ => Vec::new(),
    }
}

/// The command that a due timer of this domain (`tmq_`) stands for.
pub fn timer_command(timer: &str) -> Command {
    Command::FireTimer(FireTimer { timer: timer.to_owned() })
}

/// Version of what `command` is addressed to: the tenant's quotas as a whole.
pub fn version(state: &State, _: &Command) -> u64 {
    state.version
}

/// What the accepted `command` is answered with, given the state after it.
pub fn reply(after: &State, command: &Command) -> Reply {
    let quota = |feature: &Slug| after.quota(feature).cloned();
    let reservation = |id: &str| {
        let it = after.reservations.get(id)?.clone();
        let quota = quota(&it.feature)?;
        Some(Reply::Reservation(Box::new((it, quota))))
    };
    let reply = match command {
        Command::Reserve(it) => reservation(&it.id),
        Command::Finalise(it) => reservation(&it.id),
        Command::Release(it) => reservation(&it.id),
        Command::AdjustHeld(it) => quota(&it.feature).map(|it| Reply::Quota(Box::new(it))),
        Command::NoteThreshold(_) | Command::FireTimer(_) => None,
    };
    reply.unwrap_or(Reply::Nothing)
}
