//! Topics are created as described, and what differs is named with its cure.

use std::process::Command;
use std::time::Duration;

use exchequer_journal::{FaultKind, Journal as _};
use exchequer_journal_kafka::topics::{self, Created, Layout};
use exchequer_journal_kafka::{KafkaJournal, Security, Settings, SetupError, SetupKind};
use exchequer_services::{KAFKA, Kafka};
use exchequer_types::PartitionId;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::support::{broker, create, journal, layout, settings};

/// Changes a setting as an operator would, with Kafka's own tool.
fn configure(kafka: &Kafka, topic: &str, setting: &str) {
    let jars = KAFKA.jars().unwrap();
    let class_path = format!("{}/*", jars.display());
    let output = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-cp", &class_path, "kafka.admin.ConfigCommand"])
        .args(["--bootstrap-server", &kafka.bootstrap(), "--alter", "--entity-type", "topics"])
        .args(["--entity-name", topic, "--add-config", setting])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{topic} {setting}: {said}");
}

// REQ: KER-06
#[test]
fn all_topics_are_created_once_and_found_right() {
    let kafka = broker();
    let settings = settings(&kafka, "all");
    let specs = layout(4, 1).topics();
    let before = topics::check(&settings, &specs).unwrap_err();
    assert_eq!(before.kind, SetupKind::Topics);
    let before = before.to_string();
    assert!(specs.iter().all(|spec| before.contains(&format!("all.{}", spec.name))), "{before}");
    assert!(before.contains("do not exist at") && before.contains("admin init"), "{before}");
    assert_eq!(before.lines().count(), 1, "{before}");
    let made = topics::create(&settings, &specs).unwrap();
    assert!(made.iter().all(|(_, what)| *what == Created::New), "{made:?}");
    let known = topics::check(&settings, &specs).unwrap();
    let again = topics::create(&settings, &specs).unwrap();
    assert!(again.iter().all(|(_, what)| *what == Created::Known), "{again:?}");
    assert_eq!(topics::check(&settings, &specs).unwrap(), known, "ids stay");
    let ids: std::collections::BTreeSet<_> = known.iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), specs.len(), "each has its own");
}

// REQ: KER-06
#[test]
fn each_wrong_setting_is_named_with_its_cure() {
    let kafka = broker();
    let settings = settings(&kafka, "wrong");
    let specs = create(&settings, layout(2, 1), &["commands", "journal", "usage"]);
    configure(&kafka, "wrong.commands", "message.timestamp.type=CreateTime");
    configure(&kafka, "wrong.journal", "cleanup.policy=compact");
    configure(&kafka, "wrong.journal", "retention.ms=1000");
    configure(&kafka, "wrong.journal", "unclean.leader.election.enable=true");
    configure(&kafka, "wrong.usage", "max.message.bytes=1000");
    configure(&kafka, "wrong.usage", "retention.bytes=1000000");
    configure(&kafka, "wrong.exchequer-topics", "cleanup.policy=delete");
    let error = topics::check(&settings, &specs).unwrap_err().to_string();
    for line in [
        "wrong.commands: message.timestamp.type is CreateTime and must be LogAppendTime",
        "wrong.journal: cleanup.policy is compact and must be delete",
        "wrong.journal: retention.ms is 1000 and must be -1",
        "wrong.journal: unclean.leader.election.enable is true and must be false",
        "--entity-name wrong.journal --add-config cleanup.policy=delete",
        "wrong.usage: max.message.bytes is 1000 and must be ",
        "wrong.usage: retention.bytes is 1000000 and must be -1",
        "wrong.exchequer-topics: cleanup.policy is delete and must be compact",
    ] {
        assert!(error.contains(line), "{line:?} is missing in: {error}");
    }
    assert_eq!(error.lines().count(), 8, "{error}");
    let error = topics::create(&settings, &specs).unwrap_err().to_string();
    assert!(error.contains("wrong.exchequer-topics: cleanup.policy is delete"), "{error}");
}

