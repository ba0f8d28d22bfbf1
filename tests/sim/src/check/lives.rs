//! SIM-16 and SIM-17: the lives of a tenant's subscriptions, told from their events
//! alone: what was held when, the parts of each life, and what is due next.

use std::sync::Arc;

use exchequer_domain_subscriptions::invariants::Life as Published;
use exchequer_domain_subscriptions::{
    Charge, EndReason, Event, FALLBACK_SEATS, LifePeriod, PeriodKind, ScheduleAt, Status,
};
use exchequer_types::{
    Anchor, Asked, Cycle, CycleUnit, HeldBy, HeldPlan, Holding, PlanRef, Timestamp, Zone,
};

use super::charges;

/// A tenant's subscriptions, one after another.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    /// The last one, which may have ended.
    pub(crate) current: Option<Life>,
    had_trial: bool,
    published: Published,
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Life {
    id: String,
    pub(crate) status: Status,
    zone: Zone,
    holding: Arc<Holding>,
    part: Part,
    /// In order of entry.
    schedule: Vec<Entry>,
    cancels: Option<ScheduleAt>,
    /// The plan it fell to.
    fallback: Option<PlanRef>,
}

/// A change to come: what of `holding` was asked for.
#[derive(Clone, Debug)]
struct Entry {
    id: String,
    at: ScheduleAt,
    asked: Asked,
    holding: Arc<Holding>,
}

/// Trial, paid period or pause.
#[derive(Debug)]
pub(crate) struct Part {
    index: u32,
    pub(crate) is_paid: bool,
    pub(crate) start: Timestamp,
    /// As it was meant to end.
    pub(crate) planned: Option<Timestamp>,
    /// Where it ended; None while it runs.
    pub(crate) end: Option<Timestamp>,
    /// In which it began.
    pub(crate) zone: Zone,
    counted: Option<(Anchor, Cycle, u32)>,
    /// What was held, from when on.
    pub(crate) held: Vec<(Timestamp, Arc<Holding>)>,
    pub(crate) charges: Vec<Charge>,
}

impl Part {
    /// For people.
    pub(crate) fn told(&self) -> String {
        let held = self.held.iter().map(|(from, it)| {
            let Holding { offer, seats, add_ons } = it.as_ref();
            let packs: Vec<_> = add_ons.iter().map(|it| (it.offer.amount, it.quantity)).collect();
            format!(
                "from {from} {} {} {:?} {:?} x{seats} {packs:?}",
                offer.plan.plan, offer.price, offer.proration, offer.components
            )
        });
        let held: Vec<String> = held.collect();
        let charges = self.charges.iter().map(|it| (it.at, it.cause, it.total));
        let charges: Vec<_> = charges.collect();
        format!(
            "part {} {} to {:?}, left {:?}, {}: held {held:#?} charged {charges:?}",
            self.index,
            self.start,
            self.planned,
            self.end,
            self.zone.name()
        )
    }
}

impl Lives {
    /// Takes over what was decided at `at`.
    pub(crate) fn take(&mut self, event: &Event, at: Timestamp) -> Result<(), String> {
        let told = self.published.follow(event, at);
        self.take_own(event, at)?;
        // The published invariants have to see no less than this.
        told.map_err(|broken| format!("SIM-17 {broken}"))
    }

    fn take_own(&mut self, event: &Event, at: Timestamp) -> Result<(), String> {
        let Event::Subscribed { id, holding, zone, trial_days, period } = event else {
            return match &mut self.current {
                Some(life) => life.take(event, at),
                None => Err(format!("SIM-16 {event:?} happened to no subscription")),
            };
        };
        if let Some(life) = self.current.as_ref().filter(|life| life.status != Status::Ended) {
            return Err(format!("SIM-16 {id} began while {} runs", life.id));
        }
        if *trial_days > 0 && core::mem::replace(&mut self.had_trial, true) {
            return Err(format!("SIM-16 {id} begins with a second trial"));
        }
        let end = match trial_days {
            0 => first_end(at, holding.offer.cycle, *zone),
            days => trial_end(at, *days, *zone),
        };
        if period.index != 0 || period.start != at || period.end != end {
            return Err(format!("SIM-17 {id} begins at {at} with {period:?}, to end at {end:?}"));
        }
        let is_trial = *trial_days > 0;
        let life = Life {
            id: id.clone(),
            status: if is_trial { Status::Trialing } else { Status::Active },
            zone: *zone,
            holding: Arc::clone(holding),
            part: part(period, *zone, holding),
            schedule: Vec::new(),
            cancels: None,
            fallback: None,
        };
        life.kind(period, if is_trial { PeriodKind::Trial } else { PeriodKind::Paid })?;
        if !is_trial {
            life.counted_anew(period)?;
        }
        self.current = Some(life);
        Ok(())
    }

