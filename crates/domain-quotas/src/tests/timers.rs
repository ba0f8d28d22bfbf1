//! What ends by itself: one timer for all of it, moved as seldom as can be.

use super::*;

fn moves(events: &[Event]) -> usize {
    events.iter().filter(|it| matches!(it, Event::TimerMoved { .. })).count()
}

// REQ: USE-06, KER-09
#[test]
fn a_reservation_expires_at_its_instant() {
    let mut story = Story::with(&[("storage", hard(10))]);
    story.at(&reserve("r1", "storage", 6), at(1)).unwrap();
    let timer = story.state.timer.clone().unwrap();
    assert!(timer.id.starts_with("tmq_"));
    assert_eq!(timer.due, at(61));
    assert_eq!(story.at(&timer_command("tmq_other"), at(61)), Err(codes::TIMER_NOT_PENDING));
    assert_eq!(story.at(&reserve("r2", "storage", 5), at(60)), Err(codes::QUOTA_LIMIT_REACHED));
    let events = story.pass(at(61));
    assert!(matches!(&events[0], Event::Expired { ids, .. } if ids == &["r1"]), "{events:?}");
    let cleared = exchequer_types::Fact::TimerCleared { id: timer.id.clone(), fired: true };
    assert_eq!(facts(events.last().unwrap()), [cleared]);
    assert_eq!(story.figures("storage"), (0, 0));
    assert_eq!(story.at(&finalise("r1", None), at(62)), Err(codes::RESERVATION_EXPIRED));
    assert_eq!(story.at(&timer_command(&timer.id), at(62)), Err(codes::TIMER_NOT_PENDING));
    story.at(&reserve("r2", "storage", 10), at(62)).unwrap();
}

// REQ: USE-06
#[test]
fn an_expired_reservation_is_known_as_one_for_a_while() {
    let mut story = Story::with(&[("storage", hard(10))]);
    story.at(&reserve("r1", "storage", 6), at(1)).unwrap();
    story.pass(at(61));
    assert_eq!(story.figures("storage"), (0, 0));
    assert_eq!(story.at(&finalise("r1", None), at(62)), Err(codes::RESERVATION_EXPIRED));
    assert_eq!(story.at(&release("r1"), at(62)), Ok(vec![]), "its units are free");
    let again = story.at(&reserve("r1", "storage", 6), at(62));
    assert_eq!(again, Err(codes::RESERVATION_CONFLICT));
    let kept = i64::try_from(ENDED_KEPT_SECONDS).unwrap();
    story.at(&reserve("r2", "storage", 1), at(kept)).unwrap();
    story.pass(at(kept + 60));
    assert!(story.state.reservations.get("r1").is_some(), "not yet");
    story.at(&reserve("r3", "storage", 1), at(kept + 60)).unwrap();
    story.pass(at(kept + 120));
    assert!(story.state.reservations.get("r1").is_none(), "its time is over");
    assert!(story.state.reservations.get("r2").is_some(), "its time is not");
}

// REQ: USE-06
#[test]
fn finalising_again_after_the_expiry_counts_nothing_twice() {
    let mut story = Story::with(&[("storage", hard(10))]);
    story.at(&reserve("r1", "storage", 6), at(1)).unwrap();
    story.at(&finalise("r1", Some(5)), at(59)).unwrap();
    story.pass(at(61));
    assert_eq!(story.at(&finalise("r1", Some(5)), at(62)), Ok(vec![]), "the answer was lost");
    assert_eq!(story.at(&reserve("r1", "storage", 6), at(62)), Ok(vec![]));
    assert_eq!(story.figures("storage"), (5, 0));
}

// REQ: USE-06
#[test]
fn what_is_finalised_in_the_next_window_is_told_of_there() {
    let terms = Terms { thresholds: vec![50, 100], ..daily(10) };
    let mut story = Story::with(&[("queries", terms)]);
    let events = story.at(&reserve("r1", "queries", 10), at(86_390)).unwrap();
    assert_eq!(reached(&events), [50, 100]);
    story.pass(at(86_401));
    let events = story.at(&finalise("r1", Some(6)), at(86_402)).unwrap();
    assert_eq!(reached(&events), [50]);
    assert_eq!(story.figures("queries"), (6, 0));
}

