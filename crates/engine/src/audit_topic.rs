//! The audit topic: accepted entries, one a record, in the order of the journal, for those
//! who read them without our API. Each record carries the place in the journal behind its
//! commit, so that whoever publishes next goes on from the topic's own end. A record may
//! come twice after a fault, and none is ever left out.

use core::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use exchequer_codec::{decode_record, head_from_proto, head_to_proto};
use exchequer_journal::{Outgoing, Outlet};
use exchequer_kernel::Head;
use exchequer_proto::journal::v1 as pb;
use exchequer_runtime::{Metric, TaskError, TaskKind};
use exchequer_types::{Hash, PartitionId};
use futures::future::{Either, select};
use prost::Message as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::sharing::{OwnPartition, Share};
use crate::tail::check_remembered;
use crate::{EngineError, Ports, Tail};

/// One append: small enough to be one batch on its way, of which all lands or nothing.
const RECORDS_MAX: usize = 1_000;
const BYTES_MAX: usize = 512 * 1024;

const TENANT: &str = "tenant";
const SEQ: &str = "seq";
const LEAF: &str = "leaf";
const PREV: &str = "prev";
/// Where the next publisher goes on: for it alone.
const RESUME: &str = "resume";

/// Publishes each partition that is this process's own, until the process ends.
pub(crate) fn start(
    kind: TaskKind,
    ports: &Ports,
    tail: &Arc<Tail>,
    outlet: &Arc<dyn Outlet>,
    share: &Share,
) {
    for partition in (0..tail.partitions()).map(PartitionId) {
        let publisher = Publisher {
            kind,
            ports: ports.clone(),
            tail: Arc::clone(tail),
            outlet: Arc::clone(outlet),
            partition,
        };
        let own = share.partition(partition);
        ports.runtime.spawn(kind, Box::pin(publisher.share(own)));
    }
}

struct Publisher {
    kind: TaskKind,
    ports: Ports,
    tail: Arc<Tail>,
    outlet: Arc<dyn Outlet>,
    partition: PartitionId,
}

impl Publisher {
    async fn share(self, mut own: OwnPartition) -> Result<(), TaskError> {
        let (topics, partitions) = (self.outlet.partitions(), self.tail.partitions());
        if topics != partitions {
            return Err(TaskError(format!(
                "the audit topic has {topics} partitions, and the journal has {partitions}"
            )));
        }
        loop {
            own.gained().await;
            let has_stopped = {
                let publishing = core::pin::pin!(self.run());
                matches!(select(core::pin::pin!(own.lost()), publishing).await, Either::Right(_))
            };
            if has_stopped {
                // Whoever gets the partition next must not wait for this process.
                own.lost().await;
            }
            info!(partition = self.partition.0, "the audit topic given up");
            own.release();
        }
    }

    /// Publishes for ever; ends with what cannot be tried again here.
    async fn run(&self) {
        let partition = self.partition;
        let mut backoff = Backoff::default();
        loop {
            match self.publish().await {
                Err(error) if error.is_retryable() => {
                    warn!(partition = partition.0, %error, "the audit topic pauses");
                    backoff.pause(self.ports.runtime.as_ref()).await;
                }
                Err(error) => {
                    error!(partition = partition.0, %error, "the audit topic stopped");
                    Metric::TasksFailed.counter(&[self.kind.name]).increment(1);
                    return;
                }
            }
        }
    }

    async fn publish(&self) -> Result<Infallible, EngineError> {
        let (mut head, left) = self.resume().await?;
        self.send(left).await?;
        let mut changes = self.tail.changes();
        loop {
            changes.borrow_and_update();
            let items = self.tail.next(self.partition, &mut head).await?;
            let mut records = Vec::new();
            for item in &items {
                records.extend(published(&item.entry.commit.audit, &item.head)?);
            }
            self.send(records).await?;
            // Where the tail is behind the topic, it gets there by itself.
            if head.offset >= self.tail.offset(self.partition) && changes.changed().await.is_err() {
                core::future::pending::<()>().await;
            }
        }
    }

    /// The place behind the commit whose entry is the topic's last record, and what of that
    /// commit is not published yet.
    async fn resume(&self) -> Result<(Head, Vec<Outgoing>), EngineError> {
        let partition = self.partition;
        let Some(last) = self.outlet.last(partition).await? else {
            return Ok((Head::default(), Vec::new()));
        };
        let foreign = || {
            EngineError::Stopped(format!(
                "the last record of partition {partition} of the audit topic was not published \
                 from this journal: if the journal is the right one, make the topic anew and \
                 tell its readers"
            ))
        };
        let place = last.header(RESUME).cloned().ok_or_else(foreign)?;
        let place = pb::ReaderHead::decode(place).map_err(|_| foreign())?;
        let head = head_from_proto(&place).map_err(|_| foreign())?;
        let journal = self.ports.journal.as_ref();
        match check_remembered(journal, "the audit topic", partition, &head).await {
            Err(EngineError::Forgotten { .. } | EngineError::Older { .. }) => return Err(foreign()),
            checked => checked?,
        }
        let read = journal.read(partition, head.commit_offset, 1).await?;
        let commit = read.first().and_then(|it| decode_record(partition, &it.bytes).2);
        let entries = commit.ok_or_else(foreign)?.audit;
        let (tenant, seq) = (last.header(TENANT), last.header(SEQ));
        let is_last = |it: &pb::AuditEntry| {
            tenant.is_some_and(|tenant| tenant == it.tenant.as_bytes())
                && seq.is_some_and(|seq| seq == it.seq.to_string().as_bytes())
        };
        let at = entries.iter().position(is_last).ok_or_else(foreign)?;
        Ok((head.clone(), published(&entries[at + 1..], &head)?))
    }

    async fn send(&self, records: Vec<Outgoing>) -> Result<(), EngineError> {
        let mut part = Vec::new();
        let mut bytes = 0;
        for record in records {
            if part.len() >= RECORDS_MAX || bytes + record.bytes() > BYTES_MAX {
                self.outlet.publish(self.partition, core::mem::take(&mut part)).await?;
                bytes = 0;
            }
            bytes += record.bytes();
            part.push(record);
        }
        if !part.is_empty() {
            self.outlet.publish(self.partition, part).await?;
        }
        Ok(())
    }
}

/// What of an entry says where it stands.
#[derive(Deserialize)]
struct Place<'a> {
    prev: &'a str,
}

/// The records of a commit's entries; `head` is the place behind the commit.
fn published(entries: &[pb::AuditEntry], head: &Head) -> Result<Vec<Outgoing>, EngineError> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let resume = Bytes::from(head_to_proto(head).encode_to_vec());
    let record = |entry: &pb::AuditEntry| {
        let place: Place<'_> = serde_json::from_slice(&entry.leaf).map_err(|error| {
            let (seq, tenant) = (entry.seq, &entry.tenant);
            EngineError::Stopped(format!("entry {seq} of {tenant} cannot be read: {error}"))
        })?;
        let leaf = Hash(Sha256::digest(&entry.leaf).into()).to_hex();
        let tenant = Bytes::copy_from_slice(entry.tenant.as_bytes());
        let header = |name: &str, value: Bytes| (name.to_owned(), value);
        Ok(Outgoing {
            key: tenant.clone(),
            headers: vec![
                header(TENANT, tenant),
                header(SEQ, Bytes::from(entry.seq.to_string())),
                header(LEAF, Bytes::from(leaf)),
                header(PREV, Bytes::copy_from_slice(place.prev.as_bytes())),
                header(RESUME, resume.clone()),
            ],
            value: entry.leaf.clone(),
        })
    };
    entries.iter().map(record).collect()
}
