//! Corrections: what an event added is taken back exactly as it was added, and what it
//! comes to with other data takes its place. Which corrections an event has had is kept by
//! its identity.

use bytes::Bytes;
use exchequer_codec::usage::decode_record;
use exchequer_journal::Record as LogRecord;
use exchequer_metering::{
    Contribution, CorrectionRecord, EventIdentity, EventRecord, Fate, Fault, Judge, Record,
    RecordBody, Sign,
};
use exchequer_projection_usage::Kind;
use exchequer_proto::usage::v1::revision::Kind as Why;
use exchequer_readstore::{Key, Scan, Value, Write};
use exchequer_types::{Identity, Offset, PartitionId};

use super::Context;
use super::handle::FirstRecord;
use super::revising::Pending;
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
    fn refused(fate: Fate, first: Option<Offset>, reason: &str) -> Self {
        let fault = Fault { meter: None, field: "event".to_owned(), reason: reason.to_owned() };
        Self { fate, kind: Kind::Fate(fate), fault: Some(fault), first }
    }
}

/// The event of `identity` as the last correction before `before` left it; None when that
/// voided it.
pub(super) async fn corrected(
    context: &Context,
    state: &Metering,
    identity: Identity,
    before: Offset,
) -> Result<Option<Corrected>, EngineError> {
    let Some(last) = last_correction(context, state, identity, before).await? else {
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
    let read = context.meters.ports.log.read(partition, offset, 1).await?;
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
        let reason = "is no event that was taken in lately, of this tenant and source";
        return Ok(Outcome::refused(Fate::Invalid, None, reason));
    };
    let first = Some(known.place.offset);
    let Some(before) = corrected(context, state, identity, log.offset).await? else {
        return Ok(match it.amended {
            None => Outcome {
                kind: Kind::Fate(Fate::Duplicate),
                ..Outcome::refused(Fate::Duplicate, first, "was voided before")
            },
            Some(_) => Outcome::refused(Fate::Invalid, first, "was voided"),
        });
    };
    let original = read_one(context, state.partition, known.place.offset).await?;
    let original_record = decode_record(&original.bytes, Some(&context.ports.key));
    let RecordBody::Event(event) = &original_record.body else {
        let message = format!("record {} is no event any more", original.offset);
        return Err(EngineError::Stopped(message));
    };
    let (start, place) = (out.len(), (original.offset, &original_record));
    let data = before.data.as_deref().unwrap_or(event.body.data);
    let was = stand(state, place, &with_data(event, data), out);
    for it in &mut out[start..] {
        it.sign = Sign::TakesBack;
    }
    if let Some(data) = it.amended {
        let now = stand(state, place, &with_data(event, data), out);
        if now.0 != was.0 && !(now.0.is_counted() && was.0.is_counted()) {
            out.truncate(start);
            let fault = now.1.into_iter().next().unwrap_or_else(|| Fault {
                meter: None,
                field: "data".to_owned(),
                reason: format!("is {} with this data, and was {}", now.0, was.0),
            });
            let kind = Kind::Fate(Fate::Invalid);
            return Ok(Outcome { fate: Fate::Invalid, kind, fault: Some(fault), first });
        }
    }
    state.corrections.entry(identity).or_default().push(log.offset);
    let kind = if it.amended.is_some() { Kind::Amended } else { Kind::Voided };
    Ok(Outcome { fate: Fate::Counted, kind, fault: None, first })
}

fn with_data<'a>(event: &EventRecord<'a>, data: &'a str) -> EventRecord<'a> {
    let mut event = *event;
    event.body.data = data;
    event
}

/// All that the event adds by the seals up to now.
fn stand(
    state: &mut Metering,
    (offset, record): (Offset, &Record<'_>),
    event: &EventRecord<'_>,
    out: &mut Vec<Contribution>,
) -> (Fate, Vec<Fault>) {
    let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
    // What a revision has still to come to is not in the figures.
    let is_ahead = |it: &&Pending| match &it.why {
        Why::Unmatched(pending) => pending.tenant == event.tenant && offset >= it.next,
        _ => false,
    };
    let seal = state.revisions.iter().find(is_ahead).map_or(u64::MAX, |it| it.seal);
    let names = &mut state.names;
    let verdict = judge.standing_before(seal, offset, record, event, names, out);
    let provider = state.definitions.tenant(event.tenant).and_then(|known| known.provider.as_ref());
    for order in provider.into_iter().flat_map(|it| state.definitions.orders(it)) {
        let is_to_do = state.revisions.iter().any(|it| match &it.why {
            Why::Backfill(pending) => pending.id == order.id && offset >= it.next,
            _ => false,
        });
        if !is_to_do {
            judge.backfilled(order, offset, record, event, &mut state.names, out);
        }
    }
    (verdict.fate, verdict.faults)
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
    let left = corrected(context, state, identity, Offset::MAX).await?;
    let data = left.as_ref().and_then(|it| it.data.as_deref()).unwrap_or(event.body.data);
    let event = with_data(event, data);
    let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
    let sealed = judge.sealed(log.offset, &record, &event, &mut state.names);
    let (mut contributions, mut faults) = (Vec::new(), sealed.faults);
    if sealed.fate.takes_identity() {
        (_, faults) = stand(state, (log.offset, &record), &event, &mut contributions);
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
