//! Tables, keys and rows of the view.

use bytes::Bytes;
use exchequer_domain_catalog::VersionStatus;
use exchequer_readstore::{Column, Fault, Key, Kind, Table, Value};
use exchequer_types::{Slug, Timestamp};

/// By provider, then by catalog.
pub static CATALOGS: Table = Table {
    name: "catalogs",
    partition_key: &[text("tenant")],
    clustering: &[text("catalog")],
    columns: &[
        int("revision"),
        // Of the draft; empty, and 0, when there is none.
        text("draft_hash"),
        int("draft_saved_at"),
        // The newest version; 0 when there is none.
        int("latest"),
        // Microseconds since the Unix epoch, as all instants.
        int("created_at"),
        int("updated_at"),
    ],
};

/// By catalog. Stays, with an empty document, when the draft is gone.
pub static CATALOG_DRAFTS: Table = Table {
    name: "catalog_drafts",
    partition_key: &[text("tenant"), text("catalog")],
    clustering: &[],
    columns: &[text("hash"), int("saved_at"), bytes("document")],
};

/// By catalog, then by version.
pub static CATALOG_VERSIONS: Table = Table {
    name: "catalog_versions",
    partition_key: &[text("tenant"), text("catalog")],
    clustering: &[int("version")],
    // `retired_at` is below 0 while the version is sold.
    columns: &[text("hash"), int("published_at"), int("retired_at")],
};

/// What a version says: a `Document` message.
pub static CATALOG_DOCUMENTS: Table = Table {
    name: "catalog_documents",
    partition_key: &[text("tenant"), text("catalog")],
    clustering: &[int("version")],
    columns: &[bytes("document")],
};

/// Instead of an instant.
const NEVER: i64 = -1;

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes }
}

/// A catalog without what its draft and versions say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogRow {
    pub revision: u64,
    /// Hash and instant; None when there is no draft.
    pub draft: Option<(String, Timestamp)>,
    /// 0 when there is none.
    pub latest: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl CatalogRow {
    pub(crate) fn to_values(&self) -> Vec<Value> {
        let draft = self.draft.as_ref();
        vec![
            Value::uint(self.revision),
            Value::text(draft.map_or("", |(hash, _)| hash)),
            Value::Int(draft.map_or(0, |(_, at)| at.micros())),
            Value::Int(i64::from(self.latest)),
            Value::Int(self.created_at.micros()),
            Value::Int(self.updated_at.micros()),
        ]
    }

    pub(crate) fn from_values(values: &[Value]) -> Result<Self, Fault> {
        let [revision, draft_hash, draft_saved_at, latest, created_at, updated_at] = values else {
            return Err(damaged("catalogs"));
        };
        let hash = Some(draft_hash.as_text().to_owned()).filter(|hash| !hash.is_empty());
        Ok(Self {
            revision: revision.as_uint(),
            draft: hash.map(|hash| (hash, instant(draft_saved_at))),
            latest: u32::try_from(latest.as_int()).map_err(|_| damaged("catalogs"))?,
            created_at: instant(created_at),
            updated_at: instant(updated_at),
        })
    }
}

/// A draft with what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftRow {
    pub hash: String,
    pub saved_at: Timestamp,
    /// A `Document` message; empty when there is no draft.
    pub document: Bytes,
}

impl DraftRow {
    pub(crate) fn to_values(&self) -> Vec<Value> {
        vec![
            Value::text(&self.hash),
            Value::Int(self.saved_at.micros()),
            Value::Bytes(self.document.clone()),
        ]
    }

    pub(crate) fn from_values(values: &[Value]) -> Result<Self, Fault> {
        let [hash, saved_at, document] = values else { return Err(damaged("catalog_drafts")) };
        Ok(Self {
            hash: hash.as_text().to_owned(),
            saved_at: instant(saved_at),
            document: document.as_bytes(),
        })
    }
}

/// A version without what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    pub hash: String,
    pub published_at: Timestamp,
    /// None: it is sold.
    pub retired_at: Option<Timestamp>,
}

impl VersionRow {
    pub fn status(&self) -> VersionStatus {
        if self.retired_at.is_some() { VersionStatus::Retired } else { VersionStatus::Published }
    }

    pub(crate) fn to_values(&self) -> Vec<Value> {
        vec![
            Value::text(&self.hash),
            Value::Int(self.published_at.micros()),
            Value::Int(self.retired_at.map_or(NEVER, Timestamp::micros)),
        ]
    }

    pub(crate) fn from_values(values: &[Value]) -> Result<Self, Fault> {
        let [hash, published_at, retired_at] = values else {
            return Err(damaged("catalog_versions"));
        };
        let is_retired = retired_at.as_int() != NEVER;
        Ok(Self {
            hash: hash.as_text().to_owned(),
            published_at: instant(published_at),
            retired_at: is_retired.then(|| instant(retired_at)),
        })
    }
}

/// Key of `catalogs`.
pub(crate) fn catalog_key(tenant: &str, catalog: &Slug) -> Key {
    let catalog = vec![Value::text(catalog.as_str())];
    Key { partition: vec![Value::text(tenant)], clustering: catalog }
}

/// Partition key of the other tables.
pub(crate) fn partition_of(tenant: &str, catalog: &Slug) -> Vec<Value> {
    vec![Value::text(tenant), Value::text(catalog.as_str())]
}

/// Key of `catalog_drafts`.
pub(crate) fn draft_key(tenant: &str, catalog: &Slug) -> Key {
    Key { partition: partition_of(tenant, catalog), clustering: Vec::new() }
}

/// Key of `catalog_versions` and of `catalog_documents`.
pub(crate) fn version_key(tenant: &str, catalog: &Slug, version: u32) -> Key {
    let version = vec![Value::Int(i64::from(version))];
    Key { partition: partition_of(tenant, catalog), clustering: version }
}

pub(crate) fn damaged(table: &str) -> Fault {
    Fault::lasting(format!("a row of {table} is damaged: rebuild the view"))
}

fn instant(value: &Value) -> Timestamp {
    Timestamp::saturating_from_micros(value.as_int())
}
