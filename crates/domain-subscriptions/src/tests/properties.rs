//! Whatever is asked, and whenever, the invariants hold, and deciding twice is the same.

use core::time::Duration;
use exchequer_types::Asked;

use proptest::prelude::*;

use super::*;

/// What a holding is made of, by small numbers.
fn holding_of(plan: u8, cycle: u8, seats: u64, packs_held: u64, policy: u8) -> Holding {
    let mut holding =
        super::seats(["basic", "pro", "team", "max"][usize::from(plan % 4)], 0, seats);
    let flat = i64::from(plan % 4) * 1_999 + 501;
    holding.offer.components = vec![
        Component { kind: ComponentKind::Flat, amount: flat },
        Component { kind: ComponentKind::PerSeat, amount: 333 },
    ];
    let cycles = ["month", "year", "14 days", "3 months"];
    holding.offer.cycle = Cycle::parse(cycles[usize::from(cycle % 4)]).unwrap();
    holding.offer.price = slug(&format!("price-{}", cycle % 4));
    holding.offer.proration = [
        Proration::BySecond,
        Proration::BySecond,
        Proration::ByDay,
        Proration::None,
        Proration::Full,
    ][usize::from(policy % 5)];
    if packs_held > 0 { packs(holding, 777, packs_held) } else { holding }
}

fn any_holding() -> impl Strategy<Value = Holding> {
    (any::<u8>(), any::<u8>(), 0..6_u64, 0..3_u64, any::<u8>()).prop_map(
        |(plan, cycle, seats, packs, policy)| holding_of(plan, cycle, seats, packs, policy),
    )
}

#[derive(Clone, Debug)]
enum Step {
    Pass {
        seconds: u64,
    },
    /// To the instant at which the next thing is due, or a microsecond before it.
    PassToDue {
        early: bool,
    },
    Ask(Box<Ask>),
}

/// A [`When`], in seconds from now.
#[derive(Clone, Copy, Debug)]
enum Timing {
    Now,
    PeriodEnd,
    After(u64),
}

/// A command whose instants and entries are told relative to the state.
#[derive(Clone, Debug)]
enum Ask {
    Subscribe(Holding, Option<u32>, usize),
    Activate,
    Change(Holding, Timing),
    /// Other seats of what is held.
    Seats(u64),
    Cancel(Timing),
    Reactivate,
    Pause(Option<u64>),
    Resume,
    Zone(usize),
    Amend(usize, Holding),
    Reschedule(usize, Option<u64>),
    Drop(usize),
}

const ZONES: [&str; 6] = [
    "UTC",
    "Asia/Ho_Chi_Minh",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
];

