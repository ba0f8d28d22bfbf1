//! Any course of sealing, writing, writing in part and beginning anew gives the figures
//! of a sum from zero, and the same rows.

use core::time::Duration;
use std::collections::BTreeMap;

use exchequer_metering::Aggregation;
use exchequer_types::{Period, Quantity, Timestamp};
use proptest::prelude::*;

use super::harness::{Given, Platform, SOURCES, at, beside, contribution, meter, tenant};
use crate::{Kept, Query, Step, USAGE_COMMON, USAGE_WINDOWS, query};

#[derive(Clone, Debug)]
enum Step_ {
    Seal(Vec<Given>),
    Write(u32),
    /// Only rows whose bit is set are written, then memory is lost.
    WriteInPart(u32, u64),
    Restart(u32),
    /// Begins anew and writes up to a part of the seals, in hundredths, then begins anew.
    WriteLower(u32, u64),
    /// The same, and what was about to be written before comes behind it, in part.
    Overtaken(u32, u64, u64),
}

fn given(back: bool) -> impl Strategy<Value = Given> {
    let minutes = prop_oneof![0..3_i64, 58..62_i64, Just(24 * 60), 20_785..20_795_i64];
    let subject = prop_oneof![Just(""), Just("s1"), Just("s2"), Just("a longer subject")];
    let taken = if back {
        prop_oneof![4 => Just(false), 1 => Just(true)]
    } else {
        prop_oneof![Just(false), Just(false)]
    };
    (0..SOURCES, minutes, 0..60_000_000_i64, subject, "[a-e]", 0..400_i64, taken).prop_map(
        |(source, minute, micros, subject, group, value, back)| {
            let base = at("2026-01-01T00:00:00Z").micros();
            let time = Timestamp::from_micros(base + minute * 60_000_000 + micros).unwrap();
            Given { source, time, subject, group, value, back }
        },
    )
}

fn course(back: bool) -> impl Strategy<Value = Vec<Step_>> {
    let step = prop_oneof![
        4 => prop::collection::vec(given(back), 0..30).prop_map(Step_::Seal),
        2 => (0..SOURCES).prop_map(Step_::Write),
        2 => (0..SOURCES, any::<u64>()).prop_map(|(of, rows)| Step_::WriteInPart(of, rows)),
        1 => (0..SOURCES).prop_map(Step_::Restart),
        2 => (0..SOURCES, 0..=100_u64).prop_map(|(of, part)| Step_::WriteLower(of, part)),
        2 => (0..SOURCES, 0..=100_u64, any::<u64>())
            .prop_map(|(of, part, rows)| Step_::Overtaken(of, part, rows)),
    ];
    prop::collection::vec(step, 1..12)
}

async fn figures(
    platform: &Platform,
    kept: Kept,
    by: &[&str],
    by_subject: bool,
) -> BTreeMap<(Period, String), Option<Quantity>> {
    let tenant = tenant();
    let asked = Query {
        tenant: &tenant,
        meter: "calls",
        version: None,
        from: at("2025-12-01T00:00:00Z"),
        to: at("2026-03-01T00:00:00Z"),
        step: Step::Of(kept),
        subject: None,
        by_subject,
        group_by: by.iter().map(|it| (*it).to_owned()).collect(),
        filters: Vec::new(),
        top: 1_000,
        lateness: Duration::ZERO,
        seen: &[],
    };
    let from_minute =
        Query { from: at("2026-01-01T00:00:00Z"), to: at("2026-01-20T00:00:00Z"), ..asked.clone() };
    let asked = if kept == Kept::Minute { from_minute } else { asked };
    let answer = query(&platform.store, &platform.live, &asked).await.unwrap();
    let windows = answer.windows.into_iter().flat_map(|it| {
        it.groups.into_iter().map(move |group| ((it.window, group.values.join(",")), group.figure))
    });
    windows.collect()
}

