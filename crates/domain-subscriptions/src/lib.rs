//! A tenant's subscription. Pure: one file per command in `commands/`, what charges in
//! `draft.rs`, how events change it in `evolve.rs`, what must always hold in
//! `invariants.rs`.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod calendar;
mod charge;
mod check;
mod commands;
mod draft;
mod event;
mod evolve;
pub mod invariants;
mod rejection;
mod show;
mod subscription;
#[cfg(test)]
mod tests;

pub use charge::{Cause, Charge, PriceRef};
pub use commands::{
    Activate, Amend, Cancel, Change, Command, DropEntry, FireTimer, Pause, Reactivate, Reschedule,
    Resume, SetZone, Subscribe,
};
pub use event::{ClearedTimer, DropReason, Event, Refusal};
pub use rejection::{
    ADD_ONS_MAX, PACKS_MAX, PRICE_MAX, REASON_CHARS_MAX, Rejection, SCHEDULE_AHEAD_DAYS_MAX,
    SCHEDULE_ENTRIES_MAX, SEATS_MAX, TRIAL_DAYS_MAX, codes,
};
pub use show::shown;
pub use subscription::{
    Cancellation, Counted, DROPPED_CHANGES_MAX, Dropped, End, EndReason, Entry, FALLBACK_SEATS,
    LifePeriod, PeriodKind, Planned, ScheduleAt, Status, Subscription, Timer, When,
};

/// Made by rating, kept as they are.
pub use exchequer_rating::{Line, LineComponent, LineKind};

use std::collections::BTreeMap;

use exchequer_kernel::{Ctx, Decider};
use exchequer_types::{Exceeded, Fact, Holding, Timestamp};

use crate::draft::Draft;

/// The domain's rules.
#[derive(Clone, Copy, Debug)]
pub struct Subscriptions;

/// What is known of a tenant's subscriptions.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// The current subscription, or the last one when that has ended.
    pub current: Option<Subscription>,
    /// One of the tenant's subscriptions began with a trial: there is no other. A tenant has
    /// the same provider for ever, so that it is a trial of that provider.
    pub trial_used: bool,
}

/// What an accepted command is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reply {
    /// After the command.
    pub subscription: Option<Subscription>,
    /// What the command charged and credited.
    pub charges: Vec<Charge>,
    /// Limits of what was asked for that are below what is used now.
    pub exceeded: Vec<Exceeded>,
}

impl Decider for Subscriptions {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Command, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Subscribe(it) => it.decide(state, ctx),
            Command::Activate(it) => it.decide(check::running(state)?, ctx),
            Command::Change(it) => it.decide(check::running(state)?, ctx),
            Command::Cancel(it) => it.decide(check::running(state)?, ctx),
            Command::Reactivate(it) => it.decide(check::running(state)?, ctx),
            Command::Pause(it) => it.decide(check::running(state)?, ctx),
            Command::Resume(it) => it.decide(check::running(state)?, ctx),
            Command::SetZone(it) => it.decide(check::running(state)?, ctx),
            Command::Amend(it) => it.decide(check::running(state)?, ctx),
            Command::Reschedule(it) => it.decide(check::running(state)?, ctx),
            Command::Drop(it) => it.decide(check::running(state)?, ctx),
            Command::FireTimer(it) => it.decide(state, ctx),
        }
    }

    fn evolve(state: &mut State, event: &Event, at: Timestamp) {
        evolve::evolve(state, event, at);
    }
}

/// What follows from another domain's fact: a closed tenant has no subscription.
pub fn follow(state: &State, fact: &Fact, ctx: &Ctx) -> Vec<Event> {
    let running = state.current.as_ref().filter(|it| !it.is_ended());
    let (Fact::TenantClosed, Some(subscription)) = (fact, running) else { return Vec::new() };
    let mut draft = Draft::of(subscription, ctx);
    match draft.end(ctx.now, EndReason::TenantClosed) {
        Ok(()) => draft.finish(None),
        // Only an instant outside of the period cannot be credited, and timers come first.
        Err(_) => Vec::new(),
    }
}

