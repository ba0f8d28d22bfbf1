//! What the domain makes of what others decided in the same commit.

use exchequer_kernel::Ctx;
use exchequer_types::{Fact, PlanContent};

use crate::{Event, State};

/// The events that follow from `fact`. `content` is what the plan that the fact names
/// includes, with the add-ons held; without it nothing of the plan is included.
pub fn follow(state: &State, fact: &Fact, content: Option<&PlanContent>, _: &Ctx) -> Vec<Event> {
    match fact {
        Fact::PlanChanged { held: Some(held) } => {
            let content = content.cloned().unwrap_or_default();
            let is_same = state
                .plan
                .as_ref()
                .is_some_and(|given| given.held == *held && given.content == content);
            if is_same {
                return Vec::new();
            }
            vec![Event::PlanGiven { held: held.clone(), content }]
        }
        Fact::PlanChanged { held: None } => {
            state.plan.iter().map(|_| Event::PlanWithdrawn).collect()
        }
        Fact::TenantClosed => {
            if state.plan.is_none() && state.open_grants().next().is_none() {
                return Vec::new();
            }
            let timers = state.open_grants().filter_map(|grant| grant.expiry.as_ref());
            vec![Event::Closed { timers: timers.map(|expiry| expiry.timer.clone()).collect() }]
        }
        Fact::TimerSet { .. } | Fact::TimerCleared { .. } | Fact::ProviderChanged { .. } => {
            Vec::new()
        }
    }
}
