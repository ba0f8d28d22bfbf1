//! Every "no", with its code.

use super::*;
use exchequer_types::Asked;

fn subscribe(holding: Holding, trial_days: Option<u32>) -> Command {
    Command::Subscribe(Subscribe { holding, trial_days, zone: Zone::UTC })
}

fn started() -> Story {
    Story::subscribed("2026-04-01", "UTC", &holding("pro", 1000))
}

fn pause() -> Command {
    Command::Pause(Pause { resume_at: None })
}

// REQ: BIL-04
#[test]
fn what_needs_a_subscription_that_is_not_there() {
    let mut story = Story::at("2026-04-01");
    let all = [
        Command::Activate(Activate),
        change(&holding("pro", 1), When::Now),
        cancel(When::Now),
        Command::Reactivate(Reactivate),
        pause(),
        Command::Resume(Resume),
        set_zone("Europe/Berlin"),
        Command::Amend(Amend {
            asked: Asked::ALL,
            id: "sch_x".to_owned(),
            holding: holding("pro", 1),
            exceeded: vec![],
        }),
        Command::Reschedule(Reschedule { id: "sch_x".to_owned(), at: ScheduleAt::PeriodEnd }),
        Command::Drop(DropEntry { id: "sch_x".to_owned() }),
    ];
    for command in &all {
        story.refuses(command.clone(), "SUBSCRIPTION_NOT_FOUND");
    }
    story.refuses(timer_command("tms_x"), "TIMER_NOT_PENDING");
    let mut story = started().when(cancel(When::Now));
    for command in all {
        let message = story.refuses(command, "SUBSCRIPTION_STATE_INVALID");
        assert!(message.contains("is ended"), "{message}");
    }
    assert!(held_after(&story.state, When::Now).is_err() && scheduled(&story.state, "x").is_err());
}

// REQ: BIL-03
#[test]
fn there_is_one_at_a_time() {
    let mut story = started();
    let message = story.refuses(subscribe(holding("pro", 1), None), "SUBSCRIPTION_EXISTS");
    assert!(message.contains("active"), "{message}");
    let mut story = story.when(pause());
    story.refuses(subscribe(holding("pro", 1), None), "SUBSCRIPTION_EXISTS");
}

// REQ: BIL-04
#[test]
fn what_the_state_does_not_allow_names_the_state() {
    let cancelled = || started().when(cancel(When::PeriodEnd));
    let trial = || Story::trial("2026-04-01", "UTC", &holding("pro", 1), Some(14));
    let paused = || started().when(pause());
    let cases = [
        (started(), Command::Activate(Activate), "active"),
        (trial().when(cancel(When::PeriodEnd)), Command::Activate(Activate), "cancelled"),
        (started(), Command::Resume(Resume), "active"),
        (started(), Command::Reactivate(Reactivate), "active"),
        (trial(), pause(), "trialing"),
        (cancelled(), pause(), "cancelled"),
    ];
    for (mut story, command, state) in cases {
        let message = story.refuses(command, "SUBSCRIPTION_STATE_INVALID");
        assert!(message.contains(&format!("is {state};")), "{message}");
    }
    for command in [cancel(When::PeriodEnd), change(&holding("max", 9), When::PeriodEnd)] {
        let mut story = paused();
        let no = story.ask(&command).unwrap_err();
        assert_eq!((no.code(), no.field()), ("SUBSCRIPTION_STATE_INVALID", Some("when")));
        assert!(no.message().contains("say now or an instant"), "{}", no.message());
    }
}

// REQ: BIL-04
#[test]
fn what_changes_nothing() {
    let mut story = started();
    story.refuses(change(&holding("pro", 1000), When::Now), "SUBSCRIPTION_UNCHANGED");
    story.refuses(set_zone("UTC"), "SUBSCRIPTION_UNCHANGED");
    let mut story = story.when(cancel(When::PeriodEnd));
    story.refuses(cancel(When::PeriodEnd), "SUBSCRIPTION_UNCHANGED");
    assert!(story.ask(&cancel(When::At(at("2026-04-15")))).is_ok());
}

