//! The instant has come at which reservations expire, or counting begins anew.

use std::collections::BTreeMap;

use exchequer_kernel::{Ctx, Decider as _};
use exchequer_types::Slug;

use crate::event::ClearedTimer;
use crate::{Event, Quota, Quotas, Rejection, State, Timer, timer};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireTimer {
    pub timer: String,
}

impl FireTimer {
    /// Acts only while its timer is pending.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if state.timer.as_ref().is_none_or(|timer| timer.id != self.timer) {
            return Err(Rejection::TimerNotPending);
        }
        let mut events = Vec::new();
        events.extend(expired(state, ctx));
        let mut after = state.clone();
        for event in &events {
            Quotas::evolve(&mut after, event, ctx.now);
        }
        let ended: Vec<Event> = after
            .quotas()
            .filter(|it| it.is_active())
            .filter_map(|it| {
                let (feature, window) = (it.feature.clone(), it.next_window(ctx.now)?);
                let figures = it.at(ctx.now).figures(ctx.now);
                Some(Event::Reset { feature, window, figures })
            })
            .collect();
        for event in &ended {
            Quotas::evolve(&mut after, event, ctx.now);
        }
        events.extend(ended);
        let next = timer::first_due(&after);
        events.push(Event::TimerMoved {
            cleared: Some(ClearedTimer { id: self.timer.clone(), fired: true }),
            timer: next.map(|due| Timer { id: ctx.mint("tmq_", 0), due }),
        });
        Ok(events)
    }
}

fn expired(state: &State, ctx: &Ctx) -> Option<Event> {
    let mut ids = Vec::new();
    let mut freed: BTreeMap<&Slug, u64> = BTreeMap::new();
    for it in state.reservations.open().filter(|it| it.expires_at <= ctx.now) {
        ids.push(it.id.clone());
        *freed.entry(&it.feature).or_default() += it.amount;
    }
    let after = |(feature, units): (&Slug, u64)| {
        let figures = state.quota(feature).map(|known| {
            let reserved = known.reserved.saturating_sub(units);
            Quota { reserved, ..known.clone() }.figures(ctx.now)
        });
        (feature.clone(), figures.unwrap_or_default())
    };
    let figures = freed.into_iter().map(after).collect();
    (!ids.is_empty()).then_some(Event::Expired { ids, figures })
}
