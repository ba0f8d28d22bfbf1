//! Random histories against a model that knows the events alone, and no state.

use super::*;

/// A generator of numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % sides
    }

    fn seconds(&mut self, sides: u64) -> i64 {
        i64::try_from(self.roll(sides)).unwrap()
    }

    fn feature(&mut self) -> &'static str {
        ["audit", "exports", "reports", "seats", "sso", "storage", "support"]
            [usize::try_from(self.roll(7)).unwrap()]
    }

    fn amount(&mut self) -> Amount {
        match self.roll(4) {
            0 => Amount::On,
            1 => Amount::Unlimited,
            _ => Amount::Units(self.roll(6)),
        }
    }
}

/// What all events up to now give of a feature, counted from the first one on.
fn from_zero(events: &[(Event, Timestamp)], feature: &Slug, now: Timestamp) -> (Amount, u64) {
    let mut limit = Amount::NOTHING;
    let given = events.iter().rev().find_map(|(event, _)| match event {
        Event::PlanGiven { held, content } => Some(Some((held, content))),
        Event::PlanWithdrawn | Event::Closed { .. } => Some(None),
        _ => None,
    });
    if let Some((held, content)) = given.flatten() {
        let of = |features: &Features, packs| match features.get(feature) {
            Some(Allowance::Seats) => Amount::Units(held.seats),
            Some(allowance) => Amount::of(*allowance, 0).times(packs),
            None => Amount::NOTHING,
        };
        limit = limit.plus(of(&content.plan, 1));
        for (add_on, packs) in &held.add_ons {
            limit = limit
                .plus(content.add_ons.get(add_on).map_or(Amount::NOTHING, |it| of(it, *packs)));
        }
    }
    for (index, (event, _)) in events.iter().enumerate() {
        let Event::Granted { id, feature: its, amount, expiry, .. } = event else { continue };
        let has_ended = events[index..].iter().any(|(event, _)| match event {
            Event::GrantRevoked { id: ended, .. } | Event::GrantExpired { id: ended, .. } => {
                ended == id
            }
            Event::Closed { .. } => true,
            _ => false,
        });
        let has_expired = expiry.as_ref().is_some_and(|expiry| expiry.at <= now);
        if its == feature && !has_ended && !has_expired {
            limit = limit.plus(*amount);
        }
    }
    let used = events.iter().rev().find_map(|(event, _)| match event {
        Event::UseReported { feature: its, used } if its == feature => Some(*used),
        _ => None,
    });
    (limit, used.unwrap_or(0))
}

fn act(story: &mut Story, dice: &mut Dice, now: Timestamp) {
    let any_id = |dice: &mut Dice, story: &Story| {
        let count = u64::try_from(story.state.grants.len()).unwrap();
        let index = usize::try_from(dice.roll(count.max(1))).unwrap();
        story.state.grants.keys().nth(index).cloned().unwrap_or_default()
    };
    match dice.roll(10) {
        0..=3 => {
            let until =
                (dice.roll(2) == 0).then(|| at(now.micros() / 1_000_000 + dice.seconds(40)));
            let _ = story.at(&grant(dice.feature(), dice.amount(), until), now);
        }
        4 => {
            let id = any_id(dice, story);
            let _ = story.at(&revoke(&id), now);
        }
        5 => {
            let id = any_id(dice, story);
            let due = story.state.grants.get(&id).and_then(|it| it.expiry.clone());
            if let Some(expiry) = due.filter(|expiry| expiry.at <= now) {
                let _ = story.at(&timer_command(&expiry.timer), now);
            }
        }
        6 | 7 => {
            let _ = story.at(&report(dice.feature(), dice.roll(12)), now);
        }
        8 => {
            let packs = [("more", dice.roll(3)), ("unknown", 1)];
            let held = (dice.roll(4) > 0).then(|| held("pro", dice.roll(5), &packs));
            story.follows(&Fact::PlanChanged { held }, Some(&pro()), now);
        }
        _ if dice.roll(20) == 0 => {
            story.follows(&Fact::TenantClosed, None, now);
        }
        _ => {}
    }
}

// REQ: ENT-01
#[test]
fn every_answer_of_random_histories_equals_one_computed_from_zero() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let mut story = Story::default();
        let mut second = 1;
        for _ in 0..80 {
            second += dice.seconds(5);
            act(&mut story, &mut dice, at(second));
            for feature in ["audit", "exports", "reports", "seats", "sso", "storage", "support"] {
                let decision = story.check(feature, at(second));
                let told = (decision.limit, decision.used);
                let expected = from_zero(&story.events, &slug(feature), at(second));
                assert_eq!(told, expected, "seed {seed}, second {second}, {feature}");
                let allowed = expected.0.units().is_none_or(|units| expected.1 < units);
                assert_eq!(decision.allowed, allowed);
            }
        }
    }
}
