//! Properties of the calendar over fifty years and every zone of the tz database. What a
//! boundary must be is computed here in another way than the code does.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime};
use exchequer_types::{Anchor, Cycle, CycleError, CycleUnit, Period, Timestamp, Zone};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

fn anchor(start: &str, name: &str) -> Anchor {
    Anchor::of(at(start), zone(name))
}

fn local(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

fn earlier(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp::saturating_from_micros(at.micros() - micros)
}

/// The local time at which boundary `n` should be.
fn wanted(anchor: &Anchor, cycle: Cycle, n: u32) -> NaiveDateTime {
    let date = anchor.local.date();
    let units = n * cycle.count();
    let months = match cycle.unit() {
        CycleUnit::Day | CycleUnit::Week => {
            let days = if cycle.unit() == CycleUnit::Week { 7 * units } else { units };
            return (date + Days::new(u64::from(days))).and_time(anchor.local.time());
        }
        CycleUnit::Month => units,
        CycleUnit::Year => 12 * units,
    };
    let month = date.month0() + months;
    let year = date.year() + i32::try_from(month / 12).unwrap();
    let day = |day| NaiveDate::from_ymd_opt(year, month % 12 + 1, day);
    let date = (1..=date.day()).rev().find_map(day).unwrap();
    date.and_time(anchor.local.time())
}

/// The instants up to 26 hours around `near` at which the clocks of `zone` show `local`.
fn shown_at(zone: Zone, local: NaiveDateTime, near: Timestamp) -> Vec<i64> {
    let micros = local.and_utc().timestamp_micros();
    let mut found: Vec<i64> = (-104..=104)
        .map(|quarter| Timestamp::saturating_from_micros(near.micros() + quarter * HOUR / 4))
        .map(|it| micros - (zone.local(it).and_utc().timestamp_micros() - it.micros()))
        .filter(|it| Timestamp::from_micros(*it).is_ok_and(|it| zone.local(it) == local))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Walks the boundaries until `until`, and fails where one is not what it must be.
fn walk(anchor: Anchor, cycle: Cycle, until: Timestamp) {
    let of = |n: u32| format!("{anchor:?}, {cycle}, boundary {n}");
    let zone = anchor.zone;
    let mut last: Option<Timestamp> = None;
    for n in 0.. {
        let start = anchor.boundary(cycle, n).unwrap_or_else(|| panic!("{}", of(n)));
        if start > until {
            return;
        }
        let wanted = wanted(&anchor, cycle, n);
        let shown = zone.local(start);
        let around = [26, 13, 2].map(|hours| earlier(start, hours * HOUR));
        let offset = |it: Timestamp| zone.local(it).and_utc().timestamp_micros() - it.micros();
        if shown != wanted {
            assert!(shown > wanted, "{} comes at {shown}", of(n));
            assert!(zone.local(earlier(start, 1)) < wanted, "{} comes late at {shown}", of(n));
            assert_eq!(shown_at(zone, wanted, start), [], "{} is in no gap", of(n));
        } else if around.iter().any(|it| offset(*it) != offset(start)) {
            let first = shown_at(zone, wanted, start)[0];
            assert_eq!(first, start.micros(), "{} is not the first", of(n));
        }
        assert_eq!(anchor.index_at(cycle, start), Some(n), "{}", of(n));
        if let Some(last) = last {
            assert!(last < start, "{} does not come after the one before", of(n));
            let period = Period { start: last, end: start };
            assert_eq!(anchor.period(cycle, n - 1), Some(period), "{}", of(n));
            assert_eq!(anchor.index_at(cycle, earlier(start, 1)), Some(n - 1), "{}", of(n));
            assert_eq!(anchor.next_after(cycle, 0, last), Some((n, start)), "{}", of(n));
        }
        last = Some(start);
    }
}

// REQ: BIL-03
#[test]
fn fifty_years_of_months_from_the_31st_in_every_zone() {
    for zone in Zone::all() {
        // 02:30 lies in most gaps and overlaps.
        let local = local("2026-01-31T02:30:00.000001");
        walk(Anchor { local, zone }, Cycle::MONTH, at("2076-02-01T00:00:00Z"));
    }
}

// REQ: BIL-03
#[test]
fn fifty_years_of_months_of_the_past_at_midnight_in_every_zone() {
    for zone in Zone::all() {
        let local = local("1971-08-30T00:00:00");
        walk(Anchor { local, zone }, Cycle::MONTH, at("2021-09-01T00:00:00Z"));
    }
}

// REQ: BIL-03
#[test]
fn every_day_of_a_year_in_every_zone() {
    for zone in Zone::all() {
        for time in ["00:00:00", "01:45:00", "02:15:00"] {
            let local = local(&format!("2025-12-31T{time}"));
            let day = Cycle::new(CycleUnit::Day, 1).unwrap();
            walk(Anchor { local, zone }, day, at("2027-01-31T12:00:00Z"));
        }
    }
}

// REQ: BIL-03
#[test]
fn fifty_years_from_a_leap_day_in_every_zone() {
    for zone in Zone::all() {
        let local = local("2024-02-29T23:59:59.999999");
        walk(Anchor { local, zone }, Cycle::YEAR, at("2075-01-01T00:00:00Z"));
    }
}

fn cycles() -> impl Strategy<Value = Cycle> {
    proptest::sample::select(CycleUnit::ALL.to_vec()).prop_flat_map(|unit| {
        (1..=unit.count_max()).prop_map(move |count| Cycle::new(unit, count).unwrap())
    })
}

fn zones() -> impl Strategy<Value = Zone> {
    proptest::sample::select(Zone::all().collect::<Vec<_>>())
}

/// Any instant of the years 1972 to 2050.
fn instants() -> impl Strategy<Value = Timestamp> {
    (at("1972-01-01T00:00:00Z").micros()..at("2050-01-01T00:00:00Z").micros())
        .prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

/// Whether the zone leaves a whole date out between the two instants.
fn skips_a_date(zone: Zone, from: Timestamp, to: Timestamp) -> bool {
    let days = (to.micros() - from.micros()) / DAY;
    (0..=days).any(|day| {
        let there = Timestamp::saturating_from_micros(from.micros() + day * DAY);
        let next = Timestamp::saturating_from_micros(there.micros() + DAY);
        let passed = zone.local(next).and_utc() - zone.local(there).and_utc();
        passed.num_hours() >= 44
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // REQ: BIL-03
    #[test]
    fn any_cycle_from_any_instant_in_any_zone(
        start in instants(), zone in zones(), cycle in cycles(),
    ) {
        let years = if cycle.unit() == CycleUnit::Day && cycle.count() < 28 { 4 } else { 50 };
        let until = earlier(start, -years * 366 * DAY);
        if cycle == Cycle::new(CycleUnit::Day, 1).unwrap() && skips_a_date(zone, start, until) {
            return Ok(());
        }
        walk(Anchor::of(start, zone), cycle, until);
    }

    #[test]
    fn an_anchor_is_kept_whole_in_its_stored_form(start in instants(), zone in zones()) {
        let anchor = Anchor::of(start, zone);
        prop_assert_eq!(Anchor::from_local_micros(anchor.local_micros(), zone), Some(anchor));
        // The first boundary is the start, or an hour before it in an overlap.
        let first = anchor.boundary(Cycle::MONTH, 0).unwrap();
        prop_assert!(first <= start && start.micros() - first.micros() <= DAY);
        prop_assert_eq!(zone.local(first), zone.local(start));
    }

    // REQ: BIL-03
    #[test]
    fn after_a_change_of_zone_periods_still_abut_and_none_is_long(
        start in instants(), from in zones(), to in zones(), cycle in cycles(), n in 0_u32..40,
    ) {
        let old = Anchor::of(start, from);
        let Some(held) = old.period(cycle, n) else { return Ok(()) };
        let new = old.in_zone(to);
        let (index, end) = new.next_after(cycle, n + 2, held.end).unwrap();
        prop_assert!(end > held.end);
        // One cycle, and at most the two days and a half by which zones can differ.
        let cycle_micros = new.boundary(cycle, n + 2).unwrap().micros() - held.end.micros();
        prop_assert!(index == n + 2 || (index == n + 3 && cycle_micros <= 0));
        let (following, next_end) = new.next_after(cycle, index + 1, end).unwrap();
        prop_assert_eq!(following, index + 1);
        prop_assert_eq!(new.period(cycle, index), Some(Period { start: end, end: next_end }));
    }

    #[test]
    fn boundaries_never_panic(
        micros in i64::MIN / 2..i64::MAX / 2, zone in zones(), cycle in cycles(), n: u32,
    ) {
        let start = Timestamp::saturating_from_micros(micros);
        let anchor = Anchor::of(start, zone);
        if let Some(period) = anchor.period(cycle, n) {
            prop_assert!(period.start < period.end);
        }
        prop_assert!(anchor.index_at(cycle, Timestamp::MAX).is_some());
    }

    #[test]
    fn a_cycle_is_read_as_it_is_written(cycle in cycles()) {
        prop_assert_eq!(Cycle::parse(&cycle.to_string()), Ok(cycle));
    }
}

// REQ: BIL-03
#[test]
fn the_31st_comes_back_after_every_shorter_month() {
    let anchor = anchor("2027-10-31T08:15:30.250Z", "UTC");
    let starts = (0..6).map(|n| anchor.boundary(Cycle::MONTH, n).unwrap().to_string());
    assert_eq!(
        starts.collect::<Vec<_>>(),
        [
            "2027-10-31T08:15:30.250Z",
            "2027-11-30T08:15:30.250Z",
            "2027-12-31T08:15:30.250Z",
            "2028-01-31T08:15:30.250Z",
            "2028-02-29T08:15:30.250Z",
            "2028-03-31T08:15:30.250Z",
        ]
    );
}

// REQ: BIL-03
#[test]
fn a_year_from_a_leap_day_ends_on_the_28th_until_the_next_one() {
    let anchor = anchor("2024-02-29T00:00:00Z", "UTC");
    let days = (0..5).map(|n| anchor.boundary(Cycle::YEAR, n).unwrap().to_string());
    assert_eq!(
        days.map(|it| it[..10].to_owned()).collect::<Vec<_>>(),
        ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]
    );
    // 2100 is no leap year.
    assert_eq!(anchor.boundary(Cycle::YEAR, 76), Some(at("2100-02-28T00:00:00Z")));
}

#[test]
fn an_anchor_made_late_in_the_day_before_a_change_of_clocks_keeps_its_day() {
    // 23:30 on the 31st in New York is the 1st in UTC, and the clocks change in March.
    let anchor = anchor("2026-02-01T04:30:00Z", "America/New_York");
    assert_eq!(anchor.local, local("2026-01-31T23:30:00"));
    assert_eq!(anchor.boundary(Cycle::MONTH, 1), Some(at("2026-03-01T04:30:00Z")));
    assert_eq!(anchor.boundary(Cycle::MONTH, 2), Some(at("2026-04-01T03:30:00Z")));
}

// REQ: BIL-03
#[test]
fn a_gap_of_half_an_hour_moves_forward_and_the_next_day_returns() {
    let anchor = anchor("2026-10-02T15:45:00Z", "Australia/Lord_Howe");
    assert_eq!(anchor.local, local("2026-10-03T02:15:00"));
    let day = Cycle::new(CycleUnit::Day, 1).unwrap();
    let shown = |n| anchor.zone.local(anchor.boundary(day, n).unwrap());
    assert_eq!(shown(1), local("2026-10-04T02:30:00"));
    assert_eq!(shown(2), local("2026-10-05T02:15:00"));
    // And its overlap in April takes the earlier of the two.
    let anchor = Anchor { local: local("2026-04-04T01:45:00"), zone: anchor.zone };
    assert_eq!(anchor.boundary(day, 1), Some(at("2026-04-04T14:45:00Z")));
}

// REQ: BIL-03
#[test]
fn a_day_that_a_zone_skipped_is_no_period() {
    let zone = zone("Pacific/Apia");
    let day = Cycle::new(CycleUnit::Day, 1).unwrap();
    let anchor = Anchor { local: local("2011-12-29T00:00:00"), zone };
    // The 30th was left out: its boundary is the first instant of the 31st.
    let end = at("2011-12-30T10:00:00Z");
    assert_eq!(anchor.boundary(day, 1), Some(end));
    assert_eq!(anchor.boundary(day, 2), Some(end));
    assert_eq!(anchor.period(day, 1), None);
    assert_eq!(anchor.index_at(day, end), Some(2));
    assert_eq!(anchor.next_after(day, 1, at("2011-12-29T10:00:00Z")), Some((1, end)));
    assert_eq!(anchor.next_after(day, 2, end), Some((3, at("2011-12-31T10:00:00Z"))));
    // At another time of day the 30th is a short period.
    let anchor = Anchor { local: local("2011-12-29T10:00:00"), zone };
    assert_eq!(anchor.period(day, 0), Some(Period { start: at("2011-12-29T20:00:00Z"), end }));
    walk(anchor, day, at("2012-02-01T00:00:00Z"));
}

#[test]
fn a_start_in_the_second_half_of_an_overlap_is_not_moved() {
    // 02:30 for the second time.
    let start = at("2026-10-25T01:30:00Z");
    let anchor = Anchor::of(start, zone("Europe/Berlin"));
    assert_eq!(anchor.boundary(Cycle::MONTH, 0), Some(at("2026-10-25T00:30:00Z")));
    let next = Some((1, at("2026-11-25T01:30:00Z")));
    assert_eq!(anchor.next_after(Cycle::MONTH, 1, start), next);
}

#[test]
fn what_a_timestamp_cannot_hold_is_none() {
    let anchor = Anchor::of(Timestamp::MAX, zone("Asia/Tokyo"));
    assert!(anchor.boundary(Cycle::MONTH, 0).is_some());
    assert_eq!(anchor.boundary(Cycle::MONTH, 1), None);
    assert_eq!(anchor.period(Cycle::MONTH, 0), None);
    assert_eq!(anchor.next_after(Cycle::MONTH, 0, Timestamp::MAX), None);
    assert_eq!(anchor.boundary(Cycle::YEAR, u32::MAX), None);
    let first = Anchor::of(Timestamp::MIN, zone("America/New_York"));
    assert_eq!(first.boundary(Cycle::MONTH, 0), Some(Timestamp::MIN));
    // Earlier in UTC than 1970 when the same local time is meant elsewhere.
    assert_eq!(first.in_zone(zone("Asia/Tokyo")).boundary(Cycle::MONTH, 0), None);
    assert_eq!(Anchor::from_local_micros(i64::MAX, Zone::UTC), None);
}

#[test]
fn cycles_have_bounds_and_words() {
    for (text, unit, count) in [
        ("month", CycleUnit::Month, 1),
        ("1 month", CycleUnit::Month, 1),
        ("3 months", CycleUnit::Month, 3),
        ("14 days", CycleUnit::Day, 14),
        ("53 weeks", CycleUnit::Week, 53),
        ("year", CycleUnit::Year, 1),
    ] {
        assert_eq!(Cycle::parse(text), Cycle::new(unit, count), "{text}");
        assert!(Cycle::parse(text).is_ok(), "{text}");
    }
    for text in
        ["", "s", "months", "1 months", "3 month", " month", "3  months", "+3 months", "-1 days"]
    {
        assert_eq!(Cycle::parse(text), Err(CycleError::Malformed), "{text}");
    }
    for (text, unit, count_max) in [
        ("0 days", CycleUnit::Day, 366),
        ("367 days", CycleUnit::Day, 366),
        ("54 weeks", CycleUnit::Week, 53),
        ("37 months", CycleUnit::Month, 36),
        ("4 years", CycleUnit::Year, 3),
        ("99999999999999999999 years", CycleUnit::Year, 3),
    ] {
        assert_eq!(Cycle::parse(text), Err(CycleError::OutOfRange { unit, count_max }), "{text}");
    }
}

#[test]
fn zones_are_known_by_their_names() {
    assert_eq!(Zone::parse("Asia/Ho_Chi_Minh").map(Zone::name), Some("Asia/Ho_Chi_Minh"));
    assert_eq!(Zone::parse("UTC"), Some(Zone::UTC));
    for text in ["", "utc", "+07:00", "Mars/Olympus", "asia/tokyo", "Asia/Tokyo "] {
        assert_eq!(Zone::parse(text), None, "{text}");
    }
    assert!(Zone::all().all(|it| Zone::parse(it.name()) == Some(it)));
}

#[test]
fn the_seconds_of_periods_that_abut_add_up() {
    let instants = ["2026-01-01T00:00:00.900Z", "2026-01-01T00:00:01.100Z", "2026-01-02T00:00:00Z"];
    let [start, middle, end] = instants.map(at);
    let seconds = |start, end| Period { start, end }.seconds();
    assert_eq!((seconds(start, middle), seconds(middle, end)), (1, 86_399));
    assert_eq!(seconds(start, end), 86_400);
    assert!(Period { start, end }.contains(start) && !Period { start, end }.contains(end));
}
