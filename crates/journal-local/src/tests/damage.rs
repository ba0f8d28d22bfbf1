//! A flipped bit below the synced mark is found, named by file and offset, and
//! refused; so is a file that is missing, short or of another journal.

use std::path::Path;

use exchequer_journal::FaultKind;

use super::{append, contents, copy_folder, open, open_with, options, segment, tiny};
use crate::format::{FRAME_EXTRA_BYTES, Header, MARK_BYTES};
use crate::{Damage, FileError, JournalReader, LocalJournal, Options};

/// A closed journal: everything is marked.
async fn closed(options: Options, records: usize) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let journal = open_with(data.path(), options);
    for n in 0..records {
        append(&journal, n as u32 % 2, &format!("record {n}")).await.unwrap();
    }
    journal.close();
    data
}

/// What the offline reader says is damaged.
fn verify(data: &Path) -> Option<Damage> {
    let reader = match JournalReader::open(data) {
        Ok(reader) => reader,
        Err(error) => return Some(error.damage().unwrap().clone()),
    };
    let error = reader.records().find_map(Result::err)?;
    Some(error.damage().unwrap().clone())
}

fn flip(file: &Path, byte: usize, bit: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[byte] ^= 1 << bit;
    std::fs::write(file, bytes).unwrap();
}

// REQ: KER-02, KER-05
#[tokio::test]
async fn any_flipped_bit_below_the_mark_in_the_last_segment_is_refused_at_opening() {
    let good = closed(options(), 4).await;
    let file = segment(good.path(), 0);
    let whole = std::fs::read(&file).unwrap();
    let marked = whole.len() - MARK_BYTES;
    for byte in 0..marked {
        for bit in 0..8 {
            flip(&file, byte, bit);
            let damage = match LocalJournal::open(good.path(), options()) {
                Ok(_) => panic!("opened with bit {bit} of byte {byte} flipped"),
                Err(error) => error.damage().unwrap().clone(),
            };
            assert_eq!(damage.file, file);
            let at = damage.at as usize;
            assert!(at <= byte && byte < at + 200, "{damage} is not byte {byte}");
            assert_eq!(Some(damage), verify(good.path()));
            std::fs::write(&file, &whole).unwrap();
        }
    }
    let last = whole[..marked].windows(8).rposition(|bytes| bytes == b"record 3").unwrap();
    flip(&file, last, 0);
    let error = LocalJournal::open(good.path(), options()).unwrap_err().to_string();
    let at = last - 10;
    assert!(error.contains(&format!("{} is damaged at byte {at}", file.display())), "{error}");
}

// REQ: KER-02
#[tokio::test]
async fn what_is_flipped_above_the_mark_costs_no_record() {
    let good = closed(options(), 4).await;
    let whole = std::fs::read(segment(good.path(), 0)).unwrap();
    for byte in whole.len() - MARK_BYTES..whole.len() {
        let data = copy_folder(good.path());
        flip(&segment(data.path(), 0), byte, byte % 8);
        let all = contents(&open(data.path())).await.unwrap();
        assert_eq!(all, [["record 0", "record 2"], ["record 1", "record 3"]], "{byte}");
    }
}

// REQ: KER-02, KER-05
#[tokio::test]
async fn any_flipped_bit_in_a_sealed_segment_is_found_when_it_is_read() {
    let good = closed(tiny(), 40).await;
    for number in [0, 1] {
        let length = std::fs::metadata(segment(good.path(), number)).unwrap().len();
        for byte in 0..length as usize {
            for with_index in [true, false] {
                let data = copy_folder(good.path());
                let file = segment(data.path(), number);
                if !with_index {
                    std::fs::remove_file(file.with_extension("idx")).unwrap();
                }
                flip(&file, byte, byte % 8);
                let damage = verify(data.path()).unwrap();
                assert_eq!(damage.file, file);
                assert!(damage.at as usize <= byte, "{damage} is not byte {byte}");
                let opened = match LocalJournal::open(data.path(), tiny()) {
                    Ok((journal, _)) => contents(&journal).await,
                    Err(error) => {
                        assert_eq!(error.damage(), Some(&damage));
                        continue;
                    }
                };
                match opened {
                    Err(fault) => {
                        assert_eq!(fault.kind, FaultKind::Damaged, "byte {byte}");
                        assert!(fault.message.contains(file.to_str().unwrap()), "{fault}");
                    }
                    // A read by index does not touch marks.
                    Ok(all) => assert_eq!(all.concat().len(), 40, "byte {byte}"),
                }
            }
        }
    }
}

// REQ: KER-02
#[tokio::test]
async fn damage_in_the_segment_being_written_is_found_when_it_is_read() {
    let data = tempfile::tempdir().unwrap();
    let journal = open_with(data.path(), Options { recent_bytes_max: 0, ..options() });
    append(&journal, 0, "a record").await.unwrap();
    append(&journal, 1, "another").await.unwrap();
    let file = segment(data.path(), 0);
    let bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(8).position(|bytes| bytes == b"a record").unwrap();
    flip(&file, at, 7);
    let fault = contents(&journal).await.unwrap_err();
    assert_eq!((fault.kind.clone(), fault.is_retryable()), (FaultKind::Damaged, false));
    let expected = format!("{} is damaged at byte {}", file.display(), at - 10);
    assert!(fault.message.contains(&expected), "{fault}");
}

