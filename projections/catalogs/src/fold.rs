//! Events of providers' catalogs into rows. What partitions adopt is passed over.

use bytes::Bytes;
use exchequer_codec::{DecodeError, Entry, decode_event, document_to_proto};
use exchequer_domain_catalog::{Content, Event};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Fault, Key, RowSet, Table};
use exchequer_types::{Slug, Timestamp};
use prost::Message as _;

use crate::rows::{
    CATALOG_DOCUMENTS, CATALOG_DRAFTS, CATALOG_VERSIONS, CATALOGS, CatalogRow, DraftRow,
    VersionRow, catalog_key, draft_key, version_key,
};

/// In partitions' own streams.
pub(crate) const PASSED_OVER: &str = "catalog.adopted.v1";

/// Why an event cannot be folded.
#[derive(Debug, thiserror::Error)]
enum Unfoldable {
    #[error(transparent)]
    Event(#[from] DecodeError),
    #[error(transparent)]
    Row(#[from] Fault),
    #[error("version {0} was never published: the view is damaged, rebuild it")]
    NoVersion(u32),
}

/// Needed: what each event changes.
pub(crate) fn reads(entry: &Entry) -> Vec<(&'static Table, Key)> {
    let mut keys: Vec<(&'static Table, Key)> = Vec::new();
    for event in entry.commit.events.iter().filter(|event| is_wanted(&event.r#type)) {
        // What cannot be decoded is told by the fold.
        let Ok(Some(decoded)) = decode(event) else { continue };
        let (catalog, version) = match &decoded {
            Event::DraftSaved { catalog, .. } | Event::DraftDiscarded { catalog } => {
                (catalog, None)
            }
            Event::Published { catalog, version, .. } | Event::Retired { catalog, version, .. } => {
                (catalog, Some(*version))
            }
            Event::Adopted(_) => continue,
        };
        keys.push((&CATALOGS, catalog_key(&event.stream, catalog)));
        keys.push((&CATALOG_DRAFTS, draft_key(&event.stream, catalog)));
        let version = version.map(|version| version_key(&event.stream, catalog, version));
        keys.extend(version.map(|key| (&CATALOG_VERSIONS, key)));
    }
    keys
}

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    for (index, event) in entry.commit.events.iter().enumerate() {
        if !is_wanted(&event.r#type) {
            continue;
        }
        let at = Timestamp::saturating_from_micros(event.at);
        let fold = Fold { rows, tenant: &event.stream, at, timestamp: entry.timestamp(index) };
        if let Err(error) = fold.event(event) {
            let (partition, offset, kind) = (entry.partition, entry.offset, &event.r#type);
            rows.fail(format!(
                "partition {partition}, offset {offset}, event {index} ({kind}): {error}"
            ));
            return;
        }
    }
}

fn is_wanted(kind: &str) -> bool {
    kind.starts_with("catalog.") && kind != PASSED_OVER
}

fn decode(event: &pb::Event) -> Result<Option<Event>, DecodeError> {
    Ok(match decode_event(&event.stream, &event.r#type, &event.payload)? {
        exchequer_tenant::Event::Catalog(event) => Some(event),
        _ => None,
    })
}

/// One event being folded.
struct Fold<'a> {
    rows: &'a mut RowSet,
    tenant: &'a str,
    at: Timestamp,
    timestamp: u64,
}

impl Fold<'_> {
    fn event(mut self, event: &pb::Event) -> Result<(), Unfoldable> {
        match decode(event)? {
            Some(Event::DraftSaved { catalog, content }) => {
                self.draft(&catalog, Some(&content));
                self.catalog(&catalog, |row, at| {
                    row.draft = Some((content.hash().to_hex(), at));
                })
            }
            Some(Event::DraftDiscarded { catalog }) => {
                self.draft(&catalog, None);
                self.catalog(&catalog, |row, _| row.draft = None)
            }
            Some(Event::Published { catalog, version, content }) => {
                self.draft(&catalog, None);
                self.published(&catalog, version, &content);
                self.catalog(&catalog, |row, _| {
                    row.draft = None;
                    row.latest = version;
                })
            }
            Some(Event::Retired { catalog, version, .. }) => {
                self.retired(&catalog, version)?;
                self.catalog(&catalog, |_, _| {})
            }
            Some(Event::Adopted(_)) | None => Ok(()),
        }
    }

    fn catalog(
        &mut self,
        catalog: &Slug,
        change: impl FnOnce(&mut CatalogRow, Timestamp),
    ) -> Result<(), Unfoldable> {
        let key = catalog_key(self.tenant, catalog);
        if self.is_folded(&CATALOGS, &key) {
            return Ok(());
        }
        let (created_at, updated_at) = (self.at, self.at);
        let mut row = match self.rows.get(&CATALOGS, &key) {
            Some((values, _)) => CatalogRow::from_values(values)?,
            None => CatalogRow { revision: 0, draft: None, latest: 0, created_at, updated_at },
        };
        row.revision += 1;
        row.updated_at = updated_at;
        change(&mut row, self.at);
        self.rows.put(&CATALOGS, key, row.to_values(), self.timestamp);
        Ok(())
    }

    fn draft(&mut self, catalog: &Slug, content: Option<&Content>) {
        let key = draft_key(self.tenant, catalog);
        if self.is_folded(&CATALOG_DRAFTS, &key) {
            return;
        }
        let row = DraftRow {
            hash: content.map(|content| content.hash().to_hex()).unwrap_or_default(),
            saved_at: self.at,
            document: content.map(document).unwrap_or_default(),
        };
        self.rows.put(&CATALOG_DRAFTS, key, row.to_values(), self.timestamp);
    }

    fn published(&mut self, catalog: &Slug, version: u32, content: &Content) {
        let key = version_key(self.tenant, catalog, version);
        let document = vec![exchequer_readstore::Value::Bytes(document(content))];
        self.rows.put(&CATALOG_DOCUMENTS, key.clone(), document, self.timestamp);
        if self.is_folded(&CATALOG_VERSIONS, &key) {
            return;
        }
        let (hash, published_at) = (content.hash().to_hex(), self.at);
        let row = VersionRow { hash, published_at, retired_at: None };
        self.rows.put(&CATALOG_VERSIONS, key, row.to_values(), self.timestamp);
    }

    fn retired(&mut self, catalog: &Slug, version: u32) -> Result<(), Unfoldable> {
        let key = version_key(self.tenant, catalog, version);
        if self.is_folded(&CATALOG_VERSIONS, &key) {
            return Ok(());
        }
        let stands = self.rows.get(&CATALOG_VERSIONS, &key);
        let (values, _) = stands.ok_or(Unfoldable::NoVersion(version))?;
        let row = VersionRow { retired_at: Some(self.at), ..VersionRow::from_values(values)? };
        self.rows.put(&CATALOG_VERSIONS, key, row.to_values(), self.timestamp);
        Ok(())
    }

    /// Does the row hold the event already?
    fn is_folded(&self, table: &'static Table, key: &Key) -> bool {
        let at = self.rows.get(table, key).map(|(_, at)| at);
        at.is_some_and(|at| at >= self.timestamp) && !mutation::active(Mutation::DerivedPosition)
    }
}

fn document(content: &Content) -> Bytes {
    Bytes::from(document_to_proto(content.document()).encode_to_vec())
}
