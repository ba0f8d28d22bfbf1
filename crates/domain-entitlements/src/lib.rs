//! What a tenant may use, and by which rule. Pure: `decide` per command in
//! `commands/`, `evolve` in `state.rs`, the answers in `decision.rs`.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod amount;
mod commands;
mod decision;
mod event;
mod follow;
pub mod invariants;
mod rejection;
mod state;
#[cfg(test)]
mod tests;

pub use amount::{Amount, UNITS_MAX};
pub use commands::{Command, FireTimer, GrantFeature, ReportUse, Revoke};
pub use decision::{Decision, Held, Part, Rule, check, exceeded, is_entitled, list};
pub use event::Event;
pub use follow::follow;
pub use rejection::{REASON_CHARS_MAX, Rejection, codes};
pub use state::{
    ENDED_GRANTS_MAX, Ended, EndedBy, Expiry, FEATURES_IN_USE_MAX, GRANTS_MAX, GivenPlan, Grant,
    GrantKind, State,
};

use std::sync::Arc;

use exchequer_kernel::{Ctx, Decider, Shown};
use exchequer_types::{Fact, Json, Slug, Timestamp};

/// The domain's rules over one tenant. That the tenant exists and is not closed is checked
/// before.
#[derive(Clone, Copy, Debug)]
pub struct Entitlements;

impl Decider for Entitlements {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Command, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Grant(it) => it.decide(state, ctx),
            Command::Revoke(it) => it.decide(state),
            Command::ReportUse(it) => it.decide(state),
            Command::FireTimer(it) => it.decide(state),
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
    Grant(Box<Grant>),
    /// The feature, as it is decided now.
    Decision(Box<(Slug, Decision)>),
}

/// The small public form of `event`, for timers, the other domains and processes.
pub fn facts(event: &Event) -> Vec<Fact> {
    let cleared = |timer: &String, fired| Fact::TimerCleared { id: timer.clone(), fired };
    match event {
        Event::Granted { expiry: Some(expiry), .. } => {
            vec![Fact::TimerSet { id: expiry.timer.clone(), due: expiry.at }]
        }
        Event::GrantRevoked { timer: Some(timer), .. } => vec![cleared(timer, false)],
        Event::GrantExpired { timer, .. } => vec![cleared(timer, true)],
        Event::Closed { timers } => timers.iter().map(|timer| cleared(timer, false)).collect(),
        _ => Vec::new(),
    }
}

/// The command that a due timer of this domain (`tme_`) stands for.
pub fn timer_command(timer: &str) -> Command {
    Command::FireTimer(FireTimer { timer: timer.to_owned() })
}

/// Version of what `command` is addressed to: the tenant's entitlements as a whole.
pub fn version(state: &State, _: &Command) -> u64 {
    state.version
}

/// How the audit log tells of `command`.
pub fn shown(before: &State, after: &State, command: &Command) -> Shown {
    let of_grant = |action, id: Option<&str>| {
        let json = |state: &State| {
            id.and_then(|id| state.grants.get(id)).map_or(Json::Null, |grant| grant.to_json())
        };
        Shown {
            action,
            resource_type: "grant",
            resource_id: id.unwrap_or_default().to_owned(),
            before: json(before),
            after: json(after),
        }
    };
    match command {
        Command::Grant(_) => of_grant("grant.created", newest_grant(before, after)),
        Command::Revoke(it) => of_grant("grant.revoked", Some(&it.id)),
        Command::FireTimer(it) => {
            let has_timer = |grant: &&Arc<Grant>| {
                grant.expiry.as_ref().is_some_and(|expiry| expiry.timer == it.timer)
            };
            let id = before.grants.values().find(has_timer).map(|grant| grant.id.as_str());
            of_grant("grant.expired", id)
        }
        Command::ReportUse(it) => {
            let json = |state: &State| {
                let used = state.used.get(&it.feature).copied().unwrap_or(0);
                let used = Json::Int(i64::try_from(used).unwrap_or(i64::MAX));
                Json::object([("feature", Json::text(it.feature.as_str())), ("used", used)])
            };
            Shown {
                action: "use.reported",
                resource_type: "feature",
                resource_id: it.feature.to_string(),
                before: json(before),
                after: json(after),
            }
        }
    }
}

/// What the accepted `command` is answered with, given the state after it and its events.
pub fn reply(after: &State, command: &Command, events: &[Event]) -> Reply {
    let grant = events.iter().find_map(|event| match event {
        Event::Granted { id, .. } | Event::GrantRevoked { id, .. } => after.grants.get(id),
        _ => None,
    });
    match (command, grant) {
        // Whatever was due has been decided before, so the last event's instant will do.
        (Command::ReportUse(it), _) => {
            let decision = check(after, &it.feature, after.updated_at);
            Reply::Decision(Box::new((it.feature.clone(), decision)))
        }
        (_, Some(grant)) => Reply::Grant(Box::new(grant.as_ref().clone())),
        (_, None) => Reply::Nothing,
    }
}

/// About how many bytes the state holds.
pub fn weight(state: &State) -> usize {
    const ENTRY_BYTES: usize = 64;
    let plan = state.plan.as_ref().map_or(0, |given| {
        let add_ons = given.content.add_ons.values().map(|it| 1 + it.len()).sum::<usize>();
        (given.content.plan.len() + add_ons + given.held.add_ons.len() + 4) * ENTRY_BYTES
    });
    let grants: usize =
        state.grants.values().map(|grant| 4 * ENTRY_BYTES + grant.reason.len()).sum();
    plan + grants + state.used.len() * ENTRY_BYTES
}

fn newest_grant<'a>(before: &State, after: &'a State) -> Option<&'a str> {
    after.grants.keys().find(|id| !before.grants.contains_key(*id)).map(String::as_str)
}
