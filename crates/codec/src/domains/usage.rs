//! The usage domain on the wire: its commands, events and replies. Rules of meters are in
//! `rules.rs`, rows and the state in `state.rs`, what the API shows in `message.rs`.

mod message;
mod rules;
mod state;
#[cfg(test)]
mod tests;

pub use message::{event_schema_message, meter_message};
pub use rules::{
    aggregation_from_proto, aggregation_to_proto, meter_definition_from_proto,
    meter_definition_to_proto, meter_rules_from_proto, meter_rules_to_proto,
};
pub use state::{
    event_schema_from_proto, event_schema_state_from_proto, event_schema_state_to_proto,
    event_schema_to_proto, meter_state_from_proto, meter_state_to_proto,
};
pub(crate) use state::{state_from_proto, state_to_proto};

use exchequer_domain_usage::{
    self as usage, Command as C, Correction, Event as E, Reply, RulesField,
};
use exchequer_metering::Meter as Rules;
use exchequer_proto::usage::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::ActorId;
use prost::Message as _;

use self::message::correction_message;
use self::state::{backfill_from_proto, backfill_to_proto};
use super::Encoded;
use super::flags::given;
use crate::DecodeError;
use crate::convert::{slug, timestamp};

const CREATE_METER: &str = "usage.create-meter.v1";
const UPDATE_METER: &str = "usage.update-meter.v1";
const RETIRE_METER: &str = "usage.retire-meter.v1";
const BACKFILL_METER: &str = "usage.backfill-meter.v1";
const PUT_EVENT_SCHEMA: &str = "usage.put-event-schema.v1";
const RETIRE_EVENT_SCHEMA: &str = "usage.retire-event-schema.v1";
const VOID_EVENT: &str = "usage.void-event.v1";
const AMEND_EVENT: &str = "usage.amend-event.v1";

/// Every command type and version of the domain that was ever sent.
pub(crate) const COMMANDS: &[&str] = &[
    CREATE_METER,
    UPDATE_METER,
    RETIRE_METER,
    BACKFILL_METER,
    PUT_EVENT_SCHEMA,
    RETIRE_EVENT_SCHEMA,
    VOID_EVENT,
    AMEND_EVENT,
];

const METER_CREATED: &str = "usage.meter-created.v1";
const METER_UPDATED: &str = "usage.meter-updated.v1";
const METER_RETIRED: &str = "usage.meter-retired.v1";
const BACKFILL_REQUESTED: &str = "usage.backfill-requested.v1";
const EVENT_SCHEMA_SET: &str = "usage.event-schema-set.v1";
const EVENT_SCHEMA_RETIRED: &str = "usage.event-schema-retired.v1";
/// An event was voided or amended.
pub const EVENT_CORRECTED: &str = "usage.event-corrected.v1";

/// Every event type and version of the domain that was ever written.
pub(crate) const EVENTS: &[&str] = &[
    METER_CREATED,
    METER_UPDATED,
    METER_RETIRED,
    BACKFILL_REQUESTED,
    EVENT_SCHEMA_SET,
    EVENT_SCHEMA_RETIRED,
    EVENT_CORRECTED,
];

