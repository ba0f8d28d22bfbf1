//! Changes to come.

use super::*;
use exchequer_types::Asked;

fn reschedule(id: String, at: ScheduleAt) -> Command {
    Command::Reschedule(Reschedule { id, at })
}

// REQ: BIL-04
#[test]
fn at_period_end_the_new_price_is_charged_whole() {
    let story = Story::subscribed("2026-01-31", "UTC", &holding("pro", 2000));
    let story = story.when(change(&holding("basic", 500), When::PeriodEnd));
    assert!(story.lines().is_empty() && story.facts().is_empty());
    assert!(story.entry(0).starts_with("sch_"));
    let story = story.until("2026-02-28");
    assert_eq!(
        (story.lines(), story.held()),
        (vec![500], vec!["basic x1 Subscription".to_owned()])
    );
    // The anchor stays where it was.
    assert_eq!(story.shows(), "active 2026-02-28..2026-03-31");
    assert!(story.sub().schedule.is_empty());
}

// REQ: BIL-04
#[test]
fn at_period_end_to_another_cycle_the_anchor_is_there() {
    let story = Story::subscribed("2026-01-31", "UTC", &holding("pro", 2000));
    let story = story.when(change(&yearly("pro", 20_000), When::PeriodEnd)).until("2026-02-28");
    assert_eq!(story.shows(), "active 2026-02-28..2027-02-28");
    assert_eq!(story.lines(), [20_000]);
}

// REQ: BIL-04
#[test]
fn at_trial_end_the_scheduled_plan_is_what_begins() {
    let story = Story::trial("2026-01-01", "UTC", &holding("pro", 2000), Some(10));
    let story = story.when(change(&holding("basic", 500), When::PeriodEnd)).until("2026-01-11");
    assert_eq!(
        (story.lines(), story.held()),
        (vec![500], vec!["basic x1 Subscription".to_owned()])
    );
    assert_eq!(story.shows(), "active 2026-01-11..2026-02-11");
}

// REQ: BIL-04 BIL-05
#[test]
fn at_an_instant_it_is_prorated_like_one_that_is_asked_for_then() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
    let story = story.when(change(&holding("pro", 2000), When::At(at("2026-04-16"))));
    assert_eq!(story.sub().next_due(), Some(at("2026-04-16")));
    assert_eq!(story.facts().len(), 2, "the timer moved");
    let story = story.until("2026-04-20");
    assert_eq!(story.lines(), [-500, 1000]);
    assert_eq!(story.sub().next_due(), Some(at("2026-05-01")));
}

// REQ: BIL-04
#[test]
fn several_at_one_instant_apply_in_the_order_of_entry() {
    let instant = When::At(at("2026-05-01"));
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
    let story = story
        .when(change(&holding("pro", 2000), instant))
        .when(change(&holding("team", 3000), When::PeriodEnd))
        .when(change(&holding("max", 4000), instant))
        .until("2026-05-01");
    // All at the end of the period: only what is held at last is charged.
    assert_eq!((story.lines(), story.held()), (vec![4000], vec!["max x1 Subscription".to_owned()]));
    let changed = |event: &Event| match event {
        Event::Changed { holding, .. } => Some(holding.offer.plan.plan.to_string()),
        _ => None,
    };
    let order: Vec<_> = story.events.iter().filter_map(changed).collect();
    assert_eq!(order, ["pro", "team", "max"]);
}

// REQ: BIL-04
#[test]
fn a_later_change_is_a_change_of_what_is_scheduled_before_it() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
    let mut story = story.when(change(&holding("pro", 2000), When::PeriodEnd));
    let later = When::At(at("2026-06-10"));
    assert_eq!(held_after(&story.state, later).unwrap().offer.plan.plan.as_str(), "pro");
    assert_eq!(held_after(&story.state, When::Now).unwrap().offer.plan.plan.as_str(), "basic");
    story.refuses(change(&holding("pro", 2000), later), "SUBSCRIPTION_UNCHANGED");
    story.refuses(change(&holding("basic", 1000), When::Now), "SUBSCRIPTION_UNCHANGED");
    assert!(story.ask(&change(&holding("basic", 1000), later)).is_ok());
}

