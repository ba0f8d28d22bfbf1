//! Events read by meters and put into buckets, as a user would see it.

use exchequer_types::{Quantity, Slug, TenantId, Timestamp};
use proptest::prelude::*;

use crate::{
    AdoptedMeters, AdoptedTenant, Adoption, Aggregation, Body, Bucket, BucketError, Definitions,
    Fate, Filter, GROUPS_DEFAULT, GroupBy, Meter, Meters, Path, Place, Reading, Scalar, Seen,
    Terms, Test, Unusable, Value, judge,
};

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn meter(key: &str, aggregation: Aggregation, value: Option<&str>) -> Meter {
    Meter {
        key: slug(key),
        version: 1,
        event_type: "completion".to_owned(),
        aggregation,
        value: value.map(path),
        group_by: Vec::new(),
        filters: Vec::new(),
        unit: "tokens".to_owned(),
        groups_max: GROUPS_DEFAULT,
    }
}

fn by_model(meter: Meter) -> Meter {
    let group = |name: &str, at: &str| GroupBy { name: slug(name), path: path(at) };
    Meter { group_by: vec![group("model", "$.model"), group("region", "$.at.region")], ..meter }
}

fn one(meter: Meter, data: &str) -> Reading<'_> {
    let meters = Meters::new([meter]);
    let mut read: Vec<_> = meters.read("completion", data).unwrap().collect();
    assert_eq!(read.len(), 1);
    read.remove(0).1
}

// REQ: USE-01
#[test]
fn an_event_is_counted_by_every_meter_of_its_type() {
    let paid = Filter { path: path("$.paid"), test: Test::In(vec![Scalar::Bool(true)]) };
    let meters = Meters::new([
        by_model(meter("tokens", Aggregation::Sum, Some("$.tokens"))),
        meter("calls", Aggregation::Count, None),
        Meter { filters: vec![paid], ..meter("paid-calls", Aggregation::Count, None) },
        Meter { event_type: "upload".to_owned(), ..meter("uploads", Aggregation::Count, None) },
    ]);
    let data = r#"{"tokens":12.5,"model":"large","at":{"region":7}}"#;
    let read: Vec<_> = meters.read("completion", data).unwrap().collect();
    let keys: Vec<_> = read.iter().map(|(meter, _)| meter.key.as_str()).collect();
    assert_eq!(keys, ["tokens", "calls", "paid-calls"]);
    let Reading::Counted(tokens) = &read[0].1 else { panic!("{read:?}") };
    assert_eq!(tokens.value, Value::Number(Quantity::parse("12.5").unwrap()));
    assert_eq!(tokens.groups, ["large", "7"]);
    assert!(matches!(&read[1].1, Reading::Counted(it) if it.value == Value::Number(Quantity::ONE)));
    assert_eq!(read[2].1, Reading::Filtered);
    assert_eq!(meters.read("unknown", data).unwrap().count(), 0);
}

// REQ: USE-02
#[test]
fn a_value_that_cannot_be_used_is_named() {
    let sum = || meter("tokens", Aggregation::Sum, Some("$.tokens"));
    for (data, reason) in [
        ("{}", "is missing"),
        ("{\"tokens\":\"12\"}", "must be a number, not a text"),
        ("{\"tokens\":null}", "must be a number, not null"),
        ("{\"tokens\":[1]}", "must be a number, not a list or an object"),
        ("{\"tokens\":1e-13}", "must have at most 12 digits after the point"),
        (&format!("{{\"tokens\":{}}}", "9".repeat(60)), "must lie within ±10^26"),
    ] {
        let unusable = Unusable { field: "$['tokens']".to_owned(), reason: reason.to_owned() };
        assert_eq!(one(sum(), data), Reading::Unusable(unusable), "{data}");
    }
    let long = format!("{{\"tokens\":1,\"model\":\"{}\"}}", "m".repeat(129));
    let Reading::Unusable(unusable) = one(by_model(sum()), &long) else { panic!("counted") };
    assert_eq!(unusable.field, "$['model']");
    assert!(Meters::new([sum()]).read("completion", "{").is_err());
}

