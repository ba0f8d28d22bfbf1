//! Changes inside a period, and what they charge.

use super::*;
use exchequer_types::Asked;

// REQ: BIL-05
#[test]
fn half_way_from_10_to_20_gives_back_5_and_charges_10() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000));
    let story = story.until("2026-04-16").when(change(&holding("pro", 2000), When::Now));
    assert_eq!(story.lines(), [-500, 1000]);
    assert_eq!(story.held(), ["pro x1 Subscription"]);
    assert_eq!(story.shows(), "active 2026-04-01..2026-05-01");
    let charge = story.charges.last().unwrap();
    assert_eq!((charge.cause, charge.total, charge.period_index), (Cause::Changed, 500, 0));
    assert_eq!(charge.credited.as_ref().unwrap().plan.plan.as_str(), "basic");
    assert_eq!(charge.charged.as_ref().unwrap().plan.plan.as_str(), "pro");
    let line = &charge.lines[0];
    assert_eq!((line.num, line.den, line.policy), (1_296_000, 2_592_000, Proration::BySecond));
    // The timer stays: nothing else is due.
    assert_eq!(story.facts().len(), 1);
}

// REQ: BIL-05
#[test]
fn after_1_of_30_days_from_5_to_20_and_back() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 500));
    let story = story.until("2026-04-02").when(change(&holding("pro", 2000), When::Now));
    assert_eq!(story.lines(), [-483, 1933]);
    let story = story.when(change(&holding("basic", 500), When::Now));
    assert_eq!(story.lines(), [-1933, 483]);
}

// REQ: BIL-05
#[test]
fn the_second_upgrade_gives_back_the_whole_plan_and_not_the_increment() {
    // Half way to 998.00, a little later on: the credit is of 998.00.
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 10_000));
    let story = story.until("2026-04-16").when(change(&holding("pro", 99_800), When::Now));
    assert_eq!(story.lines(), [-5_000, 49_900]);
    let story = story.when(change(&holding("max", 199_600), When::Now));
    assert_eq!(story.lines(), [-49_900, 99_800]);
    let paid: i64 = story.charges.iter().map(|it| it.total).sum();
    assert_eq!(paid, 5_000 + 99_800);
}

// REQ: BIL-04 BIL-05
#[test]
fn seats_up_and_down_five_times_cost_what_was_held() {
    let mut story = Story::subscribed("2026-04-01", "UTC", &seats("pro", 3000, 1));
    // Ten days each of 1, 4 and 2 seats, and a moment of 9 in between.
    let steps = [("04-11", 4), ("04-15", 9), ("04-15", 4), ("04-21", 9), ("04-21", 2)];
    for (day, count) in steps {
        story = story.until(&format!("2026-{day}"));
        story = story.when(change(&seats("pro", 3000, count), When::Now));
    }
    let paid: i64 = story.charges.iter().map(|it| it.total).sum();
    assert_eq!(paid, 1_000 + 4_000 + 2_000);
    let story = story.until("2026-05-01");
    assert_eq!(story.lines(), [6_000]);
}

// REQ: BIL-03 BIL-05
#[test]
fn packs_come_and_go_without_touching_the_rest() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 3000));
    let story =
        story.until("2026-04-16").when(change(&packs(holding("pro", 3000), 200, 3), When::Now));
    assert_eq!(story.lines(), [300]);
    assert_eq!(story.held(), ["pro x1 Subscription"]);
    let story = story.when(change(&holding("pro", 3000), When::Now));
    assert_eq!(story.lines(), [-300]);
}

// REQ: BIL-05
#[test]
fn to_another_cycle_a_new_period_begins_now() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 3000));
    let story = story.until("2026-04-11").when(change(&yearly("pro", 30_000), When::Now));
    assert_eq!(story.lines(), [-2000, 30_000]);
    assert_eq!(story.shows(), "active 2026-04-11..2027-04-11");
    let indexes: Vec<_> = story.charges.iter().map(|it| it.period_index).collect();
    assert_eq!(indexes, [0, 0, 1]);
    assert_eq!(story.sub().next_due(), Some(at("2027-04-11")));
}

// REQ: BIL-05
#[test]
fn each_policy_charges_as_it_says() {
    let with = |proration, amount| {
        let mut holding = holding(if amount == 3000 { "pro" } else { "basic" }, amount);
        holding.offer.proration = proration;
        holding
    };
    let mut upgrade = Vec::new();
    for policy in [Proration::BySecond, Proration::ByDay, Proration::None, Proration::Full] {
        let story = Story::subscribed("2026-04-01T12:00:00", "UTC", &with(policy, 1500));
        let story = story.until("2026-04-16T06:00:00").when(change(&with(policy, 3000), When::Now));
        let changed = story.lines();
        let story = story.until("2026-04-20").when(cancel(When::Now));
        upgrade.push((changed, story.lines()));
    }
    assert_eq!(
        upgrade,
        [
            (vec![-763, 1525], vec![-1150]),
            (vec![-750, 1500], vec![-1100]),
            (vec![], vec![]),
            (vec![3000], vec![]),
        ]
    );
}

// REQ: BIL-03
#[test]
fn a_change_in_the_trial_charges_nothing_and_the_trial_goes_on() {
    let story = Story::trial("2026-01-01", "UTC", &holding("pro", 1000), Some(14));
    let story = story.until("2026-01-05").when(change(&seats("team", 500, 4), When::Now));
    assert_eq!(story.shows(), "trialing 2026-01-01..2026-01-15");
    assert_eq!((story.lines(), story.held()), (vec![], vec!["team x4 Trial".to_owned()]));
    assert_eq!(story.until("2026-01-15").lines(), [2000]);
}

// REQ: BIL-04
#[test]
fn a_downgrade_below_present_use_is_accepted_or_refused_as_the_plan_says() {
    let exceeded = vec![exchequer_types::Exceeded { feature: slug("projects"), limit: 3, used: 7 }];
    let downgrade = |rule| {
        let mut holding = holding("basic", 500);
        holding.offer.downgrade = rule;
        Command::Change(Change {
            asked: Asked::ALL,
            holding,
            when: When::Now,
            exceeded: exceeded.clone(),
        })
    };
    let mut story = Story::subscribed("2026-04-01", "UTC", &holding("pro", 1000));
    let message = story.refuses(downgrade(Downgrade::Refuse), "DOWNGRADE_REFUSED");
    assert!(message.contains("projects includes 3 and 7 are used"), "{message}");
    let command = downgrade(Downgrade::Accept);
    let story = story.when(command.clone());
    assert_eq!(reply(&story.state, &command, &story.events).exceeded, exceeded);
}

// REQ: BIL-05
#[test]
fn a_change_at_the_instant_of_renewal_is_for_the_whole_new_period() {
    let story = Story::subscribed("2026-04-01", "UTC", &holding("basic", 1000)).until("2026-05-01");
    let story = story.when(change(&holding("pro", 2000), When::Now));
    assert_eq!(story.lines(), [-1000, 2000]);
    assert_eq!(story.sub().period.index, 1);
}