    /// SIM-18 of what runs, as if it ran to its end.
    pub(crate) fn check_charges(&self) -> Result<(), String> {
        match &self.current {
            Some(life) if life.status != Status::Ended => life.check_charges(),
            _ => Ok(()),
        }
    }

    /// When the next thing is due.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.current.as_ref().and_then(Life::due)
    }

    /// The plan that the tenant has by them; `since` is not judged.
    pub(crate) fn plan(&self, since: Timestamp) -> Option<HeldPlan> {
        self.current.as_ref().and_then(|life| life.plan(since))
    }
}

fn part(period: &LifePeriod, zone: Zone, holding: &Arc<Holding>) -> Part {
    Part {
        index: period.index,
        is_paid: period.kind == PeriodKind::Paid,
        start: period.start,
        planned: period.end,
        end: None,
        zone,
        counted: period.counted.map(|it| (it.anchor, it.cycle, it.boundary)),
        held: vec![(period.start, Arc::clone(holding))],
        charges: Vec::new(),
    }
}

/// Where a paid period ends that begins the count.
fn first_end(start: Timestamp, cycle: Cycle, zone: Zone) -> Option<Timestamp> {
    end_after(Anchor::of(start, zone), cycle, 1, start).map(|(_, end)| end)
}

fn trial_end(start: Timestamp, days: u32, zone: Zone) -> Option<Timestamp> {
    let cycle = Cycle::new(CycleUnit::Day, days).ok()?;
    first_end(start, cycle, zone)
}

/// The first boundary from number `from` on that lies behind `after`.
fn end_after(
    anchor: Anchor,
    cycle: Cycle,
    from: u32,
    after: Timestamp,
) -> Option<(u32, Timestamp)> {
    let boundaries = (from..).map(|n| Some((n, anchor.boundary(cycle, n)?)));
    boundaries.take(20_000).find(|it| it.is_none_or(|(_, end)| end > after)).flatten()
}

impl Entry {
    /// Is `after` what was asked for, and else what was held before? Packs are as many as
    /// they were; with another plan they may have another price.
    fn is_asked(&self, before: &Holding, after: &Holding) -> bool {
        let own = &self.holding;
        let offer = if self.asked.plan { &own.offer } else { &before.offer };
        let seats = if self.asked.seats { own.seats } else { before.seats };
        let packs = if self.asked.add_ons { own.packs() } else { before.packs() };
        let is_priced = self.asked.plan || self.asked.add_ons || after.add_ons == before.add_ons;
        after.offer == *offer && after.seats == seats && after.packs() == packs && is_priced
    }
}

