//! Every business "no" of the domain, with its stable code. What is wrong within a
//! flag has the code that the compiler of flags gives it.

use exchequer_flag_eval::{Kind, Violation, codes as eval};
use exchequer_kernel::{FieldFault, Reason};

pub const PROJECTS_MAX: usize = 50;
/// Of a project.
pub const ENVIRONMENTS_MAX: usize = 50;
/// Of a flag with all its environments.
pub const FLAG_BYTES_MAX: usize = 64 * 1024;
/// Of all flags of a provider: they are decided with, and kept, as one state.
pub const FLAGS_BYTES_MAX: usize = 8 * 1024 * 1024;
pub const NAME_CHARS_MAX: usize = 200;
pub const DESCRIPTION_CHARS_MAX: usize = 4_000;
pub const TAGS_MAX: usize = 50;
pub const TAG_CHARS_MAX: usize = 63;
/// Of an environment.
pub const SALT_CHARS_MAX: usize = 100;
/// Violations that one message tells.
const VIOLATIONS_TOLD_MAX: usize = 5;

/// The codes, which never change. Beside them stand those of
/// [`exchequer_flag_eval::codes`].
pub mod codes {
    pub const PROJECT_EXISTS: &str = "PROJECT_EXISTS";
    pub const PROJECT_NOT_FOUND: &str = "PROJECT_NOT_FOUND";
    pub const PROJECTS_TOO_MANY: &str = "PROJECTS_TOO_MANY";
    pub const ENVIRONMENT_EXISTS: &str = "ENVIRONMENT_EXISTS";
    pub const ENVIRONMENT_NOT_FOUND: &str = "ENVIRONMENT_NOT_FOUND";
    pub const ENVIRONMENTS_TOO_MANY: &str = "ENVIRONMENTS_TOO_MANY";
    pub const ENVIRONMENT_SALT_INVALID: &str = "ENVIRONMENT_SALT_INVALID";
    pub const FLAG_EXISTS: &str = "FLAG_EXISTS";
    pub const FLAG_NOT_FOUND: &str = "FLAG_NOT_FOUND";
    pub const FLAG_ARCHIVED: &str = "FLAG_ARCHIVED";
    pub const FLAG_NOT_ARCHIVED: &str = "FLAG_NOT_ARCHIVED";
    pub const FLAG_UNCHANGED: &str = "FLAG_UNCHANGED";
    pub const FLAG_KIND_FIXED: &str = "FLAG_KIND_FIXED";
    pub const FLAG_SPLIT_NOT_FOUND: &str = "FLAG_SPLIT_NOT_FOUND";
    pub const FLAG_TOO_LARGE: &str = "FLAG_TOO_LARGE";
    pub const FLAGS_TOO_LARGE: &str = "FLAGS_TOO_LARGE";
    pub const FLAG_TAGS_INVALID: &str = "FLAG_TAGS_INVALID";
    pub const NAME_INVALID: &str = "NAME_INVALID";
    pub const DESCRIPTION_INVALID: &str = "DESCRIPTION_INVALID";
}

/// Why a command was refused, in order of precedence within each command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    ProjectExists,
    ProjectNotFound,
    ProjectsTooMany,
    EnvironmentExists,
    EnvironmentNotFound,
    EnvironmentsTooMany,
    EnvironmentSaltInvalid,
    FlagExists,
    FlagNotFound,
    FlagArchived,
    FlagNotArchived,
    FlagsTooMany,
    /// The command would change nothing.
    Unchanged,
    /// The flag's values are of this kind, for ever.
    KindFixed {
        kind: Kind,
    },
    /// No split stands there whose weights could be changed.
    SplitNotFound,
    NameInvalid,
    DescriptionInvalid,
    TagsInvalid,
    /// The flag would not compile. At least one violation; its paths begin within
    /// `field`.
    Invalid {
        field: &'static str,
        violations: Vec<Violation>,
    },
    FlagTooLarge {
        bytes: usize,
    },
    FlagsTooLarge,
}