fn any_step() -> impl Strategy<Value = Step> {
    let later = || prop_oneof![Just(None), (0..120 * 86_400_u64).prop_map(Some)];
    let when = || {
        let after = (0..120 * 86_400_u64).prop_map(Timing::After);
        prop_oneof![Just(Timing::Now), Just(Timing::PeriodEnd), after]
    };
    let ask = prop_oneof![
        4 => (any_holding(), prop::option::of(0..32_u32), 0..ZONES.len())
            .prop_map(|(holding, days, zone)| Ask::Subscribe(holding, days, zone)),
        1 => Just(Ask::Activate),
        4 => (any_holding(), when()).prop_map(|(holding, when)| Ask::Change(holding, when)),
        4 => (0..9_u64).prop_map(Ask::Seats),
        1 => when().prop_map(Ask::Cancel),
        1 => Just(Ask::Reactivate),
        1 => later().prop_map(Ask::Pause),
        2 => Just(Ask::Resume),
        1 => (0..ZONES.len()).prop_map(Ask::Zone),
        1 => (0..4_usize, any_holding()).prop_map(|(index, holding)| Ask::Amend(index, holding)),
        1 => (0..4_usize, later()).prop_map(|(index, at)| Ask::Reschedule(index, at)),
        1 => (0..4_usize).prop_map(Ask::Drop),
    ];
    prop_oneof![
        2 => (0..40 * 86_400_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => any::<bool>().prop_map(|early| Step::PassToDue { early }),
        4 => ask.prop_map(|ask| Step::Ask(Box::new(ask))),
    ]
}

fn command(story: &Story, ask: Ask) -> Command {
    let after = |seconds: u64| story.now.saturating_add(Duration::from_secs(seconds));
    let when = |timing: Timing| match timing {
        Timing::Now => When::Now,
        Timing::PeriodEnd => When::PeriodEnd,
        Timing::After(seconds) => When::At(after(seconds)),
    };
    let current = story.state.current.as_ref();
    let id = |index: usize| {
        let entry = current.and_then(|it| it.schedule.get(index));
        entry.map_or_else(|| "sch_none".to_owned(), |it| it.id.clone())
    };
    match ask {
        Ask::Subscribe(holding, trial_days, index) => {
            Command::Subscribe(Subscribe { holding, trial_days, zone: zone(ZONES[index]) })
        }
        Ask::Activate => Command::Activate(Activate),
        Ask::Change(holding, at) => change(&holding, when(at)),
        Ask::Seats(seats) => {
            let holding = current.map_or_else(|| holding("pro", 1), |it| (*it.holding).clone());
            change(&Holding { seats, ..holding }, When::Now)
        }
        Ask::Cancel(at) => cancel(when(at)),
        Ask::Reactivate => Command::Reactivate(Reactivate),
        Ask::Pause(at) => Command::Pause(Pause { resume_at: at.map(after) }),
        Ask::Resume => Command::Resume(Resume),
        Ask::Zone(index) => set_zone(ZONES[index]),
        Ask::Amend(index, holding) => Command::Amend(Amend {
            asked: Asked::ALL,
            id: id(index),
            holding,
            exceeded: Vec::new(),
        }),
        Ask::Reschedule(index, at) => {
            let at = at.map_or(ScheduleAt::PeriodEnd, |at| ScheduleAt::Instant(after(at)));
            Command::Reschedule(Reschedule { id: id(index), at })
        }
        Ask::Drop(index) => Command::Drop(DropEntry { id: id(index) }),
    }
}

fn walk(steps: Vec<Step>) -> Story {
    let mut story = Story::at("2026-01-31T12:34:56.789");
    for step in steps {
        match step {
            Step::Pass { seconds } => {
                let until = story.now.saturating_add(Duration::from_secs(seconds));
                story.pass(until);
            }
            Step::PassToDue { early } => {
                let due = story.state.current.as_ref().and_then(Subscription::next_due);
                if let Some(due) = due {
                    let early = Duration::from_micros(u64::from(early));
                    story.pass(due.saturating_sub(early).max(story.now));
                }
            }
            Step::Ask(ask) => {
                let command = command(&story, *ask);
                // A refusal changes nothing, which is checked by what comes after it.
                let _ = story.ask(&command);
            }
        }
    }
    story
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // REQ: BIL-03 BIL-04 BIL-05 BIL-06
    #[test]
    fn every_life_keeps_its_invariants(steps in prop::collection::vec(any_step(), 1..60)) {
        walk(steps);
    }

    // REQ: BIL-05
    #[test]
    fn any_number_of_changes_in_one_period_costs_what_was_held(
        changes in prop::collection::vec((0..3_000_u64, 0..4_u8, 1..9_u64, 0..3_u64), 1..30),
    ) {
        let mut story = Story::subscribed("2026-04-01", "UTC", &holding_of(0, 0, 1, 0, 0));
        let mut exact = 0_i128;
        let (mut from, mut held) = (0_u64, holding_of(0, 0, 1, 0, 0));
        let mut lines = 1;
        let period = 30 * 86_400_u64;
        let price = |held: &Holding| i128::from(exchequer_rating::price(held).unwrap());
        for (seconds, plan, seats, packs) in changes {
            let until = story.now.saturating_add(Duration::from_secs(seconds));
            story.pass(until);
            let wanted = holding_of(plan, 0, seats, packs, 0);
            if story.ask(&change(&wanted, When::Now)).is_ok() {
                let now = until.since(at("2026-04-01")).as_secs();
                exact += price(&held) * i128::from(now - from);
                (from, held) = (now, wanted);
                lines += i128::try_from(story.lines().len()).unwrap();
            }
        }
        exact += price(&held) * i128::from(period - from);
        let paid: i128 = story.charges.iter().map(|it| i128::from(it.total)).sum();
        let off = (paid * i128::from(period) - exact).abs();
        prop_assert!(off * 2 <= lines * i128::from(period), "{paid} for {exact}");
    }
}

/// A checker that never complains proves nothing.
// REQ: BIL-05
#[test]
fn the_checkers_notice_what_is_wrong() {
    let story = || Story::subscribed("2026-04-01", "UTC", &holding("pro", 1000));
    let fails = |mut change: Box<dyn FnMut(&mut Event)>| {
        let mut story = story().until("2026-04-16");
        let mut lost = story.life.clone();
        let ctx = story.ctx("c-9", "api");
        let mut events =
            story.decide(&super::change(&holding("max", 3000), When::Now), &ctx).unwrap();
        events.iter_mut().for_each(&mut change);
        for event in &events {
            Subscriptions::evolve(&mut story.state, event, story.now);
        }
        let followed = events.iter().try_for_each(|event| lost.follow(event, story.now));
        followed.and_then(|()| lost.check(story.state.current.as_ref())).map_err(|it| it.name)
    };
    assert_eq!(fails(Box::new(|_| {})), Ok(()));
    let forgotten = |event: &mut Event| {
        if let Event::ChargeRecorded(charge) = event {
            let credit = charge.lines.remove(0);
            charge.total -= credit.amount;
        }
    };
    assert_eq!(fails(Box::new(forgotten)), Err("SUB-3"));
    let miscounted = |event: &mut Event| {
        if let Event::ChargeRecorded(charge) = event {
            charge.lines[0].amount -= 1;
        }
    };
    assert_eq!(fails(Box::new(miscounted)), Err("SUB-3"));
    let again = |event: &mut Event| {
        if let Event::HeldChanged { .. } = event {
            *event = story().events[0].clone();
        }
    };
    assert_eq!(fails(Box::new(again)), Err("SUB-1"));
    let untimed = |event: &mut Event| {
        if let Event::HeldChanged { .. } = event {
            *event = Event::DueMoved { cleared: None, timer: None };
        }
    };
    assert_eq!(fails(Box::new(untimed)), Err("SUB-4"));
    let gap = |event: &mut Event| {
        if let Event::HeldChanged { .. } = event {
            let first = story().sub().period.clone();
            let period = LifePeriod { index: 1, start: at("2026-04-17"), ..first };
            *event = Event::Renewed { period };
        }
    };
    assert_eq!(fails(Box::new(gap)), Err("SUB-2"));
    assert!(invariants::version_counts(3, 4).is_err());
}
