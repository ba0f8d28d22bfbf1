//! The lanes of commands on a broker: places, times, and what retention took.

use exchequer_journal::{FaultKind, InputLog as _, Lane};
use exchequer_journal_kafka::topics::{self, Known};
use exchequer_journal_kafka::{KafkaInput, Settings};
use exchequer_types::PartitionId;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::support::{broker, create, layout, settings};

const P0: PartitionId = PartitionId(0);

fn lanes(settings: &Settings) -> Vec<Known> {
    let specs = create(settings, layout(2, 1), &["commands", "commands-internal"]);
    topics::check(settings, &specs).unwrap()
}

// REQ: KER-06
#[tokio::test]
async fn lanes_are_apart_and_tell_when_the_broker_had_each_record() {
    let kafka = broker();
    let settings = settings(&kafka, "lanes");
    let known = lanes(&settings);
    let input = KafkaInput::open(&settings, &known[0], &known[1]).unwrap();
    assert_ne!(input.id(Lane::Commands), input.id(Lane::Internal));
    let waiting = input.wait(Lane::Commands, P0, 0);
    let ((), first) = futures::join!(waiting, input.submit(Lane::Commands, P0, "a".into()));
    assert_eq!(first.unwrap(), Some(0));
    assert_eq!(input.submit(Lane::Commands, P0, "b".into()).await.unwrap(), Some(1));
    assert_eq!(input.submit(Lane::Internal, P0, "x".into()).await.unwrap(), Some(0));

    let read = input.read(Lane::Commands, P0, 0, 10).await.unwrap();
    let bytes: Vec<_> = read.iter().map(|it| &*it.bytes).collect();
    assert_eq!(bytes, [b"a", b"b"]);
    assert!(read[0].appended_at <= read[1].appended_at);
    let year = 365 * 24 * 3_600_000_000_i64;
    assert!(read[0].appended_at.micros() > 50 * year, "an instant of this century");
    assert_eq!(input.read(Lane::Commands, P0, 0, 1).await.unwrap().len(), 1);
    assert!(input.read(Lane::Commands, P0, 2, 10).await.unwrap().is_empty());
    assert_eq!(input.read(Lane::Internal, P0, 0, 10).await.unwrap().len(), 1);

    let again = KafkaInput::open(&settings, &known[0], &known[1]).unwrap();
    assert_eq!(again.id(Lane::Commands), input.id(Lane::Commands), "the same log");
    assert_eq!(again.read(Lane::Commands, P0, 1, 10).await.unwrap()[0].bytes, "b");
}

// REQ: KER-06
#[tokio::test]
async fn a_log_that_begins_above_says_so() {
    let kafka = broker();
    let settings = settings(&kafka, "expired");
    let known = lanes(&settings);
    let input = KafkaInput::open(&settings, &known[0], &known[1]).unwrap();
    for _ in 0..5 {
        input.submit(Lane::Commands, P0, "a".into()).await.unwrap();
    }
    drop(input);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("expired.commands", 0, Offset::Offset(3)).unwrap();
    admin.delete_records(&list, &AdminOptions::new()).await.unwrap();

    let input = KafkaInput::open(&settings, &known[0], &known[1]).unwrap();
    let fault = input.read(Lane::Commands, P0, 0, 10).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Expired { begins_at: 3 });
    assert_eq!(input.read(Lane::Commands, P0, 3, 10).await.unwrap().len(), 2);
}
