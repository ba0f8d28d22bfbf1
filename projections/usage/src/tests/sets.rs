//! Members of unique counts that stand in rows of their own, where meters die in the middle of
//! a write or are overtaken by another.

use exchequer_metering::Aggregation;
use exchequer_readstore::{Batch, ReadStore as _, Write};
use exchequer_types::PartitionId;

use super::figures::{ask, asked, given, told};
use super::harness::{Platform, contribution, meter, tenant};
use crate::{Checkpoint, Kept, Step, USAGE_SETS, flush, members_first};

/// Three seals with 21 values: more than a cell holds itself.
async fn three_seals() -> Platform {
    let meter = meter(Aggregation::UniqueCount, &[], 1);
    let mut platform = Platform::new(false).await;
    for values in [11..=20, 1..=10, 21..=21] {
        let given = values.map(|value| given("2026-01-05T10:10:00Z", "", "", value));
        platform.seal(0, given.map(|it| contribution(&meter, &it, 0)).collect());
    }
    platform
}

/// What a meter would write of all that is sealed.
async fn rows(platform: &Platform) -> Vec<Write> {
    let segment = platform.live.source(PartitionId(0)).unwrap().freeze().unwrap();
    let mut checkpoint = Checkpoint { seal: segment.to(), ..Checkpoint::default() };
    flush(&platform.store, &segment, &mut checkpoint).await.unwrap().rows
}

async fn land(platform: &Platform, rows: Vec<Write>) {
    assert!(!rows.is_empty());
    platform.store.write(Batch { rows, last: Vec::new() }).await.unwrap();
}

async fn count(platform: &Platform) -> String {
    let tenant = tenant();
    let (from, to) = ("2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z");
    told(&ask(platform, &asked(&tenant, from, to, Step::Of(Kept::Hour))).await)
}

fn of_sets(write: &Write) -> bool {
    write.table.name == USAGE_SETS.name
}

/// The one after it goes on in shorter steps, so that other members have room in the cell.
// REQ: USE-04 KER-06
#[tokio::test]
async fn members_are_not_lost_when_their_rows_alone_were_written() {
    let platform = three_seals().await;
    let sets = rows(&platform).await.into_iter().filter(of_sets).collect();
    land(&platform, sets).await;
    for part in [34, 50, 100] {
        platform.write_lower(0, part).await;
    }
    assert_eq!(count(&platform).await, "10:00 =21");
}

/// It dies in the middle, or at the end, and another one has written up to an earlier seal.
// REQ: USE-04 KER-06
#[tokio::test]
async fn a_cell_that_comes_late_has_all_its_members() {
    for ends in [false, true] {
        let platform = three_seals().await;
        let late = rows(&platform).await;
        platform.write_lower(0, 34).await;
        let [first, rest] = members_first(Batch { rows: late, last: Vec::new() });
        land(&platform, first.rows).await;
        if ends {
            land(&platform, rest.rows).await;
        }
        for _ in 0..2 {
            platform.restart(0).await;
            platform.write(0, None).await;
            assert_eq!(count(&platform).await, "10:00 =21", "{ends}");
        }
    }
}

/// The one that overtook it dies between members and cells.
// REQ: USE-04 KER-06
#[tokio::test]
async fn members_of_one_meter_and_the_cell_of_another_are_whole() {
    let platform = three_seals().await;
    platform.refold(0, 2).await;
    let late = rows(&platform).await;
    platform.write_lower(0, 34).await;
    let [members, _] = members_first(Batch { rows: rows(&platform).await, last: Vec::new() });
    land(&platform, members.rows).await;
    for stage in members_first(Batch { rows: late, last: Vec::new() }) {
        land(&platform, stage.rows).await;
    }
    platform.restart(0).await;
    platform.write(0, None).await;
    assert_eq!(count(&platform).await, "10:00 =21");
}