// REQ: USE-06
#[test]
fn reservations_that_end_in_time_move_no_timer() {
    let mut story = Story::with(&[("storage", hard(1_000))]);
    let first = story.at(&reserve("r0", "storage", 1), at(1)).unwrap();
    assert_eq!(moves(&first), 1);
    for index in 1..100 {
        let id = format!("r{index}");
        story.pass(at(1 + index));
        story.at(&reserve(&id, "storage", 1), at(1 + index)).unwrap();
        story.at(&finalise(&id, None), at(1 + index)).unwrap();
        if index == 10 {
            story.at(&release("r0"), at(11)).unwrap();
        }
    }
    let all = story.events.iter().map(|(event, _)| event.clone()).collect::<Vec<_>>();
    assert_eq!(moves(&all), 3, "set, found nothing to do, set again");
    story.pass(at(200));
    assert_eq!(story.state.timer, None);
    let short = Reserve { id: "s".to_owned(), feature: slug("storage"), amount: 1, ttl_seconds: 5 };
    story.at(&reserve("r", "storage", 1), at(200)).unwrap();
    let events = story.at(&Command::Reserve(short), at(201)).unwrap();
    let facts: Vec<_> = events.iter().flat_map(facts).collect();
    assert_eq!(facts.len(), 2, "the later one is cleared, the earlier one set");
    assert_eq!(story.state.timer.as_ref().unwrap().due, at(206));
}

// REQ: USE-06
#[test]
fn what_expires_within_a_second_is_one_timer() {
    let mut story = Story::with(&[("storage", hard(1_000))]);
    for index in 0..10 {
        let now = Timestamp::saturating_from_micros(5_000_001 + index * 90_000);
        story.at(&reserve(&format!("r{index}"), "storage", 1), now).unwrap();
    }
    let events = story.pass(at(66));
    assert!(matches!(&events[0], Event::Expired { ids, .. } if ids.len() == 10));
    assert_eq!(story.state.timer, None);
}

#[test]
fn ended_reservations_give_way_to_later_ones() {
    let mut story = Story::with(&[("calls", Terms { limit: None, ..hard(0) })]);
    for index in 0..ENDED_MAX * 2 {
        let id = format!("r{index}");
        for command in [reserve(&id, "calls", 1), finalise(&id, None)] {
            for event in Quotas::decide(&story.state, &command, &ctx(1, at(1))).unwrap() {
                Quotas::evolve(&mut story.state, &event, at(1));
            }
        }
    }
    invariants::check(&story.state).unwrap();
    let kept = story.state.reservations.iter().count();
    assert!(kept > ENDED_MAX / 2, "{kept}");
    let last = format!("r{}", ENDED_MAX * 2 - 1);
    assert_eq!(story.at(&finalise(&last, None), at(2)), Ok(vec![]));
    assert_eq!(story.at(&finalise("r0", None), at(2)), Err(codes::RESERVATION_UNKNOWN));
}

#[test]
fn closing_the_tenant_ends_everything() {
    let mut story = Story::with(&[("storage", hard(10)), ("queries", daily(5))]);
    story.at(&reserve("r1", "storage", 6), at(1)).unwrap();
    let events = close(&story.state);
    let timer = story.state.timer.clone().unwrap().id;
    let features = vec![slug("queries"), slug("storage")];
    assert_eq!(events, [Event::Closed { features, timer: Some(timer.clone()) }]);
    let cleared = exchequer_types::Fact::TimerCleared { id: timer, fired: false };
    assert_eq!(facts(&events[0]), [cleared]);
    story.take(&events, at(2));
    assert_eq!(story.state.quotas().len(), 0);
    assert!(close(&story.state).is_empty());
    assert!(close(&State::default()).is_empty());
}

// REQ: KER-14
#[test]
fn state_is_the_fold_of_events() {
    let mut story = Story::with(&[("storage", hard(10)), ("queries", daily(5))]);
    story.at(&reserve("r1", "storage", 6), at(1)).unwrap();
    story.at(&reserve("r2", "queries", 4), at(2)).unwrap();
    story.at(&finalise("r2", Some(3)), at(3)).unwrap();
    story.pass(at(100_000));
    let mut again = State::default();
    for (event, now) in &story.events {
        Quotas::evolve(&mut again, event, *now);
    }
    assert_eq!(again, story.state);
    assert!(weight(&again) > weight(&State::default()));
}
