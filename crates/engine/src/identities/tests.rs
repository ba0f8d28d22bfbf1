//! The index over its windows, restarts and merges.

use exchequer_readstore::{Batch, MemoryStore};

use super::*;
use crate::tables::COMMAND_IDENTITIES;

const SESSION: u32 = 77;
const WINDOW: Duration = Duration::from_secs(7 * 24 * 3_600);

fn new_index(session: u32, entries_max: usize) -> Identities {
    let shape = IndexShape {
        tables: &COMMAND_IDENTITIES,
        window: WINDOW,
        entries_max,
        filter_bytes_max: 2_000,
        filter_bits: filter::BITS_SMALL,
    };
    Identities::new(PartitionId(3), session, shape)
}

fn identity(n: u64) -> Identity {
    Identity::of("t", "api", &n.to_string())
}

fn known(n: u64) -> Known {
    let place = Place { offset: n, index: (n % 7) as u32 };
    Known { place, body_digest: n.to_be_bytes(), at: day(1) }
}

fn day(n: i64) -> Timestamp {
    Timestamp::saturating_from_micros(n * 86_400_000_000)
}

/// A flush, and something behind it that is accepted.
async fn flush(
    index: &mut Identities,
    store: &MemoryStore,
    now: Timestamp,
) -> pb::PartitionCheckpoint {
    let checkpoint = flush_alone(index, store, now).await;
    index.accepted(index.left());
    checkpoint
}

async fn flush_alone(
    index: &mut Identities,
    store: &MemoryStore,
    now: Timestamp,
) -> pb::PartitionCheckpoint {
    let merge = index.merge_due(now);
    let flush = index.flush(now);
    let (blocks, runs) = (flush.blocks.clone(), flush.runs);
    let rows = flush.writes.clone();
    store.write(Batch { rows, last: vec![] }).await.unwrap();
    index.flushed(flush);
    if let Some(merge) = merge {
        index.merged(merge.run(store).await.unwrap());
    }
    let runs = Some(pb::Range { from: runs.0, to: runs.1 });
    pb::PartitionCheckpoint { blocks, runs, ..pb::PartitionCheckpoint::default() }
}

async fn find(index: &Identities, store: &MemoryStore, n: u64, now: Timestamp) -> Option<Known> {
    let known = match index.recent(&identity(n)) {
        None if index.must_ask(&identity(n), now) => {
            index.ask(store, &identity(n), now).await.unwrap()
        }
        recent => recent,
    };
    known.filter(|known| known.is_kept(now, WINDOW))
}

// REQ: KER-03
#[tokio::test]
async fn identities_are_found_for_the_window_with_memory_bounded() {
    let store = MemoryStore::new(true);
    let mut index = new_index(SESSION, 500);
    let mut checkpoint = pb::PartitionCheckpoint::default();
    for n in 0..5_000 {
        index.insert(identity(n), known(n));
        if n % 100 == 99 {
            checkpoint = flush(&mut index, &store, day(1)).await;
        }
    }
    assert!(index.recent.len() <= 500);
    assert!(index.blocks.iter().any(|block| block.filter.is_none()), "the bound was met");
    let mut again = new_index(SESSION + 2, 500);
    again.load(&store, &checkpoint.blocks, checkpoint.runs).await.unwrap();
    for n in (0..5_000).step_by(37) {
        assert_eq!(find(&index, &store, n, day(7)).await, Some(known(n)));
        assert_eq!(find(&again, &store, n, day(7)).await, Some(known(n)), "after a restart");
    }
    assert_eq!(find(&index, &store, 9_999, day(7)).await, None);
    flush(&mut index, &store, day(9)).await;
    assert!(index.blocks.is_empty(), "past the window");
    assert_eq!(find(&index, &store, 0, day(9)).await, None);
}

// REQ: KER-03
#[tokio::test]
async fn an_identity_is_free_when_its_own_window_is_over() {
    let store = MemoryStore::new(true);
    let mut index = new_index(SESSION, 500);
    index.insert(identity(1), known(1));
    flush(&mut index, &store, day(1)).await;
    index.insert(identity(2), Known { at: day(7), ..known(2) });
    assert_eq!(find(&index, &store, 1, day(8)).await, Some(known(1)), "the last instant");
    assert_eq!(find(&index, &store, 1, day(9)).await, None);
    let again = Known { at: day(9), ..known(9) };
    index.insert(identity(1), again);
    let checkpoint = flush(&mut index, &store, day(9)).await;
    let mut restarted = new_index(SESSION + 2, 500);
    restarted.load(&store, &checkpoint.blocks, checkpoint.runs).await.unwrap();
    assert_eq!(find(&restarted, &store, 1, day(15)).await, Some(again), "its new window");
    assert!(find(&restarted, &store, 2, day(15)).await.is_none());
}

// REQ: KER-03
#[tokio::test]
async fn a_new_window_that_begins_while_a_block_is_written_is_kept() {
    let store = MemoryStore::new(true);
    let mut index = new_index(SESSION, 2);
    index.insert(identity(1), known(1));
    index.insert(identity(2), known(2));
    let block = index.flush(day(1));
    store.write(Batch { rows: block.writes.clone(), last: vec![] }).await.unwrap();
    let again = Known { at: day(9), ..known(9) };
    index.insert(identity(1), again);
    index.flushed(block);
    assert_eq!(find(&index, &store, 1, day(9)).await, Some(again));
    let checkpoint = flush(&mut index, &store, day(9)).await;
    let mut restarted = new_index(SESSION + 2, 500);
    restarted.load(&store, &checkpoint.blocks, checkpoint.runs).await.unwrap();
    assert_eq!(find(&restarted, &store, 1, day(9)).await, Some(again));
}