// REQ: BIL-04
#[test]
fn entries_are_amended_moved_and_dropped() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
    let story = story.when(change(&holding("pro", 2000), When::PeriodEnd));
    let id = story.entry(0);
    assert_eq!(scheduled(&story.state, &id).unwrap().offer.plan.plan.as_str(), "pro");
    let amend = |plan: &str| {
        let holding = holding(plan, 3000);
        Command::Amend(Amend { asked: Asked::ALL, id: id.clone(), holding, exceeded: Vec::new() })
    };
    let mut story = story.when(amend("team"));
    story.refuses(amend("team"), "SUBSCRIPTION_UNCHANGED");
    let to = ScheduleAt::Instant(at("2026-04-16"));
    let mut story = story.when(reschedule(id.clone(), to));
    assert_eq!(story.sub().next_due(), Some(at("2026-04-16")));
    story.refuses(reschedule(id.clone(), to), "SUBSCRIPTION_UNCHANGED");
    let story = story.when(Command::Drop(DropEntry { id: id.clone() }));
    assert_eq!(story.sub().next_due(), Some(at("2026-05-01")));
    assert_eq!(story.until("2026-05-01").lines(), [1000]);
}

// REQ: BIL-04
#[test]
fn cancelling_drops_what_would_come_after_the_end() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
    let story = story
        .when(change(&holding("pro", 2000), When::At(at("2026-04-20"))))
        .when(change(&holding("team", 2000), When::PeriodEnd))
        .when(change(&holding("max", 2000), When::At(at("2026-06-01"))))
        .when(cancel(When::PeriodEnd));
    let plans: Vec<_> =
        story.sub().schedule.iter().map(|it| it.holding.offer.plan.plan.to_string()).collect();
    assert_eq!(plans, ["pro"]);
    let mut story = story.until("2026-04-21");
    let no = "SUBSCRIPTION_ENDS_BEFORE";
    story.refuses(change(&holding("team", 2000), When::PeriodEnd), no);
    story.refuses(change(&holding("team", 2000), When::At(at("2026-05-02"))), no);
    let story = story.until("2026-05-01");
    assert_eq!(story.sub().word(), "ended");
}

// REQ: BIL-04
#[test]
fn what_is_for_the_period_end_follows_it_when_it_moves() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
    let story = story.when(change(&holding("pro", 2000), When::PeriodEnd)).until("2026-04-16");
    let story = story.when(Command::Pause(Pause { resume_at: Some(at("2026-05-20")) }));
    assert_eq!(story.sub().next_due(), Some(at("2026-05-20")));
    let story = story.until("2026-05-21");
    assert_eq!(
        (story.lines(), story.held()),
        (vec![1000], vec!["basic x1 Subscription".to_owned()])
    );
    let story = story.until("2026-06-20");
    assert_eq!((story.lines(), story.held()), (vec![2000], vec!["pro x1 Subscription".to_owned()]));
}

// REQ: BIL-04
#[test]
fn two_changes_of_cycle_at_one_instant() {
    let instant = When::At(at("2026-04-16"));
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
    let story = story
        .when(change(&yearly("pro", 36_500), instant))
        .when(change(&holding("team", 3000), instant))
        .until("2026-04-17");
    // The year is given back whole: none of it has passed.
    assert_eq!(story.lines(), [-500, 36_500, -36_500, 3000]);
    assert_eq!(story.shows(), "active 2026-04-16..2026-05-16");
}

fn over() -> Vec<Exceeded> {
    vec![Exceeded { feature: slug("storage"), limit: 10, used: 40 }]
}

fn refusing(plan: &str, amount: i64) -> Holding {
    let mut holding = holding(plan, amount);
    holding.offer.downgrade = Downgrade::Refuse;
    holding
}

fn dropped(story: &Story) -> Vec<DropReason> {
    let why = |event: &Event| match event {
        Event::ScheduleDropped { why, .. } => Some(*why),
        _ => None,
    };
    story.events.iter().filter_map(why).collect()
}

// REQ: BIL-04
#[test]
fn use_that_grew_since_is_refused_when_the_change_falls_due() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 2000));
    let mut story = story.when(change(&refusing("basic", 1000), When::PeriodEnd));
    story.exceeded = over();
    let (before, id) = (story.state.clone(), story.entry(0));
    let timer = story.sub().timer.clone().unwrap().id;
    let fired = story.fires(&timer);
    let story = story.until("2026-05-01");
    assert_eq!(dropped(&story), [DropReason::Exceeded]);
    // What was held goes on, and is charged.
    assert_eq!((story.lines(), story.held()), (vec![2000], vec![]));
    assert_eq!(story.shows(), "active 2026-05-01..2026-06-01");
    assert!(story.sub().schedule.is_empty());
    let told = shown(&before, &story.state, &fired);
    assert_eq!(told.action, "subscription.renewed");
    let refused =
        format!("\"refused\":{{\"{id}\":[{{\"feature\":\"storage\",\"limit\":10,\"used\":40}}]}}");
    assert!(told.after.canonical().contains(&refused), "{:?}", told.after);
    assert!(
        !shown(&before, &story.state, &timer_command(&timer)).after.canonical().contains("refused")
    );
}

