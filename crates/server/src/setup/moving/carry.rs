//! One log of a data folder into a topic: each record at the offset that it had. What the
//! topic holds already is compared first, so that what was cut short goes on, and a topic
//! that holds anything else is refused before anything is written.

use std::sync::Arc;

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, Journal};
use exchequer_journal_local::{FileError, JournalReader, PhysicalRecord};
use exchequer_types::{Offset, PartitionId};
use futures::future::try_join_all;

use super::digest::Digest;

/// Handed over at once, of all partitions together.
const AHEAD_BYTES_MAX: usize = 8 * 1024 * 1024;
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Topics that grew in each of so many pauses have somebody else who writes there.
const PAUSES_MAX: usize = 10;

/// What the topic's readers would get of a record.
pub(super) type ReadAs<'a> = &'a (dyn Fn(&Bytes) -> Bytes + Sync);

/// A log, and where it goes.
pub(super) struct Log<'a> {
    /// Of the topic.
    pub(super) name: String,
    pub(super) from: &'a JournalReader,
    pub(super) to: Arc<dyn Journal>,
    /// Where that may be something else than the record.
    pub(super) read_as: Option<ReadAs<'a>>,
}

/// Why a log was not carried, or not to its end. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    #[error("a log of the folder cannot be read, and nothing of the folder was changed")]
    File(#[from] FileError),
    #[error(
        "{topic}/{partition} holds {found} records, and the folder {wanted}: it is not a copy of \
         this folder that was cut short. Carry it to topics that are new, under another \
         kafka.prefix"
    )]
    Longer { topic: String, partition: PartitionId, found: u64, wanted: u64 },
    #[error(
        "{topic}/{partition} holds {found} records, and the folder {wanted}, which were not all \
         there when it was carried: what came later is in the folder alone. Nothing can carry it \
         on; move the whole folder to topics that are new, under another kafka.prefix"
    )]
    Behind { topic: String, partition: PartitionId, found: u64, wanted: u64 },
    #[error(
        "{topic}/{partition} holds something else than the folder, at offset {from} or behind it: \
         it is not a copy of this folder that was cut short. Carry it to topics that are new, \
         under another kafka.prefix"
    )]
    Other { topic: String, partition: PartitionId, from: Offset },
    #[error(
        "record {offset} of partition {partition} would not be read from {topic} as it stands in \
         the folder: it cannot be carried by this version"
    )]
    NotReadSo { topic: String, partition: PartitionId, offset: Offset },
    #[error(
        "somebody else writes to {topic}/{partition}: a record for offset {expected} came to \
         {found}. Stop all processes of the cluster, and begin with topics that are new, under \
         another kafka.prefix"
    )]
    Displaced { topic: String, partition: PartitionId, expected: Offset, found: Offset },
    #[error(
        "{topic}/{partition} still grows, and nobody is to write there: stop whoever does, and \
         repeat the command"
    )]
    NotStill { topic: String, partition: PartitionId },
    #[error("{topic}: {fault}; when the brokers answer, the same command goes on where it was")]
    Unavailable { topic: String, fault: Fault },
    #[error(
        "{topic}: {fault}; the same command would meet it again: mend the topic, or carry the \
         folder to topics that are new, under another kafka.prefix"
    )]
    Broken { topic: String, fault: Fault },
}

/// What carrying a log came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Carried {
    /// Records of the folder.
    pub(super) records: u64,
    /// Of these, how many were in the topic before.
    pub(super) found: u64,
    /// Of each partition.
    pub(super) digests: Vec<Digest>,
}

