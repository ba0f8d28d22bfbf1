//! Tenants in their tree. Pure: `decide` per command in `commands/`, `evolve` in
//! `tenant.rs`, what partitions know of providers in `providers.rs`.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod commands;
mod event;
mod providers;
mod rejection;
mod settings;
mod tenant;
#[cfg(test)]
mod tests;

pub use commands::{
    AdoptProvider, AdvanceClock, Bootstrap, CLOCK_END_MICROS, CancelClosing, Close, Command,
    Create, FireClosing, Promote, Reinstate, Rename, ScheduleClosing, Suspend, UpdateSettings,
};
pub use event::Event;
pub use providers::{EffectiveSetting, Providers, effective_setting, effective_settings};
pub use rejection::{DEPTH_MAX, NAME_CHARS_MAX, REASON_CHARS_MAX, Rejection, codes};
pub use settings::{
    SETTING_KEY_CHARS_MAX, SETTING_VALUE_BYTES_MAX, SETTINGS_BYTES_MAX, SETTINGS_MAX, TIMEZONE,
    USAGE_AHEAD, USAGE_BEHIND, USAGE_LATENESS,
};
pub use tenant::{Closing, Tenant, open};

use exchequer_kernel::{Ctx, Decider};
use exchequer_types::{Fact, Timestamp};

/// The domain's rules over one stream: a tenant's, or a partition's own, in
/// which providers are adopted.
#[derive(Clone, Copy, Debug)]
pub struct Tenants;

/// State of one stream. A partition's own stream has only `adopted`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    pub tenant: Option<Tenant>,
    pub adopted: Providers,
}

impl Decider for Tenants {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Command, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Bootstrap(it) => it.decide(state.tenant.as_ref()),
            Command::Create(it) => it.decide(state.tenant.as_ref(), ctx),
            Command::Rename(it) => it.decide(tenant::open(state)?),
            Command::UpdateSettings(it) => it.decide(tenant::open(state)?, ctx),
            Command::Promote(it) => it.decide(tenant::open(state)?, ctx),
            Command::Suspend(it) => it.decide(tenant::open(state)?, ctx),
            Command::Reinstate(it) => it.decide(tenant::open(state)?, ctx),
            Command::Close(it) => it.decide(tenant::open(state)?, ctx),
            Command::ScheduleClosing(it) => it.decide(tenant::open(state)?, ctx),
            Command::CancelClosing(it) => it.decide(tenant::open(state)?),
            Command::FireClosing(it) => it.decide(state.tenant.as_ref(), ctx),
            Command::AdvanceClock(it) => it.decide(state.tenant.as_ref()),
            Command::AdoptProvider(it) => it.decide(&state.adopted),
        }
    }

    fn evolve(state: &mut State, event: &Event, at: Timestamp) {
        match event {
            Event::ProviderAdopted(profile) => state.adopted.adopt(profile.clone()),
            Event::ProviderProfiled(_) => {}
            _ => tenant::evolve(&mut state.tenant, event, at),
        }
    }
}

/// The own time up to which a sandbox's timers are due before `command` is decided: where it
/// moves the clock to, if it would be accepted, else where the clock stands. None: the tenant
/// lives in real time.
pub fn own_time(state: &State, command: Option<&Command>) -> Option<Timestamp> {
    let tenant = state.tenant.as_ref()?;
    match command {
        Some(Command::AdvanceClock(it)) if it.decide(Some(tenant)).is_ok() => Some(it.to),
        _ => tenant.clock,
    }
}

/// The small public form of `event`, for timers, the other domains and processes.
pub fn facts(event: &Event) -> Vec<Fact> {
    match event {
        Event::ClosingScheduled { timer, at } => {
            vec![Fact::TimerSet { id: timer.clone(), due: *at }]
        }
        Event::ClosingCancelled { timer } => {
            vec![Fact::TimerCleared { id: timer.clone(), fired: false }]
        }
        Event::Closed { timer, by_timer, .. } => {
            let cleared = timer
                .as_ref()
                .map(|timer| Fact::TimerCleared { id: timer.clone(), fired: *by_timer });
            cleared.into_iter().chain([Fact::TenantClosed]).collect()
        }
        Event::ProviderProfiled(profile) => {
            vec![Fact::ProviderChanged { profile: profile.clone() }]
        }
        _ => Vec::new(),
    }
}
