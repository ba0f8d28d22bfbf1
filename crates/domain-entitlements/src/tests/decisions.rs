//! Which rule decides, how amounts add up, and what a change of plan exceeds.

use super::*;

fn by_plan() -> Rule {
    Rule::Plan { plan: plan("pro"), by: HeldBy::Subscription }
}

// REQ: ENT-01
#[test]
fn grants_decide_before_the_plan_and_the_plan_before_its_add_ons() {
    let mut story = Story::on_pro();
    assert_eq!(story.check("sso", at(3)).rule, by_plan());
    let packs = held("pro", 3, &[("more", 2)]);
    story.follows(&Fact::PlanChanged { held: Some(packs) }, Some(&pro()), at(3));
    let reports = story.check("reports", at(4));
    assert_eq!((reports.rule.clone(), reports.limit), (by_plan(), Amount::Units(20)));
    let more = Rule::AddOn { add_on: slug("more"), packs: 2 };
    assert_eq!(story.check("support", at(4)).rule, more);
    let grant = story.grant("reports", Amount::Units(7), None);
    let reports = story.check("reports", at(4));
    let granted = Rule::Grant { id: grant.id, kind: GrantKind::Promotional };
    assert_eq!((reports.rule.clone(), reports.limit), (granted.clone(), Amount::Units(27)));
    let parts = [(granted, 7), (by_plan(), 10), (more, 10)];
    let parts = parts.map(|(rule, units)| Part { rule, amount: Amount::Units(units) });
    assert_eq!(reports.parts, parts);
}

// REQ: ENT-01
#[test]
fn what_nothing_includes_is_denied_with_the_reason() {
    let mut story = Story::on_pro();
    let denied = Rule::NotIncluded { plan: plan("pro") };
    for feature in ["audit", "exports", "support"] {
        let decision = story.check(feature, at(2));
        assert_eq!((decision.allowed, &decision.rule), (false, &denied), "{feature}");
        assert_eq!(decision.remaining(), Some(0));
    }
    assert_eq!(Story::default().check("sso", at(2)).rule, Rule::NoPlan);
    let grant = story.grant("audit", Amount::On, Some(at(100)));
    story.at(&timer_command(&grant.expiry.unwrap().timer), at(100)).unwrap();
    let rule = Rule::Expired { grant: grant.id, kind: GrantKind::Promotional, at: at(100) };
    assert_eq!(story.check("audit", at(101)).rule, rule);
    let revoked = story.grant("beta", Amount::On, Some(at(100)));
    story.at(&revoke(&revoked.id), at(3)).unwrap();
    assert_eq!(story.check("beta", at(101)).rule, denied, "it did not expire");
}

// REQ: ENT-01
#[test]
fn a_grant_does_not_count_from_its_expiry_on_even_if_its_timer_is_late() {
    let mut story = Story::on_pro();
    let grant = story.grant("audit", Amount::On, Some(at(100)));
    let last = story.check("audit", Timestamp::from_micros(99_999_999).unwrap());
    assert_eq!((last.allowed, last.expires_at), (true, Some(at(100))));
    let late = story.check("audit", at(100));
    let rule = Rule::Expired { grant: grant.id, kind: GrantKind::Promotional, at: at(100) };
    assert_eq!((late.allowed, late.expires_at, late.rule), (false, None, rule));
    assert!(!is_entitled(&story.state, &slug("audit"), at(100)));
    assert!(list(&story.state, at(100)).iter().any(|(feature, _)| feature.as_str() == "audit"));
}

#[test]
fn of_several_grants_the_one_that_gives_most_decides() {
    let mut story = Story::default();
    let few = story.grant("reports", Amount::Units(2), None);
    let rule = |grant: &Grant| Rule::Grant { id: grant.id.clone(), kind: grant.kind };
    assert_eq!(story.check("reports", at(3)).rule, rule(&few));
    story.grant("reports", Amount::Units(5), Some(at(50)));
    let long = story.grant("reports", Amount::Units(5), Some(at(90)));
    let three = story.check("reports", at(3));
    assert_eq!((three.rule, three.limit), (rule(&long), Amount::Units(12)));
    assert_eq!(three.expires_at, Some(at(50)), "the first expiry of them all");
    assert_eq!(story.check("reports", at(60)).limit, Amount::Units(7));
    let all = story.grant("reports", Amount::Unlimited, None);
    let all = (story.check("reports", at(3)).rule, rule(&all));
    assert_eq!(all.0, all.1);
}

