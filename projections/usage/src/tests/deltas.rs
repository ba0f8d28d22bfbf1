//! What a tenant adds while it is little: one row, until that is large.

use exchequer_metering::{Aggregation, Contribution, Fate};
use exchequer_readstore::{Batch, ReadStore, Value};
use exchequer_types::{PartitionId, Timestamp};
use proptest::prelude::*;

use super::figures::{FROM, ask, asked, given, told};
use super::harness::{Given, Platform, TENANT, at, contribution, meter, tenant};
use crate::part::{Part, Series};
use crate::{
    Counts, GENERATION, Kept, Kind, Query, Step, USAGE_DELTAS, USAGE_WINDOWS, Windows, delta,
    query, reconcile,
};

const TO: &str = "2026-01-05T12:00:00Z";
const COUNTED: Kind = Kind::Fate(Fate::Counted);
const SOURCE: PartitionId = PartitionId(0);

fn contributions(aggregation: Aggregation, given: &[Given]) -> Vec<Contribution> {
    let meter = meter(aggregation, &["region"], 3);
    given.iter().zip(0..).map(|(it, offset)| contribution(&meter, it, offset)).collect()
}

/// Events from number `from` on, each of a minute of its own.
fn events(from: u64, count: u64) -> Vec<Contribution> {
    let given: Vec<_> = (from..from + count)
        .map(|number| {
            let time = at(FROM).micros() + i64::try_from(number).unwrap() * 60_000_000;
            let time = Timestamp::from_micros(time).unwrap();
            Given { time, ..given(FROM, "s1", ["eu", "us"][(number % 2) as usize], 4) }
        })
        .collect();
    contributions(Aggregation::Sum, &given)
}

/// How many bytes the tenant's delta has in the store, and how many rows of windows there are.
fn rows(platform: &Platform) -> (usize, usize) {
    let deltas = platform.store.snapshot(&USAGE_DELTAS, GENERATION);
    let bytes = deltas.iter().flat_map(|row| &row.values).map(|it| it.as_bytes().len()).sum();
    (bytes, platform.store.snapshot(&USAGE_WINDOWS, GENERATION).len())
}

/// How many records came in each hour.
async fn hours(platform: &Platform) -> Vec<(Timestamp, Counts)> {
    let (from, to) = (at(FROM), at(TO));
    let found = reconcile(&platform.store, &platform.live, TENANT, from, to).await.unwrap();
    found.0.into_iter().collect()
}

// REQ: USE-04
#[tokio::test]
async fn little_use_is_one_row_until_it_is_more() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let hours = asked(&tenant, FROM, TO, Step::Of(Kept::Hour));
    for round in 1..=3 {
        platform.seal(0, events(round * 3, 3));
        platform.write(0, None).await;
        let (bytes, windows) = rows(&platform);
        assert!(bytes > 0 && windows == 0, "{bytes} bytes, {windows} rows");
        platform.restart(0).await;
        assert_eq!(told(&ask(&platform, &hours).await), format!("10:00 ={}", round * 3));
    }
    platform.seal(0, events(12, 5));
    platform.write(0, None).await;
    let (bytes, windows) = rows(&platform);
    assert!(bytes == 0 && windows > 0, "{bytes} bytes, {windows} rows");
    assert_eq!(told(&ask(&platform, &hours).await), "10:00 =14");
    platform.seal(0, events(60, 2));
    platform.write(0, None).await;
    assert!(rows(&platform).0 > 0 && rows(&platform).1 == windows);
    let of_subject = Query { subject: Some("s1"), ..hours };
    assert_eq!(told(&ask(&platform, &of_subject).await), "10:00 =14; 11:00 =2");
}

