//! Every business "no" of the domain, with its stable code.

use exchequer_kernel::{FieldFault, Reason};
use exchequer_metering::{EVENT_TYPE_CHARS_MAX, Violation};
use exchequer_types::Timestamp;

use crate::state::{
    BACKFILLS_MAX, DEFINITIONS_BYTES_MAX, METERS_MAX, RULES_BYTES_MAX, SCHEMA_BYTES_MAX,
    SCHEMAS_MAX,
};

pub const REASON_CHARS_MAX: usize = 500;
/// Of an event's source and id.
pub(crate) const EVENT_NAME_CHARS_MAX: usize = 512;
pub(crate) const EVENT_DATA_BYTES_MAX: usize = 64 * 1024;

/// The codes, which never change.
pub mod codes {
    pub const METER_EXISTS: &str = "METER_EXISTS";
    pub const METER_NOT_FOUND: &str = "METER_NOT_FOUND";
    pub const METER_RETIRED: &str = "METER_RETIRED";
    pub const METER_INVALID: &str = "METER_INVALID";
    pub const METER_UNCHANGED: &str = "METER_UNCHANGED";
    pub const METER_TOO_LARGE: &str = "METER_TOO_LARGE";
    pub const METERS_TOO_MANY: &str = "METERS_TOO_MANY";
    pub const BACKFILL_IN_THE_FUTURE: &str = "BACKFILL_IN_THE_FUTURE";
    pub const BACKFILL_NOT_EARLIER: &str = "BACKFILL_NOT_EARLIER";
    pub const BACKFILLS_TOO_MANY: &str = "BACKFILLS_TOO_MANY";
    pub const EVENT_TYPE_INVALID: &str = "EVENT_TYPE_INVALID";
    pub const EVENT_SCHEMA_NOT_FOUND: &str = "EVENT_SCHEMA_NOT_FOUND";
    pub const EVENT_SCHEMA_RETIRED: &str = "EVENT_SCHEMA_RETIRED";
    pub const EVENT_SCHEMA_INVALID: &str = "EVENT_SCHEMA_INVALID";
    pub const EVENT_SCHEMA_UNCHANGED: &str = "EVENT_SCHEMA_UNCHANGED";
    pub const EVENT_SCHEMAS_TOO_MANY: &str = "EVENT_SCHEMAS_TOO_MANY";
    pub const DEFINITIONS_TOO_LARGE: &str = "DEFINITIONS_TOO_LARGE";
    pub const EVENT_NAME_INVALID: &str = "EVENT_NAME_INVALID";
    pub const EVENT_DATA_INVALID: &str = "EVENT_DATA_INVALID";
    pub const EVENT_VOIDED: &str = "EVENT_VOIDED";
    pub const CORRECTION_REASON_INVALID: &str = "CORRECTION_REASON_INVALID";
}

/// Why a command was refused, in order of precedence within each command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    MeterExists,
    MeterNotFound,
    /// For ever.
    MeterRetired,
    /// At least one violation, in the order of the meter's fields.
    MeterInvalid(Vec<Violation>),
    /// The rules are these already.
    MeterUnchanged,
    MeterTooLarge {
        bytes: usize,
    },
    MetersTooMany,
    BackfillInTheFuture {
        rules_set_at: Timestamp,
    },
    /// The version has counted from there on.
    BackfillNotEarlier {
        from: Timestamp,
    },
    BackfillsTooMany,
    EventTypeInvalid,
    SchemaNotFound,
    SchemaRetired,
    SchemaInvalid {
        reason: String,
    },
    SchemaUnchanged,
    SchemasTooMany,
    DefinitionsTooLarge,
    /// Of `source` or `event`.
    EventNameInvalid {
        field: &'static str,
    },
    EventDataInvalid {
        reason: String,
    },
    /// It was, and does not count any more.
    EventVoided,
    ReasonInvalid,
}

