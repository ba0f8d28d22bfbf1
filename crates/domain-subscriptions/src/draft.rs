//! A decision in the making: events so far, and the subscription as they leave it.
//! Everything that charges is here, once, for commands and timers alike.

use std::sync::Arc;

use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Ctx, Reason as _};
use exchequer_rating::{Line, LineKind, RatingError};
use exchequer_types::{Exceeded, Holding, Period, Timestamp};

use crate::charge::{Cause, Charge, PriceRef};
use crate::event::{ClearedTimer, DropReason, Event, Refusal};
use crate::subscription::{
    EndReason, Entry, LifePeriod, PeriodKind, Status, Subscription, Timer, fallback_of,
};
use crate::{Rejection, State, calendar, check, evolve};

/// As if the price had been a prorated line: see [`Mutation::FullPrice`].
fn prorate_again(line: &mut Line) -> Result<(), RatingError> {
    line.num = line.num.saturating_mul(line.num) / line.den.max(1);
    let size = line.rounding.scale(line.full_amount, line.num, line.den)?;
    line.amount = if line.kind == LineKind::Credit { -size } else { size };
    Ok(())
}

const OUT_OF_RANGE: Rejection = Rejection::OutOfRange { field: "when" };

/// Of one subscription. [`Draft::finish`] adds what follows from the
/// change as a whole.
pub(crate) struct Draft<'a> {
    ctx: &'a Ctx,
    /// As it was; None when it began in this decision.
    before: Option<&'a Subscription>,
    after: Subscription,
    events: Vec<Event>,
    charges: u32,
}

impl<'a> Draft<'a> {
    pub(crate) fn of(before: &'a Subscription, ctx: &'a Ctx) -> Self {
        Self { ctx, before: Some(before), after: before.clone(), events: Vec::new(), charges: 0 }
    }

    /// Of a subscription that begins. None: `first` is no beginning.
    pub(crate) fn begin(state: &State, first: Event, ctx: &'a Ctx) -> Option<Self> {
        let mut state = state.clone();
        evolve::evolve(&mut state, &first, ctx.now);
        let after = state.current?;
        Some(Self { ctx, before: None, after, events: vec![first], charges: 0 })
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.after.apply(&event, self.ctx.now);
        self.events.push(event);
    }

    /// Charges the whole of a paid period. Nothing is recorded when nothing is to pay.
    pub(crate) fn charge_full(
        &mut self,
        cause: Cause,
        period: &LifePeriod,
    ) -> Result<(), Rejection> {
        if let Some((bounds, _)) = period.paid() {
            let lines = exchequer_rating::full(&self.after.holding, bounds)?;
            self.record(cause, period.index, bounds, lines, &Arc::clone(&self.after.holding));
        }
        Ok(())
    }

    /// Gives back what is left of the current period, which is to be cut at `at`.
    fn credit_unused(&mut self, cause: Cause, at: Timestamp) -> Result<(), Rejection> {
        let inside = self.after.period.paid().filter(|(bounds, _)| at < bounds.end);
        let Some((bounds, counted)) = inside else { return Ok(()) };
        let held = Arc::clone(&self.after.holding);
        let lines = exchequer_rating::unused(&held, at, bounds, counted.anchor.zone)?;
        self.record(cause, self.after.period.index, bounds, lines, &held);
        Ok(())
    }

    fn record(
        &mut self,
        cause: Cause,
        period_index: u32,
        period: Period,
        lines: Vec<Line>,
        charged: &Holding,
    ) {
        if lines.is_empty() {
            return;
        }
        let has = |kind| lines.iter().any(|line| line.kind == kind);
        let id = self.ctx.mint("chg_", self.charges);
        self.charges += 1;
        // Exact: prices are bounded, so that sums are.
        let total = lines.iter().fold(0_i64, |sum, line| sum.saturating_add(line.amount));
        let charge = Charge {
            id,
            subscription: self.after.id.clone(),
            at: self.ctx.now,
            cause,
            period_index,
            period,
            credited: has(LineKind::Credit).then(|| PriceRef::of(&self.after.holding)),
            charged: has(LineKind::Charge).then(|| PriceRef::of(charged)),
            currency: charged.offer.currency,
            lines,
            total,
        };
        self.push(Event::ChargeRecorded(charge));
    }

