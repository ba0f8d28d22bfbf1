//! The catalog domain on the wire: its commands, events, replies and state.

mod document;

use exchequer_domain_catalog::{
    Adopted, Adoption, Command as C, Content, DiscardDraft, Draft, Event as E, Publish, Reply,
    Retire, SaveDraft, Series, State, Version, VersionStatus,
};
use exchequer_proto::catalog::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::{Hash, Slug};
use prost::Message as _;

use super::Encoded;
use crate::DecodeError;
use crate::convert::{instant, optional_timestamp, slug, tenant_id, timestamp};

pub use document::{Misfit, MisfitKind, document_from_proto, document_to_proto};

const SAVE_DRAFT: &str = "catalog.save-draft.v1";
const DISCARD_DRAFT: &str = "catalog.discard-draft.v1";
const PUBLISH: &str = "catalog.publish.v1";
const RETIRE: &str = "catalog.retire.v1";
const ADOPT: &str = "catalog.adopt.v1";

/// Every command type and version of the domain that was ever sent.
pub(crate) const COMMANDS: &[&str] = &[SAVE_DRAFT, DISCARD_DRAFT, PUBLISH, RETIRE, ADOPT];

const DRAFT_SAVED: &str = "catalog.draft-saved.v1";
const DRAFT_DISCARDED: &str = "catalog.draft-discarded.v1";
const PUBLISHED: &str = "catalog.published.v1";
const RETIRED: &str = "catalog.retired.v1";
const ADOPTED: &str = "catalog.adopted.v1";

/// Every event type and version of the domain that was ever written.
pub(crate) const EVENTS: &[&str] = &[DRAFT_SAVED, DRAFT_DISCARDED, PUBLISHED, RETIRED, ADOPTED];

/// The command's type name and payload. None for what is never sent.
#[expect(clippy::unnecessary_wraps, reason = "every module of this folder has these functions")]
pub(crate) fn encode_command(command: &C) -> Option<Encoded> {
    Some(match command {
        C::SaveDraft(it) => {
            let document = Some(document_to_proto(&it.document));
            let save = pb::SaveDraft { catalog: it.catalog.to_string(), document };
            (SAVE_DRAFT, save.encode_to_vec())
        }
        C::DiscardDraft(it) => {
            let discard = pb::DiscardDraft { catalog: it.catalog.to_string() };
            (DISCARD_DRAFT, discard.encode_to_vec())
        }
        C::Publish(it) => {
            let hash = it.hash.map(|hash| hash.0.to_vec()).unwrap_or_default();
            (PUBLISH, pb::Publish { catalog: it.catalog.to_string(), hash }.encode_to_vec())
        }
        C::Retire(it) => {
            let retire = pb::Retire { catalog: it.catalog.to_string(), version: it.version };
            (RETIRE, retire.encode_to_vec())
        }
        C::Adopt(it) => {
            (ADOPT, pb::Adopt { adoption: Some(adoption_to_proto(it)) }.encode_to_vec())
        }
    })
}

/// The command of a type name and payload.
pub(crate) fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    Ok(Command::Catalog(match kind {
        SAVE_DRAFT => {
            let it = pb::SaveDraft::decode(payload)?;
            let catalog = slug(it.catalog, "catalog")?;
            C::SaveDraft(SaveDraft { catalog, document: document(it.document)? })
        }
        DISCARD_DRAFT => {
            let it = pb::DiscardDraft::decode(payload)?;
            C::DiscardDraft(DiscardDraft { catalog: slug(it.catalog, "catalog")? })
        }
        PUBLISH => {
            let it = pb::Publish::decode(payload)?;
            let seen = if it.hash.is_empty() { None } else { Some(hash(&it.hash)?) };
            C::Publish(Publish { catalog: slug(it.catalog, "catalog")?, hash: seen })
        }
        RETIRE => {
            let it = pb::Retire::decode(payload)?;
            C::Retire(Retire { catalog: slug(it.catalog, "catalog")?, version: it.version })
        }
        ADOPT => C::Adopt(adoption_from_proto(pb::Adopt::decode(payload)?.adoption)?),
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    }))
}

