//! Texts with numbers. Whoever judges events hands out the same shared text for the same
//! name, so most are found by their address, without a look at the text.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::hashing::{Map, NumberMap};
use crate::packed::{Name, u32_of};
use crate::tables::Scope;

/// Bytes that a name takes besides its text, and one more address of it.
const NAME_BYTES: usize = 96;
const ALIAS_BYTES: usize = 48;
/// Addresses that are remembered beyond three for each name.
const ALIASES_SPARE: usize = 1_024;

/// Groups and subjects of a part.
#[derive(Debug, Default)]
pub(crate) struct Names {
    groups: Numbered<Name>,
    subjects: Numbered<Arc<str>>,
    /// By the number of the subject: as the name of a cell, and where it lies.
    places: Vec<(Name, Scope)>,
}

#[derive(Debug)]
struct Numbered<N> {
    by_text: Map<N, u32>,
    by_address: NumberMap<usize, u32>,
    names: Vec<N>,
    /// Keeps addresses from being given to others.
    aliases: Vec<N>,
    latest: (usize, u32),
}

impl<N> Default for Numbered<N> {
    fn default() -> Self {
        Self {
            by_text: HashMap::default(),
            by_address: NumberMap::default(),
            names: Vec::new(),
            aliases: Vec::new(),
            latest: (0, 0),
        }
    }
}

impl Names {
    /// Number of the groups, and how many bytes that took.
    pub(crate) fn group(&mut self, groups: &Name) -> (u32, usize) {
        let text_bytes = |it: &Name| it.iter().map(|it| it.len()).sum();
        self.groups.number(groups, Arc::as_ptr(groups).addr(), text_bytes)
    }

    pub(crate) fn subject(&mut self, subject: &Arc<str>) -> (u32, usize) {
        let address = Arc::as_ptr(subject).addr();
        let (at, bytes) = self.subjects.number(subject, address, |it| it.len());
        if self.places.len() < self.subjects.names.len() {
            let name = Name::from([Arc::clone(subject)]);
            self.places.push((name, Scope::of_subject(subject)));
        }
        (at, bytes)
    }

    pub(crate) fn groups_of(&self, at: u32) -> Option<&Name> {
        self.groups.names.get(at as usize)
    }

    pub(crate) fn subject_of(&self, at: u32) -> Option<&(Name, Scope)> {
        self.places.get(at as usize)
    }
}

impl<N: Hash + Eq + Clone> Numbered<N> {
    fn number(
        &mut self,
        name: &N,
        address: usize,
        text_bytes: impl Fn(&N) -> usize,
    ) -> (u32, usize) {
        // No text lies at 0.
        if self.latest.0 == address {
            return (self.latest.1, 0);
        }
        if let Some(at) = self.by_address.get(&address) {
            self.latest = (address, *at);
            return (*at, 0);
        }
        let mut bytes = 0;
        let at = *self.by_text.entry(name.clone()).or_insert_with(|| {
            bytes += NAME_BYTES + text_bytes(name);
            self.names.push(name.clone());
            u32_of(self.names.len() - 1)
        });
        if self.aliases.len() > 3 * self.names.len() + ALIASES_SPARE {
            // Addresses do not come back: what was remembered of them is of no use.
            self.aliases.clear();
            self.by_address.clear();
        } else if self.aliases.len() == self.aliases.capacity() {
            bytes += self.aliases.capacity().max(4) * ALIAS_BYTES;
        }
        self.aliases.push(name.clone());
        self.by_address.insert(address, at);
        self.latest = (address, at);
        (at, bytes)
    }
}
