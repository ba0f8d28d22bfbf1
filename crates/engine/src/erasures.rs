//! Erasures of persons, from the journal to the key store: all of them before the
//! process serves, then as they are accepted. So a key store that was restored
//! from an older backup, or missed the last ones in a crash, brings nobody back.
//! The key store remembers how far it has come; when the journal is not the one
//! that it remembers, everything is applied again.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_codec::{Entry, decode_event, head_from_proto, head_to_proto};
use exchequer_domain_access::Event as Access;
use exchequer_kernel::Head;
use exchequer_proto::journal::v1 as pb;
use exchequer_runtime::{OnEnd, TaskError, TaskKind};
use exchequer_tenant::Event;
use exchequer_types::{ActorId, Hash, KeyId, PartitionId, TenantId, Timestamp};
use exchequer_vault::{Mark, Vault};
use prost::Message as _;
use tracing::{info, warn};

use crate::tail::{TailItem, TailListener, fold_record};
use crate::{EngineError, Ports, Tail};

const ERASURES: TaskKind = TaskKind { name: "erasures", on_end: OnEnd::ShutDown };
/// Commits are looked through together, at most this late.
const GATHER: Duration = Duration::from_millis(200);
/// The key store remembers how far it has come as often as this. What lies behind
/// is read again at the next start.
const MARKS_INTERVAL: Duration = Duration::from_secs(60);
/// Event types that begin so erase.
const ERASED: &str = "access.person-erased.";

/// A person's erasure, as a commit tells of it.
#[derive(Debug)]
struct Erasure {
    tenant: TenantId,
    subject: ActorId,
    keys: Vec<KeyId>,
    /// By the log's time.
    at: Timestamp,
}

