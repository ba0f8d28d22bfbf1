//! A crash at any byte, and a flipped bit anywhere.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::format::HEADER_BYTES;
use crate::{IfMissing, backup};

/// Frames of one row each, an erasure among them; lengths of the file after each.
fn written(dir: &Path) -> Vec<u64> {
    let (keys, _) = open(dir);
    let length = || std::fs::metadata(rows(dir)).unwrap().len();
    let mut lengths = vec![length()];
    for key in 1..=4 {
        block_on(keys.insert(subject_row(key))).unwrap();
        lengths.push(length());
    }
    keys.close();
    lengths
}

// REQ: EDG-06
#[test]
fn a_file_cut_at_any_byte_keeps_what_was_answered_for() {
    let dir = tempfile::tempdir().unwrap();
    let lengths = written(dir.path());
    let whole = std::fs::read(rows(dir.path())).unwrap();
    assert_eq!(whole.len() as u64, lengths[4]);
    for cut in HEADER_BYTES..=whole.len() {
        std::fs::write(rows(dir.path()), &whole[..cut]).unwrap();
        let (keys, opened) = open(dir.path());
        let kept = lengths.iter().filter(|it| **it <= cut as u64).count() - 1;
        for key in 1..=4 {
            assert_eq!(is_live(&keys, key), usize::from(key) <= kept, "cut at {cut}, key {key}");
        }
        assert_eq!(opened.torn_bytes, cut - lengths[kept] as usize);
        // What is written next is found again.
        block_on(keys.insert(subject_row(9))).unwrap();
        drop(keys);
        let (keys, opened) = open(dir.path());
        assert!(is_live(&keys, 9) && opened.torn_bytes == 0);
    }
    for cut in 0..HEADER_BYTES {
        std::fs::write(rows(dir.path()), &whole[..cut]).unwrap();
        let opened = LocalKeys::open(dir.path(), Options::default());
        assert!(matches!(opened, Err(OpenError::Damaged { at: 0, .. })), "cut at {cut}");
    }
}

// REQ: EDG-06
#[test]
fn a_flipped_bit_is_named_and_refused() {
    let dir = tempfile::tempdir().unwrap();
    let lengths = written(dir.path());
    let whole = std::fs::read(rows(dir.path())).unwrap();
    // The last frame cannot be told from a torn one: it is cut, and reported.
    let last = lengths[3] as usize;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(rows(dir.path()), &bytes).unwrap();
        let opened = LocalKeys::open(dir.path(), Options::default());
        if at < last {
            let error = opened.unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. }), "byte {at}: {error}");
            assert_eq!(std::fs::read(rows(dir.path())).unwrap(), bytes, "nothing is mended");
        } else {
            let (keys, opened) = opened.unwrap();
            assert_eq!(opened.torn_bytes, whole.len() - last);
            assert!(is_live(&keys, 3) && !is_live(&keys, 4));
            let aside = opened.torn_file.unwrap();
            assert_eq!(std::fs::read(&aside).unwrap(), &bytes[last..], "kept aside");
            let mode = std::fs::metadata(&aside).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "there may be keys in it");
        }
    }
}

// REQ: EDG-06
#[test]
fn what_was_written_anew_is_never_taken_for_torn() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let (keys, _) = open(dir.path());
    block_on(keys.insert(tenant_row("acme", "1"))).unwrap();
    block_on(keys.erase(&[KeyId([2; 16])])).unwrap();
    // Closing writes the file anew, as one frame.
    drop(keys);
    let whole = std::fs::read(rows(dir.path())).unwrap();
    let copy = dir.path().join("copy");
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(rows(dir.path()), bytes).unwrap();
        let error = LocalKeys::open(dir.path(), Options::default()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
        assert!(error.to_string().contains("persons.keys is damaged at byte"), "{error}");
        let error = backup(dir.path(), &copy).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
        assert!(!copy.exists());
        assert_eq!(std::fs::read(rows(dir.path())).unwrap(), bytes, "nothing is mended");
    };
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        refused(&bytes, &format!("byte {at} is another"));
        refused(&whole[..at], &format!("cut at {at}"));
    }
    // What is appended behind it may be torn.
    std::fs::write(rows(dir.path()), [&whole[..], b"torn"].concat()).unwrap();
    let (keys, opened) = open(dir.path());
    assert_eq!(opened.torn_bytes, 4);
    assert!(is_live(&keys, 1) && !is_live(&keys, 2) && is_live(&keys, 4));
}

// REQ: EDG-06
#[test]
fn lost_keys_are_not_replaced_by_none() {
    let dir = tempfile::tempdir().unwrap();
    let master = dir.path().join(crate::MASTER_FILE);
    written(dir.path());
    crate::LocalKms::from_file(&master, false).unwrap();
    assert!(is_live(&open(dir.path()).0, 1), "both are there");
    std::fs::remove_file(rows(dir.path())).unwrap();
    let error = LocalKeys::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::RowsMissing { .. }), "{error}");
    assert!(error.to_string().contains("exchequer admin keys restore --from"), "{error}");
    assert!(!rows(dir.path()).exists(), "no empty file is made");
    // A journal tells it too, wherever the master keys are.
    std::fs::remove_file(&master).unwrap();
    let open_if =
        |if_missing| LocalKeys::open(dir.path(), Options { if_missing, ..Options::default() });
    let error = open_if(IfMissing::Refuse).unwrap_err();
    assert!(matches!(error, OpenError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("keys.accept_loss = true"), "{error}");
    assert!(!rows(dir.path()).exists(), "no empty file is made");
    // They are lost for ever: the operator says so.
    std::fs::write(&master, "").unwrap();
    assert!(open_if(IfMissing::Accept).unwrap().1.created);
    assert!(!open_if(IfMissing::Refuse).unwrap().1.created);
}

// REQ: EDG-06
#[test]
fn a_bare_name_is_in_the_working_folder() {
    crate::file::sync_folder(Path::new("bare.keys")).unwrap();
    assert_eq!(crate::file::folder_of(Path::new("bare.keys")), Path::new("."));
    assert_eq!(crate::file::folder_of(Path::new("a/b.keys")), Path::new("a"));
}

// REQ: IAM-18
#[test]
fn an_erasure_cut_short_of_its_rewriting_is_finished_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    // As a crash right after the erasure's sync leaves it: row and erasure are there.
    let mut bytes = std::fs::read(rows(dir.path())).unwrap();
    let mut frame = crate::format::Frame::default();
    frame.push(&crate::format::Item::Erased(KeyId([2; 16])));
    bytes.extend_from_slice(&frame.finish());
    std::fs::write(rows(dir.path()), &bytes).unwrap();
    std::fs::write(dir.path().join("persons.keys.tmp"), b"half a file").unwrap();
    let (keys, _) = open(dir.path());
    assert_eq!(keys.find(KeyId([2; 16])), Found::Erased);
    let now = std::fs::read(rows(dir.path())).unwrap();
    assert!(!now.windows(105).any(|it| it == [2 ^ 0xff; 105]), "before anything is served");
    assert!(!dir.path().join("persons.keys.tmp").exists());
}

// REQ: EDG-06
#[test]
fn another_versions_file_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let mut bytes = std::fs::read(rows(dir.path())).unwrap();
    bytes[8] = 1;
    let crc = crc32c::crc32c(&bytes[..36]).to_le_bytes();
    bytes[36..40].copy_from_slice(&crc);
    std::fs::write(rows(dir.path()), &bytes).unwrap();
    let error = LocalKeys::open(dir.path(), Options::default()).unwrap_err().to_string();
    assert!(error.contains("another version"), "{error}");
}
