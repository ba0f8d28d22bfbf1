//! What fails in one process of a cluster, written where the others read it. Each process has a
//! row of its own, which is written anew as a whole and never taken away: no timestamp of what
//! was there before stands above it unseen.

use core::time::Duration;
use std::sync::Arc;

use exchequer_readstore::{Batch, Column, Fault, Key, Kind, ReadStore, Row, Table, Value, Write};
use exchequer_runtime::TaskError;
use exchequer_types::{StreamId, Timestamp};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{Failure, Failures};
use crate::Ports;

/// By process.
pub(crate) static FAILURES: Table = Table {
    name: "failures",
    partition_key: &[Column { name: "process", kind: Kind::Text }],
    clustering: &[],
    // A JSON list of [`Line`].
    columns: &[Column { name: "failures", kind: Kind::Text }],
};

const GENERATION: u64 = 0;
/// How often it is looked at what fails.
const INTERVAL: Duration = Duration::from_secs(1);
/// More failures of a process are known there alone.
const TOLD_MAX: usize = 100;
const MESSAGE_CHARS_MAX: usize = 500;

/// What a process tells the others of work that fails there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldFailure {
    pub work: String,
    pub stream: String,
    pub failure: Failure,
}

/// The same as it is written.
#[derive(Serialize, Deserialize)]
struct Line {
    work: String,
    stream: String,
    message: String,
    attempts: u64,
    /// In microseconds since the Unix epoch.
    since: i64,
}

impl From<&ToldFailure> for Line {
    fn from(it: &ToldFailure) -> Self {
        let Failure { message, attempts, since } = it.failure.clone();
        let (work, stream) = (it.work.clone(), it.stream.clone());
        Self { work, stream, message, attempts, since: since.micros() }
    }
}

impl From<Line> for ToldFailure {
    fn from(it: Line) -> Self {
        let Line { work, stream, message, attempts, since } = it;
        let since = Timestamp::saturating_from_micros(since);
        Self { work, stream, failure: Failure { message, attempts, since } }
    }
}

/// What a process has written last of what fails in it.
pub async fn failures_of(store: &dyn ReadStore, process: &str) -> Result<Vec<ToldFailure>, Fault> {
    let row = store.get(&FAILURES, GENERATION, key(process)).await?;
    Ok(row.as_ref().map(read).unwrap_or_default())
}

/// Tells of `failures` as those of `process`, for as long as it runs.
pub(crate) async fn tell(
    ports: Ports,
    failures: Arc<Failures>,
    process: String,
) -> Result<(), TaskError> {
    let mut telling = Telling { process, told: None, stamp: 0 };
    loop {
        let now = ports.runtime.now();
        if let Err(fault) = telling.pass(ports.store.as_ref(), &failures, now).await {
            warn!(%fault, "cannot tell other processes what fails here");
            // It may be written.
            telling.told = None;
        }
        ports.runtime.sleep(INTERVAL).await;
    }
}

struct Telling {
    process: String,
    /// What is written, also by whoever was called so before; None when it is not known.
    told: Option<Vec<ToldFailure>>,
    /// Of what is written; the next one stands above it, whatever the clock says.
    stamp: u64,
}

impl Telling {
    async fn pass(
        &mut self,
        store: &dyn ReadStore,
        failures: &Failures,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let told = if let Some(told) = self.told.take() {
            told
        } else {
            let row = store.get(&FAILURES, GENERATION, key(&self.process)).await?;
            self.stamp = self.stamp.max(row.as_ref().map_or(0, |row| row.timestamp));
            row.as_ref().map(read).unwrap_or_default()
        };
        let present = to_tell(failures, now);
        if present != told {
            self.stamp = u64::try_from(now.micros()).unwrap_or(0).max(self.stamp + 1);
            let lines: Vec<Line> = present.iter().map(Line::from).collect();
            let text = serde_json::to_string(&lines).unwrap_or_default();
            let write = Write {
                table: &FAILURES,
                generation: GENERATION,
                key: key(&self.process),
                values: Some(vec![Value::text(text)]),
                timestamp: self.stamp,
            };
            store.write(Batch { rows: vec![write], last: Vec::new() }).await?;
        }
        self.told = Some(present);
        Ok(())
    }
}