impl Life {
    fn take(&mut self, event: &Event, at: Timestamp) -> Result<(), String> {
        if self.status == Status::Ended {
            let is_after = matches!(event, Event::HeldChanged { .. } | Event::DueMoved { .. });
            let told = || format!("SIM-16 {event:?} happened to {}, which has ended", self.id);
            return if is_after { Ok(()) } else { Err(told()) };
        }
        match event {
            Event::Subscribed { .. } | Event::HeldChanged { .. } | Event::DueMoved { .. } => {}
            Event::Activated { period, cut } => {
                self.was(Status::Trialing)?;
                self.status = Status::Active;
                self.turn(period, *cut, at, PeriodKind::Paid)?;
                self.counted_anew(period)?;
            }
            Event::Resumed { period, cut } => {
                self.was(Status::Paused)?;
                self.status = Status::Active;
                self.turn(period, *cut, at, PeriodKind::Paid)?;
                self.counted_anew(period)?;
            }
            Event::Paused { period, cut } => {
                self.was(Status::Active)?;
                self.status = Status::Paused;
                self.turn(period, *cut, at, PeriodKind::Paused)?;
            }
            Event::PauseMoved { resume_at } => {
                self.was(Status::Paused)?;
                self.part.planned = *resume_at;
            }
            Event::Renewed { period } => {
                self.was(Status::Active)?;
                let before = self.part.counted;
                self.turn(period, None, at, PeriodKind::Paid)?;
                self.counted_on(before, period)?;
            }
            Event::Changed { entry, holding, period } => {
                self.change(entry.as_ref(), holding, period.as_ref(), at)?;
            }
            Event::ChangeScheduled { id, at, asked, holding } => {
                let (id, holding) = (id.clone(), Arc::clone(holding));
                self.schedule.push(Entry { id, at: *at, asked: *asked, holding });
            }
            Event::ScheduleAmended { id, asked, holding } => {
                let entry = self.entry(id)?;
                (entry.asked, entry.holding) = (*asked, Arc::clone(holding));
            }
            Event::ScheduleMoved { id, at } => self.entry(id)?.at = *at,
            Event::ScheduleDropped { id, .. } => {
                self.entry(id)?;
                self.schedule.retain(|it| it.id != *id);
            }
            Event::CancellationScheduled { at, .. } => self.cancels = Some(*at),
            Event::Reactivated => self.cancels = None,
            Event::ZoneChanged { zone } => self.zone = *zone,
            Event::Ended { reason, cut, fallback } => {
                self.leave(*cut, at)?;
                self.status = Status::Ended;
                let falls = !matches!(reason, EndReason::TenantClosed);
                let wanted = self.fallback_plan().filter(|_| falls);
                if *fallback != wanted {
                    return Err(format!(
                        "SIM-19 {} falls to {fallback:?}, not {wanted:?}",
                        self.id
                    ));
                }
                self.fallback = wanted;
            }
            Event::ChargeRecorded(charge) => self.charge(charge, at)?,
        }
        Ok(())
    }

    fn was(&self, status: Status) -> Result<(), String> {
        if self.status == status {
            return Ok(());
        }
        Err(format!("SIM-17 {} was {:?}, not {status:?}", self.id, self.status))
    }

    fn kind(&self, period: &LifePeriod, kind: PeriodKind) -> Result<(), String> {
        let is_counted = period.counted.is_some() == (kind == PeriodKind::Paid);
        if period.kind == kind && is_counted {
            return Ok(());
        }
        Err(format!("SIM-17 {}: {period:?} is to be {kind:?}", self.id))
    }

    fn entry(&mut self, id: &str) -> Result<&mut Entry, String> {
        let found = self.schedule.iter_mut().find(|it| it.id == id);
        found.ok_or_else(|| format!("SIM-17 nothing is scheduled as {id}"))
    }

    fn change(
        &mut self,
        entry: Option<&String>,
        holding: &Arc<Holding>,
        period: Option<&LifePeriod>,
        at: Timestamp,
    ) -> Result<(), String> {
        if let Some(id) = entry {
            let entry = self.entry(id)?.clone();
            if self.due_of(entry.at) != Some(at) || !entry.is_asked(&self.holding, holding) {
                return Err(format!(
                    "SIM-17 {entry:?} of {} took place at {at}, from {:?} to {holding:?}",
                    self.id, self.holding
                ));
            }
            self.schedule.retain(|it| it.id != *id);
        }
        let (was, is) = (self.holding.offer.currency, holding.offer.currency);
        if was != is {
            return Err(format!("SIM-18 {} was in {was} and is in {is}", self.id));
        }
        let is_inside = self.part.planned.is_none_or(|end| at < end);
        let cycle = self.part.counted.map(|(_, cycle, _)| cycle);
        let is_other = cycle.is_some_and(|cycle| cycle != holding.offer.cycle);
        if period.is_some() != (is_inside && is_other) {
            return Err(format!("SIM-17 {}: a change to {holding:?} with {period:?}", self.id));
        }
        self.holding = Arc::clone(holding);
        if let Some(period) = period {
            self.turn(period, Some(at), at, PeriodKind::Paid)?;
            return self.counted_anew(period);
        }
        if is_inside {
            self.part.held.push((at, Arc::clone(holding)));
        }
        Ok(())
    }

    /// The part of the life ends.
    fn leave(&mut self, cut: Option<Timestamp>, at: Timestamp) -> Result<(), String> {
        let end = cut.or(self.part.planned);
        let is_within = self.part.start <= at && self.part.planned.is_none_or(|last| at <= last);
        if end != Some(at) || !is_within {
            return Err(format!("SIM-17 {} is left at {at}: {}", self.id, self.part.told()));
        }
        self.part.end = end;
        self.check_charges()
    }

    fn check_charges(&self) -> Result<(), String> {
        charges::check(&self.part).map_err(|problem| format!("SIM-18 {}: {problem}", self.id))
    }

