//! What was taken back from windows that cannot be subtracted from, when writes are cut off
//! and end at other seals.

use std::sync::Arc;

use exchequer_metering::{Aggregation, Contribution, Meter};
use exchequer_readstore::{Batch, ReadStore as _};
use exchequer_types::{PartitionId, Period, Quantity};

use super::harness::{Given, Platform, at, contribution, meter, tenant};
use crate::{Amounts, CellOf, Checkpoint, Kept, Pending, Recount, count, flush, shorter};

const SOURCE: PartitionId = PartitionId(0);
const MINUTE: &str = "2026-01-05T10:20:00Z";

fn event(meter: &Arc<Meter>, value: i64, back: bool) -> Contribution {
    let (time, group) = (at("2026-01-05T10:20:30Z"), String::new());
    let given = Given { source: 0, time, subject: "", group, value: value * 4, back };
    contribution(meter, &given, value.unsigned_abs())
}

fn windows() -> impl Iterator<Item = (Kept, Period)> {
    let calendar = [Kept::Minute, Kept::Hour, Kept::Day, Kept::Month];
    calendar.into_iter().map(|kept| (kept, kept.window(at(MINUTE)).unwrap()))
}

/// Writes what is sealed, with the windows of `left` put together anew. Without its end the
/// checkpoint is not written. Was all of it done?
async fn write(platform: &Platform, meter: &Arc<Meter>, left: &[i64], ends: bool) -> bool {
    let segment = platform.live.source(SOURCE).unwrap().freeze().unwrap();
    let seal = segment.to();
    let mut checkpoint = Checkpoint { seal, offset: seal + 1, ..Checkpoint::default() };
    let Batch { rows, last } = flush(&platform.store, &segment, &mut checkpoint).await.unwrap();
    let rows = Pending::above(&platform.store, rows);
    let tenant = tenant();
    let recount = Recount::new(&rows, (&tenant, meter), (SOURCE, seal));
    let (of, mut is_done) = (CellOf::Groups(Vec::new()), true);
    for (kept, window) in windows() {
        let mut amounts = Amounts::new();
        if kept == Kept::Minute {
            for it in left {
                count(&mut amounts, Vec::new(), &event(meter, *it, false));
            }
        }
        for piece in shorter(kept, window) {
            recount.held(piece, &of, &mut amounts).await.unwrap();
        }
        is_done &= recount.put((kept, window), &of, &amounts).await.unwrap();
    }
    let last = if ends { last } else { Vec::new() };
    platform.store.write(Batch { rows: rows.into_writes(), last }).await.unwrap();
    if ends {
        platform.live.source(SOURCE).unwrap().written(seal);
    }
    is_done
}

/// The figures of all windows.
async fn told(platform: &Platform, meter: &Arc<Meter>) -> Vec<Option<Quantity>> {
    let tenant = tenant();
    let recount = Recount::new(&platform.store, (&tenant, meter), (SOURCE, 0));
    let mut told = Vec::new();
    for window in windows() {
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
