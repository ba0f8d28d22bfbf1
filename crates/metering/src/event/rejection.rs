//! Why an event was refused at the gate, with stable codes. What an event comes to for
//! meters is judged later; here stands only what makes it no event.

use core::fmt;

use exchequer_types::{IdError, TenantId};

use super::{
    EVENT_BYTES_MAX, ID_BYTES_MAX, SCHEMA_BYTES_MAX, SOURCE_BYTES_MAX, SPECVERSION,
    SUBJECT_BYTES_MAX,
};

/// The codes, which never change.
pub mod codes {
    pub const EVENT_MALFORMED: &str = "EVENT_MALFORMED";
    pub const EVENT_ATTRIBUTE_MISSING: &str = "EVENT_ATTRIBUTE_MISSING";
    pub const EVENT_ATTRIBUTE_INVALID: &str = "EVENT_ATTRIBUTE_INVALID";
    pub const EVENT_ATTRIBUTE_REPEATED: &str = "EVENT_ATTRIBUTE_REPEATED";
    pub const EVENT_SPECVERSION_UNKNOWN: &str = "EVENT_SPECVERSION_UNKNOWN";
    pub const EVENT_DATA_INVALID: &str = "EVENT_DATA_INVALID";
    pub const EVENT_TOO_LARGE: &str = "EVENT_TOO_LARGE";
    pub const EVENTS_CUT_OFF: &str = "EVENTS_CUT_OFF";

    pub const ALL: [&str; 8] = [
        EVENT_MALFORMED,
        EVENT_ATTRIBUTE_MISSING,
        EVENT_ATTRIBUTE_INVALID,
        EVENT_ATTRIBUTE_REPEATED,
        EVENT_SPECVERSION_UNKNOWN,
        EVENT_DATA_INVALID,
        EVENT_TOO_LARGE,
        EVENTS_CUT_OFF,
    ];
}

/// Attributes in a refusal are told up to this length.
const TOLD_BYTES_MAX: usize = 256;
/// A cause is told up to this length.
pub const REASON_BYTES_MAX: usize = 400;

/// Why there is no event, in order of precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// More bytes than an event may have.
    TooLarge {
        bytes: usize,
    },
    /// Its bytes are no event in the form they claim to be.
    Malformed {
        reason: String,
    },
    AttributeRepeated {
        name: &'static str,
    },
    AttributeMissing {
        name: &'static str,
    },
    SpecversionUnknown {
        found: String,
    },
    AttributeInvalid {
        name: &'static str,
        reason: String,
    },
    /// `field` is `data`, `data_base64` or `datacontenttype`.
    DataInvalid {
        field: &'static str,
        reason: String,
    },
    /// The list of events ends before its end: this stands for all that would follow.
    CutOff {
        reason: &'static str,
    },
}

/// An event that was refused, with what could be read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub rejection: Rejection,
    pub told: Box<Told>,
    /// Of the event as it was sent.
    pub bytes: usize,
}

/// What a refused event says of itself, as far as it could be read, cut to a bound.
/// Empty where nothing stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub tenant: Option<TenantId>,
    pub source: String,
    pub id: String,
    pub kind: String,
}

impl Rejection {
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => codes::EVENT_TOO_LARGE,
            Self::Malformed { .. } => codes::EVENT_MALFORMED,
            Self::AttributeRepeated { .. } => codes::EVENT_ATTRIBUTE_REPEATED,
            Self::AttributeMissing { .. } => codes::EVENT_ATTRIBUTE_MISSING,
            Self::SpecversionUnknown { .. } => codes::EVENT_SPECVERSION_UNKNOWN,
            Self::AttributeInvalid { .. } => codes::EVENT_ATTRIBUTE_INVALID,
            Self::DataInvalid { .. } => codes::EVENT_DATA_INVALID,
            Self::CutOff { .. } => codes::EVENTS_CUT_OFF,
        }
    }

    /// The attribute or member at fault; empty when it is the event as a whole.
    pub fn field(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::Malformed { .. } | Self::CutOff { .. } => "",
            Self::AttributeRepeated { name }
            | Self::AttributeMissing { name }
            | Self::AttributeInvalid { name, .. } => name,
            Self::SpecversionUnknown { .. } => "specversion",
            Self::DataInvalid { field, .. } => field,
        }
    }
}

/// What is wrong, and what to do.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => write!(
                f,
                "the event has {bytes} bytes: send at most {EVENT_BYTES_MAX}, and keep large \
                 content elsewhere"
            ),
            Self::Malformed { reason } => write!(f, "{reason}"),
            Self::AttributeRepeated { name } => write!(f, "{name} stands twice: send it once"),
            Self::AttributeMissing { name: "tenant" } => f.write_str(
                "tenant is missing: name the tenant whose use this is, as an extension attribute",
            ),
            Self::AttributeMissing { name } => {
                write!(f, "{name} is missing: CloudEvents {SPECVERSION} asks for it")
            }
            Self::SpecversionUnknown { found } => {
                write!(f, "specversion must be {SPECVERSION}, not {found:?}")
            }
            Self::AttributeInvalid { name, reason } => write!(f, "{name} {reason}"),
            Self::DataInvalid { field, reason } => write!(f, "{field} {reason}"),
            Self::CutOff { reason } => write!(
                f,
                "the list of events is cut off: {reason}; send again what has no verdict before \
                 this one"
            ),
        }
    }
}

impl core::error::Error for Rejection {}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self { rejection, told: Box::default(), bytes: 0 }
    }
}

/// The longest value of an attribute, in bytes.
pub(super) fn bytes_max(name: &str) -> usize {
    match name {
        "id" => ID_BYTES_MAX,
        "source" => SOURCE_BYTES_MAX,
        "subject" => SUBJECT_BYTES_MAX,
        "dataschema" => SCHEMA_BYTES_MAX,
        _ => crate::EVENT_TYPE_CHARS_MAX,
    }
}

pub(super) fn tenant_invalid(error: IdError) -> Rejection {
    let reason = format!("{error}: it is the id of a tenant");
    Rejection::AttributeInvalid { name: "tenant", reason }
}

/// `text` up to a bound.
pub(super) fn told(text: &str) -> String {
    cut(text, TOLD_BYTES_MAX).to_owned()
}

/// `text` up to `bytes_max`, between characters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let fits = |at: &usize| text.is_char_boundary(*at);
    let end = (0..=bytes_max.min(text.len())).rev().find(fits);
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