// REQ: KER-02
#[tokio::test]
async fn a_damaged_or_foreign_index_is_made_anew() {
    let good = closed(tiny(), 40).await;
    let index = segment(good.path(), 1).with_extension("idx");
    let expected = contents(&open_with(good.path(), tiny())).await.unwrap();
    let whole = std::fs::read(&index).unwrap();
    let foreign = std::fs::read(segment(good.path(), 0).with_extension("idx")).unwrap();
    let mut wrong: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
    wrong.extend((0..whole.len()).map(|byte| {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte % 8);
        flipped
    }));
    wrong.push(foreign);
    for bytes in wrong {
        std::fs::write(&index, bytes).unwrap();
        let journal = open_with(good.path(), tiny());
        assert_eq!(contents(&journal).await.unwrap(), expected);
        assert_eq!(std::fs::read(&index).unwrap(), whole);
    }
}

// REQ: KER-02
#[tokio::test]
async fn an_index_of_another_segment_of_the_same_shape_is_made_anew() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (data, texts) in folders.iter().zip([["short", "a longer one"], ["a longer one", "short"]])
    {
        let journal = open_with(data.path(), tiny());
        for text in texts {
            append(&journal, 0, text).await.unwrap();
        }
        append(&journal, 0, &"a new segment ".repeat(30)).await.unwrap();
        journal.close();
    }
    let [index, other] = folders.each_ref().map(|data| {
        let index = segment(data.path(), 0).with_extension("idx");
        (std::fs::read(&index).unwrap(), index)
    });
    assert_eq!(index.0.len(), other.0.len());
    std::fs::write(&index.1, other.0).unwrap();
    let all = contents(&open_with(folders[0].path(), tiny())).await.unwrap();
    assert_eq!(all[0][..2], ["short", "a longer one"]);
    assert_eq!(std::fs::read(index.1).unwrap(), index.0);
}

// REQ: KER-02
#[tokio::test]
async fn a_segment_that_is_missing_short_or_foreign_is_refused() {
    let good = closed(tiny(), 40).await;
    let other = closed(tiny(), 40).await;
    let refused = |harm: &dyn Fn(&Path)| {
        let data = copy_folder(good.path());
        harm(data.path());
        let error = LocalJournal::open(data.path(), tiny()).unwrap_err();
        let damage = error.damage().unwrap().clone();
        assert_eq!(verify(data.path()).as_ref(), Some(&damage));
        damage.file.strip_prefix(data.path()).unwrap().to_str().unwrap().to_owned()
    };
    let name = |number: u64| format!("journal/{number:020}.seg");
    let remove = |number| move |data: &Path| std::fs::remove_file(segment(data, number)).unwrap();
    assert_eq!(refused(&remove(0)), name(0));
    assert_eq!(refused(&remove(1)), name(1));
    let shorten = |data: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(segment(data, 1)).unwrap();
        file.set_len(300).unwrap();
    };
    assert_eq!(refused(&shorten), name(1));
    let replace = |data: &Path| {
        std::fs::copy(segment(other.path(), 1), segment(data, 1)).unwrap();
    };
    assert_eq!(refused(&replace), name(1));
    let swap = |data: &Path| {
        std::fs::copy(segment(data, 1), segment(data, 2)).unwrap();
    };
    assert_eq!(refused(&swap), name(1));
    let meta = |data: &Path| std::fs::remove_file(data.join("journal/meta")).unwrap();
    assert_eq!(refused(&meta), "journal/meta");
}

// REQ: KER-02
#[tokio::test]
async fn any_flipped_bit_in_the_meta_file_is_refused() {
    let good = closed(options(), 1).await;
    let meta = good.path().join("journal/meta");
    let whole = std::fs::read(&meta).unwrap();
    for bit in 0..whole.len() * 8 {
        flip(&meta, bit / 8, bit % 8);
        assert!(LocalJournal::open(good.path(), options()).is_err(), "bit {bit}");
        std::fs::write(&meta, &whole).unwrap();
    }
    assert_eq!(contents(&open(good.path())).await.unwrap()[0], ["record 0"]);
}

// REQ: KER-02
#[tokio::test]
async fn the_synced_length_is_marked_after_a_short_idle_time() {
    let data = tempfile::tempdir().unwrap();
    let journal = open_with(data.path(), Options { mark_idle_ms: 1, ..options() });
    append(&journal, 0, "acknowledged").await.unwrap();
    let file = segment(data.path(), 0);
    let unmarked = (Header::bytes(2) + FRAME_EXTRA_BYTES + 12) as u64;
    // The mark comes by itself; a test that would hang fails instead.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::fs::metadata(&file).unwrap().len() != unmarked + MARK_BYTES as u64 {
        assert!(std::time::Instant::now() < patience, "no mark is written");
        std::thread::yield_now();
    }
    let crashed = copy_folder(data.path());
    let bytes = std::fs::read(segment(crashed.path(), 0)).unwrap();
    let at = bytes.windows(12).position(|bytes| bytes == b"acknowledged").unwrap();
    flip(&segment(crashed.path(), 0), at, 3);
    let error = LocalJournal::open(crashed.path(), options()).unwrap_err();
    assert!(matches!(error.damage(), Some(damage) if damage.at == at as u64 - 10));
    assert!(matches!(error, crate::OpenError::File(FileError::Damaged(_))));
}
