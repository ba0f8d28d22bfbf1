//! One feature's limit and what is taken of it.

use core::time::Duration;
use std::sync::Arc;

use exchequer_kernel::mutation::{self, Mutation};
use exchequer_types::{Period, Quantity, Slug, Timestamp};

use crate::event::Figures;
use crate::rejection::{Rejection, UNITS_MAX};
use crate::terms::{Refusal, Terms};

/// A feature with a limit. What is held is what is used and what is reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    pub feature: Slug,
    pub terms: Arc<Terms>,
    /// Where counting began and begins anew; None: never.
    pub window: Option<Period>,
    /// Finalised units of the window.
    pub used: u64,
    /// Units of open reservations, of whatever window.
    pub reserved: u64,
    /// Since when more than the limit is held, where that may last a while only.
    pub over_since: Option<Timestamp>,
    /// Percentages that have been told of in this window, ascending.
    pub noted: Vec<u32>,
    /// The window before, of a limit whose use is measured: who watches the meters may not
    /// have seen all of it when it ended.
    pub before: Option<Box<Ended>>,
}

/// A window that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub window: Period,
    /// Percentages that have been told of in it, ascending.
    pub noted: Vec<u32>,
}

impl Quota {
    /// With nothing told of, and no window before.
    pub fn new(feature: Slug, terms: Arc<Terms>, window: Option<Period>, figures: Figures) -> Self {
        let Figures { used, reserved, over_since } = figures;
        let (noted, before) = (Vec::new(), None);
        Self { feature, terms, window, used, reserved, over_since, noted, before }
    }

    /// Used and reserved. Both together are at most `UNITS_MAX`.
    pub fn held(&self) -> u64 {
        self.used.saturating_add(self.reserved)
    }

    /// Units of the limit that are left; None when there is no limit.
    pub fn remaining(&self) -> Option<u64> {
        self.terms.limit.map(|limit| limit.saturating_sub(self.held()))
    }

    /// Units beyond the limit that are given at `now`.
    pub fn extra(&self, now: Timestamp) -> u64 {
        match self.grace_ends_at() {
            Some(end) if end <= now => 0,
            _ => self.terms.burst(),
        }
    }

    /// When nothing more is given, if what is held stays above the limit.
    pub fn grace_ends_at(&self) -> Option<Timestamp> {
        let grace = Duration::from_secs(u64::from(self.terms.grace_seconds));
        self.over_since.map(|since| since.saturating_add(grace))
    }

    /// Are so many units given at `now`?
    pub fn allows(&self, units: u64, now: Timestamp) -> bool {
        let Some(limit) = self.terms.limit else { return true };
        let most = limit.saturating_add(self.extra(now));
        let is_weak = mutation::active(Mutation::ReservedHolds);
        let held = if is_weak { self.used } else { self.held() };
        held.checked_add(units).is_some_and(|held| held <= most)
    }

    /// What a reservation of so many units comes to at `now`, in whose window the quota is.
    pub fn check(&self, units: u64, now: Timestamp) -> Result<(), Rejection> {
        if !(1..=UNITS_MAX).contains(&units) {
            return Err(Rejection::AmountInvalid { min: 1, max: UNITS_MAX });
        }
        if !self.allows(units, now) {
            return Err(self.refusal(units));
        }
        let max = UNITS_MAX.saturating_sub(self.held());
        if units > max { Err(Rejection::AmountInvalid { min: 1, max }) } else { Ok(()) }
    }

    /// Time brings more only where the whole limit would do.
    fn refusal(&self, units: u64) -> Rejection {
        let (feature, left) = (self.feature.clone(), self.remaining().unwrap_or(0));
        let limit = self.terms.limit.unwrap_or(0);
        match (self.terms.refusal, self.resets_at()) {
            (Refusal::Forbid, _) => Rejection::Forbidden { feature, left, limit },
            (Refusal::Wait, Some(resets_at)) if units <= limit => {
                Rejection::Exhausted { feature, left, limit, resets_at }
            }
            _ => Rejection::LimitReached { feature, left, limit },
        }
    }

    /// When counting begins anew.
    pub fn resets_at(&self) -> Option<Timestamp> {
        self.window.map(|window| window.end)
    }

    /// As it is at `at`: in the window of that instant.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Self {
        let mut quota = self.clone();
        if let Some(window) = self.next_window(at) {
            quota.begin(window);
        }
        quota
    }

    /// The window of `at`, when the present one has ended. None also behind the last date
    /// there is.
    pub(crate) fn next_window(&self, at: Timestamp) -> Option<Period> {
        let window = self.window.filter(|window| window.end <= at)?;
        let next = self.terms.counting?.window_at(at)?;
        // A window that begins before the present one ends would count twice.
        Some(Period { start: next.start.max(window.end), end: next.end })
    }

    pub(crate) fn begin(&mut self, window: Period) {
        let noted = core::mem::take(&mut self.noted);
        let before = self.window.filter(|_| self.terms.is_metered());
        self.before = before.map(|window| Box::new(Ended { window, noted }));
        self.window = Some(window);
        self.used = 0;
        self.over_since = None;
    }

    /// What is taken, of which `now` is told when it has come to be more than the limit.
    pub(crate) fn figures(&self, now: Timestamp) -> Figures {
        let is_over = self.terms.limit.is_some_and(|limit| self.held() > limit);
        let since = (is_over && self.terms.grace_seconds > 0).then_some(now);
        let over_since = since.map(|now| self.over_since.unwrap_or(now));
        Figures { used: self.used, reserved: self.reserved, over_since }
    }

    pub(crate) fn take(&mut self, figures: Figures) {
        let Figures { used, reserved, over_since } = figures;
        (self.used, self.reserved, self.over_since) = (used, reserved, over_since);
    }

    /// Is there something that the end of the window changes?
    pub(crate) fn is_active(&self) -> bool {
        self.window.is_some() && (self.used > 0 || !self.noted.is_empty())
    }

    /// The limit and the percentages that `held` has reached and that nobody was told of.
    pub(crate) fn newly_reached(&self, held: Quantity) -> Vec<(u32, u64)> {
        let Some(limit) = self.terms.limit else { return Vec::new() };
        let thresholds = self.terms.thresholds.iter();
        let reached = thresholds.filter(|it| reaches(held, limit, **it));
        reached.filter(|it| !self.noted.contains(it)).map(|it| (*it, limit)).collect()
    }
}

/// Is `held` at least `percent` of `limit`? A limit of nothing has no percentages.
pub fn reaches(held: Quantity, limit: u64, percent: u32) -> bool {
    let wanted = Quantity::whole(limit).units().checked_mul(i128::from(percent));
    let held = held.units().checked_mul(100);
    match (held, wanted) {
        // A product that does not fit is more than any that does.
        (None, _) => limit > 0,
        (Some(_), None) => false,
        (Some(held), Some(wanted)) => limit > 0 && held >= wanted,
    }
}
