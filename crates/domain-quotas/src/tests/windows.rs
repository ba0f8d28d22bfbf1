//! Counting anew, and other terms: what stays, and what does not.

use exchequer_types::{Anchor, Cycle, Zone};

use super::*;

const DAY: i64 = 86_400;

fn monthly(limit: u64, anchor: Timestamp) -> Terms {
    let anchor = Anchor::of(anchor, Zone::UTC);
    Terms { counting: Some(Counting::from(CycleUnit::Month, anchor)), ..hard(limit) }
}

// REQ: USE-06
#[test]
fn counting_begins_anew_with_the_window() {
    let mut story = Story::with(&[("queries", daily(10))]);
    story.at(&reserve("r1", "queries", 9), at(1)).unwrap();
    story.at(&finalise("r1", None), at(2)).unwrap();
    assert_eq!(story.at(&reserve("r2", "queries", 2), at(DAY - 1)), Err(codes::QUOTA_EXHAUSTED));
    assert_eq!(story.quota("queries").at(at(DAY)).remaining(), Some(10), "as a view shows it");
    let events = story.pass(at(DAY));
    assert!(events.iter().any(|it| matches!(it, Event::Reset { .. })), "{events:?}");
    assert_eq!((story.figures("queries"), story.quota("queries").noted), ((0, 0), vec![]));
    assert_eq!(story.quota("queries").resets_at(), Some(at(2 * DAY)));
    assert_eq!(story.state.timer, None, "nothing was used yet");
    assert_eq!(reached(&story.at(&reserve("r2", "queries", 8), at(DAY)).unwrap()), [80]);
}

// REQ: USE-06
#[test]
fn a_reservation_over_the_boundary_counts_in_the_window_of_its_end() {
    let mut story = Story::with(&[("queries", daily(10))]);
    story.at(&reserve("r1", "queries", 6), at(DAY - 10)).unwrap();
    assert_eq!(story.at(&reserve("r2", "queries", 5), at(DAY)), Err(codes::QUOTA_EXHAUSTED));
    let events = story.at(&finalise("r1", None), at(DAY + 1)).unwrap();
    assert!(matches!(&events[0], Event::Reset { .. }), "nothing had been used: {events:?}");
    assert_eq!(story.figures("queries"), (6, 0));
    assert_eq!(story.quota("queries").resets_at(), Some(at(2 * DAY)));
    story.pass(at(2 * DAY));
    assert_eq!(story.figures("queries"), (0, 0));
}

// REQ: USE-06
#[test]
fn a_lower_limit_leaves_what_is_held_and_gives_no_more() {
    let mut story = Story::with(&[("storage", hard(10))]);
    story.at(&reserve("r1", "storage", 6), at(1)).unwrap();
    story.at(&finalise("r1", None), at(2)).unwrap();
    story.at(&reserve("r2", "storage", 3), at(2)).unwrap();
    let events = story.follows(&[("storage", hard(5))], at(3));
    assert_eq!(reached(&events), Vec::<u32>::new(), "told of at the higher limit already");
    assert_eq!((story.figures("storage"), story.quota("storage").remaining()), ((6, 3), Some(0)));
    assert_eq!(story.at(&reserve("r3", "storage", 1), at(4)), Err(codes::QUOTA_LIMIT_REACHED));
    story.at(&finalise("r2", None), at(4)).unwrap();
    assert_eq!(story.figures("storage"), (9, 0), "what was promised is kept");
    story.at(&adjust("storage", 5), at(5)).unwrap();
    story.at(&reserve("r3", "storage", 1), at(6)).unwrap();
    let events = story.follows(&[("storage", hard(100))], at(7));
    assert_eq!((events.len(), story.quota("storage").noted), (1, vec![]));
    story.at(&reserve("r4", "storage", 80), at(8)).unwrap();
}

// REQ: USE-06
#[test]
fn a_downgrade_that_comes_close_is_told_of() {
    let mut story = Story::with(&[("storage", hard(100))]);
    story.at(&reserve("r1", "storage", 9), at(1)).unwrap();
    assert_eq!(reached(&story.follows(&[("storage", hard(10))], at(2))), [80]);
}

// REQ: USE-06
#[test]
fn what_is_not_given_any_more_stays_until_it_is_free() {
    let mut story = Story::with(&[("storage", hard(10)), ("seats", hard(3))]);
    story.at(&reserve("r1", "storage", 6), at(1)).unwrap();
    story.at(&finalise("r1", None), at(1)).unwrap();
    let events = story.follows(&[], at(2));
    assert!(events.contains(&Event::Lifted { feature: slug("seats") }));
    assert_eq!(story.quota("storage").terms.limit, Some(0));
    assert_eq!(story.at(&reserve("r2", "storage", 1), at(3)), Err(codes::QUOTA_LIMIT_REACHED));
    story.at(&adjust("storage", 6), at(4)).unwrap();
    assert_eq!(story.follows(&[], at(5)), [Event::Lifted { feature: slug("storage") }]);
    assert!(story.state.quota(&slug("storage")).is_none());
}

// REQ: USE-06, BIL-03
#[test]
fn an_upgrade_inside_a_period_keeps_what_was_used() {
    let start = at(0);
    let mut story = Story::with(&[("queries", monthly(10, start))]);
    story.at(&reserve("r1", "queries", 10), at(5)).unwrap();
    story.at(&finalise("r1", None), at(5)).unwrap();
    story.follows(&[("queries", monthly(100, start))], at(6));
    assert_eq!((story.figures("queries"), story.quota("queries").remaining()), ((10, 0), Some(90)));
}

