//! One catalog of a provider: at most one draft, and versions for ever.

use exchequer_types::{Hash, Json, Slug, Timestamp};

use crate::{Content, Event, State};

/// How far a version has come. It only goes upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VersionStatus {
    Published,
    Retired,
}

/// A catalog as its provider's stream keeps it. What the versions say is told by their
/// events, and kept by views and partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    pub id: Slug,
    pub draft: Option<Draft>,
    /// Version n at n - 1.
    pub versions: Vec<Version>,
    /// Counts the catalog's own events.
    pub revision: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub content: Content,
    pub saved_at: Timestamp,
}

/// A published version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// From 1.
    pub number: u32,
    pub hash: Hash,
    pub published_at: Timestamp,
    /// None: it is sold.
    pub retired_at: Option<Timestamp>,
}

impl Version {
    pub fn status(&self) -> VersionStatus {
        if self.retired_at.is_some() { VersionStatus::Retired } else { VersionStatus::Published }
    }

    fn to_json(self) -> Json {
        Json::object([
            ("hash", Json::text(self.hash.to_hex())),
            ("status", Json::text(status_word(self.status()))),
            ("version", Json::Int(self.number.into())),
        ])
    }
}

impl Series {
    fn new(id: Slug, at: Timestamp) -> Self {
        let versions = Vec::new();
        Self { id, draft: None, versions, revision: 0, created_at: at, updated_at: at }
    }

    pub fn version(&self, number: u32) -> Option<&Version> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.versions.get(index)
    }

    /// The newest, also when it is retired.
    pub fn latest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// As audit entries show it: the draft, and the version spoken of or the newest.
    pub(crate) fn to_json(&self, version: Option<u32>) -> Json {
        let version = version.map_or_else(|| self.latest(), |number| self.version(number));
        let draft = self.draft.as_ref();
        Json::object([
            ("draft", draft.map_or(Json::Null, |it| Json::text(it.content.hash().to_hex()))),
            ("id", Json::text(self.id.as_str())),
            ("revision", Json::Int(i64::try_from(self.revision).unwrap_or(i64::MAX))),
            ("version", version.map_or(Json::Null, |it| it.to_json())),
        ])
    }
}

pub fn status_word(status: VersionStatus) -> &'static str {
    match status {
        VersionStatus::Published => "published",
        VersionStatus::Retired => "retired",
    }
}

/// Of a provider's own events alone.
pub(crate) fn evolve(state: &mut State, event: &Event, at: Timestamp) {
    let id = match event {
        Event::DraftSaved { catalog, .. }
        | Event::DraftDiscarded { catalog }
        | Event::Published { catalog, .. }
        | Event::Retired { catalog, .. } => catalog,
        Event::Adopted(_) => return,
    };
    let entry = state.catalogs.entry(id.clone());
    let catalog = entry.or_insert_with(|| Series::new(id.clone(), at));
    catalog.revision += 1;
    catalog.updated_at = at;
    match event {
        Event::DraftSaved { content, .. } => {
            catalog.draft = Some(Draft { content: content.clone(), saved_at: at });
        }
        Event::DraftDiscarded { .. } => catalog.draft = None,
        Event::Published { version, content, .. } => {
            catalog.draft = None;
            let (number, hash) = (*version, content.hash());
            let version = Version { number, hash, published_at: at, retired_at: None };
            catalog.versions.push(version);
        }
        Event::Retired { version, .. } => {
            let index = usize::try_from(version.saturating_sub(1)).unwrap_or(usize::MAX);
            if let Some(version) = catalog.versions.get_mut(index) {
                version.retired_at = Some(at);
            }
        }
        Event::Adopted(_) => {}
    }
}