    /// From now on `holding` is held. Within a paid period what is unused is given back
    /// and the rest charged; at its end, in a trial and in a pause nothing is. A price
    /// of another cycle begins a new period. Nothing is done when it cannot be.
    pub(crate) fn change(
        &mut self,
        holding: &Arc<Holding>,
        entry: Option<String>,
        at: Timestamp,
    ) -> Result<(), Rejection> {
        let changed = |period| Event::Changed { entry, holding: Arc::clone(holding), period };
        let inside = self.after.period.paid().filter(|(bounds, _)| at < bounds.end);
        let Some((bounds, counted)) = inside else {
            self.push(changed(None));
            return Ok(());
        };
        let index = self.after.period.index;
        if holding.offer.cycle == counted.cycle {
            let zone = counted.anchor.zone;
            let mut lines =
                exchequer_rating::change(&self.after.holding, holding, at, bounds, zone)?;
            if mutation::active(Mutation::FullPrice) {
                lines.iter_mut().try_for_each(prorate_again)?;
            }
            self.record(Cause::Changed, index, bounds, lines, holding);
            self.push(changed(None));
            return Ok(());
        }
        let next = calendar::anchored(index + 1, at, holding.offer.cycle, self.after.zone);
        let next = next.ok_or(OUT_OF_RANGE)?;
        exchequer_rating::price(holding)?;
        self.credit_unused(Cause::Changed, at)?;
        self.push(changed(Some(next.clone())));
        self.charge_full(Cause::Changed, &next)
    }

    /// The trial is over at `at`.
    pub(crate) fn activate(&mut self, at: Timestamp) -> Result<(), Rejection> {
        let (period, cut) = self.begin_anchored(at)?;
        self.push(Event::Activated { period: period.clone(), cut });
        self.charge_full(Cause::Activated, &period)
    }

    /// The pause is over at `at`.
    pub(crate) fn resume(&mut self, at: Timestamp) -> Result<(), Rejection> {
        let (period, cut) = self.begin_anchored(at)?;
        self.push(Event::Resumed { period: period.clone(), cut });
        self.charge_full(Cause::Resumed, &period)
    }

    pub(crate) fn pause(
        &mut self,
        at: Timestamp,
        resume_at: Option<Timestamp>,
    ) -> Result<(), Rejection> {
        self.credit_unused(Cause::Paused, at)?;
        let period = LifePeriod {
            index: self.after.period.index.checked_add(1).ok_or(OUT_OF_RANGE)?,
            kind: PeriodKind::Paused,
            start: at,
            end: resume_at,
            counted: None,
        };
        let cut = self.cut(at);
        self.push(Event::Paused { period, cut });
        Ok(())
    }

    /// It ends at `at`; what is unused is given back.
    pub(crate) fn end(&mut self, at: Timestamp, reason: EndReason) -> Result<(), Rejection> {
        self.credit_unused(Cause::Ended, at)?;
        let fallback = match reason {
            EndReason::TenantClosed => None,
            EndReason::Cancelled { .. } | EndReason::OutOfTime => fallback_of(&self.after.holding),
        };
        let cut = self.cut(at);
        self.push(Event::Ended { reason, cut, fallback });
        Ok(())
    }