async fn run(aggregation: Aggregation, by: &[&str], atomic: bool, course: Vec<Step_>) -> Platform {
    let meters = [&[meter(aggregation, by, 3)][..], &beside(by)].concat();
    let mut platform = Platform::new(atomic).await;
    let mut offset = 0;
    for step in course {
        match step {
            Step_::Seal(given) => {
                for source in 0..SOURCES {
                    let own = given.iter().filter(|it| it.source == source);
                    let own = own.flat_map(|it| {
                        offset += 1;
                        meters.iter().map(move |meter| contribution(meter, it, offset))
                    });
                    let own = own.collect();
                    platform.seal(source, own);
                }
            }
            Step_::Write(source) => platform.write(source, None).await,
            // Such a store writes all of a batch or nothing.
            Step_::WriteInPart(source, _) | Step_::Overtaken(source, ..) if atomic => {
                platform.restart(source).await;
            }
            Step_::WriteInPart(source, rows) => {
                let keep = move |at: usize| rows >> (at % 64) & 1 == 1;
                platform.write(source, Some(&keep)).await;
            }
            Step_::Restart(source) => platform.restart(source).await,
            Step_::WriteLower(source, part) => platform.write_lower(source, part).await,
            Step_::Overtaken(source, part, rows) => {
                let keep = move |at: usize| rows >> (at % 64) & 1 == 1;
                platform.overtaken(source, part, &keep).await;
            }
        }
    }
    platform
}

async fn check(aggregation: Aggregation, by: &[&str], atomic: bool, course: Vec<Step_>) {
    let platform = run(aggregation, by, atomic, course.clone()).await;
    // What was written in part is whole again before it is asked for.
    if !atomic {
        for source in 0..SOURCES {
            platform.write(source, None).await;
        }
    }
    for kept in Kept::ALL {
        for by_subject in [false, true] {
            let expected = platform.sums(kept, by_subject);
            let expected: BTreeMap<_, _> = expected
                .into_iter()
                .filter(|(_, bucket)| !is_nothing(bucket))
                .map(|(key, bucket)| (key, bucket.figure()))
                .collect();
            let by = if by_subject { &[] } else { by };
            let found = figures(&platform, kept, by, by_subject).await;
            assert_eq!(found, expected, "{aggregation} {kept:?} by subject {by_subject}");
        }
    }
    if aggregation != Aggregation::UniqueCount {
        let seals = course.into_iter().filter(|it| matches!(it, Step_::Seal(_))).collect();
        let once = run(aggregation, by, true, seals).await;
        for source in 0..SOURCES {
            once.write(source, None).await;
            platform.write(source, None).await;
        }
        let rows = |it: &Platform| -> Vec<_> {
            let of = |table| it.store.snapshot(table, crate::GENERATION).into_iter();
            let rows = of(&USAGE_COMMON).chain(of(&USAGE_WINDOWS));
            rows.map(|row| (row.key, row.values)).collect()
        };
        assert_eq!(rows(&platform), rows(&once));
    }
}

fn is_nothing(bucket: &exchequer_metering::Bucket) -> bool {
    use exchequer_metering::Bucket;
    matches!(bucket, Bucket::Count(0) | Bucket::Average { count: 0, .. })
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    // REQ: USE-04
    // REQ: KER-12
    #[test]
    fn figures_are_those_of_a_sum_from_zero(
        aggregation in prop::sample::select(Aggregation::ALL.to_vec()),
        grouped: bool,
        atomic: bool,
        course in course(false),
    ) {
        let by: &[&str] = if grouped { &["region"] } else { &[] };
        block_on(check(aggregation, by, atomic, course));
    }

    // REQ: USE-16
    #[test]
    fn what_is_taken_back_counts_for_nothing(
        aggregation in prop::sample::select(vec![Aggregation::Sum]),
        atomic: bool,
        course in course(true),
    ) {
        block_on(check(aggregation, &["region"], atomic, course));
    }
}

/// A segment that was written in part is written again.
#[cfg(feature = "mutations")]
async fn written_twice() -> (String, String) {
    let time = at("2026-01-01T00:00:00Z");
    let given =
        Given { source: 0, time, subject: "", group: "a".to_owned(), value: 4, back: false };
    let course = vec![Step_::Seal(vec![given]), Step_::WriteInPart(0, u64::MAX), Step_::Write(0)];
    let platform = run(Aggregation::Count, &[], false, course).await;
    let found = figures(&platform, Kept::Hour, &[], false).await;
    let expected = platform.sums(Kept::Hour, false);
    let found: Vec<_> = found.values().map(|it| it.map(|it| it.to_string())).collect();
    let expected: Vec<_> =
        expected.values().map(|it| it.figure().map(|it| it.to_string())).collect();
    (format!("{found:?}"), format!("{expected:?}"))
}

// REQ: KER-06
#[cfg(feature = "mutations")]
#[test]
fn a_row_that_ignores_its_position_is_noticed() {
    use exchequer_kernel::mutation::{self, Mutation};
    block_on(async {
        let (found, expected) = written_twice().await;
        assert_eq!(found, expected);
        mutation::set(Some(Mutation::AdditivePosition));
        let (found, expected) = written_twice().await;
        assert_ne!(found, expected);
        mutation::set(None);
    });
}