// REQ: USE-01
#[test]
fn a_meter_that_makes_no_sense_is_refused_field_by_field() {
    let fields = |meter: &Meter| -> Vec<String> {
        meter.check().into_iter().map(|violation| violation.field).collect()
    };
    assert_eq!(fields(&by_model(meter("m", Aggregation::Sum, Some("$.n")))), [""; 0]);
    let filter = |values| Filter { path: path("$.a"), test: Test::In(values) };
    let mut wrong = by_model(meter("m", Aggregation::Count, Some("$.n")));
    wrong.event_type = " x".to_owned();
    wrong.group_by.push(wrong.group_by[0].clone());
    wrong.filters = vec![filter(Vec::new()), filter(vec![Scalar::Bool(true); 101])];
    wrong.unit = String::new();
    wrong.groups_max = 0;
    assert_eq!(
        fields(&wrong),
        [
            "event_type",
            "value",
            "group_by[2].name",
            "filters[0].values",
            "filters[1].values",
            "unit",
            "groups_max"
        ]
    );
    let mut wide = meter("m", Aggregation::Max, None);
    let group = |n: usize| GroupBy { name: slug(&format!("g{n}")), path: path("$.g") };
    wide.group_by = (0..9).map(group).collect();
    wide.filters = vec![filter(vec![Scalar::Bool(true)]); 17];
    assert_eq!(fields(&wide), ["value", "group_by", "filters"]);
}

fn bucket(aggregation: Aggregation, events: &[(i64, i64, u64)]) -> Bucket {
    let mut bucket = Bucket::empty(aggregation);
    for (value, time, offset) in events {
        bucket.add(part(aggregation, *value, *time, *offset)).unwrap();
    }
    bucket
}

fn part(aggregation: Aggregation, value: i64, time: i64, offset: u64) -> Bucket {
    let time = Timestamp::from_micros(time).unwrap();
    let place: Place = (0, offset, 0);
    let value = match aggregation {
        Aggregation::UniqueCount => Value::Member(i128::from(value).to_be_bytes()),
        _ => Value::Number(Quantity::from_units(i128::from(value))),
    };
    Bucket::of(aggregation, value, time, place).unwrap()
}

// REQ: USE-01
#[test]
fn each_aggregation_gives_its_figure() {
    let events = [(4, 20, 0), (-2, 30, 1), (4, 30, 2), (1, 10, 3)];
    let units = |aggregation| bucket(aggregation, &events).figure().map(Quantity::units);
    let whole = |count| Some(Quantity::whole(count).units());
    assert_eq!(units(Aggregation::Count), whole(4));
    assert_eq!(units(Aggregation::Sum), Some(7));
    assert_eq!(units(Aggregation::Min), Some(-2));
    assert_eq!(units(Aggregation::Max), Some(4));
    assert_eq!(units(Aggregation::Average), Some(2));
    assert_eq!(units(Aggregation::Last), Some(4), "the later place of the latest instant");
    assert_eq!(units(Aggregation::UniqueCount), whole(3));
    for aggregation in Aggregation::ALL {
        let empty = Bucket::empty(aggregation).figure();
        let counts =
            matches!(aggregation, Aggregation::Count | Aggregation::Sum | Aggregation::UniqueCount);
        assert_eq!(empty, counts.then_some(Quantity::ZERO), "{aggregation}");
    }
}

// REQ: USE-01
#[test]
fn a_sum_that_does_not_fit_changes_nothing() {
    let most = Quantity::from_units(i128::MAX);
    let mut sum = Bucket::Sum(most);
    assert!(matches!(sum.add(Bucket::Sum(Quantity::ONE)), Err(BucketError::Quantity(_))));
    assert_eq!(sum, Bucket::Sum(most));
    let mut average = Bucket::Average { sum: most, count: 1 };
    assert!(average.add(Bucket::Average { sum: most, count: 1 }).is_err());
    assert_eq!(average, Bucket::Average { sum: most, count: 1 });
    assert_eq!(sum.add(Bucket::Count(1)), Err(BucketError::Mixed));
}

proptest! {
    // REQ: USE-04
    #[test]
    fn parts_give_the_same_in_any_order_and_portions(
        events in proptest::collection::vec((-1_000_i64..1_000, 0_i64..5), 0..40),
        order in any::<u64>(),
        cut in 0_usize..40,
    ) {
        let events: Vec<_> = events.into_iter().zip(0_u64..).map(|((v, t), at)| (v, t, at)).collect();
        let mut mixed = events.clone();
        let mut seed = order;
        for at in (1..mixed.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let other = usize::try_from(seed >> 33).unwrap() % (at + 1);
            mixed.swap(at, other);
        }
        let (left, right) = mixed.split_at(cut.min(mixed.len()));
        for aggregation in Aggregation::ALL {
            let mut parts = bucket(aggregation, right);
            parts.add(bucket(aggregation, left)).unwrap();
            prop_assert_eq!(&parts, &bucket(aggregation, &events));
        }
    }
}

const HOUR: i64 = 3_600_000_000;
const RECEIVED: i64 = 2_000_000 * 1_000_000;

