//! What the domain makes of what others decided in the same commit: of another plan, of
//! grants that come and go, of a period that begins, of the end of the tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_kernel::{Ctx, Decider as _};
use exchequer_types::{Period, Quantity, Slug, Timestamp};

use crate::commands::thresholds;
use crate::event::{Event, Figures};
use crate::quota::{Quota, reaches};
use crate::state::{QUOTAS_MAX, State};
use crate::terms::Terms;
use crate::{Quotas, timer};

/// The events by which the tenant's quotas come to be `wanted`, by feature. What is held
/// stays, also above a lower limit; of a feature that is not given any more, nothing more
/// is given until nothing of it is held.
pub fn follow_terms(state: &State, wanted: &BTreeMap<Slug, Terms>, ctx: &Ctx) -> Vec<Event> {
    let mut draft = Draft { after: state.clone(), events: Vec::new(), now: ctx.now };
    for quota in state.quotas().filter(|it| !wanted.contains_key(&it.feature)) {
        if quota.held() == 0 {
            draft.push(Event::Lifted { feature: quota.feature.clone() });
        } else if quota.terms.limit != Some(0) || !quota.terms.is_hard() {
            let terms =
                Terms { limit: Some(0), beyond: crate::Beyond::Refuse, ..(*quota.terms).clone() };
            draft.limit(Some(quota), &quota.feature, terms);
        }
    }
    for (feature, terms) in wanted {
        let known = state.quota(feature);
        if known.is_some_and(|it| *it.terms == *terms) {
            continue;
        }
        if known.is_none() && draft.after.quotas().len() >= QUOTAS_MAX {
            continue;
        }
        draft.limit(known, feature, terms.clone());
    }
    if draft.events.is_empty() {
        return Vec::new();
    }
    if let Some(due) = timer::first_due(&draft.after)
        && let Some(moved) = timer::by(state, due, ctx)
    {
        draft.push(moved);
    }
    draft.events
}

/// The end of the tenant.
pub fn close(state: &State) -> Vec<Event> {
    if state.quotas().len() == 0 && state.timer.is_none() {
        return Vec::new();
    }
    let features = state.quotas().map(|it| it.feature.clone()).collect();
    vec![Event::Closed { features, timer: state.timer.as_ref().map(|it| it.id.clone()) }]
}

struct Draft {
    after: State,
    events: Vec<Event>,
    now: Timestamp,
}

impl Draft {
    fn push(&mut self, event: Event) {
        Quotas::evolve(&mut self.after, &event, self.now);
        self.events.push(event);
    }

    fn limit(&mut self, known: Option<&Quota>, feature: &Slug, terms: Terms) {
        let known = known.map(|it| it.at(self.now));
        let window = window(known.as_ref(), &terms, self.now);
        let goes_on = known.as_ref().is_some_and(|it| goes_on(it.window, window));
        let used = known.as_ref().filter(|_| goes_on).map_or(0, |it| it.used);
        let reserved = known.as_ref().map_or(0, |it| it.reserved);
        let told = known.as_ref().filter(|_| goes_on).map(|it| it.noted.clone());
        let mut noted = told.unwrap_or_default();
        // What has not been reached of the new limit is to be told of again.
        let is_known = |percent: &u32| match terms.limit {
            _ if terms.is_metered() => {
                known.as_ref().is_some_and(|it| it.terms.limit == terms.limit)
            }
            Some(limit) => reaches(Quantity::whole(used.saturating_add(reserved)), limit, *percent),
            None => false,
        };
        noted.retain(is_known);
        let over_since = known.as_ref().filter(|_| goes_on).and_then(|it| it.over_since);
        let (terms, figures) = (Arc::new(terms), Figures { used, reserved, over_since });
        let quota = Quota::new(feature.clone(), Arc::clone(&terms), window, figures);
        let figures = quota.figures(self.now);
        self.push(Event::Limited { feature: feature.clone(), terms, window, figures, noted });
        let told: Vec<Event> =
            self.after.quota(feature).map(|it| thresholds(it).collect()).unwrap_or_default();
        for event in told {
            self.push(event);
        }
    }
}

/// The window under other terms. One that merely lies in another zone goes on to its end.
fn window(known: Option<&Quota>, terms: &Terms, now: Timestamp) -> Option<Period> {
    let counting = terms.counting?;
    let before = known.and_then(|it| Some((it.terms.counting?, it.window?)));
    match before {
        Some((before, window)) if before.is_like(&counting) && window.contains(now) => Some(window),
        _ => counting.window_at(now),
    }
}

/// Does what was used in `before` count in `after`? Not when that begins later: the rest of
/// what was used lies in front of it.
fn goes_on(before: Option<Period>, after: Option<Period>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => after.start <= before.start,
        (None, _) | (_, None) => true,
    }
}
