//! What the domain makes of what others decided in the same commit.

use exchequer_types::Fact;

use crate::{Event, State};

/// The events that follow from `fact`. When the tenant is closed, its credentials end and
/// nothing falls due any more; members keep their grants, for they may read what a closed
/// tenant still answers.
pub fn follow(state: &State, fact: &Fact) -> Vec<Event> {
    if *fact != Fact::TenantClosed {
        return Vec::new();
    }
    let credentials = state.open_credentials().flat_map(crate::Credential::timers);
    let grants = state.grants.values().filter_map(|it| Some(&it.expiry.as_ref()?.timer));
    let timers: Vec<String> = credentials.chain(grants).cloned().collect();
    if timers.is_empty() && state.open_credentials().next().is_none() {
        return Vec::new();
    }
    vec![Event::Closed { timers }]
}