// REQ: USE-03
#[tokio::test]
async fn blocks_are_merged_and_what_they_were_is_deleted() {
    let store = MemoryStore::new(true);
    let mut index = new_index(SESSION, 200);
    index.lead();
    let mut checkpoint = pb::PartitionCheckpoint::default();
    for n in 0..20_000 {
        index.insert(identity(n), known(n));
        if n % 200 == 199 {
            checkpoint = flush(&mut index, &store, day(1)).await;
        }
    }
    assert!(index.blocks.len() < 4 * 5, "{} blocks of 100", index.blocks.len());
    let mut again = new_index(SESSION + 2, 200);
    again.load(&store, &checkpoint.blocks, checkpoint.runs).await.unwrap();
    for n in (0..20_000).step_by(113) {
        assert_eq!(find(&index, &store, n, day(7)).await, Some(known(n)));
        assert_eq!(find(&again, &store, n, day(7)).await, Some(known(n)), "after a restart");
    }
    assert_eq!(find(&index, &store, 20_001, day(7)).await, None);
    // What was merged away goes, also when a crash came before it was deleted.
    again.lead();
    for _ in 0..10 {
        flush(&mut again, &store, day(1)).await;
    }
    let named: usize = again.blocks.iter().map(|block| block.pages as usize).sum();
    assert_eq!(store.snapshot(COMMAND_IDENTITIES.pages, 0).len(), named);
}

// REQ: KER-03
#[tokio::test]
async fn what_an_earlier_checkpoint_names_stays_until_no_later_claim_can_have_read_it() {
    let store = MemoryStore::new(true);
    let mut index = new_index(SESSION, 200);
    index.lead();
    let mut before = pb::PartitionCheckpoint::default();
    for n in 0..800 {
        index.insert(identity(n), known(n));
        if n % 200 == 199 {
            before = flush_alone(&mut index, &store, day(1)).await;
        }
    }
    let live = |it: &pb::PartitionCheckpoint| it.blocks.iter().filter(|it| !it.retired).count();
    assert_eq!(live(&before), 4);
    // Its blocks are merged, and other checkpoints are written.
    for n in 0..5 {
        index.insert(identity(1_000 + n), known(1_000 + n));
        let after = flush_alone(&mut index, &store, day(1)).await;
        assert_eq!(live(&after), if n == 0 { 4 } else { 1 });
    }
    // Whoever claims next has read the earlier one.
    let mut other = new_index(SESSION + 2, 200);
    other.load(&store, &before.blocks, Some(pb::Range::default())).await.unwrap();
    for n in (0..800).step_by(31) {
        assert_eq!(find(&other, &store, n, day(7)).await, Some(known(n)));
    }
    // What was appended behind the later checkpoint is accepted, and they go. Nothing is
    // taken for unknown by that.
    index.accepted(index.left());
    index.insert(identity(2_000), known(2_000));
    flush_alone(&mut index, &store, day(1)).await;
    assert!(other.ask(&store, &identity(1), day(7)).await.is_err());
    assert_eq!(find(&index, &store, 1, day(7)).await, Some(known(1)));
}

// REQ: USE-03
#[tokio::test]
async fn a_block_whose_window_is_over_stays_as_long_as_an_earlier_checkpoint_may_be_read() {
    let store = MemoryStore::new(false);
    let mut index = new_index(SESSION, 200);
    index.lead();
    for n in 0..200 {
        index.insert(identity(n), known(n));
    }
    let before = flush(&mut index, &store, day(1)).await;
    assert_eq!((before.blocks.len(), before.blocks[0].retired), (1, false));
    // Its window is over, and the writer dies between the rows and their checkpoint.
    index.insert(identity(900), Known { at: day(9), ..known(900) });
    let rows = index.flush(day(9)).writes;
    store.write(Batch { rows, last: vec![] }).await.unwrap();
    // Whoever comes next judges again what came behind the earlier checkpoint.
    let mut next = new_index(SESSION + 2, 200);
    next.load(&store, &before.blocks, before.runs).await.unwrap();
    next.lead();
    for n in (0..200).step_by(17) {
        assert_eq!(find(&next, &store, n, day(8)).await, Some(known(n)));
    }
    // One flush names it as retired; the next one behind something accepted deletes it.
    let after = flush_alone(&mut next, &store, day(9)).await;
    assert!(after.blocks.iter().all(|block| block.retired), "{:?}", after.blocks);
    flush_alone(&mut next, &store, day(9)).await;
    assert!(!store.snapshot(COMMAND_IDENTITIES.pages, 0).is_empty(), "nothing was accepted");
    next.accepted(next.left());
    let last = flush_alone(&mut next, &store, day(9)).await;
    assert_eq!(store.snapshot(COMMAND_IDENTITIES.pages, 0).len(), 0);
    assert_eq!(store.snapshot(COMMAND_IDENTITIES.filters, 0).len(), 0);
    assert_eq!(find(&next, &store, 3, day(9)).await, None);
    assert!(last.blocks.is_empty() || last.blocks.iter().all(|block| block.retired));
}
