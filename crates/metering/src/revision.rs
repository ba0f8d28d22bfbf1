//! Revisions: records that have a fate are looked at again when a tenant or a meter appears
//! that nobody knew then, when a backfill was asked for, or when billing periods have moved.
//! What has to be looked at, in which order, and how far that is: the same for a meter, a
//! restart and a verifier.

use std::collections::{BTreeMap, VecDeque};

use exchequer_types::{Offset, TenantId, Timestamp};

use crate::definitions::{Adoption, BackfillOrder, Definitions};
use crate::judge::Terms;

/// Tenants whose unmatched records are known one by one; those of further ones are looked
/// for among all.
pub const UNMATCHED_TENANTS_MAX: usize = 10_000;
/// Backfills whose progress is told: those that are not done, and the latest others.
pub const BACKFILLS_TOLD_MAX: usize = 1_024;
/// Stands for the further tenants.
const ANY: &str = "";

/// Why records are looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No meter counted them, or their tenant was not known.
    Unmatched { tenant: String },
    /// A version of a meter is to count what came before it.
    Backfill { provider: TenantId, order: BackfillOrder },
    /// Events of this time and later may lie in other billing periods.
    Periods { tenant: String, since: Timestamp },
}

/// A revision that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub why: Why,
    /// The seal that began it, by whose adoptions it counts.
    pub seal: u64,
    /// Records below it have been looked at.
    pub next: Offset,
    pub to: Offset,
    /// Records that were received before need not be looked at: the first one of it is
    /// looked for where the revision begins.
    pub received_from: Option<Timestamp>,
}

/// How far a backfill is, in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillProgress {
    pub provider: TenantId,
    pub order: BackfillOrder,
    /// The seal that first named it.
    pub seal: u64,
    /// Records from..to are looked at; `from` is known once it has begun.
    pub from: Offset,
    pub to: Offset,
    /// Records below it have been looked at.
    pub next: Offset,
    /// Records that add something.
    pub counted: u64,
    /// `through` of the seal that named it, of the first one that did some of it, and of the
    /// one that finished it.
    pub asked_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// Where records of tenants lie that no meter counted.
pub type UnmatchedRanges = BTreeMap<String, (Offset, Offset)>;

/// All that has to be looked at again in one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revisions {
    /// In the order in which they are done.
    pub queue: VecDeque<Revision>,
    pub unmatched: UnmatchedRanges,
    /// Did the one under way find records that stay unmatched?
    pub left: bool,
    /// Of backfills, in the order in which they were ordered.
    pub backfills: Vec<BackfillProgress>,
    /// How often `backfills` has changed.
    pub backfill_changes: u64,
}

/// What a step of a revision found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub from: Offset,
    pub to: Offset,
    /// Records that add something.
    pub counted: u64,
    /// Some stay unmatched.
    pub left: bool,
    /// Of the seal of the step.
    pub through: Timestamp,
}

impl Revisions {
    /// The record at `offset` of `tenant` is unmatched.
    pub fn note_unmatched(&mut self, tenant: &str, offset: Offset) {
        let ranges = &mut self.unmatched;
        if let Some(range) = ranges.get_mut(tenant) {
            range.1 = offset + 1;
            return;
        }
        let tenant = if ranges.len() < UNMATCHED_TENANTS_MAX { tenant } else { ANY };
        ranges.entry(tenant.to_owned()).or_insert((offset, offset + 1)).1 = offset + 1;
    }

    /// May there be unmatched records of `tenant`?
    pub fn may_wait_for(&self, tenant: &str) -> bool {
        self.unmatched.contains_key(tenant) || self.unmatched.contains_key(ANY)
    }

    /// Begins what has to be looked at again once `adoption` is taken over by `seal`, which
    /// is about to be; `next` is the first record behind it, `through` that of the seal
    /// before.
    pub fn begin(
        &mut self,
        definitions: &Definitions,
        (seal, next, through): (u64, Offset, Timestamp),
        adoption: &Adoption,
    ) {
        match adoption {
            Adoption::Tenant(it) => {
                if it.provider.is_some() {
                    self.begin_unmatched(seal, next, it.tenant.as_str());
                }
                self.begin_periods(definitions, (seal, next, through), adoption);
            }
            Adoption::Meters(it) => {
                let is_of_provider = |tenant: &&String| {
                    let known = definitions.tenant(tenant);
                    known.is_some_and(|known| known.provider.as_ref() == Some(&it.provider))
                };
                let tenants: Vec<String> =
                    self.unmatched.keys().filter(is_of_provider).cloned().collect();
                for tenant in &tenants {
                    self.begin_unmatched(seal, next, tenant);
                }
                for order in &it.backfills {
                    if definitions.ordered_at(&it.provider, &order.id).is_none() {
                        let meter = (&it.provider, &order.meter, order.version);
                        let to = definitions.in_force_from(meter.0, meter.1, meter.2);
                        self.begin_backfill(
                            (seal, through),
                            &it.provider,
                            order,
                            to.unwrap_or(next),
                        );
                    }
                }
            }
        }
    }

