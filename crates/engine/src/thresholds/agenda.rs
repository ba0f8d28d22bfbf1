//! Which tenants are to be looked at, and when: those whose meters have counted something,
//! whose limits have changed, or whose windows end. Bounded; when more comes than fits, all
//! limits are gone through once instead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use exchequer_types::{TenantId, Timestamp};

/// Tenants that wait to be looked at.
const WAITING_MAX: usize = 65_536;
/// Tenants whose next window is known.
const ENDS_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Agenda {
    queue: VecDeque<TenantId>,
    queued: BTreeSet<TenantId>,
    /// When a window of a tenant ends.
    ends: BTreeSet<(Timestamp, TenantId)>,
    end_of: BTreeMap<TenantId, Timestamp>,
    /// Everything is to be gone through.
    all: bool,
}

impl Agenda {
    /// The tenant is to be looked at.
    pub(super) fn mark(&mut self, tenant: &TenantId) {
        if self.queued.contains(tenant) {
            return;
        }
        if self.queue.len() >= WAITING_MAX {
            self.mark_all();
            return;
        }
        self.queued.insert(tenant.clone());
        self.queue.push_back(tenant.clone());
    }

    /// Every tenant is to be looked at.
    pub(super) fn mark_all(&mut self) {
        self.all = true;
        self.queue.clear();
        self.queued.clear();
    }

    /// Was everything marked since this was last asked?
    pub(super) fn take_all(&mut self) -> bool {
        core::mem::take(&mut self.all)
    }

    /// A window of the tenant ends then; None: of none that is known.
    pub(super) fn ends(&mut self, tenant: &TenantId, at: Option<Timestamp>) {
        if let Some(known) = self.end_of.remove(tenant) {
            self.ends.remove(&(known, tenant.clone()));
        }
        let Some(at) = at else { return };
        self.ends.insert((at, tenant.clone()));
        self.end_of.insert(tenant.clone(), at);
        // Of the window that ends last something may be told later than it could be: by the
        // next event of the tenant.
        if self.ends.len() > ENDS_MAX
            && let Some((_, last)) = self.ends.pop_last()
        {
            self.end_of.remove(&last);
        }
    }

    /// Marks tenants whose windows have ended by `now`.
    pub(super) fn pass(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.ends.first()
            && *at <= now
            && let Some((_, tenant)) = self.ends.pop_first()
        {
            self.end_of.remove(&tenant);
            self.mark(&tenant);
        }
    }

    /// Up to `most` tenants, those that wait longest.
    pub(super) fn take(&mut self, most: usize) -> Vec<TenantId> {
        let count = most.min(self.queue.len());
        let taken: Vec<TenantId> = self.queue.drain(..count).collect();
        for tenant in &taken {
            self.queued.remove(tenant);
        }
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.all
    }

    /// The first end of a window that is known.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: usize) -> TenantId {
        TenantId::parse(format!("t{number}")).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::saturating_from_micros(seconds * 1_000_000)
    }

    // REQ: USE-06
    #[test]
    fn a_tenant_waits_once_and_in_its_turn() {
        let mut agenda = Agenda::default();
        for number in [1, 2, 1, 3, 2] {
            agenda.mark(&tenant(number));
        }
        assert_eq!(agenda.take(2), [tenant(1), tenant(2)]);
        agenda.mark(&tenant(1));
        assert_eq!(agenda.take(9), [tenant(3), tenant(1)]);
        assert!(agenda.is_empty());
    }

    // REQ: USE-06
    #[test]
    fn a_window_that_ends_marks_its_tenant_once() {
        let mut agenda = Agenda::default();
        agenda.ends(&tenant(1), Some(at(10)));
        agenda.ends(&tenant(1), Some(at(20)));
        agenda.ends(&tenant(2), Some(at(15)));
        agenda.ends(&tenant(3), Some(at(5)));
        agenda.ends(&tenant(3), None);
        agenda.pass(at(14));
        assert!(agenda.is_empty());
        assert_eq!(agenda.next_end(), Some(at(15)));
        agenda.pass(at(20));
        assert_eq!(agenda.take(9), [tenant(2), tenant(1)]);
        assert_eq!(agenda.next_end(), None);
    }

    // REQ: USE-06
    #[test]
    fn more_than_fits_is_everything() {
        let mut agenda = Agenda::default();
        for number in 0..=WAITING_MAX {
            agenda.mark(&tenant(number));
        }
        assert!(agenda.take(9).is_empty() && !agenda.is_empty());
        assert!(agenda.take_all() && !agenda.take_all());
        for number in 0..=ENDS_MAX {
            agenda.ends(&tenant(number), Some(at(1_000_000 - i64::try_from(number).unwrap())));
        }
        assert_eq!(agenda.ends.len(), ENDS_MAX);
        assert!(!agenda.end_of.contains_key(&tenant(0)), "the last of them");
    }
}
