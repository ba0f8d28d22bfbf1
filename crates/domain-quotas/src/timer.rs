//! The one timer of a tenant's quotas. It is pending at or before the first expiry of a
//! reservation and the first end of a window in which something was used. It is moved only
//! to be earlier: what ends before its time leaves it where it is, and when it falls due
//! without anything to do, it is set for what comes next. So that reservations that are
//! finalised in time cost no timer each.

use exchequer_kernel::Ctx;
use exchequer_types::Timestamp;

use crate::event::{ClearedTimer, Event};
use crate::quota::Quota;
use crate::state::{State, Timer};

/// What moves the timer, when something ends at `due` and the timer is not pending by then.
pub(crate) fn by(state: &State, due: Timestamp, ctx: &Ctx) -> Option<Event> {
    if state.timer.as_ref().is_some_and(|timer| timer.due <= due) {
        return None;
    }
    let cleared = state.timer.as_ref();
    let cleared = cleared.map(|timer| ClearedTimer { id: timer.id.clone(), fired: false });
    Some(Event::TimerMoved { cleared, timer: Some(Timer { id: ctx.mint("tmq_", 0), due }) })
}

/// The first instant at which something ends by itself.
pub(crate) fn first_due(state: &State) -> Option<Timestamp> {
    let expiries = state.reservations.open().map(|it| it.expires_at);
    let ends = state.quotas().filter(|it| it.is_active()).filter_map(Quota::resets_at);
    expiries.chain(ends).min()
}
