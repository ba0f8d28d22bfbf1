//! What was taken back from windows that cannot be subtracted from, when writes are cut off
//! and end at other seals.

use std::ops::Range;
use std::sync::Arc;

use exchequer_metering::{Aggregation, Contribution, Meter};
use exchequer_readstore::{Batch, ReadStore as _, Value, Write};
use exchequer_types::{PartitionId, Period, Quantity};

use super::figures::{asked, told as figures};
use super::harness::{Given, Platform, at, contribution, meter, tenant};
use crate::tables::USAGE_SETS;
use crate::{
    Amounts, CellOf, Checkpoint, Kept, Pending, QueryError, Recount, Step, count, flush, query,
    shorter,
};

const SOURCE: PartitionId = PartitionId(0);
const MINUTE: &str = "2026-01-05T10:20:00Z";
const NEXT_MINUTE: &str = "2026-01-05T10:21:00Z";

fn event_of(minute: &str, meter: &Arc<Meter>, value: i64, back: bool) -> Contribution {
    let given = Given {
        source: 0,
        time: at(minute),
        subject: "",
        group: String::new(),
        value: value * 4,
        back,
    };
    contribution(meter, &given, value.unsigned_abs())
}

fn event(meter: &Arc<Meter>, value: i64, back: bool) -> Contribution {
    event_of(MINUTE, meter, value, back)
}

fn windows(minute: &str) -> impl Iterator<Item = (Kept, Period)> {
    let calendar = [Kept::Minute, Kept::Hour, Kept::Day, Kept::Month];
    calendar.into_iter().map(move |kept| (kept, kept.window(at(minute)).unwrap()))
}

/// Of a write, what is there before it is cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Whole,
    /// All but the checkpoint.
    Rows,
    /// Members of unique counts alone, of windows that begin here.
    MembersOf(&'static str),
}

/// Writes what is sealed, with the windows of each minute of `left` put together anew: what is
/// there says `written`. Was all of it done?
async fn write_of(
    platform: &Platform,
    meter: &Arc<Meter>,
    left: &[(&str, &[i64])],
    written: Written,
) -> bool {
    let segment = platform.live.source(SOURCE).unwrap().freeze().unwrap();
    let seal = segment.to();
    let mut checkpoint = Checkpoint { seal, offset: seal + 1, ..Checkpoint::default() };
    let Batch { rows, mut last } = flush(&platform.store, &segment, &mut checkpoint).await.unwrap();
    let rows = Pending::above(&platform.store, rows);
    let tenant = tenant();
    let recount = Recount::new(&rows, (&tenant, meter), (SOURCE, seal));
    let (of, mut is_done) = (CellOf::Groups(Vec::new()), true);
    for (minute, left) in left {
        for (kept, window) in windows(minute) {
            let mut amounts = Amounts::new();
            if kept == Kept::Minute {
                for it in *left {
                    count(&mut amounts, Vec::new(), &event_of(minute, meter, *it, false));
                }
            }
            for piece in shorter(kept, window) {
                is_done &= recount.held(piece, &of, &mut amounts).await.unwrap();
            }
            is_done &= recount.put((kept, window), &of, &amounts).await.unwrap();
        }
    }
    if !is_done {
        checkpoint.is_unsettled = true;
        last = vec![checkpoint.put(&segment)];
    }
    let mut rows = rows.into_writes();
    if let Written::MembersOf(start) = written {
        let start = Value::Int(at(start).micros());
        let is_there =
            |it: &Write| it.table.name == USAGE_SETS.name && it.key.clustering.contains(&start);
        rows.retain(is_there);
    }
    let is_whole = written == Written::Whole;
    let last = if is_whole { last } else { Vec::new() };
    platform.store.write(Batch { rows, last }).await.unwrap();
    if is_whole {
        platform.live.source(SOURCE).unwrap().written(seal);
    }
    is_done
}

/// The same of one minute; without its end the checkpoint is not there.
async fn write(platform: &Platform, meter: &Arc<Meter>, left: &[i64], ends: bool) -> bool {
    let written = if ends { Written::Whole } else { Written::Rows };
    write_of(platform, meter, &[(MINUTE, left)], written).await
}

/// The figures of all windows.
async fn told(platform: &Platform, meter: &Arc<Meter>) -> Vec<Option<Quantity>> {
    let tenant = tenant();
    let recount = Recount::new(&platform.store, (&tenant, meter), (SOURCE, 0));
    let mut told = Vec::new();
    for window in windows(MINUTE) {
        let mut amounts = Amounts::new();
        recount.held(window, &CellOf::Groups(Vec::new()), &mut amounts).await.unwrap();
        told.push(amounts.get(&Vec::new()).and_then(crate::Amount::figure));
    }
    told
}

