//! Cells that were read, by window and by the groups that were asked for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use exchequer_metering::Aggregation;
use exchequer_types::{Period, Timestamp};

use crate::amount::Amount;
use crate::hashing::{Map, NumberMap};
use crate::packed::{u32_of, usize_of};
use crate::query::{CELLS_READ_MAX, FIGURES_MAX, Figure, Figures, Query, QueryError, Step, others};
use crate::tables::Kept;

/// Which groups of a row come to which figure.
#[derive(Debug)]
pub(crate) enum Grouping<'a> {
    /// Of all subjects: values of these group-bys, where all filters hold.
    Groups {
        by: &'a [String],
        filters: &'a [(String, Vec<String>)],
    },
    /// Of one subject.
    Subject(&'a str),
    EachSubject,
}

impl<'a> Grouping<'a> {
    pub(crate) fn new(query: &'a Query<'a>) -> Self {
        match (query.subject, query.by_subject) {
            (Some(subject), _) => Self::Subject(subject),
            (None, true) => Self::EachSubject,
            (None, false) => Self::Groups { by: &query.group_by, filters: &query.filters },
        }
    }

    /// The figure that a name of a row with group-bys `by` counts in; None for none.
    pub(crate) fn values<'n>(&self, by: &[&str], name: &[&'n str]) -> Option<Vec<&'n str>> {
        let value = |wanted: &str| {
            let at = by.iter().position(|it| *it == wanted);
            at.and_then(|at| name.get(at)).copied().unwrap_or_default()
        };
        match self {
            Self::Subject(subject) => (name == [*subject]).then(Vec::new),
            Self::EachSubject => Some(name.to_vec()),
            Self::Groups { by: wanted, filters } => {
                let holds = |(name, values): &(String, Vec<String>)| {
                    let value = value(name);
                    values.iter().any(|it| it == value)
                };
                let is_in = filters.iter().all(holds);
                is_in.then(|| wanted.iter().map(|it| value(it)).collect())
            }
        }
    }
}

/// Amounts by window and group.
#[derive(Debug)]
pub(crate) struct Gathered {
    is_whole: bool,
    /// Billing periods are known by their start: their end may have moved.
    is_periods: bool,
    windows: Vec<Period>,
    window_at: NumberMap<(i64, i64), u32>,
    groups: Vec<Vec<String>>,
    group_at: Map<Vec<String>, u32>,
    /// By window, version and group.
    amounts: NumberMap<(u32, u32, u32), Amount>,
    /// The latest version that has counted in a window, whichever group or subject.
    latest: NumberMap<u32, u32>,
    /// By version.
    aggregations: BTreeMap<u32, Aggregation>,
    /// Names of all group-bys that were met.
    by: BTreeSet<String>,
    held: usize,
}

impl Gathered {
    pub(crate) fn new(step: Step) -> Self {
        Self {
            is_whole: step == Step::Whole,
            is_periods: step == Step::Of(Kept::Period),
            windows: Vec::new(),
            window_at: NumberMap::default(),
            groups: Vec::new(),
            group_at: Map::default(),
            amounts: NumberMap::default(),
            latest: NumberMap::default(),
            aggregations: BTreeMap::new(),
            by: BTreeSet::new(),
            held: 0,
        }
    }

