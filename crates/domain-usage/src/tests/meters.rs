//! Meters and their versions.

use exchequer_kernel::Reason as _;
use exchequer_metering::{Aggregation, GroupBy, Meter as Rules, Path, Scalar, Test};
use exchequer_types::Timestamp;

use super::{Story, at, backfill, create, retire, rules, slug, update};
use crate::*;

fn story() -> Story {
    Story::default().when(create(rules("tokens")))
}

// REQ: USE-01
#[test]
fn a_meter_begins_with_its_first_version_and_keeps_its_key() {
    let mut story = story();
    let meter = story.meter("tokens");
    assert_eq!((meter.rules.version, meter.version, meter.retired), (1, 1, false));
    assert_eq!(meter.rules, Rules { version: 1, ..rules("tokens") });
    assert_eq!(story.refuses(create(rules("tokens"))), codes::METER_EXISTS);
    let mut story = story.when(retire("tokens"));
    assert_eq!(story.refuses(create(rules("tokens"))), codes::METER_EXISTS);
    assert_eq!(story.refuses(retire("tokens")), codes::METER_RETIRED);
    assert_eq!(story.refuses(update(rules("tokens"), &[])), codes::METER_RETIRED);
    assert_eq!(story.refuses(backfill("tokens", at(1))), codes::METER_RETIRED);
    assert_eq!(story.refuses(retire("other")), codes::METER_NOT_FOUND);
}

// REQ: USE-01
#[test]
fn other_rules_are_another_version_and_equal_ones_are_none() {
    let mut story = story();
    assert_eq!(story.refuses(update(rules("tokens"), &[])), codes::METER_UNCHANGED);
    let given = Rules { unit: "k".to_owned(), aggregation: Aggregation::Max, ..rules("tokens") };
    let mut story = story.when(update(given.clone(), &[RulesField::Unit]));
    let expected = Rules { unit: "k".to_owned(), version: 2, ..rules("tokens") };
    assert_eq!(story.meter("tokens").rules, expected);
    let again = update(given.clone(), &[RulesField::Unit]);
    assert_eq!(story.refuses(again), codes::METER_UNCHANGED);
    let story = story.when(update(given.clone(), &[]));
    assert_eq!(story.meter("tokens").rules, Rules { version: 3, ..given });
}

// REQ: USE-01
#[test]
fn every_field_can_be_set_by_itself() {
    let mut given = rules("tokens");
    given.event_type = "call".to_owned();
    given.aggregation = Aggregation::Min;
    given.value = Some(Path::parse("$.size").unwrap());
    given.group_by.clear();
    given.filters.clear();
    given.unit = "GB".to_owned();
    given.groups_max = 1;
    let mut story = story();
    for (field, version) in RulesField::ALL.into_iter().zip(2..) {
        assert_eq!(RulesField::parse(field.as_str()), Some(field));
        story = story.when(update(given.clone(), &[field]));
        assert_eq!(story.meter("tokens").rules.version, version);
    }
    assert_eq!(RulesField::parse("key"), None);
    assert_eq!(story.meter("tokens").rules, Rules { version: 8, ..given });
}

// REQ: USE-01
#[test]
fn wrong_rules_are_refused_with_every_field_at_fault() {
    let mut wrong = rules("bad");
    wrong.event_type = " ".to_owned();
    wrong.value = None;
    wrong.unit = "u".repeat(33);
    wrong.groups_max = 0;
    let mut story = story();
    let rejection = story.decide(&create(wrong.clone())).unwrap_err();
    let faults: Vec<_> = rejection.faults().into_iter().map(|it| it.field).collect();
    assert_eq!(faults, ["rules.event_type", "rules.value", "rules.unit", "rules.groups_max"]);
    assert_eq!((rejection.code(), rejection.field()), (codes::METER_INVALID, Some("rules")));
    wrong.key = slug("tokens");
    let only = &[RulesField::Value];
    assert_eq!(story.refuses(update(wrong.clone(), only)), codes::METER_INVALID);
    // A count takes no value: both must be set together.
    let count = Rules { aggregation: Aggregation::Count, ..wrong };
    let both = [RulesField::Aggregation, RulesField::Value];
    assert_eq!(story.refuses(update(count.clone(), &both[..1])), codes::METER_INVALID);
    assert_eq!(story.when(update(count, &both)).meter("tokens").rules.value, None);
}

