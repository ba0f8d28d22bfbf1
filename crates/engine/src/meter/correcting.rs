//! Corrections: what an event added is taken back exactly as it was added, and what it
//! comes to with other data takes its place. Which corrections an event has had is kept by
//! its identity.

use bytes::Bytes;
use exchequer_codec::usage::decode_record;
use exchequer_journal::Record as LogRecord;
use exchequer_metering::{
    Contribution, CorrectionRecord, EventIdentity, Fate, Fault, Judge, Left, Record, RecordBody,
};
use exchequer_projection_usage::Kind;
use exchequer_readstore::{Key, Scan, Value, Write};
use exchequer_types::{Identity, Offset, PartitionId};

use super::Context;
use super::handle::FirstRecord;
use super::state::Metering;
use crate::EngineError;
use crate::tables::{USAGE_CORRECTIONS, partition_value};

/// An event as its last correction left it.
#[derive(Debug, Default)]
pub(super) struct Corrected {
    /// In place of its own data.
    pub(super) data: Option<String>,
}

/// What became of a correction.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) fate: Fate,
    pub(super) kind: Kind,
    pub(super) fault: Option<Fault>,
    /// Where the event stands.
    pub(super) first: Option<Offset>,
}

impl Outcome {
    fn refused(fate: Fate, first: Option<Offset>, fault: Fault) -> Self {
        Self { fate, kind: Kind::Fate(fate), fault: Some(fault), first }
    }
}

/// The event of `identity` that stands at `first`, as the last correction before `before`
/// left it; None when that voided it. A correction before `first` was of an event that had
/// the name long ago.
pub(super) async fn corrected(
    context: &Context,
    state: &Metering,
    identity: Identity,
    (first, before): (Offset, Offset),
) -> Result<Option<Corrected>, EngineError> {
    let last = last_correction(context, state, identity, before).await?;
    let Some(last) = last.filter(|last| *last > first) else {
        return Ok(Some(Corrected::default()));
    };
    let log = read_one(context, state.partition, last).await?;
    let record = decode_record(&log.bytes, Some(&context.ports.key));
    match record.body {
        RecordBody::Correction(CorrectionRecord { amended: None, .. }) => Ok(None),
        RecordBody::Correction(CorrectionRecord { amended: Some(data), .. }) => {
            Ok(Some(Corrected { data: Some(data.to_owned()) }))
        }
        _ => Err(EngineError::Stopped(format!(
            "record {last} of usage partition {} is no correction any more",
            state.partition
        ))),
    }
}

async fn last_correction(
    context: &Context,
    state: &Metering,
    identity: Identity,
    before: Offset,
) -> Result<Option<Offset>, EngineError> {
    let recent = state.corrections.get(&identity).into_iter().flatten().rev();
    if let Some(offset) = recent.copied().find(|offset| *offset < before) {
        return Ok(Some(offset));
    }
    if !state.may_have_corrections {
        return Ok(None);
    }
    let mut scan = Scan::of(&USAGE_CORRECTIONS, 0, partition_key(state.partition, identity), 1);
    scan.to = Some(vec![Value::uint(before)]);
    scan.reverse = true;
    let rows = context.ports.store.scan(scan).await?;
    let row = rows.first();
    Ok(row.and_then(|row| row.key.clustering.first()).map(Value::as_uint))
}

async fn read_one(
    context: &Context,
    partition: PartitionId,
    offset: Offset,
) -> Result<LogRecord, EngineError> {
    let read = context.meters.sealed_records(partition, offset, 1).await?;
    read.into_iter().next().ok_or_else(|| {
        EngineError::Stopped(format!("record {offset} of usage partition {partition} is gone"))
    })
}

