//! Against a broker that the client library plays itself.

use futures::future::join_all;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::gate::AT_ONCE_MAX;
use super::*;
use crate::settings::Settings;
use crate::topics::Layout;

type Broker = MockCluster<'static, DefaultProducerContext>;

const PARTITION: PartitionId = PartitionId(1);
/// Until it answers, whoever appends has handed over all.
const ROUND_TRIP: Duration = Duration::from_millis(200);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

fn appender(producers: Producers) -> Result<(Broker, Appender<Bytes>), Box<dyn std::error::Error>> {
    let broker = MockCluster::new(1)?;
    broker.create_topic("journal", 2, 1)?;
    let settings = Settings::new(broker.bootstrap_servers());
    let layout = Layout { partitions: 2, replicas: 1, ..Layout::default() };
    let spec = layout.topic("journal").ok_or("no such topic")?;
    let (shared, _) = Shared::open(&settings, &spec, None)?;
    let appender = Appender::new(shared, producers);
    Ok((broker, appender))
}

async fn append_all(
    appender: &Appender<Bytes>,
    count: usize,
) -> Vec<Result<Option<Offset>, Fault>> {
    let one = |number: usize| appender.append(PARTITION, vec![Bytes::from(number.to_string())]);
    let answers = tokio::time::timeout(ANSWER_WAIT_MAX, join_all((0..count).map(one))).await;
    answers.expect("every call is answered")
}

/// All were acknowledged, and told where they are.
fn places(answers: Vec<Result<Option<Offset>, Fault>>) -> Vec<Offset> {
    answers
        .into_iter()
        .map(|answer| answer.expect("an acknowledgement").expect("a place"))
        .collect()
}

// REQ: KER-13
#[tokio::test]
async fn appends_at_once_land_in_the_order_of_their_calls() {
    for producers in [Producers::EachPartition, Producers::Shared] {
        let (broker, appender) = appender(producers).expect("a broker");
        assert_eq!(places(append_all(&appender, 1).await), [0]);
        broker.broker_round_trip_time(1, ROUND_TRIP).expect("a slow broker");
        let found = places(append_all(&appender, 300).await);
        assert_eq!(found, (1..=300).collect::<Vec<_>>());
    }
}

// REQ: KER-13
#[tokio::test]
async fn what_gathers_behind_an_append_fails_with_it() {
    let (broker, appender) = appender(Producers::Shared).expect("a broker");
    assert_eq!(places(append_all(&appender, 1).await), [0]);
    broker.broker_round_trip_time(1, ROUND_TRIP).expect("a slow broker");
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    broker.request_errors(RDKafkaApiKey::Produce, &[refusal]);
    let answers = append_all(&appender, 20).await;
    let behind = &answers[AT_ONCE_MAX..];
    assert!(behind.iter().all(Result::is_err), "{behind:?}");
    assert!(answers[0].is_err(), "{answers:?}");
    broker.clear_request_errors(RDKafkaApiKey::Produce);
    let after = append_all(&appender, 20).await;
    assert!(after.iter().all(Result::is_ok), "a new producer goes on: {after:?}");
}
