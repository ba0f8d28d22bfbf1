//! Particular questions and their answers.

use core::time::Duration;

use exchequer_metering::{Aggregation, EventIdentity, Fate, OVERFLOW};
use exchequer_readstore::ReadStore as _;
use exchequer_types::{PartitionId, Period, TenantId, Timestamp};

use super::harness::{Given, Platform, at, contribution, meter, tenant};
use crate::{
    Answer, Detail, Fated, Kept, Kind, Query, QueryError, Sealed, Step, Wanted, Windows, listed,
    query, ranges, reconcile, related, seal_of,
};

pub(super) const FROM: &str = "2026-01-05T10:00:00Z";

pub(super) fn given(time: &str, subject: &'static str, group: &str, value: i64) -> Given {
    let (source, back) = (0, false);
    Given { source, time: at(time), subject, group: group.to_owned(), value, back }
}

pub(super) fn asked<'a>(tenant: &'a TenantId, from: &str, to: &str, step: Step) -> Query<'a> {
    Query {
        tenant,
        meter: "calls",
        version: None,
        from: at(from),
        to: at(to),
        step,
        subject: None,
        by_subject: false,
        group_by: Vec::new(),
        filters: Vec::new(),
        top: 100,
        lateness: Duration::ZERO,
        seen: &[],
    }
}

pub(super) async fn ask(platform: &Platform, asked: &Query<'_>) -> Answer {
    query(&platform.store, &platform.live, asked).await.unwrap()
}

/// As `10:00 eu=3 (other)=1; 11:00 eu=2`.
pub(super) fn told(answer: &Answer) -> String {
    let windows = answer.windows.iter().map(|it| {
        let figures = it.groups.iter().map(|figure| {
            let value = figure.figure.map(|it| it.to_string()).unwrap_or_default();
            format!("{}={value}", figure.values.join("/"))
        });
        let start = it.window.start.to_string();
        format!("{} {}", &start[11..16], figures.collect::<Vec<_>>().join(" "))
    });
    windows.collect::<Vec<_>>().join("; ")
}

/// A part in the store, a part in memory; two source partitions.
pub(super) async fn platform(aggregation: Aggregation) -> Platform {
    let meter = meter(aggregation, &["region"], 100);
    let mut platform = Platform::new(true).await;
    let events = [
        ("2026-01-05T10:10:00Z", "s1", "eu", 4),
        ("2026-01-05T10:20:00Z", "s2", "us", 8),
        ("2026-01-05T11:00:00Z", "s1", "eu", 12),
    ];
    for (offset, (time, subject, group, value)) in (0..).zip(events) {
        let it = contribution(&meter, &given(time, subject, group, value), offset);
        platform.seal((offset % 2) as u32, vec![it.clone()]);
    }
    platform.write(0, None).await;
    let more = [("2026-01-05T10:30:00Z", "s3", "ap", 40), ("2026-01-05T11:59:59Z", "s1", "us", 4)];
    for (offset, (time, subject, group, value)) in (10..).zip(more) {
        platform.seal(0, vec![contribution(&meter, &given(time, subject, group, value), offset)]);
    }
    platform
}

// REQ: USE-04
#[tokio::test]
async fn groups_filters_and_the_largest_ones() {
    let (platform, tenant) = (platform(Aggregation::Sum).await, tenant());
    let day = asked(&tenant, "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z", Step::Of(Kept::Hour));
    assert_eq!(told(&ask(&platform, &day).await), "10:00 =13; 11:00 =4");
    let by =
        |query: &Query<'_>| Query { group_by: vec!["region".to_owned()], ..query.clone() }.group_by;
    let grouped = Query { group_by: by(&day), ..day.clone() };
    assert_eq!(told(&ask(&platform, &grouped).await), "10:00 ap=10 eu=1 us=2; 11:00 eu=3 us=1");
    let first = Query { top: 1, ..grouped.clone() };
    assert_eq!(told(&ask(&platform, &first).await), "10:00 ap=10 (other)=3; 11:00 (other)=4");
    let filters = vec![("region".to_owned(), vec!["us".to_owned(), "none".to_owned()])];
    let filtered = Query { filters, ..grouped.clone() };
    assert_eq!(told(&ask(&platform, &filtered).await), "10:00 us=2; 11:00 us=1");
    let whole = Query { step: Step::Whole, ..grouped.clone() };
    assert_eq!(told(&ask(&platform, &whole).await), "00:00 ap=10 eu=4 us=3");
    let unknown = Query { group_by: vec!["model".to_owned()], ..day };
    let refused = query(&platform.store, &platform.live, &unknown).await.unwrap_err();
    assert_eq!(refused.to_string(), "model is not a group-by of the meter: it has region");
}