impl Log<'_> {
    fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.from.partitions()).map(PartitionId)
    }

    pub(super) fn fault(&self, fault: Fault) -> CarryError {
        let topic = self.name.clone();
        if fault.is_retryable() {
            CarryError::Unavailable { topic, fault }
        } else {
            CarryError::Broken { topic, fault }
        }
    }

    /// Where the partitions of the topic end.
    async fn ends(&self) -> Result<Vec<Offset>, CarryError> {
        let mut ends = Vec::new();
        for partition in self.partitions() {
            ends.push(self.to.end(partition).await.map_err(|fault| self.fault(fault))?);
        }
        Ok(ends)
    }

    /// Finds in the topic the first records of the folder and nothing else; how many of each
    /// partition. Writes nothing.
    pub(super) async fn compare(&self) -> Result<Vec<Offset>, CarryError> {
        let ends = self.ends().await?;
        let ours = self.of_folder(&ends)?;
        for ((partition, digest), end) in self.partitions().zip(ours).zip(&ends) {
            let topic = || self.name.clone();
            if digest.records() < *end {
                let (found, wanted) = (*end, digest.records());
                return Err(CarryError::Longer { topic: topic(), partition, found, wanted });
            }
            let theirs = self.of_topic(partition, *end, |_| ()).await?;
            if let Some(from) = digest.first_difference(&theirs) {
                return Err(CarryError::Other { topic: topic(), partition, from });
            }
        }
        Ok(ends)
    }

    /// The same once more, if anything came since.
    pub(super) async fn compare_since(&self, ends: Vec<Offset>) -> Result<Vec<Offset>, CarryError> {
        if self.ends().await? == ends { Ok(ends) } else { self.compare().await }
    }

    /// Finds all records of the folder in the topic, which may hold more behind them.
    pub(super) async fn find_all(&self) -> Result<(), CarryError> {
        let ours = self.of_folder(&vec![Offset::MAX; self.partitions().count()])?;
        for (partition, digest) in self.partitions().zip(ours) {
            let (topic, wanted) = (self.name.clone(), digest.records());
            let found = self.to.end(partition).await.map_err(|fault| self.fault(fault))?;
            if found < wanted {
                return Err(CarryError::Behind { topic, partition, found, wanted });
            }
            let theirs = self.of_topic(partition, wanted, |_| ()).await?;
            if let Some(from) = digest.first_difference(&theirs) {
                return Err(CarryError::Other { topic, partition, from });
            }
        }
        Ok(())
    }

    /// Of the first records of each partition of the folder, up to `ends`; of all records
    /// it is seen whether they would be read again as they are.
    fn of_folder(&self, ends: &[Offset]) -> Result<Vec<Digest>, CarryError> {
        let mut digests = vec![Digest::default(); ends.len()];
        for record in self.from.records() {
            let PhysicalRecord { partition, offset, bytes, .. } = record?;
            if self.read_as.is_some_and(|read_as| read_as(&bytes) != bytes) {
                return Err(CarryError::NotReadSo { topic: self.name.clone(), partition, offset });
            }
            if offset < ends[partition.index()] {
                digests[partition.index()].add(&bytes);
            }
        }
        Ok(digests)
    }

    /// Of a partition of the topic, up to `end`. Each record is shown to `see`.
    pub(super) async fn of_topic(
        &self,
        partition: PartitionId,
        end: Offset,
        mut see: impl FnMut(&Bytes),
    ) -> Result<Digest, CarryError> {
        let mut digest = Digest::default();
        while digest.records() < end {
            let read = self.to.read(partition, digest.records(), READ_BYTES_MAX).await;
            let records = read.map_err(|fault| self.fault(fault))?;
            if records.is_empty() {
                let silent =
                    Fault::new(FaultKind::Unavailable, "records that are there do not come");
                return Err(self.fault(silent));
            }
            for record in records.iter().take_while(|record| record.offset < end) {
                digest.add(&record.bytes);
                see(&record.bytes);
            }
        }
        Ok(digest)
    }

    /// Appends what the topic does not hold yet, behind `ends`, which were compared.
    pub(super) async fn append(&self, ends: &[Offset]) -> Result<Carried, CarryError> {
        let mut carried =
            Carried { digests: vec![Digest::default(); ends.len()], ..Carried::default() };
        let mut lanes: Vec<Lane> =
            self.partitions().zip(ends).map(|(it, end)| Lane::new(it, *end)).collect();
        let mut ahead = 0;
        for record in self.from.records() {
            let PhysicalRecord { partition, offset, bytes, .. } = record?;
            carried.records += 1;
            carried.digests[partition.index()].add(&bytes);
            if offset < ends[partition.index()] {
                carried.found += 1;
                continue;
            }
            if ahead + bytes.len() > AHEAD_BYTES_MAX {
                self.flush(&mut lanes).await?;
                ahead = 0;
            }
            ahead += bytes.len();
            lanes[partition.index()].waiting.push(bytes);
        }
        self.flush(&mut lanes).await?;
        Ok(carried)
    }

    async fn flush(&self, lanes: &mut [Lane]) -> Result<(), CarryError> {
        let lanes = lanes.iter_mut().filter(|lane| !lane.waiting.is_empty());
        try_join_all(lanes.map(|lane| self.send(lane))).await.map(drop)
    }

    /// A partition's records go one call behind another, so that each has its place.
    async fn send(&self, lane: &mut Lane) -> Result<(), CarryError> {
        let records = core::mem::take(&mut lane.waiting);
        let (partition, expected, count) = (lane.partition, lane.next, records.len() as u64);
        let appended = self.to.append_all(partition, records).await;
        let told = appended.map_err(|fault| self.fault(fault))?;
        let found = if let Some(first) = told {
            first
        } else {
            // Nobody told: then the end must tell.
            let end = self.to.end(partition).await.map_err(|fault| self.fault(fault))?;
            end.saturating_sub(count)
        };
        if found != expected {
            let topic = self.name.clone();
            return Err(CarryError::Displaced { topic, partition, expected, found });
        }
        lane.next += count;
        Ok(())
    }
}

