//! Questions while meters write: an answer holds what it must, or there is none yet.

use exchequer_metering::Aggregation;
use exchequer_readstore::{Batch, ReadStore as _};
use exchequer_types::PartitionId;

use super::figures::{FROM, ask, asked, given, platform, told};
use super::harness::{Platform, at, contribution, meter, tenant};
use crate::{
    Asking, Checkpoint, Kept, LiveUsage, Part, Query, QueryError, Sealed, Span, Step, query,
};

// REQ: USE-05
#[tokio::test]
async fn what_somebody_has_seen_is_in_the_figures_or_nothing_is_told() {
    let (platform, tenant) = (platform(Aggregation::Count).await, tenant());
    let day = asked(&tenant, "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z", Step::Whole);
    let positions = ask(&platform, &day).await.positions;
    let first = PartitionId(0);
    let (there, behind) = ([(first, positions[0].offset)], [(first, positions[0].offset + 1)]);
    assert_eq!(told(&ask(&platform, &Query { seen: &there, ..day.clone() }).await), "00:00 =5");
    let early = query(&platform.store, &platform.live, &Query { seen: &behind, ..day }).await;
    assert!(matches!(early, Err(QueryError::Moving { partition }) if partition == first));
}

// REQ: KER-06
#[tokio::test]
async fn what_is_half_written_is_not_told() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let meter = meter(Aggregation::Count, &[], 1);
    let event = |time| vec![contribution(&meter, &given(time, "s1", "", 1), 0)];
    platform.seal(0, event("2026-01-05T10:05:00Z"));
    platform.write(0, None).await;
    platform.seal(0, event("2026-01-05T10:10:00Z"));
    platform.write(0, Some(&|_| true)).await;
    let hour = asked(&tenant, "2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z", Step::Of(Kept::Hour));
    assert_eq!(told(&ask(&platform, &hour).await), "10:00 =2");
    // Memory does not end any more where the row does.
    platform.seal(0, event("2026-01-05T10:20:00Z"));
    let refused = query(&platform.store, &platform.live, &hour).await;
    assert!(matches!(refused, Err(QueryError::Moving { .. })), "{refused:?}");
    platform.write(0, None).await;
    assert_eq!(told(&ask(&platform, &hour).await), "10:00 =3");
}

// REQ: KER-06
#[tokio::test]
async fn what_is_half_written_where_nothing_was_is_told_from_memory() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let meter = meter(Aggregation::Count, &[], 1);
    let event = |time| vec![contribution(&meter, &given(time, "s1", "", 1), 0)];
    platform.seal(0, event("2026-01-05T10:10:00Z"));
    platform.write(0, Some(&|_| true)).await;
    platform.seal(0, event("2026-01-05T10:20:00Z"));
    let hour = asked(&tenant, "2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z", Step::Of(Kept::Hour));
    assert_eq!(told(&ask(&platform, &hour).await), "10:00 =2");
    let elsewhere = LiveUsage::new(platform.live.partitions());
    let answer = query(&platform.store, &elsewhere, &hour).await.unwrap();
    assert_eq!((told(&answer).as_str(), answer.positions[0].seal), ("", 0), "as of its checkpoint");
}

// REQ: USE-05 KER-06
#[tokio::test]
async fn rows_beyond_the_checkpoint_wait_for_no_event() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let (meter, first) = (meter(Aggregation::Count, &[], 1), PartitionId(0));
    platform.seal(0, vec![contribution(&meter, &given("2026-01-05T10:10:00Z", "s1", "", 1), 0)]);
    // Up to the first seal by one meter; up to the second, which is empty, by another one,
    // whose checkpoint came too late.
    let span = Span::of(platform.live.source(first).unwrap().open());
    let earlier = Checkpoint { seal: 1, offset: 2, span, ..Checkpoint::default() };
    let last = vec![earlier.put(&Part::new(first, 1))];
    let empty = Sealed { seq: 2, offset: 2, from: 2, to: 2, through: at(FROM), times: None };
    platform.live.source(first).unwrap().open().seal(empty);
    platform.begin_writing(0, &|_| true).await;
    platform.store.write(Batch { rows: Vec::new(), last }).await.unwrap();
    let hour = asked(&tenant, FROM, "2026-01-05T11:00:00Z", Step::Of(Kept::Hour));
    platform.restart(0).await;
    platform.live.source(first).unwrap().open().seal(empty);
    let elsewhere = LiveUsage::new(platform.live.partitions());
    let refused = query(&platform.store, &elsewhere, &hour).await;
    assert!(matches!(refused, Err(QueryError::Moving { .. })), "{refused:?}");
    platform.write(0, None).await;
    let answer = query(&platform.store, &elsewhere, &hour).await.unwrap();
    assert_eq!(told(&answer), "10:00 =1");
    assert!(!platform.live.source(first).unwrap().has_unwritten());
}

