//! A subscription, what it holds, and the parts of its life. Every second of it lies
//! in exactly one part: trial, paid or paused.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_types::{
    Anchor, Asked, Cycle, HeldBy, HeldPlan, Holding, Offer, Period, PlanRef, Slug, Timestamp, Zone,
};

use crate::event::{DropReason, Refusal};

/// Dropped changes that a subscription tells of; the oldest give way.
pub const DROPPED_CHANGES_MAX: usize = 16;

/// One subscription. Everything that a renewal needs is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub id: String,
    pub status: Status,
    pub holding: Arc<Holding>,
    /// Later boundaries are counted in it; the current period keeps its end.
    pub zone: Zone,
    /// The current part of its life; the last one when it ended.
    pub period: LifePeriod,
    /// Days of the trial it began with; 0 without one.
    pub trial_days: u32,
    pub trial_ends_at: Option<Timestamp>,
    pub cancellation: Option<Cancellation>,
    /// In the order of entry.
    pub schedule: Vec<Entry>,
    /// Changes that left the schedule without being carried out, although nobody asked for
    /// it: the last [`DROPPED_CHANGES_MAX`], oldest first.
    pub dropped: Vec<Dropped>,
    /// Pending for the next thing due.
    pub timer: Option<Timer>,
    /// Counts the events of all of the tenant's subscriptions, so that a version that
    /// was read from an earlier one never fits a later one.
    pub version: u64,
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
    pub end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Trialing,
    Active,
    Paused,
    Ended,
}

/// A part of a subscription's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifePeriod {
    /// From 0, of all parts.
    pub index: u32,
    pub kind: PeriodKind,
    pub start: Timestamp,
    /// None: a pause that nothing ends but a command.
    pub end: Option<Timestamp>,
    /// How the end of a paid period was counted; None for the others.
    pub counted: Option<Counted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodKind {
    /// Without charge.
    Trial,
    Paid,
    /// Without charge, and without the plan.
    Paused,
}

/// The end of a period is boundary `boundary` of `cycle` from `anchor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub anchor: Anchor,
    pub cycle: Cycle,
    pub boundary: u32,
}

/// When a change takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Now,
    /// At the end of the current period, also when that end moves.
    PeriodEnd,
    At(Timestamp),
}

/// When something scheduled takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleAt {
    /// At the end of the current period, also when that end moves. During a pause: of
    /// the period that begins behind it.
    PeriodEnd,
    Instant(Timestamp),
}

/// A change to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub at: ScheduleAt,
    /// What of `holding` was asked for.
    pub asked: Asked,
    /// All that is held from then on, as far as is known now: what was not asked for is
    /// as before.
    pub holding: Arc<Holding>,
}

/// A change that did not take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The entry's.
    pub id: String,
    /// When it left the schedule.
    pub at: Timestamp,
    pub why: DropReason,
    pub refusal: Option<Refusal>,
    /// All that was to be held.
    pub holding: Arc<Holding>,
}

impl Entry {
    /// Takes what was not asked for from `base`. What packs cost with another offer only the
    /// catalog knows: they stay as they were looked up, until they are looked up anew (see
    /// [`Subscription::planned`]).
    fn rebase(&mut self, base: &Holding) {
        let (asked, own) = (self.asked, &self.holding);
        let offer = if asked.plan { &own.offer } else { &base.offer };
        let cycle = if asked.add_ons { own.offer.cycle } else { base.offer.cycle };
        if asked == Asked::ALL || (asked.add_ons && offer.cycle != cycle) {
            return;
        }
        let is_looked_up = asked.plan && own.packs() == base.packs();
        let takes_packs = !asked.add_ons && offer.cycle == cycle && !is_looked_up;
        let rebased = Holding {
            offer: offer.clone(),
            seats: if asked.seats { own.seats } else { base.seats },
            add_ons: if takes_packs { base.add_ons.clone() } else { own.add_ons.clone() },
        };
        if rebased != **own {
            self.holding = Arc::new(rebased);
        }
    }
}

/// A change to come, and what it is to hold: what it asks for, and of the rest what is held
/// before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned<'a> {
    pub entry: &'a Entry,
    pub offer: &'a Offer,
    pub seats: u64,
    pub packs: BTreeMap<Slug, u64>,
}

impl Planned<'_> {
    /// Does the entry hold this already?
    pub fn is_looked_up(&self) -> bool {
        let held = &self.entry.holding;
        held.offer == *self.offer && held.seats == self.seats && held.packs() == self.packs
    }
}

/// The subscription is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    pub at: ScheduleAt,
    /// As given, maybe empty.
    pub reason: String,
}

/// A pending timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub id: String,
    pub due: Timestamp,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub at: Timestamp,
    pub reason: EndReason,
    /// The plan that the tenant fell to.
    pub fallback: Option<PlanRef>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// As asked for, with the reason given, maybe empty.
    Cancelled {
        reason: String,
    },
    TenantClosed,
    /// The next period lies behind the last date there is.
    OutOfTime,
}

impl Status {
    pub const ALL: [Self; 4] = [Self::Trialing, Self::Active, Self::Paused, Self::Ended];

    /// Its name, which is stored and never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

impl PeriodKind {
    pub const ALL: [Self; 3] = [Self::Trial, Self::Paid, Self::Paused];

    /// Its name, which is stored and never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Paid => "paid",
            Self::Paused => "paused",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

impl LifePeriod {
    /// Its bounds, when it has both.
    pub fn bounds(&self) -> Option<Period> {
        self.end.map(|end| Period { start: self.start, end })
    }

