//! The state as the decider's cell keeps it, and meters and schemas as rows keep them.

use std::sync::Arc;

use bytes::Bytes;
use exchequer_domain_usage::{Backfill, Corrected, Meter, Schema, State};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, Timestamp};

use super::rules::{meter_definition_from_proto, meter_definition_to_proto};
use crate::DecodeError;
use crate::convert::{optional_timestamp, timestamp};

pub(crate) fn state_to_proto(state: &State) -> pb::State {
    pb::State {
        version: state.version,
        meters: state.meters.values().map(|it| meter_state_to_proto(it)).collect(),
        schemas: state.schemas.values().map(|it| event_schema_state_to_proto(it)).collect(),
        corrections: state.corrected.count,
        corrected_at: state.corrected.at.micros(),
        voided: state.corrected.voided.iter().map(|it| Bytes::copy_from_slice(&it.0)).collect(),
    }
}

pub(crate) fn state_from_proto(it: pb::State) -> Result<State, DecodeError> {
    let meters = it.meters.into_iter().map(|it| {
        let meter = meter_state_from_proto(it)?;
        Ok((meter.rules.key.clone(), Arc::new(meter)))
    });
    let schemas = it.schemas.into_iter().map(|it| {
        let schema = event_schema_state_from_proto(it)?;
        Ok((schema.kind.clone(), Arc::new(schema)))
    });
    let voided = it.voided.iter().map(|it| Hash::from_slice(it));
    let voided = voided.collect::<Option<_>>().ok_or(DecodeError::Field { field: "voided" })?;
    Ok(State {
        version: it.version,
        meters: meters.collect::<Result<_, DecodeError>>()?,
        schemas: schemas.collect::<Result<_, DecodeError>>()?,
        corrected: Corrected {
            count: it.corrections,
            at: timestamp(it.corrected_at, "corrected_at")?,
            voided,
        },
    })
}

/// A meter, whole.
pub fn meter_state_to_proto(it: &Meter) -> pb::MeterState {
    pb::MeterState {
        meter: Some(meter_definition_to_proto(&it.rules)),
        retired: it.retired,
        version: it.version,
        created_at: it.created_at.micros(),
        updated_at: it.updated_at.micros(),
        rules_set_at: it.rules_set_at.micros(),
        backfills: it.backfills.iter().map(backfill_to_proto).collect(),
    }
}

/// A meter, whole.
pub fn meter_state_from_proto(it: pb::MeterState) -> Result<Meter, DecodeError> {
    Ok(Meter {
        rules: meter_definition_from_proto(it.meter)?,
        retired: it.retired,
        version: it.version,
        created_at: timestamp(it.created_at, "created_at")?,
        updated_at: timestamp(it.updated_at, "updated_at")?,
        rules_set_at: timestamp(it.rules_set_at, "rules_set_at")?,
        backfills: it.backfills.into_iter().map(backfill_from_proto).collect::<Result<_, _>>()?,
    })
}

pub(super) fn backfill_to_proto(it: &Backfill) -> pb::BackfillState {
    pb::BackfillState {
        id: it.id.clone(),
        from: it.from.micros(),
        until: it.until.map(Timestamp::micros),
        requested_at: it.requested_at.micros(),
    }
}

pub(super) fn backfill_from_proto(it: pb::BackfillState) -> Result<Backfill, DecodeError> {
    Ok(Backfill {
        id: it.id,
        from: timestamp(it.from, "backfill.from")?,
        until: optional_timestamp(it.until, "backfill.until")?,
        requested_at: timestamp(it.requested_at, "backfill.requested_at")?,
    })
}

/// A version of a schema, as events and seals have it.
pub fn event_schema_to_proto(kind: &str, version: u32, text: &str) -> pb::EventSchema {
    pb::EventSchema { r#type: kind.to_owned(), version, schema: text.to_owned() }
}

/// Type, version and text of a schema; one that is not there is refused.
pub fn event_schema_from_proto(
    it: Option<pb::EventSchema>,
) -> Result<(String, u32, String), DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "schema" })?;
    Ok((it.r#type, it.version, it.schema))
}

/// A schema, whole.
pub fn event_schema_state_to_proto(it: &Schema) -> pb::EventSchemaState {
    pb::EventSchemaState {
        schema: Some(event_schema_to_proto(&it.kind, it.version, &it.text)),
        retired: it.retired,
        changes: it.changes,
        set_at: it.set_at.micros(),
        updated_at: it.updated_at.micros(),
    }
}

/// A schema, whole.
pub fn event_schema_state_from_proto(it: pb::EventSchemaState) -> Result<Schema, DecodeError> {
    let (kind, version, text) = event_schema_from_proto(it.schema)?;
    Ok(Schema {
        kind,
        version,
        text,
        retired: it.retired,
        changes: it.changes,
        set_at: timestamp(it.set_at, "set_at")?,
        updated_at: timestamp(it.updated_at, "updated_at")?,
    })
}
