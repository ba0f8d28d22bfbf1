//! Where a decider begins: its checkpoint, and the journal's tail folded onto it.

use std::collections::BTreeSet;

use bytes::Bytes;
use exchequer_codec::{
    claim_level, decode_event, decode_stream, encode_stream, head_from_proto, head_to_proto,
    status_of,
};
use exchequer_journal::Lane;
use exchequer_kernel::{Head, Progress, Verdict};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Batch, Key, Row, Value, Write};
use exchequer_tenant::Stream;
use exchequer_types::{LogId, PartitionId, Place, StreamId, Timestamp};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use prost::Message;

use super::batch::Deciding;
use super::streams::Streams;
use super::{FEATURE_LEVEL, check_level};
use crate::identities::{self, Flush, Identities, IndexShape, Known};
use crate::settings::{COMMIT_BYTES_MAX, IDENTITY_WINDOW};
use crate::tables::{
    CELLS, COMMAND_IDENTITIES, PARTITIONS, checkpoint_epoch, checkpoint_stamp, partition_value,
};
use crate::tail::{Tail, TailItem, fold_record};
use crate::{EngineError, Ports};

/// Rows of the store that are asked for at once.
pub(super) const READS_AT_ONCE_MAX: usize = 64;

/// Version of the fold that makes state from events; leads each cell's key, so
/// that a changed fold refolds beside the old.
pub(crate) const FOLD_VERSION: i64 = 2;

/// Where the partition's last decider wrote a checkpoint: whoever follows begins there.
pub(crate) async fn checkpointed(
    ports: &Ports,
    partition: PartitionId,
) -> Result<Head, EngineError> {
    let Some(row) = ports.store.get(&PARTITIONS, 0, checkpoint_key(partition)).await? else {
        return Ok(Head::default());
    };
    let checkpoint = read_checkpoint(&row)?;
    Ok(checkpoint.head.as_ref().map(head_from_proto).transpose()?.unwrap_or_default())
}

fn read_checkpoint(row: &Row) -> Result<pb::PartitionCheckpoint, exchequer_codec::DecodeError> {
    Ok(pb::PartitionCheckpoint::decode(column(row))?)
}

fn column(row: &Row) -> Bytes {
    row.values.first().map(Value::as_bytes).unwrap_or_default()
}

/// Is the checkpoint that was loaded still the one that stands?
pub(crate) async fn stands(ports: &Ports, state: &Deciding) -> Result<bool, EngineError> {
    let row = ports.store.get(&PARTITIONS, 0, checkpoint_key(state.partition)).await?;
    Ok(row.map_or_else(Bytes::new, |row| column(&row)) == state.loaded)
}

/// Reads the checkpoint; everything later is for `catch_up`.
pub(crate) async fn load(
    ports: &Ports,
    tail: &Tail,
    partition: PartitionId,
) -> Result<(Deciding, Head), EngineError> {
    let row = ports.store.get(&PARTITIONS, 0, checkpoint_key(partition)).await?;
    let epoch = row.as_ref().map_or(0, |row| checkpoint_epoch(row.timestamp));
    let checkpoint = match &row {
        Some(row) => read_checkpoint(row)?,
        None => pb::PartitionCheckpoint::default(),
    };
    check_level(partition, checkpoint.feature_level)?;
    let head = match &checkpoint.head {
        Some(head) => head_from_proto(head)?,
        None => Head::default(),
    };
    tail.check_remembered("the decider", partition, &head).await?;
    let settings = &ports.settings;
    let share = |bytes: usize| bytes / ports.journal.partitions() as usize;
    let [a, b, c, d, ..] = ports.runtime.nonce();
    let index = IndexShape {
        tables: &COMMAND_IDENTITIES,
        window: IDENTITY_WINDOW,
        entries_max: settings.identity_entries_max,
        filter_bytes_max: share(settings.identity_filter_bytes_max),
        filter_bits: identities::filter_bits(ports.store.as_ref()),
    };
    let mut identities = Identities::new(partition, u32::from_le_bytes([a, b, c, d]), index);
    identities.load(ports.store.as_ref(), &checkpoint.blocks, checkpoint.runs).await?;
    let mut state = Deciding {
        partition,
        own_stream: StreamId::Partition(partition),
        streams: Streams::new(share(settings.state_bytes_max)),
        identities,
        logs: [ports.inputs.id(Lane::Commands), ports.inputs.id(Lane::Internal)],
        progress: Default::default(),
        now: Timestamp::saturating_from_micros(checkpoint.now),
        seq: head.seq,
        hash: head.hash,
        commit_bytes_max: settings.commit_bytes_max.min(COMMIT_BYTES_MAX),
        checkpoint_epoch: epoch,
        leads: false,
        loaded: row.map_or_else(Bytes::new, |row| column(&row)),
        next_offset: head.offset,
    };
    state.take_progress(&checkpoint.progress);
    hydrate(ports, &mut state.streams, &[state.own_stream.clone()]).await?;
    Ok((state, head))
}

