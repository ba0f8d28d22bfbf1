//! State and rules: what goes in comes out, and what cannot have gone in is refused.

use exchequer_domain_usage::{Backfill, State, Usage};
use exchequer_kernel::Decider as _;
use exchequer_metering::{Aggregation, Filter, GroupBy, Path, Scalar, Test};
use exchequer_types::{Quantity, Slug, Timestamp};

use super::*;

fn slug_of(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

/// With a filter of each kind.
fn rules(aggregation: Aggregation) -> Rules {
    let half = Quantity::parse("0.5").unwrap();
    let scalars = || vec![Scalar::Text("a".to_owned()), Scalar::Number(half), Scalar::Bool(true)];
    let tests = [
        Test::In(scalars()),
        Test::NotIn(scalars()),
        Test::Less(half),
        Test::AtMost(half),
        Test::Greater(half),
        Test::AtLeast(half),
        Test::Exists,
        Test::Missing,
    ];
    Rules {
        key: slug_of("tokens"),
        version: 3,
        event_type: "request".to_owned(),
        aggregation,
        value: (aggregation != Aggregation::Count).then(|| path("$.a['b c'][0]")),
        group_by: vec![GroupBy { name: slug_of("model"), path: path("$.model") }],
        filters: tests.map(|test| Filter { path: path("$.kind"), test }).into(),
        unit: "tokens".to_owned(),
        groups_max: 7,
    }
}

fn backfill(from: i64, until: Option<i64>) -> E {
    let (id, until) = (format!("bfl_{from}"), until.map(at));
    E::BackfillRequested {
        meter: slug_of("tokens"),
        version: 3,
        backfill: Backfill { id, from: at(from), until, requested_at: at(9) },
    }
}

/// One of everything.
fn state() -> State {
    let mut state = State::default();
    let schema = |kind: &str| E::EventSchemaSet {
        kind: kind.to_owned(),
        version: 2,
        text: "{\"type\":\"object\"}".to_owned(),
    };
    let corrected = |data: Option<&str>| {
        E::EventCorrected(Correction {
            id: "cor_1".to_owned(),
            source: "/api".to_owned(),
            event: "e-1".to_owned(),
            data: data.map(str::to_owned),
            reason: "wrong".to_owned(),
            actor: ActorId::parse("u-1").unwrap(),
        })
    };
    let events = [
        E::MeterCreated { rules: rules(Aggregation::Sum) },
        E::MeterCreated { rules: Rules { key: slug_of("other"), ..rules(Aggregation::Count) } },
        E::MeterRetired { meter: slug_of("other") },
        backfill(5, None),
        backfill(3, Some(5)),
        schema("request"),
        schema("call"),
        E::EventSchemaRetired { kind: "call".to_owned() },
        corrected(Some("{}")),
        corrected(None),
    ];
    for (event, second) in events.iter().zip(10..) {
        Usage::evolve(&mut state, event, at(second));
    }
    state
}

// REQ: KER-14
#[test]
fn a_state_is_read_as_it_was_written() {
    for state in [State::default(), state()] {
        let bytes = state_to_proto(&state).encode_to_vec();
        let again = state_from_proto(pb::State::decode(&*bytes).unwrap());
        assert_eq!(again, Ok(state));
    }
}

#[test]
fn a_state_that_nobody_wrote_is_refused() {
    let damage: [fn(&mut pb::State); 6] = [
        |state| state.meters[0].meter = None,
        |state| state.meters[0].meter.as_mut().unwrap().key = "A B".to_owned(),
        |state| state.meters[0].meter.as_mut().unwrap().rules = None,
        |state| state.schemas[0].schema = None,
        |state| state.voided[0].truncate(31),
        |state| state.corrected_at = -1,
    ];
    for damage in damage {
        let mut message = state_to_proto(&state());
        damage(&mut message);
        assert!(state_from_proto(message).is_err());
    }
}

// REQ: USE-01
#[test]
fn rules_are_read_as_they_were_written() {
    for aggregation in Aggregation::ALL {
        let rules = rules(aggregation);
        let again = meter_definition_from_proto(Some(meter_definition_to_proto(&rules)));
        assert_eq!(again, Ok(rules));
        let number = aggregation_to_proto(aggregation).into();
        assert_eq!(aggregation_from_proto(number), Some(aggregation));
    }
}

// REQ: USE-01
#[test]
fn what_cannot_be_rules_is_told_with_its_path() {
    let damage: [(&str, fn(&mut pb::MeterRules)); 8] = [
        ("aggregation", |it| it.aggregation = 99),
        ("value", |it| it.value = "tokens".to_owned()),
        ("group_by[0].name", |it| it.group_by[0].name = "A B".to_owned()),
        ("group_by[0].path", |it| it.group_by[0].path = "$".to_owned()),
        ("filters[1].path", |it| it.filters[1].path = String::new()),
        ("filters[0].test", |it| it.filters[0].test = None),
        ("filters[2].less", |it| it.filters[2].test = Some(less("1 000"))),
        ("filters[0].one_of.values[1].number", |it| {
            it.filters[0].test = Some(one_of(&["1", "NaN"]));
        }),
    ];
    for (path, damage) in damage {
        let mut message = meter_rules_to_proto(&rules(Aggregation::Sum));
        damage(&mut message);
        let misfit = meter_rules_from_proto(slug_of("tokens"), Some(message)).unwrap_err();
        assert_eq!(misfit.path, path);
        assert!(!misfit.message.is_empty());
    }
    assert_eq!(meter_rules_from_proto(slug_of("tokens"), None).unwrap_err().path, "");
}

fn less(bound: &str) -> pb::meter_filter::Test {
    pb::meter_filter::Test::Less(bound.to_owned())
}

fn one_of(numbers: &[&str]) -> pb::meter_filter::Test {
    let value = |number: &&str| pb::MeterFilterValue {
        value: Some(pb::meter_filter_value::Value::Number((*number).to_owned())),
    };
    pb::meter_filter::Test::OneOf(pb::MeterFilterValues {
        values: numbers.iter().map(value).collect(),
    })
}

// REQ: USE-01
#[test]
fn groups_come_in_any_order_and_stand_by_name() {
    let mut message = meter_rules_to_proto(&rules(Aggregation::Sum));
    let group = |name: &str| pb::MeterGroupBy { name: name.to_owned(), path: "$.x".to_owned() };
    message.group_by = vec![group("z"), group("a")];
    message.groups_max = 0;
    let rules = meter_rules_from_proto(slug_of("tokens"), Some(message)).unwrap();
    let names: Vec<_> = rules.group_by.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((names, rules.groups_max), (vec!["a", "z"], exchequer_metering::GROUPS_DEFAULT));
}