/// The small public form of `event`, for timers, the other domains and processes.
pub fn facts(event: &Event) -> Vec<Fact> {
    match event {
        Event::HeldChanged { held } => vec![Fact::PlanChanged { held: held.clone() }],
        Event::DueMoved { cleared, timer } => {
            let cleared = cleared
                .as_ref()
                .map(|it| Fact::TimerCleared { id: it.id.clone(), fired: it.fired });
            let set = timer.as_ref().map(|it| Fact::TimerSet { id: it.id.clone(), due: it.due });
            cleared.into_iter().chain(set).collect()
        }
        _ => Vec::new(),
    }
}

/// The command that a due timer of this domain stands for, as if nothing were used.
pub fn timer_command(timer: &str) -> Command {
    Command::FireTimer(FireTimer { timer: timer.to_owned(), exceeded: BTreeMap::new() })
}

/// The scheduled changes that the pending `timer` is to carry out, whose limits are to be
/// compared with what is used then.
pub fn falling_due<'a>(state: &'a State, timer: &str) -> Vec<&'a Entry> {
    match commands::pending(state, timer) {
        Some((subscription, timer)) if !subscription.ends_by(timer.due) => {
            subscription.entries_due(timer.due).collect()
        }
        _ => Vec::new(),
    }
}

/// Version of what `command` is addressed to; 0 when it is not there.
pub fn version(state: &State, _: &Command) -> u64 {
    current_version(state)
}

/// Version of the tenant's subscription, also when it has ended; 0 when there never was one.
pub fn current_version(state: &State) -> u64 {
    state.current.as_ref().map_or(0, |it| it.version)
}

/// What would be held `when`, after everything that is scheduled up to then: what a change
/// then is a change of.
pub fn held_after(state: &State, when: When) -> Result<&Holding, Rejection> {
    let subscription = check::running(state)?;
    let due = match when {
        When::Now => None,
        When::PeriodEnd => subscription.due_of(ScheduleAt::PeriodEnd),
        When::At(at) => Some(at),
    };
    Ok(due.map_or(&subscription.holding, |due| subscription.held_at(due)))
}

/// May so much be held, by the terms of its offer?
pub fn check_holding(holding: &Holding) -> Result<(), Rejection> {
    check::holding(holding)
}

/// What the scheduled change `id` is to hold.
pub fn scheduled<'a>(state: &'a State, id: &str) -> Result<&'a Holding, Rejection> {
    let entry = check::running(state)?.entry(id).ok_or(Rejection::EntryNotFound)?;
    Ok(&entry.holding)
}

/// The scheduled change `id` holds `holding` now: what it was to hold, looked up anew. None
/// when there is no such change, or it holds that already.
pub fn looked_up(state: &State, id: &str, holding: Holding) -> Option<Event> {
    let entry = state.current.as_ref()?.entry(id).filter(|it| *it.holding != holding)?;
    let (id, asked) = (entry.id.clone(), entry.asked);
    Some(Event::ScheduleAmended { id, asked, holding: holding.into() })
}

/// What the accepted `command` is answered with, given the state after it and its events.
pub fn reply(after: &State, command: &Command, events: &[Event]) -> Reply {
    let charges = events.iter().filter_map(|event| match event {
        Event::ChargeRecorded(charge) => Some(charge.clone()),
        _ => None,
    });
    let exceeded = match command {
        Command::Change(it) => it.exceeded.clone(),
        Command::Amend(it) => it.exceeded.clone(),
        _ => Vec::new(),
    };
    Reply { subscription: after.current.clone(), charges: charges.collect(), exceeded }
}

/// About how many bytes the state holds.
pub fn weight(state: &State) -> usize {
    const SUBSCRIPTION_BYTES: usize = 512;
    const ENTRY_BYTES: usize = 128;
    let of = |holding: &Holding| {
        let per_part = size_of::<exchequer_types::Component>();
        let add_ons = holding.add_ons.len() * 96;
        size_of::<Holding>() + 128 + holding.offer.components.len() * per_part + add_ons
    };
    state.current.as_ref().map_or(0, |it| {
        let entries = it.schedule.iter().map(|entry| ENTRY_BYTES + of(&entry.holding));
        let dropped = it.dropped.iter().map(|it| 2 * ENTRY_BYTES + of(&it.holding));
        SUBSCRIPTION_BYTES + of(&it.holding) + entries.chain(dropped).sum::<usize>()
    })
}
