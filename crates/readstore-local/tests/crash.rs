//! What stands after `kill -9`, a cut log and a full disk: always the rows and the
//! checkpoint of one and the same earlier state. The writer is this test binary
//! itself, started again as a child.

#![cfg(test)]

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use exchequer_readstore::conformance::example::{TABLE, key, put};
use exchequer_readstore::{Batch, ReadStore as _, Scan, Value};
use exchequer_readstore_local::{LocalReadStore, OpenError, Settings};

const FOLDER: &str = "READSTORE_TEST_FOLDER";
/// Every batch writes this many of as many more rows, round robin.
const BATCH_ROWS: u64 = 200;
const ROWS: u64 = 5_000;

/// What batch `n` writes: its rows, and `n` as the checkpoint.
fn batch(n: u64) -> Batch {
    let title = format!("{n:0>200}");
    let rows = (n * BATCH_ROWS..(n + 1) * BATCH_ROWS).map(|row| (row % ROWS).cast_signed());
    let rows = rows.map(|row| put("rows", row, &title, n)).collect();
    Batch { rows, last: vec![put("checkpoint", 0, "", n)] }
}

async fn checkpoint(store: &LocalReadStore) -> Option<u64> {
    store.get(TABLE, 0, key("checkpoint", 0)).await.unwrap().map(|row| row.timestamp)
}

/// The checkpoint, after a check that every row is as a fold up to it leaves it.
async fn consistent(store: &LocalReadStore) -> Option<u64> {
    let last = checkpoint(store).await;
    let all = Scan::of(TABLE, 0, vec![Value::text("rows")], usize::MAX);
    let rows = store.scan(all).await.unwrap();
    let batches = last.map_or(0, |last| last + 1);
    assert_eq!(rows.len() as u64, ROWS.min(batches * BATCH_ROWS));
    for row in rows {
        let place = row.key.clustering[0].as_uint() / BATCH_ROWS;
        let rounds = ROWS / BATCH_ROWS;
        let last = last.unwrap();
        let expected = last - (last + rounds - place) % rounds;
        assert_eq!(row.timestamp, expected, "row {:?} at checkpoint {last}", row.key);
        assert_eq!(row.values[0].as_text(), format!("{expected:0>200}"));
    }
    last
}

fn open(folder: &Path) -> LocalReadStore {
    LocalReadStore::open(folder, &Settings::default()).unwrap()
}

/// Not a test by itself: the child. Writes batches and says which are written; of
/// a refused one it says so, and repeats it when told to.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder));
    let mut out = std::io::stdout();
    for n in checkpoint(&store).await.map_or(0, |last| last + 1).. {
        while let Err(fault) = store.write(batch(n)).await {
            writeln!(out, "refused {} {fault}", fault.retryable).unwrap();
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        writeln!(out, "written {n}").unwrap();
    }
}

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    /// The child, which gets an error instead of a signal at a limit of file size.
    fn start(folder: &Path) -> Self {
        let binary = std::env::current_exe().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" --exact child --nocapture"])
            .arg(binary)
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that begins with `word`, without it.
    fn next(&mut self, word: &str) -> String {
        loop {
            let line = self.lines.next().expect("the child goes on").unwrap();
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
            assert!(!line.contains("refused"), "{line}");
        }
    }

    fn written(&mut self) -> u64 {
        self.next("written").parse().unwrap()
    }

    fn file_bytes_max(&self, limit: &str) {
        let pid = self.child.id().to_string();
        let limit = format!("--fsize={limit}");
        let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(status.unwrap().success());
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

// REQ: KER-06
#[tokio::test]
async fn after_kill_9_rows_and_checkpoint_agree_and_nothing_written_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut target = 3;
    for round in 0..5 {
        let mut running = Running::start(folder.path());
        let written = loop {
            let written = running.written();
            if written >= target {
                break written;
            }
        };
        running.kill();
        let found = consistent(&open(folder.path())).await.unwrap();
        assert!(found >= written, "round {round}: {written} was written, {found} is there");
        target = found + 150 * (round + 1);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn newest_log(folder: &Path) -> PathBuf {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let logs = paths.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    logs.max_by_key(number).unwrap()
}

/// A folder that a child has left behind at `batches`, some of them in files.
fn left_behind(batches: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(folder.path());
    while running.written() < batches {}
    running.kill();
    folder
}

// REQ: KER-06
#[tokio::test]
async fn after_a_power_loss_an_earlier_state_stands() {
    let left = left_behind(600);
    let log = newest_log(left.path());
    let bytes = std::fs::read(&log).unwrap();
    let word = b"checkpoint";
    let checkpoints: Vec<_> =
        (0..bytes.len()).filter(|at| bytes[*at..].starts_with(word)).collect();
    let whole = {
        let copied = tempfile::tempdir().unwrap();
        copy(left.path(), copied.path());
        consistent(&open(copied.path())).await.unwrap()
    };
    let mut earlier = Vec::new();
    let each = checkpoints.len() / 12;
    for (n, checkpoint) in checkpoints.into_iter().step_by(each).enumerate() {
        // In front of a batch's checkpoint, and between its checkpoint and a row.
        let cut = checkpoint + 400 * (n % 2);
        let copied = tempfile::tempdir().unwrap();
        copy(left.path(), copied.path());
        let log = newest_log(copied.path());
        let mut bytes = bytes.clone();
        // As where nothing was ever written.
        bytes[cut..].fill(0);
        std::fs::write(log, bytes).unwrap();
        let store = open(copied.path());
        let found = consistent(&store).await;
        assert!(found <= Some(whole));
        earlier.push(found);
        let next = found.map_or(0, |found| found + 1);
        store.write(batch(next)).await.unwrap();
        assert_eq!(consistent(&store).await, Some(next), "it goes on from there");
    }
    assert!(earlier.is_sorted());
    assert!(earlier.first() < earlier.last());
}

// REQ: KER-15
#[tokio::test]
async fn a_flipped_bit_in_the_log_is_found_or_cut_off() {
    let left = left_behind(40);
    let log = newest_log(left.path());
    let bytes = std::fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut refused = 0;
    for part in 1..20 {
        let mut bytes = bytes.clone();
        bytes[end * part / 20] ^= 0x10;
        std::fs::write(&log, bytes).unwrap();
        let copied = tempfile::tempdir().unwrap();
        copy(left.path(), copied.path());
        match LocalReadStore::open(copied.path(), &Settings::default()) {
            Ok(store) => drop(consistent(&store).await),
            Err(error) => {
                assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

// REQ: KER-13
#[tokio::test]
async fn when_the_disk_is_full_writes_are_refused_until_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(folder.path());
    running.written();
    running.file_bytes_max("4000000:unlimited");
    let refused = running.next("refused");
    assert!(refused.starts_with("true"), "{refused}");
    for _ in 0..2 {
        running.child.stdin.as_mut().unwrap().write_all(b"again\n").unwrap();
        let refused = running.next("refused");
        assert!(refused.starts_with("true"), "{refused}");
    }
    running.file_bytes_max("unlimited:unlimited");
    running.child.stdin.as_mut().unwrap().write_all(b"again\n").unwrap();
    let first = running.written();
    while running.written() < first + 300 {}
    running.kill();
    assert!(consistent(&open(folder.path())).await.unwrap() >= first + 300);
}
