//! One feature's limit and what is taken of it.

use std::sync::Arc;

use exchequer_types::{Period, Quantity, Slug, Timestamp};

use crate::terms::Terms;

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
    /// Percentages that have been told of in this window, ascending.
    pub noted: Vec<u32>,
}

impl Quota {
    /// Used and reserved. Both together are at most `UNITS_MAX`.
    pub fn held(&self) -> u64 {
        self.used.saturating_add(self.reserved)
    }

    /// Units that are left; None when there is no limit.
    pub fn remaining(&self) -> Option<u64> {
        self.terms.limit.map(|limit| limit.saturating_sub(self.held()))
    }

    /// Are so many units given?
    pub fn allows(&self, units: u64) -> bool {
        let fits = |limit: u64| self.held().checked_add(units).is_some_and(|held| held <= limit);
        !self.terms.is_hard() || self.terms.limit.is_none_or(fits)
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
        self.window = Some(window);
        self.used = 0;
        self.noted.clear();
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