    fn begin_backfill(
        &mut self,
        (seal, through): (u64, Timestamp),
        provider: &TenantId,
        order: &BackfillOrder,
        to: Offset,
    ) {
        let (provider, order) = (provider.clone(), order.clone());
        self.backfill_changes += 1;
        self.backfills.push(BackfillProgress {
            provider: provider.clone(),
            order: order.clone(),
            seal,
            from: 0,
            to,
            next: 0,
            counted: 0,
            asked_at: through,
            started_at: None,
            ended_at: None,
        });
        if self.backfills.len() > BACKFILLS_TOLD_MAX
            && let Some(done) = self.backfills.iter().position(|it| it.ended_at.is_some())
        {
            self.backfills.remove(done);
        }
        let why = Why::Backfill { provider, order };
        self.queue.push_back(Revision { why, seal, next: 0, to, received_from: None });
    }

    fn begin_unmatched(&mut self, seal: u64, next: Offset, tenant: &str) {
        let ranges = [tenant, ANY].into_iter().filter_map(|it| self.unmatched.get(it));
        let range = ranges.copied().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let Some((from, to)) = range else { return };
        let why = Why::Unmatched { tenant: tenant.to_owned() };
        let to = to.min(next);
        // One seal may take over the tenant and its meters.
        if from < to && !self.queue.iter().any(|it| it.why == why && it.seal == seal) {
            self.queue.push_back(Revision { why, seal, next: from, to, received_from: None });
        }
    }

    /// Billing periods move when an event that was counted may lie in another one: not when
    /// all that is new lies ahead.
    fn begin_periods(
        &mut self,
        definitions: &Definitions,
        (seal, next, through): (u64, Offset, Timestamp),
        adoption: &Adoption,
    ) {
        let Adoption::Tenant(it) = adoption else { return };
        let Some(since) = definitions.would_move(it) else { return };
        let provider = it.provider.as_ref().and_then(|it| definitions.meters(it));
        let terms = provider.map_or_else(Terms::default, |it| it.terms);
        let received_from = since.saturating_sub(terms.ahead_max);
        if received_from > through || next == 0 {
            return;
        }
        let why = Why::Periods { tenant: it.tenant.to_string(), since };
        let received_from = Some(received_from);
        self.queue.push_back(Revision { why, seal, next: 0, to: next, received_from });
    }

    /// The first revision is done up to `step.to`.
    pub fn advance(&mut self, step: &Step) {
        let Some(front) = self.queue.front_mut() else { return };
        front.next = step.to;
        front.received_from = None;
        self.left |= step.left;
        let is_done = step.to >= front.to;
        if let Why::Backfill { order, .. } = &front.why
            && let Some(it) = self.backfills.iter_mut().find(|it| it.order.id == order.id)
        {
            if it.started_at.is_none() {
                (it.started_at, it.from) = (Some(step.through), step.from);
            }
            self.backfill_changes += 1;
            it.next = step.to;
            it.counted += step.counted;
            it.ended_at = is_done.then_some(step.through);
        }
        if !is_done {
            return;
        }
        let left = core::mem::take(&mut self.left);
        if let Some(Revision { why: Why::Unmatched { tenant }, to, .. }) = self.queue.pop_front()
            && !left
            && self.unmatched.get(&tenant).is_some_and(|range| range.1 <= to)
        {
            self.unmatched.remove(&tenant);
        }
    }

    /// The seal that began the first revision which has still to look whether the record at
    /// `offset` is counted now.
    pub(crate) fn unmatched_ahead(&self, tenant: &str, offset: Offset) -> Option<u64> {
        self.ahead(offset, |why| matches!(why, Why::Unmatched { tenant: it } if it == tenant))
    }

    /// The same for one that has to move it to another billing period.
    pub(crate) fn periods_ahead(&self, tenant: &str, offset: Offset) -> Option<u64> {
        self.ahead(offset, |why| matches!(why, Why::Periods { tenant: it, .. } if it == tenant))
    }

    /// Has the backfill `id` still to look at the record at `offset`?
    pub(crate) fn backfills_ahead(&self, id: &str, offset: Offset) -> bool {
        let is_it = |why: &Why| matches!(why, Why::Backfill { order, .. } if order.id == id);
        self.queue.iter().any(|it| is_it(&it.why) && offset >= it.next)
    }

    fn ahead(&self, offset: Offset, is_it: impl Fn(&Why) -> bool) -> Option<u64> {
        let is_ahead = |it: &&Revision| is_it(&it.why) && (it.next..it.to).contains(&offset);
        self.queue.iter().find(is_ahead).map(|it| it.seal)
    }
}
