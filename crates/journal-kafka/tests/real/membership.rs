//! Sharing partitions among processes: by agreement, after a clean stop, and after a death.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use exchequer_journal::{Group, Membership as _, Owned};
use exchequer_journal_kafka::{KafkaMembership, NotOwner, Settings};
use exchequer_types::PartitionId;
use tokio::sync::watch;

use crate::support::{broker, create, layout, settings};

const PARTITIONS: u32 = 16;
const SOON: Duration = Duration::from_secs(30);
/// The goals are 2 s after a clean stop and 10 s after a death, on a machine that has
/// nothing else to do; the tests print what it was.
const LEFT_WAIT_MAX: Duration = Duration::from_secs(6);
const DEAD_WAIT_MAX: Duration = Duration::from_secs(20);

fn deployment(settings: &Settings) {
    create(settings, layout(PARTITIONS, 1), &["commands"]);
}

fn join(settings: &Settings) -> Arc<KafkaMembership> {
    Arc::new(KafkaMembership::join(settings, &[Group::Deciders]).unwrap())
}

/// Waits until as many partitions are owned.
async fn reaches(owned: &mut watch::Receiver<Owned>, count: usize, longest: Duration) {
    let waiting = owned.wait_for(|owned| owned.len() == count);
    let reached = tokio::time::timeout(longest, waiting).await.is_ok_and(|it| it.is_ok());
    assert!(reached, "{} of {count} partitions", owned.borrow().len());
}

/// Says of everything that is taken away that the work on it has ended.
async fn works(member: &KafkaMembership) {
    let mut owned = member.owned(Group::Deciders);
    while owned.changed().await.is_ok() {
        release(member);
    }
}

fn release(member: &KafkaMembership) {
    let owned = member.owned(Group::Deciders).borrow().clone();
    for partition in (0..PARTITIONS).map(PartitionId).filter(|it| !owned.contains(it)) {
        member.released(Group::Deciders, partition);
    }
}

// REQ: KER-13
#[tokio::test]
async fn two_members_share_and_a_clean_stop_hands_over() {
    let kafka = broker();
    let settings = settings(&kafka, "shared");
    deployment(&settings);
    let first = join(&settings);
    let mut firsts = first.owned(Group::Deciders);
    reaches(&mut firsts, 16, SOON).await;
    assert!(first.owned(Group::Meters).borrow().is_empty(), "not joined");
    first.confirm(Group::Deciders, PartitionId(3), 0).await.unwrap();

    let second = join(&settings);
    let mut seconds = second.owned(Group::Deciders);
    reaches(&mut firsts, 8, SOON).await;
    assert!(seconds.borrow().is_empty(), "nothing is given before it is released");
    release(&first);
    reaches(&mut seconds, 8, SOON).await;
    let both: BTreeSet<_> = firsts.borrow().union(&seconds.borrow()).copied().collect();
    assert_eq!(both.len(), 16, "each partition has one owner");
    let other = seconds.borrow().first().copied().unwrap();
    let refused = first.confirm(Group::Deciders, other, 0).await;
    assert!(matches!(refused, Err(NotOwner::Lost)), "{refused:?}");

    let begun = Instant::now();
    let leaver = Arc::clone(&first);
    let leaving = tokio::task::spawn_blocking(move || leaver.leave());
    tokio::select! {
        () = works(&first) => unreachable!("it has its sender"),
        () = reaches(&mut seconds, 16, LEFT_WAIT_MAX) => {}
    }
    println!("handed over {} ms after a clean stop began", begun.elapsed().as_millis());
    leaving.await.unwrap();
    let refused = first.confirm(Group::Deciders, PartitionId(3), 0).await;
    assert!(matches!(refused, Err(NotOwner::Lost)), "{refused:?}");
}

// REQ: KER-13
#[tokio::test]
async fn work_that_does_not_end_is_waited_for_within_a_bound() {
    let kafka = broker();
    let settings = settings(&kafka, "stuck");
    deployment(&settings);
    let first = join(&settings);
    reaches(&mut first.owned(Group::Deciders), 16, SOON).await;
    let second = join(&settings);
    // The first never says that anything is released.
    reaches(&mut second.owned(Group::Deciders), 8, SOON).await;
    assert_eq!(first.owned(Group::Deciders).borrow().len(), 8);
}

/// `examples/member.rs`, which says how many partitions it has.
struct OtherProcess {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl OtherProcess {
    fn start(settings: &Settings) -> Self {
        let here = std::env::current_exe().unwrap();
        let folder = here.ancestors().nth(2).map(|it| it.join("examples/member")).unwrap();
        let program: PathBuf = folder;
        let mut child = Command::new(program)
            .args([&settings.bootstrap, &settings.prefix])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Blocks until it says that it has `count`.
    fn reaches(&mut self, count: usize) {
        let mut line = String::new();
        while line.trim() != count.to_string() {
            line.clear();
            let read = self.lines.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended");
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// REQ: KER-13
#[tokio::test]
async fn a_killed_member_is_taken_over_from() {
    let kafka = broker();
    let settings = settings(&kafka, "killed");
    deployment(&settings);
    let mut other = OtherProcess::start(&settings);
    other.reaches(16);
    let member = join(&settings);
    let mut owned = member.owned(Group::Deciders);
    reaches(&mut owned, 8, SOON).await;
    other.kill();
    let begun = Instant::now();
    reaches(&mut owned, 16, DEAD_WAIT_MAX).await;
    println!("taken over {} ms after a kill", begun.elapsed().as_millis());
}
