//! Beginning, trial, renewal, pause, and the calendar of it.

use super::*;

// REQ: BIL-03
#[test]
fn without_a_trial_the_first_period_is_paid_at_once() {
    let story = Story::subscribed("2026-01-15T10:00:00", "UTC", &seats("pro", 1000, 3));
    assert_eq!(story.shows(), "active 2026-01-15T10:00:00Z..2026-02-15T10:00:00Z");
    assert_eq!(story.lines(), [3000]);
    assert_eq!(story.held(), ["pro x3 Subscription"]);
    assert!(story.sub().id.starts_with("sub_"));
    assert_eq!(story.sub().version, 4);
    assert_eq!(story.sub().next_due(), Some(at("2026-02-15T10:00:00")));
    let reply = reply(
        &story.state,
        &Command::Subscribe(Subscribe {
            holding: holding("pro", 1),
            trial_days: None,
            zone: Zone::UTC,
        }),
        &story.events,
    );
    assert_eq!(reply.charges.len(), 1);
    assert_eq!(reply.charges[0].cause, Cause::Subscribed);
    assert!(reply.charges[0].id.starts_with("chg_"));
    assert_eq!(reply.charges[0].total, 3000);
    assert_eq!(reply.subscription.as_ref(), Some(story.sub()));
}

// REQ: BIL-03 BIL-06
#[test]
fn a_trial_is_free_and_its_end_begins_the_paid_periods() {
    let story = Story::trial("2026-01-15", "UTC", &holding("pro", 1000), Some(14));
    assert_eq!(story.shows(), "trialing 2026-01-15..2026-01-29");
    assert_eq!((story.lines(), story.held()), (vec![], vec!["pro x1 Trial".to_owned()]));
    let story = story.until("2026-01-28T23:59:59");
    assert!(story.events.is_empty());
    let story = story.until("2026-01-29");
    assert_eq!(story.shows(), "active 2026-01-29..2026-02-28");
    assert_eq!((story.lines(), story.held()), (vec![1000], vec!["pro x1 Subscription".to_owned()]));
    let story = story.until("2026-04-01");
    assert_eq!(story.shows(), "active 2026-03-29..2026-04-29");
    assert_eq!(story.lines(), [1000, 1000]);
    assert!(story.held().is_empty());
}

// REQ: BIL-03
#[test]
fn a_trial_counts_local_days_over_a_change_of_the_clocks() {
    // The clocks of Berlin go forward on 29 March 2026: the fourteen days have 335 hours.
    let story = Story::trial("2026-03-20T09:00:00", "Europe/Berlin", &holding("pro", 1), Some(14));
    assert_eq!(story.sub().trial_ends_at, Some(at("2026-04-03T08:00:00")));
}

// REQ: BIL-04
#[test]
fn activation_ends_the_trial_at_once() {
    let story = Story::trial("2026-01-15", "UTC", &holding("pro", 1000), Some(30));
    let story = story.until("2026-01-20").when(Command::Activate(Activate));
    assert_eq!(story.shows(), "active 2026-01-20..2026-02-20");
    assert_eq!(story.lines(), [1000]);
    assert_eq!(story.sub().trial_ends_at, Some(at("2026-01-20")));
    let story = story.until("2026-02-20");
    assert_eq!(story.shows(), "active 2026-02-20..2026-03-20");
}

// REQ: BIL-06
#[test]
fn the_anchor_on_the_31st_never_drifts() {
    let mut story = Story::subscribed("2027-10-31T10:30:00", "UTC", &holding("pro", 1000));
    let mut starts = Vec::new();
    for _ in 0..6 {
        let end = story.sub().period.end.unwrap();
        story.pass(end);
        starts.push(story.sub().period.start.to_string()[..10].to_owned());
    }
    let expected =
        ["2027-11-30", "2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"];
    assert_eq!(starts, expected);
    assert_eq!(story.charges.len(), 7);
}

