//! The port's own suite, all of it, on a broker.

use std::time::Duration;

use exchequer_journal::conformance::CASES;
use exchequer_journal::conformance::membership::Groups;
use exchequer_journal::{FaultKind, Group, Journal as _, Membership};
use exchequer_journal_kafka::{
    KafkaInput, KafkaJournal, KafkaMembership, KafkaOutlet, Settings, topics,
};
use exchequer_types::PartitionId;

use crate::support::{broker, create, journal, layout, settings};

// REQ: KER-07
#[tokio::test]
async fn conforms() {
    let kafka = broker();
    for (at, (name, case)) in CASES.iter().enumerate() {
        println!("{name}");
        let settings = settings(&kafka, &format!("conform-{at}"));
        case(&journal(&settings, layout(2, 1))).await;
    }
}

// REQ: KER-07
#[tokio::test]
async fn conforms_with_one_producer_for_all_partitions() {
    let kafka = broker();
    for (at, (name, case)) in CASES.iter().enumerate() {
        println!("{name}");
        let settings = settings(&kafka, &format!("conform-shared-{at}"));
        let specs = create(&settings, layout(2, 1), &["usage"]);
        case(&KafkaJournal::open_shared(&settings, &specs[0]).unwrap()).await;
    }
}

// REQ: KER-08
#[tokio::test]
async fn what_others_wrote_before_the_first_read_is_there_at_once() {
    let kafka = broker();
    let settings = settings(&kafka, "standing-by");
    let writer = journal(&settings, layout(2, 1));
    let spec = layout(2, 1).topic("journal").unwrap();
    let open = || KafkaJournal::open(&settings, &spec).unwrap();
    let (reader, follower) = (open(), open());
    let records: Vec<_> = (0..100).map(|number| format!("record {number}").into()).collect();
    writer.append_all(PartitionId(1), records).await.unwrap();
    let read = reader.read(PartitionId(1), 40, 1 << 20).await.unwrap();
    assert_eq!(read.iter().map(|it| it.offset).collect::<Vec<_>>(), (40..100).collect::<Vec<_>>());
    let wait = follower.wait(PartitionId(1), 99);
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    assert_eq!(follower.read(PartitionId(1), 99, 1).await.unwrap().len(), 1);
    writer.append(PartitionId(1), "the next".into()).await.unwrap();
    let wait = follower.wait(PartitionId(1), 100);
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    assert_eq!(&follower.read(PartitionId(1), 100, 1).await.unwrap()[0].bytes[..], b"the next");
}

// REQ: KER-08
#[tokio::test]
async fn another_process_reads_from_the_beginning_and_goes_on() {
    const P0: PartitionId = PartitionId(0);
    let kafka = broker();
    let settings = settings(&kafka, "reopened");
    let first = journal(&settings, layout(1, 1));
    for number in 0..50_u32 {
        let offset = first.append(P0, number.to_string().into()).await.unwrap();
        assert_eq!(offset, Some(number.into()));
    }
    drop(first);

    // A new process holds nothing in memory: everything comes from the broker.
    let spec = layout(1, 1).topic("journal").unwrap();
    let second = KafkaJournal::open(&settings, &spec).unwrap();
    assert_eq!(second.end(P0).await.unwrap(), 50);
    let mut next = 0;
    while next < 50 {
        let records = second.read(P0, next, 20).await.unwrap();
        for record in records {
            assert_eq!((record.offset, &*record.bytes), (next, next.to_string().as_bytes()));
            next += 1;
        }
    }
    assert!(second.read(P0, 50, 20).await.unwrap().is_empty());
    assert_eq!(second.append(P0, "50".into()).await.unwrap(), Some(50));
    let across = second.read(P0, 49, 1 << 20).await.unwrap();
    assert_eq!(across.len(), 2, "one from the broker and one from memory");
}