    fn turn(
        &mut self,
        period: &LifePeriod,
        cut: Option<Timestamp>,
        at: Timestamp,
        kind: PeriodKind,
    ) -> Result<(), String> {
        self.leave(cut, at)?;
        self.kind(period, kind)?;
        let follows = period.index == self.part.index + 1
            && Some(period.start) == self.part.end
            && period.end.is_none_or(|end| end > period.start);
        if !follows {
            return Err(format!(
                "SIM-17 {} goes on with {period:?} behind {}",
                self.id,
                self.part.told()
            ));
        }
        self.part = part(period, self.zone, &self.holding);
        Ok(())
    }

    /// The period's start is the anchor of what follows.
    fn counted_anew(&self, period: &LifePeriod) -> Result<(), String> {
        let cycle = self.holding.offer.cycle;
        let anchor = Anchor::of(period.start, self.zone);
        let (wanted, end) = (Some(anchor), first_end(period.start, cycle, self.zone));
        let found = period.counted.map(|it| it.anchor);
        if found == wanted && period.end == end {
            return Ok(());
        }
        Err(format!("SIM-17 {}: {period:?} is to be counted from {anchor:?}", self.id))
    }

    /// The period is the next one of the same anchor, in the zone that holds now; one of
    /// another cycle begins a count of its own.
    fn counted_on(
        &self,
        before: Option<(Anchor, Cycle, u32)>,
        period: &LifePeriod,
    ) -> Result<(), String> {
        let cycle = self.holding.offer.cycle;
        let Some((anchor, _, boundary)) = before.filter(|it| it.1 == cycle) else {
            return self.counted_anew(period);
        };
        let anchor = Anchor { local: anchor.local, zone: self.zone };
        let wanted = end_after(anchor, cycle, boundary + 1, period.start);
        let found = period.counted.map(|it| it.boundary).zip(period.end);
        if found == wanted && period.counted.map(|it| it.anchor) == Some(anchor) {
            return Ok(());
        }
        Err(format!("SIM-17 {}: {period:?} is to end at {wanted:?} of {anchor:?}", self.id))
    }

    fn charge(&mut self, charge: &Charge, at: Timestamp) -> Result<(), String> {
        let is_its = charge.subscription == self.id
            && charge.period_index == self.part.index
            && charge.period.start == self.part.start
            && Some(charge.period.end) == self.part.planned
            && charge.currency == self.holding.offer.currency
            && charge.at == at;
        if !is_its {
            return Err(format!("SIM-18 {charge:?} is no charge of {}", self.part.told()));
        }
        self.part.charges.push(charge.clone());
        Ok(())
    }

    fn due_of(&self, at: ScheduleAt) -> Option<Timestamp> {
        match at {
            ScheduleAt::Instant(at) => Some(at),
            ScheduleAt::PeriodEnd if self.status == Status::Paused => None,
            ScheduleAt::PeriodEnd => self.part.planned,
        }
    }

    fn due(&self) -> Option<Timestamp> {
        if self.status == Status::Ended {
            return None;
        }
        let entries = self.schedule.iter().map(|it| it.at);
        let scheduled = entries.chain(self.cancels).filter_map(|at| self.due_of(at));
        scheduled.chain(self.part.planned).min()
    }

    fn fallback_plan(&self) -> Option<PlanRef> {
        let offer = &self.holding.offer;
        let plan = offer.fallback.clone()?;
        Some(PlanRef { plan, ..offer.plan.clone() })
    }

    fn plan(&self, since: Timestamp) -> Option<HeldPlan> {
        let by = match self.status {
            Status::Trialing => HeldBy::Trial,
            Status::Active => HeldBy::Subscription,
            Status::Paused | Status::Ended => HeldBy::Fallback,
        };
        let plan = match self.status {
            Status::Trialing | Status::Active => Some(self.holding.offer.plan.clone()),
            Status::Paused => self.fallback_plan(),
            Status::Ended => self.fallback.clone(),
        };
        let is_held = by != HeldBy::Fallback;
        let packs = self.holding.add_ons.iter().filter(|_| is_held);
        Some(HeldPlan {
            plan: plan?,
            by,
            seats: if is_held { self.holding.seats } else { FALLBACK_SEATS },
            add_ons: packs.map(|it| (it.offer.add_on.clone(), it.quantity)).collect(),
            since,
        })
    }
}
