//! Fold and query on the store in memory.

use std::sync::Arc;

use bytes::Bytes;
use exchequer_codec::{Entry, encode_event, event_types, outcome_status};
use exchequer_kernel::{Projection as _, Status};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::views::{GENERATION, Suite};
use exchequer_readstore::{MemoryStore, RowSet};
use exchequer_tenant::Event;
use exchequer_types::{Hash, PartitionId, Timestamp};
use prost::Message as _;

use crate::{
    DeadLetter, DeadLettersView, LetterId, PAGE_BYTES_MAX, ParkedStream, Replay, TABLES, get, list,
    list_parked,
};

const VIEW: Suite<DeadLettersView> = Suite { projection: DeadLettersView, tables: TABLES };
const PARTITIONS: u32 = 16;

fn at(seconds: u64) -> Timestamp {
    Timestamp::saturating_from_micros(i64::try_from(seconds).unwrap() * 1_000_000)
}

fn sealed(stream: &str) -> Bytes {
    replaying(stream, "")
}

/// The command of the dead letter `letter`, submitted again.
fn replaying(stream: &str, letter: &str) -> Bytes {
    let envelope = pb::Envelope {
        stream: stream.to_owned(),
        r#type: "tenants.rename.v1".to_owned(),
        id: "c-1".to_owned(),
        replay_of: letter.to_owned(),
        ..pb::Envelope::default()
    };
    let envelope = envelope.encode_to_vec().into();
    pb::SealedCommand { envelope, ..pb::SealedCommand::default() }.encode_to_vec().into()
}

/// A commit of `partition` with these inputs and their statuses.
fn entry(partition: u32, seq: u64, inputs: &[(Bytes, Status)], events: &[(&str, Event)]) -> Entry {
    let outcome = |status: &Status| pb::Outcome {
        status: outcome_status(*status).into(),
        code: "RECORD_MAC_INVALID".to_owned(),
        message: "not ours".to_owned(),
        ..pb::Outcome::default()
    };
    let events = events.iter().map(|(stream, event)| {
        let (kind, payload) = encode_event(event);
        pb::Event {
            stream: (*stream).to_owned(),
            r#type: kind.to_owned(),
            payload,
            at: at(seq).micros(),
            ..pb::Event::default()
        }
    });
    let input = |(index, (command, _)): (usize, &(Bytes, Status))| pb::Input {
        log: 0,
        offset: seq * 100 + index as u64,
        command: command.clone(),
        ..pb::Input::default()
    };
    let commit = pb::Commit {
        seq,
        now: at(seq).micros(),
        progress: vec![pb::Progress { log: vec![0xab; 16].into(), ..pb::Progress::default() }],
        inputs: inputs.iter().enumerate().map(input).collect(),
        outcomes: inputs.iter().map(|(_, status)| outcome(status)).collect(),
        events: events.collect(),
        ..pb::Commit::default()
    };
    Entry {
        partition: PartitionId(partition),
        offset: seq + 1000,
        hash: Hash::ZERO,
        commit: Arc::new(commit),
    }
}

fn parked(reason: &str) -> Event {
    Event::Parked { reason: reason.to_owned() }
}

fn released() -> Event {
    Event::Released { reason: "mended".to_owned() }
}

fn history() -> Vec<Entry> {
    let dead = |stream: &str| (sealed(stream), Status::DeadLettered);
    let fine = (sealed("fine"), Status::Accepted);
    let again = |status| (replaying("z", "0-1002-0"), status);
    vec![
        entry(3, 1, &[fine.clone(), dead("a"), dead("b")], &[("a", parked("panicked"))]),
        entry(0, 1, std::slice::from_ref(&fine), &[("z", parked("first")), ("z", released())]),
        entry(
            3,
            2,
            &[(Bytes::from_static(b"\xff\xffjunk"), Status::DeadLettered)],
            &[("a", released()), ("c", parked("once"))],
        ),
        entry(0, 2, &[dead("z")], &[("z", parked("again")), ("y", parked("too"))]),
        entry(0, 3, &[again(Status::Rejected), again(Status::DeadLettered)], &[]),
        entry(0, 4, &[again(Status::Accepted)], &[]),
        entry(
            3,
            3,
            &[fine],
            &[("c", Event::TimerCleared { id: "t".to_owned(), due: Timestamp::MIN, fired: true })],
        ),
    ]
}