// REQ: USE-04
#[tokio::test]
async fn subjects_alone_and_each() {
    let (platform, tenant) = (platform(Aggregation::Count).await, tenant());
    let day = asked(&tenant, "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z", Step::Of(Kept::Day));
    let one = Query { subject: Some("s1"), ..day.clone() };
    assert_eq!(told(&ask(&platform, &one).await), "00:00 =3");
    let each = Query { by_subject: true, top: 1, ..day.clone() };
    assert_eq!(told(&ask(&platform, &each).await), "00:00 s1=3 (other)=2");
    let both = Query { group_by: vec!["region".to_owned()], ..one };
    let refused = query(&platform.store, &platform.live, &both).await;
    assert!(matches!(refused, Err(QueryError::SubjectGroups)), "{refused:?}");
}

// REQ: USE-01
#[tokio::test]
async fn each_aggregation_over_rows_and_memory() {
    let tenant = tenant();
    let day = asked(&tenant, "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z", Step::Whole);
    for (aggregation, expected) in [
        (Aggregation::Count, "5"),
        (Aggregation::Sum, "17"),
        (Aggregation::Min, "1"),
        (Aggregation::Max, "10"),
        (Aggregation::Average, "3.4"),
        (Aggregation::Last, "1"),
        (Aggregation::UniqueCount, "4"),
    ] {
        let platform = platform(aggregation).await;
        let answer = ask(&platform, &day).await;
        assert_eq!(answer.aggregation, Some(aggregation));
        assert_eq!(told(&answer), format!("00:00 ={expected}"), "{aggregation}");
    }
}

// REQ: USE-04
#[tokio::test]
async fn a_range_that_does_not_fit_is_refused() {
    let (platform, tenant) = (platform(Aggregation::Sum).await, tenant());
    let cases = [
        (
            "2026-01-05T00:00:00Z",
            "2026-01-05T00:00:00Z",
            Step::Whole,
            "the range must end behind its start",
        ),
        (
            "2026-01-05T00:30:00Z",
            "2026-01-05T02:00:00Z",
            Step::Of(Kept::Hour),
            "from must be the start of an hour",
        ),
        (
            "2026-01-05T00:00:00Z",
            "2026-01-15T00:00:00Z",
            Step::Of(Kept::Month),
            "from must be the start of a month",
        ),
        (
            "2026-01-05T00:00:00Z",
            "2026-01-15T00:00:01Z",
            Step::Whole,
            "to must be the start of a minute",
        ),
        (
            "2020-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
            Step::Of(Kept::Hour),
            "the range must have at most 50000 windows, it has more: take a coarser grain",
        ),
    ];
    for (from, to, step, message) in cases {
        let refused = query(&platform.store, &platform.live, &asked(&tenant, from, to, step)).await;
        assert_eq!(refused.unwrap_err().to_string(), message);
    }
}

// REQ: USE-04
#[tokio::test]
async fn a_whole_range_is_put_together_of_days_hours_and_minutes() {
    let (platform, tenant) = (platform(Aggregation::Sum).await, tenant());
    for (from, to, expected) in [
        ("2026-01-05T10:20:00Z", "2026-01-05T11:01:00Z", "10:20 =15"),
        ("2026-01-04T23:59:00Z", "2026-01-05T10:30:00Z", "23:59 =3"),
        ("2026-01-01T00:01:00Z", "2026-01-09T00:01:00Z", "00:01 =17"),
        ("2026-01-05T11:00:00Z", "2026-01-05T12:00:00Z", "11:00 =4"),
    ] {
        assert_eq!(told(&ask(&platform, &asked(&tenant, from, to, Step::Whole)).await), expected);
    }
}