// REQ: USE-01
#[test]
fn definitions_are_bounded() {
    let large = |key: &str, values: usize| {
        let mut large = rules(key);
        let text = |at: usize| Scalar::Text(format!("{at:0>140}"));
        large.filters[0].test = Test::In((0..values).map(text).collect());
        large
    };
    let mut over = large("over", 100);
    over.filters.push(over.filters[0].clone());
    assert_eq!(Story::default().refuses(create(over)), codes::METER_TOO_LARGE);
    let mut story = Story::default();
    let mut created = 0;
    while story.decide(&create(large(&format!("m-{created}"), 100))).is_ok() {
        created += 1;
    }
    assert!((30..METERS_MAX).contains(&created), "{created}");
    assert_eq!(story.refuses(create(large("next", 100))), codes::DEFINITIONS_TOO_LARGE);
    assert!(story.state.bytes() <= DEFINITIONS_BYTES_MAX);
    assert!(weight(&story.state) > story.state.bytes());
    // What shrinks is allowed, and what is retired takes no room.
    let story = story.when(update(large("m-0", 99), &[])).when(retire("m-1"));
    let _ = story.when(create(large("next", 100)));
}

// REQ: USE-01
#[test]
fn meters_are_counted_with_retired_ones() {
    let mut story = Story::default();
    for at in 0..METERS_MAX {
        let key = format!("m-{at}");
        story = story.when(create(rules(&key))).when(retire(&key));
    }
    assert_eq!(story.refuses(create(rules("more"))), codes::METERS_TOO_MANY);
}

// REQ: USE-01
#[test]
fn groups_stand_once() {
    let mut twice = rules("tokens");
    let group = GroupBy { name: slug("model"), path: Path::parse("$.b").unwrap() };
    twice.group_by.push(group);
    assert_eq!(Story::default().refuses(create(twice)), codes::METER_INVALID);
}

// REQ: USE-08
#[test]
fn backfills_of_a_version_lie_one_before_the_other() {
    let mut story = story();
    let set_at = story.meter("tokens").rules_set_at;
    assert_eq!(story.refuses(backfill("tokens", set_at)), codes::BACKFILL_IN_THE_FUTURE);
    assert_eq!(story.refuses(backfill("none", at(5))), codes::METER_NOT_FOUND);
    let mut story = story.when(backfill("tokens", at(50_000)));
    assert_eq!(story.refuses(backfill("tokens", at(50_000))), codes::BACKFILL_NOT_EARLIER);
    let story = story.when(backfill("tokens", at(40_000)));
    let shown: Vec<_> =
        story.meter("tokens").backfills.iter().map(|it| (it.from, it.until)).collect();
    assert_eq!(shown, [(at(50_000), None), (at(40_000), Some(at(50_000)))]);
    let ids: Vec<_> = story.meter("tokens").backfills.iter().map(|it| &it.id).collect();
    assert!(ids[0] != ids[1] && ids[0].starts_with("bfl_"));
    // Another version has its own.
    let other = Rules { unit: "k".to_owned(), ..rules("tokens") };
    let mut story = story.when(update(other, &[]));
    assert!(story.meter("tokens").backfills.is_empty());
    for step in (1..=i64::try_from(BACKFILLS_MAX).unwrap()).rev() {
        story = story.when(backfill("tokens", at(step)));
    }
    assert_eq!(story.refuses(backfill("tokens", Timestamp::MIN)), codes::BACKFILLS_TOO_MANY);
}

// REQ: KER-12
#[test]
fn events_of_what_is_not_there_change_nothing() {
    use exchequer_kernel::Decider as _;
    let mut state = State::default();
    for event in [
        Event::MeterUpdated { rules: rules("none") },
        Event::MeterRetired { meter: slug("none") },
        Event::EventSchemaRetired { kind: "none".to_owned() },
    ] {
        Usage::evolve(&mut state, &event, at(1));
    }
    assert_eq!(state, State { version: 3, ..State::default() });
}