// REQ: KER-06 USE-05
#[tokio::test]
async fn figures_stay_while_a_delta_goes_to_rows() {
    let tenant = tenant();
    let by_group = Query {
        group_by: vec!["region".to_owned()],
        ..asked(&tenant, FROM, TO, Step::Of(Kept::Hour))
    };
    let of_subject =
        Query { subject: Some("s1"), ..asked(&tenant, FROM, TO, Step::Of(Kept::Minute)) };
    for kept in 0..64_usize {
        let mut both = [Platform::new(false).await, Platform::new(false).await];
        for platform in &mut both {
            platform.seal(0, events(0, 6));
            platform.write(0, None).await;
            platform.seal(0, events(4, 40));
        }
        let keep = |row| kept >> (row % 6) & 1 == 1;
        both[0].begin_writing(0, &keep).await;
        for platform in &mut both {
            platform.seal(0, events(70, 2));
        }
        for question in [&by_group, &of_subject] {
            let [written, whole] = [&both[0], &both[1]];
            assert_eq!(told(&ask(written, question).await), told(&ask(whole, question).await));
        }
        assert_eq!(hours(&both[0]).await, hours(&both[1]).await);
        // Its meter has died, and another one goes on from the same seals.
        both[0].restart(0).await;
        both[0].write(0, None).await;
        both[0].restart(0).await;
        for question in [&by_group, &of_subject] {
            let [again, whole] = [&both[0], &both[1]];
            assert_eq!(told(&ask(again, question).await), told(&ask(whole, question).await));
        }
        assert_eq!(hours(&both[0]).await, hours(&both[1]).await);
    }
}

// REQ: KER-06 USE-04
#[tokio::test]
async fn who_goes_on_in_shorter_steps_counts_nothing_twice() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let hours_asked = asked(&tenant, FROM, TO, Step::Of(Kept::Hour));
    platform.seal(0, events(0, 3));
    platform.write(0, None).await;
    platform.seal(0, events(3, 40));
    platform.seal(0, events(70, 2));
    // All rows of both seals, and its delta is not empty yet: the writer dies.
    let rows = platform.prepared(0).await;
    platform.store.write(Batch { rows, last: Vec::new() }).await.unwrap();
    // The next one begins to write at the first of the two.
    platform.refold(0, 2).await;
    platform.write(0, None).await;
    platform.restart(0).await;
    platform.seal(0, events(80, 1));
    platform.write(0, None).await;
    platform.restart(0).await;
    assert_eq!(told(&ask(&platform, &hours_asked).await), "10:00 =43; 11:00 =3");
    let counted = hours(&platform).await.iter().map(|it| it.1.of(COUNTED)).sum::<u64>();
    assert_eq!(counted, 46);
}

// REQ: KER-06 USE-04
#[tokio::test]
async fn a_delta_that_comes_late_changes_nothing() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let hours_asked = asked(&tenant, FROM, TO, Step::Of(Kept::Hour));
    platform.seal(0, events(0, 3));
    let late = platform.prepared(0).await;
    platform.seal(0, events(3, 40));
    // Another one writes both seals, without a delta.
    platform.restart(0).await;
    platform.write(0, None).await;
    platform.store.write(Batch { rows: late, last: Vec::new() }).await.unwrap();
    platform.restart(0).await;
    assert_eq!(told(&ask(&platform, &hours_asked).await), "10:00 =43");
}

// REQ: USE-05
#[tokio::test]
async fn a_delta_is_told_with_its_checkpoint_or_not_at_all() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let hours = asked(&tenant, FROM, TO, Step::Of(Kept::Hour));
    platform.seal(0, events(0, 3));
    platform.write(0, None).await;
    platform.seal(0, events(3, 3));
    platform.begin_writing(0, &|_| true).await;
    // A process that has the store alone.
    let elsewhere = crate::LiveUsage::new(platform.live.partitions());
    let refused = query(&platform.store, &elsewhere, &hours).await;
    assert!(matches!(refused, Err(crate::QueryError::Moving { .. })), "{refused:?}");
    platform.restart(0).await;
    platform.write(0, None).await;
    assert_eq!(told(&query(&platform.store, &elsewhere, &hours).await.unwrap()), "10:00 =6");
}

fn given_() -> impl Strategy<Value = Given> {
    let subject = prop_oneof![Just(""), Just("s1"), Just("s2")];
    (0..200_i64, subject, "[a-e]{1,3}", -400..400_i64, any::<bool>()).prop_map(
        |(minute, subject, group, value, back)| {
            let time = Timestamp::from_micros(at(FROM).micros() + minute * 60_000_000).unwrap();
            Given { source: 0, time, subject, group, value, back }
        },
    )
}