#[test]
fn nothing_that_is_given_takes_something_away() {
    let amounts =
        [Amount::NOTHING, Amount::Units(3), Amount::Units(u64::MAX), Amount::On, Amount::Unlimited];
    for one in amounts {
        for two in amounts {
            let sum = one.plus(two);
            assert!(sum >= one && sum >= two, "{one} + {two} = {sum}");
            assert_eq!(sum, two.plus(one));
        }
    }
    assert_eq!(Amount::Units(u64::MAX).plus(Amount::Units(1)), Amount::Units(u64::MAX));
    assert_eq!(Amount::Units(1 << 63).times(3), Amount::Units(u64::MAX));
    assert_eq!(Amount::On.times(0), Amount::NOTHING);
}

#[test]
fn a_seat_limit_is_the_number_of_seats_held() {
    let mut story = Story::on_pro();
    story.at(&report("seats", 3), at(2)).unwrap();
    let full = story.check("seats", at(3));
    assert!(!full.allowed && full.allows(0) && !full.allows(1));
    story.grant("seats", Amount::Units(1), None);
    let decision = story.check("seats", at(3));
    assert_eq!((decision.limit, decision.allowed), (Amount::Units(4), true));
}

// REQ: ENT-03
#[test]
fn the_list_has_every_feature_once_and_says_what_a_check_says() {
    let mut story = Story::on_pro();
    story.grant("beta", Amount::On, None);
    story.grant("reports", Amount::Units(1), None);
    let listed = list(&story.state, at(3));
    let names: Vec<&str> = listed.iter().map(|(feature, _)| feature.as_str()).collect();
    assert_eq!(names, ["beta", "exports", "reports", "seats", "sso", "storage"]);
    for (feature, decision) in &listed {
        assert_eq!(*decision, check(&story.state, feature, at(3)));
        let entitled = is_entitled(&story.state, feature, at(3));
        assert_eq!(entitled, decision.is_included(), "{feature}");
    }
}

// REQ: BIL-04
#[test]
fn a_smaller_plan_says_which_limits_are_below_the_present_use() {
    let mut story = Story::on_pro();
    for (feature, used) in [("reports", 9), ("seats", 3), ("sso", 2), ("storage", 50), ("x", 1)] {
        story.at(&report(feature, used), at(2)).unwrap();
    }
    let none = BTreeMap::new();
    let small = PlanContent {
        plan: features(&[
            ("reports", Allowance::Limit(4)),
            ("seats", Allowance::Seats),
            ("storage", Allowance::Limit(50)),
        ]),
        add_ons: pro().add_ons,
    };
    let over = |state: &State, seats, add_ons: &BTreeMap<Slug, u64>| -> Vec<String> {
        let over = exceeded(state, &small, seats, add_ons);
        over.iter().map(|it| format!("{} {}/{}", it.feature, it.used, it.limit)).collect()
    };
    assert_eq!(over(&story.state, 3, &none), ["reports 9/4", "sso 2/0"]);
    assert_eq!(over(&story.state, 2, &none), ["reports 9/4", "seats 3/2", "sso 2/0"]);
    let one = BTreeMap::from([(slug("more"), 1)]);
    assert_eq!(over(&story.state, 3, &one), ["sso 2/0"]);
    let grant = story.grant("sso", Amount::On, Some(at(4)));
    assert_eq!(over(&story.state, 3, &one), Vec::<String>::new(), "grants stay");
    story.at(&timer_command(&grant.expiry.unwrap().timer), at(4)).unwrap();
    assert_eq!(over(&story.state, 3, &one), ["sso 2/0"], "while they last");
}

#[test]
fn a_broken_answer_is_noticed() {
    let mut story = Story::on_pro();
    let grant = story.grant("audit", Amount::On, Some(at(100)));
    let feature = slug("audit");
    let told = story.check("audit", at(3));
    let judge = |state: &State, decision: &Decision, now| {
        invariants::has_reasons(state, &feature, decision, now).map_err(|broken| broken.name)
    };
    assert_eq!(judge(&story.state, &told, at(3)), Ok(()));
    assert_eq!(judge(&story.state, &told, at(100)), Err("ENT-1"), "it has expired");
    assert_eq!(judge(&State::default(), &told, at(3)), Err("ENT-1"), "there is no such grant");
    let mut other = told.clone();
    other.rule = Rule::NoPlan;
    assert_eq!(judge(&story.state, &other, at(3)), Err("ENT-1"), "another rule decided");
    other = Decision { parts: Vec::new(), ..told };
    assert_eq!(judge(&story.state, &other, at(3)), Err("ENT-1"), "nothing gives it");
    story.at(&revoke(&grant.id), at(4)).unwrap();
    assert_eq!(judge(&story.state, &other, at(4)), Err("ENT-1"));
    let mut state = story.state.clone();
    state.used = BTreeMap::from([(slug("x"), 0)]).into();
    assert_eq!(invariants::check(&state, at(4)).map_err(|it| it.name), Err("ENT-2"));
}