/// Judges the correction at `log`, whose event has `identity`; what it adds and takes back
/// is put behind `out`.
pub(super) async fn correct(
    context: &Context,
    state: &mut Metering,
    (log, record, it): (&LogRecord, &Record<'_>, &CorrectionRecord<'_>),
    identity: Identity,
    out: &mut Vec<Contribution>,
) -> Result<Outcome, EngineError> {
    let at = record.received_at;
    let known = match state.identities.recent(&identity) {
        None if state.identities.must_ask(&identity, at) => {
            state.identities.ask(context.ports.store.as_ref(), &identity, at).await?
        }
        recent => recent,
    };
    let known = known.filter(|known| known.place.offset < log.offset);
    let Some(known) = known.filter(|known| known.is_kept(at, state.identities.window())) else {
        let reason = "is no event that was taken in lately, of this tenant and source".to_owned();
        let fault = Fault { meter: None, field: "event".to_owned(), reason };
        return Ok(Outcome::refused(Fate::Invalid, None, fault));
    };
    let first = Some(known.place.offset);
    let range = (known.place.offset, log.offset);
    let before = corrected(context, state, identity, range).await?;
    let original = read_one(context, state.partition, known.place.offset).await?;
    let original_record = decode_record(&original.bytes, Some(&context.ports.key));
    let RecordBody::Event(event) = &original_record.body else {
        let message = format!("record {} is no event any more", original.offset);
        return Err(EngineError::Stopped(message));
    };
    let left = match &before {
        None => Left::Voided,
        Some(Corrected { data: None }) => Left::Own,
        Some(Corrected { data: Some(data) }) => Left::Amended(data),
    };
    let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
    let place = (original.offset, &original_record, event);
    let (revisions, names) = (&state.revisions, &mut state.names);
    if let Err((fate, fault)) = judge.correct(revisions, place, (left, it.amended), names, out) {
        return Ok(Outcome::refused(fate, first, fault));
    }
    state.corrections.entry(identity).or_default().push(log.offset);
    let kind = if it.amended.is_some() { Kind::Amended } else { Kind::Voided };
    Ok(Outcome { fate: Fate::Counted, kind, fault: None, first })
}

/// The first record of `identity` within the window, else its event at `at`, and what has
/// become of it.
pub(super) async fn first_record(
    context: &Context,
    state: &mut Metering,
    (identity, at): (Identity, Option<Offset>),
) -> Result<Option<FirstRecord>, EngineError> {
    let known = match state.identities.recent(&identity) {
        None if state.identities.must_ask(&identity, state.through) => {
            let store = context.ports.store.as_ref();
            state.identities.ask(store, &identity, state.through).await?
        }
        recent => recent,
    };
    let window = state.identities.window();
    let known = known.filter(|known| known.is_kept(state.through, window));
    let at = known.map(|known| known.place.offset).or(at).filter(|at| *at < state.next);
    let Some(at) = at else { return Ok(None) };
    let log = read_one(context, state.partition, at).await?;
    let record = decode_record(&log.bytes, Some(&context.ports.key));
    let RecordBody::Event(event) = &record.body else { return Ok(None) };
    if Identity::from(EventIdentity::of_texts(event.tenant, event.source, event.id)) != identity {
        return Ok(None);
    }
    let left = corrected(context, state, identity, (log.offset, Offset::MAX)).await?;
    let data = left.as_ref().and_then(|it| it.data.as_deref()).unwrap_or(event.body.data);
    let event = event.with_data(data);
    let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
    let sealed = judge.sealed((log.offset, &record, &event), &mut state.names);
    let (mut contributions, mut faults) = (Vec::new(), sealed.faults);
    if sealed.fate.takes_identity() {
        let place = (log.offset, &record, &event);
        let (revisions, names) = (&state.revisions, &mut state.names);
        faults = judge.stand(revisions, place, names, &mut contributions).faults;
    }
    if left.is_none() {
        contributions.clear();
    }
    Ok(Some(FirstRecord {
        partition: state.partition,
        offset: log.offset,
        received_at: record.received_at,
        fate: sealed.fate,
        contributions,
        faults,
        is_voided: left.is_none(),
    }))
}

/// The writes that keep the corrections of `state`.
pub(super) fn writes(state: &Metering) -> Vec<Write> {
    let all = state.corrections.iter();
    let each = all.flat_map(|(identity, offsets)| offsets.iter().map(move |it| (*identity, *it)));
    each.map(|(identity, offset)| Write {
        table: &USAGE_CORRECTIONS,
        generation: 0,
        key: Key {
            partition: partition_key(state.partition, identity),
            clustering: vec![Value::uint(offset)],
        },
        values: Some(Vec::new()),
        timestamp: 0,
    })
    .collect()
}

fn partition_key(partition: PartitionId, identity: Identity) -> Vec<Value> {
    vec![partition_value(partition), Value::Bytes(Bytes::copy_from_slice(&identity.0))]
}
