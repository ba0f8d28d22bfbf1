//! Each command: what follows from it, and why it is refused.

use super::*;

// REQ: USE-06
#[test]
fn units_are_reserved_up_to_the_limit_and_not_one_more() {
    let mut story = Story::with(&[("storage", hard(10))]);
    story.at(&reserve("r1", "storage", 6), at(1)).unwrap();
    story.at(&reserve("r2", "storage", 4), at(2)).unwrap();
    assert_eq!(story.figures("storage"), (0, 10));
    assert_eq!(story.at(&reserve("r3", "storage", 1), at(3)), Err(codes::QUOTA_LIMIT_REACHED));
    story.at(&release("r2"), at(4)).unwrap();
    story.at(&reserve("r3", "storage", 1), at(5)).unwrap();
    assert_eq!(story.quota("storage").remaining(), Some(3));
}

// REQ: USE-06
#[test]
fn the_same_reservation_twice_is_one() {
    let mut story = Story::with(&[("storage", hard(10)), ("seats", hard(10))]);
    let first = reserve("r1", "storage", 6);
    story.at(&first, at(1)).unwrap();
    assert_eq!(story.at(&first, at(2)), Ok(Vec::new()));
    let Reply::Reservation(again) = reply(&story.state, &first) else { panic!() };
    assert_eq!((again.0.amount, again.0.reserved_at, again.1.reserved), (6, at(1), 6));
    assert_eq!(story.at(&reserve("r1", "storage", 5), at(3)), Err(codes::RESERVATION_CONFLICT));
    assert_eq!(story.at(&reserve("r1", "seats", 6), at(3)), Err(codes::RESERVATION_CONFLICT));
    story.at(&finalise("r1", Some(2)), at(4)).unwrap();
    assert_eq!(story.at(&first, at(5)), Ok(Vec::new()), "it was done with");
    assert_eq!(story.figures("storage"), (2, 0));
    story.at(&reserve("r2", "storage", 1), at(6)).unwrap();
    story.at(&release("r2"), at(7)).unwrap();
    assert_eq!(story.at(&reserve("r2", "storage", 1), at(8)), Err(codes::RESERVATION_CONFLICT));
}

// REQ: USE-06
#[test]
fn a_reservation_is_finalised_once_with_what_was_used() {
    let mut story = Story::with(&[("storage", hard(10))]);
    assert_eq!(story.at(&finalise("r1", None), at(1)), Err(codes::RESERVATION_UNKNOWN));
    story.at(&reserve("r1", "storage", 6), at(1)).unwrap();
    assert_eq!(story.at(&finalise("r1", Some(7)), at(2)), Err(codes::QUOTA_AMOUNT_INVALID));
    story.at(&finalise("r1", Some(4)), at(2)).unwrap();
    assert_eq!(story.figures("storage"), (4, 0));
    assert_eq!(story.at(&finalise("r1", Some(4)), at(3)), Ok(Vec::new()));
    assert_eq!(story.at(&finalise("r1", None), at(3)), Err(codes::RESERVATION_CONFLICT));
    assert_eq!(story.at(&release("r1"), at(3)), Err(codes::RESERVATION_CONFLICT));
    story.at(&reserve("r2", "storage", 6), at(4)).unwrap();
    story.at(&finalise("r2", Some(0)), at(5)).unwrap();
    assert_eq!(story.figures("storage"), (4, 0));
    story.at(&reserve("r3", "storage", 1), at(6)).unwrap();
    story.at(&release("r3"), at(6)).unwrap();
    assert_eq!(story.at(&release("r3"), at(7)), Ok(Vec::new()));
    assert_eq!(story.at(&finalise("r3", None), at(7)), Err(codes::RESERVATION_CONFLICT));
}

