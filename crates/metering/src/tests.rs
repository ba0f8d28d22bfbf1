//! Events read by meters and put into buckets, as a user would see it.

use exchequer_types::{PartitionId, Period, Quantity, Slug, TenantId, Timestamp};
use proptest::prelude::*;

use crate::{
    AdoptedMeters, AdoptedSchema, AdoptedTenant, Adoption, Aggregation, BackfillOrder, Body,
    Bucket, BucketError, Contribution, DataCheck, DataFault, Definitions, EventRecord, Fate,
    Filter, GROUPS_DEFAULT, GroupBy, InForce, Judge, Left, Meter, Meters, Path, Place, Reading,
    Record, RecordBody, RevisionStep, Revisions, Scalar, Schemas, Seen, Sign, Terms, Test,
    Unshared, Unusable, VERSIONS_KEPT_MAX, Value, Why, judge,
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
        let unusable = Unusable { field: "$.tokens".to_owned(), reason: reason.to_owned() };
        assert_eq!(one(sum(), data), Reading::Unusable(unusable), "{data}");
    }
    let long = format!("{{\"tokens\":1,\"model\":\"{}\"}}", "m".repeat(129));
    let Reading::Unusable(unusable) = one(by_model(sum()), &long) else { panic!("counted") };
    assert_eq!(unusable.field, "$.model");
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
    let mut in_force = InForce::default();
    in_force.meters = meters;
    let judged = judge(Some(&in_force), &body, received, seen);
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
    let path = vec!["$.tokens".to_owned()];
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
    let unknown = judge(None, &body, received, Seen::Nothing);
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
            schemas: Vec::new(),
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

fn adopted_meters(version: u64, meters: Vec<Meter>) -> AdoptedMeters {
    AdoptedMeters {
        provider: TenantId::parse("platform").unwrap(),
        version,
        meters,
        terms: Terms::default(),
        schemas: Vec::new(),
        backfills: Vec::new(),
    }
}

fn adopted_tenant(periods: &[(i64, i64)]) -> AdoptedTenant {
    let at = |hours: &i64| Timestamp::from_micros(hours * HOUR).unwrap();
    AdoptedTenant {
        tenant: TenantId::parse("acme").unwrap(),
        provider: Some(TenantId::parse("platform").unwrap()),
        periods: periods.iter().map(|it| Period { start: at(&it.0), end: at(&it.1) }).collect(),
    }
}

/// Adopts, and begins what has to be looked at again.
fn take(
    (definitions, revisions): (&mut Definitions, &mut Revisions),
    (seal, next): (u64, u64),
    adoption: Adoption,
) {
    revisions.begin(definitions, (seal, next, Timestamp::MAX), &adoption);
    definitions.adopt(seal, next, adoption);
}

/// An event of `acme` at this hour, received then.
fn at_hour(hour: i64) -> (Record<'static>, EventRecord<'static>) {
    let received_at = Timestamp::from_micros(hour * HOUR).unwrap();
    let body = Body { kind: "completion", schema: "", subject: "", time: None, data: "{}" };
    let event = EventRecord { tenant: "acme", source: "test", id: "e-1", body };
    let body = RecordBody::Event(event);
    (Record { received_at, forwarded: None, is_authentic: true, body }, event)
}

