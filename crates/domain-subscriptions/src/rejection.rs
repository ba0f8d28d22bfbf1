//! Every business "no" of the domain, with its stable code.

use exchequer_kernel::Reason;
use exchequer_rating::RatingError;
use exchequer_types::{Currency, Exceeded, Slug, Timestamp};

pub const TRIAL_DAYS_MAX: u32 = 30;
pub const SEATS_MAX: u64 = 1_000_000;
/// Packs of one add-on.
pub const PACKS_MAX: u64 = 1_000_000;
pub const ADD_ONS_MAX: usize = 32;
pub const SCHEDULE_ENTRIES_MAX: usize = 32;
/// How far ahead a change, a cancellation or the end of a pause may lie.
pub const SCHEDULE_AHEAD_DAYS_MAX: u64 = 3_660;
/// Minor units for one whole cycle, so that every sum of lines is exact everywhere.
pub const PRICE_MAX: i64 = 1_000_000_000_000_000;
pub const REASON_CHARS_MAX: usize = 500;

/// The codes, which never change.
pub mod codes {
    pub const SUBSCRIPTION_NOT_FOUND: &str = "SUBSCRIPTION_NOT_FOUND";
    pub const SUBSCRIPTION_EXISTS: &str = "SUBSCRIPTION_EXISTS";
    pub const SUBSCRIPTION_STATE_INVALID: &str = "SUBSCRIPTION_STATE_INVALID";
    pub const SUBSCRIPTION_UNCHANGED: &str = "SUBSCRIPTION_UNCHANGED";
    pub const SUBSCRIPTION_ENDS_BEFORE: &str = "SUBSCRIPTION_ENDS_BEFORE";
    pub const SEATS_TOO_FEW: &str = "SEATS_TOO_FEW";
    pub const SEATS_TOO_MANY: &str = "SEATS_TOO_MANY";
    pub const ADD_ONS_INVALID: &str = "ADD_ONS_INVALID";
    pub const PRICE_TOO_LARGE: &str = "PRICE_TOO_LARGE";
    pub const CURRENCY_FIXED: &str = "CURRENCY_FIXED";
    pub const TRIAL_TOO_LONG: &str = "TRIAL_TOO_LONG";
    pub const TRIAL_ALREADY_USED: &str = "TRIAL_ALREADY_USED";
    pub const DOWNGRADE_REFUSED: &str = "DOWNGRADE_REFUSED";
    pub const DATE_IN_THE_PAST: &str = "DATE_IN_THE_PAST";
    pub const DATE_OUT_OF_RANGE: &str = "DATE_OUT_OF_RANGE";
    pub const SCHEDULE_TOO_LONG: &str = "SCHEDULE_TOO_LONG";
    pub const SCHEDULED_CHANGE_NOT_FOUND: &str = "SCHEDULED_CHANGE_NOT_FOUND";
    pub const PLANNED_CHANGE_IMPOSSIBLE: &str = "PLANNED_CHANGE_IMPOSSIBLE";
    pub const REASON_INVALID: &str = "REASON_INVALID";
    pub const TIMER_NOT_PENDING: &str = "TIMER_NOT_PENDING";
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    NotFound,
    Exists {
        state: &'static str,
    },
    /// The command is for a subscription in one of the states `wanted`.
    StateInvalid {
        state: &'static str,
        wanted: &'static str,
    },
    /// A pause has no period whose end something could wait for.
    PausedPeriodEnd,
    /// The command would change nothing.
    Unchanged,
    /// The change would take place when the subscription has ended.
    EndsBefore {
        ends_at: Option<Timestamp>,
    },
    SeatsTooFew {
        seats_min: u64,
    },
    SeatsTooMany {
        seats_max: u64,
    },
    /// Of this add-on, none or too many packs, or it stands twice.
    PacksInvalid {
        add_on: Slug,
    },
    AddOnsTooMany,
    PriceTooLarge,
    CurrencyFixed {
        currency: Currency,
    },
    TrialTooLong {
        days_max: u32,
    },
    /// A trial of `days` runs, and what is to be held has a shorter one.
    TrialRuns {
        days: u32,
        days_max: u32,
    },
    /// An earlier subscription of the tenant began with a trial.
    TrialUsed,
    DowngradeRefused {
        exceeded: Vec<Exceeded>,
    },
    InThePast {
        field: &'static str,
    },
    OutOfRange {
        field: &'static str,
    },
    ScheduleTooLong,
    EntryNotFound,
    /// Of a scheduled change: what is held beside what it asks for has become something that
    /// it has no terms for.
    NotCarriedOver,
    ReasonInvalid,
    /// Of a timer: it was set anew, or is not needed any more.
    TimerNotPending,
}

impl From<RatingError> for Rejection {
    fn from(error: RatingError) -> Self {
        match error {
            RatingError::Overflow => Self::PriceTooLarge,
            RatingError::CurrencyMismatch { held, .. } => Self::CurrencyFixed { currency: held },
            RatingError::OutsidePeriod { .. }
            | RatingError::EmptyPeriod { .. }
            | RatingError::CycleMismatch { .. } => Self::OutOfRange { field: "when" },
        }
    }
}

