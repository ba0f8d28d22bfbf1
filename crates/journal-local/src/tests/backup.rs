//! Backups taken while a process writes, and restored.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{append, contents, copy_folder, open, open_with, options, segment, tiny};
use crate::{BackupError, JournalReader, LocalJournal, LogName, backup, restore};

fn keys(data: &Path) {
    std::fs::create_dir(data.join("keys")).unwrap();
    std::fs::write(data.join("keys/deployment"), "secret").unwrap();
    let only_me = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(data.join("keys/deployment"), only_me).unwrap();
}

// REQ: KER-15
#[tokio::test]
async fn backups_taken_while_writing_hold_what_was_acknowledged_before() {
    let data = tempfile::tempdir().unwrap();
    let backups = tempfile::tempdir().unwrap();
    let journal = open_with(data.path(), tiny());
    keys(data.path());
    let writing = std::thread::spawn({
        let journal = std::sync::Arc::clone(&journal);
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let written = (0..).map_while(|n| {
                runtime.block_on(append(&journal, n % 2, &format!("record {n}"))).ok()
            });
            written.count()
        }
    });
    for round in 0..5 {
        let out = backups.path().join(format!("b{round}"));
        let before = contents(&journal).await.unwrap();
        let report = backup(data.path(), &out).unwrap();
        let to = backups.path().join(format!("r{round}"));
        let restored = restore(&out, &to).unwrap();
        assert_eq!((restored.files, restored.bytes), (report.files, report.bytes));
        assert_eq!(restored.records, report.records);
        let all = contents(&open_with(&to, tiny())).await.unwrap();
        assert_eq!(all.concat().len() as u64, report.records);
        for (all, before) in all.iter().zip(&before) {
            assert!(all.starts_with(before), "what was acknowledged is there");
        }
        assert_eq!(std::fs::read(to.join("keys/deployment")).unwrap(), b"secret");
        let mode = std::fs::metadata(to.join("keys/deployment")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    journal.close();
    assert!(writing.join().unwrap() > 0);
}

// REQ: KER-15
#[tokio::test]
async fn a_backup_leaves_a_torn_tail_out_and_is_refused_for_a_damaged_journal() {
    let data = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let journal = open(data.path());
    append(&journal, 0, "first").await.unwrap();
    append(&journal, 0, "second").await.unwrap();
    let crashed = copy_folder(data.path());
    let file = segment(crashed.path(), 0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(bytes.len() - 1);
    std::fs::write(&file, &bytes).unwrap();
    let report = backup(crashed.path(), &out.path().join("torn")).unwrap();
    assert_eq!(report.left_out.map(|torn| torn.bytes), Some(10 + 6 - 1));
    assert_eq!(report.records, 1);
    let reader = JournalReader::open(&out.path().join("torn")).unwrap();
    assert_eq!(reader.bytes() + 15, bytes.len() as u64);
    restore(&out.path().join("torn"), &out.path().join("restored")).unwrap();
    let restored = contents(&open(&out.path().join("restored"))).await.unwrap();
    assert_eq!(restored[0], ["first"]);

    let at = bytes.windows(5).position(|bytes| bytes == b"first").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let error = backup(crashed.path(), &out.path().join("damaged")).unwrap_err().to_string();
    assert!(
        error.contains(&format!("{} is damaged at byte {}", file.display(), at - 10)),
        "{error}"
    );
    let error = restore(&out.path().join("damaged"), &out.path().join("x")).unwrap_err();
    assert!(matches!(error, BackupError::Unfinished { .. }), "{error}");
}

// REQ: KER-15
#[tokio::test]
async fn any_flipped_bit_in_a_backup_is_found_before_anything_is_restored() {
    let data = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let journal = open_with(data.path(), options());
    keys(data.path());
    append(&journal, 0, "first").await.unwrap();
    let copy = out.path().join("copy");
    backup(data.path(), &copy).unwrap();
    let to = out.path().join("to");
    for name in ["MANIFEST", "journal/meta", "journal/00000000000000000000.seg", "keys/deployment"]
    {
        let whole = std::fs::read(copy.join(name)).unwrap();
        for byte in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << (byte % 8);
            std::fs::write(copy.join(name), flipped).unwrap();
            if byte + 1 < whole.len() || name != "MANIFEST" {
                assert!(restore(&copy, &to).is_err(), "{name} {byte}");
                assert!(!to.exists(), "{name} {byte}");
            }
        }
        std::fs::write(copy.join(name), whole).unwrap();
    }
    restore(&copy, &to).unwrap();
    assert!(matches!(restore(&copy, &to), Err(BackupError::NotEmpty { .. })));
    assert!(matches!(backup(data.path(), &copy), Err(BackupError::NotEmpty { .. })));
}

/// Records of partition 0 of a log, read offline.
fn records_of(data: &Path, name: LogName) -> u64 {
    let records = JournalReader::open_named(data, name).unwrap().records();
    records.map(Result::unwrap).filter(|it| it.partition.0 == 0).count() as u64
}

// REQ: KER-15, USE-12
#[tokio::test]
async fn a_backup_never_has_a_seal_without_its_events() {
    let data = tempfile::tempdir().unwrap();
    let backups = tempfile::tempdir().unwrap();
    let journal = open_with(data.path(), tiny());
    let (usage, _) = journal.open_beside(LogName::Usage, tiny()).unwrap();
    let (seals, _) = journal.open_beside(LogName::Seals, tiny()).unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writing = std::thread::spawn({
        let stop = std::sync::Arc::clone(&stop);
        let logs = [journal, usage, seals];
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            // What a later log says follows from what stands in the one before.
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                for log in &logs {
                    runtime.block_on(append(log, 0, "record")).unwrap();
                }
            }
        }
    });
    for round in 0..10 {
        let out = backups.path().join(format!("b{round}"));
        backup(data.path(), &out).unwrap();
        let to = backups.path().join(format!("r{round}"));
        restore(&out, &to).unwrap();
        let [seals, usage, journal] = LogName::ALL.map(|name| records_of(&to, name));
        assert!(seals <= usage && usage <= journal, "{seals} {usage} {journal}");
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    writing.join().unwrap();
}

// REQ: KER-15
#[tokio::test]
async fn a_backup_without_usage_is_restored_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    drop(open(data.path()));
    backup(data.path(), &out.path().join("copy")).unwrap();
    let to = out.path().join("to");
    restore(&out.path().join("copy"), &to).unwrap();
    let journal = open(&to);
    let (usage, opened) = journal.open_beside(LogName::Usage, options()).unwrap();
    assert!(opened.created);
    append(&usage, 0, "first").await.unwrap();
    // Cut short before the journal's own meta: no part of it is taken for the whole.
    append(&journal, 0, "a").await.unwrap();
    let part = copy_folder(&to);
    std::fs::remove_file(part.path().join("journal/meta")).unwrap();
    assert!(LocalJournal::open(part.path(), options()).is_err());
}