// REQ: BIL-04
#[test]
fn only_what_its_plan_refuses_is_left_out() {
    let instant = When::At(at("2026-04-16"));
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 3000));
    let mut story = story
        .when(change(&refusing("basic", 1000), instant))
        .when(change(&holding("team", 2000), instant));
    story.exceeded = over();
    let timer = story.sub().timer.clone().unwrap().id;
    let plans: Vec<_> = falling_due(&story.state, &timer)
        .into_iter()
        .map(|it| it.holding.offer.plan.plan.to_string())
        .collect();
    assert_eq!(plans, ["basic", "team"]);
    assert!(falling_due(&story.state, "tms_x").is_empty());
    let story = story.until("2026-04-16");
    assert_eq!(dropped(&story), [DropReason::Exceeded]);
    assert_eq!(story.held(), ["team x1 Subscription"], "a plan that accepts is changed to");

    // Alone, and within a period, nothing else happens.
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 3000));
    let mut story = story.when(change(&refusing("basic", 1000), instant));
    story.exceeded = over();
    let before = story.state.clone();
    let fired = story.fires(&story.sub().timer.clone().unwrap().id);
    let story = story.until("2026-04-16");
    assert!(story.lines().is_empty() && story.held().is_empty());
    assert_eq!(story.sub().next_due(), Some(at("2026-05-01")));
    let told = shown(&before, &story.state, &fired);
    assert_eq!(told.action, "subscription.change-refused");
}

// REQ: BIL-04
#[test]
fn nothing_falls_due_with_the_end() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 3000));
    let story = story
        .when(change(&refusing("basic", 1000), When::At(at("2026-04-10"))))
        .when(cancel(When::PeriodEnd));
    let timer = |story: &Story| story.sub().timer.clone().unwrap().id;
    assert_eq!(falling_due(&story.state, &timer(&story)).len(), 1);
    let story = story.until("2026-04-11");
    assert!(falling_due(&story.state, &timer(&story)).is_empty());
    assert_eq!(story.until("2026-05-01").sub().word(), "ended");
}

// REQ: BIL-04
#[test]
fn what_a_planned_change_does_not_ask_for_is_as_it_is_then() {
    let seats = |seats: u64| Holding { seats, ..holding("basic", 500) };
    let planned = |asked, holding: &Holding| {
        let (holding, when, exceeded) = (holding.clone(), When::PeriodEnd, Vec::new());
        Command::Change(Change { holding, asked, when, exceeded })
    };
    let of_seats = Asked { plan: false, seats: true, add_ons: false };
    let story =
        Story::subscribed("2026-01-01", "UTC", &seats(1)).when(planned(of_seats, &seats(5)));
    let upgraded = story.when(change(&Holding { seats: 1, ..holding("pro", 2000) }, When::Now));
    let entry = &upgraded.sub().schedule[0];
    assert_eq!((entry.holding.offer.plan.plan.as_str(), entry.holding.seats), ("pro", 5));
    let renewed = upgraded.until("2026-02-01");
    let held = &renewed.sub().holding;
    assert_eq!((held.offer.plan.plan.as_str(), held.seats), ("pro", 5));
}

/// A change that asks for the plan of `holding` alone.
fn to_plan(holding: &Holding, when: When) -> Command {
    let asked = Asked { plan: true, seats: false, add_ons: false };
    Command::Change(Change { holding: holding.clone(), asked, when, exceeded: Vec::new() })
}