impl Reason for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => codes::SUBSCRIPTION_NOT_FOUND,
            Self::Exists { .. } => codes::SUBSCRIPTION_EXISTS,
            Self::StateInvalid { .. } | Self::PausedPeriodEnd => codes::SUBSCRIPTION_STATE_INVALID,
            Self::Unchanged => codes::SUBSCRIPTION_UNCHANGED,
            Self::EndsBefore { .. } => codes::SUBSCRIPTION_ENDS_BEFORE,
            Self::SeatsTooFew { .. } => codes::SEATS_TOO_FEW,
            Self::SeatsTooMany { .. } => codes::SEATS_TOO_MANY,
            Self::PacksInvalid { .. } | Self::AddOnsTooMany => codes::ADD_ONS_INVALID,
            Self::PriceTooLarge => codes::PRICE_TOO_LARGE,
            Self::CurrencyFixed { .. } => codes::CURRENCY_FIXED,
            Self::TrialTooLong { .. } | Self::TrialRuns { .. } => codes::TRIAL_TOO_LONG,
            Self::TrialUsed => codes::TRIAL_ALREADY_USED,
            Self::DowngradeRefused { .. } => codes::DOWNGRADE_REFUSED,
            Self::InThePast { .. } => codes::DATE_IN_THE_PAST,
            Self::OutOfRange { .. } => codes::DATE_OUT_OF_RANGE,
            Self::ScheduleTooLong => codes::SCHEDULE_TOO_LONG,
            Self::EntryNotFound => codes::SCHEDULED_CHANGE_NOT_FOUND,
            Self::NotCarriedOver => codes::PLANNED_CHANGE_IMPOSSIBLE,
            Self::ReasonInvalid => codes::REASON_INVALID,
            Self::TimerNotPending => codes::TIMER_NOT_PENDING,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::NotFound | Self::Exists { .. } => Some("tenant"),
            Self::SeatsTooFew { .. } | Self::SeatsTooMany { .. } => Some("seats"),
            Self::PacksInvalid { .. } | Self::AddOnsTooMany => Some("add_ons"),
            Self::PriceTooLarge => Some("price"),
            Self::CurrencyFixed { .. } => Some("currency"),
            Self::DowngradeRefused { .. } | Self::TrialRuns { .. } => Some("plan"),
            Self::EndsBefore { .. } | Self::PausedPeriodEnd => Some("when"),
            Self::TrialUsed | Self::TrialTooLong { .. } => Some("trial_days"),
            Self::InThePast { field } | Self::OutOfRange { field } => Some(field),
            Self::EntryNotFound | Self::NotCarriedOver => Some("change"),
            Self::ReasonInvalid => Some("reason"),
            Self::StateInvalid { .. }
            | Self::Unchanged
            | Self::ScheduleTooLong
            | Self::TimerNotPending => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NotFound => "the tenant has no subscription: create one first".to_owned(),
            Self::Exists { state } => format!(
                "the tenant has a subscription, which is {state}: change it, or cancel it now and create another one"
            ),
            Self::StateInvalid { state, wanted } => {
                format!("the subscription is {state}; this is for one that is {wanted}")
            }
            Self::PausedPeriodEnd => "the subscription is paused, and no period runs whose end could be meant: say now or an instant, or resume it first".to_owned(),
            Self::Unchanged => "the command would change nothing".to_owned(),
            Self::EndsBefore { ends_at: Some(at) } => {
                format!("the subscription ends at {at}: choose an earlier time, or reactivate it")
            }
            Self::EndsBefore { ends_at: None } => {
                "the subscription ends with its period: choose an earlier time, or reactivate it"
                    .to_owned()
            }
            Self::SeatsTooFew { seats_min } => format!("must be at least {seats_min}"),
            Self::SeatsTooMany { seats_max } => format!("must be at most {seats_max}"),
            Self::PacksInvalid { add_on } => {
                format!("{add_on} must stand once, with 1 to {PACKS_MAX} packs")
            }
            Self::AddOnsTooMany => format!("must be at most {ADD_ONS_MAX}"),
            Self::PriceTooLarge => format!(
                "one cycle of this would cost more than {PRICE_MAX} minor units: ask for fewer seats or packs"
            ),
            Self::CurrencyFixed { currency } => format!(
                "the subscription is in {currency} for as long as it lasts: choose a price in {currency}"
            ),
            Self::TrialTooLong { days_max: 0 } => {
                "the plan has no trial: begin without one, or choose a plan that has".to_owned()
            }
            Self::TrialTooLong { days_max } => format!(
                "the plan has a trial of at most {days_max} days: ask for 1 to {days_max}, or for none"
            ),
            Self::TrialRuns { days, days_max } => trial_runs(*days, *days_max),
            Self::TrialUsed => {
                "the tenant had its trial with an earlier subscription: begin without one"
                    .to_owned()
            }
            Self::DowngradeRefused { exceeded } => {
                let one = |it: &Exceeded| {
                    format!("{} includes {} and {} are used", it.feature, it.limit, it.used)
                };
                let all: Vec<String> = exceeded.iter().map(one).collect();
                format!("more is used than the plan includes: {}: use less first", all.join("; "))
            }
            Self::InThePast { .. } => "must lie in the future".to_owned(),
            Self::OutOfRange { .. } => {
                format!("must lie within {SCHEDULE_AHEAD_DAYS_MAX} days from now")
            }
            Self::ScheduleTooLong => format!(
                "{SCHEDULE_ENTRIES_MAX} changes are scheduled, which is the most: drop one first"
            ),
            Self::EntryNotFound => {
                "no change of this id is scheduled: list the scheduled changes".to_owned()
            }
            Self::NotCarriedOver => "what is held beside it has changed since, and cannot be carried over to it: ask for the change anew".to_owned(),
            Self::ReasonInvalid => format!(
                "must have at most {REASON_CHARS_MAX} characters, none of them control characters"
            ),
            Self::TimerNotPending => "the timer is not pending".to_owned(),
        }
    }
}

fn trial_runs(days: u32, days_max: u32) -> String {
    let has = match days_max {
        0 => "none".to_owned(),
        most => format!("one of at most {most}"),
    };
    format!(
        "a trial of {days} days runs, and the plan has {has}: change at the end of the trial, or activate the subscription first"
    )
}