// REQ: BIL-06
#[test]
fn a_clock_that_is_years_behind_catches_up_one_due_instant_after_another() {
    let story = Story::subscribed("2026-01-31", "UTC", &holding("pro", 1000)).until("2036-01-31");
    assert_eq!(story.charges.len(), 121);
    assert_eq!(story.shows(), "active 2036-01-31..2036-02-29");
    let timers: Vec<_> = story.facts();
    assert_eq!(timers.len(), 240, "each renewal clears one timer and sets one");
}

// REQ: BIL-04
#[test]
fn a_pause_gives_back_the_unused_and_resuming_begins_a_new_period() {
    // 20 of 30 days are left.
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 3000));
    let story = story.until("2026-04-11").when(Command::Pause(Pause { resume_at: None }));
    assert_eq!(story.shows(), "paused 2026-04-11..open");
    assert_eq!((story.lines(), story.held()), (vec![-2000], vec!["free x1 Fallback".to_owned()]));
    assert_eq!((story.sub().next_due(), &story.sub().timer), (None, &None));
    // Over the end of the period that was cut, nothing is charged.
    let story = story.until("2026-06-20T12:00:00");
    assert!(story.events.is_empty());
    let story = story.when(Command::Resume(Resume));
    assert_eq!(story.shows(), "active 2026-06-20T12:00:00Z..2026-07-20T12:00:00Z");
    assert_eq!((story.lines(), story.held()), (vec![3000], vec!["pro x1 Subscription".to_owned()]));
    assert_eq!(story.sub().period.index, 2);
}

// REQ: BIL-04
#[test]
fn a_pause_ends_by_itself_at_the_instant_that_was_given() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 3000));
    let pause = Command::Pause(Pause { resume_at: Some(at("2026-05-05")) });
    let story = story.until("2026-04-11").when(pause);
    assert_eq!(story.shows(), "paused 2026-04-11..2026-05-05");
    assert_eq!(story.sub().resumes_at(), Some(at("2026-05-05")));
    let story = story.until("2026-05-06");
    assert_eq!(story.shows(), "active 2026-05-05..2026-06-05");
    assert_eq!(story.lines(), [3000]);
}

// REQ: BIL-04
#[test]
fn what_is_changed_during_a_pause_is_what_resumes() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 3000));
    let story = story.until("2026-04-11").when(Command::Pause(Pause { resume_at: None }));
    let story = story.when(change(&holding("team", 5000), When::Now));
    assert!(story.lines().is_empty() && story.held().is_empty());
    let story = story.when(change(&seats("team", 700, 10), When::At(at("2026-05-01"))));
    let story = story.until("2026-05-02");
    assert!(story.lines().is_empty());
    let story = story.when(Command::Resume(Resume));
    assert_eq!(
        (story.lines(), story.held()),
        (vec![7000], vec!["team x10 Subscription".to_owned()])
    );
}

// REQ: BIL-04
#[test]
fn two_pauses_of_a_yearly_price_leave_no_overlap() {
    let mut story = Story::subscribed("2026-01-01", "UTC", &yearly("pro", 36_500));
    for (pause, resume) in [("2026-03-01", "2026-04-01"), ("2026-05-01", "2026-06-01")] {
        story = story.until(pause).when(Command::Pause(Pause { resume_at: None }));
        story = story.until(resume).when(Command::Resume(Resume));
        assert_eq!(story.lines(), [36_500]);
    }
    assert_eq!(story.shows(), "active 2026-06-01..2027-06-01");
    let paid: i64 = story.charges.iter().map(|it| it.total).sum();
    // 59 and 30 days of 365 were used up before the two pauses.
    assert_eq!(paid, 36_500 + 5_900 + 3_000);
}

