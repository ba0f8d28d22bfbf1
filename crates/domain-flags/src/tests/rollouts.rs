//! Weights are changed, slots stay.

use exchequer_flag_eval::{Compiled, Context, Value, codes as eval};

use super::*;

fn slots(story: &Story, rule: Option<usize>, share: usize) -> Vec<(u32, u32)> {
    let targeting = &story.flag().targeting[&slug("prod")];
    let outcome = match rule {
        Some(at) => &targeting.rules[at].outcome,
        None => targeting.fallthrough.as_ref().unwrap(),
    };
    let Outcome::Split(split) = outcome else { panic!("{outcome:?}") };
    split.shares[share].slots.iter().map(|it| (it.start, it.end)).collect()
}

/// Who of 2,000 users is in.
fn users_in(story: &Story) -> Vec<usize> {
    let mut flag = story.flag().in_environment(&slug("prod"));
    flag.gate = None;
    let compiled = Compiled::of(&flag, &LIMITS).unwrap();
    let is_in = |user: &usize| {
        let key = format!("user-{user}");
        let context = Context::new(Some(&key), None, []).unwrap();
        compiled.evaluate(&context, None).value == Some(&Value::Boolean(true))
    };
    (0..2_000).filter(is_in).collect()
}

// REQ: FLG-05
#[test]
fn a_rollout_grows_and_nobody_who_is_in_moves() {
    let mut story = Story::begun().when(target("prod", targeting(10_000)));
    let ten = users_in(&story);
    assert!((150..250).contains(&ten.len()), "{}", ten.len());
    let story_of =
        |story: &Story, on| story.clone().when(grow(None, &[("on", on), ("off", 100_000 - on)]));
    let fifty = story_of(&story, 50_000);
    let now_in = users_in(&fifty);
    assert!(now_in.len() > 900 && ten.iter().all(|user| now_in.contains(user)));
    assert_eq!(slots(&fifty, None, 0), [(0, 10_000), (60_000, 100_000)]);
    // The rule's own split is another one.
    assert_eq!(slots(&fifty, Some(0), 0), [(0, 10_000)]);
    assert_eq!(users_in(&story_of(&fifty, 10_000)), ten);
    let same = grow(None, &[("on", 10_000), ("off", 90_000)]);
    assert_eq!(story.refuses(same), codes::FLAG_UNCHANGED);
}

// REQ: FLG-05
#[test]
fn targeting_set_anew_keeps_the_slots_of_what_stays() {
    let story = Story::begun()
        .when(target("prod", targeting(10_000)))
        .when(grow(Some("vietnam"), &[("on", 30_000), ("off", 70_000)]));
    assert_eq!(slots(&story, Some(0), 0), [(0, 10_000), (80_000, 100_000)]);
    let mut next = targeting(40_000);
    next.rules.insert(0, rule("first", split("", 40_000)));
    let mut story = story.when(target("prod", next.clone()));
    // In the order in which they were given out.
    assert_eq!(slots(&story, Some(1), 0), [(0, 10_000), (80_000, 100_000), (70_000, 80_000)]);
    assert_eq!(slots(&story, None, 0), [(0, 10_000), (70_000, 100_000)]);
    // What was not there before is laid out anew.
    assert_eq!(slots(&story, Some(0), 0), [(0, 40_000)]);
    assert_eq!(story.refuses(target("prod", next.clone())), codes::FLAG_UNCHANGED);
    next.fallthrough = Some(split("other", 40_000));
    let story = story.when(target("prod", next));
    assert_eq!(slots(&story, None, 0), [(0, 40_000)]);
}

// REQ: FLG-05
#[test]
fn a_split_gets_the_salt_of_its_environment_and_flag() {
    let story = Story::begun().when(target("prod", targeting(10_000)));
    let project = story.state.projects.get(&slug("web")).unwrap();
    let salt = &project.environments.get(&slug("prod")).unwrap().salt;
    let targeting = &story.flag().targeting[&slug("prod")];
    let Outcome::Split(found) = &targeting.rules[0].outcome else { panic!() };
    assert_eq!(found.salt, format!("{salt}.checkout"));
    assert_eq!(found.by, "targeting_key");
    let Some(Outcome::Split(found)) = &targeting.fallthrough else { panic!() };
    assert_eq!(found.salt, "own");
}

#[test]
fn growing_is_refused_in_order() {
    let mut story = Story::begun();
    let half = &[("on", 50_000), ("off", 50_000)];
    assert_eq!(story.refuses(grow(None, half)), codes::FLAG_SPLIT_NOT_FOUND);
    let mut story = story.when(target("prod", targeting(10_000)));
    assert_eq!(story.refuses(grow(Some("no"), half)), codes::FLAG_SPLIT_NOT_FOUND);
    let over = grow(None, &[("on", 50_000), ("off", 50_001)]);
    let refused = story.decide(&over).unwrap_err();
    assert_eq!(refused.code(), eval::FLAG_WEIGHTS_INVALID);
    assert!(refused.message().starts_with("weights must sum to 100000"));
    let partial = grow(None, &[("on", 100_000)]);
    let refused = story.decide(&partial).unwrap_err();
    assert_eq!((refused.code(), refused.field()), (eval::FLAG_WEIGHTS_INVALID, Some("weights")));
    assert!(refused.message().contains("off is missing"), "{}", refused.message());
    let twice = grow(None, &[("on", 50_000), ("on", 50_000), ("off", 0)]);
    assert_eq!(story.refuses(twice), eval::FLAG_KEY_REPEATED);
    let unknown = grow(None, &[("on", 50_000), ("off", 0), ("no", 50_000)]);
    assert_eq!(story.refuses(unknown), eval::FLAG_VARIANT_UNKNOWN);
}
