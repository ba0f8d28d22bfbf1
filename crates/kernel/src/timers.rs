//! A stream's pending timers, in due order.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_types::{Fact, Timestamp};

/// Pending timers. Ties are decided in order of id.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Timers {
    by_due: BTreeSet<(Timestamp, String)>,
    due_of: BTreeMap<String, Timestamp>,
}

impl Timers {
    /// The first timer due at or before `now`.
    pub fn first_due(&self, now: Timestamp) -> Option<(Timestamp, &str)> {
        self.next().filter(|(due, _)| *due <= now)
    }

    /// The next timer, whenever it is due.
    pub fn next(&self) -> Option<(Timestamp, &str)> {
        self.by_due.first().map(|(due, id)| (*due, id.as_str()))
    }

    /// When a pending timer is due.
    pub fn due_of(&self, id: &str) -> Option<Timestamp> {
        self.due_of.get(id).copied()
    }

    pub fn set(&mut self, id: &str, due: Timestamp) {
        self.clear(id);
        self.by_due.insert((due, id.to_owned()));
        self.due_of.insert(id.to_owned(), due);
    }

    pub fn clear(&mut self, id: &str) {
        if let Some(due) = self.due_of.remove(id) {
            self.by_due.remove(&(due, id.to_owned()));
        }
    }

    /// Learns of a timer that a domain set or cleared.
    pub fn follow(&mut self, fact: &Fact) {
        match fact {
            Fact::TimerSet { id, due } => self.set(id, *due),
            Fact::TimerCleared { id, .. } => self.clear(id),
            Fact::ProviderChanged { .. } | Fact::TenantClosed | Fact::PlanChanged { .. } => {}
        }
    }

    /// All of them, in due order.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, &str)> + '_ {
        self.by_due.iter().map(|(due, id)| (*due, id.as_str()))
    }

    pub fn len(&self) -> usize {
        self.by_due.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::saturating_from_micros(micros)
    }

    // REQ: KER-09
    #[test]
    fn fire_in_due_order_and_move() {
        let mut timers = Timers::default();
        timers.set("late", at(30));
        timers.set("early", at(10));
        assert_eq!(timers.first_due(at(9)), None);
        assert_eq!(timers.first_due(at(50)), Some((at(10), "early")));
        timers.set("early", at(40));
        assert_eq!(timers.first_due(at(50)), Some((at(30), "late")));
        timers.clear("late");
        timers.clear("early");
        assert!(timers.is_empty() && timers.next().is_none());
    }
}