// REQ: USE-06
#[test]
fn another_period_counts_from_its_own_beginning() {
    let mut story = Story::with(&[("queries", monthly(10, at(0)))]);
    story.at(&reserve("r1", "queries", 9), at(5)).unwrap();
    story.at(&finalise("r1", Some(6)), at(5)).unwrap();
    story.at(&reserve("r2", "queries", 2), at(5)).unwrap();
    story.pass(at(3 * DAY));
    story.follows(&[("queries", monthly(10, at(3 * DAY)))], at(3 * DAY));
    assert_eq!(story.figures("queries"), (0, 0), "the reservation had expired");
    assert_eq!(story.quota("queries").window.unwrap().start, at(3 * DAY));
    // A longer window that has all of the shorter one in it counts on.
    story.at(&reserve("r3", "queries", 9), at(3 * DAY)).unwrap();
    story.at(&finalise("r3", None), at(3 * DAY)).unwrap();
    let yearly = Counting::calendar(CycleUnit::Year);
    story.follows(&[("queries", Terms { counting: Some(yearly), ..hard(10) })], at(4 * DAY));
    assert_eq!(story.figures("queries"), (9, 0));
    story.follows(&[("queries", hard(10))], at(5 * DAY));
    assert_eq!((story.figures("queries"), story.quota("queries").window), ((9, 0), None));
}

// REQ: USE-06
#[test]
fn a_window_keeps_its_end_in_another_zone() {
    let anchor = Anchor::of(at(0), Zone::UTC);
    let mut story = Story::with(&[("queries", monthly(10, at(0)))]);
    story.at(&reserve("r1", "queries", 9), at(5)).unwrap();
    let end = story.quota("queries").resets_at();
    let anchor = anchor.in_zone(Zone::parse("Asia/Ho_Chi_Minh").unwrap());
    let moved = Terms { counting: Some(Counting::from(CycleUnit::Month, anchor)), ..hard(10) };
    story.follows(&[("queries", moved)], at(6));
    assert_eq!((story.figures("queries"), story.quota("queries").resets_at()), ((0, 9), end));
}

#[test]
fn windows_by_the_calendar() {
    let show = |unit, seconds| {
        let window = Counting::calendar(unit).window_at(at(seconds)).unwrap();
        format!("{} {}", window.start, window.end)
    };
    // 2026-11-21, a Saturday.
    let now = 1_795_219_200 + 3_600;
    assert_eq!(show(CycleUnit::Day, now), "2026-11-21T00:00:00Z 2026-11-22T00:00:00Z");
    assert_eq!(show(CycleUnit::Week, now), "2026-11-16T00:00:00Z 2026-11-23T00:00:00Z");
    assert_eq!(show(CycleUnit::Month, now), "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z");
    assert_eq!(show(CycleUnit::Year, now), "2026-01-01T00:00:00Z 2027-01-01T00:00:00Z");
    assert!(show(CycleUnit::Week, 3).ends_with("1970-01-05T00:00:00Z"), "in front of the anchor");
}

#[test]
fn percentages_are_exact() {
    let whole = Quantity::whole;
    assert!(
        reaches(whole(8), 10, 80) && !reaches(Quantity::parse("7.999999999999").unwrap(), 10, 80)
    );
    assert!(reaches(whole(1), 1, 100) && !reaches(whole(0), 1, 1));
    assert!(!reaches(whole(0), 0, 80) && !reaches(whole(9), 0, 80), "nothing has no percentages");
    assert!(
        reaches(whole(u64::MAX), u64::MAX, 100) && !reaches(whole(u64::MAX - 1), u64::MAX, 100)
    );
    assert!(reaches(Quantity::from_units(i128::MAX), u64::MAX, 100));
}

// REQ: USE-06
#[test]
fn minutes_hours_and_billing_periods_are_windows_too() {
    let window = |counting: Counting, seconds: i64| {
        let window = counting.window_at(at(seconds)).unwrap();
        (window.start.micros() / 1_000_000, window.end.micros() / 1_000_000)
    };
    assert_eq!(window(Counting::Minute, 59), (0, 60));
    assert_eq!(window(Counting::Minute, 60), (60, 120));
    assert_eq!(window(Counting::Hour, 7_199), (3_600, 7_200));
    let anchor = Anchor::of(at(14 * DAY), Zone::UTC);
    let quarter = Counting::Calendar { cycle: Cycle::new(CycleUnit::Month, 3).unwrap(), anchor };
    assert_eq!(window(quarter, 15 * DAY), (14 * DAY, 104 * DAY), "15 January to 15 April");
    let words = [Counting::Minute, Counting::Hour, quarter, Counting::calendar(CycleUnit::Day)];
    assert_eq!(words.map(|it| it.word()), ["minute", "hour", "3 months", "day"]);
    let terms = Terms { counting: Some(Counting::Minute), ..hard(2) };
    let mut story = Story::with(&[("calls", terms)]);
    for (id, second) in [("a", 1), ("b", 2)] {
        story.at(&reserve(id, "calls", 1), at(second)).unwrap();
        story.at(&finalise(id, None), at(second)).unwrap();
    }
    assert_eq!(story.at(&reserve("c", "calls", 1), at(59)), Err("QUOTA_EXHAUSTED"));
    assert!(story.at(&reserve("c", "calls", 1), at(60)).is_ok(), "another minute");
    assert_eq!(story.figures("calls"), (0, 1));
}