/// The event's type name and payload.
pub(crate) fn encode_event(event: &E) -> Encoded {
    match event {
        E::DraftSaved { catalog, content } => {
            let saved = pb::DraftSaved {
                catalog: catalog.to_string(),
                hash: content.hash().0.to_vec(),
                document: Some(document_to_proto(content.document())),
            };
            (DRAFT_SAVED, saved.encode_to_vec())
        }
        E::DraftDiscarded { catalog } => {
            let discarded = pb::DraftDiscarded { catalog: catalog.to_string() };
            (DRAFT_DISCARDED, discarded.encode_to_vec())
        }
        E::Published { catalog, version, content } => {
            let published = pb::Published {
                catalog: catalog.to_string(),
                version: *version,
                hash: content.hash().0.to_vec(),
                document: Some(document_to_proto(content.document())),
            };
            (PUBLISHED, published.encode_to_vec())
        }
        E::Retired { catalog, version, hash } => {
            let (catalog, hash) = (catalog.to_string(), hash.0.to_vec());
            (RETIRED, pb::Retired { catalog, version: *version, hash }.encode_to_vec())
        }
        E::Adopted(it) => {
            (ADOPTED, pb::Adopted { adoption: Some(adoption_to_proto(it)) }.encode_to_vec())
        }
    }
}

/// The event with this type name and payload.
pub(crate) fn decode_event(_: &str, kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        DRAFT_SAVED => {
            let it = pb::DraftSaved::decode(payload)?;
            let content = content(it.document, hash(&it.hash)?)?;
            E::DraftSaved { catalog: slug(it.catalog, "catalog")?, content }
        }
        DRAFT_DISCARDED => {
            let it = pb::DraftDiscarded::decode(payload)?;
            E::DraftDiscarded { catalog: slug(it.catalog, "catalog")? }
        }
        PUBLISHED => {
            let it = pb::Published::decode(payload)?;
            let content = content(it.document, hash(&it.hash)?)?;
            let catalog = slug(it.catalog, "catalog")?;
            E::Published { catalog, version: it.version, content }
        }
        RETIRED => {
            let it = pb::Retired::decode(payload)?;
            let catalog = slug(it.catalog, "catalog")?;
            E::Retired { catalog, version: it.version, hash: hash(&it.hash)? }
        }
        ADOPTED => E::Adopted(adoption_from_proto(pb::Adopted::decode(payload)?.adoption)?),
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}

/// A reply's bytes.
pub(crate) fn encode_reply(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Catalog(it) => catalog_message(it).encode_to_vec(),
        Reply::Version { catalog, version } => version_message(catalog, version).encode_to_vec(),
        Reply::Nothing => Vec::new(),
    }
}

/// The catalog as the API shows it.
pub fn catalog_message(it: &Series) -> pb::Catalog {
    pb::Catalog {
        catalog: it.id.to_string(),
        revision: it.revision,
        draft: it.draft.as_ref().map(draft_info),
        latest: it.latest().map(|version| version_message(&it.id, version)),
        created_at: Some(instant(it.created_at)),
        updated_at: Some(instant(it.updated_at)),
    }
}

/// The version as the API shows it, without its document.
pub fn version_message(catalog: &Slug, it: &Version) -> pb::CatalogVersion {
    pb::CatalogVersion {
        catalog: catalog.to_string(),
        version: it.number,
        status: version_status_to_proto(it.status()).into(),
        hash: it.hash.to_hex(),
        published_at: Some(instant(it.published_at)),
        retired_at: it.retired_at.map(instant),
        document: None,
    }
}

/// The draft as the API shows it, without its document.
pub fn draft_info(it: &Draft) -> pb::DraftInfo {
    pb::DraftInfo { hash: it.content.hash().to_hex(), saved_at: Some(instant(it.saved_at)) }
}

pub fn version_status_to_proto(status: VersionStatus) -> pb::VersionStatus {
    match status {
        VersionStatus::Published => pb::VersionStatus::Published,
        VersionStatus::Retired => pb::VersionStatus::Retired,
    }
}

/// The state as the decider's cell keeps it.
pub(crate) fn state_to_proto(state: &State) -> pb::State {
    pb::State {
        catalogs: state.catalogs.values().map(series_to_proto).collect(),
        adopted: state.adopted.iter().map(|it| adoption_to_proto(&it)).collect(),
    }
}