// REQ: BIL-04
#[test]
fn a_change_that_cannot_take_place_says_why_not() {
    let small = Holding { seats: 2, ..holding("small", 500) };
    let small = Holding { offer: Offer { seats_max: Some(3), ..small.offer.clone() }, ..small };
    let story = Story::subscribed("2026-04-01", "UTC", &seats("pro", 1000, 2));
    let story = story
        .when(to_plan(&small, When::At(at("2026-04-20"))))
        .when(change(&seats("pro", 1000, 5), When::Now));
    let (before, id) = (story.state.clone(), story.entry(0));
    let fired = story.fires(&story.sub().timer.clone().unwrap().id);
    let story = story.until("2026-04-20");
    assert_eq!(dropped(&story), [DropReason::Impossible]);
    let told = &story.sub().dropped[0];
    assert_eq!((&told.id, told.at, told.why), (&id, at("2026-04-20"), DropReason::Impossible));
    let refusal = told.refusal.as_ref().unwrap();
    assert_eq!(
        (refusal.code.as_str(), refusal.message.as_str()),
        ("SEATS_TOO_MANY", "must be at most 3")
    );
    assert_eq!(told.holding.offer.plan.plan.as_str(), "small");
    // Nothing else happened, and the audit log says what did not.
    assert!(story.lines().is_empty() && story.held().is_empty());
    let shown = shown(&before, &story.state, &fired);
    assert_eq!(shown.action, "subscription.change-refused");
    let text = shown.after.canonical();
    assert!(text.contains("\"code\":\"SEATS_TOO_MANY\"") && text.contains("at most 3"), "{text}");
    // It is told of until others take its place.
    let mut story = story;
    for day in 0..20_u64 {
        let due = at("2026-05-02").saturating_add(core::time::Duration::from_secs(86_400 * day));
        story = story.when(to_plan(&Holding { seats: 2, ..small.clone() }, When::At(due)));
    }
    story.pass(at("2026-06-01"));
    assert_eq!(story.sub().dropped.len(), DROPPED_CHANGES_MAX);
    assert!(story.sub().dropped.iter().all(|it| it.id != id));
}

// REQ: BIL-04
#[test]
fn what_the_end_drops_is_told_of_and_what_was_asked_for_is_not() {
    let later = |day| When::At(at(day));
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
    let story = story
        .when(change(&holding("pro", 2000), later("2026-05-10")))
        .when(change(&holding("max", 3000), later("2026-05-20")));
    let asked = Command::Drop(DropEntry { id: story.entry(0) });
    let story = story.when(asked);
    assert!(story.sub().dropped.is_empty());
    let scheduled = story.entry(0);
    let at_end = story.when(cancel(When::PeriodEnd));
    let told = |story: &Story| {
        let it = &story.sub().dropped[0];
        (it.id.clone(), it.why, it.refusal.is_none())
    };
    assert_eq!(told(&at_end), (scheduled, DropReason::Cancelled, true));
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
    let story = story.when(change(&holding("pro", 2000), later("2026-05-10")));
    let scheduled = story.entry(0);
    let ended = story.when(cancel(When::Now));
    assert_eq!(told(&ended), (scheduled, DropReason::Cancelled, true));
}

// REQ: BIL-03 BIL-04
#[test]
fn packs_are_never_lost_on_the_way_to_another_cycle() {
    let begun = || {
        let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
        let story = story.when(to_plan(&yearly("pro", 20_000), When::PeriodEnd));
        story.when(change(&packs(holding("basic", 1000), 100, 2), When::Now))
    };
    // What two packs cost for a year only the catalog knows.
    let story = begun();
    let planned = story.sub().planned();
    assert_eq!(planned[0].packs, BTreeMap::from([(slug("storage"), 2)]));
    assert!(!planned[0].is_looked_up());
    let story = story.until("2026-05-01");
    assert_eq!(dropped(&story), [DropReason::Impossible]);
    let refusal = story.sub().dropped[0].refusal.clone().unwrap();
    assert_eq!(refusal.code, "PLANNED_CHANGE_IMPOSSIBLE");
    assert_eq!(story.sub().holding.packs(), BTreeMap::from([(slug("storage"), 2)]));

    // The root looks it up.
    let mut story = begun();
    let holding = packs(yearly("pro", 20_000), 1_200, 2);
    let event = looked_up(&story.state, &story.entry(0), holding.clone()).unwrap();
    story.take(&[event]);
    assert_eq!(looked_up(&story.state, &story.entry(0), holding.clone()), None);
    assert!(story.sub().planned()[0].is_looked_up());
    let story = story.until("2026-05-01");
    assert!(dropped(&story).is_empty() && *story.sub().holding == holding);
    assert_eq!(story.lines(), [20_000, 2_400]);
}
