//! Where a meter begins: its checkpoint, and the seals above it folded again, with the
//! records that they cover judged again. What comes out must be what they say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use exchequer_codec::usage::{
    claim_level, counts_to_proto, decode_seal, revisions_from_proto, revisions_to_proto,
};
use exchequer_codec::{head_from_proto, head_to_proto};
use exchequer_journal::Record as LogRecord;
use exchequer_kernel::{Head, RecordHead, Verdict, fold};
use exchequer_metering::Definitions;
use exchequer_projection_usage::{self as usage, Checkpoint, FlushError, Position, Segment};
use exchequer_proto::journal::v1::Range;
use exchequer_proto::usage::v1 as pb;
use exchequer_readstore::{Key, Scan, Value, Write};
use exchequer_types::{Offset, PartitionId, Timestamp};
use prost::Message as _;
use tokio::sync::SemaphorePermit;

use super::folding::{Accepted, fold as fold_batch};
use super::handle::Permit;
use super::judging::{Batch, decoded, judge};
use super::recounting::{Recounts, Touched};
use super::revising::revise;
use super::state::{Metering, Tally};
use super::{Context, adopting, correcting, letters, recounting};
use crate::EngineError;
use crate::decider::{FEATURE_LEVEL, check_level};
use crate::identities::{self, Identities, IndexShape, Merge, Merged};
use crate::tables::{USAGE_ADOPTED, USAGE_IDENTITIES, checkpoint_stamp, partition_value};
use crate::tail::check_remembered;

/// Where the seals are that the checkpoint holds, and those behind it up to their present
/// end: enough to claim. Also the first record that the checkpoint does not hold.
pub(super) async fn head(
    context: &Context,
    partition: PartitionId,
) -> Result<(Head, Offset), EngineError> {
    let stored = usage::checkpoint(context.ports.store.as_ref(), partition).await?;
    let checkpoint = pb::MeterCheckpoint::decode(stored.unwrap_or_default().meter)
        .map_err(exchequer_codec::DecodeError::from)?;
    check_level(partition, checkpoint.feature_level)?;
    let mut head = checkpoint.head.as_ref().map(head_from_proto).transpose()?.unwrap_or_default();
    let seals = context.meters.ports.seals.as_ref();
    check_remembered(seals, "the meter", partition, &head).await?;
    pass(context, partition, &mut head).await?;
    Ok((head, checkpoint.next))
}

/// Passes the seals from `head` to their present end, whatever they say, unless a newer program
/// has claimed them.
pub(super) async fn pass(
    context: &Context,
    partition: PartitionId,
    head: &mut Head,
) -> Result<(), EngineError> {
    let seals = &context.meters.ports.seals;
    let end = seals.end(partition).await?;
    while head.offset < end {
        let read = context.ports.settings.read_bytes_max;
        for record in seals.read(partition, head.offset, read).await? {
            let (record_head, hash, _) = decode_seal(partition, &record.bytes);
            let is_accepted = fold(head, &record_head, &hash) == Verdict::Accepted;
            if is_accepted && matches!(record_head, RecordHead::Claim { .. }) {
                check_level(partition, claim_level(&record.bytes).unwrap_or(0))?;
            }
        }
    }
    Ok(())
}

/// Reads the checkpoint, under the claim of `epoch`; everything later is for `catch_up`.
pub(super) async fn load(
    context: &Context,
    partition: PartitionId,
    epoch: u64,
) -> Result<(Metering, Head), EngineError> {
    let all = context.ports.settings.usage.identity_filter_bytes_max;
    let (mut state, head, seal) =
        read(context, partition, all / context.partitions() as usize).await?;
    state.identities.lead();
    state.checkpoint_epoch = epoch;
    let position = Position { seal, offset: state.next, through: state.through };
    context.meters.live.begin(partition, position);
    // Whoever waits to see a record waits for it anew.
    context.progressed(&state, &head);
    Ok((state, head))
}