// REQ: BIL-04
#[test]
fn seats_and_packs_within_bounds() {
    let with = |seats: u64, max: Option<u64>| {
        let mut holding = super::seats("pro", 100, seats);
        holding.offer.seats_min = 2;
        holding.offer.seats_max = max;
        holding
    };
    let mut story = Story::at("2026-04-01");
    story.refuses(subscribe(with(0, None), None), "SEATS_TOO_FEW");
    story.refuses(subscribe(with(1, None), None), "SEATS_TOO_FEW");
    let message = story.refuses(subscribe(with(6, Some(5)), None), "SEATS_TOO_MANY");
    assert_eq!(message, "must be at most 5");
    story.refuses(subscribe(with(1_000_000_000_000, None), None), "SEATS_TOO_MANY");
    let mut none = super::seats("pro", 100, 0);
    none.offer.seats_min = 0;
    story.refuses(subscribe(none, None), "SEATS_TOO_FEW");
    let add_ons = |quantity| packs(holding("pro", 1), 10, quantity);
    story.refuses(subscribe(add_ons(0), None), "ADD_ONS_INVALID");
    story.refuses(subscribe(add_ons(PACKS_MAX + 1), None), "ADD_ONS_INVALID");
    let mut twice = add_ons(1);
    twice.add_ons.push(twice.add_ons[0].clone());
    story.refuses(subscribe(twice.clone(), None), "ADD_ONS_INVALID");
    twice.add_ons = vec![twice.add_ons[0].clone(); ADD_ONS_MAX + 1];
    story.refuses(subscribe(twice, None), "ADD_ONS_INVALID");
    let mut story = Story::subscribed("2026-04-01", "UTC", &with(2, Some(5)));
    story.refuses(change(&with(0, Some(5)), When::Now), "SEATS_TOO_FEW");
    story.refuses(change(&with(6, Some(5)), When::PeriodEnd), "SEATS_TOO_MANY");
}

// REQ: BIL-05
#[test]
fn amounts_that_no_sum_could_hold() {
    let mut story = Story::at("2026-04-01");
    story.refuses(subscribe(holding("pro", PRICE_MAX + 1), None), "PRICE_TOO_LARGE");
    story.refuses(subscribe(seats("pro", i64::MAX, SEATS_MAX), None), "PRICE_TOO_LARGE");
    let mut story = started();
    story.refuses(change(&seats("max", PRICE_MAX, 2), When::PeriodEnd), "PRICE_TOO_LARGE");
    assert!(story.ask(&change(&holding("max", PRICE_MAX), When::Now)).is_ok());
}

// REQ: BIL-23
#[test]
fn the_currency_stays() {
    let mut euros = holding("max", 1000);
    euros.offer.currency = Currency::parse("EUR").unwrap();
    let mut story = started();
    story.refuses(change(&euros, When::Now), "CURRENCY_FIXED");
    let message = story.refuses(change(&euros, When::PeriodEnd), "CURRENCY_FIXED");
    assert!(message.contains("USD"), "{message}");
    let mut story = story.when(cancel(When::Now));
    assert!(story.ask(&subscribe(euros, None)).is_ok(), "a new one may have another");
}

// REQ: BIL-03
#[test]
fn trials_within_what_the_plan_has() {
    let with = |days_max| {
        let mut holding = holding("pro", 1000);
        holding.offer.trial_days_max = days_max;
        holding
    };
    let mut story = Story::at("2026-04-01");
    let message = story.refuses(subscribe(with(14), Some(15)), "TRIAL_TOO_LONG");
    assert!(message.contains("ask for 1 to 14"), "{message}");
    story.refuses(subscribe(with(90), Some(31)), "TRIAL_TOO_LONG");
    story.refuses(subscribe(with(0), Some(1)), "TRIAL_TOO_LONG");
    story.refuses(subscribe(with(30), Some(u32::MAX)), "TRIAL_TOO_LONG");
    let mut story = Story::trial("2026-04-01", "UTC", &with(30), Some(14));
    let mut other = holding("max", 1000);
    other.offer.trial_days_max = 7;
    let message = story.refuses(change(&other, When::Now), "TRIAL_TOO_LONG");
    assert!(message.contains("of 14 days runs") && message.contains("at most 7"), "{message}");
    story.refuses(change(&other, When::At(at("2026-04-10"))), "TRIAL_TOO_LONG");
    let mut story = story.when(change(&other, When::PeriodEnd));
    let to = ScheduleAt::Instant(at("2026-04-10"));
    let id = story.entry(0);
    story.refuses(Command::Reschedule(Reschedule { id, at: to }), "TRIAL_TOO_LONG");
}

