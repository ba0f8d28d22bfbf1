//! How events change a subscription. Total: nothing is judged here.

use exchequer_types::Timestamp;

use crate::subscription::{Cancellation, End, Entry, PeriodKind, Status, Subscription};
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
            Event::ScheduleDropped { id, .. } => self.schedule.retain(|it| it.id != *id),
            Event::CancellationScheduled { at, reason } => {
                self.cancellation = Some(Cancellation { at: *at, reason: reason.clone() });
            }
            Event::Reactivated => self.cancellation = None,
            Event::Paused { period, .. } => {
                self.status = Status::Paused;
                self.period = period.clone();
            }
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
                self.schedule.clear();
                let (reason, fallback) = (reason.clone(), fallback.clone());
                self.end = Some(End { at, reason, fallback });
            }
            Event::DueMoved { timer, .. } => self.timer.clone_from(timer),
        }
        self.rebase();
    }
}
