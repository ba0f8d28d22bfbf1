//! Meters, schemas and corrections as the API shows them.

use exchequer_domain_usage::{Backfill, Correction, Meter, Schema};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::Timestamp;

use super::rules::meter_rules_to_proto;
use super::state::event_schema_to_proto;
use crate::convert::instant;

/// The meter as the API shows it.
pub fn meter_message(it: &Meter) -> pb::Meter {
    pb::Meter {
        key: it.rules.key.to_string(),
        rules_version: it.rules.version,
        rules: Some(meter_rules_to_proto(&it.rules)),
        retired: it.retired,
        version: it.version,
        created_at: Some(instant(it.created_at)),
        updated_at: Some(instant(it.updated_at)),
        rules_set_at: Some(instant(it.rules_set_at)),
        backfills: it.backfills.iter().map(backfill).collect(),
    }
}

/// The schema as the API shows it.
pub fn event_schema_message(it: &Schema) -> pb::EventSchemaInfo {
    pb::EventSchemaInfo {
        schema: Some(event_schema_to_proto(&it.kind, it.version, &it.text)),
        retired: it.retired,
        version: it.changes,
        set_at: Some(instant(it.set_at)),
        updated_at: Some(instant(it.updated_at)),
    }
}

pub(super) fn correction_message(it: &Correction, at: Timestamp) -> pb::EventCorrection {
    pb::EventCorrection {
        id: it.id.clone(),
        source: it.source.clone(),
        event: it.event.clone(),
        voided: it.data.is_none(),
        reason: it.reason.clone(),
        recorded_at: Some(instant(at)),
    }
}

fn backfill(it: &Backfill) -> pb::MeterBackfill {
    pb::MeterBackfill {
        id: it.id.clone(),
        from: Some(instant(it.from)),
        until: it.until.map(instant),
        requested_at: Some(instant(it.requested_at)),
    }
}