    /// Its bounds and how they were counted, when it is paid.
    pub fn paid(&self) -> Option<(Period, Counted)> {
        self.bounds().zip(self.counted).filter(|_| self.kind == PeriodKind::Paid)
    }
}

impl Subscription {
    /// The state as people speak of it: trialing, active, cancelled (it still runs, and
    /// will end), paused or ended.
    pub fn word(&self) -> &'static str {
        match self.status {
            Status::Trialing | Status::Active if self.cancellation.is_some() => "cancelled",
            status => status.as_str(),
        }
    }

    pub fn is_ended(&self) -> bool {
        self.status == Status::Ended
    }

    /// When what is scheduled so takes place; None while nothing says when.
    pub fn due_of(&self, at: ScheduleAt) -> Option<Timestamp> {
        match (at, self.status) {
            (_, Status::Ended) | (ScheduleAt::PeriodEnd, Status::Paused) => None,
            (ScheduleAt::PeriodEnd, Status::Trialing | Status::Active) => self.period.end,
            (ScheduleAt::Instant(at), _) => Some(at),
        }
    }

    /// When it is to end.
    pub fn cancels_at(&self) -> Option<Timestamp> {
        self.cancellation.as_ref().and_then(|it| self.due_of(it.at))
    }

    /// Is it to end at `due` or before?
    pub(crate) fn ends_by(&self, due: Timestamp) -> bool {
        self.cancels_at().is_some_and(|at| at <= due)
    }

    /// Changes that are due at `due` or before, in the order of entry.
    pub(crate) fn entries_due(&self, due: Timestamp) -> impl Iterator<Item = &Entry> {
        let is_due = move |it: &&Entry| self.due_of(it.at).is_some_and(|at| at <= due);
        self.schedule.iter().filter(is_due)
    }

    /// Brings what entries leave as it is up to date, in the order in which they are due.
    pub(crate) fn rebase(&mut self) {
        let due = |it: &Self, at: usize| it.due_of(it.schedule[at].at).unwrap_or(Timestamp::MAX);
        let mut order: Vec<usize> = (0..self.schedule.len()).collect();
        order.sort_by_key(|at| due(self, *at));
        let mut base = Arc::clone(&self.holding);
        for at in order {
            let entry = &mut self.schedule[at];
            entry.rebase(&base);
            base = Arc::clone(&entry.holding);
        }
    }

    /// The changes to come, in the order in which they are due, with what each is to hold
    /// once those before it have taken place.
    pub fn planned(&self) -> Vec<Planned<'_>> {
        let mut order: Vec<&Entry> = self.schedule.iter().collect();
        order.sort_by_key(|it| self.due_of(it.at).unwrap_or(Timestamp::MAX));
        let mut planned: Vec<Planned<'_>> = Vec::with_capacity(order.len());
        for entry in order {
            let (asked, own) = (entry.asked, &entry.holding);
            let base = planned.last();
            let (offer, seats) = base.map_or_else(
                || (&self.holding.offer, self.holding.seats),
                |base| (base.offer, base.seats),
            );
            let packs = || base.map_or_else(|| self.holding.packs(), |base| base.packs.clone());
            planned.push(Planned {
                entry,
                offer: if asked.plan { &own.offer } else { offer },
                seats: if asked.seats { own.seats } else { seats },
                packs: if asked.add_ons { own.packs() } else { packs() },
            });
        }
        planned
    }

    /// When the pause is to end by itself.
    pub fn resumes_at(&self) -> Option<Timestamp> {
        if self.status == Status::Paused { self.period.end } else { None }
    }

    /// When the next thing is due: the end of the period, a scheduled change, or the end.
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.is_ended() {
            return None;
        }
        let entries = self.schedule.iter().filter_map(|entry| self.due_of(entry.at));
        entries.chain(self.period.end).chain(self.cancels_at()).min()
    }

    /// The entry with this id.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.schedule.iter().find(|entry| entry.id == id)
    }

    /// What is held at `at`, after everything that is scheduled up to then.
    pub fn held_at(&self, at: Timestamp) -> &Arc<Holding> {
        let due = self.schedule.iter().filter_map(|it| Some((self.due_of(it.at)?, it)));
        let last = due.filter(|(due, _)| *due <= at).max_by_key(|(due, _)| *due);
        last.map_or(&self.holding, |(_, entry)| &entry.holding)
    }

    /// The plan that the tenant has by the subscription, or for want of it.
    pub fn held_plan(&self, since: Timestamp) -> Option<HeldPlan> {
        let offer = &self.holding.offer;
        let fallback = |plan: PlanRef| HeldPlan {
            plan,
            by: HeldBy::Fallback,
            seats: FALLBACK_SEATS,
            add_ons: std::collections::BTreeMap::new(),
            since,
        };
        let by = match self.status {
            Status::Trialing => HeldBy::Trial,
            Status::Active => HeldBy::Subscription,
            Status::Paused => return fallback_of(&self.holding).map(fallback),
            Status::Ended => return self.end.as_ref()?.fallback.clone().map(fallback),
        };
        let add_ons = self.holding.add_ons.iter();
        Some(HeldPlan {
            plan: offer.plan.clone(),
            by,
            seats: self.holding.seats,
            add_ons: add_ons.map(|it| (it.offer.add_on.clone(), it.quantity)).collect(),
            since,
        })
    }
}

/// Seats that a tenant has with a fall-back plan, which nobody chose a number for.
pub const FALLBACK_SEATS: u64 = 1;

/// The plan of the same catalog version that a tenant falls to.
pub(crate) fn fallback_of(holding: &Holding) -> Option<PlanRef> {
    let offer = &holding.offer;
    let with = |plan: &Slug| PlanRef { plan: plan.clone(), ..offer.plan.clone() };
    offer.fallback.as_ref().map(with)
}
