//! One schema, compiled, and what of an event's data does not keep to it.

use core::fmt::{self, Write as _};

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

use crate::rejection::Rejection;
use crate::rules::{self, SCHEMA_BYTES_MAX};

/// Further violations of one event are not told.
pub const VIOLATIONS_MAX: usize = 8;

/// Of a compiled pattern, and of the memory that matching takes.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
const MESSAGE_BYTES_MAX: usize = 200;

/// A schema that was compiled.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
}

/// A value that does not keep to the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path in the data, such as `$.tokens`; `$` for the data as a whole.
    pub field: String,
    /// What it must be, without the value itself.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl Schema {
    /// Compiles a schema of draft 4, 6, 7, 2019-09 or 2020-12; of the last when it does
    /// not say. `format` is a note, and not checked.
    pub fn compile(text: &str) -> Result<Self, Rejection> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(Rejection::TooLarge);
        }
        let schema: Value = serde_json::from_str(text)
            .map_err(|error| Rejection::Invalid { reason: short(&error.to_string()) })?;
        if !schema.is_object() && !schema.is_boolean() {
            return Err(Rejection::Invalid { reason: "it must be an object".to_owned() });
        }
        let draft = draft(&schema)?;
        rules::check(&schema)?;
        let patterns =
            PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let options = jsonschema::options()
            .with_draft(draft)
            .with_pattern_options(patterns)
            .should_validate_formats(false)
            .offline();
        let validator = options.build(&schema).map_err(|error| Rejection::Invalid {
            reason: short(&format!("{} ({})", error.masked(), error.instance_path())),
        })?;
        Ok(Self { validator })
    }

    /// What of `data`, which is JSON, does not keep to the schema; nothing when all of it
    /// does.
    pub fn check(&self, data: &str) -> Vec<Violation> {
        let value: Value = match serde_json::from_str(data) {
            Ok(value) => value,
            // Of numbers that no double holds.
            Err(error) => {
                let message = short(&error.to_string());
                return vec![Violation { field: "$".to_owned(), message }];
            }
        };
        if self.validator.is_valid(&value) {
            return Vec::new();
        }
        self.validator.iter_errors(&value).take(VIOLATIONS_MAX).map(|it| violation(&it)).collect()
    }
}

fn draft(schema: &Value) -> Result<Draft, Rejection> {
    let Some(name) = schema.get("$schema") else { return Ok(Draft::Draft202012) };
    let name = name.as_str().unwrap_or_default().trim_end_matches('#');
    Ok(match name.split_once("://").map_or(name, |it| it.1) {
        "json-schema.org/draft/2020-12/schema" => Draft::Draft202012,
        "json-schema.org/draft/2019-09/schema" => Draft::Draft201909,
        "json-schema.org/draft-07/schema" => Draft::Draft7,
        "json-schema.org/draft-06/schema" => Draft::Draft6,
        "json-schema.org/draft-04/schema" => Draft::Draft4,
        _ => {
            let reason = "$schema must name draft-04, -06, -07, 2019-09 or 2020-12".to_owned();
            return Err(Rejection::Invalid { reason });
        }
    })
}

fn violation(error: &ValidationError<'_>) -> Violation {
    Violation {
        field: path(&error.instance_path().to_string()),
        message: short(&error.masked().to_string()),
    }
}

/// A JSON pointer as a path.
fn path(pointer: &str) -> String {
    let mut out = String::from("$");
    for step in pointer.split('/').skip(1) {
        let name = step.replace("~1", "/").replace("~0", "~");
        let is_plain = |it: char| it == '_' || it == '-' || it.is_alphanumeric();
        // Writing to a String cannot fail.
        let _ = if !name.is_empty() && name.bytes().all(|it| it.is_ascii_digit()) {
            write!(out, "[{name}]")
        } else if !name.is_empty() && name.chars().all(is_plain) {
            write!(out, ".{name}")
        } else {
            write!(out, "['{name}']")
        };
    }
    short(&out)
}

fn short(text: &str) -> String {
    rules::cut(text, MESSAGE_BYTES_MAX)
}
