//! Each command: what follows from it, and why it is refused.

use super::*;

// REQ: ENT-01
#[test]
fn a_grant_is_made_with_its_reason_and_its_end() {
    let mut story = Story::default();
    let command = grant("sso", Amount::On, Some(at(100)));
    let events = story.at(&command, at(2)).unwrap();
    let [Event::Granted { id, expiry: Some(expiry), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(id.starts_with("grt_") && expiry.timer.starts_with("tme_"));
    assert_eq!(facts(&events[0]), [Fact::TimerSet { id: expiry.timer.clone(), due: at(100) }]);
    let grant = story.state.grants.get(id).unwrap();
    assert_eq!((grant.granted_at, grant.reason.as_str()), (at(2), "as agreed"));
    assert_eq!((story.state.version, version(&story.state, &command)), (1, 1));
    let shown = shown(&State::default(), &story.state, &command);
    assert_eq!((shown.action, &shown.resource_id), ("grant.created", id));
    assert_eq!(
        shown.after.canonical(),
        format!(
            "{{\"amount\":\"on\",\"ended_at\":null,\"ended_by\":null,\"ended_reason\":null,\
             \"expires_at\":\"1970-01-01T00:01:40Z\",\"feature\":\"sso\",\"id\":\"{id}\",\
             \"kind\":\"promotional\",\"reason\":\"as agreed\"}}"
        )
    );
}

#[test]
fn a_grant_is_refused_in_order() {
    let with = |amount, reason: &str, kind, expires_at| {
        Command::Grant(GrantFeature {
            feature: slug("sso"),
            amount,
            kind,
            reason: reason.to_owned(),
            expires_at,
        })
    };
    let past = Some(at(1_000));
    let cases = [
        (with(Amount::Units(0), "", GrantKind::Trial, past), codes::GRANT_AMOUNT_INVALID),
        (
            with(Amount::Units(UNITS_MAX + 1), "r", GrantKind::Beta, None),
            codes::GRANT_AMOUNT_INVALID,
        ),
        (with(Amount::On, "", GrantKind::Trial, past), codes::GRANT_REASON_INVALID),
        (with(Amount::On, "a\nb", GrantKind::Trial, past), codes::GRANT_REASON_INVALID),
        (with(Amount::On, &"x".repeat(501), GrantKind::Trial, past), codes::GRANT_REASON_INVALID),
        (with(Amount::On, "r", GrantKind::Trial, past), codes::GRANT_EXPIRY_IN_THE_PAST),
        (with(Amount::On, "r", GrantKind::Trial, None), codes::GRANT_EXPIRY_MISSING),
    ];
    for (command, code) in cases {
        assert_eq!(Story::default().refuses(&command), code);
    }
    let mut story = Story::default();
    for _ in 0..GRANTS_MAX {
        story.grant("reports", Amount::Units(1), None);
    }
    let one_more = grant("reports", Amount::Units(1), None);
    assert_eq!(story.refuses(&one_more), codes::GRANTS_TOO_MANY);
    let first = story.state.grants.keys().next().unwrap().clone();
    story.at(&revoke(&first), at(3)).unwrap();
    story.at(&one_more, at(3)).unwrap();
}

#[test]
fn a_grant_is_revoked_once() {
    let mut story = Story::default();
    let grant = story.grant("sso", Amount::On, Some(at(100)));
    let before = story.state.clone();
    let mut nameless = Revoke { id: grant.id.clone(), reason: String::new() };
    assert_eq!(
        story.refuses(&Command::Revoke(nameless.clone())),
        codes::GRANT_REASON_INVALID,
        "the reason is looked at first"
    );
    nameless.id = "grt_nobody".to_owned();
    nameless.reason = "r".to_owned();
    assert_eq!(story.refuses(&Command::Revoke(nameless)), codes::GRANT_NOT_FOUND);
    let events = story.at(&revoke(&grant.id), at(50)).unwrap();
    let timer = grant.expiry.unwrap().timer;
    assert_eq!(facts(&events[0]), [Fact::TimerCleared { id: timer.clone(), fired: false }]);
    let Reply::Grant(ended) = reply(&story.state, &revoke(&grant.id), &events) else { panic!() };
    let by = EndedBy::Revocation { reason: "by mistake".to_owned() };
    assert_eq!(ended.ended, Some(Ended { at: at(50), by }));
    let shown = shown(&before, &story.state, &revoke(&grant.id));
    assert!(shown.before.canonical().contains("\"ended_by\":null"));
    let ended = "\"ended_by\":\"revocation\",\"ended_reason\":\"by mistake\"";
    assert!(shown.after.canonical().contains(ended), "{:?}", shown.after);
    assert_eq!(story.refuses(&revoke(&grant.id)), codes::GRANT_NOT_FOUND);
    assert_eq!(story.refuses(&timer_command(&timer)), codes::GRANT_NOT_FOUND);
}

// REQ: KER-09
#[test]
fn an_expiry_timer_acts_once_and_only_while_it_is_pending() {
    let mut story = Story::default();
    let grant = story.grant("sso", Amount::On, Some(at(100)));
    let timer = grant.expiry.unwrap().timer;
    assert_eq!(story.refuses(&timer_command("tme_other")), codes::GRANT_NOT_FOUND);
    let before = story.state.clone();
    let events = story.at(&timer_command(&timer), at(100)).unwrap();
    assert_eq!(events, [Event::GrantExpired { id: grant.id.clone(), timer: timer.clone() }]);
    assert_eq!(facts(&events[0]), [Fact::TimerCleared { id: timer.clone(), fired: true }]);
    let shown = shown(&before, &story.state, &timer_command(&timer));
    assert_eq!((shown.action, shown.resource_id), ("grant.expired", grant.id));
    assert_eq!(reply(&story.state, &timer_command(&timer), &events), Reply::Nothing);
    assert_eq!(story.refuses(&timer_command(&timer)), codes::GRANT_NOT_FOUND);
}

#[test]
fn the_present_use_is_reported_and_forgotten() {
    let mut story = Story::on_pro();
    let events = story.at(&report("reports", 7), at(5)).unwrap();
    let Reply::Decision(decision) = reply(&story.state, &report("reports", 7), &events) else {
        panic!()
    };
    assert_eq!((decision.1.used, decision.1.remaining(), decision.1.allowed), (7, Some(3), true));
    assert_eq!(story.at(&report("reports", 7), at(6)), Ok(Vec::new()), "it is what it was");
    story.at(&report("reports", 12), at(7)).unwrap();
    let over = story.check("reports", at(8));
    assert_eq!((over.remaining(), over.allowed, over.is_included()), (Some(0), false, true));
    let before = story.state.clone();
    story.at(&report("reports", 0), at(9)).unwrap();
    assert!(story.state.used.is_empty());
    let shown = shown(&before, &story.state, &report("reports", 0));
    assert_eq!(shown.before.canonical(), "{\"feature\":\"reports\",\"used\":12}");
    assert_eq!(shown.after.canonical(), "{\"feature\":\"reports\",\"used\":0}");
}

#[test]
fn a_use_is_refused_in_order() {
    let mut story = Story::default();
    for index in 0..FEATURES_IN_USE_MAX {
        story.at(&report(&format!("f{index}"), 1), at(1)).unwrap();
    }
    assert_eq!(story.refuses(&report("more", UNITS_MAX + 1)), codes::USE_OUT_OF_RANGE);
    assert_eq!(story.refuses(&report("more", 1)), codes::FEATURES_IN_USE_TOO_MANY);
    assert_eq!(story.at(&report("more", 0), at(2)), Ok(Vec::new()));
    story.at(&report("f0", UNITS_MAX), at(2)).unwrap();
    story.at(&report("f1", 0), at(2)).unwrap();
    story.at(&report("more", 1), at(2)).unwrap();
}

#[test]
fn a_plan_is_given_replaced_and_withdrawn() {
    let mut story = Story::on_pro();
    let changed = |held| Fact::PlanChanged { held };
    let same = story.follows(&changed(Some(held("pro", 3, &[]))), Some(&pro()), at(2));
    assert!(same.is_empty(), "nothing has changed");
    let seats = story.follows(&changed(Some(held("pro", 4, &[]))), Some(&pro()), at(3));
    assert!(matches!(&seats[..], [Event::PlanGiven { .. }]));
    assert_eq!(story.check("seats", at(3)).limit, Amount::Units(4));
    let bare = story.follows(&changed(Some(held("gone", 4, &[]))), None, at(4));
    assert_eq!(bare.len(), 1);
    assert!(!story.check("sso", at(4)).allowed, "what is not known includes nothing");
    assert_eq!(story.follows(&changed(None), None, at(5)), [Event::PlanWithdrawn]);
    assert!(story.follows(&changed(None), None, at(6)).is_empty());
    assert_eq!(story.check("sso", at(6)).rule, Rule::NoPlan);
}

#[test]
fn closing_the_tenant_ends_everything() {
    let mut story = Story::on_pro();
    let audit = story.grant("audit", Amount::On, Some(at(100)));
    story.grant("beta", Amount::On, None);
    let timer = audit.expiry.unwrap().timer;
    let events = story.follows(&Fact::TenantClosed, None, at(10));
    assert_eq!(events, [Event::Closed { timers: vec![timer.clone()] }]);
    assert_eq!(facts(&events[0]), [Fact::TimerCleared { id: timer, fired: false }]);
    assert!(list(&story.state, at(11)).iter().all(|(_, decision)| !decision.allowed));
    let ended = story.state.grants.values().map(|grant| grant.ended.clone().unwrap());
    assert!(ended.clone().all(|it| it == Ended { at: at(10), by: EndedBy::Closing }));
    assert_eq!(ended.count(), 2);
    assert!(story.follows(&Fact::TenantClosed, None, at(12)).is_empty());
    assert!(Story::default().follows(&Fact::TenantClosed, None, at(1)).is_empty());
}

#[test]
fn the_latest_ended_grants_are_kept() {
    let mut story = Story::default();
    for second in 0..ENDED_GRANTS_MAX + 3 {
        let grant = story.grant("sso", Amount::On, None);
        let second = i64::try_from(second).unwrap();
        story.at(&revoke(&grant.id), at(10 + second)).unwrap();
    }
    assert_eq!(story.state.grants.len(), ENDED_GRANTS_MAX);
    let oldest = story.state.grants.values().filter_map(|grant| Some(grant.ended.as_ref()?.at));
    assert_eq!(oldest.min(), Some(at(13)));
}

// REQ: KER-14
#[test]
fn state_is_the_fold_of_events() {
    let mut story = Story::on_pro();
    let grant = story.grant("sso", Amount::On, None);
    story.at(&report("reports", 3), at(4)).unwrap();
    story.at(&revoke(&grant.id), at(5)).unwrap();
    let mut again = State::default();
    for (event, now) in &story.events {
        Entitlements::evolve(&mut again, event, *now);
    }
    assert_eq!(again, story.state);
    assert!(weight(&again) > weight(&State::default()));
}