// REQ: USE-01
#[tokio::test]
async fn a_window_is_told_by_its_latest_version() {
    let tenant = tenant();
    let mut platform = Platform::new(true).await;
    let first = meter(Aggregation::Sum, &["region"], 100);
    let mut second = (*meter(Aggregation::Sum, &["region"], 100)).clone();
    second.version = 2;
    let mut third = (*meter(Aggregation::Max, &["region"], 100)).clone();
    third.version = 3;
    let it = given("2026-01-05T10:10:00Z", "", "eu", 4);
    let next = given("2026-01-06T10:10:00Z", "u2", "eu", 4);
    let of_u1 = given("2026-01-05T10:11:00Z", "u1", "eu", 4);
    let second = std::sync::Arc::new(second);
    platform.seal(
        0,
        vec![
            contribution(&first, &it, 0),
            contribution(&first, &of_u1, 1),
            contribution(&first, &next, 2),
            contribution(&second, &it, 3),
        ],
    );
    let range = ("2026-01-05T00:00:00Z", "2026-01-07T00:00:00Z");
    let days = asked(&tenant, range.0, range.1, Step::Of(Kept::Day));
    let whole = asked(&tenant, range.0, range.1, Step::Whole);
    for is_written in [false, true] {
        if is_written {
            platform.write(0, None).await;
        }
        let answer = ask(&platform, &days).await;
        assert_eq!(told(&answer), "00:00 =1; 00:00 =1", "{is_written}");
        assert_eq!(answer.windows.iter().map(|it| it.version).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(told(&ask(&platform, &whole).await), "00:00 =2");
        // Nothing is told of a subject of which the version that tells the window has nothing.
        let subject = Query { subject: Some("u1"), ..days.clone() };
        assert_eq!(told(&ask(&platform, &subject).await), "");
        let named = Query { version: Some(1), ..days.clone() };
        assert_eq!(told(&ask(&platform, &named).await), "00:00 =2; 00:00 =1");
    }
    platform.seal(0, vec![contribution(&third.into(), &it, 4)]);
    let refused = query(&platform.store, &platform.live, &days).await.unwrap_err();
    let message = "versions of the meter aggregate differently: name one of [1, 3]";
    assert_eq!(refused.to_string(), message);
    let one = asked(&tenant, range.0, "2026-01-06T00:00:00Z", Step::Of(Kept::Day));
    assert_eq!(told(&ask(&platform, &one).await), "00:00 =1");
}

// REQ: USE-01
#[tokio::test]
async fn groups_beyond_the_limit_are_counted_together() {
    let tenant = tenant();
    let mut platform = Platform::new(true).await;
    let meter = meter(Aggregation::Count, &["region"], 1_500);
    let groups = |from: usize, to: usize| {
        let given = (from..to).map(|at| given("2026-01-05T10:10:00Z", "", &format!("g{at}"), 1));
        given.map(|it| contribution(&meter, &it, 0)).collect::<Vec<_>>()
    };
    platform.seal(0, groups(0, 1_200));
    platform.write(0, None).await;
    platform.seal(0, groups(1_100, 2_000));
    let hour = |step| Query {
        group_by: vec!["region".to_owned()],
        top: 1_000,
        ..asked(&tenant, "2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z", step)
    };
    for is_written in [false, true] {
        if is_written {
            platform.write(0, None).await;
        }
        for step in [Step::Of(Kept::Hour), Step::Whole, Step::Of(Kept::Minute)] {
            let answer = ask(&platform, &hour(step)).await;
            let groups = &answer.windows[0].groups;
            let count = |value: &str| {
                let of = groups.iter().find(|it| it.values == [value]);
                of.map_or_else(|| "none".to_owned(), |it| it.figure.unwrap().to_string())
            };
            assert_eq!(groups.len(), 1_001);
            assert_eq!(count("g1150"), "2");
            // 500 above the limit, and 500 that are not among the largest.
            assert_eq!(count(OVERFLOW), (2_100 - 100 - 1_000).to_string(), "{is_written}");
        }
        let named = Query {
            filters: vec![("region".to_owned(), vec!["g1499".to_owned(), "g1500".to_owned()])],
            ..hour(Step::Of(Kept::Hour))
        };
        assert_eq!(told(&ask(&platform, &named).await), "10:00 g1499=1", "{is_written}");
    }
}

// REQ: USE-01
#[tokio::test]
async fn unique_counts_are_exact_however_many() {
    let tenant = tenant();
    let mut platform = Platform::new(true).await;
    let meter = meter(Aggregation::UniqueCount, &[], 1);
    for batch in 0..4_i64 {
        let values = batch * 2_000..batch * 2_000 + 3_000;
        let given = values.map(|value| given("2026-01-05T10:10:00Z", "s1", "", value));
        let contributions = given.map(|it| contribution(&meter, &it, 0)).collect();
        platform.seal((batch % 2) as u32, contributions);
        if batch < 3 {
            platform.write((batch % 2) as u32, None).await;
        }
    }
    let hour = asked(&tenant, "2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z", Step::Of(Kept::Hour));
    assert_eq!(told(&ask(&platform, &hour).await), "10:00 =9000");
    let of_subject = Query { subject: Some("s1"), ..hour };
    assert_eq!(told(&ask(&platform, &of_subject).await), "10:00 =9000");
}

// REQ: USE-05
#[tokio::test]
async fn windows_say_whether_they_wait_and_answers_how_far_they_are() {
    let tenant = tenant();
    let mut platform = Platform::new(true).await;
    let meter = meter(Aggregation::Count, &[], 1);
    for source in 0..2 {
        platform
            .seal(source, vec![contribution(&meter, &given("1970-01-01T00:00:00Z", "", "", 1), 0)]);
    }
    let minute =
        asked(&tenant, "1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z", Step::Of(Kept::Minute));
    let answer = ask(&platform, &minute).await;
    assert!(answer.windows[0].open);
    assert_eq!(answer.through, Timestamp::saturating_from_micros(1));
    assert_eq!(answer.positions.iter().map(|it| it.offset).collect::<Vec<_>>(), [2, 2]);
    for source in 0..2 {
        let mut of = platform.live.source(PartitionId(source)).unwrap();
        let position = of.position();
        of.advance(crate::Position { through: at("1970-01-01T00:05:00Z"), ..position });
    }
    assert!(!ask(&platform, &minute).await.windows[0].open);
    let waits = Query { lateness: Duration::from_secs(300), ..minute };
    assert!(ask(&platform, &waits).await.windows[0].open);
}

fn fated<'a>(kind: Kind, offset: u64, received_at: &str, id: &'a str) -> Fated<'a> {
    let detail = Detail {
        meter: "",
        identity: EventIdentity::of_texts("acme", "/gw", id),
        source: "/gw",
        id,
        event_type: "call",
        subject: "s1",
        time: at(received_at),
        field: "$.v",
        reason: "must be a number, not a text",
        first: None,
    };
    let received_at = at(received_at);
    Fated { tenant: "acme", kind, offset, received_at, detail: Some(detail) }
}