/// The fate of an event of type `completion` whose time lies `offset` microseconds from
/// its receipt.
fn fate(meters: &[Meter], data: &str, offset: i64, seen: Seen) -> (Fate, Vec<String>) {
    let meters = Meters::new(meters.iter().cloned());
    let at = |micros| Timestamp::from_micros(micros).unwrap();
    let time = Some(at(40 * 24 * HOUR + RECEIVED + offset));
    let body = Body { kind: "completion", schema: "", subject: "", time, data };
    let received = at(40 * 24 * HOUR + RECEIVED);
    let judged = judge(Some(&meters), &Terms::default(), &body, received, seen);
    assert_eq!(judged.fate.is_counted(), !judged.counted.is_empty());
    (judged.fate, judged.faults.into_iter().map(|fault| fault.field).collect())
}

// REQ: USE-03 KER-12
#[test]
fn every_event_has_one_fate() {
    let tokens = || meter("tokens", Aggregation::Sum, Some("$.tokens"));
    let calls = || meter("calls", Aggregation::Count, None);
    let good = "{\"tokens\":1}";
    let both = [tokens(), calls()];
    let nothing = Vec::<String>::new();
    assert_eq!(fate(&both, good, 0, Seen::Nothing), (Fate::Counted, nothing.clone()));
    assert_eq!(fate(&both, good, -HOUR, Seen::Nothing), (Fate::Counted, nothing.clone()));
    assert_eq!(fate(&both, good, -HOUR - 1, Seen::Nothing), (Fate::Late, nothing.clone()));
    assert_eq!(fate(&both, good, HOUR + 1, Seen::Nothing), (Fate::Invalid, vec!["time".into()]));
    let old = -35 * 24 * HOUR;
    assert_eq!(fate(&both, good, old, Seen::Nothing), (Fate::Late, nothing.clone()));
    assert_eq!(fate(&both, good, old - 1, Seen::Nothing), (Fate::Invalid, vec!["time".into()]));
    assert_eq!(fate(&both, good, 0, Seen::Same), (Fate::Duplicate, nothing.clone()));
    assert_eq!(fate(&both, "{", old - 1, Seen::Other), (Fate::Conflicting, nothing.clone()));
    assert_eq!(fate(&[], good, 0, Seen::Nothing), (Fate::Unmatched, nothing.clone()));
    assert_eq!(fate(&both, "{", 0, Seen::Nothing), (Fate::Invalid, vec!["data".into()]));
    let path = vec!["$['tokens']".to_owned()];
    assert_eq!(fate(&[tokens()], "{}", 0, Seen::Nothing), (Fate::Invalid, path.clone()));
    assert_eq!(fate(&both, "{}", 0, Seen::Nothing), (Fate::Counted, path), "the calls count");
}

// REQ: USE-03
#[test]
fn what_was_not_judged_may_be_sent_again() {
    let taken: Vec<_> = Fate::ALL.into_iter().filter(|fate| fate.takes_identity()).collect();
    assert_eq!(taken, [Fate::Counted, Fate::Late, Fate::Unmatched]);
    let body = Body { kind: "completion", schema: "", subject: "", time: None, data: "null" };
    let received = Timestamp::from_micros(RECEIVED).unwrap();
    let unknown = judge(None, &Terms::default(), &body, received, Seen::Nothing);
    assert_eq!((unknown.fate, unknown.time), (Fate::Unmatched, received));
}

// REQ: USE-01 USE-16
#[test]
fn earlier_versions_are_kept_and_share_what_they_have_in_common() {
    let sum = || meter("tokens", Aggregation::Sum, Some("$.tokens"));
    let provider = TenantId::parse("platform").unwrap();
    let tenant = TenantId::parse("acme").unwrap();
    let mut definitions = Definitions::default();
    let adopted = AdoptedTenant {
        tenant: tenant.clone(),
        provider: Some(provider.clone()),
        periods: Vec::new(),
    };
    definitions.adopt(1, 0, Adoption::Tenant(adopted));
    let mut meters = vec![sum()];
    for version in 1..=300 {
        let adopted = AdoptedMeters {
            provider: provider.clone(),
            version,
            meters: meters.clone(),
            terms: Terms::default(),
            backfills: Vec::new(),
        };
        definitions.adopt(version, version * 10, Adoption::Meters(adopted));
        meters.push(Meter { event_type: format!("type-{version}"), ..sum() });
    }
    let views = definitions.views_since("acme", 15);
    assert_eq!((views.len(), views[0].0, views[299].0), (300, 0, 300));
    let of = |at: usize| {
        let in_force = views[at].1.in_force.as_ref().unwrap();
        (in_force.version, in_force.meters.iter().next().map(std::sync::Arc::as_ptr))
    };
    assert_eq!((of(0).0, of(299).0, of(0).1), (1, 300, of(299).1));
    assert!(views[0].1.judges_alike(&views[299].1, &sum().event_type));
    assert!(!views[0].1.judges_alike(&views[299].1, "type-1"));
}