fn all(figure: u64) -> Vec<Option<Quantity>> {
    vec![Some(Quantity::whole(figure)); 4]
}

// REQ: USE-01 USE-16
#[tokio::test]
async fn what_a_later_write_left_half_done_is_done_behind_it() {
    let to = |end: i64| (1..end).collect::<Vec<i64>>();
    // What was there, what stays of it, what comes then, and the figure of that.
    for (aggregation, first, stays, comes, figure) in [
        (Aggregation::Min, vec![1, 2], vec![2], 3, 2),
        (Aggregation::Max, vec![9, 2], vec![2], 3, 3),
        (Aggregation::Last, vec![2, 9], vec![2], 3, 3),
        (Aggregation::UniqueCount, vec![9, 2], vec![2], 3, 2),
        (Aggregation::UniqueCount, to(70), to(60), 100, 60),
        (Aggregation::UniqueCount, to(70), to(10), 100, 10),
    ] {
        let meter = meter(aggregation, &[], 10);
        let mut platform = Platform::new(false).await;
        platform.seal(0, first.iter().map(|it| event(&meter, *it, false)).collect());
        assert!(write(&platform, &meter, &first, true).await);
        let gone = first.iter().filter(|it| !stays.contains(it));
        platform.seal(0, gone.map(|it| event(&meter, *it, true)).collect());
        platform.seal(0, vec![event(&meter, comes, false)]);
        let last: Vec<i64> = stays.iter().copied().chain([comes]).collect();
        // Both seals are written, but for the checkpoint.
        assert!(write(&platform, &meter, &last, false).await);
        assert_eq!(told(&platform, &meter).await, all(figure), "{aggregation:?}");
        // Whoever follows stops one seal before: the rows stay, and it is to be done again.
        platform.refold(0, 2).await;
        assert!(!write(&platform, &meter, &stays, true).await, "rows tell of seal 3");
        assert_eq!(told(&platform, &meter).await, all(figure), "{aggregation:?}");
        platform.restart(0).await;
        assert!(write(&platform, &meter, &last, true).await);
        assert_eq!(told(&platform, &meter).await, all(figure), "{aggregation:?}");
    }
}

// REQ: USE-01 USE-16
#[tokio::test]
async fn what_cannot_be_put_together_yet_is_not_told() {
    // Whose members are those of a later seal: of what is put together anew, or beside it.
    for later in [MINUTE, NEXT_MINUTE] {
        let meter = meter(Aggregation::UniqueCount, &[], 10);
        let mut platform = Platform::new(false).await;
        let of = |minute, values: Range<i64>, back| -> Vec<_> {
            values.map(|it| event_of(minute, &meter, it, back)).collect()
        };
        let adds = [of(MINUTE, 0..70, false), of(NEXT_MINUTE, 100..170, false)];
        platform.seal(0, adds.concat());
        platform.write(0, None).await;
        platform.seal(0, of(MINUTE, 50..70, true));
        let backs = [of(MINUTE, 9..50, true), of(NEXT_MINUTE, 109..170, true)];
        platform.seal(0, backs.concat());
        let (first, second): (Vec<i64>, Vec<i64>) = ((0..9).collect(), (100..109).collect());
        let left = [(MINUTE, &first[..]), (NEXT_MINUTE, &second[..])];
        write_of(&platform, &meter, &left, Written::MembersOf(later)).await;
        // Whoever follows stops one seal before, with other members than the cells rely on.
        platform.refold(0, 2).await;
        let first: Vec<i64> = (0..50).collect();
        let is_done = write_of(&platform, &meter, &[(MINUTE, &first)], Written::Whole).await;
        assert!(!is_done, "members are of seal 3");
        let (tenant, day) = (tenant(), ["2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"]);
        let asked = asked(&tenant, day[0], day[1], Step::Of(Kept::Day));
        let refused = query(&platform.store, &platform.live, &asked).await;
        assert!(matches!(refused, Err(QueryError::Moving { .. })), "{refused:?}");
        platform.restart(0).await;
        assert!(write_of(&platform, &meter, &left, Written::Whole).await);
        let answer = query(&platform.store, &platform.live, &asked).await.unwrap();
        assert_eq!(figures(&answer), "00:00 =18");
    }
}