pub(crate) fn state_from_proto(it: pb::State) -> Result<State, DecodeError> {
    let mut state = State::default();
    for series in it.catalogs {
        let series = series_from_proto(series)?;
        state.catalogs.insert(series.id.clone(), series);
    }
    let mut adopted = Adopted::default();
    for adoption in it.adopted {
        adopted.adopt(adoption_from_proto(Some(adoption))?);
    }
    state.adopted = adopted;
    Ok(state)
}

fn series_to_proto(it: &Series) -> pb::SeriesState {
    pb::SeriesState {
        catalog: it.id.to_string(),
        draft: it.draft.as_ref().map(|draft| pb::DraftState {
            hash: draft.content.hash().0.to_vec(),
            document: Some(document_to_proto(draft.content.document())),
            saved_at: draft.saved_at.micros(),
        }),
        versions: it.versions.iter().map(version_to_proto).collect(),
        revision: it.revision,
        created_at: it.created_at.micros(),
        updated_at: it.updated_at.micros(),
    }
}

fn version_to_proto(it: &Version) -> pb::VersionState {
    pb::VersionState {
        hash: it.hash.0.to_vec(),
        published_at: it.published_at.micros(),
        retired_at: it.retired_at.map(exchequer_types::Timestamp::micros),
    }
}

fn series_from_proto(it: pb::SeriesState) -> Result<Series, DecodeError> {
    let draft = it.draft.map(|draft| {
        Ok::<_, DecodeError>(Draft {
            content: content(draft.document, hash(&draft.hash)?)?,
            saved_at: timestamp(draft.saved_at, "saved_at")?,
        })
    });
    let versions = (1..).zip(it.versions).map(|(number, version)| {
        Ok::<_, DecodeError>(Version {
            number,
            hash: hash(&version.hash)?,
            published_at: timestamp(version.published_at, "published_at")?,
            retired_at: optional_timestamp(version.retired_at, "retired_at")?,
        })
    });
    Ok(Series {
        id: slug(it.catalog, "catalog")?,
        draft: draft.transpose()?,
        versions: versions.collect::<Result<_, _>>()?,
        revision: it.revision,
        created_at: timestamp(it.created_at, "created_at")?,
        updated_at: timestamp(it.updated_at, "updated_at")?,
    })
}

fn adoption_to_proto(it: &Adoption) -> pb::Adoption {
    pb::Adoption {
        provider: it.provider.to_string(),
        catalog: it.catalog.to_string(),
        version: it.version,
        status: version_status_to_proto(it.status).into(),
        hash: it.hash.0.to_vec(),
        document: it.content.as_ref().map(|content| document_to_proto(content.document())),
    }
}

fn adoption_from_proto(it: Option<pb::Adoption>) -> Result<Adoption, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "adoption" })?;
    let status = match pb::VersionStatus::try_from(it.status) {
        Ok(pb::VersionStatus::Published) => VersionStatus::Published,
        Ok(pb::VersionStatus::Retired) => VersionStatus::Retired,
        _ => return Err(DecodeError::Field { field: "status" }),
    };
    let known = it.document.map(|it| document(Some(it)).map(Content::of));
    Ok(Adoption {
        provider: tenant_id(it.provider, "provider")?,
        catalog: slug(it.catalog, "catalog")?,
        version: it.version,
        status,
        hash: hash(&it.hash)?,
        content: known.transpose()?,
    })
}

fn hash(bytes: &[u8]) -> Result<Hash, DecodeError> {
    Hash::from_slice(bytes).ok_or(DecodeError::Field { field: "hash" })
}

/// Content whose address must be the stored one: it never changes.
fn content(stored: Option<pb::Document>, hash: Hash) -> Result<Content, DecodeError> {
    let content = Content::of(document(stored)?);
    if content.hash() == hash { Ok(content) } else { Err(DecodeError::Field { field: "hash" }) }
}

fn document(it: Option<pb::Document>) -> Result<exchequer_domain_catalog::Document, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "document" })?;
    document_from_proto(it).map_err(|misfits| {
        let told = misfits.first().map(|it| format!("{}: {}", it.path, it.message));
        DecodeError::Malformed(told.unwrap_or_default())
    })
}
