//! The tables of `docs/reference/calendar.md` are what the code gives.
//! `UPDATE_EXPECT=1` writes them anew.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]
#![expect(clippy::disallowed_methods, reason = "this test reads and writes a page")]

use std::fmt::Write as _;

use chrono::NaiveDateTime;
use exchequer_types::{Anchor, Cycle, Timestamp, Zone};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/calendar.md");

/// A row: the anchor's local time, its zone, the cycle, and the boundaries to show.
type Case = (&'static str, &'static str, &'static str, &'static [u32]);

const ENDS_OF_MONTHS: &[Case] = &[
    ("2026-01-31T10:00:00", "UTC", "month", &[0, 1, 2, 3, 4, 5, 12, 13]),
    ("2027-10-30T10:00:00", "UTC", "month", &[1, 2, 3, 4, 5]),
    ("2027-01-29T10:00:00", "UTC", "month", &[1, 2, 12, 13, 14]),
    ("2026-08-31T23:59:59.999999", "Asia/Ho_Chi_Minh", "month", &[1, 6, 7]),
    ("2026-01-31T00:00:00", "America/New_York", "3 months", &[0, 1, 2, 3, 4]),
    ("2026-12-31T18:30:00", "Europe/London", "2 months", &[1, 2, 7]),
];

const LEAP_DAYS: &[Case] = &[
    ("2028-02-29T12:00:00", "UTC", "year", &[1, 2, 3, 4, 72]),
    ("2028-02-29T12:00:00", "UTC", "2 years", &[1, 2]),
    ("2028-02-29T12:00:00", "UTC", "month", &[1, 12, 48]),
    ("2027-08-31T12:00:00", "UTC", "6 months", &[1, 2, 3]),
    ("2028-02-28T12:00:00", "UTC", "2 days", &[1, 2]),
    ("2028-02-22T12:00:00", "UTC", "week", &[1, 2]),
];

const OFFSETS: &[Case] = &[
    ("2026-01-31T00:00:00", "Asia/Kolkata", "month", &[0, 1, 2]),
    ("2026-01-31T00:00:00", "Asia/Kathmandu", "month", &[0, 1, 2]),
    ("2026-01-31T00:00:00", "America/St_Johns", "month", &[0, 1, 2]),
    ("2026-03-31T12:00:00", "Pacific/Chatham", "month", &[0, 1, 6]),
    ("2026-03-31T12:00:00", "Australia/Eucla", "month", &[0, 1]),
    ("2026-03-31T12:00:00", "Pacific/Kiritimati", "month", &[0, 1]),
];

const GAPS: &[Case] = &[
    ("2026-02-28T02:30:00", "Europe/Berlin", "29 days", &[1, 2]),
    ("2026-02-08T02:30:00", "America/New_York", "month", &[1, 2]),
    ("2026-09-04T02:15:00", "Australia/Lord_Howe", "month", &[1, 2]),
    ("2026-03-24T00:00:00", "Africa/Cairo", "month", &[1, 2]),
    ("2026-08-06T00:00:00", "America/Santiago", "month", &[1, 2]),
    ("2018-10-04T00:00:00", "America/Sao_Paulo", "month", &[1, 2]),
    ("2026-09-27T02:45:00", "Pacific/Chatham", "day", &[0, 1]),
];

const OVERLAPS: &[Case] = &[
    ("2026-09-25T02:30:00", "Europe/Berlin", "month", &[1, 2]),
    ("2026-10-01T01:30:00", "America/New_York", "month", &[1, 2]),
    ("2026-03-05T01:45:00", "Australia/Lord_Howe", "month", &[1, 2]),
    ("2026-03-04T23:30:00", "America/Santiago", "month", &[1, 2]),
    ("2026-03-05T03:00:00", "Pacific/Chatham", "month", &[1, 2]),
];

const SKIPPED_DAY: &[Case] = &[
    ("2011-12-29T10:00:00", "Pacific/Apia", "day", &[0, 1, 2, 3]),
    ("2011-12-29T00:00:00", "Pacific/Apia", "day", &[0, 1, 2, 3]),
    ("2011-11-30T10:00:00", "Pacific/Apia", "month", &[0, 1, 2]),
];

/// Starts as instants, their zone, and the cycle.
const LATE_STARTS: &[(&str, &str, &str)] = &[
    ("2026-10-25T00:30:00Z", "Europe/Berlin", "month"),
    ("2026-10-25T01:30:00Z", "Europe/Berlin", "month"),
    ("2026-04-04T15:15:00Z", "Australia/Lord_Howe", "month"),
];

/// The anchor's local time, its zone, the cycle, the number of the period in which the zone
/// changes, and the new zone.
const CHANGES_OF_ZONE: &[(&str, &str, &str, u32, &str)] = &[
    ("2026-01-31T10:00:00", "America/Los_Angeles", "month", 2, "Asia/Tokyo"),
    ("2026-01-31T10:00:00", "Asia/Tokyo", "month", 2, "America/Los_Angeles"),
    ("2026-01-31T22:00:00", "Europe/Paris", "month", 0, "Asia/Kathmandu"),
    ("2026-06-01T09:00:00", "Pacific/Honolulu", "day", 3, "Pacific/Kiritimati"),
    ("2026-06-01T09:00:00", "Pacific/Kiritimati", "day", 3, "Pacific/Honolulu"),
];