// REQ: USE-08
#[tokio::test]
async fn lists_go_through_rows_and_memory_newest_first() {
    let platform = Platform::new(true).await;
    let note = |seq: u64, it: Fated<'_>| {
        let mut source = platform.live.source(PartitionId(0)).unwrap();
        source.open().note(seq, &it);
        let through = it.received_at;
        let sealed =
            Sealed { seq, offset: seq, from: it.offset, to: it.offset + 1, through, times: None };
        source.open().seal(sealed);
    };
    let invalid = Kind::Fate(Fate::Invalid);
    let unmatched = Kind::Fate(Fate::Unmatched);
    note(1, fated(invalid, 0, "2026-01-05T10:10:00Z", "a"));
    note(2, fated(unmatched, 1, "2026-01-05T10:20:00Z", "b"));
    note(3, fated(Kind::Fate(Fate::Counted), 2, "2026-01-05T10:30:00Z", "c"));
    write(&platform, 3).await;
    note(4, fated(invalid, 3, "2026-01-06T09:00:00Z", "d"));
    let kinds = [invalid, unmatched];
    let ids = async |after, limit| {
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z"));
        let wanted = Wanted { tenant: "acme", kinds: &kinds, from, to, after, limit };
        let page = listed(&platform.store, &platform.live, &wanted, &|_| true).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|it| it.id.clone()).collect();
        (ids.join(" "), page.next)
    };
    assert_eq!(ids(None, 10).await, ("d b a".to_owned(), None));
    let (first, next) = ids(None, 2).await;
    assert_eq!((first.as_str(), next.is_some()), ("d b", true));
    assert_eq!(ids(next, 2).await, ("a".to_owned(), None));
    // One that is counted since is no longer without a meter, in memory and in the rows.
    note(5, fated(Kind::Matched, 1, "2026-01-05T10:20:00Z", "b"));
    assert_eq!(ids(None, 10).await.0, "d a");
    write(&platform, 5).await;
    assert_eq!(ids(None, 10).await.0, "d a");
    let identity = EventIdentity::of_texts("acme", "/gw", "b");
    let found = related(&platform.store, &platform.live, "acme", identity).await.unwrap();
    assert_eq!(found.iter().map(|it| it.kind).collect::<Vec<_>>(), [Kind::Matched]);
    let (from, to) = (at("2026-01-05T00:00:00Z"), at("2026-01-07T00:00:00Z"));
    let (hours, _) = reconcile(&platform.store, &platform.live, "acme", from, to).await.unwrap();
    let counts = hours[&at("2026-01-05T10:00:00Z")];
    let of = [invalid, unmatched, Kind::Fate(Fate::Counted), Kind::Matched].map(|it| counts.of(it));
    assert_eq!((hours.len(), of), (2, [1, 1, 1, 1]));
}

