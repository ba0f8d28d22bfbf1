//! Three brokers, of which one is lost or killed while records are appended. What was
//! acknowledged stays, at the place that was told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use exchequer_journal::{
    Fault, Group, GroupMember, Journal, Members, Membership as _, RECORD_BYTES_MAX,
};
use exchequer_journal_kafka::{KafkaJournal, KafkaMembership, Settings, members, topics};
use exchequer_services::Kafka;
use exchequer_types::{Offset, PartitionId};
use futures::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::support::{create, layout, settings};

const PARTITIONS: u32 = 4;
/// So many that appends of a partition gather while others of it are on their way.
const CALLERS: usize = 400;
const STEP_WAIT_MAX: Duration = Duration::from_secs(60);
/// Whatever happens to one broker, each caller has an acknowledgement after this.
const BROKER_LOSS_MAX: Duration = Duration::from_secs(20);

/// What each caller was told: its record, and the offset if the log told.
#[derive(Default)]
struct Told {
    acknowledged: Vec<(PartitionId, String, Option<Offset>)>,
    failed: Vec<String>,
    last: Option<Instant>,
    longest_pause: Duration,
}

impl Told {
    fn note(
        &mut self,
        partition: PartitionId,
        record: String,
        answer: Result<Option<Offset>, Fault>,
    ) {
        match answer {
            Ok(offset) => {
                let now = Instant::now();
                if let Some(last) = self.last.replace(now) {
                    self.longest_pause = self.longest_pause.max(now.duration_since(last));
                }
                self.acknowledged.push((partition, record, offset));
            }
            Err(fault) => {
                assert!(fault.is_retryable(), "{fault}");
                self.failed.push(record);
            }
        }
    }
}

/// Appends from several callers until `enough` says so.
async fn append_until(journal: &KafkaJournal, round: &str, enough: impl Fn(usize) -> bool) -> Told {
    let (done, begun) = (std::cell::Cell::new(0_usize), Instant::now());
    let callers = (0..CALLERS).map(|caller| {
        let (done, enough) = (&done, &enough);
        async move {
            let mut told = Told::default();
            let partition = PartitionId(caller as u32 % PARTITIONS);
            for number in 0_usize.. {
                if enough(done.get()) {
                    break;
                }
                let record = format!("{round}/{caller}/{number}");
                let append = journal.append(partition, record.clone().into());
                let due = told.last.unwrap_or(begun) + BROKER_LOSS_MAX;
                let answer = tokio::time::timeout_at(due.into(), append).await;
                let answer = answer.unwrap_or_else(|_| panic!("{record} waits for too long"));
                done.set(done.get() + usize::from(answer.is_ok()));
                told.note(partition, record, answer);
            }
            told
        }
    });
    let mut all = Told::default();
    for told in join_all(callers).await {
        all.acknowledged.extend(told.acknowledged);
        all.failed.extend(told.failed);
        all.longest_pause = all.longest_pause.max(told.longest_pause);
    }
    all
}

/// Every record of a partition, read by a process that remembers nothing.
async fn contents(settings: &Settings, partition: PartitionId) -> Vec<String> {
    let spec = layout(PARTITIONS, 3).topic("journal").unwrap();
    let journal = KafkaJournal::open(settings, &spec).unwrap();
    let end = journal.end(partition).await.unwrap();
    let mut found = Vec::new();
    while (found.len() as u64) < end {
        let records = journal.read(partition, found.len() as u64, RECORD_BYTES_MAX).await.unwrap();
        found.extend(records.iter().map(|it| String::from_utf8_lossy(&it.bytes).into_owned()));
    }
    found
}

