//! Many segments: rolled over, found again, few held open.

use exchequer_journal::Journal as _;
use exchequer_types::PartitionId;
use futures::future::join_all;

use super::{append, contents, offline, open_with, segment, tiny};
use crate::{JournalReader, Options};

// REQ: KER-07
#[tokio::test]
async fn records_of_many_segments_are_found_again() {
    let data = tempfile::tempdir().unwrap();
    let journal = open_with(data.path(), Options { index_cache_segments_max: 3, ..tiny() });
    let mut expected = [Vec::new(), Vec::new()];
    for n in 0..300 {
        // Partition 1 has long stretches without a record.
        let partition = usize::from(n % 50 == 7);
        let text = format!("record {n}");
        append(&journal, partition as u32, &text).await.unwrap();
        expected[partition].push(text);
    }
    assert!(segment(data.path(), 30).exists(), "many segments");
    assert_eq!(contents(&journal).await.unwrap(), expected);
    assert!(journal.shared.sealed.held() <= 3);
    drop(journal);
    assert_eq!(offline(data.path()), expected);
    let journal = open_with(data.path(), Options { segment_bytes_max: 1 << 20, ..tiny() });
    assert_eq!(contents(&journal).await.unwrap(), expected);
    for n in [0, 150, 293, 17] {
        let one = journal.read(PartitionId(0), n, 1).await.unwrap();
        assert_eq!(one[0].bytes, expected[0][n as usize]);
    }
    assert_eq!(append(&journal, 1, "more").await.unwrap(), 6);
}

// REQ: KER-07, KER-13
#[tokio::test]
async fn readers_follow_many_writers_over_many_segments() {
    let data = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes_max: 4000, recent_bytes_max: 500, ..tiny() };
    let journal = open_with(data.path(), options);
    let writers = join_all((0..8_u32).map(|writer| {
        let journal = &journal;
        async move {
            for n in 0..200 {
                append(journal, writer % 2, &format!("{writer} {n}")).await.unwrap();
            }
        }
    }));
    let readers = join_all((0..2).map(|partition| {
        let journal = &journal;
        async move {
            let mut found = Vec::new();
            while found.len() < 800 {
                let next = found.len() as u64;
                journal.wait(PartitionId(partition), next).await;
                for record in journal.read(PartitionId(partition), next, 100).await.unwrap() {
                    assert_eq!(record.offset, found.len() as u64);
                    found.push(String::from_utf8(record.bytes.to_vec()).unwrap());
                }
            }
            found
        }
    }));
    let (_, followed) = futures::join!(writers, readers);
    assert_eq!(contents(&journal).await.unwrap().as_slice(), followed);
    for (partition, found) in followed.iter().enumerate() {
        for writer in (0..8).filter(|writer| writer % 2 == partition) {
            let own: Vec<&String> =
                found.iter().filter(|text| text.starts_with(&format!("{writer} "))).collect();
            let expected: Vec<String> = (0..200).map(|n| format!("{writer} {n}")).collect();
            assert!(own.into_iter().eq(&expected), "each writer's own order");
        }
    }
    drop(journal);
    assert_eq!(offline(data.path()).as_slice(), followed);
}

// REQ: KER-07
#[tokio::test]
async fn single_records_are_read_again_where_they_stand() {
    let data = tempfile::tempdir().unwrap();
    let journal = open_with(data.path(), tiny());
    for n in 0..100 {
        append(&journal, n % 2, &format!("record {n}")).await.unwrap();
    }
    let reader = JournalReader::open(data.path()).unwrap();
    let all: Vec<_> = reader.records().map(Result::unwrap).collect();
    let mut cursor = reader.cursor();
    for it in all.iter().step_by(3).chain(all.iter().rev().step_by(7)) {
        assert_eq!(cursor.record(it.segment, it.position).unwrap(), it.bytes);
    }
    assert!(cursor.record(0, all[0].position + 1).is_err());
    assert!(cursor.record(99, all[0].position).is_err());
}
