//! Groups and subjects of a part, as numbers.

use exchequer_metering::Contribution;

use crate::bytes::Writer;
use crate::packed::usize_of;
use crate::tables::Scope;
use crate::texts::Texts;

/// Each by its number, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Names {
    groups: Texts,
    subjects: Texts,
    /// Where each subject lies.
    scopes: Vec<Scope>,
    /// A name that is looked up.
    wanted: Writer,
}

impl Names {
    /// Number of the groups.
    pub(crate) fn group(&mut self, it: &Contribution) -> u32 {
        self.wanted.bytes.clear();
        it.groups.iter().for_each(|value| self.wanted.text(value));
        let known = self.groups.find(&self.wanted.bytes);
        known.unwrap_or_else(|| self.groups.push(&self.wanted.bytes))
    }

    /// Number of the subject.
    pub(crate) fn subject(&mut self, it: &Contribution) -> u32 {
        self.wanted.bytes.clear();
        self.wanted.text(&it.subject);
        if let Some(at) = self.subjects.find(&self.wanted.bytes) {
            return at;
        }
        self.scopes.push(Scope::of_subject(&it.subject));
        self.subjects.push(&self.wanted.bytes)
    }

    /// As it is written.
    pub(crate) fn groups_of(&self, at: u32) -> &[u8] {
        self.groups.text(at)
    }

    /// As it is written, and where it lies.
    pub(crate) fn subject_of(&self, at: u32) -> Option<(&[u8], Scope)> {
        let scope = *self.scopes.get(usize_of(at))?;
        Some((self.subjects.text(at), scope))
    }

    /// Bytes that they take, about.
    pub(crate) fn size(&self) -> usize {
        self.groups.size() + self.subjects.size() + self.scopes.capacity() * size_of::<Scope>()
    }
}