/// The command's type name and payload.
#[expect(clippy::unnecessary_wraps, reason = "every domain's module has these functions")]
pub(crate) fn encode_command(command: &C) -> Option<Encoded> {
    Some(match command {
        C::CreateMeter(it) => {
            let (meter, rules) = keyed(&it.rules);
            (CREATE_METER, pb::CreateMeter { meter, rules }.encode_to_vec())
        }
        C::UpdateMeter(it) => {
            let (meter, rules) = keyed(&it.rules);
            let only = it.only.iter().map(|it| it.as_str().to_owned()).collect();
            (UPDATE_METER, pb::UpdateMeter { meter, rules, only }.encode_to_vec())
        }
        C::RetireMeter(it) => {
            (RETIRE_METER, pb::RetireMeter { meter: it.meter.to_string() }.encode_to_vec())
        }
        C::BackfillMeter(it) => {
            let (meter, from) = (it.meter.to_string(), it.from.micros());
            (BACKFILL_METER, pb::BackfillMeter { meter, from }.encode_to_vec())
        }
        C::PutEventSchema(it) => {
            let put = pb::PutEventSchema { r#type: it.kind.clone(), schema: it.text.clone() };
            (PUT_EVENT_SCHEMA, put.encode_to_vec())
        }
        C::RetireEventSchema(it) => {
            let retire = pb::RetireEventSchema { r#type: it.kind.clone() };
            (RETIRE_EVENT_SCHEMA, retire.encode_to_vec())
        }
        C::VoidEvent(it) => {
            let void = pb::VoidEvent {
                source: it.source.clone(),
                event: it.event.clone(),
                reason: it.reason.clone(),
            };
            (VOID_EVENT, void.encode_to_vec())
        }
        C::AmendEvent(it) => {
            let amend = pb::AmendEvent {
                source: it.source.clone(),
                event: it.event.clone(),
                data: it.data.clone(),
                reason: it.reason.clone(),
            };
            (AMEND_EVENT, amend.encode_to_vec())
        }
    })
}

/// The command of a type name and payload.
pub(crate) fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    Ok(Command::Usage(match kind {
        CREATE_METER => {
            let it = pb::CreateMeter::decode(payload)?;
            C::CreateMeter(usage::CreateMeter { rules: rules_of(it.meter, it.rules)? })
        }
        UPDATE_METER => {
            let it = pb::UpdateMeter::decode(payload)?;
            let only = it.only.iter().map(|it| RulesField::parse(it)).collect::<Option<_>>();
            let only = only.ok_or(DecodeError::Field { field: "only" })?;
            C::UpdateMeter(usage::UpdateMeter { rules: rules_of(it.meter, it.rules)?, only })
        }
        RETIRE_METER => {
            let it = pb::RetireMeter::decode(payload)?;
            C::RetireMeter(usage::RetireMeter { meter: slug(it.meter, "meter")? })
        }
        BACKFILL_METER => {
            let it = pb::BackfillMeter::decode(payload)?;
            let (meter, from) = (slug(it.meter, "meter")?, timestamp(it.from, "from")?);
            C::BackfillMeter(usage::BackfillMeter { meter, from })
        }
        PUT_EVENT_SCHEMA => {
            let it = pb::PutEventSchema::decode(payload)?;
            C::PutEventSchema(usage::PutEventSchema { kind: it.r#type, text: it.schema })
        }
        RETIRE_EVENT_SCHEMA => {
            let it = pb::RetireEventSchema::decode(payload)?;
            C::RetireEventSchema(usage::RetireEventSchema { kind: it.r#type })
        }
        VOID_EVENT => {
            let pb::VoidEvent { source, event, reason } = pb::VoidEvent::decode(payload)?;
            C::VoidEvent(usage::VoidEvent { source, event, reason })
        }
        AMEND_EVENT => {
            let pb::AmendEvent { source, event, data, reason } = pb::AmendEvent::decode(payload)?;
            C::AmendEvent(usage::AmendEvent { source, event, data, reason })
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    }))
}

/// The event's type name and payload.
pub(crate) fn encode_event(event: &E) -> Encoded {
    match event {
        E::MeterCreated { rules } => {
            let meter = Some(meter_definition_to_proto(rules));
            (METER_CREATED, pb::MeterCreated { meter }.encode_to_vec())
        }
        E::MeterUpdated { rules } => {
            let meter = Some(meter_definition_to_proto(rules));
            (METER_UPDATED, pb::MeterUpdated { meter }.encode_to_vec())
        }
        E::MeterRetired { meter } => {
            (METER_RETIRED, pb::MeterRetired { meter: meter.to_string() }.encode_to_vec())
        }
        E::BackfillRequested { meter, version, backfill } => {
            let requested = pb::BackfillRequested {
                meter: meter.to_string(),
                version: *version,
                backfill: Some(backfill_to_proto(backfill)),
            };
            (BACKFILL_REQUESTED, requested.encode_to_vec())
        }
        E::EventSchemaSet { kind, version, text } => {
            let schema = Some(event_schema_to_proto(kind, *version, text));
            (EVENT_SCHEMA_SET, pb::EventSchemaSet { schema }.encode_to_vec())
        }
        E::EventSchemaRetired { kind } => {
            let retired = pb::EventSchemaRetired { r#type: kind.clone() };
            (EVENT_SCHEMA_RETIRED, retired.encode_to_vec())
        }
        E::EventCorrected(it) => {
            let corrected = pb::EventCorrected {
                id: it.id.clone(),
                source: it.source.clone(),
                event: it.event.clone(),
                data: it.data.clone(),
                reason: it.reason.clone(),
                actor: it.actor.to_string(),
            };
            (EVENT_CORRECTED, corrected.encode_to_vec())
        }
    }
}

/// The event of a type name and payload.
pub(crate) fn decode_event(_: &str, kind: &str, payload: &[u8]) -> Result<E, DecodeError> {
    Ok(match kind {
        METER_CREATED => {
            let rules = meter_definition_from_proto(pb::MeterCreated::decode(payload)?.meter)?;
            E::MeterCreated { rules }
        }
        METER_UPDATED => {
            let rules = meter_definition_from_proto(pb::MeterUpdated::decode(payload)?.meter)?;
            E::MeterUpdated { rules }
        }
        METER_RETIRED => {
            let it = pb::MeterRetired::decode(payload)?;
            E::MeterRetired { meter: slug(it.meter, "meter")? }
        }
        BACKFILL_REQUESTED => {
            let it = pb::BackfillRequested::decode(payload)?;
            let backfill = it.backfill.ok_or(DecodeError::Field { field: "backfill" })?;
            let (meter, version) = (slug(it.meter, "meter")?, it.version);
            E::BackfillRequested { meter, version, backfill: backfill_from_proto(backfill)? }
        }
        EVENT_SCHEMA_SET => {
            let it = pb::EventSchemaSet::decode(payload)?;
            let (kind, version, text) = event_schema_from_proto(it.schema)?;
            E::EventSchemaSet { kind, version, text }
        }
        EVENT_SCHEMA_RETIRED => {
            E::EventSchemaRetired { kind: pb::EventSchemaRetired::decode(payload)?.r#type }
        }
        EVENT_CORRECTED => {
            let it = pb::EventCorrected::decode(payload)?;
            let actor = ActorId::parse(it.actor);
            E::EventCorrected(Correction {
                id: it.id,
                source: it.source,
                event: it.event,
                data: it.data,
                reason: it.reason,
                actor: actor.map_err(|_| DecodeError::Field { field: "actor" })?,
            })
        }
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}

pub(crate) fn encode_reply(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Nothing => Vec::new(),
        Reply::Meter(meter) => meter_message(meter).encode_to_vec(),
        Reply::Schema(schema) => event_schema_message(schema).encode_to_vec(),
        Reply::Correction(it, at) => correction_message(it, *at).encode_to_vec(),
    }
}

fn keyed(rules: &Rules) -> (String, Option<pb::MeterRules>) {
    (rules.key.to_string(), Some(meter_rules_to_proto(rules)))
}

fn rules_of(meter: String, rules: Option<pb::MeterRules>) -> Result<Rules, DecodeError> {
    given(meter_rules_from_proto(slug(meter, "meter")?, rules), "rules")
}