// REQ: BIL-06
#[test]
fn a_change_of_time_zone_keeps_the_current_end_and_moves_the_later_ones() {
    // Midnight in Hanoi is 17:00 UTC; in Kathmandu, 18:15 UTC.
    let story = Story::subscribed("2026-01-14T17:00:00", "Asia/Ho_Chi_Minh", &holding("pro", 1000));
    let story = story.until("2026-01-20").when(set_zone("Asia/Kathmandu"));
    assert_eq!(story.shows(), "active 2026-01-14T17:00:00Z..2026-02-14T17:00:00Z");
    assert!(story.facts().is_empty());
    let story = story.until("2026-02-15");
    assert_eq!(story.shows(), "active 2026-02-14T17:00:00Z..2026-03-14T18:15:00Z");
    assert_eq!(story.lines(), [1000]);
    let story = story.until("2026-04-01");
    assert_eq!(story.shows(), "active 2026-03-14T18:15:00Z..2026-04-14T18:15:00Z");
}

// REQ: BIL-06
#[test]
fn daily_periods_skip_boundaries_that_a_change_of_zone_has_put_behind() {
    let mut daily = holding("pro", 100);
    daily.offer.cycle = Cycle::parse("day").unwrap();
    // From 14 hours ahead of UTC to 11 behind: the same local time comes 25 hours later.
    let story = Story::subscribed("2026-01-01T10:00:00", "Pacific/Kiritimati", &daily);
    let story = story.until("2026-01-01T11:00:00").when(set_zone("Pacific/Pago_Pago"));
    let story = story.until("2026-01-02T10:00:00");
    assert_eq!(story.shows(), "active 2026-01-02T10:00:00Z..2026-01-04T11:00:00Z");
    // And back: boundaries that lie behind are passed over.
    let story = story.until("2026-01-03").when(set_zone("Pacific/Kiritimati"));
    let story = story.until("2026-01-04T11:00:00");
    assert_eq!(story.shows(), "active 2026-01-04T11:00:00Z..2026-01-05T10:00:00Z");
}

// REQ: BIL-06
#[test]
fn a_free_plan_renews_without_charges() {
    let story = Story::subscribed("2026-01-01", "UTC", &holding("free", 0)).until("2026-06-01");
    assert!(story.charges.is_empty());
    assert_eq!(story.shows(), "active 2026-06-01..2026-07-01");
}

// REQ: BIL-06
#[test]
fn behind_the_last_date_it_ends() {
    let story = Story::subscribed("9998-11-15", "UTC", &yearly("pro", 1000));
    let story = story.until("9999-12-31");
    assert_eq!(story.shows(), "ended 9998-11-15..9999-11-15");
    assert_eq!(story.sub().end.as_ref().map(|it| &it.reason), Some(&EndReason::OutOfTime));
    assert_eq!(story.charges.len(), 1);
}

// REQ: BIL-04 KER-09
#[test]
fn a_pause_that_runs_ends_at_another_instant() {
    let until = |day: Option<&str>| Command::Pause(Pause { resume_at: day.map(at) });
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 1000));
    let mut story = story.until("2026-04-11").when(until(Some("2026-05-05")));
    story.refuses(until(Some("2026-05-05")), "SUBSCRIPTION_UNCHANGED");
    story.refuses(until(Some("2026-04-11")), "DATE_IN_THE_PAST");
    let before = story.state.clone();
    let story = story.when(until(Some("2026-06-01")));
    assert_eq!(story.shows(), "paused 2026-04-11..2026-06-01");
    assert!(story.lines().is_empty() && story.held().is_empty());
    let told = shown(&before, &story.state, &until(Some("2026-06-01")));
    assert_eq!(told.action, "subscription.pause-moved");
    // Without an instant only a command ends it.
    let mut story = story.until("2026-05-20").when(until(None));
    assert_eq!((story.shows().as_str(), story.sub().next_due()), ("paused 2026-04-11..open", None));
    story.refuses(until(None), "SUBSCRIPTION_UNCHANGED");
    let story = story.until("2026-07-01").when(until(Some("2026-07-03"))).until("2026-07-04");
    assert_eq!(story.shows(), "active 2026-07-03..2026-08-03");
    assert_eq!(story.lines(), [1000]);
}
