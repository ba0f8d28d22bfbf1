//! What fails in one process of a cluster, written where the others read it. Each process has
//! rows of its own, so that none has to be told from those of whoever had the work before.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_readstore::{
    Batch, Column, Fault, Key, Kind, ReadStore, Row, Scan, Table, Value, Write,
};
use exchequer_runtime::TaskError;
use exchequer_types::{StreamId, Timestamp};
use tracing::warn;

use super::{Failure, Failures};
use crate::Ports;

/// By process, then by work and stream.
pub(crate) static FAILURES: Table = Table {
    name: "failures",
    partition_key: &[Column { name: "process", kind: Kind::Text }],
    clustering: &[
        Column { name: "work", kind: Kind::Text },
        Column { name: "stream", kind: Kind::Text },
    ],
    columns: &[
        Column { name: "message", kind: Kind::Text },
        Column { name: "attempts", kind: Kind::Int },
        // In microseconds since the Unix epoch.
        Column { name: "since", kind: Kind::Int },
    ],
};

const GENERATION: u64 = 0;
/// How often it is written what fails.
const INTERVAL: Duration = Duration::from_secs(1);
/// More failures of a process are known there alone.
const TOLD_MAX: usize = 256;

/// Work and stream.
type Name = (String, String);

/// What a process has written last of what fails in it, by work and stream.
pub async fn failures_of(
    store: &dyn ReadStore,
    process: &str,
) -> Result<BTreeMap<(String, String), Failure>, Fault> {
    let rows = rows_of(store, process).await?;
    Ok(rows.iter().filter_map(read).collect())
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
            // Some of it may be written.
            telling.told = None;
        }
        ports.runtime.sleep(INTERVAL).await;
    }
}

struct Telling {
    process: String,
    /// What is written, also by whoever was called so before; None when it is not known.
    told: Option<BTreeMap<Name, Failure>>,
    /// Of the last write; the next one stands above it, whatever the clock says.
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
            let rows = rows_of(store, &self.process).await?;
            let latest = rows.iter().map(|row| row.timestamp).max();
            self.stamp = self.stamp.max(latest.unwrap_or(0));
            rows.iter().filter_map(read).collect()
        };
        let named = |((stream, work), failure): ((StreamId, &str), Failure)| {
            ((work.to_owned(), stream.to_string()), failure)
        };
        let present: BTreeMap<Name, Failure> =
            failures.present().into_iter().take(TOLD_MAX).map(named).collect();
        if present != told {
            self.stamp = u64::try_from(now.micros()).unwrap_or(0).max(self.stamp + 1);
            let gone = told.keys().filter(|name| !present.contains_key(*name));
            let changed = present.iter().filter(|(name, it)| told.get(*name) != Some(*it));
            let gone = gone.map(|name| self.write(name, None));
            let changed = changed.map(|(name, it)| self.write(name, Some(it)));
            let rows = gone.chain(changed).collect();
            store.write(Batch { rows, last: Vec::new() }).await?;
        }
        self.told = Some(present);
        Ok(())
    }

    fn write(&self, (work, stream): &Name, failure: Option<&Failure>) -> Write {
        let values = |it: &Failure| {
            let since = Value::Int(it.since.micros());
            vec![Value::text(it.message.as_str()), Value::uint(it.attempts), since]
        };
        Write {
            table: &FAILURES,
            generation: GENERATION,
            key: Key {
                partition: vec![Value::text(self.process.as_str())],
                clustering: vec![Value::text(work.as_str()), Value::text(stream.as_str())],
            },
            values: failure.map(values),
            timestamp: self.stamp,
        }
    }
}

async fn rows_of(store: &dyn ReadStore, process: &str) -> Result<Vec<Row>, Fault> {
    let partition = vec![Value::text(process)];
    // A write that was cut off may have left some of those before.
    store.scan(Scan::of(&FAILURES, GENERATION, partition, 2 * TOLD_MAX)).await
}

fn read(row: &Row) -> Option<(Name, Failure)> {
    let ([work, stream], [message, attempts, since]) =
        (row.key.clustering.as_slice(), row.values.as_slice())
    else {
        return None;
    };
    let failure = Failure {
        message: message.as_text().to_owned(),
        attempts: attempts.as_uint(),
        since: Timestamp::saturating_from_micros(since.as_int()),
    };
    Some(((work.as_text().to_owned(), stream.as_text().to_owned()), failure))
}

#[cfg(test)]
mod tests {
    use exchequer_readstore::MemoryStore;
    use exchequer_types::PartitionId;

    use super::*;
    use crate::failures::{DECIDER, METER};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::saturating_from_micros(seconds * 1_000_000)
    }

    fn telling() -> Telling {
        Telling { process: "one:1".to_owned(), told: None, stamp: 0 }
    }

    async fn works(store: &MemoryStore) -> Vec<Name> {
        failures_of(store, "one:1").await.unwrap().into_keys().collect()
    }

    fn name(work: &str, stream: &str) -> Name {
        (work.to_owned(), stream.to_owned())
    }

    // REQ: OPS-05
    #[tokio::test]
    async fn others_read_what_fails_and_no_more_what_goes_on() {
        let (store, failures) = (MemoryStore::new(false), Failures::default());
        let mut telling = telling();
        failures.stuck(PartitionId(2), DECIDER, "no clock".to_owned(), at(1));
        failures.stuck(PartitionId(3), METER, "no log".to_owned(), at(2));
        telling.pass(&store, &failures, at(3)).await.unwrap();
        failures.goes_on(PartitionId(2), DECIDER);
        failures.stuck(PartitionId(3), METER, "no seals".to_owned(), at(4));
        telling.pass(&store, &failures, at(5)).await.unwrap();
        let found = failures_of(&store, "one:1").await.unwrap();
        let failure = Failure { message: "no seals".to_owned(), attempts: 2, since: at(2) };
        assert_eq!(found, [(name("meter", "~partition-3"), failure)].into());
        assert!(failures_of(&store, "other:1").await.unwrap().is_empty());
    }

    // REQ: OPS-05
    #[tokio::test]
    async fn a_process_clears_what_it_left_behind_though_its_clock_has_gone_back() {
        let (store, failures) = (MemoryStore::new(false), Failures::default());
        failures.stuck(PartitionId(2), DECIDER, "no clock".to_owned(), at(9_000));
        telling().pass(&store, &failures, at(9_000)).await.unwrap();
        assert_eq!(works(&store).await, [name("decider", "~partition-2")]);
        let failures = Failures::default();
        failures.stuck(PartitionId(1), METER, "no log".to_owned(), at(10));
        telling().pass(&store, &failures, at(10)).await.unwrap();
        assert_eq!(works(&store).await, [name("meter", "~partition-1")]);
    }
}
