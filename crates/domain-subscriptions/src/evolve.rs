//! How events change a subscription. Total: nothing is judged here.

use core::mem;

use exchequer_types::Timestamp;

use crate::event::{DropReason, Refusal};
use crate::subscription::{
    Cancellation, DROPPED_CHANGES_MAX, Dropped, End, Entry, PeriodKind, Status, Subscription,
};
use crate::{Event, State};

pub(crate) fn evolve(state: &mut State, event: &Event, at: Timestamp) {
    if let Event::Subscribed { id, holding, zone, trial_days, period } = event {
        let version = state.current.as_ref().map_or(0, |it| it.version);
        let is_trial = period.kind == PeriodKind::Trial;
        state.current = Some(Subscription {
            id: id.clone(),
            status: if is_trial { Status::Trialing } else { Status::Active },
            holding: holding.clone(),
            zone: *zone,
            period: period.clone(),
            trial_days: *trial_days,
            trial_ends_at: period.end.filter(|_| is_trial),
            cancellation: None,
            schedule: Vec::new(),
            dropped: Vec::new(),
            timer: None,
            version: version + 1,
            started_at: period.start,
            updated_at: at,
            end: None,
        });
        state.trial_used |= is_trial;
    } else if let Some(subscription) = &mut state.current {
        subscription.apply(event, at);
    }
}

impl Subscription {
    pub(crate) fn apply(&mut self, event: &Event, at: Timestamp) {
        self.version += 1;
        self.updated_at = at;
        match event {
            Event::Subscribed { .. } | Event::ChargeRecorded(_) | Event::HeldChanged { .. } => {}
            Event::Activated { period, cut } => {
                self.status = Status::Active;
                self.period = period.clone();
                self.trial_ends_at = cut.or(self.trial_ends_at);
            }
            Event::Changed { entry, holding, period } => {
                self.schedule.retain(|it| Some(&it.id) != entry.as_ref());
                self.holding = holding.clone();
                if let Some(period) = period {
                    self.period = period.clone();
                }
            }
            Event::ChangeScheduled { id, at, asked, holding } => {
                let (id, holding) = (id.clone(), holding.clone());
                self.schedule.push(Entry { id, at: *at, asked: *asked, holding });
            }
            Event::ScheduleAmended { id, asked, holding } => {
                if let Some(entry) = self.schedule.iter_mut().find(|it| it.id == *id) {
                    entry.asked = *asked;
                    entry.holding = holding.clone();
                }
            }
            Event::ScheduleMoved { id, at } => {
                if let Some(entry) = self.schedule.iter_mut().find(|it| it.id == *id) {
                    entry.at = *at;
                }
            }
            Event::ScheduleDropped { id, why, refusal } => {
                self.drop_entries(at, *why, refusal.as_ref(), |it| it.id == *id);
            }
            Event::CancellationScheduled { at, reason } => {
                self.cancellation = Some(Cancellation { at: *at, reason: reason.clone() });
            }
            Event::Reactivated => self.cancellation = None,
            Event::Paused { period, .. } => {
                self.status = Status::Paused;
                self.period = period.clone();
            }
            Event::PauseMoved { resume_at } => self.period.end = *resume_at,
            Event::Resumed { period, .. } => {
                self.status = Status::Active;
                self.period = period.clone();
            }
            Event::Renewed { period } => self.period = period.clone(),
            Event::ZoneChanged { zone } => self.zone = *zone,
            Event::Ended { reason, cut, fallback } => {
                self.period.end = cut.or(self.period.end);
                if self.status == Status::Trialing {
                    self.trial_ends_at = self.period.end;
                }
                self.status = Status::Ended;
                self.cancellation = None;
                self.drop_entries(at, DropReason::Cancelled, None, |_| true);
                let (reason, fallback) = (reason.clone(), fallback.clone());
                self.end = Some(End { at, reason, fallback });
            }
            Event::DueMoved { timer, .. } => self.timer.clone_from(timer),
        }
        self.rebase();
    }

    /// Takes entries out of the schedule. What nobody asked to drop is told of.
    fn drop_entries(
        &mut self,
        at: Timestamp,
        why: DropReason,
        refusal: Option<&Refusal>,
        which: impl Fn(&Entry) -> bool,
    ) {
        let (dropped, kept) = mem::take(&mut self.schedule).into_iter().partition(which);
        self.schedule = kept;
        let dropped: Vec<Entry> = dropped;
        if why == DropReason::Asked {
            return;
        }
        self.dropped.extend(dropped.into_iter().map(|it| Dropped {
            id: it.id,
            at,
            why,
            refusal: refusal.cloned(),
            holding: it.holding,
        }));
        let surplus = self.dropped.len().saturating_sub(DROPPED_CHANGES_MAX);
        self.dropped.drain(..surplus);
    }
}