/// First partitions, which are why tenants' work fails there.
fn to_tell(failures: &Failures, now: Timestamp) -> Vec<ToldFailure> {
    let (partitions, tenants): (Vec<_>, Vec<_>) = failures
        .present(now)
        .into_iter()
        .partition(|((stream, _), _)| matches!(stream, StreamId::Partition(_)));
    let told = |((stream, work), failure): ((StreamId, &str), Failure)| ToldFailure {
        work: work.to_owned(),
        stream: stream.to_string(),
        failure: Failure {
            message: failure.message.chars().take(MESSAGE_CHARS_MAX).collect(),
            ..failure
        },
    };
    partitions.into_iter().chain(tenants).take(TOLD_MAX).map(told).collect()
}

/// What another version wrote otherwise is not told.
fn read(row: &Row) -> Vec<ToldFailure> {
    let text = row.values.first().map_or("", Value::as_text);
    let lines: Vec<Line> = serde_json::from_str(text).unwrap_or_default();
    lines.into_iter().map(ToldFailure::from).collect()
}

fn key(process: &str) -> Key {
    Key { partition: vec![Value::text(process)], clustering: Vec::new() }
}

#[cfg(test)]
mod tests {
    use exchequer_readstore::MemoryStore;
    use exchequer_types::{PartitionId, TenantId};

    use super::*;
    use crate::failures::{DECIDER, METER};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::saturating_from_micros(seconds * 1_000_000)
    }

    fn telling() -> Telling {
        Telling { process: "one:1".to_owned(), told: None, stamp: 0 }
    }

    fn told(
        work: &str,
        partition: u32,
        (message, attempts, since): (&str, u64, i64),
    ) -> ToldFailure {
        let failure = Failure { message: message.to_owned(), attempts, since: at(since) };
        let stream = StreamId::Partition(PartitionId(partition)).to_string();
        ToldFailure { work: work.to_owned(), stream, failure }
    }

    // REQ: OPS-05
    #[tokio::test]
    async fn others_read_what_fails_and_no_more_what_goes_on() {
        let (store, failures) = (MemoryStore::new(false), Failures::default());
        let mut telling = telling();
        failures.stuck(PartitionId(2), DECIDER, "no clock".to_owned(), at(1));
        failures.stuck(PartitionId(3), METER, "no log".to_owned(), at(2));
        telling.pass(&store, &failures, at(3)).await.unwrap();
        failures.given_up(PartitionId(2), DECIDER);
        failures.stuck(PartitionId(3), METER, "no seals".to_owned(), at(4));
        telling.pass(&store, &failures, at(5)).await.unwrap();
        let found = failures_of(&store, "one:1").await.unwrap();
        assert_eq!(found, [told("meter", 3, ("no seals", 2, 2))]);
        assert!(failures_of(&store, "other:1").await.unwrap().is_empty());
    }

    // REQ: OPS-05
    #[tokio::test]
    async fn clocks_that_go_back_hide_nothing() {
        let store = MemoryStore::new(false);
        for (seconds, message) in [(9_000, Some("no clock")), (9_001, None), (10, Some("no log"))] {
            // Each time another process of the same name.
            let failures = Failures::default();
            if let Some(message) = message {
                failures.stuck(PartitionId(2), DECIDER, message.to_owned(), at(seconds));
            }
            telling().pass(&store, &failures, at(seconds)).await.unwrap();
            let expected = message.map(|it| told("decider", 2, (it, 1, seconds)));
            let found = failures_of(&store, "one:1").await.unwrap();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }

    // REQ: OPS-05
    #[tokio::test]
    async fn partitions_are_told_of_before_tenants() {
        let (store, failures) = (MemoryStore::new(false), Failures::default());
        for number in 0..TOLD_MAX * 2 {
            let tenant = StreamId::Tenant(TenantId::parse(format!("t-{number}")).unwrap());
            failures.failed(&tenant, "timer", "not decided".repeat(1_000), at(1));
        }
        failures.stuck(PartitionId(2), DECIDER, "no clock".to_owned(), at(1));
        telling().pass(&store, &failures, at(2)).await.unwrap();
        let found = failures_of(&store, "one:1").await.unwrap();
        assert_eq!(found.first(), Some(&told("decider", 2, ("no clock", 1, 1))));
        assert_eq!(found.len(), TOLD_MAX);
        let chars = found.iter().map(|it| it.failure.message.chars().count());
        assert_eq!(chars.max(), Some(MESSAGE_CHARS_MAX));
    }
}