// REQ: BIL-03
#[test]
fn one_trial_for_each_tenant() {
    let pro = || holding("pro", 1000);
    let story = Story::trial("2026-04-01", "UTC", &pro(), Some(14));
    assert!(story.state.trial_used);
    let mut story = story.until("2026-04-02").when(cancel(When::Now));
    let message = story.refuses(subscribe(holding("max", 9), Some(1)), "TRIAL_ALREADY_USED");
    assert!(message.contains("without one"), "{message}");
    // What is wrong with the days themselves is said first.
    story.refuses(subscribe(pro(), Some(31)), "TRIAL_TOO_LONG");
    let story = story.when(subscribe(pro(), Some(0)));
    assert_eq!(story.sub().word(), "active");
    // A subscription without a trial between the two changes nothing.
    let mut story = story.when(cancel(When::Now));
    story.refuses(subscribe(pro(), Some(14)), "TRIAL_ALREADY_USED");
    // Who never had one may still have it.
    let mut story = started().when(cancel(When::Now));
    assert!(!story.state.trial_used);
    assert!(story.ask(&subscribe(pro(), Some(14))).is_ok());
}

// REQ: BIL-04
#[test]
fn dates_in_the_future_and_not_too_far() {
    let mut story = started();
    for (text, code) in [
        ("2026-04-01", "DATE_IN_THE_PAST"),
        ("1970-01-01", "DATE_IN_THE_PAST"),
        ("2036-04-09", "DATE_OUT_OF_RANGE"),
        ("9999-12-31", "DATE_OUT_OF_RANGE"),
    ] {
        let instant = at(text);
        story.refuses(change(&holding("max", 9), When::At(instant)), code);
        story.refuses(cancel(When::At(instant)), code);
        story.refuses(Command::Pause(Pause { resume_at: Some(instant) }), code);
        let mut story = started().when(change(&holding("max", 9), When::PeriodEnd));
        let id = story.entry(0);
        let to = ScheduleAt::Instant(instant);
        story.refuses(Command::Reschedule(Reschedule { id, at: to }), code);
    }
    let mut last = Story::at("9999-12-15");
    last.refuses(subscribe(holding("pro", 1), None), "DATE_OUT_OF_RANGE");
}

// REQ: BIL-04
#[test]
fn the_schedule_has_a_limit() {
    let mut story = started();
    for seats_wanted in 0..32 {
        let day =
            at("2026-05-10").saturating_add(core::time::Duration::from_secs(86_400 * seats_wanted));
        story = story.when(change(&seats("max", 5, seats_wanted + 1), When::At(day)));
    }
    story.refuses(change(&seats("max", 5, 99), When::PeriodEnd), "SCHEDULE_TOO_LONG");
    assert!(story.ask(&change(&seats("max", 5, 99), When::Now)).is_ok());
    story.pass(at("2027-01-01"));
    assert!(story.sub().schedule.is_empty());
}

#[test]
fn unknown_entries_and_bad_reasons() {
    let mut story = started();
    let id = || "sch_x".to_owned();
    story.refuses(Command::Drop(DropEntry { id: id() }), "SCHEDULED_CHANGE_NOT_FOUND");
    let amend = Amend { asked: Asked::ALL, id: id(), holding: holding("max", 1), exceeded: vec![] };
    story.refuses(Command::Amend(amend), "SCHEDULED_CHANGE_NOT_FOUND");
    let to = ScheduleAt::PeriodEnd;
    story.refuses(
        Command::Reschedule(Reschedule { id: id(), at: to }),
        "SCHEDULED_CHANGE_NOT_FOUND",
    );
    for reason in ["a\nb".to_owned(), "x".repeat(501)] {
        story.refuses(Command::Cancel(Cancel { when: When::Now, reason }), "REASON_INVALID");
    }
}

#[test]
fn the_audit_log_names_what_happened() {
    let story = started();
    let before = story.state.clone();
    let story = story.when(change(&seats("team", 5, 2), When::PeriodEnd));
    let told = shown(&before, &story.state, &change(&seats("team", 5, 2), When::PeriodEnd));
    assert_eq!(
        (told.action, told.resource_type),
        ("subscription.change-scheduled", "subscription")
    );
    assert_eq!(told.resource_id, story.sub().id);
    assert!(told.after.canonical().contains("\"at\":\"period-end\""), "{:?}", told.after);
    let before = story.state.clone();
    let story = story.until("2026-05-01");
    assert_eq!(shown(&before, &story.state, &timer_command("t")).action, "subscription.renewed");
    let before = story.state.clone();
    let story = story.when(cancel(When::Now));
    let told = shown(&before, &story.state, &cancel(When::Now));
    assert_eq!(told.action, "subscription.ended");
    assert!(told.after.canonical().contains("too dear"));
}