// REQ: USE-04
#[test]
fn an_event_moves_to_another_billing_period_once() {
    let (mut definitions, mut revisions) = (Definitions::default(), Revisions::default());
    let all = (&mut definitions, &mut revisions);
    take(all, (1, 0), Adoption::Tenant(adopted_tenant(&[(0, 100), (100, 200)])));
    let calls = meter("calls", Aggregation::Count, None);
    take(
        (&mut definitions, &mut revisions),
        (1, 0),
        Adoption::Meters(adopted_meters(1, vec![calls])),
    );
    // A renewal lies ahead of all that was counted; a change that begins a new period does not.
    let renewed = adopted_tenant(&[(0, 100), (100, 200), (200, 300)]);
    revisions.begin(
        &definitions,
        (2, 10, Timestamp::from_micros(150 * HOUR).unwrap()),
        &Adoption::Tenant(renewed.clone()),
    );
    assert!(revisions.queue.is_empty());
    definitions.adopt(2, 10, Adoption::Tenant(renewed));
    let changed = adopted_tenant(&[(0, 100), (100, 150), (150, 250)]);
    take((&mut definitions, &mut revisions), (3, 10), Adoption::Tenant(changed));
    let revision = revisions.queue.front().cloned().unwrap();
    let since = Timestamp::from_micros(150 * HOUR).unwrap();
    assert_eq!(revision.why, Why::Periods { tenant: "acme".to_owned(), since });
    let starts = |out: &[Contribution]| {
        let start = |it: &Contribution| (it.sign, it.period.map(|it| it.start.micros() / HOUR));
        out.iter().map(start).collect::<Vec<_>>()
    };
    for (hour, before, after) in
        [(120, 100, 100), (149, 100, 100), (150, 100, 150), (210, 200, 150)]
    {
        let (record, event) = at_hour(hour);
        let place = (7, &record, &event);
        let mut judge = Judge::new(&definitions, PartitionId(0), 1);
        let mut out = Vec::new();
        judge.stand(&revisions, place, &mut Unshared, &mut out);
        assert_eq!(starts(&out), [(Sign::Adds, Some(before))], "{hour}");
        out.clear();
        let is_meant = judge.is_meant(&revision, place);
        let moves =
            is_meant && judge.revised((&revisions, &revision), place, &mut Unshared, &mut out);
        assert_eq!(moves, before != after, "{hour}");
        if moves {
            let expected = [(Sign::MovesOut, Some(before)), (Sign::MovesIn, Some(after))];
            assert_eq!(starts(&out), expected);
        }
    }
    revisions.advance(&RevisionStep { from: 0, to: 10, ..RevisionStep::default() });
    assert!(revisions.queue.is_empty());
    let (record, event) = at_hour(210);
    let mut out = Vec::new();
    let mut judge = Judge::new(&definitions, PartitionId(0), 1);
    judge.stand(&revisions, (7, &record, &event), &mut Unshared, &mut out);
    assert_eq!(starts(&out), [(Sign::Adds, Some(150))]);
}

// REQ: USE-08 USE-16
#[test]
fn a_backfill_adds_nothing_to_events_that_it_never_looked_at() {
    let (mut definitions, mut revisions) = (Definitions::default(), Revisions::default());
    let all = (&mut definitions, &mut revisions);
    take(all, (1, 0), Adoption::Tenant(adopted_tenant(&[])));
    let count = |key: &str, version| Meter { version, ..meter(key, Aggregation::Count, None) };
    let order = BackfillOrder {
        id: "b-1".to_owned(),
        meter: slug("calls"),
        version: 1,
        from: Timestamp::MIN,
        until: None,
    };
    let sets = [
        (1, 0, vec![count("more", 1)], Vec::new()),
        (2, 10, vec![count("calls", 1), count("more", 1)], Vec::new()),
        (3, 12, vec![count("calls", 1), count("more", 1)], vec![order]),
        (4, 20, vec![count("calls", 2), count("more", 1)], Vec::new()),
    ];
    for (seal, next, meters, backfills) in sets {
        let set = AdoptedMeters { backfills, ..adopted_meters(seal, meters) };
        take((&mut definitions, &mut revisions), (seal, next), Adoption::Meters(set));
    }
    assert_eq!(revisions.queue.front().map(|it| it.to), Some(10));
    revisions.advance(&RevisionStep { from: 0, to: 10, ..RevisionStep::default() });
    assert!(revisions.queue.is_empty());
    for (offset, expected) in [
        (5, [("more", 1), ("calls", 1)]),
        (15, [("calls", 1), ("more", 1)]),
        (25, [("calls", 2), ("more", 1)]),
    ] {
        let (record, event) = at_hour(1);
        let mut judge = Judge::new(&definitions, PartitionId(0), 1);
        let (how, mut out) = ((Left::Own, None), Vec::new());
        let place = (offset, &record, &event);
        judge.correct(&revisions, place, how, &mut Unshared, &mut out).unwrap();
        let taken: Vec<_> =
            out.iter().map(|it| (it.meter.key.as_str(), it.meter.version)).collect();
        assert_eq!(taken, expected, "{offset}");
    }
}

