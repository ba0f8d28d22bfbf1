//! Cancelling, ending, and beginning anew.

use super::*;
use exchequer_types::Fact;

// REQ: BIL-04 BIL-21
#[test]
fn cancelled_now_the_unused_is_given_back_and_the_tenant_falls_to_free() {
    let story = Story::subscribed("2026-04-01", "UTC", &seats("pro", 1000, 3));
    let story = story.until("2026-04-16").when(cancel(When::Now));
    assert_eq!(story.shows(), "ended 2026-04-01..2026-04-16");
    assert_eq!((story.lines(), story.held()), (vec![-1500], vec!["free x1 Fallback".to_owned()]));
    let reason = EndReason::Cancelled { reason: "too dear".to_owned() };
    assert_eq!(story.sub().end.as_ref().unwrap().reason, reason);
    assert_eq!(story.sub().next_due(), None);
    let cleared = |fact: &Fact| matches!(fact, Fact::TimerCleared { fired: false, .. });
    assert_eq!(story.facts().iter().filter(|it| cleared(it)).count(), 1);
    assert!(story.until("2030-01-01").events.is_empty());
}

// REQ: BIL-04 BIL-21
#[test]
fn cancelled_at_period_end_it_runs_on_until_then() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 1000));
    let story = story.until("2026-04-16").when(cancel(When::PeriodEnd));
    assert_eq!(story.shows(), "cancelled 2026-04-01..2026-05-01");
    assert_eq!(story.sub().cancels_at(), Some(at("2026-05-01")));
    assert!(story.facts().is_empty());
    let story = story.until("2026-05-01");
    assert_eq!(story.shows(), "ended 2026-04-01..2026-05-01");
    assert_eq!((story.lines(), story.held()), (vec![], vec!["free x1 Fallback".to_owned()]));
}

// REQ: BIL-04
#[test]
fn cancelled_at_an_instant_of_a_later_period() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 3100));
    let story = story.when(cancel(When::At(at("2026-05-11")))).until("2026-05-12");
    assert_eq!(story.shows(), "ended 2026-05-01..2026-05-11");
    assert_eq!(story.lines(), [3100, -2100]);
}

// REQ: BIL-04
#[test]
fn a_cancellation_can_be_taken_back() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 1000));
    let story = story.when(cancel(When::PeriodEnd)).when(Command::Reactivate(Reactivate));
    assert_eq!(story.shows(), "active 2026-04-01..2026-05-01");
    assert_eq!(story.until("2026-05-01").lines(), [1000]);
}

// REQ: BIL-03
#[test]
fn a_trial_that_is_cancelled_ends_without_a_charge() {
    let trial = || Story::trial("2026-04-01", "UTC", &holding("pro", 1000), Some(14));
    let story = trial().when(cancel(When::PeriodEnd));
    assert_eq!(story.shows(), "cancelled 2026-04-01..2026-04-15");
    let story = story.until("2026-04-15");
    assert_eq!(story.shows(), "ended 2026-04-01..2026-04-15");
    let story_now = trial().until("2026-04-03").when(cancel(When::Now));
    assert_eq!(story_now.shows(), "ended 2026-04-01..2026-04-03");
    assert!(story.charges.is_empty() && story_now.charges.is_empty());
}

// REQ: BIL-04
#[test]
fn cancelled_in_a_pause_there_is_nothing_to_give_back() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 1000));
    let story = story.until("2026-04-16").when(Command::Pause(Pause { resume_at: None }));
    let story = story.until("2026-07-01").when(cancel(When::Now));
    assert_eq!(story.shows(), "ended 2026-04-16..2026-07-01");
    // The fall-back plan is held before and after.
    assert!(story.lines().is_empty() && story.held().is_empty());
}

// REQ: BIL-21
#[test]
fn without_a_fall_back_plan_nothing_is_held() {
    let mut pro = holding("pro", 1000);
    pro.offer.fallback = None;
    let story = Story::subscribed("2026-04-01", "UTC", &pro).when(cancel(When::Now));
    assert_eq!(story.held(), ["nothing"]);
}

// REQ: BIL-03
#[test]
fn after_the_end_a_new_one_begins_with_a_later_version() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 1000));
    let story = story.when(cancel(When::Now)).until("2026-06-01");
    let (old, version) = (story.sub().id.clone(), story.sub().version);
    let again = Subscribe { holding: holding("team", 500), trial_days: None, zone: Zone::UTC };
    let story = story.when(Command::Subscribe(again));
    assert_ne!(story.sub().id, old);
    assert!(story.sub().version > version);
    assert_eq!(story.shows(), "active 2026-06-01..2026-07-01");
    assert_eq!(story.sub().period.index, 0);
}

// REQ: BIL-21
#[test]
fn a_closed_tenant_has_no_subscription() {
    let mut story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 1000));
    story = story.until("2026-04-16");
    let ctx = story.ctx("close", "api");
    let events = follow(&story.state, &Fact::TenantClosed, &ctx);
    assert_eq!(events, follow(&story.state, &Fact::TenantClosed, &ctx));
    story.take(&events);
    assert_eq!((story.lines(), story.held()), (vec![-500], vec!["nothing".to_owned()]));
    assert_eq!(story.sub().end.as_ref().unwrap().reason, EndReason::TenantClosed);
    assert!(follow(&story.state, &Fact::TenantClosed, &ctx).is_empty());
    assert!(follow(&story.state, &Fact::PlanChanged { held: None }, &ctx).is_empty());
}
