//! Values that several messages share.

use std::collections::BTreeMap;

use exchequer_proto::common::v1 as pbc;
use exchequer_proto::tenants::v1 as pb;
use exchequer_types::{KeyId, Protected, ProviderProfile, Slug, TenantId, TenantStatus, Timestamp};

use crate::DecodeError;

pub(crate) fn timestamp(micros: i64, field: &'static str) -> Result<Timestamp, DecodeError> {
    Timestamp::from_micros(micros).map_err(|_| DecodeError::Field { field })
}

pub(crate) fn optional_timestamp(
    micros: Option<i64>,
    field: &'static str,
) -> Result<Option<Timestamp>, DecodeError> {
    micros.map(|micros| timestamp(micros, field)).transpose()
}

pub(crate) fn tenant_id(text: String, field: &'static str) -> Result<TenantId, DecodeError> {
    TenantId::parse(text).map_err(|_| DecodeError::Field { field })
}

pub(crate) fn slug(text: String, field: &'static str) -> Result<Slug, DecodeError> {
    Slug::parse(text).map_err(|_| DecodeError::Field { field })
}

pub(crate) fn optional_tenant_id(
    text: String,
    field: &'static str,
) -> Result<Option<TenantId>, DecodeError> {
    if text.is_empty() { Ok(None) } else { tenant_id(text, field).map(Some) }
}

/// An encrypted field.
pub fn protected_to_proto(protected: &Protected) -> pbc::Protected {
    pbc::Protected { key: protected.key.0.to_vec(), text: protected.text.clone() }
}

/// An encrypted field; one that names no key is refused.
pub fn protected_from_proto(
    protected: Option<pbc::Protected>,
    field: &'static str,
) -> Result<Option<Protected>, DecodeError> {
    let Some(it) = protected else { return Ok(None) };
    let key = KeyId::from_slice(&it.key).ok_or(DecodeError::Field { field })?;
    Ok(Some(Protected { key, text: it.text }))
}

pub(crate) fn settings_to_proto(settings: &BTreeMap<String, String>) -> Vec<pb::Setting> {
    settings
        .iter()
        .map(|(key, value)| pb::Setting { key: key.clone(), value: value.clone() })
        .collect()
}

/// A key that stands twice is refused.
pub(crate) fn settings_from_proto(
    settings: Vec<pb::Setting>,
) -> Result<BTreeMap<String, String>, DecodeError> {
    let count = settings.len();
    let map: BTreeMap<_, _> = settings.into_iter().map(|it| (it.key, it.value)).collect();
    if map.len() == count { Ok(map) } else { Err(DecodeError::Field { field: "settings" }) }
}

pub fn status_to_proto(status: TenantStatus) -> pb::TenantStatus {
    match status {
        TenantStatus::Active => pb::TenantStatus::Active,
        TenantStatus::Suspended => pb::TenantStatus::Suspended,
        TenantStatus::Closed => pb::TenantStatus::Closed,
    }
}

/// None for a number that is no status.
pub fn status_from_proto(status: i32) -> Option<TenantStatus> {
    match pb::TenantStatus::try_from(status).ok()? {
        pb::TenantStatus::Unspecified => None,
        pb::TenantStatus::Active => Some(TenantStatus::Active),
        pb::TenantStatus::Suspended => Some(TenantStatus::Suspended),
        pb::TenantStatus::Closed => Some(TenantStatus::Closed),
    }
}

pub fn profile_to_proto(profile: &ProviderProfile) -> pb::ProviderProfile {
    pb::ProviderProfile {
        id: profile.id.to_string(),
        version: profile.version,
        parent: profile.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        depth: profile.depth,
        status: status_to_proto(profile.status).into(),
        settings: settings_to_proto(&profile.settings),
    }
}

pub fn profile_from_proto(
    profile: Option<pb::ProviderProfile>,
) -> Result<ProviderProfile, DecodeError> {
    let it = profile.ok_or(DecodeError::Field { field: "profile" })?;
    Ok(ProviderProfile {
        id: tenant_id(it.id, "profile.id")?,
        version: it.version,
        parent: optional_tenant_id(it.parent, "profile.parent")?,
        depth: it.depth,
        status: status_from_proto(it.status)
            .ok_or(DecodeError::Field { field: "profile.status" })?,
        settings: settings_from_proto(it.settings)?,
    })
}

/// As the API shows an instant.
pub fn instant(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.micros().div_euclid(1_000_000),
        nanos: i32::try_from(at.micros().rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}