impl Reason for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::MeterExists => codes::METER_EXISTS,
            Self::MeterNotFound => codes::METER_NOT_FOUND,
            Self::MeterRetired => codes::METER_RETIRED,
            Self::MeterInvalid(_) => codes::METER_INVALID,
            Self::MeterUnchanged => codes::METER_UNCHANGED,
            Self::MeterTooLarge { .. } => codes::METER_TOO_LARGE,
            Self::MetersTooMany => codes::METERS_TOO_MANY,
            Self::BackfillInTheFuture { .. } => codes::BACKFILL_IN_THE_FUTURE,
            Self::BackfillNotEarlier { .. } => codes::BACKFILL_NOT_EARLIER,
            Self::BackfillsTooMany => codes::BACKFILLS_TOO_MANY,
            Self::EventTypeInvalid => codes::EVENT_TYPE_INVALID,
            Self::SchemaNotFound => codes::EVENT_SCHEMA_NOT_FOUND,
            Self::SchemaRetired => codes::EVENT_SCHEMA_RETIRED,
            Self::SchemaInvalid { .. } => codes::EVENT_SCHEMA_INVALID,
            Self::SchemaUnchanged => codes::EVENT_SCHEMA_UNCHANGED,
            Self::SchemasTooMany => codes::EVENT_SCHEMAS_TOO_MANY,
            Self::DefinitionsTooLarge => codes::DEFINITIONS_TOO_LARGE,
            Self::EventNameInvalid { .. } => codes::EVENT_NAME_INVALID,
            Self::EventDataInvalid { .. } => codes::EVENT_DATA_INVALID,
            Self::EventVoided => codes::EVENT_VOIDED,
            Self::ReasonInvalid => codes::CORRECTION_REASON_INVALID,
        }
    }

    fn field(&self) -> Option<&'static str> {
        Some(match self {
            Self::MeterExists | Self::MeterNotFound | Self::MeterRetired => "key",
            Self::MeterInvalid(_) | Self::MeterUnchanged | Self::MeterTooLarge { .. } => "rules",
            Self::BackfillInTheFuture { .. } | Self::BackfillNotEarlier { .. } => "from",
            Self::EventTypeInvalid | Self::SchemaNotFound | Self::SchemaRetired => "type",
            Self::SchemaInvalid { .. } | Self::SchemaUnchanged => "schema",
            Self::EventNameInvalid { field } => field,
            Self::EventDataInvalid { .. } => "data",
            Self::EventVoided => "event",
            Self::ReasonInvalid => "reason",
            Self::MetersTooMany
            | Self::BackfillsTooMany
            | Self::SchemasTooMany
            | Self::DefinitionsTooLarge => return None,
        })
    }

    fn message(&self) -> String {
        match self {
            Self::MeterExists => {
                "a meter of this key exists, or did: retired ones keep theirs".to_owned()
            }
            Self::MeterNotFound => "no meter of this key exists: create it first".to_owned(),
            Self::MeterRetired => "the meter is retired, for ever: create another one".to_owned(),
            Self::MeterInvalid(violations) => {
                let told = violations.iter().map(|it| format!("{} {}", it.field, it.message));
                told.collect::<Vec<_>>().join("; ")
            }
            Self::MeterUnchanged => "the meter's rules are these already".to_owned(),
            Self::MeterTooLarge { bytes } => {
                format!("the rules have {bytes} bytes, and may have {RULES_BYTES_MAX}")
            }
            Self::MetersTooMany => {
                format!("a provider has at most {METERS_MAX} meters, retired ones too")
            }
            Self::BackfillInTheFuture { rules_set_at } => format!(
                "must lie before {rules_set_at}, when this version of the rules was set: it counts what came later anyway"
            ),
            Self::BackfillNotEarlier { from } => {
                format!("must lie before {from}, where an earlier backfill of this version began")
            }
            Self::BackfillsTooMany => format!(
                "a version of a meter is backfilled at most {BACKFILLS_MAX} times: begin early enough"
            ),
            Self::EventTypeInvalid => format!(
                "must have 1 to {EVENT_TYPE_CHARS_MAX} characters, none of them a control character, and no space at either end"
            ),
            Self::SchemaNotFound => "events of this type have no schema: set one first".to_owned(),
            Self::SchemaRetired => "the schema of this type is retired already".to_owned(),
            Self::SchemaInvalid { reason } => {
                format!("must be a JSON Schema of at most {SCHEMA_BYTES_MAX} bytes: {reason}")
            }
            Self::SchemaUnchanged => "the schema of this type is this one already".to_owned(),
            Self::SchemasTooMany => {
                format!("a provider has schemas of at most {SCHEMAS_MAX} types, retired ones too")
            }
            Self::DefinitionsTooLarge => format!(
                "a provider's meters and schemas in force have at most {DEFINITIONS_BYTES_MAX} bytes together: retire some"
            ),
            Self::EventNameInvalid { .. } => format!(
                "must have 1 to {EVENT_NAME_CHARS_MAX} characters, none of them a control character"
            ),
            Self::EventDataInvalid { reason } => {
                format!("must be JSON of at most {EVENT_DATA_BYTES_MAX} bytes: {reason}")
            }
            Self::EventVoided => {
                "the event was voided, for ever: send another one in its place".to_owned()
            }
            Self::ReasonInvalid => format!(
                "must have 1 to {REASON_CHARS_MAX} characters, none of them control characters"
            ),
        }
    }

    fn faults(&self) -> Vec<FieldFault> {
        let Self::MeterInvalid(violations) = self else { return Vec::new() };
        let fault = |it: &Violation| FieldFault {
            field: format!("rules.{}", it.field),
            message: it.message.clone(),
        };
        violations.iter().map(fault).collect()
    }
}
