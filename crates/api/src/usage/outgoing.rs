//! Records of one request on their way to the log, by partition.

use bytes::{Bytes, BytesMut};
use exchequer_codec::usage as codec;
use exchequer_metering::event::{Event, REASON_BYTES_MAX, Told, cut};
use exchequer_metering::{EventRecord, partition_of_event};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{PartitionId, Timestamp};

use super::verdict::Reason;

/// Memory for records that is asked for at once.
const CHUNK_BYTES: usize = 64 * 1024;

pub(super) struct Outgoing {
    received_at: Timestamp,
    parts: Vec<Part>,
    buffer: BytesMut,
    scratch: Vec<u8>,
}

/// What goes to one partition.
pub(super) struct Part {
    pub(super) partition: PartitionId,
    pub(super) records: Vec<Bytes>,
    /// Places in the request of the events among them.
    pub(super) events: Vec<u32>,
}

impl Outgoing {
    pub(super) fn new(partitions: u32, received_at: Timestamp) -> Self {
        let empty =
            |it| Part { partition: PartitionId(it), records: Vec::new(), events: Vec::new() };
        let parts = (0..partitions).map(empty).collect();
        Self { received_at, parts, buffer: BytesMut::new(), scratch: Vec::new() }
    }

    pub(super) fn put(&mut self, index: u32, event: &Event<'_>) {
        let record = EventRecord {
            tenant: &event.tenant,
            source: &event.source,
            id: &event.id,
            body: event.body(),
        };
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(CHUNK_BYTES);
        }
        let bytes = codec::encode_event(&mut self.buffer, self.received_at, &record);
        if let Some(part) = self.part(&event.tenant, &event.id) {
            part.records.push(bytes);
            part.events.push(index);
        }
    }

    /// Puts the record of a refusal that `encode` makes.
    pub(super) fn keep(
        &mut self,
        told: &Told,
        bytes: usize,
        reason: &Reason,
        encode: impl FnOnce(Timestamp, pb::Refused) -> Bytes,
    ) {
        let Some(tenant) = &told.tenant else { return };
        let message = cut(&reason.message, REASON_BYTES_MAX);
        let refused = pb::Refused {
            tenant: tenant.to_string(),
            source: told.source.clone(),
            id: told.id.clone(),
            r#type: told.kind.clone(),
            field: reason.field.to_string(),
            reason: format!("{}: {}", reason.code, message),
            bytes: bytes as u64,
        };
        let record = encode(self.received_at, refused);
        if let Some(part) = self.part(tenant.as_str(), &told.id) {
            part.records.push(record);
        }
    }

    pub(super) fn parts(self) -> impl Iterator<Item = Part> {
        self.parts.into_iter().filter(|part| !part.records.is_empty())
    }

    fn part(&mut self, tenant: &str, id: &str) -> Option<&mut Part> {
        let partitions = self.parts.len() as u32;
        let own = partition_of_event(tenant, id, partitions, &mut self.scratch);
        self.parts.get_mut(own.index())
    }
}