/// Folds the journal from `head` to its present end onto `state`, and feeds the tail.
pub(crate) async fn catch_up(
    ports: &Ports,
    tail: &Tail,
    state: &mut Deciding,
    head: &mut Head,
) -> Result<(), EngineError> {
    let end = ports.journal.end(state.partition).await?;
    while head.offset < end {
        let read = ports.settings.read_bytes_max;
        for record in ports.journal.read(state.partition, head.offset, read).await? {
            let (verdict, item) = fold_record(state.partition, head, &record.bytes);
            match &item {
                Some(item) => replay(ports, state, item).await?,
                None if verdict == Verdict::Accepted => {
                    check_level(state.partition, claim_level(&record.bytes).unwrap_or(0))?;
                }
                None => {}
            }
            tail.advance(state.partition, verdict, head, item);
        }
        if state.streams.dirty_len() >= ports.settings.flush_streams_max || state.streams.is_full()
        {
            write_behind(ports, state, head).await?;
        }
    }
    state.seq = head.seq;
    state.hash = head.hash;
    state.next_offset = head.offset;
    Ok(())
}

/// Takes an accepted commit over.
async fn replay(ports: &Ports, state: &mut Deciding, item: &TailItem) -> Result<(), EngineError> {
    let commit = &item.entry.commit;
    let now = Timestamp::saturating_from_micros(commit.now);
    state.take_progress(&commit.progress);
    state.now = state.now.max(now);
    let mut ids: Vec<StreamId> = Vec::new();
    let mut last = "";
    for event in &commit.events {
        if event.stream != last {
            ids.push(stream_id(&event.stream)?);
            last = &event.stream;
        }
    }
    hydrate(ports, &mut state.streams, &ids).await?;
    let mut leaves = commit.audit.iter().peekable();
    let mut events = commit.events.iter().peekable();
    while let Some(first) = events.next() {
        // One input's events are of one stream, and stand together.
        let id = stream_id(&first.stream)?;
        let known = state.streams.saved(&id) >= commit.seq;
        let mut stream = state.streams.get(&id).cloned().unwrap_or_default();
        let mut next = Some(first);
        while let Some(event) = next {
            let decoded = decode_event(&event.stream, &event.r#type, &event.payload)?;
            stream.evolve(&decoded, Timestamp::saturating_from_micros(event.at));
            next = events.next_if(|it| it.input == first.input);
        }
        while let Some(leaf) = leaves.next_if(|leaf| leaf.input <= first.input) {
            stream.audit.follow(leaf.seq, &leaf.leaf);
        }
        if !known {
            state.streams.change(&id, stream, commit.seq);
        }
    }
    remember(state, item, now);
    Ok(())
}

fn remember(state: &mut Deciding, item: &TailItem, now: Timestamp) {
    let outcomes = item.entry.commit.outcomes.iter();
    for (index, (outcome, key)) in outcomes.zip(item.keys.iter()).enumerate() {
        let takes = status_of(outcome).is_some_and(exchequer_kernel::Status::takes_identity);
        if let (true, Some(id)) = (takes, key.filter(|id| id.is_kept)) {
            let place = Place { offset: item.entry.offset, index: index as u32 };
            let known = Known { place, body_digest: id.key.body_digest, at: now };
            state.identities.insert(id.key.identity, known);
        }
    }
}

/// Loads the streams that are not in memory; an unknown one is an empty one.
pub(crate) async fn hydrate(
    ports: &Ports,
    streams: &mut Streams,
    ids: &[StreamId],
) -> Result<(), EngineError> {
    let missing: BTreeSet<&StreamId> = ids.iter().filter(|id| !streams.contains(id)).collect();
    let read = |id| {
        let cell = ports.store.get(&CELLS, 0, cell_key(id));
        async move { Ok((id, cell.await?)) }.boxed()
    };
    let reads: Vec<BoxFuture<'_, Result<_, EngineError>>> = missing.into_iter().map(read).collect();
    let mut loaded = stream::iter(reads).buffered(READS_AT_ONCE_MAX);
    while let Some((id, cell)) = loaded.try_next().await? {
        let (stream, saved) = match cell {
            Some(row) => (decode_stream(&row.values[1].as_bytes())?, row.values[0].as_uint()),
            None => (Stream::default(), 0),
        };
        streams.load(id.clone(), stream, saved);
    }
    Ok(())
}

/// What a flush writes, and what is saved when it is done.
#[derive(Debug)]
pub(crate) struct WriteBehind {
    pub(crate) batch: Batch,
    seq: u64,
    identities: Flush,
}

/// The state as it is, to be written. `head` is where it stands: everything in
/// it must be accepted.
pub(crate) fn snapshot(state: &Deciding, head: &Head) -> WriteBehind {
    let mut rows: Vec<Write> = state
        .streams
        .dirty()
        .map(|(id, stream, seq)| Write {
            table: &CELLS,
            generation: 0,
            key: cell_key(id),
            values: Some(vec![Value::uint(seq), Value::Bytes(encode_stream(stream))]),
            timestamp: seq,
        })
        .collect();
    let identities = state.identities.flush(state.now);
    rows.extend(identities.writes.iter().cloned());
    let checkpoint = pb::PartitionCheckpoint {
        head: Some(head_to_proto(head)),
        now: state.now.micros(),
        progress: state.progress_message(),
        blocks: identities.blocks.clone(),
        runs: Some(pb::Range { from: identities.runs.0, to: identities.runs.1 }),
        feature_level: FEATURE_LEVEL,
    };
    let last = vec![Write {
        table: &PARTITIONS,
        generation: 0,
        key: checkpoint_key(state.partition),
        values: Some(vec![Value::Bytes(checkpoint.encode_to_vec().into())]),
        timestamp: checkpoint_stamp((state.checkpoint_epoch, state.leads), head.offset),
    }];
    WriteBehind { batch: Batch { rows, last }, seq: state.seq, identities }
}

/// The writes of `written` are in the store.
pub(crate) fn saved(state: &mut Deciding, written: WriteBehind) {
    state.streams.saved_up_to(written.seq);
    state.identities.flushed(written.identities);
    state.streams.shrink(&state.own_stream);
}

async fn write_behind(ports: &Ports, state: &mut Deciding, head: &Head) -> Result<(), EngineError> {
    state.seq = head.seq;
    let mut written = snapshot(state, head);
    ports.store.write(core::mem::take(&mut written.batch)).await?;
    saved(state, written);
    Ok(())
}

impl Deciding {
    /// Progress in this deployment's present input logs; another log's is past.
    fn take_progress(&mut self, stated: &[pb::Progress]) {
        for it in stated {
            let Some(log) = LogId::from_slice(&it.log) else { continue };
            if let Some(lane) = self.logs.iter().position(|own| *own == log) {
                let ranges = it.decided.iter().map(|range| (range.from, range.to));
                self.progress[lane] = Progress::new(it.low, ranges);
            }
        }
    }
}

fn stream_id(text: &str) -> Result<StreamId, EngineError> {
    let field = "stream";
    Ok(StreamId::parse(text).map_err(|_| exchequer_codec::DecodeError::Field { field })?)
}

fn cell_key(id: &StreamId) -> Key {
    let partition = vec![Value::text(id.to_string()), Value::Int(FOLD_VERSION)];
    Key { partition, clustering: Vec::new() }
}

fn checkpoint_key(partition: PartitionId) -> Key {
    let partition = vec![partition_value(partition), Value::Int(FOLD_VERSION)];
    Key { partition, clustering: Vec::new() }
}
