//! A tenant's quotas, and how events change them.

use std::sync::Arc;

use exchequer_types::{Slug, Timestamp};

use crate::event::{Event, Figures};
use crate::quota::Quota;
use crate::reservations::{End, Reservation, Reservations};

/// Features of one tenant that have a limit. More than a catalog and all grants name.
pub const QUOTAS_MAX: usize = 1_024;

/// The quotas of one tenant. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// Counts the domain's own events.
    pub version: u64,
    /// Instant of the last event.
    pub updated_at: Timestamp,
    /// By feature.
    quotas: Arc<Vec<Arc<Quota>>>,
    pub reservations: Reservations,
    /// Pending at or before the first instant at which something ends by itself.
    pub timer: Option<Timer>,
}

/// A pending timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub id: String,
    pub due: Timestamp,
}

impl State {
    pub fn quota(&self, feature: &Slug) -> Option<&Quota> {
        self.find(feature).ok().and_then(|at| self.quotas.get(at)).map(Arc::as_ref)
    }

    /// All of them, by feature.
    pub fn quotas(&self) -> impl ExactSizeIterator<Item = &Quota> + '_ {
        self.quotas.iter().map(Arc::as_ref)
    }

    /// In place of the one of the same feature, if there is one.
    pub fn put(&mut self, quota: Quota) {
        let found = self.find(&quota.feature);
        let quotas = Arc::make_mut(&mut self.quotas);
        match found {
            Ok(at) => {
                if let Some(slot) = quotas.get_mut(at) {
                    *slot = Arc::new(quota);
                }
            }
            Err(at) => quotas.insert(at, Arc::new(quota)),
        }
    }

    /// Takes over what `event` says of features, and nothing of reservations and timers:
    /// what a view keeps.
    pub fn take_figures(&mut self, event: &Event) {
        match event {
            Event::Limited { feature, terms, window, figures, noted } => {
                let known = self.quota(feature);
                let before = known.and_then(|it| it.before.clone());
                let quota = Quota::new(feature.clone(), Arc::clone(terms), *window, *figures);
                self.put(Quota { noted: noted.clone(), before, ..quota });
            }
            Event::Lifted { feature } => self.remove(feature),
            Event::Reserved { feature, figures, .. }
            | Event::Finalised { feature, figures, .. }
            | Event::Released { feature, figures, .. } => self.figures(feature, *figures),
            Event::Expired { figures, .. } => {
                for (feature, figures) in figures {
                    self.figures(feature, *figures);
                }
            }
            Event::Adjusted { feature, figures, noted, .. } => {
                self.figures(feature, *figures);
                self.change(feature, |it| it.noted.clone_from(noted));
            }
            Event::Reset { feature, window, figures } => {
                self.change(feature, |it| it.begin(*window));
                self.figures(feature, *figures);
            }
            Event::ThresholdReached { feature, percent, window, .. } => {
                self.change(feature, |it| {
                    let before = it.before.as_deref_mut().filter(|it| Some(it.window) == *window);
                    let noted = before.map_or(&mut it.noted, |before| &mut before.noted);
                    if let Err(at) = noted.binary_search(percent) {
                        noted.insert(at, *percent);
                    }
                });
            }
            Event::TimerMoved { .. } => {}
            Event::Closed { .. } => self.quotas = Arc::default(),
        }
    }

    fn find(&self, feature: &Slug) -> Result<usize, usize> {
        self.quotas.binary_search_by(|it| it.feature.cmp(feature))
    }

    fn remove(&mut self, feature: &Slug) {
        if let Ok(at) = self.find(feature) {
            Arc::make_mut(&mut self.quotas).remove(at);
        }
    }

    fn change(&mut self, feature: &Slug, change: impl FnOnce(&mut Quota)) {
        if let Ok(at) = self.find(feature)
            && let Some(quota) = Arc::make_mut(&mut self.quotas).get_mut(at)
        {
            change(Arc::make_mut(quota));
        }
    }

    fn figures(&mut self, feature: &Slug, figures: Figures) {
        self.change(feature, |it| it.take(figures));
    }
}

pub(crate) fn evolve(state: &mut State, event: &Event, at: Timestamp) {
    state.version += 1;
    state.updated_at = at;
    state.take_figures(event);
    match event {
        Event::Reserved { id, feature, amount, expires_at, .. } => {
            state.reservations.insert(Reservation {
                id: id.clone(),
                feature: feature.clone(),
                amount: *amount,
                reserved_at: at,
                expires_at: *expires_at,
                end: None,
            });
        }
        Event::Finalised { id, amount, .. } => {
            state.reservations.end(id, End::Finalised { amount: *amount });
        }
        Event::Released { id, .. } => state.reservations.end(id, End::Released),
        Event::Expired { ids, .. } => {
            for id in ids {
                state.reservations.end(id, End::Expired);
            }
        }
        Event::TimerMoved { cleared, timer } => {
            if cleared.as_ref().is_some_and(|it| it.fired) {
                state.reservations.forget_ended(at);
            }
            state.timer.clone_from(timer);
        }
        Event::Closed { .. } => {
            state.reservations.clear();
            state.timer = None;
        }
        Event::Limited { .. }
        | Event::Lifted { .. }
        | Event::Adjusted { .. }
        | Event::Reset { .. }
        | Event::ThresholdReached { .. } => {}
    }
}

/// About how many bytes the state holds.
pub fn weight(state: &State) -> usize {
    const QUOTA_BYTES: usize = 320;
    const RESERVATION_BYTES: usize = 192;
    const LEAVES_BYTES: usize = 4_096;
    let leaves = if state.version == 0 { 0 } else { LEAVES_BYTES };
    let entries = state.reservations.open_count() + state.reservations.ended_count();
    state.quotas.len() * QUOTA_BYTES + entries * RESERVATION_BYTES + leaves
}