/// The checkpoint, whoever wrote it, with the seal up to which its rows are. Without room for
/// filters each block of the index is asked in the store.
pub(super) async fn read(
    context: &Context,
    partition: PartitionId,
    filter_bytes_max: usize,
) -> Result<(Metering, Head, u64), EngineError> {
    let ports = &context.ports;
    let store = ports.store.as_ref();
    let stored = usage::checkpoint(store, partition).await?.unwrap_or_default();
    let checkpoint = pb::MeterCheckpoint::decode(stored.meter.clone())
        .map_err(exchequer_codec::DecodeError::from)?;
    check_level(partition, checkpoint.feature_level)?;
    let head = checkpoint.head.as_ref().map(head_from_proto).transpose()?.unwrap_or_default();
    let seals = context.meters.ports.seals.as_ref();
    check_remembered(seals, "the meter", partition, &head).await?;
    let settings = &ports.settings.usage;
    let shape = IndexShape {
        tables: &USAGE_IDENTITIES,
        window: settings.identity_window,
        entries_max: settings.identity_entries_max,
        filter_bytes_max,
        filter_bits: identities::filter_bits(store),
    };
    let [a, b, c, d, ..] = ports.runtime.nonce();
    let mut identities = Identities::new(partition, u32::from_le_bytes([a, b, c, d]), shape);
    identities.load(store, &checkpoint.blocks, checkpoint.runs).await?;
    let mut state = Metering {
        partition,
        partitions: context.partitions(),
        definitions: Definitions::new(Arc::clone(&context.meters.schemas)),
        identities,
        names: super::names::SharedNames::default(),
        spare: super::judging::Spare::default(),
        seq: head.seq,
        hash: head.hash,
        next_seal: head.offset,
        next: checkpoint.next,
        through: Timestamp::saturating_from_micros(checkpoint.through),
        unsaved: Vec::new(),
        touched: Vec::new(),
        waiting: recounting::from_proto(&checkpoint.touched)?,
        revisions: revisions_from_proto(&checkpoint)?,
        corrections: BTreeMap::new(),
        may_have_corrections: checkpoint.has_corrections,
        // What has changed before this process began is asked for once.
        changes_seen: None,
        adopted_at: BTreeMap::new(),
        absent: std::collections::BTreeSet::new(),
        checkpoint_epoch: 0,
        tally: Tally::of(&checkpoint),
    };
    load_adopted(context, &mut state, head.seq).await?;
    Ok((state, head, stored.seal))
}

/// Takes over again what seals up to `seq` named.
async fn load_adopted(
    context: &Context,
    state: &mut Metering,
    seq: u64,
) -> Result<(), EngineError> {
    let mut scan = Scan::of(&USAGE_ADOPTED, 0, vec![partition_value(state.partition)], usize::MAX);
    scan.to = Some(vec![Value::uint(seq + 1)]);
    for row in context.ports.store.scan(scan).await? {
        let bytes = row.values.get(1).map(Value::as_bytes).unwrap_or_default();
        let message = pb::Adopted::decode(bytes).map_err(exchequer_codec::DecodeError::from)?;
        let from = row.values.first().map_or(0, Value::as_uint);
        let adoption = exchequer_codec::usage::adopted_from_proto(&message)?;
        let seal = row.key.clustering.first().map_or(0, Value::as_uint);
        adopting::remember(state, &adoption, &message);
        state.definitions.adopt(seal, from, adoption);
    }
    Ok(())
}

/// Folds the seals from `head` to their present end onto `state`.
pub(super) async fn catch_up(
    context: &Context,
    state: &mut Metering,
    head: &mut Head,
) -> Result<(), EngineError> {
    let seals = &context.meters.ports.seals;
    let end = seals.end(state.partition).await?;
    let mut ahead = Ahead::default();
    while head.offset < end {
        let read = context.ports.settings.read_bytes_max;
        for record in seals.read(state.partition, head.offset, read).await? {
            let (record_head, hash, seal) = decode_seal(state.partition, &record.bytes);
            let verdict = fold(head, &record_head, &hash);
            super::count(state.partition, verdict, head.offset);
            state.tally.passed(verdict);
            if let (Verdict::Accepted, Some(seal)) = (verdict, seal) {
                replay(context, state, &mut ahead, (&seal, record.offset)).await?;
                context.progressed(state, head);
                if context.meters.state(state.partition).split == Some(head.seq) {
                    state.stand_at(head);
                    write_behind(context, state, head).await?;
                    if let Some(mut source) = context.meters.live.source(state.partition) {
                        source.stand_on_rows();
                    }
                    context.meters.update(state.partition, |it| it.split = None);
                }
            }
        }
        if context.is_full(state) {
            write_behind(context, state, head).await?;
        }
    }
    state.stand_at(head);
    if let Some(mut source) = context.meters.live.source(state.partition) {
        source.settle();
    }
    Ok(())
}