#[test]
fn a_reservation_is_refused_in_order() {
    let with = |id: &str, feature: &str, amount, ttl_seconds| {
        Command::Reserve(Reserve { id: id.to_owned(), feature: slug(feature), amount, ttl_seconds })
    };
    let mut story = Story::with(&[("storage", hard(10))]);
    story.at(&reserve("r1", "storage", 6), at(1)).unwrap();
    let cases = [
        (with("", "sso", 0, 0), codes::RESERVATION_ID_INVALID),
        (with(&"x".repeat(65), "sso", 0, 0), codes::RESERVATION_ID_INVALID),
        (with("a b", "sso", 0, 0), codes::RESERVATION_ID_INVALID),
        (with("é", "sso", 0, 0), codes::RESERVATION_ID_INVALID),
        (with("r1", "sso", 0, 0), codes::QUOTA_AMOUNT_INVALID),
        (with("r1", "sso", UNITS_MAX + 1, 0), codes::QUOTA_AMOUNT_INVALID),
        (with("r1", "sso", 1, 0), codes::RESERVATION_TTL_INVALID),
        (with("r1", "sso", 1, TTL_SECONDS_MAX + 1), codes::RESERVATION_TTL_INVALID),
        (with("r1", "sso", 1, 1), codes::RESERVATION_CONFLICT),
        (with("r2", "sso", 1, 1), codes::FEATURE_NOT_LIMITED),
        (with("r2", "storage", 5, 1), codes::QUOTA_LIMIT_REACHED),
    ];
    for (command, code) in cases {
        assert_eq!(story.at(&command, at(2)), Err(code), "{command:?}");
    }
    let all = Terms { limit: None, ..hard(0) };
    let mut story = Story::with(&[("calls", all)]);
    for index in 0..RESERVATIONS_MAX {
        let command = reserve(&format!("r{index}"), "calls", 1);
        let decided = Quotas::decide(&story.state, &command, &ctx(1, at(1))).unwrap();
        for event in &decided {
            Quotas::evolve(&mut story.state, event, at(1));
        }
    }
    invariants::check(&story.state).unwrap();
    assert_eq!(story.at(&reserve("more", "calls", 1), at(2)), Err(codes::RESERVATIONS_TOO_MANY));
    story.at(&release("r0"), at(2)).unwrap();
    assert_eq!(
        story.at(&reserve("more", "calls", UNITS_MAX), at(2)),
        Err(codes::QUOTA_AMOUNT_INVALID),
        "more than can be counted"
    );
    story.at(&reserve("more", "calls", 1), at(2)).unwrap();
}

// REQ: USE-06
#[test]
fn beyond_a_soft_limit_more_is_given() {
    let soft = Terms { beyond: Beyond::Bill, ..daily(10) };
    let mut story = Story::with(&[("queries", soft)]);
    let events = story.at(&reserve("r1", "queries", 25), at(1)).unwrap();
    assert_eq!(reached(&events), [80]);
    let quota = story.quota("queries");
    assert_eq!((quota.remaining(), quota.allows(1, at(0)), quota.held()), (Some(0), true, 25));
}

// REQ: USE-07
#[test]
fn the_refusal_says_what_is_left_and_when_there_is_more() {
    let mut story = Story::with(&[("queries", daily(10)), ("storage", hard(10))]);
    story.at(&reserve("r1", "queries", 8), at(100)).unwrap();
    let command = reserve("r2", "queries", 3);
    let refused = Quotas::decide(&story.state, &command, &ctx(9, at(100))).unwrap_err();
    assert_eq!(refused.code(), codes::QUOTA_EXHAUSTED);
    let expected =
        "2 of 10 units of queries are left until 1970-01-02T00:00:00Z: wait, or ask for less";
    assert_eq!(refused.message(), expected);
    let refused = Quotas::decide(&story.state, &reserve("r2", "storage", 11), &ctx(9, at(100)));
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), codes::QUOTA_LIMIT_REACHED);
    assert!(refused.message().starts_with("10 of 10 units of storage are left: "));
    let refused = story.at(&reserve("r2", "queries", 11), at(100));
    assert_eq!(refused, Err(codes::QUOTA_LIMIT_REACHED), "more than any window has");
    let none = Terms { limit: Some(0), ..daily(0) };
    story.follows(&[("queries", none)], at(101));
    let refused = story.at(&reserve("r3", "queries", 1), at(102));
    assert_eq!(refused, Err(codes::QUOTA_LIMIT_REACHED), "time brings nothing");
}