// REQ: BIL-03
#[test]
fn the_published_tables_are_what_the_code_gives() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let mut computed = page.clone();
    let edition = format!("These tables: edition {} of the tz database.\n", Zone::EDITION);
    for (name, table) in [
        ("edition", edition),
        ("ends-of-months", periods(ENDS_OF_MONTHS)),
        ("leap-days", periods(LEAP_DAYS)),
        ("offsets", periods(OFFSETS)),
        ("gaps", periods(GAPS)),
        ("overlaps", periods(OVERLAPS)),
        ("late-starts", late_starts()),
        ("changes-of-zone", changes_of_zone()),
        ("skipped-day", periods(SKIPPED_DAY)),
    ] {
        computed = with_table(&computed, name, &table);
    }
    if computed != page && std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(PAGE, &computed).unwrap();
        return;
    }
    assert!(computed == page, "the page differs; UPDATE_EXPECT=1 makes it:\n{computed}");
}

/// The page with `table` between the marks of `name`.
fn with_table(page: &str, name: &str, table: &str) -> String {
    let mark = format!("<!-- {name} -->\n");
    let (before, rest) = page.split_once(&mark).unwrap_or_else(|| panic!("no mark {name}"));
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    format!("{before}{mark}\n{table}\n<!-- end -->{after}").replace("\n\n\n", "\n\n")
}

fn periods(cases: &[Case]) -> String {
    let mut table =
        head(&["anchor", "zone", "cycle", "n", "starts, local", "starts, UTC", "lasts"]);
    for (local, name, cycle, numbers) in cases {
        let (anchor, cycle) = (anchor(local, name), Cycle::parse(cycle).unwrap());
        for n in *numbers {
            let start = anchor.boundary(cycle, *n).unwrap();
            let lasts = anchor
                .period(cycle, *n)
                .map_or_else(|| "left out".to_owned(), |it| duration(it.seconds()));
            let n = n.to_string();
            let cycle = cycle.to_string();
            let (shown, utc) = (shown(start, anchor.zone), start.to_string());
            row(&mut table, &[&human(anchor.local), name, &cycle, &n, &shown, &utc, &lasts]);
        }
    }
    table
}

fn late_starts() -> String {
    let mut table = head(&[
        "starts, UTC",
        "zone",
        "cycle",
        "starts, local",
        "boundary 0, UTC",
        "first end, UTC",
    ]);
    for (start, name, cycle) in LATE_STARTS {
        let (at, zone) = (Timestamp::parse(start).unwrap(), Zone::parse(name).unwrap());
        let (anchor, parsed) = (Anchor::of(at, zone), Cycle::parse(cycle).unwrap());
        let zeroth = anchor.boundary(parsed, 0).unwrap().to_string();
        let (_, end) = anchor.next_after(parsed, 1, at).unwrap();
        row(&mut table, &[start, name, cycle, &shown(at, zone), &zeroth, &end.to_string()]);
    }
    table
}

fn changes_of_zone() -> String {
    let columns = ["anchor", "cycle", "n", "", "zone", "starts, local", "starts, UTC", "lasts"];
    let mut table = head(&columns);
    for (local, from, cycle, changed, to) in CHANGES_OF_ZONE {
        let (old, parsed) = (anchor(local, from), Cycle::parse(cycle).unwrap());
        let new = old.in_zone(Zone::parse(to).unwrap());
        let held = old.period(parsed, *changed).unwrap();
        let mut line = |n: u32, note: &str, name: &str, start: Timestamp, end: Timestamp| {
            let lasts = duration(exchequer_types::Period { start, end }.seconds());
            let shown = shown(start, Zone::parse(name).unwrap());
            let (n, start) = (n.to_string(), start.to_string());
            let anchor = human(old.local);
            row(&mut table, &[&anchor, cycle, &n, note, name, &shown, &start, &lasts]);
        };
        line(*changed, "moved", from, held.start, held.end);
        let mut start = held.end;
        // Boundary `changed` + 1 is the current end, whatever the new zone says of it.
        let mut next = changed + 2;
        for _ in 0..3 {
            let (index, end) = new.next_after(parsed, next, start).unwrap();
            line(index - 1, "", to, start, end);
            (start, next) = (end, index + 1);
        }
    }
    table
}

fn anchor(local: &str, zone: &str) -> Anchor {
    Anchor { local: local.parse().unwrap(), zone: Zone::parse(zone).unwrap() }
}

/// Local time with the offset from UTC.
fn shown(at: Timestamp, zone: Zone) -> String {
    let local = zone.local(at);
    let seconds = (local.and_utc().timestamp_micros() - at.micros()) / 1_000_000;
    let (sign, size) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
    format!("{} {sign}{:02}:{:02}", human(local), size / 3_600, size / 60 % 60)
}

fn human(local: NaiveDateTime) -> String {
    let text = format!("{} {}", local.date(), local.time());
    text.strip_suffix(":00").unwrap_or(&text).to_owned()
}

fn duration(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min")];
    let words = parts.iter().filter(|(count, _)| *count > 0);
    words.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

fn head(columns: &[&str]) -> String {
    let mut table = String::new();
    row(&mut table, columns);
    row(&mut table, &vec!["---"; columns.len()]);
    table.replace(" --- ", "---")
}

fn row(table: &mut String, cells: &[&str]) {
    for cell in cells {
        write!(table, "| {cell} ").unwrap();
    }
    table.push_str("|\n");
}