// REQ: USE-08 USE-16
#[test]
fn what_older_definitions_judged_is_left_as_it_was() {
    let (mut definitions, revisions) = (Definitions::default(), Revisions::default());
    definitions.adopt(1, 0, Adoption::Tenant(adopted_tenant(&[])));
    let calls = || meter("calls", Aggregation::Count, None);
    let of = |version: u64| Adoption::Meters(adopted_meters(version, vec![calls()]));
    let correct = |definitions: &Definitions, offset| {
        let (record, event) = at_hour(1);
        let mut judge = Judge::new(definitions, PartitionId(0), 1);
        let (how, mut out) = ((Left::Own, None), Vec::new());
        let place = (offset, &record, &event);
        let done = judge.correct(&revisions, place, how, &mut Unshared, &mut out);
        done.map(|()| out.len()).map_err(|(fate, _)| fate)
    };
    let kept = u64::try_from(VERSIONS_KEPT_MAX).unwrap();
    for version in 1..=kept {
        definitions.adopt(version, version * 10, of(version));
    }
    assert_eq!(correct(&definitions, 15), Ok(1));
    definitions.adopt(kept + 1, (kept + 1) * 10, of(kept + 1));
    assert_eq!(correct(&definitions, 15), Err(Fate::Invalid), "its version is not kept");
    assert_eq!(correct(&definitions, 25), Ok(1));
    let meter = Slug::parse("calls").unwrap();
    let provider = TenantId::parse("platform").unwrap();
    assert_eq!(definitions.in_force_from(&provider, &meter, 1), Some(10), "known for ever");
}

// REQ: USE-02
#[test]
fn an_adopted_schema_is_kept_to_before_any_meter() {
    #[derive(Debug)]
    struct Wants(String);
    #[derive(Debug)]
    struct Simple;
    impl DataCheck for Wants {
        fn check(&self, data: &str) -> Result<(), DataFault> {
            let (field, reason) = ("$.tokens".to_owned(), "is missing".to_owned());
            if data.contains(&self.0) { Ok(()) } else { Err(DataFault { field, reason }) }
        }
    }
    impl Schemas for Simple {
        fn compile(&self, text: &str) -> Option<std::sync::Arc<dyn DataCheck>> {
            Some(std::sync::Arc::new(Wants(text.to_owned())))
        }
    }
    let mut definitions = Definitions::new(std::sync::Arc::new(Simple));
    definitions.adopt(1, 0, Adoption::Tenant(adopted_tenant(&[])));
    let mut adopted = adopted_meters(1, vec![meter("calls", Aggregation::Count, None)]);
    adopted.schemas = vec![AdoptedSchema {
        kind: "completion".to_owned(),
        version: 1,
        text: "tokens".to_owned(),
    }];
    definitions.adopt(1, 0, Adoption::Meters(adopted));
    let judged = |data: &'static str, kind: &'static str| {
        let (record, mut event) = at_hour(1);
        (event.body.data, event.body.kind) = (data, kind);
        let mut judge = Judge::new(&definitions, PartitionId(0), 1);
        let seen = Seen::Nothing;
        let verdict = judge.event(0, &record, &event, seen, &mut Unshared, &mut Vec::new());
        (verdict.fate, verdict.faults.first().map(|it| it.field.clone()))
    };
    assert_eq!(judged("{\"tokens\":1}", "completion"), (Fate::Counted, None));
    assert_eq!(judged("{}", "completion"), (Fate::Invalid, Some("$.tokens".to_owned())));
    assert_eq!(judged("{}", "other"), (Fate::Unmatched, None));
}