/// Judges what an accepted seal covers, and compares.
async fn replay(
    context: &Context,
    state: &mut Metering,
    ahead: &mut Ahead,
    (seal, offset): (&pb::Seal, Offset),
) -> Result<(), EngineError> {
    let differs = |what: String| {
        EngineError::Stopped(format!(
            "seal {} of usage partition {}, at offset {offset}, {what}: it was not made of these records by these rules; run `exchequer verify usage`",
            seal.seq, seal.epoch
        ))
    };
    if seal.from != state.next {
        return Err(differs(format!("begins at record {}, not at {}", seal.from, state.next)));
    }
    for (index, message) in (0..).zip(&seal.adopted) {
        adopting::apply(state, (seal.seq, index), message)?;
    }
    let batch = if let Some(said) = &seal.revision {
        let revised = revise(context, state, Some((said.from, said.to))).await?;
        let Some(batch) = revised.filter(|it| it.revision.as_ref() == Some(said)) else {
            return Err(differs("revises otherwise than its records say".to_owned()));
        };
        batch
    } else {
        let records = ahead.range(context, state.partition, (seal.from, seal.to)).await?;
        let read = decoded(context, &records, Vec::new());
        judge(context, state, &records, &read).await?
    };
    if batch.to != seal.to {
        return Err(differs(format!("ends at record {}, and the log at {}", seal.to, batch.to)));
    }
    let counts = counts_to_proto(&batch.counts);
    if counts != seal.counts {
        return Err(differs(format!(
            "counts {:?}, and its records come to {counts:?}",
            seal.counts
        )));
    }
    if batch.root.0 != seal.root.as_ref() {
        return Err(differs("has another root than its records".to_owned()));
    }
    state.through = state.through.max(Timestamp::saturating_from_micros(seal.through));
    let batch = Batch { through: state.through, ..batch };
    state.seq = seal.seq;
    state.tally.dead_letters += letters::count(&letters::of(context, state.partition, &batch));
    let accepted = Accepted { partition: state.partition, seq: seal.seq, offset };
    fold_batch(&context.meters.live, &context.ports.key, accepted, &batch);
    recounting::note(state, accepted.seq, &batch.contributions);
    Ok(())
}

/// The records from..to, as far as they are there.
pub(super) async fn read_range(
    context: &Context,
    partition: PartitionId,
    from: Offset,
    to: Offset,
) -> Result<Vec<LogRecord>, EngineError> {
    Ahead::default().range(context, partition, (from, to)).await
}

/// Records behind those that were asked for last: a seal may cover one, and a read brings
/// thousands. At most what one read brings is kept.
#[derive(Debug, Default)]
struct Ahead(VecDeque<LogRecord>);

impl Ahead {
    /// The records from..to, as far as they are there; what follows them is kept.
    async fn range(
        &mut self,
        context: &Context,
        partition: PartitionId,
        (from, to): (Offset, Offset),
    ) -> Result<Vec<LogRecord>, EngineError> {
        if self.0.front().is_some_and(|first| first.offset > from) {
            self.0.clear();
        }
        let mut records: Vec<LogRecord> = Vec::new();
        let mut next = from;
        while next < to {
            while self.0.front().is_some_and(|it| it.offset < next) {
                self.0.pop_front();
            }
            if self.0.is_empty() {
                let bytes = context.ports.settings.read_bytes_max;
                self.0 = context.meters.sealed_records(partition, next, bytes).await?.into();
            }
            let Some(record) = self.0.front().filter(|it| it.offset < to) else { break };
            next = record.offset + 1;
            records.extend(self.0.pop_front());
        }
        Ok(records)
    }
}

/// What a flush writes, and what is saved when it is done.
#[derive(Debug)]
pub(super) struct WriteBehind<'a> {
    segment: Arc<Segment>,
    recounts: Recounts,
    /// With `meter` in it.
    checkpoint: Checkpoint,
    meter: pb::MeterCheckpoint,
    rows: Vec<Write>,
    epoch: u64,
    merge: Option<(Merge, SemaphorePermit<'a>)>,
    pub(super) saved: Saved,
}

/// What a flush holds, once it is done.
#[derive(Debug)]
pub(super) struct Saved {
    seq: u64,
    next: Offset,
    unsaved: usize,
    identities: identities::Flush,
    /// What the next write has to put together anew.
    waiting: Vec<Touched>,
}