    /// A row of this version is about to be added.
    pub(crate) fn meet<'s>(
        &mut self,
        version: u32,
        aggregation: Aggregation,
        by: impl Iterator<Item = &'s str>,
    ) {
        self.aggregations.insert(version, aggregation);
        for name in by {
            if !self.by.contains(name) {
                self.by.insert(name.to_owned());
            }
        }
    }

    /// Can all that was met be subtracted from?
    pub(crate) fn can_subtract(&self) -> bool {
        self.aggregations.values().all(|it| it.can_subtract())
    }

    pub(crate) fn window(&mut self, window: Period) -> u32 {
        let end = if self.is_periods { 0 } else { window.end.micros() };
        let at = *self.window_at.entry((window.start.micros(), end)).or_insert_with(|| {
            self.windows.push(window);
            u32_of(self.windows.len() - 1)
        });
        if let Some(known) = self.windows.get_mut(usize_of(at)) {
            known.end = known.end.max(window.end);
        }
        at
    }

    /// `version` has counted something in `window`.
    pub(crate) fn has_counted(&mut self, window: u32, version: u32) {
        let latest = self.latest.entry(window).or_insert(version);
        *latest = version.max(*latest);
    }

    pub(crate) fn group(&mut self, values: &[&str]) -> u32 {
        let values: Vec<String> = values.iter().map(|it| (*it).to_owned()).collect();
        self.group_of(values)
    }

    fn group_of(&mut self, values: Vec<String>) -> u32 {
        if let Some(at) = self.group_at.get(&values) {
            return *at;
        }
        let at = u32_of(self.groups.len());
        self.groups.push(values.clone());
        self.group_at.insert(values, at);
        at
    }

    pub(crate) fn add(
        &mut self,
        (window, version, group): (u32, u32, u32),
        amount: Amount,
    ) -> Result<(), QueryError> {
        if let Amount::Unique(members) = &amount {
            self.held += members.held.len();
        }
        if let Some(known) = self.amounts.get_mut(&(window, version, group)) {
            known.merge(&amount);
        } else {
            self.held += 1;
            self.amounts.insert((window, version, group), amount);
        }
        if self.held > CELLS_READ_MAX {
            return Err(QueryError::TooLarge { what: "cells", max: CELLS_READ_MAX });
        }
        Ok(())
    }

    /// Adds what was gathered of another source partition.
    pub(crate) fn merge(&mut self, other: Self) -> Result<(), QueryError> {
        let windows: Vec<u32> = other.windows.iter().map(|it| self.window(*it)).collect();
        let groups: Vec<u32> = other.groups.into_iter().map(|it| self.group_of(it)).collect();
        let place = |window: u32| windows.get(usize_of(window)).copied().unwrap_or_default();
        for (window, version) in other.latest {
            self.has_counted(place(window), version);
        }
        for ((window, version, group), amount) in other.amounts {
            let group = groups.get(usize_of(group)).copied().unwrap_or_default();
            self.add((place(window), version, group), amount)?;
        }
        self.aggregations.extend(other.aggregations);
        self.by.extend(other.by);
        Ok(())
    }

    pub(crate) fn aggregation(&self) -> Option<Aggregation> {
        self.told().next().and_then(|version| self.aggregations.get(&version)).copied()
    }

    /// The versions that tell some window, ascending.
    fn told(&self) -> impl Iterator<Item = u32> {
        let told: BTreeSet<u32> = self.latest.values().copied().collect();
        told.into_iter()
    }

    /// What the answer is made of: each window is told by its latest version alone.
    fn amounts(&self) -> impl Iterator<Item = (u32, u32, &Amount)> {
        let is_told = |window: u32, version: u32| self.latest.get(&window) == Some(&version);
        let told =
            self.amounts.iter().filter(move |((window, version, _), _)| is_told(*window, *version));
        told.map(|((window, _, group), amount)| (*window, *group, amount))
    }

    /// Do the versions go together, and are the names those of group-bys?
    pub(crate) fn check(&self, query: &Query<'_>) -> Result<(), QueryError> {
        let first = self.aggregation();
        if self.told().any(|version| self.aggregations.get(&version).copied() != first) {
            return Err(QueryError::Mixed { versions: self.told().collect() });
        }
        let asked = query.group_by.iter().chain(query.filters.iter().map(|(name, _)| name));
        for name in asked {
            if !self.aggregations.is_empty() && !self.by.contains(name) {
                let known = self.by.iter().cloned().collect();
                return Err(QueryError::UnknownGroup { name: name.clone(), known });
            }
        }
        Ok(())
    }

    /// The answer's figures: the largest groups by themselves, the others together.
    pub(crate) fn figures(
        &self,
        query: &Query<'_>,
        through: Timestamp,
    ) -> Result<Vec<Figures>, QueryError> {
        let ranks = self.ranks(query.top);
        let mut windows: BTreeMap<Period, BTreeMap<usize, Amount>> = BTreeMap::new();
        let mut versions: BTreeMap<Period, u32> = BTreeMap::new();
        for (at, group, amount) in self.amounts() {
            let Some(window) = self.windows.get(usize_of(at)) else { continue };
            let window = if self.is_whole { whole(query) } else { *window };
            let version = versions.entry(window).or_default();
            *version = self.latest.get(&at).copied().unwrap_or_default().max(*version);
            let rank = ranks.get(&group).copied().unwrap_or(usize::MAX);
            let groups = windows.entry(window).or_default();
            match groups.get_mut(&rank) {
                Some(known) => known.merge(amount),
                None => {
                    groups.insert(rank, amount.clone());
                }
            }
        }
        let count: usize = windows.values().map(BTreeMap::len).sum();
        if count > FIGURES_MAX {
            return Err(QueryError::TooLarge { what: "figures", max: FIGURES_MAX });
        }
        let mut by_rank: Vec<&Vec<String>> = Vec::new();
        let mut ranked: Vec<_> = ranks.iter().collect();
        ranked.sort_unstable_by_key(|(_, rank)| **rank);
        by_rank.extend(ranked.iter().filter_map(|(group, _)| self.groups.get(usize_of(**group))));
        let width = self.groups.first().map_or(0, Vec::len);
        let figures = windows.into_iter().map(|(window, groups)| Figures {
            window,
            version: versions.get(&window).copied().unwrap_or_default(),
            open: through < window.end.saturating_add(query.lateness),
            groups: groups
                .into_iter()
                .filter(|(_, amount)| !amount.is_empty())
                .map(|(rank, amount)| Figure {
                    values: by_rank.get(rank).map_or_else(|| others(width), |it| (*it).clone()),
                    figure: amount.figure(),
                })
                .collect(),
        });
        Ok(figures.filter(|it: &Figures| !it.groups.is_empty()).collect())
    }

    /// The `top` largest groups over the whole range, by their place among them. What the
    /// rows have together already is never told apart.
    fn ranks(&self, top: usize) -> HashMap<u32, usize> {
        let mut totals: BTreeMap<u32, Amount> = BTreeMap::new();
        for (_, group, amount) in self.amounts() {
            match totals.get_mut(&group) {
                Some(total) => total.merge(amount),
                None => {
                    totals.insert(group, amount.clone());
                }
            }
        }
        let width = self.groups.first().map_or(0, Vec::len);
        let other = others(width);
        let values = |group: &u32| self.groups.get(usize_of(*group));
        let told = totals.iter().filter(|(group, _)| width == 0 || values(group) != Some(&other));
        let mut ranked: Vec<_> =
            told.map(|(group, total)| (Reverse(total.figure()), values(group), *group)).collect();
        ranked.sort_unstable();
        ranked.into_iter().take(top.max(1)).enumerate().map(|(rank, it)| (it.2, rank)).collect()
    }
}

fn whole(query: &Query<'_>) -> Period {
    Period { start: query.from, end: query.to }
}
