//! All events of the domain. They carry everything that a replay needs: the bounds
//! of each part of the life, and charges with their whole working.

use std::sync::Arc;

use exchequer_types::{Asked, HeldPlan, Holding, PlanRef, Timestamp, Zone};

use crate::charge::Charge;
use crate::subscription::{EndReason, LifePeriod, ScheduleAt, Timer};

/// What happened to a tenant's subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new subscription began.
    Subscribed {
        id: String,
        holding: Arc<Holding>,
        zone: Zone,
        /// Days of the trial that `period` is; 0 without one.
        trial_days: u32,
        period: LifePeriod,
    },
    /// The trial is over, the first paid period began.
    Activated {
        period: LifePeriod,
        /// Where the trial was cut short; None when it ran to its end.
        cut: Option<Timestamp>,
    },
    /// Something else is held from now on.
    Changed {
        /// The entry of the schedule that this carries out.
        entry: Option<String>,
        holding: Arc<Holding>,
        /// A change to another cycle cuts the current period at the start of this one.
        period: Option<LifePeriod>,
    },
    ChangeScheduled {
        id: String,
        at: ScheduleAt,
        asked: Asked,
        holding: Arc<Holding>,
    },
    ScheduleAmended {
        id: String,
        asked: Asked,
        holding: Arc<Holding>,
    },
    ScheduleMoved {
        id: String,
        at: ScheduleAt,
    },
    ScheduleDropped {
        id: String,
        why: DropReason,
        /// What was in the way, of one that was to be carried out.
        refusal: Option<Refusal>,
    },
    CancellationScheduled {
        at: ScheduleAt,
        reason: String,
    },
    /// The scheduled cancellation is taken back.
    Reactivated,
    Paused {
        /// The pause; without an end when nothing says when to resume.
        period: LifePeriod,
        /// Where the paid period was cut.
        cut: Option<Timestamp>,
    },
    /// The pause ends at another instant, or by command.
    PauseMoved {
        resume_at: Option<Timestamp>,
    },
    Resumed {
        period: LifePeriod,
        /// Where the pause was cut short; None when it ran to its end.
        cut: Option<Timestamp>,
    },
    /// The next paid period began where the last one ended.
    Renewed {
        period: LifePeriod,
    },
    ZoneChanged {
        zone: Zone,
    },
    /// Nothing is scheduled any more.
    Ended {
        reason: EndReason,
        /// Where the current period was cut short; None when it ran to its end.
        cut: Option<Timestamp>,
        /// The plan that the tenant falls to.
        fallback: Option<PlanRef>,
    },
    ChargeRecorded(Charge),
    /// By another right, or of another plan, than before. None: no plan.
    HeldChanged {
        held: Option<HeldPlan>,
    },
    /// The next thing due is another one. Each setting is a timer of its own.
    DueMoved {
        cleared: Option<ClearedTimer>,
        timer: Option<Timer>,
    },
}

/// Why an entry left the schedule without being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// By command.
    Asked,
    /// The subscription is to end before.
    Cancelled,
    /// When its time came, it could not be carried out: the event says why.
    Impossible,
    /// When its time came, more was used than the plan includes, and the plan refuses such
    /// changes.
    Exceeded,
}

/// Why something could not be carried out, as a caller would have been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of the domain's codes.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A timer that is not pending any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearedTimer {
    pub id: String,
    /// It was decided; else it was not needed any more.
    pub fired: bool,
}

impl DropReason {
    /// Its name, which is stored and never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Cancelled => "cancelled",
            Self::Impossible => "impossible",
            Self::Exceeded => "exceeded",
        }
    }
}
