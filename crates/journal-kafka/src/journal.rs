//! A topic behind the journal's port.

use std::sync::Arc;

use bytes::Bytes;
use exchequer_journal::{Fault, Intake, Journal, Record};
use exchequer_types::{Offset, PartitionId};
use futures::future::BoxFuture;

use crate::client::Figures;
use crate::ring::Limit;
use crate::settings::Settings;
use crate::topic::{Producers, Topic};
use crate::{SetupError, topics};

/// A log of one writer for each partition: the journal, or the seals of usage.
#[derive(Debug)]
pub struct KafkaJournal {
    topic: Topic,
}

impl KafkaJournal {
    /// Opens the topic of `spec`, which [`topics::check`] has found right. Each partition
    /// has a producer of its own: what fails on one ends no other's appends. Blocks.
    pub fn open(settings: &Settings, spec: &topics::Spec) -> Result<Self, SetupError> {
        Ok(Self { topic: Topic::open(settings, spec, Producers::EachPartition, None)? })
    }

    /// The same for a log that many write to, such as usage: all partitions share a producer.
    pub fn open_shared(settings: &Settings, spec: &topics::Spec) -> Result<Self, SetupError> {
        Ok(Self { topic: Topic::open(settings, spec, Producers::Shared, None)? })
    }

    /// The same for a log that others write to by themselves: readers get what `intake`
    /// makes of each record, at the record's own offset. Blocks.
    pub fn open_produced(
        settings: &Settings,
        spec: &topics::Spec,
        intake: Arc<dyn Intake>,
    ) -> Result<Self, SetupError> {
        Ok(Self { topic: Topic::open(settings, spec, Producers::Shared, Some(intake))? })
    }

    /// The newest figures of its clients.
    pub fn figures(&self) -> Figures {
        self.topic.figures()
    }
}

impl Journal for KafkaJournal {
    fn partitions(&self) -> u32 {
        self.topic.partitions()
    }

    fn append(
        &self,
        partition: PartitionId,
        record: Bytes,
    ) -> BoxFuture<'_, Result<Option<Offset>, Fault>> {
        Box::pin(self.topic.append(partition, vec![record]))
    }

    fn append_all(
        &self,
        partition: PartitionId,
        records: Vec<Bytes>,
    ) -> BoxFuture<'_, Result<Option<Offset>, Fault>> {
        Box::pin(self.topic.append(partition, records))
    }

    fn prepare(&self, partition: PartitionId) {
        self.topic.prepare(partition);
    }

    fn end(&self, partition: PartitionId) -> BoxFuture<'_, Result<Offset, Fault>> {
        Box::pin(self.topic.end(partition))
    }

    fn read(
        &self,
        partition: PartitionId,
        from: Offset,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, Fault>> {
        Box::pin(async move {
            let limit = Limit { records_max: usize::MAX, bytes_max };
            let found = self.topic.read(partition, from, limit).await?;
            let record = |it: crate::ring::Stored| Record { offset: it.offset, bytes: it.bytes };
            Ok(found.into_iter().map(record).collect())
        })
    }

    fn wait(&self, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()> {
        Box::pin(self.topic.wait(partition, offset))
    }
}