impl Reason for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::ProjectExists => codes::PROJECT_EXISTS,
            Self::ProjectNotFound => codes::PROJECT_NOT_FOUND,
            Self::ProjectsTooMany => codes::PROJECTS_TOO_MANY,
            Self::EnvironmentExists => codes::ENVIRONMENT_EXISTS,
            Self::EnvironmentNotFound => codes::ENVIRONMENT_NOT_FOUND,
            Self::EnvironmentsTooMany => codes::ENVIRONMENTS_TOO_MANY,
            Self::EnvironmentSaltInvalid => codes::ENVIRONMENT_SALT_INVALID,
            Self::FlagExists => codes::FLAG_EXISTS,
            Self::FlagNotFound => codes::FLAG_NOT_FOUND,
            Self::FlagArchived => codes::FLAG_ARCHIVED,
            Self::FlagNotArchived => codes::FLAG_NOT_ARCHIVED,
            Self::FlagsTooMany => eval::FLAGS_TOO_MANY,
            Self::Unchanged => codes::FLAG_UNCHANGED,
            Self::KindFixed { .. } => codes::FLAG_KIND_FIXED,
            Self::SplitNotFound => codes::FLAG_SPLIT_NOT_FOUND,
            Self::NameInvalid => codes::NAME_INVALID,
            Self::DescriptionInvalid => codes::DESCRIPTION_INVALID,
            Self::TagsInvalid => codes::FLAG_TAGS_INVALID,
            Self::Invalid { violations, .. } => {
                violations.first().map_or(eval::FLAG_VALUE_INVALID, |it| it.code)
            }
            Self::FlagTooLarge { .. } => codes::FLAG_TOO_LARGE,
            Self::FlagsTooLarge => codes::FLAGS_TOO_LARGE,
        }
    }

    fn field(&self) -> Option<&'static str> {
        Some(match self {
            Self::ProjectExists | Self::ProjectNotFound => "project",
            Self::EnvironmentExists | Self::EnvironmentNotFound => "environment",
            Self::EnvironmentSaltInvalid => "salt",
            Self::FlagExists | Self::FlagNotFound | Self::FlagArchived | Self::FlagNotArchived => {
                "flag"
            }
            Self::KindFixed { .. } => "kind",
            Self::SplitNotFound => "rule",
            Self::NameInvalid => "name",
            Self::DescriptionInvalid => "description",
            Self::TagsInvalid => "tags",
            Self::Invalid { field, .. } => field,
            _ => return None,
        })
    }

    fn message(&self) -> String {
        match self {
            Self::ProjectExists => "a project of this key exists".to_owned(),
            Self::ProjectNotFound => "no project of this key exists: create it first".to_owned(),
            Self::ProjectsTooMany => format!("a tenant has at most {PROJECTS_MAX} projects"),
            Self::EnvironmentExists => "the project has an environment of this key".to_owned(),
            Self::EnvironmentNotFound => {
                "the project has no environment of this key: create it first".to_owned()
            }
            Self::EnvironmentsTooMany => {
                format!("a project has at most {ENVIRONMENTS_MAX} environments")
            }
            Self::EnvironmentSaltInvalid => {
                format!("must have at most {SALT_CHARS_MAX} characters, visible ASCII")
            }
            Self::FlagExists => {
                "the project has a flag of this key, archived ones among them".to_owned()
            }
            Self::FlagNotFound => "the project has no flag of this key".to_owned(),
            Self::FlagArchived => "the flag is archived: restore it first".to_owned(),
            Self::FlagNotArchived => "the flag is not archived".to_owned(),
            Self::FlagsTooMany => {
                format!(
                    "a project has at most {} flags, archived ones too",
                    crate::LIMITS.flags_max
                )
            }
            Self::Unchanged => "the command would change nothing".to_owned(),
            Self::KindFixed { kind } => format!(
                "the flag's values are {}, and a flag keeps its kind: create another flag",
                plural(*kind)
            ),
            Self::SplitNotFound => {
                "no percentages stand there: name a rule that splits, or none for the fallthrough"
                    .to_owned()
            }
            Self::NameInvalid => format!(
                "must have 1 to {NAME_CHARS_MAX} characters, none of them control characters"
            ),
            Self::DescriptionInvalid => format!(
                "must have at most {DESCRIPTION_CHARS_MAX} characters, no control characters but \
                 line ends and tabs"
            ),
            Self::TagsInvalid => format!(
                "must be at most {TAGS_MAX}, each once, of 1 to {TAG_CHARS_MAX} characters, none \
                 of them control characters"
            ),
            Self::Invalid { violations, .. } => told(violations),
            Self::FlagTooLarge { bytes } => format!(
                "the flag would have {bytes} bytes with all its environments, and may have \
                 {FLAG_BYTES_MAX}"
            ),
            Self::FlagsTooLarge => {
                format!("a tenant's flags have at most {FLAGS_BYTES_MAX} bytes together")
            }
        }
    }

    fn faults(&self) -> Vec<FieldFault> {
        match self {
            Self::Invalid { field, violations } => {
                violations.iter().map(|it| fault(field, it)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// As the request has it. What an environment makes of the flag is not in a request that
/// changes its definition: what it needs is missing from the variants.
fn fault(field: &str, it: &Violation) -> FieldFault {
    if it.path.starts_with("targeting[") {
        return FieldFault { field: field.to_owned(), message: it.to_string() };
    }
    FieldFault { field: it.path.clone(), message: it.message.clone() }
}

fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "booleans",
        Kind::Text => "texts",
    }
}

fn told(violations: &[Violation]) -> String {
    let texts = violations.iter().take(VIOLATIONS_TOLD_MAX).map(ToString::to_string);
    let mut text = texts.collect::<Vec<_>>().join("; ");
    if violations.len() > VIOLATIONS_TOLD_MAX {
        text.push_str("; and more");
    }
    text
}
