//! One file per command: its fields, its rule, its rejections in order of
//! precedence.

mod adjust_held;
mod finalise;
mod fire_timer;
mod note_threshold;
mod release;
mod reserve;

pub use adjust_held::AdjustHeld;
pub use finalise::Finalise;
pub use fire_timer::FireTimer;
pub use note_threshold::NoteThreshold;
pub use release::Release;
pub use reserve::Reserve;

use exchequer_types::{Quantity, Slug, Timestamp};

use crate::{End, Event, Quota, Rejection, Reservation, State};

/// What can be asked of a tenant's quotas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Reserve(Reserve),
    Finalise(Finalise),
    Release(Release),
    AdjustHeld(AdjustHeld),
    NoteThreshold(NoteThreshold),
    FireTimer(FireTimer),
}

impl Command {
    /// The feature of which more is wanted.
    pub fn wants(&self) -> Option<&Slug> {
        match self {
            Self::Reserve(it) => Some(&it.feature),
            _ => None,
        }
    }
}

/// A quota in the window of `now`, and the event that it took to get there.
fn rolled(quota: &Quota, now: Timestamp) -> (Quota, Vec<Event>) {
    let Some(window) = quota.next_window(now) else { return (quota.clone(), Vec::new()) };
    let mut quota = quota.clone();
    quota.begin(window);
    let figures = quota.figures(now);
    quota.take(figures);
    let reset = Event::Reset { feature: quota.feature.clone(), window, figures };
    (quota, vec![reset])
}

/// What is to be told of what is held. What a meter measures is told of by who reads it.
pub(crate) fn thresholds(quota: &Quota) -> impl Iterator<Item = Event> + '_ {
    let held = Quantity::whole(if quota.terms.is_metered() { 0 } else { quota.held() });
    let reached = quota.newly_reached(held).into_iter();
    reached.map(move |(percent, limit)| Event::ThresholdReached {
        feature: quota.feature.clone(),
        percent,
        window: quota.window,
        limit,
        held,
    })
}

/// The reservation that a command may still end.
fn open<'a>(state: &'a State, id: &str) -> Result<&'a Reservation, Rejection> {
    let known = state.reservations.get(id).ok_or(Rejection::ReservationUnknown)?;
    match known.end {
        None => Ok(known),
        Some(End::Expired) => Err(Rejection::ReservationExpired),
        Some(end) => Err(conflict(known, Some(end))),
    }
}

fn conflict(known: &Reservation, end: Option<End>) -> Rejection {
    let (amount, feature) = (known.amount, &known.feature);
    let is = match end {
        None => format!("holds {amount} units of {feature}"),
        Some(End::Finalised { amount }) => {
            format!("was finalised with {amount} units of {feature}")
        }
        Some(End::Released) => format!("of {amount} units of {feature} was released"),
        Some(End::Expired) => format!("of {amount} units of {feature} has expired"),
    };
    Rejection::ReservationConflict { is }
}