async fn write(platform: &Platform, seal: u64) {
    let segment = platform.live.source(PartitionId(0)).unwrap().freeze().unwrap();
    let mut checkpoint = crate::Checkpoint { seal, ..crate::Checkpoint::default() };
    let batch = crate::flush(&platform.store, &segment, &mut checkpoint).await.unwrap();
    platform.store.write(batch).await.unwrap();
    platform.live.source(PartitionId(0)).unwrap().written(seal);
}

// REQ: USE-08
#[tokio::test]
async fn seals_tell_where_events_are() {
    let platform = Platform::new(true).await;
    let times = |from: &str, to: &str| Some((at(from), at(to)));
    let seals = [
        (0, 5, times("2026-01-05T10:00:00Z", "2026-01-05T10:05:00Z")),
        (5, 9, times("2026-01-05T10:05:00Z", "2026-01-05T11:00:00Z")),
        (9, 10, None),
        (10, 30, times("2026-01-05T12:00:00Z", "2026-01-05T12:00:00Z")),
    ];
    for (seq, (from, to, times)) in (1..).zip(seals) {
        let (offset, through) = (seq + 100, Timestamp::MIN);
        let sealed = Sealed { seq, offset, from, to, through, times };
        platform.live.source(PartitionId(0)).unwrap().open().seal(sealed);
        if seq == 2 {
            write(&platform, 2).await;
        }
    }
    let (store, live, own) = (&platform.store, &platform.live, PartitionId(0));
    for (offset, seq) in
        [(0, Some(1)), (4, Some(1)), (5, Some(2)), (9, Some(3)), (29, Some(4)), (30, None)]
    {
        let found = seal_of(store, live, own, offset).await.unwrap();
        assert_eq!(found.map(|it| it.seq), seq, "{offset}");
    }
    let within = async |from: &str, to: &str, after| {
        ranges(store, live, own, (at(from), at(to)), after).await.unwrap()
    };
    let hour = within("2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z", 0).await;
    assert_eq!(hour, (vec![(0, 9)], None));
    let all = within("2026-01-05T10:06:00Z", "2026-01-05T13:00:00Z", 7).await;
    assert_eq!(all, (vec![(7, 9), (10, 30)], None));
    // A write was cut off behind the last row: what is before it is in memory alone.
    let times = times("2026-01-05T12:00:00Z", "2026-01-05T12:30:00Z");
    let last = Sealed { seq: 5, offset: 105, from: 30, to: 40, through: Timestamp::MIN, times };
    live.source(own).unwrap().open().seal(last);
    let segment = {
        let mut alone = crate::Part::new(own, 4);
        alone.seal(last);
        alone
    };
    let batch = crate::flush(store, &segment, &mut crate::Checkpoint::default()).await.unwrap();
    store.write(exchequer_readstore::Batch { last: Vec::new(), ..batch }).await.unwrap();
    let all = within("2026-01-05T10:06:00Z", "2026-01-05T13:00:00Z", 7).await;
    assert_eq!(all, (vec![(7, 9), (10, 40)], None));
}

// REQ: USE-04
#[tokio::test]
async fn moved_billing_periods_change_no_other_window() {
    let tenant = tenant();
    let platform = Platform::new(true).await;
    let meter = meter(Aggregation::Count, &[], 1);
    let mut it = contribution(&meter, &given("2026-01-05T10:10:00Z", "s1", "", 1), 0);
    let old = it.period.unwrap();
    let new = Period { start: at("2026-01-02T00:00:00Z"), end: old.end };
    let add = |seq, it: &_, into| {
        let mut source = platform.live.source(PartitionId(0)).unwrap();
        source.open().add(seq, it, into);
    };
    add(1, &it, Windows::All);
    write(&platform, 1).await;
    it.sign = exchequer_metering::Sign::MovesOut;
    add(2, &it, Windows::Period);
    (it.sign, it.period) = (exchequer_metering::Sign::MovesIn, Some(new));
    add(2, &it, Windows::Period);
    for is_written in [false, true] {
        if is_written {
            write(&platform, 2).await;
        }
        let (from, to) = ("2025-12-01T00:00:00Z", "2026-02-01T00:00:00Z");
        let answer = ask(&platform, &asked(&tenant, from, to, Step::Of(Kept::Period))).await;
        let found: Vec<_> = answer.windows.iter().map(|it| it.window).collect();
        assert_eq!(found, [new], "{is_written}");
        let months = ask(&platform, &asked(&tenant, from, to, Step::Of(Kept::Month))).await;
        assert_eq!(told(&months), "00:00 =1");
    }
}
