//! Groups and subjects of a part, as numbers.

use exchequer_metering::Contribution;

use crate::bytes::{Damaged, Reader, Writer};
use crate::packed::{u32_of, usize_of};
use crate::tables::Scope;
use crate::texts::{Texts, values};
use crate::window::Of;

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

    /// Number of groups as they are written.
    pub(crate) fn written_groups(&mut self, name: &[u8]) -> u32 {
        self.groups.find(name).unwrap_or_else(|| self.groups.push(name))
    }

    /// Number of a subject as it is written.
    pub(crate) fn written_subject(&mut self, name: &[u8]) -> u32 {
        if let Some(at) = self.subjects.find(name) {
            return at;
        }
        self.scopes.push(Scope::of_subject(values(name).next().unwrap_or_default()));
        self.subjects.push(name)
    }

    /// All of them, each behind its length, groups first.
    pub(crate) fn write(&self, out: &mut Writer) {
        for texts in [&self.groups, &self.subjects] {
            out.count(texts.len());
            for at in 0..texts.len() {
                let text = texts.text(u32_of(at));
                out.count(text.len());
                out.raw(text);
            }
        }
    }

    /// What [`Self::write`] wrote.
    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut names = Self::default();
        for _ in 0..input.count(1)? {
            names.written_groups(input.raw()?);
        }
        for _ in 0..input.count(1)? {
            names.written_subject(input.raw()?);
        }
        Ok(names)
    }

    /// Is there one with this number?
    pub(crate) fn has(&self, of: Of, at: u32) -> bool {
        let texts = match of {
            Of::Totals => &self.groups,
            Of::Subjects => &self.subjects,
        };
        usize_of(at) < texts.len()
    }

    /// Bytes of all texts.
    pub(crate) fn text_bytes(&self) -> usize {
        self.groups.bytes().len() + self.subjects.bytes().len()
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