/// The state as it is, to be written. `head` is where it stands: everything in it must be
/// accepted. None when there is nothing to write.
pub(super) async fn snapshot<'a>(
    context: &'a Context,
    state: &mut Metering,
    head: &Head,
) -> Result<Option<WriteBehind<'a>>, EngineError> {
    let segment = context.meters.live.source(state.partition).and_then(|mut it| it.freeze());
    let Some(segment) = segment else { return Ok(None) };
    let recounts = recounting::read(context, state).await?;
    let turn = context.meters.may_merge();
    let merge = turn.and_then(|turn| Some((state.identities.merge_due(state.through)?, turn)));
    let mut flush = state.identities.flush(state.through);
    let mut rows = core::mem::take(&mut flush.writes);
    rows.extend(state.unsaved.iter().map(|(seq, index, from, message)| Write {
        table: &USAGE_ADOPTED,
        generation: 0,
        key: Key {
            partition: vec![partition_value(state.partition)],
            clustering: vec![Value::uint(*seq), Value::uint(*index)],
        },
        values: Some(vec![Value::uint(*from), Value::Bytes(Bytes::from(message.encode_to_vec()))]),
        timestamp: *seq,
    }));
    rows.extend(correcting::writes(state));
    let mut meter = pb::MeterCheckpoint {
        head: Some(head_to_proto(head)),
        next: state.next,
        through: state.through.micros(),
        blocks: flush.blocks.clone(),
        runs: Some(Range { from: flush.runs.0, to: flush.runs.1 }),
        has_corrections: state.may_have_corrections || !state.corrections.is_empty(),
        feature_level: FEATURE_LEVEL,
        ignored: state.tally.ignored,
        breaks: state.tally.breaks,
        dead_letters: state.tally.dead_letters,
        ..pb::MeterCheckpoint::default()
    };
    revisions_to_proto(&state.revisions, &mut meter);
    let seal = segment.to();
    debug_assert_eq!(seal, head.seq);
    let checkpoint = Checkpoint {
        seal,
        offset: state.next,
        through: state.through,
        meter: Bytes::from(meter.encode_to_vec()),
        ..Checkpoint::default()
    };
    let (unsaved, next) = (state.unsaved.len(), state.next);
    let saved = Saved { seq: seal, next, unsaved, identities: flush, waiting: Vec::new() };
    let epoch = state.checkpoint_epoch;
    Ok(Some(WriteBehind { segment, recounts, checkpoint, meter, rows, epoch, merge, saved }))
}

/// Writes what `snapshot` gave and, behind it, merges blocks of the index. The permit was
/// there before the snapshot.
pub(super) async fn write(
    context: &Context,
    mut it: WriteBehind<'_>,
    permit: Permit<'_>,
) -> Result<(Saved, Option<Merged>), EngineError> {
    let store = context.ports.store.as_ref();
    let mut batch = usage::flush(store, &it.segment, &mut it.checkpoint).await.map_err(of_flush)?;
    let rows = usage::Pending::above(store, core::mem::take(&mut batch.rows));
    let place = (it.segment.source(), it.saved.seq);
    it.saved.waiting = recounting::put(&rows, place, &it.recounts).await.map_err(of_flush)?;
    batch.rows = rows.into_writes();
    if !it.saved.waiting.is_empty() {
        it.meter.touched = recounting::to_proto(&it.saved.waiting);
        it.checkpoint.is_unsettled = true;
        it.checkpoint.meter = Bytes::from(it.meter.encode_to_vec());
        batch.last = vec![it.checkpoint.put(&it.segment)];
    }
    drop(it.segment);
    batch.rows.extend(it.rows);
    for write in &mut batch.last {
        write.timestamp = checkpoint_stamp((it.epoch, true), it.saved.seq);
    }
    if store.is_atomic() {
        store.write(batch).await?;
    } else {
        let [members, batch] = usage::members_first(batch);
        if !members.rows.is_empty() {
            store.write(members).await?;
        }
        store.write(batch).await?;
    }
    // A merge holds little and takes long.
    drop(permit);
    let merged = match it.merge {
        Some((merge, _turn)) => Some(merge.run(store).await?),
        None => None,
    };
    Ok((it.saved, merged))
}

fn of_flush(error: FlushError) -> EngineError {
    match error {
        FlushError::Store(fault) => fault.into(),
        FlushError::Split { at } => EngineError::Split { at },
        error @ FlushError::Damaged(_) => EngineError::Stopped(error.to_string()),
    }
}

/// What was written is in the store.
pub(super) fn saved(context: &Context, state: &mut Metering, saved: Saved, merged: Option<Merged>) {
    let is_read_by_others = context.ports.settings.usage.read_by_others;
    if let Some(mut source) = context.meters.live.source(state.partition) {
        if is_read_by_others {
            source.written_for_others(saved.seq);
        } else {
            source.written(saved.seq);
        }
    }
    if is_read_by_others {
        // Whoever waits for news looks at what is touched.
        context.meters.update(state.partition, |_| {});
    }
    state.unsaved.drain(..saved.unsaved);
    state.may_have_corrections |= !state.corrections.is_empty();
    state.corrections.retain(|_, offsets| {
        offsets.retain(|offset| *offset >= saved.next);
        !offsets.is_empty()
    });
    state.identities.flushed(saved.identities);
    state.waiting = saved.waiting;
    if let Some(merged) = merged {
        state.identities.merged(merged);
    }
}

async fn write_behind(
    context: &Context,
    state: &mut Metering,
    head: &Head,
) -> Result<(), EngineError> {
    let permit = context.meters.may_flush().await;
    let Some(written) = snapshot(context, state, head).await? else { return Ok(()) };
    let (done, merged) = write(context, written, permit).await?;
    saved(context, state, done, merged);
    Ok(())
}