// REQ: USE-06
#[test]
fn what_was_used_is_freed() {
    let mut story = Story::with(&[("storage", hard(10))]);
    story.at(&reserve("r1", "storage", 9), at(1)).unwrap();
    let none = Quotas::decide(&story.state, &adjust("storage", 1), &ctx(9, at(1))).unwrap_err();
    assert_eq!((none.code(), none.field()), (codes::QUOTA_AMOUNT_INVALID, Some("units")));
    assert_eq!(none.message(), "must be at most what is used, which is nothing");
    story.at(&finalise("r1", None), at(2)).unwrap();
    assert_eq!(story.at(&adjust("storage", 0), at(3)), Err(codes::QUOTA_AMOUNT_INVALID));
    assert_eq!(story.at(&adjust("storage", 10), at(3)), Err(codes::QUOTA_AMOUNT_INVALID));
    assert_eq!(story.at(&adjust("sso", 10), at(3)), Err(codes::FEATURE_NOT_LIMITED));
    for reason in ["", "a\nb"] {
        let (feature, reason) = (slug("sso"), reason.to_owned());
        let command = Command::AdjustHeld(AdjustHeld { feature, units: 0, reason });
        assert_eq!(story.at(&command, at(3)), Err(codes::QUOTA_REASON_INVALID));
    }
    let before = story.state.clone();
    assert_eq!(story.quota("storage").noted, [80]);
    story.at(&adjust("storage", 5), at(4)).unwrap();
    assert_eq!((story.figures("storage"), story.quota("storage").noted), ((4, 0), vec![]));
    let shown = shown(&before, &story.state, &adjust("storage", 5)).unwrap();
    assert_eq!((shown.action, shown.resource_id.as_str()), ("quota.adjusted", "storage"));
    assert_eq!(
        shown.after.canonical(),
        "{\"beyond\":\"refuse\",\"limit\":10,\"reached\":[],\"reserved\":0,\"resets_at\":null,\"used\":4}"
    );
    let Reply::Quota(quota) = reply(&story.state, &adjust("storage", 5)) else { panic!() };
    assert_eq!(quota.used, 4);
}

// REQ: USE-06
#[test]
fn a_percentage_is_told_of_once() {
    let terms = Terms { thresholds: vec![50, 80, 100], ..daily(10) };
    let mut story = Story::with(&[("queries", terms)]);
    assert_eq!(reached(&story.at(&reserve("r1", "queries", 4), at(1)).unwrap()), []);
    assert_eq!(reached(&story.at(&reserve("r2", "queries", 5), at(2)).unwrap()), [50, 80]);
    story.at(&release("r2"), at(3)).unwrap();
    assert_eq!(reached(&story.at(&reserve("r3", "queries", 6), at(4)).unwrap()), [100]);
}

fn note(percent: u32, window_start: Option<Timestamp>, used: &str) -> Command {
    let (feature, used) = (slug("queries"), Quantity::parse(used).unwrap());
    Command::NoteThreshold(NoteThreshold { feature, window_start, percent, used })
}

// REQ: USE-06
#[test]
fn what_a_meter_measures_is_noted_once_a_window() {
    let meter = Some(slug("ai-queries"));
    let soft = Terms { beyond: Beyond::Allow, meter, thresholds: vec![80, 100], ..daily(10) };
    let mut story = Story::with(&[("queries", soft.clone())]);
    let start = Some(at(0));
    assert_eq!(story.at(&note(80, start, "7.99"), at(1)), Ok(vec![]), "not reached");
    assert_eq!(story.at(&note(80, None, "8"), at(1)), Ok(vec![]), "of no window");
    assert_eq!(story.at(&note(80, Some(at(5)), "8"), at(1)), Ok(vec![]), "of another window");
    assert_eq!(story.at(&note(50, start, "8"), at(1)), Ok(vec![]), "not asked for");
    let events = story.at(&note(80, start, "8.5"), at(2)).unwrap();
    let [Event::ThresholdReached { percent: 80, limit: 10, held, .. }, Event::TimerMoved { .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(held.to_string(), "8.5");
    assert_eq!(story.at(&note(80, start, "9"), at(3)), Ok(vec![]), "once");
    assert_eq!(reached(&story.at(&note(100, start, "10"), at(4)).unwrap()), [100]);
    story.pass(at(86_400));
    assert_eq!(story.at(&note(80, start, "9"), at(86_401)), Ok(vec![]), "the window is over");
    assert_eq!(reached(&story.at(&note(80, Some(at(86_400)), "9"), at(86_402)).unwrap()), [80]);
    let more = Terms { limit: Some(100), ..soft };
    story.follows(&[("queries", more)], at(86_403));
    assert_eq!(reached(&story.at(&note(80, Some(at(86_400)), "80"), at(86_404)).unwrap()), [80]);
    assert_eq!(Story::default().at(&note(80, None, "9"), at(1)), Err(codes::FEATURE_NOT_LIMITED));
}

#[test]
fn reservations_against_a_measured_soft_limit_tell_nothing() {
    let meter = Some(slug("ai-queries"));
    let soft = Terms { beyond: Beyond::Allow, meter, ..daily(10) };
    let mut story = Story::with(&[("queries", soft)]);
    assert_eq!(reached(&story.at(&reserve("r1", "queries", 40), at(1)).unwrap()), []);
}
