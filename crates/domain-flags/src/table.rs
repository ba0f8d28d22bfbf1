//! Entries by their own key, shared: a copy copies pointers alone, and a change
//! replaces one entry.

use std::sync::Arc;

use exchequer_types::Slug;

/// What has a key of its own.
pub trait Keyed {
    fn key(&self) -> &Slug;
}

/// Entries by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<T> {
    /// By key.
    entries: Vec<Arc<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T: Keyed> Table<T> {
    pub fn get(&self, key: &Slug) -> Option<&T> {
        self.find(key).ok().map(|at| &*self.entries[at])
    }

    /// In place of the entry of the same key, if there is one.
    pub fn put(&mut self, entry: T) {
        match self.find(entry.key()) {
            Ok(at) => self.entries[at] = Arc::new(entry),
            Err(at) => self.entries.insert(at, Arc::new(entry)),
        }
    }

    /// Changes the entry of `key`, if there is one.
    pub(crate) fn change(&mut self, key: &Slug, change: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        if let Ok(at) = self.find(key) {
            change(Arc::make_mut(&mut self.entries[at]));
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.entries.iter().map(|it| &**it)
    }

    fn find(&self, key: &Slug) -> Result<usize, usize> {
        self.entries.binary_search_by(|it| it.key().cmp(key))
    }
}