/// No acknowledged record is missing, doubled, or elsewhere than told.
async fn verify(settings: &Settings, all: &[Told]) {
    let mut places: BTreeMap<(PartitionId, String), Vec<Offset>> = BTreeMap::new();
    for partition in (0..PARTITIONS).map(PartitionId) {
        for (offset, record) in (0..).zip(contents(settings, partition).await) {
            places.entry((partition, record)).or_default().push(offset);
        }
    }
    let doubled: Vec<_> = places.iter().filter(|(_, found)| found.len() > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let mut untold = 0;
    for told in all {
        for (partition, record, offset) in &told.acknowledged {
            let found = places.get(&(*partition, record.clone()));
            let found = found.unwrap_or_else(|| panic!("{record} was acknowledged and is lost"));
            match offset {
                Some(offset) => assert_eq!(found, &[*offset], "{record}"),
                None => untold += 1,
            }
        }
    }
    let (acknowledged, failed): (usize, usize) = (
        all.iter().map(|it| it.acknowledged.len()).sum(),
        all.iter().map(|it| it.failed.len()).sum(),
    );
    let pause = all.iter().map(|it| it.longest_pause.as_millis()).max().unwrap_or(0);
    println!(
        "{acknowledged} acknowledged ({untold} without a place), {failed} failed, \
         longest pause of a caller {pause} ms"
    );
}

/// Which node leads a partition of the journal.
fn leader(kafka: &Kafka, settings: &Settings, partition: i32) -> usize {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    let topic = format!("{}journal", settings.prefix);
    let metadata = client.fetch_metadata(Some(&topic), Duration::from_secs(10)).unwrap();
    let partitions = metadata.topics()[0].partitions();
    let found = partitions.iter().find(|it| it.id() == partition).unwrap();
    usize::try_from(found.leader()).unwrap()
}

/// Appends while `fault` happens to the brokers, until enough came after it.
async fn appends_through(
    journal: &KafkaJournal,
    round: &str,
    kafka: &mut Kafka,
    fault: impl FnOnce(&mut Kafka) + Send,
) -> Told {
    const BEFORE: usize = 2_000;
    const AFTER: usize = 4_000;
    let count = std::cell::Cell::new(0);
    let (started, starting) = tokio::sync::oneshot::channel();
    let started = std::cell::RefCell::new(Some(started));
    let happened = std::cell::Cell::new(None);
    let appending = append_until(journal, round, |done| {
        count.set(done);
        if done >= BEFORE
            && let Some(started) = started.borrow_mut().take()
        {
            let _ = started.send(());
        }
        happened.get().is_some_and(|at| done >= at + AFTER)
    });
    let failing = async {
        starting.await.unwrap();
        // Blocks this task alone: the client's own threads go on.
        tokio::task::yield_now().await;
        fault(kafka);
        happened.set(Some(count.get()));
    };
    let both = async { futures::join!(appending, failing).0 };
    let waited = tokio::time::timeout(STEP_WAIT_MAX, both).await;
    waited.unwrap_or_else(|_| panic!("{round}: appends did not go on"))
}

/// Waits until somebody is known to have each partition, and nothing is unknown. Meanwhile
/// those are told who were known `before`, and never as if that were all.
async fn all_are_told(member: &KafkaMembership, before: &[GroupMember]) -> Vec<GroupMember> {
    let telling = async {
        loop {
            let Members { found, unknown } = member.members().await;
            let processes = found.iter().map(|it| &it.process);
            assert!(before.iter().all(|it| processes.clone().any(|name| *name == it.process)));
            let partitions: usize = found.iter().map(|it| it.partitions.len()).sum();
            if unknown.is_empty() && partitions == PARTITIONS as usize {
                return found;
            }
        }
    };
    let told = tokio::time::timeout(STEP_WAIT_MAX, telling).await;
    told.unwrap_or_else(|_| panic!("the owners are not told again"))
}

// REQ: KER-08, OPS-05
#[tokio::test]
async fn nothing_acknowledged_is_lost_with_a_broker() {
    let mut kafka = Kafka::start(3).unwrap();
    let settings = settings(&kafka, "faults");
    let specs = create(&settings, layout(PARTITIONS, 3), &["journal", "commands"]);
    topics::check(&settings, &specs).unwrap();
    let journal = KafkaJournal::open(&settings, &specs[0]).unwrap();
    let mut all = Vec::new();
    let nobody = members(&settings).unwrap();
    assert!(nobody.is_empty(), "groups that were never made have no members: {nobody:?}");
    let member = KafkaMembership::join(&settings, &[Group::Deciders]).unwrap();
    let owner = all_are_told(&member, &[]).await;

    let first = leader(&kafka, &settings, 0);
    all.push(
        appends_through(&journal, "stop", &mut kafka, |it| it.stop_broker(first).unwrap()).await,
    );
    kafka.start_broker(first).unwrap();
    verify(&settings, &all).await;

    for round in 0..2 {
        let leading = leader(&kafka, &settings, round);
        let name = format!("kill-{round}");
        all.push(
            appends_through(&journal, &name, &mut kafka, |it| it.kill_broker(leading).unwrap())
                .await,
        );
        // While it is away the others tell, at the latest when they have taken its groups over.
        all_are_told(&member, &owner).await;
        kafka.start_broker(leading).unwrap();
        verify(&settings, &all).await;
    }

    let leading = leader(&kafka, &settings, 2);
    all.push(
        appends_through(&journal, "pause", &mut kafka, |it| it.pause_broker(leading).unwrap())
            .await,
    );
    kafka.resume_broker(leading).unwrap();
    verify(&settings, &all).await;
}