// REQ: KER-08
#[tokio::test]
async fn what_others_append_is_seen_while_waiting() {
    const P0: PartitionId = PartitionId(0);
    let kafka = broker();
    let settings = settings(&kafka, "others");
    let mine = journal(&settings, layout(1, 1));
    let spec = layout(1, 1).topic("journal").unwrap();
    let theirs = KafkaJournal::open(&settings, &spec).unwrap();
    for number in 0..20_u64 {
        let waiting = mine.wait(P0, number);
        let ((), appended) = futures::join!(waiting, theirs.append(P0, "x".into()));
        assert_eq!(appended.unwrap(), Some(number));
        assert_eq!(mine.end(P0).await.unwrap(), number + 1, "asked, not remembered");
        assert_eq!(mine.read(P0, number, 1 << 20).await.unwrap().len(), 1);
    }
}

// REQ: KER-15
#[tokio::test]
async fn a_queue_at_its_bound_refuses_and_writes_nothing() {
    const P0: PartitionId = PartitionId(0);
    let kafka = broker();
    let mut settings = settings(&kafka, "full");
    settings.options.queue_bytes_max = exchequer_journal::APPEND_BYTES_MAX;
    let journal = journal(&settings, layout(1, 1));
    let large = bytes::Bytes::from(vec![7; exchequer_journal::RECORD_BYTES_MAX]);
    let calls = (0..24).map(|_| journal.append(P0, large.clone()));
    let answers = futures::future::join_all(calls).await;
    let landed = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    let mut faults = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert!(faults.all(|fault| fault.kind == FaultKind::Overloaded));
    assert!((1..24).contains(&landed), "{landed} of 24 landed");
    assert_eq!(journal.end(P0).await.unwrap(), landed);
}

// REQ: KER-08
#[tokio::test]
async fn ends_asked_for_while_others_append_are_no_alarm() {
    const P0: PartitionId = PartitionId(0);
    let kafka = broker();
    let settings = settings(&kafka, "ends");
    let journal = journal(&settings, layout(1, 1));
    let appending = async {
        for _ in 0..600_u32 {
            journal.append(P0, "x".into()).await.unwrap();
        }
    };
    let asking = async {
        let mut last = 0;
        while last < 600 {
            let end = journal.end(P0).await.unwrap();
            assert!(end >= last, "{end} after {last}");
            last = end;
        }
    };
    futures::join!(appending, asking);
}

// REQ: KER-07
#[tokio::test]
async fn the_lanes_conform() {
    let kafka = broker();
    for (at, (name, case)) in exchequer_journal::conformance::input::CASES.iter().enumerate() {
        println!("{name}");
        let settings = settings(&kafka, &format!("conform-input-{at}"));
        let specs = create(&settings, layout(2, 1), &["commands", "commands-internal"]);
        let known = topics::check(&settings, &specs).unwrap();
        case(&KafkaInput::open(&settings, &known[0], &known[1]).unwrap()).await;
    }
}

// REQ: KER-07
#[tokio::test]
async fn outlets_conform() {
    let kafka = broker();
    for (at, (name, case)) in exchequer_journal::conformance::outlet::CASES.iter().enumerate() {
        println!("{name}");
        let settings = settings(&kafka, &format!("conform-outlet-{at}"));
        let specs = create(&settings, layout(2, 1), &["audit"]);
        case(&KafkaOutlet::open(&settings, &specs[0]).unwrap()).await;
    }
}

struct KafkaGroups(Settings);

impl Groups for KafkaGroups {
    fn partitions(&self) -> u32 {
        4
    }

    fn join(&self, groups: &[Group]) -> Box<dyn Membership> {
        Box::new(KafkaMembership::join(&self.0, groups).unwrap())
    }
}

// REQ: KER-07
#[tokio::test]
async fn groups_conform() {
    let kafka = broker();
    for (at, (name, case)) in exchequer_journal::conformance::membership::CASES.iter().enumerate() {
        println!("{name}");
        let groups = KafkaGroups(settings(&kafka, &format!("conform-groups-{at}")));
        create(&groups.0, layout(4, 1), &["usage", "audit"]);
        tokio::time::timeout(Duration::from_secs(60), case(&groups)).await.unwrap();
    }
}
