//! All events of the domain. Each carries the figures after it, so that a view needs no
//! reservation to know them.

use std::sync::Arc;

use exchequer_types::{Period, Quantity, Slug, Timestamp};

use crate::state::Timer;
use crate::terms::Terms;

/// What happened to a tenant's quotas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The feature has these terms now.
    Limited {
        feature: Slug,
        terms: Arc<Terms>,
        window: Option<Period>,
        figures: Figures,
        /// Percentages that need not be told of.
        noted: Vec<u32>,
    },
    /// Nothing of the feature is given, nor taken, any more.
    Lifted {
        feature: Slug,
    },
    Reserved {
        id: String,
        feature: Slug,
        amount: u64,
        /// The first instant at which it does not hold any more.
        expires_at: Timestamp,
        figures: Figures,
    },
    /// `amount` is used; what was reserved beyond it is free.
    Finalised {
        id: String,
        feature: Slug,
        amount: u64,
        figures: Figures,
    },
    Released {
        id: String,
        feature: Slug,
        figures: Figures,
    },
    /// Reservations whose time is over.
    Expired {
        ids: Vec<String>,
        /// Of each feature that they were for.
        figures: Vec<(Slug, Figures)>,
    },
    /// Units that were used are free.
    Adjusted {
        feature: Slug,
        units: u64,
        reason: String,
        figures: Figures,
        /// Percentages that need not be told of.
        noted: Vec<u32>,
    },
    /// Counting began anew: nothing is used.
    Reset {
        feature: Slug,
        window: Period,
        figures: Figures,
    },
    ThresholdReached {
        feature: Slug,
        percent: u32,
        /// Of the window; None without one.
        window: Option<Period>,
        limit: u64,
        /// What was held, or measured, when it was noticed.
        held: Quantity,
    },
    /// What is due next is due at another instant. Each setting is a timer of its own.
    TimerMoved {
        cleared: Option<ClearedTimer>,
        timer: Option<Timer>,
    },
    /// The tenant is closed: nothing is given, and nothing held.
    Closed {
        features: Vec<Slug>,
        /// The pending timer that this ends.
        timer: Option<String>,
    },
}

/// What is taken of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Figures {
    /// Finalised units of the window.
    pub used: u64,
    /// Units of open reservations.
    pub reserved: u64,
    /// Since when more than the limit is held, where that may last a while only.
    pub over_since: Option<Timestamp>,
}

/// A timer that is not pending any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearedTimer {
    pub id: String,
    /// It was decided; else it was not needed any more.
    pub fired: bool,
}

impl Event {
    /// The features whose figures or terms the event changes.
    pub fn features(&self) -> Vec<&Slug> {
        match self {
            Self::Limited { feature, .. }
            | Self::Lifted { feature }
            | Self::Reserved { feature, .. }
            | Self::Finalised { feature, .. }
            | Self::Released { feature, .. }
            | Self::Adjusted { feature, .. }
            | Self::Reset { feature, .. }
            | Self::ThresholdReached { feature, .. } => vec![feature],
            Self::Expired { figures, .. } => figures.iter().map(|(feature, _)| feature).collect(),
            Self::Closed { features, .. } => features.iter().collect(),
            Self::TimerMoved { .. } => Vec::new(),
        }
    }
}
