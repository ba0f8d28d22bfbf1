//! The settings in force as TOML, each with what it means. Secrets are left out.

use core::fmt::Write as _;

use super::section::Field;
use super::value::Shown;

/// A section as it is dumped.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) table: &'static str,
    pub(super) about: &'static str,
    pub(super) fields: Vec<Field>,
}

/// As a file that the process would read.
pub(super) fn toml(sections: &[Described]) -> String {
    let mut out = String::new();
    for section in sections {
        if !out.is_empty() {
            out.push('\n');
        }
        comment(&mut out, section.about);
        if !section.table.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "[{}]", section.table);
        }
        for field in &section.fields {
            out.push('\n');
            comment(&mut out, field.doc);
            about(&mut out, field);
            let _ = match &field.shown {
                Shown::Value(text) => writeln!(out, "{} = {text}", field.key),
                Shown::Unset => writeln!(out, "# {} =", field.key),
                Shown::Hidden => writeln!(out, "# {} is set; secrets are not shown", field.key),
            };
        }
    }
    out
}

/// Unit and default.
fn about(out: &mut String, field: &Field) {
    let default = match &field.default {
        Shown::Value(text) => format!("Default: {text}"),
        Shown::Unset | Shown::Hidden => "Not set by default".to_owned(),
    };
    let unit = if field.unit.is_empty() { String::new() } else { format!(" ({})", field.unit) };
    let _ = writeln!(out, "# {default}{unit}");
}

fn comment(out: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "# {}", line.trim());
    }
}