    /// Carries out everything that is due at `due`: the end, else the changes in order
    /// of entry and then what the end of the period brings. What is `refused` leaves the
    /// schedule without being carried out.
    pub(crate) fn fall_due(
        &mut self,
        due: Timestamp,
        refused: impl Fn(&Entry) -> Option<Vec<Exceeded>>,
    ) -> Result<(), Rejection> {
        if self.after.ends_by(due) {
            let reason = self.after.cancellation.as_ref().map(|it| it.reason.clone());
            let reason = EndReason::Cancelled { reason: reason.unwrap_or_default() };
            return self.end(due, reason);
        }
        let is_boundary = self.after.period.end.is_some_and(|end| end <= due);
        let ids: Vec<_> = self.after.entries_due(due).map(|it| it.id.clone()).collect();
        for id in ids {
            // What one leaves as it is may have been changed by the one before.
            let Some(entry) = self.after.entry(&id).cloned() else { continue };
            let changed = match refused(&entry) {
                Some(exceeded) => Err(Rejection::DowngradeRefused { exceeded }),
                None => self.carry_out(&entry, due),
            };
            if let Err(no) = changed {
                let why = match no {
                    Rejection::DowngradeRefused { .. } => DropReason::Exceeded,
                    _ => DropReason::Impossible,
                };
                let refusal = Some(Refusal { code: no.code().to_owned(), message: no.message() });
                self.push(Event::ScheduleDropped { id: entry.id, why, refusal });
            }
        }
        if is_boundary && self.turn(due).is_err() {
            return self.end(due, EndReason::OutOfTime);
        }
        Ok(())
    }

    /// Changes to what `entry` holds. Nothing is done when it cannot be, also not when the
    /// entry does not hold what it is to take over from what is held now.
    fn carry_out(&mut self, entry: &Entry, due: Timestamp) -> Result<(), Rejection> {
        if self.after.planned().iter().any(|it| it.entry.id == entry.id && !it.is_looked_up()) {
            return Err(Rejection::NotCarriedOver);
        }
        check::holding(&entry.holding)?;
        self.change(&entry.holding, Some(entry.id.clone()), due)
    }

    /// From one part of the life to the next, at the end of the current one.
    fn turn(&mut self, due: Timestamp) -> Result<(), Rejection> {
        match self.after.status {
            Status::Trialing => self.activate(due),
            Status::Paused => self.resume(due),
            Status::Active => {
                let period = calendar::next(&self.after, due).ok_or(OUT_OF_RANGE)?;
                self.push(Event::Renewed { period: period.clone() });
                self.charge_full(Cause::Renewed, &period)
            }
            Status::Ended => Ok(()),
        }
    }

    /// The paid period that begins at `at` and is the anchor of what follows, and where
    /// the current part of the life is cut.
    fn begin_anchored(&self, at: Timestamp) -> Result<(LifePeriod, Option<Timestamp>), Rejection> {
        let index = self.after.period.index.checked_add(1).ok_or(OUT_OF_RANGE)?;
        let cycle = self.after.holding.offer.cycle;
        let period = calendar::anchored(index, at, cycle, self.after.zone).ok_or(OUT_OF_RANGE)?;
        Ok((period, self.cut(at)))
    }

    /// `at`, when it lies before the end of the current part of the life.
    fn cut(&self, at: Timestamp) -> Option<Timestamp> {
        Some(at).filter(|at| self.after.period.end.is_none_or(|end| *at < end))
    }

    /// The events, with what the change as a whole brings: another plan held, and
    /// another timer. `fired` is the timer that is decided.
    pub(crate) fn finish(mut self, fired: Option<&str>) -> Vec<Event> {
        let now = self.ctx.now;
        let held = self.after.held_plan(now);
        if self.before.and_then(|it| it.held_plan(now)) != held {
            self.push(Event::HeldChanged { held });
        }
        let due = self.after.next_due();
        let pending = self.after.timer.as_ref();
        if pending.map(|it| it.due) != due || fired.is_some() {
            let cleared = pending.map(|it| {
                let id = it.id.clone();
                ClearedTimer { fired: fired == Some(id.as_str()), id }
            });
            let timer = due.map(|due| Timer { id: self.ctx.mint("tms_", 0), due });
            self.push(Event::DueMoved { cleared, timer });
        }
        self.events
    }
}
