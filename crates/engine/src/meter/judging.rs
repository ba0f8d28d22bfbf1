//! A batch of records judged in their order. Nothing is changed by it but what the meter
//! holds in memory, which is dropped when the seal of the batch is not accepted.

use std::sync::Arc;

use bytes::Bytes;
use exchequer_codec::usage::{Root, decode_record, encode_forwarded};
use exchequer_journal::Record as LogRecord;
use exchequer_kernel::SealKey;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_metering::{
    BodyDigest, Contribution, CorrectionRecord, EventIdentity, EventRecord, Fate, Fault, First,
    Judge, Prepared, Record, RecordBody, Revisions, partition_of_event, seen,
};
use exchequer_projection_usage::Kind;
use exchequer_proto::usage::v1 as pb;
use exchequer_readstore::ReadStore;
use exchequer_types::{Hash, Identity, Offset, PartitionId, Place, TenantId, Timestamp};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::Context;
use super::correcting::correct;
use super::names::SharedNames;
use super::state::Metering;
use crate::EngineError;
use crate::identities::{Identities, Known};

/// Records that are looked up together.
const RECORDS_AT_ONCE: usize = 1_024;
/// Of which so many wait for the store at a time.
const LOOKUPS_AT_ONCE: usize = 64;

/// Records with their fates, ready to be sealed.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) from: Offset,
    pub(super) to: Offset,
    pub(super) through: Timestamp,
    pub(super) adopted: Vec<pb::Adopted>,
    pub(super) records: Vec<Judged>,
    pub(super) contributions: Vec<Contribution>,
    /// Records of which more than their fate is told.
    pub(super) listed: Vec<Told>,
    /// By fate, in the order of [`Fate::ALL`].
    pub(super) counts: [u64; Fate::ALL.len()],
    pub(super) root: Hash,
    /// Earliest and latest time of the events that count.
    pub(super) times: Option<(Timestamp, Timestamp)>,
    /// To be sent on before the batch is sealed.
    pub(super) forwards: Vec<(PartitionId, Bytes)>,
    pub(super) revision: Option<pb::Revision>,
    /// Bytes of the records.
    pub(super) bytes: usize,
}

/// One record.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) kind: Kind,
    pub(super) received_at: Timestamp,
    /// None: see what is told of it.
    pub(super) tenant: Option<Arc<TenantId>>,
}

/// What a list says of a record.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) offset: Offset,
    /// Of the record in the batch.
    pub(super) index: usize,
    pub(super) bytes: Bytes,
    pub(super) fault: Option<Fault>,
    pub(super) first: Option<Offset>,
}

impl Batch {
    pub(super) fn empty(at: Offset, through: Timestamp) -> Self {
        Self {
            from: at,
            to: at,
            through,
            adopted: Vec::new(),
            records: Vec::new(),
            contributions: Vec::new(),
            listed: Vec::new(),
            counts: [0; Fate::ALL.len()],
            root: Root::default().finish(),
            times: None,
            forwards: Vec::new(),
            revision: None,
            bytes: 0,
        }
    }

    fn push(&mut self, bytes: &Bytes, judged: Judged, first: Option<Offset>, fault: Option<Fault>) {
        if judged.tenant.is_none() || judged.kind.is_listed() || fault.is_some() {
            let (index, offset, bytes) = (self.records.len(), self.to, bytes.clone());
            self.listed.push(Told { offset, index, bytes, fault, first });
        }
        self.records.push(judged);
    }

    fn count(&mut self, root: &mut Root, bytes: &Bytes, fate: Fate) {
        self.counts[fate as usize] += 1;
        self.bytes += bytes.len();
        root.add(&Hash::blake3(bytes), fate);
    }
}

/// The records, read into `list`, which is empty.
pub(super) fn decoded<'a>(
    context: &Context,
    records: &'a [LogRecord],
    mut list: Vec<Record<'a>>,
) -> Vec<Record<'a>> {
    let key = &context.ports.key;
    list.extend(records.iter().map(|it| decode_record(&it.bytes, Some(key))));
    list
}

/// Lists that batches no longer need. Memory that goes back and forth between here and the
/// system costs more than what is put into it.
#[derive(Debug, Default)]
pub(super) struct Spare {
    lists: Vec<(Vec<Judged>, Vec<Contribution>)>,
    read: Vec<Record<'static>>,
}

/// One of the seal in flight, and one of the batch that is judged meanwhile.
const SPARE_LISTS_MAX: usize = 2;
/// Larger lists are not kept.
const SPARE_CONTRIBUTIONS_MAX: usize = 32 * 1_024;

impl Spare {
    fn batch(&mut self, at: Offset, through: Timestamp) -> Batch {
        let (records, contributions) = self.lists.pop().unwrap_or_default();
        Batch { records, contributions, ..Batch::empty(at, through) }
    }

