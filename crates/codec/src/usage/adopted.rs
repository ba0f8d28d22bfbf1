//! What a seal takes over from the journal: the exact bytes, with their hash.

use core::time::Duration;

use bytes::Bytes;
use exchequer_metering::{
    AdoptedMeters, AdoptedSchema, AdoptedTenant, Adoption, BackfillOrder, Terms,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, Offset, PartitionId, Period, Timestamp};
use prost::Message as _;

use crate::convert::{optional_timestamp, slug, tenant_id, timestamp};
use crate::{DecodeError, meter_definition_from_proto, meter_definition_to_proto};

/// `adoption`, of which everything up to `position` of the journal is known.
pub fn adopted_to_proto(adoption: &Adoption, position: (PartitionId, Offset)) -> pb::Adopted {
    let (what, content) = match adoption {
        Adoption::Tenant(it) => {
            let bytes = Bytes::from(tenant_to_proto(it).encode_to_vec());
            (pb::adopted::What::Tenant(bytes.clone()), bytes)
        }
        Adoption::Meters(it) => {
            let bytes = Bytes::from(meters_to_proto(it).encode_to_vec());
            (pb::adopted::What::Meters(bytes.clone()), bytes)
        }
    };
    pb::Adopted {
        what: Some(what),
        content: Bytes::copy_from_slice(&Hash::blake3(&content).0),
        journal_partition: position.0.0,
        journal_offset: position.1,
    }
}

/// What is taken over; its bytes must have the hash that stands beside them.
pub fn adopted_from_proto(it: &pb::Adopted) -> Result<Adoption, DecodeError> {
    use pb::adopted::What;
    let what = it.what.as_ref().ok_or(DecodeError::Field { field: "adopted.what" })?;
    let (What::Tenant(bytes) | What::Meters(bytes)) = what;
    if Hash::blake3(bytes).0 != it.content.as_ref() {
        return Err(DecodeError::Field { field: "adopted.content" });
    }
    Ok(match what {
        What::Tenant(bytes) => {
            Adoption::Tenant(tenant_from_proto(pb::AdoptedTenant::decode(bytes.clone())?)?)
        }
        What::Meters(bytes) => {
            Adoption::Meters(meters_from_proto(pb::AdoptedMeters::decode(bytes.clone())?)?)
        }
    })
}

fn tenant_to_proto(it: &AdoptedTenant) -> pb::AdoptedTenant {
    let window = |it: &Period| pb::Window { start: it.start.micros(), end: it.end.micros() };
    pb::AdoptedTenant {
        tenant: it.tenant.to_string(),
        provider: it.provider.as_ref().map(ToString::to_string).unwrap_or_default(),
        known: it.provider.is_some(),
        periods: it.periods.iter().map(window).collect(),
    }
}

fn tenant_from_proto(it: pb::AdoptedTenant) -> Result<AdoptedTenant, DecodeError> {
    let period = |it: pb::Window| {
        let (start, end) = (timestamp(it.start, "start")?, timestamp(it.end, "end")?);
        Ok(Period { start, end })
    };
    let provider = it.known.then(|| tenant_id(it.provider, "provider")).transpose()?;
    Ok(AdoptedTenant {
        tenant: tenant_id(it.tenant, "tenant")?,
        provider,
        periods: it.periods.into_iter().map(period).collect::<Result<_, DecodeError>>()?,
    })
}

fn meters_to_proto(it: &AdoptedMeters) -> pb::AdoptedMeters {
    let Terms { ahead_max, behind_max, lateness } = it.terms;
    pb::AdoptedMeters {
        provider: it.provider.to_string(),
        version: it.version,
        meters: it.meters.iter().map(meter_definition_to_proto).collect(),
        terms: Some(pb::UsageTerms {
            ahead_s_max: ahead_max.as_secs(),
            behind_s_max: behind_max.as_secs(),
            lateness_s: lateness.as_secs(),
        }),
        schemas: it.schemas.iter().map(schema_to_proto).collect(),
        backfills: it.backfills.iter().map(backfill_to_proto).collect(),
    }
}

fn meters_from_proto(it: pb::AdoptedMeters) -> Result<AdoptedMeters, DecodeError> {
    let terms = it.terms.ok_or(DecodeError::Field { field: "terms" })?;
    let meters = it.meters.into_iter().map(|it| meter_definition_from_proto(Some(it)));
    Ok(AdoptedMeters {
        provider: tenant_id(it.provider, "provider")?,
        version: it.version,
        meters: meters.collect::<Result<_, _>>()?,
        terms: Terms {
            ahead_max: Duration::from_secs(terms.ahead_s_max),
            behind_max: Duration::from_secs(terms.behind_s_max),
            lateness: Duration::from_secs(terms.lateness_s),
        },
        schemas: it.schemas.into_iter().map(schema_from_proto).collect(),
        backfills: it.backfills.into_iter().map(backfill_from_proto).collect::<Result<_, _>>()?,
    })
}

fn schema_to_proto(it: &AdoptedSchema) -> pb::EventSchema {
    pb::EventSchema { r#type: it.kind.clone(), version: it.version, schema: it.text.clone() }
}

fn schema_from_proto(it: pb::EventSchema) -> AdoptedSchema {
    AdoptedSchema { kind: it.r#type, version: it.version, text: it.schema }
}

fn backfill_to_proto(it: &BackfillOrder) -> pb::BackfillOrder {
    pb::BackfillOrder {
        id: it.id.clone(),
        meter: it.meter.to_string(),
        version: it.version,
        from: it.from.micros(),
        until: it.until.map(Timestamp::micros),
    }
}

fn backfill_from_proto(it: pb::BackfillOrder) -> Result<BackfillOrder, DecodeError> {
    Ok(BackfillOrder {
        id: it.id,
        meter: slug(it.meter, "backfills.meter")?,
        version: it.version,
        from: timestamp(it.from, "backfills.from")?,
        until: optional_timestamp(it.until, "backfills.until")?,
    })
}