// REQ: USE-05 KER-06
#[tokio::test]
async fn who_asks_again_keeps_what_was_at_rest() {
    let (tenant, mut platform) = (tenant(), Platform::new(false).await);
    let meter = meter(Aggregation::Count, &[], 1);
    for source in 0..2 {
        let given = given("2026-01-05T10:10:00Z", "s1", "", 1);
        platform.seal(source, vec![contribution(&meter, &given, 0)]);
        platform.write(source, None).await;
        platform.seal(source, vec![contribution(&meter, &given, 0)]);
    }
    let hour = asked(&tenant, FROM, "2026-01-05T11:00:00Z", Step::Of(Kept::Hour));
    let elsewhere = LiveUsage::new(platform.live.partitions());
    let asking = Asking::new(&platform.store, &elsewhere, &hour).unwrap();
    platform.begin_writing(0, &|_| true).await;
    let refused = asking.answer().await;
    assert!(
        matches!(refused, Err(QueryError::Moving { partition: PartitionId(0) })),
        "{refused:?}"
    );
    platform.restart(0).await;
    platform.write(0, None).await;
    platform.begin_writing(1, &|_| true).await;
    let anew = query(&platform.store, &elsewhere, &hour).await;
    assert!(matches!(anew, Err(QueryError::Moving { partition: PartitionId(1) })), "{anew:?}");
    let answer = asking.answer().await.unwrap();
    assert_eq!(told(&answer), "10:00 =3");
    let seals: Vec<u64> = answer.positions.iter().map(|it| it.seal).collect();
    assert_eq!(seals, [2, 1], "as far as each was when it was at rest");
}

// REQ: USE-05
#[tokio::test]
async fn while_a_batch_is_written_figures_are_what_they_were() {
    let tenant = tenant();
    let (from, to) = ("2026-01-05T10:00:00Z", "2026-01-05T12:00:00Z");
    let mut refused = 0;
    for aggregation in [Aggregation::Count, Aggregation::Max, Aggregation::UniqueCount] {
        let meter = meter(aggregation, &["region"], 40);
        let events = |names: core::ops::Range<i64>| -> Vec<_> {
            let given = names.map(|at| {
                let time = ["2026-01-05T10:10:00Z", "2026-01-05T11:50:00Z"][(at % 2) as usize];
                given(time, ["s1", "s2", "s3"][(at % 3) as usize], &format!("g{at}"), at)
            });
            given.map(|it| contribution(&meter, &it, 0)).collect()
        };
        for kept in 0..16_usize {
            let mut both = [Platform::new(false).await, Platform::new(false).await];
            for platform in &mut both {
                platform.seal(0, events(0..30));
                platform.write(0, None).await;
                platform.seal(0, events(20..70));
                platform.seal(0, events(60..100));
            }
            // One of them writes: some rows are there, in any order.
            both[0].begin_writing(0, &|row| kept >> (row % 4) & 1 == 1).await;
            for platform in &mut both {
                platform.seal(0, events(100..120));
            }
            let by_group = |step| Query {
                group_by: vec!["region".to_owned()],
                top: 100,
                ..asked(&tenant, from, to, step)
            };
            let of = |subject, by_subject| Query {
                subject,
                by_subject,
                ..asked(&tenant, from, to, Step::Of(Kept::Hour))
            };
            // Whether the members of a large set are there cannot be told: it is asked anew.
            let is_unique = aggregation == Aggregation::UniqueCount;
            for question in [
                by_group(Step::Of(Kept::Hour)),
                by_group(Step::Whole),
                by_group(Step::Of(Kept::Minute)),
                of(None, true),
                of(Some("s2"), false),
            ] {
                let while_written = query(&both[0].store, &both[0].live, &question).await;
                if is_unique && matches!(while_written, Err(QueryError::Moving { .. })) {
                    refused += 1;
                    continue;
                }
                let before = ask(&both[1], &question).await;
                let what = format!("{aggregation:?} {kept:b}");
                assert_eq!(told(&while_written.unwrap()), told(&before), "{what}");
            }
        }
    }
    assert!((1..80).contains(&refused), "{refused}");
}
