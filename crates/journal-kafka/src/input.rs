//! The lanes of commands behind their port: two topics whose brokers say when each
//! record came.

use bytes::Bytes;
use exchequer_journal::{InputLog, InputRecord, Lane, Reading, Submitting};
use exchequer_types::{LogId, Offset, PartitionId};
use futures::future::BoxFuture;

use crate::client::Figures;
use crate::ring::{Limit, Stored};
use crate::settings::Settings;
use crate::topic::{Producers, Topic};
use crate::{SetupError, topics};

/// Both lanes of input.
#[derive(Debug)]
pub struct KafkaInput {
    lanes: [Topic; 2],
    ids: [LogId; 2],
}

/// Bytes of one read, so that its size is bounded whatever the records are.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

impl KafkaInput {
    /// Opens the two topics, commands first, as they were created and checked. Blocks.
    pub fn open(
        settings: &Settings,
        commands: &topics::Known,
        internal: &topics::Known,
    ) -> Result<Self, SetupError> {
        let open =
            |known: &topics::Known| Topic::open(settings, &known.spec, Producers::Shared, None);
        Ok(Self { lanes: [open(commands)?, open(internal)?], ids: [commands.id, internal.id] })
    }

    /// The newest figures of both lanes' clients.
    pub fn figures(&self) -> [Figures; 2] {
        self.lanes.each_ref().map(Topic::figures)
    }

    fn lane(&self, lane: Lane) -> &Topic {
        &self.lanes[lane.index()]
    }
}

impl InputLog for KafkaInput {
    fn id(&self, lane: Lane) -> LogId {
        self.ids[lane.index()]
    }

    fn submit(&self, lane: Lane, partition: PartitionId, record: Bytes) -> Submitting<'_> {
        Box::pin(self.lane(lane).append(partition, vec![record]))
    }

    fn read(
        &self,
        lane: Lane,
        partition: PartitionId,
        from: Offset,
        records_max: usize,
    ) -> Reading<'_> {
        Box::pin(async move {
            if records_max == 0 {
                return Ok(Vec::new());
            }
            let limit = Limit { records_max, bytes_max: READ_BYTES_MAX };
            let found = self.lane(lane).read(partition, from, limit).await?;
            Ok(found.into_iter().map(input).collect())
        })
    }

    fn wait(&self, lane: Lane, partition: PartitionId, offset: Offset) -> BoxFuture<'_, ()> {
        Box::pin(self.lane(lane).wait(partition, offset))
    }

    /// The topic's retention forgets: other readers may still want what this one does not.
    fn forget(&self, _lane: Lane, _partition: PartitionId, _low: Offset) {}
}

fn input(record: Stored) -> InputRecord {
    let Stored { offset, appended_at, bytes } = record;
    InputRecord { offset, appended_at, bytes }
}