fn erasures(entry: &Entry) -> Result<Vec<Erasure>, EngineError> {
    let events = entry.commit.events.iter().filter(|event| event.r#type.starts_with(ERASED));
    let mut found = Vec::new();
    for event in events {
        let Event::Access(Access::PersonErased { subject, keys }) =
            decode_event(&event.stream, &event.r#type, &event.payload)?
        else {
            continue;
        };
        let Ok(tenant) = TenantId::parse(event.stream.as_str()) else { continue };
        let keys = keys.into_iter().collect();
        found.push(Erasure { tenant, subject, keys, at: entry.now() });
    }
    Ok(found)
}

/// Applies every erasure of the journal, then keeps on applying them. Resolves when
/// everything that is in the journal now is applied.
pub(crate) async fn start(
    ports: &Ports,
    tail: &Arc<Tail>,
    vault: &Vault,
) -> Result<(), EngineError> {
    // Before anything is read, so that nothing falls between what is read and what is
    // told; and told before the gateway, which answers.
    tail.listen_first(Arc::new(Listener { vault: vault.clone() }));
    let mut remembered: BTreeMap<PartitionId, Vec<u8>> =
        vault.store().marks().into_iter().map(|mark| (mark.partition, mark.head)).collect();
    let mut follower = Follower {
        ports: ports.clone(),
        tail: Arc::clone(tail),
        vault: vault.clone(),
        heads: Vec::new(),
        applied: 0,
    };
    for partition in (0..tail.partitions()).map(PartitionId) {
        let mark = remembered.remove(&partition);
        let head = follower.found_again(partition, mark.as_deref()).await?;
        let head = follower.replay(partition, head).await?;
        follower.heads.push(head);
    }
    info!(erasures = follower.applied, "the key store knows who is erased");
    follower.save().await?;
    ports.runtime.spawn(ERASURES, Box::pin(follower.run()));
    Ok(())
}

/// Makes an erased person unreadable here before anybody is answered.
#[derive(Debug)]
struct Listener {
    vault: Vault,
}

impl TailListener for Listener {
    fn accepted(&self, item: &TailItem) {
        // What does not decode ends the follower, which reads it too.
        for erasure in erasures(&item.entry).unwrap_or_default() {
            let Erasure { tenant, subject, keys, at } = &erasure;
            // What is made from now on stays, before anybody has an answer.
            self.vault.note_erasure(tenant, subject.as_str(), *at);
            // Durable when the follower has come by.
            drop(self.vault.erase(keys));
        }
    }
}

struct Follower {
    ports: Ports,
    tail: Arc<Tail>,
    vault: Vault,
    /// By partition: up to where erasures are applied.
    heads: Vec<Head>,
    applied: usize,
}

impl Follower {
    /// Where the key store had come to; the beginning when the journal is not the
    /// one that it remembers.
    async fn found_again(
        &self,
        partition: PartitionId,
        mark: Option<&[u8]>,
    ) -> Result<Head, EngineError> {
        let Some(mark) = mark else { return Ok(Head::default()) };
        let head = pb::ReaderHead::decode(mark).ok().and_then(|it| head_from_proto(&it).ok());
        let Some(head) = head else { return Ok(Head::default()) };
        let journal = &self.ports.journal;
        if head.offset > journal.end(partition).await? {
            warn!(partition = partition.0, "the journal is older than the key store");
            return Ok(Head::default());
        }
        if head.seq == 0 {
            return Ok(head);
        }
        let found = journal.read(partition, head.commit_offset, 1).await?;
        if found.first().is_some_and(|record| Hash::blake3(&record.bytes) == head.hash) {
            return Ok(head);
        }
        warn!(partition = partition.0, "the journal is not the one that the key store has read");
        Ok(Head::default())
    }

    /// Reads to the end of the journal as it is now.
    async fn replay(
        &mut self,
        partition: PartitionId,
        mut head: Head,
    ) -> Result<Head, EngineError> {
        let (journal, bytes_max) =
            (Arc::clone(&self.ports.journal), self.ports.settings.read_bytes_max);
        let end = journal.end(partition).await?;
        while head.offset < end {
            let records = journal.read(partition, head.offset, bytes_max).await?;
            if records.is_empty() {
                break;
            }
            for record in records {
                let (_, item) = fold_record(partition, &mut head, &record.bytes);
                if let Some(item) = item {
                    self.apply(&item.entry).await?;
                }
            }
        }
        Ok(head)
    }

    async fn apply(&mut self, entry: &Entry) -> Result<(), EngineError> {
        for erasure in erasures(entry)? {
            let Erasure { tenant, subject, keys, at } = erasure;
            self.vault.erase_person(&tenant, subject.as_str(), &keys, at).await?;
            self.applied += 1;
        }
        Ok(())
    }

    async fn run(mut self) -> Result<(), TaskError> {
        let mut changes = self.tail.changes();
        let mut saved_at = self.ports.runtime.now();
        loop {
            if changes.changed().await.is_err() {
                return Ok(());
            }
            self.ports.runtime.sleep(GATHER).await;
            let before = self.applied;
            let mut passed = self.pass().await;
            let now = self.ports.runtime.now();
            if passed.is_ok() && (self.applied > before || now.since(saved_at) > MARKS_INTERVAL) {
                passed = self.save().await;
                saved_at = now;
            }
            match passed {
                Ok(()) => {}
                Err(error) if error.is_retryable() => {
                    warn!(%error, "erasures are behind for now");
                    changes.mark_changed();
                }
                Err(error) => return Err(TaskError(format!("erasures: {error}"))),
            }
        }
    }

    /// Up to what is folded by now.
    async fn pass(&mut self) -> Result<(), EngineError> {
        for partition in (0..self.tail.partitions()).map(PartitionId) {
            loop {
                let mut head = self.heads[partition.index()].clone();
                let items = self.tail.next(partition, &mut head).await?;
                let has_moved = head.offset > self.heads[partition.index()].offset;
                for item in &items {
                    self.apply(&item.entry).await?;
                }
                self.heads[partition.index()] = head;
                if !has_moved {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn save(&self) -> Result<(), EngineError> {
        let marks = self.heads.iter().enumerate().map(|(index, head)| Mark {
            partition: PartitionId(index as u32),
            head: head_to_proto(head).encode_to_vec(),
        });
        Ok(self.vault.store().save_marks(marks.collect()).await?)
    }
}