    /// The batch is folded.
    pub(super) fn take_back(&mut self, batch: Batch) {
        let Batch { mut records, mut contributions, .. } = batch;
        let is_small = contributions.capacity() <= SPARE_CONTRIBUTIONS_MAX;
        if self.lists.len() < SPARE_LISTS_MAX && is_small {
            records.clear();
            contributions.clear();
            self.lists.push((records, contributions));
        }
    }

    /// An empty list for records.
    pub(super) fn read<'a>(&mut self) -> Vec<Record<'a>> {
        emptied(core::mem::take(&mut self.read))
    }

    pub(super) fn take_back_read(&mut self, read: Vec<Record<'_>>) {
        self.read = emptied(read);
    }
}

/// The list without what is in it, and with its memory.
fn emptied<'a>(mut list: Vec<Record<'_>>) -> Vec<Record<'a>> {
    list.clear();
    // Nothing is left that would live too long.
    list.into_iter().map_while(|_| None).collect()
}

/// Judges the records from `state.next` on, which are `records`; `read` is what they say.
pub(super) async fn judge(
    context: &Context,
    state: &mut Metering,
    records: &[LogRecord],
    read: &[Record<'_>],
) -> Result<Batch, EngineError> {
    let (partition, partitions) = (state.partition, state.partitions);
    let mut judge = Judge::new(&state.definitions, partition, partitions);
    // A correction is a batch of its own: it stands on all before it.
    if let ([log], [record @ Record { body: RecordBody::Correction(it), .. }]) = (records, read)
        && let Prepared::Correction { identity } = prepare(&mut judge, record)
    {
        return judge_correction(context, state, (log, record, it), identity).await;
    }
    let mut judging = Judging {
        key: &context.ports.key,
        partition,
        partitions,
        judge,
        identities: &mut state.identities,
        names: &mut state.names,
        revisions: &mut state.revisions,
        batch: state.spare.batch(state.next, state.through),
        root: Root::default(),
    };
    let store = context.ports.store.as_ref();
    // One record after the other where the store is in the process, so that its data is read
    // while it is at hand; elsewhere many wait for the store together.
    let at_once = if store.is_atomic() { 1 } else { RECORDS_AT_ONCE };
    let mut prepared = Vec::with_capacity(at_once);
    for (logs, read) in records.chunks(at_once).zip(read.chunks(at_once)) {
        prepared.extend(read.iter().map(|record| prepare(&mut judging.judge, record)));
        let answers = ask(store, judging.identities, read, &prepared).await?;
        let mut answers = answers.into_iter().peekable();
        for (index, ((log, record), prepared)) in
            logs.iter().zip(read).zip(prepared.drain(..)).enumerate()
        {
            debug_assert_eq!(judging.batch.to, log.offset);
            let recent = match &prepared {
                Prepared::Event { identity, .. } => judging.identities.recent(identity),
                _ => None,
            };
            let answer = answers.next_if(|(of, _)| *of == index).and_then(|(_, known)| known);
            judging.record(log, record, prepared, recent.or(answer))?;
        }
    }
    let mut batch = judging.batch;
    batch.root = judging.root.finish();
    state.next = batch.to;
    state.through = batch.through;
    Ok(batch)
}

/// What blocks of the index know of the events that memory knows nothing of: by the place of
/// each, in order, with what is known.
async fn ask(
    store: &dyn ReadStore,
    identities: &Identities,
    read: &[Record<'_>],
    prepared: &[Prepared],
) -> Result<Vec<(usize, Option<Known>)>, EngineError> {
    let asked = prepared.iter().zip(read).enumerate().filter_map(|(index, (prepared, record))| {
        let Prepared::Event { identity, .. } = prepared else { return None };
        let at = record.received_at;
        let is_unknown = identities.recent(identity).is_none() && identities.must_ask(identity, at);
        is_unknown.then_some((index, identity, at))
    });
    let asking = |(index, identity, at)| {
        let answer = async move { Ok((index, identities.ask(store, identity, at).await?)) };
        answer.boxed()
    };
    let answers: Vec<BoxFuture<'_, Result<_, EngineError>>> = asked.map(asking).collect();
    stream::iter(answers).buffered(LOOKUPS_AT_ONCE).try_collect().await
}

fn prepare(judge: &mut Judge<'_>, record: &Record<'_>) -> Prepared {
    let prepared = judge.prepare(record);
    let is_astray = matches!(prepared, Prepared::Settled(Fate::Forwarded, _));
    match &record.body {
        RecordBody::Event(event) if is_astray && mutation::active(Mutation::CountedAstray) => {
            let identity = EventIdentity::of_texts(event.tenant, event.source, event.id).into();
            let digest = BodyDigest::of(&event.body);
            digest.map_or(prepared, |digest| Prepared::Event { identity, digest })
        }
        _ => prepared,
    }
}

async fn judge_correction(
    context: &Context,
    state: &mut Metering,
    (log, record, it): (&LogRecord, &Record<'_>, &CorrectionRecord<'_>),
    identity: Identity,
) -> Result<Batch, EngineError> {
    let mut batch = Batch::empty(state.next, state.through);
    let out = &mut batch.contributions;
    let outcome = correct(context, state, (log, record, it), identity, out).await?;
    let judged = Judged { kind: outcome.kind, received_at: record.received_at, tenant: None };
    batch.push(&log.bytes, judged, outcome.first, outcome.fault);
    let mut root = Root::default();
    batch.count(&mut root, &log.bytes, outcome.fate);
    batch.root = root.finish();
    batch.through = batch.through.max(record.received_at);
    batch.to = log.offset + 1;
    state.next = batch.to;
    state.through = batch.through;
    Ok(batch)
}

/// How many of the records make one batch: a correction is one by itself.
pub(super) fn batch_len(read: &[Record<'_>]) -> usize {
    let is_correction = |it: &Record<'_>| matches!(it.body, RecordBody::Correction(_));
    match read.iter().position(is_correction) {
        Some(0) => 1,
        Some(before) => before,
        None => read.len(),
    }
}

/// A batch in the making.
struct Judging<'a> {
    key: &'a SealKey,
    partition: PartitionId,
    partitions: u32,
    judge: Judge<'a>,
    identities: &'a mut Identities,
    names: &'a mut SharedNames,
    revisions: &'a mut Revisions,
    batch: Batch,
    root: Root,
}

impl Judging<'_> {
    fn record(
        &mut self,
        log: &LogRecord,
        record: &Record<'_>,
        prepared: Prepared,
        known: Option<Known>,
    ) -> Result<(), EngineError> {
        let fate = match (prepared, &record.body) {
            (Prepared::Settled(fate, fault), _) => {
                if fate == Fate::Forwarded {
                    self.forward(log, record)?;
                }
                let is_refused = matches!(record.body, RecordBody::Refused { .. });
                let kind = if is_refused && record.is_authentic {
                    Kind::Refused
                } else {
                    Kind::Fate(fate)
                };
                let tenant = self.judge.tenant(record.names().0);
                let judged = Judged { kind, received_at: record.received_at, tenant };
                self.batch.push(&log.bytes, judged, None, fault);
                fate
            }
            (Prepared::Event { identity, digest }, RecordBody::Event(event)) => {
                self.event((log, record, event), identity, digest, known)
            }
            (Prepared::Correction { .. } | Prepared::Event { .. }, _) => {
                let tenant = self.judge.tenant(record.names().0);
                let kind = Kind::Fate(Fate::Invalid);
                let judged = Judged { kind, received_at: record.received_at, tenant };
                let field = "record".to_owned();
                let reason = "stands among others, and a correction is sealed alone".to_owned();
                let fault = Fault { meter: None, field, reason };
                self.batch.push(&log.bytes, judged, None, Some(fault));
                Fate::Invalid
            }
        };
        self.batch.count(&mut self.root, &log.bytes, fate);
        self.batch.through = self.batch.through.max(record.received_at);
        self.batch.to = log.offset + 1;
        Ok(())
    }

    fn event(
        &mut self,
        (log, record, event): (&LogRecord, &Record<'_>, &EventRecord<'_>),
        identity: Identity,
        digest: BodyDigest,
        known: Option<Known>,
    ) -> Fate {
        let (offset, received_at) = (log.offset, record.received_at);
        let window = self.identities.window();
        let known = known.filter(|known| known.is_kept(received_at, window));
        let first =
            known.map(|known| First { offset: known.place.offset, digest: known.body_digest });
        let seen = seen(first, offset, digest);
        let out = &mut self.batch.contributions;
        let verdict = self.judge.event(offset, record, event, seen, self.names, out);
        let fate = verdict.fate;
        let is_first = fate.takes_identity() && first.is_none_or(|first| first.offset > offset);
        if is_first || mutation::active(Mutation::FirstPosition) {
            let place = Place { offset, index: 0 };
            let known = Known { place, body_digest: digest.0, at: received_at };
            self.identities.insert(identity, known);
        }
        if fate == Fate::Unmatched {
            self.revisions.note_unmatched(event.tenant, offset);
        }
        // Of every event, so that those that are not counted are found by their time too.
        let time = verdict.time;
        let (least, most) = self.batch.times.unwrap_or((time, time));
        self.batch.times = Some((least.min(time), most.max(time)));
        let judged = Judged { kind: Kind::Fate(fate), received_at, tenant: verdict.tenant };
        let at = first.filter(|_| fate == Fate::Conflicting).map(|first| first.offset);
        self.batch.push(&log.bytes, judged, at, verdict.faults.into_iter().next());
        fate
    }

    /// The record is sent on to its own partition, before the batch is sealed.
    fn forward(&mut self, log: &LogRecord, record: &Record<'_>) -> Result<(), EngineError> {
        let (tenant, _, id) = record.names();
        let own = partition_of_event(tenant, id, self.partitions, &mut Vec::new());
        let from = pb::Forwarded {
            partition: self.partition.0,
            offset: log.offset,
            received_at: record.received_at.micros(),
        };
        let bytes = encode_forwarded(&log.bytes, record.received_at, from, self.key)?;
        self.batch.forwards.push((own, bytes));
        Ok(())
    }
}
