//! A bounded cache in two halves: when the young one is full it becomes the old
//! one, and what was not asked for since is gone. What it drops, it drops with
//! its keys overwritten.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    half_max: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// Of at most `entries_max` entries.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { half_max: (entries_max / 2).max(1), young: HashMap::new(), old: HashMap::new() }
    }

    pub(crate) fn get<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: core::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.half_max {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.young.retain(|_, value| keep(value));
        self.old.retain(|_, value| keep(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_bound_holds() {
        let mut cache = Cache::new(8);
        cache.insert(0, "kept");
        for key in 1..1_000 {
            cache.insert(key, "passing");
            assert_eq!(cache.get(&0), Some("kept"), "{key}");
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert_eq!(cache.get(&1), None);
        cache.retain(|value| *value != "kept");
        assert_eq!(cache.get(&0), None);
    }
}
