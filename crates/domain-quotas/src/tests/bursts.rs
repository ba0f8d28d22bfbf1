//! More than the limit: bursts, how long they may last, and what a refusal says.

use super::*;

const HOUR: i64 = 3_600;

fn bursty(limit: u64, percent: u32, grace_hours: u32) -> Terms {
    Terms { burst_percent: percent, grace_seconds: grace_hours * 3_600, ..hard(limit) }
}

// REQ: USE-06
#[test]
fn a_burst_is_given_and_not_one_more() {
    let mut story = Story::with(&[("calls", bursty(10, 25, 0))]);
    story.at(&reserve("a", "calls", 10), at(1)).unwrap();
    story.at(&reserve("b", "calls", 2), at(2)).unwrap();
    assert_eq!(story.at(&reserve("c", "calls", 1), at(3)), Err("QUOTA_LIMIT_REACHED"));
    assert_eq!(story.quota("calls").over_since, None, "it may last");
    story.at(&release("b"), at(4)).unwrap();
    assert!(story.at(&reserve("c", "calls", 1), at(5)).is_ok());
    // Of 3 units 25 % are none.
    let mut story = Story::with(&[("calls", bursty(3, 25, 0))]);
    story.at(&reserve("a", "calls", 3), at(1)).unwrap();
    assert_eq!(story.at(&reserve("b", "calls", 1), at(2)), Err("QUOTA_LIMIT_REACHED"));
}

// REQ: USE-06
#[test]
fn a_burst_ends_with_its_grace_and_begins_anew_below_the_limit() {
    let mut story = Story::with(&[("storage", bursty(10, 100, 2))]);
    let hold = |story: &mut Story, id: &str, amount, second| {
        story.at(&reserve(id, "storage", amount), at(second))?;
        story.at(&finalise(id, None), at(second))
    };
    hold(&mut story, "a", 10, 0).unwrap();
    assert_eq!(story.quota("storage").over_since, None, "the limit itself is no excess");
    hold(&mut story, "b", 3, 10).unwrap();
    hold(&mut story, "c", 1, 20).unwrap();
    let quota = story.quota("storage");
    assert_eq!((quota.over_since, quota.grace_ends_at()), (Some(at(10)), Some(at(10 + 2 * HOUR))));
    assert!(hold(&mut story, "d", 1, 9 + 2 * HOUR).is_ok(), "the last second of it");
    assert_eq!(hold(&mut story, "e", 1, 10 + 2 * HOUR), Err("QUOTA_LIMIT_REACHED"));
    story.at(&adjust("storage", 4), at(11 + 2 * HOUR)).unwrap();
    assert_eq!(story.quota("storage").over_since, Some(at(10)), "11 are held yet");
    story.at(&adjust("storage", 1), at(12 + 2 * HOUR)).unwrap();
    assert_eq!(story.quota("storage").over_since, None);
    hold(&mut story, "f", 5, 13 + 2 * HOUR).unwrap();
    assert_eq!(story.quota("storage").over_since, Some(at(13 + 2 * HOUR)), "another grace");
}

// REQ: USE-06
#[test]
fn a_soft_limit_with_a_grace_turns_hard() {
    let soft = Terms { beyond: Beyond::Bill, grace_seconds: 3_600, ..hard(5) };
    let mut story = Story::with(&[("queries", soft)]);
    story.at(&reserve("a", "queries", 50), at(0)).unwrap();
    assert!(story.at(&reserve("b", "queries", 50), at(30)).is_ok());
    story.at(&finalise("a", None), at(31)).unwrap();
    story.at(&finalise("b", None), at(31)).unwrap();
    assert_eq!(story.at(&reserve("c", "queries", 1), at(HOUR)), Err("QUOTA_LIMIT_REACHED"));
}

// REQ: USE-06
#[test]
fn another_window_is_another_grace() {
    let terms = Terms { counting: Some(Counting::Hour), ..bursty(10, 50, 1) };
    let mut story = Story::with(&[("calls", terms)]);
    story.at(&reserve("a", "calls", 12), at(3_000)).unwrap();
    story.at(&finalise("a", None), at(3_001)).unwrap();
    assert_eq!(story.quota("calls").over_since, Some(at(3_000)));
    story.pass(at(HOUR));
    assert_eq!((story.quota("calls").over_since, story.figures("calls")), (None, (0, 0)));
    assert!(story.at(&reserve("b", "calls", 15), at(HOUR + 3_000)).is_ok());
}

// REQ: USE-06
#[test]
fn a_lower_limit_begins_the_grace() {
    let mut story = Story::with(&[("storage", bursty(10, 50, 1))]);
    story.at(&reserve("a", "storage", 8), at(0)).unwrap();
    story.follows(&[("storage", bursty(6, 50, 1))], at(50));
    assert_eq!(story.quota("storage").over_since, Some(at(50)));
    assert!(story.at(&reserve("b", "storage", 1), at(51)).is_ok());
    // What expires brings it back below the limit.
    story.pass(at(200));
    assert_eq!(story.quota("storage").over_since, None);
}

// REQ: USE-07
#[test]
fn a_refusal_is_of_the_kind_that_was_set() {
    let cases = [
        (Refusal::Wait, true, "QUOTA_EXHAUSTED"),
        (Refusal::Wait, false, "QUOTA_LIMIT_REACHED"),
        (Refusal::Upgrade, true, "QUOTA_LIMIT_REACHED"),
        (Refusal::Upgrade, false, "QUOTA_LIMIT_REACHED"),
        (Refusal::Forbid, true, "QUOTA_FORBIDDEN"),
        (Refusal::Forbid, false, "QUOTA_FORBIDDEN"),
    ];
    for (refusal, has_window, code) in cases {
        let terms = if has_window { daily(1) } else { hard(1) };
        let mut story = Story::with(&[("calls", Terms { refusal, ..terms })]);
        story.at(&reserve("a", "calls", 1), at(1)).unwrap();
        assert_eq!(story.at(&reserve("b", "calls", 1), at(2)), Err(code), "{refusal:?}");
    }
}

// REQ: USE-06
#[test]
fn a_percentage_of_the_window_before_is_noted_once() {
    let meter = Some(slug("queries"));
    let terms = Terms { beyond: Beyond::Bill, meter, thresholds: vec![50, 80], ..daily(10) };
    let mut story = Story::with(&[("queries", terms)]);
    let note = |start: i64, percent| {
        let (feature, window_start) = (slug("queries"), Some(at(start)));
        let used = Quantity::whole(9);
        Command::NoteThreshold(NoteThreshold { feature, window_start, percent, used })
    };
    story.at(&note(0, 50), at(5)).unwrap();
    // The day is over: the timer has begun another window, and nobody looked before.
    story.pass(at(86_400));
    assert_eq!(story.quota("queries").noted, Vec::<u32>::new());
    let told = story.at(&note(0, 80), at(86_405)).unwrap();
    assert_eq!(reached(&told), [80]);
    assert!(story.at(&note(0, 80), at(86_406)).unwrap().is_empty(), "once");
    assert!(story.at(&note(0, 50), at(86_407)).unwrap().is_empty(), "told of in its time");
    assert_eq!(reached(&story.at(&note(86_400, 50), at(86_408)).unwrap()), [50]);
    // Two windows later it is too late.
    story.pass(at(3 * 86_400));
    assert!(story.at(&note(0, 80), at(3 * 86_400)).unwrap().is_empty());
    assert_eq!(story.quota("queries").before.unwrap().window.start, at(86_400));
}