/// Waits until nothing comes to the topics any more: what a call that was cut short had sent
/// may still arrive. A `pause` is longer than brokers have to answer an append.
pub(super) async fn stand_still(
    logs: &[&Log<'_>],
    mut pause: impl AsyncFnMut(),
) -> Result<(), CarryError> {
    let mut before = all_ends(logs).await?;
    let mut growing = None;
    for _ in 0..PAUSES_MAX {
        pause().await;
        let now = all_ends(logs).await?;
        growing = logs.iter().zip(before.iter().zip(&now)).find_map(|(log, (before, now))| {
            let at = before.iter().zip(now).position(|(before, now)| before != now)?;
            let partition = log.partitions().nth(at)?;
            Some(CarryError::NotStill { topic: log.name.clone(), partition })
        });
        if growing.is_none() {
            break;
        }
        before = now;
    }
    growing.map_or(Ok(()), Err)
}

async fn all_ends(logs: &[&Log<'_>]) -> Result<Vec<Vec<Offset>>, CarryError> {
    let mut all = Vec::new();
    for log in logs {
        all.push(log.ends().await?);
    }
    Ok(all)
}

/// A partition on its way.
struct Lane {
    partition: PartitionId,
    /// The offset that the first of those that wait is to have.
    next: Offset,
    waiting: Vec<Bytes>,
}

impl Lane {
    fn new(partition: PartitionId, next: Offset) -> Self {
        Self { partition, next, waiting: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use exchequer_journal::MemoryJournal;
    use exchequer_journal_local::{LocalJournal, Options};

    use super::*;

    const PARTITIONS: u32 = 3;

    async fn folder(data: &Path, records: u64) -> JournalReader {
        let options = Options { partitions: PARTITIONS, ..Options::default() };
        let (journal, _) = LocalJournal::open(data, options).unwrap();
        for number in 0..records {
            let partition = PartitionId(number as u32 % PARTITIONS);
            journal.append(partition, text(number)).await.unwrap();
        }
        journal.close();
        JournalReader::open(data).unwrap()
    }

    fn text(number: u64) -> Bytes {
        Bytes::from(format!("record {number}"))
    }

    fn log<'a>(from: &'a JournalReader, to: &Arc<MemoryJournal>) -> Log<'a> {
        let to = Arc::<MemoryJournal>::clone(to);
        Log { name: "journal".to_owned(), from, to, read_as: None }
    }

    async fn carry(log: &Log<'_>) -> Result<Carried, CarryError> {
        let ends = log.compare().await?;
        log.append(&ends).await
    }

    // REQ: KER-07
    #[tokio::test]
    async fn each_record_comes_to_its_offset_and_what_is_there_is_not_written_again() {
        let data = tempfile::tempdir().unwrap();
        let from = folder(data.path(), 100).await;
        let to = Arc::new(MemoryJournal::new(PARTITIONS));
        // What an earlier call was cut short behind: more of one partition than of others.
        to.push_all(PartitionId(1), [text(1), text(4), text(7)]);
        to.push(PartitionId(2), text(2));
        let log = log(&from, &to);
        let carried = carry(&log).await.unwrap();
        assert_eq!((carried.records, carried.found), (100, 4));
        for partition in log.partitions() {
            let end = to.end(partition).await.unwrap();
            let found = log.of_topic(partition, end, |_| ()).await.unwrap();
            assert_eq!(found, carried.digests[partition.index()]);
        }
        assert_eq!(carry(&log).await.unwrap().found, 100, "nothing was left to do");
    }

    // REQ: KER-07
    #[tokio::test]
    async fn a_topic_that_holds_something_else_is_refused_and_left_alone() {
        let data = tempfile::tempdir().unwrap();
        let from = folder(data.path(), 30).await;
        let other = Arc::new(MemoryJournal::new(PARTITIONS));
        other.push_all(PartitionId(2), [text(2), text(6)]);
        let refused = carry(&log(&from, &other)).await.unwrap_err();
        let CarryError::Other { partition, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*partition, PartitionId(2));
        assert!(refused.to_string().contains("kafka.prefix"), "{refused}");
        assert_eq!(other.end(PartitionId(0)).await.unwrap(), 0, "nothing was written");

        let longer = Arc::new(MemoryJournal::new(PARTITIONS));
        longer.push_all(PartitionId(0), (0..11).map(|it| text(it * 3)));
        let refused = carry(&log(&from, &longer)).await.unwrap_err();
        assert!(matches!(refused, CarryError::Longer { found: 11, wanted: 10, .. }), "{refused}");
    }

    // REQ: KER-07
    #[tokio::test]
    async fn a_folder_that_has_grown_since_it_was_carried_is_not_taken_for_carried() {
        let data = tempfile::tempdir().unwrap();
        let from = folder(data.path(), 30).await;
        let to = Arc::new(MemoryJournal::new(PARTITIONS));
        carry(&log(&from, &to)).await.unwrap();
        to.push(PartitionId(0), text(99));
        log(&from, &to).find_all().await.unwrap();
        // Another folder of the same beginning, with two records more.
        let longer = tempfile::tempdir().unwrap();
        let longer = folder(longer.path(), 32).await;
        let refused = log(&longer, &to).find_all().await.unwrap_err();
        let CarryError::Other { partition, from: 0, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*partition, PartitionId(0), "the cluster's own record stands there");
        let cut = Arc::new(MemoryJournal::new(PARTITIONS));
        carry(&log(&from, &cut)).await.unwrap();
        let refused = log(&longer, &cut).find_all().await.unwrap_err();
        assert!(matches!(refused, CarryError::Behind { found: 10, wanted: 11, .. }), "{refused}");
    }

    // REQ: KER-07
    #[tokio::test]
    async fn a_record_of_somebody_else_between_them_is_noticed() {
        let data = tempfile::tempdir().unwrap();
        let from = folder(data.path(), 30).await;
        let to = Arc::new(MemoryJournal::new(PARTITIONS));
        let log = log(&from, &to);
        let ends = log.compare().await.unwrap();
        to.push(PartitionId(1), text(99));
        let refused = log.append(&ends).await.unwrap_err();
        let wanted = CarryError::Displaced {
            topic: "journal".to_owned(),
            partition: PartitionId(1),
            expected: 0,
            found: 1,
        };
        assert_eq!(refused.to_string(), wanted.to_string());
    }

    // REQ: KER-07
    #[tokio::test]
    async fn what_an_earlier_call_had_sent_is_waited_for() {
        let data = tempfile::tempdir().unwrap();
        let from = folder(data.path(), 30).await;
        let to = Arc::new(MemoryJournal::new(PARTITIONS));
        let log = log(&from, &to);
        let before = log.compare().await.unwrap();
        let mut late = [text(4), text(1)].to_vec();
        let arriving = async || {
            if let Some(record) = late.pop() {
                to.push(PartitionId(1), record);
            }
        };
        stand_still(&[&log], arriving).await.unwrap();
        let ends = log.compare_since(before).await.unwrap();
        assert_eq!(ends, [0, 2, 0], "both had come");
        assert_eq!(log.append(&ends).await.unwrap().found, 2);

        let mut number = 0;
        let writing = async || {
            number += 1;
            to.push(PartitionId(2), text(number));
        };
        let refused = stand_still(&[&log], writing).await.unwrap_err();
        let CarryError::NotStill { partition, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*partition, PartitionId(2));
    }

    // REQ: KER-07
    #[tokio::test]
    async fn a_fault_says_whether_the_same_command_helps() {
        let data = tempfile::tempdir().unwrap();
        let from = folder(data.path(), 3).await;
        let log = log(&from, &Arc::new(MemoryJournal::new(PARTITIONS)));
        let silent = log.fault(Fault::new(FaultKind::Unavailable, "no answer"));
        assert!(silent.to_string().contains("goes on where it was"), "{silent}");
        for kind in [FaultKind::Damaged, FaultKind::Expired { begins_at: 7 }, FaultKind::TooLarge] {
            let broken = log.fault(Fault::new(kind, "of the topic"));
            assert!(broken.to_string().contains("would meet it again"), "{broken}");
        }
    }

    // REQ: KER-07, USE-12
    #[tokio::test]
    async fn a_record_that_would_be_read_as_another_one_is_not_carried() {
        let data = tempfile::tempdir().unwrap();
        let from = folder(data.path(), 3).await;
        let to = Arc::new(MemoryJournal::new(PARTITIONS));
        let read_as = |bytes: &Bytes| bytes.slice(..bytes.len().min(7));
        let log = Log { read_as: Some(&read_as), ..log(&from, &to) };
        let refused = carry(&log).await.unwrap_err();
        assert!(matches!(refused, CarryError::NotReadSo { offset: 0, .. }), "{refused}");
        assert_eq!(to.end(PartitionId(0)).await.unwrap(), 0);
    }
}