// REQ: KER-06
#[tokio::test]
async fn any_batches_and_a_replay_give_the_same_rows() {
    VIEW.check_batches(&history()).await;
}

// REQ: KER-06
#[tokio::test]
async fn a_batch_cut_off_anywhere_is_made_good_by_a_replay() {
    VIEW.check_cut_offs(&history()).await;
}

async fn pages(store: &MemoryStore, limit: usize) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = list(store, GENERATION, PARTITIONS, after, limit, &|_| true).await.unwrap();
        pages.push(page.letters.iter().map(|it| it.id.to_string()).collect());
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

// REQ: KER-11
#[tokio::test]
async fn dead_letters_of_all_partitions_are_listed_page_by_page() {
    let store = VIEW.folded(&history()).await;
    let all = ["0-1002-0", "0-1003-1", "3-1001-1", "3-1001-2", "3-1002-0"];
    assert_eq!(pages(&store, 5).await, [all.to_vec()]);
    assert_eq!(pages(&store, 3).await, [all[..3].to_vec(), all[3..].to_vec()]);
    assert_eq!(pages(&store, 1).await.concat(), all);
    assert_eq!(pages(&store, 0).await.concat(), all);
    assert_eq!(pages(&MemoryStore::new(true), 4).await, [Vec::<String>::new()]);
}

#[tokio::test]
async fn a_page_ends_when_it_is_large_and_goes_on_within_a_partition() {
    let large = (Bytes::from(vec![b'x'; PAGE_BYTES_MAX / 2]), Status::DeadLettered);
    let small = (sealed("a"), Status::DeadLettered);
    let inputs: Vec<_> =
        std::iter::repeat_n(small, 40).chain(std::iter::repeat_n(large, 3)).collect();
    let store = VIEW.folded(&[entry(5, 1, &inputs, &[])]).await;
    let pages = pages(&store, 100).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [42, 1]);
    assert_eq!(pages[1], ["5-1001-42"]);
}

// REQ: KER-11
#[tokio::test]
async fn a_dead_letter_that_was_submitted_again_says_so() {
    let id: LetterId = "0-1002-0".parse().unwrap();
    let replay = |at, status: &str| {
        let (command_id, status) = ("c-1".to_owned(), status.to_owned());
        Some(Replay { at, command_id, status })
    };
    for (entries, expected) in
        [(4, None), (5, replay(at(3), "rejected")), (7, replay(at(4), "accepted"))]
    {
        let store = VIEW.folded(&history()[..entries]).await;
        let found = get(&store, GENERATION, id).await.unwrap().unwrap();
        assert_eq!(found.replay, expected, "after {entries}");
        let letters = list(&store, GENERATION, PARTITIONS, None, 9, &|_| true).await.unwrap();
        assert_eq!(letters.letters[0], found);
        let others = letters.letters.iter().filter(|it| it.id != id);
        assert!(others.into_iter().all(|it| it.replay.is_none()));
    }
}