fn part(contributions: &[Contribution]) -> Part {
    let mut part = Part::new(SOURCE, 0);
    for it in contributions {
        part.add(1, it, Windows::All);
    }
    part
}

/// What a flush makes of the parts of one tenant.
fn together(parts: &[&Part]) -> Part {
    let mut all = Part::new(SOURCE, 0);
    for part in parts {
        delta::take_in(&mut all, part, &part.series().iter().collect::<Vec<&Series>>());
    }
    all
}

proptest! {
    // REQ: USE-04
    #[test]
    fn deltas_come_back(
        aggregation in prop::sample::select(Aggregation::ALL.to_vec()),
        given in prop::collection::vec(given_(), 0..60),
        cut in 1..16_usize,
    ) {
        let own = together(&[&part(&contributions(aggregation, &given))]);
        let bytes = delta::write(&own);
        let again = delta::read(&bytes, TENANT, Part::new(SOURCE, 0)).unwrap().part;
        prop_assert_eq!(delta::write(&again), bytes.clone());
        prop_assert_eq!(delta::size(&again), delta::size(&own));
        let shorter = &bytes[..bytes.len().saturating_sub(cut)];
        let shorter = delta::read(shorter, TENANT, Part::new(SOURCE, 0));
        prop_assert!(shorter.is_err() || bytes.len() <= cut);
    }

    /// Whether one is merged must not be undone by what comes later, or is taken back.
    // REQ: KER-06
    #[test]
    fn nothing_makes_a_delta_smaller(
        aggregation in prop::sample::select(Aggregation::ALL.to_vec()),
        first in prop::collection::vec(given_(), 0..40),
        second in prop::collection::vec(given_(), 0..40),
        third in prop::collection::vec(given_(), 0..40),
    ) {
        let of = |given: &[Given]| part(&contributions(aggregation, given));
        let stands = together(&[&of(&first)]);
        let (short, long) = (of(&second), of(&[second.clone(), third].concat()));
        let (short, long) = (together(&[&stands, &short]), together(&[&stands, &long]));
        prop_assert!(delta::size(&stands) <= delta::size(&short));
        prop_assert!(delta::size(&short) <= delta::size(&long));
    }

    #[test]
    fn anything_else_is_damaged_and_no_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..60),
        begins: bool,
    ) {
        if begins {
            bytes.splice(..0, [1, 0, 1, 1, b'm', 1, 1, 0, 1]);
        }
        let _ = delta::read(&bytes, TENANT, Part::new(SOURCE, 0));
    }
}

#[test]
fn what_refers_to_nothing_is_damaged() {
    // One series of counts, one window of no time, one group without values, one cell.
    let whole = [1, 0, 1, 1, b'm', 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 2];
    let read = |at: usize, byte: u8| {
        let mut bytes = whole;
        bytes[at] = byte;
        delta::read(&bytes, TENANT, Part::new(SOURCE, 0)).map(|it| it.part.series().len())
    };
    assert_eq!(read(0, 1), Ok(1));
    for (at, byte, what) in
        [(0, 3, "format"), (10, 1, "series"), (16, 1, "window"), (18, 1, "name")]
    {
        assert_eq!(read(at, byte), Err(crate::Damaged), "{what}");
    }
}

// REQ: USE-04
#[tokio::test]
async fn a_damaged_delta_is_named() {
    let (tenant, mut platform) = (tenant(), Platform::new(true).await);
    platform.seal(0, events(0, 3));
    platform.write(0, None).await;
    let stands = platform.store.snapshot(&USAGE_DELTAS, GENERATION).remove(0);
    let values = vec![Value::Bytes(bytes::Bytes::from_static(b"\x07nonsense"))];
    let damaged = crate::flush::put(&USAGE_DELTAS, stands.key, values, 1);
    let batch = Batch { rows: vec![damaged], last: Vec::new() };
    platform.store.write(batch).await.unwrap();
    let asked = asked(&tenant, FROM, TO, Step::Of(Kept::Hour));
    let refused = query(&platform.store, &platform.live, &asked).await;
    assert!(matches!(refused, Err(crate::QueryError::Damaged(_))), "{refused:?}");
}