// REQ: KER-06
#[test]
fn another_number_of_partitions_or_replicas_is_refused() {
    let kafka = broker();
    let settings = settings(&kafka, "number");
    create(&settings, layout(2, 1), &["journal"]);
    let wanted = [layout(4, 1).topic("journal").unwrap()];
    let error = topics::check(&settings, &wanted).unwrap_err();
    assert!(error.to_string().contains("has 2 partitions and must have 4"), "{error}");
    let created = topics::create(&settings, &wanted).unwrap_err();
    assert!(created.to_string().contains("has 2 partitions and must have 4"), "{created}");
    let opened = KafkaJournal::open(&settings, &wanted[0]).unwrap_err();
    assert_eq!(opened.kind, SetupKind::Topics);

    let replicated = [Layout { partitions: 2, ..Layout::default() }.topic("journal").unwrap()];
    let error = topics::check(&settings, &replicated).unwrap_err().to_string();
    assert!(error.contains("1 replicas and must have 3"), "{error}");
    let seals = [Layout::default().topic("usage-seals").unwrap()];
    let settings = crate::support::settings(&kafka, "more");
    let error = topics::create(&settings, &seals).unwrap_err().to_string();
    assert!(error.contains("needs 3 replicas, and there are not as many brokers"), "{error}");
}

// REQ: KER-06
#[tokio::test]
async fn partitions_added_while_running_stop_appends() {
    let kafka = broker();
    let mut settings = settings(&kafka, "grown");
    settings.options.topology_ms = 200;
    let journal = journal(&settings, layout(2, 1));
    journal.append(PartitionId(0), "before".into()).await.unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    let more = NewPartitions::new("grown.journal", 3);
    admin.create_partitions([&more], &AdminOptions::new()).await.unwrap();
    let stopped = async {
        loop {
            match journal.append(PartitionId(0), "after".into()).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(fault) => return fault,
            }
        }
    };
    let fault = tokio::time::timeout(Duration::from_secs(20), stopped).await.unwrap();
    assert_eq!(fault.kind, FaultKind::Stopped);
    assert!(fault.message.contains("has 3 partitions and must have 2"), "{fault}");
    assert!(journal.read(PartitionId(0), 0, 1).await.is_ok(), "what is there can be read");
}

// REQ: KER-06
#[test]
fn a_wrong_address_is_told_in_one_line() {
    let mut settings = Settings::new("127.0.0.1:1");
    settings.options.request_ms_max = 500;
    let error = topics::check(&settings, &layout(1, 1).topics()).unwrap_err();
    assert_eq!(error.kind, SetupKind::Unreachable);
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1") && text.contains("check the address"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

// REQ: KER-06
#[test]
fn a_broker_without_tls_is_told_from_one_that_is_not_there() {
    let kafka = broker();
    let mut settings = settings(&kafka, "tls");
    settings.security = Security { tls: true, ..Security::default() };
    settings.options.request_ms_max = 3_000;
    let error = topics::check(&settings, &layout(1, 1).topics()).unwrap_err();
    assert_eq!(error.kind, SetupKind::Refused, "{error}");
    let text = error.to_string();
    assert!(text.contains("handshake failed") && text.contains("check user"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

// REQ: KER-06
#[tokio::test]
async fn a_topic_made_anew_is_damage_and_never_an_empty_log() {
    let kafka = broker();
    let settings = settings(&kafka, "anew");
    let journal = journal(&settings, layout(1, 1));
    for _ in 0..3 {
        journal.append(PartitionId(0), "x".into()).await.unwrap();
    }
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    admin.delete_topics(&["anew.journal"], &AdminOptions::new()).await.unwrap();
    let spec = layout(1, 1).topic("journal").unwrap();
    let gone = async {
        while !topics::create(&settings, std::slice::from_ref(&spec)).is_err_and(is_gone) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    let made = async {
        let topic = NewTopic::new("anew.journal", 1, TopicReplication::Fixed(1));
        let mut answers = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
        assert!(answers.pop().unwrap().is_ok());
    };
    made.await;
    let damaged = async {
        loop {
            match journal.end(PartitionId(0)).await {
                Err(fault) if fault.kind == FaultKind::Damaged => return fault,
                Err(fault) => assert!(fault.is_retryable(), "{fault}"),
                Ok(end) => assert!(end >= 3, "an end of {end} was told"),
            }
        }
    };
    let fault = tokio::time::timeout(Duration::from_secs(60), damaged).await.unwrap();
    assert!(fault.message.contains("anew.journal/0 ends at 0"), "{fault}");
    let read = journal.read(PartitionId(0), 0, 1).await.map_err(|fault| fault.kind);
    assert_eq!(read, Err(FaultKind::Damaged), "and nothing is read any more");
}

fn is_gone(error: SetupError) -> bool {
    error.to_string().contains("was created before and is gone")
}