// REQ: KER-11
#[tokio::test]
async fn a_dead_letter_has_its_bytes_its_place_and_the_reason() {
    let store = VIEW.folded(&history()).await;
    let id: LetterId = "3-1001-1".parse().unwrap();
    let expected = DeadLetter {
        id,
        recorded_at: at(1),
        reason: "RECORD_MAC_INVALID".to_owned(),
        message: "not ours".to_owned(),
        stream: "a".to_owned(),
        kind: "tenants.rename.v1".to_owned(),
        record: sealed("a"),
        record_hash: String::new(),
        log: "ab".repeat(16),
        log_offset: 101,
        replay: None,
    };
    assert_eq!(get(&store, GENERATION, id).await.unwrap(), Some(expected));
    let junk = get(&store, GENERATION, "3-1002-0".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((junk.stream.as_str(), junk.kind.as_str()), ("", ""));
    assert_eq!(junk.record, b"\xff\xffjunk".as_slice());
    assert_eq!(get(&store, GENERATION, "3-1001-0".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn a_record_too_large_to_be_carried_has_its_hash() {
    let mut entry = entry(0, 1, &[(Bytes::new(), Status::DeadLettered)], &[]);
    Arc::make_mut(&mut entry.commit).inputs[0].command_hash = vec![1; 32].into();
    let store = VIEW.folded(&[entry]).await;
    let found =
        list(&store, GENERATION, PARTITIONS, None, 1, &|_| true).await.unwrap().letters.remove(0);
    assert_eq!((found.record.len(), found.record_hash), (0, "01".repeat(32)));
}

#[test]
fn ids_have_one_text_each() {
    let id = LetterId { partition: PartitionId(7), offset: u64::MAX, input: 0 };
    assert_eq!(id.to_string().parse(), Ok(id));
    for bad in ["", "1-2", "1-2-3-4", "01-2-3", "+1-2-3", "1--2", "a-b-c", "1-2-4294967296"] {
        assert!(bad.parse::<LetterId>().is_err(), "{bad}");
    }
}

// REQ: KER-11
#[tokio::test]
async fn parked_streams_are_listed_until_they_are_released() {
    let store = VIEW.folded(&history()).await;
    let stream = |partition, stream: &str, reason: &str| ParkedStream {
        partition: PartitionId(partition),
        stream: stream.to_owned(),
        reason: reason.to_owned(),
        parked_at: at(2),
    };
    let expected = [stream(0, "y", "too"), stream(0, "z", "again"), stream(3, "c", "once")];
    let all = list_parked(&store, GENERATION, PARTITIONS, None, 3, &|_| true).await.unwrap();
    assert_eq!((&all.streams[..], all.next), (&expected[..], None));
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let from =
            after.as_ref().map(|(partition, stream): &(_, String)| (*partition, stream.as_str()));
        let page = list_parked(&store, GENERATION, PARTITIONS, from, 1, &|_| true).await.unwrap();
        found.extend(page.streams);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
}

fn failure(kind: &str) -> Option<String> {
    let mut entry = entry(2, 9, &[], &[("a", parked("x"))]);
    let event = &mut Arc::make_mut(&mut entry.commit).events[0];
    kind.clone_into(&mut event.r#type);
    event.payload = b"\xff".as_slice().into();
    fold_failure(&entry)
}

fn fold_failure(entry: &Entry) -> Option<String> {
    let mut rows = RowSet::default();
    DeadLettersView.fold(entry, &mut rows);
    rows.failure().map(str::to_owned)
}

// REQ: KER-10
#[test]
fn what_is_not_understood_stops_the_view() {
    let unknown = failure("kernel.frozen.v1").unwrap();
    assert!(
        unknown.starts_with("partition 2, offset 1009, event 0 (kernel.frozen.v1): "),
        "{unknown}"
    );
    assert!(failure("kernel.parked.v1").is_some());
    for other in ["audit.appended.v1", "kernel.timer-set.v1", "billing.paid.v7"] {
        assert_eq!(failure(other), None, "{other}");
    }
    assert!(crate::fold::PASSED_OVER.iter().all(|kind| event_types().contains(kind)));
    let mut newer = entry(2, 9, &[(Bytes::new(), Status::Accepted)], &[]);
    Arc::make_mut(&mut newer.commit).outcomes[0].status = 99;
    assert!(fold_failure(&newer).unwrap().contains("status 99"));
}

#[test]
fn reads_may_cross_threads() {
    fn is_send(_: impl Send) {}
    let store = MemoryStore::new(true);
    is_send(list(&store, GENERATION, PARTITIONS, None, 1, &|_| true));
    is_send(list_parked(&store, GENERATION, PARTITIONS, None, 1, &|_| true));
}
