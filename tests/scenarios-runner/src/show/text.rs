//! How anything that is shown is written: sheets, tables, amounts and times.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use exchequer_types::{Currency, Money, Timestamp, Zone};

pub(crate) fn none() -> String {
    "-".to_owned()
}

pub(crate) fn listed(texts: &BTreeMap<String, String>) -> String {
    let texts: Vec<String> = texts.iter().map(|(key, value)| format!("{key}={value}")).collect();
    texts.join(" ")
}

/// `12.34 USD`
pub(crate) fn money(minor: i64, currency: Currency) -> String {
    Money::new(minor, currency).to_string()
}

/// `12.34`
pub(crate) fn amount(minor: i64, currency: Currency) -> String {
    Money::new(minor, currency).decimal().to_string()
}

/// The instant, and what clocks show then in a zone that is not UTC.
pub(crate) fn time(at: Timestamp, zone: Zone) -> String {
    if zone == Zone::UTC { at.to_string() } else { format!("{at} ({} there)", local(at, zone)) }
}

/// What clocks show in `zone`: day, hour and minute.
pub(crate) fn local(at: Timestamp, zone: Zone) -> String {
    zone.local(at).format("%Y-%m-%d %H:%M").to_string()
}

/// Facts one below the other; those without a value are left out.
pub(crate) fn sheet(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(out, "{name:width$}  {value}");
    }
    out
}

/// Rows below their heads, each column as wide as it must be. A head with `>` before
/// it is that of a column of numbers.
pub(crate) fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return "none\n".to_owned();
    }
    let is_number: Vec<bool> = heads.iter().map(|head| head.starts_with('>')).collect();
    let heads: Vec<String> =
        heads.iter().map(|head| head.trim_start_matches('>').to_owned()).collect();
    let mut widths = vec![0; heads.len()];
    for row in core::iter::once(&heads).chain(&rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in core::iter::once(&heads).chain(&rows) {
        let cells = row.iter().zip(&widths).zip(&is_number);
        let cells = cells.map(|((cell, width), is_number)| match is_number {
            true => format!("{cell:>width$}"),
            false => format!("{cell:width$}"),
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}
