//! Revisions as a meter does them: in chunks, one seal each. What they are and what a record
//! adds by them is said by `exchequer_metering`.

use exchequer_codec::usage::{Root, why_to_proto};
use exchequer_journal::{Fault, FaultKind};
use exchequer_metering::RevisionStep as Step;
use exchequer_metering::{EventRecord, Judge, Prepared, Record, RecordBody, Revision, Why};
use exchequer_projection_usage::{Kind, seal_of};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, Offset};

use super::Context;
use super::correcting::{Corrected, corrected};
use super::judging::{Batch, Judged, Told, decoded};
use super::resume::read_range;
use super::state::Metering;
use crate::EngineError;

/// Looks at the next records of the revision that is under way; `said` is where a seal says
/// that it begins and ends.
pub(super) async fn revise(
    context: &Context,
    state: &mut Metering,
    said: Option<(Offset, Offset)>,
) -> Result<Option<Batch>, EngineError> {
    let Some(mut revision) = state.revisions.queue.front().cloned() else { return Ok(None) };
    let count = context.ports.settings.usage.batch_records_max as u64;
    revision.next = match said {
        Some((from, _)) => from.max(revision.next),
        None => begin(context, state, &revision).await?,
    };
    let to = said.map_or_else(|| revision.next.saturating_add(count), |(_, to)| to);
    let to = to.min(revision.to).max(revision.next.min(revision.to));
    let from = revision.next.min(to);
    let records = read_range(context, state.partition, from, to).await?;
    let read = decoded(context, &records, Vec::new());
    let mut batch = Batch::empty(state.next, state.through);
    let mut root = Root::default();
    let mut step = Step { from, to, counted: 0, left: false, through: state.through };
    let is_unmatched = matches!(revision.why, Why::Unmatched { .. });
    for (log, record) in records.iter().zip(&read) {
        let mut adds = false;
        if let RecordBody::Event(event) = &record.body
            && let Some(standing) =
                stands(context, state, &revision, (log.offset, record, event)).await?
        {
            let data = standing.data.as_deref().unwrap_or(event.body.data);
            let event = event.with_data(data);
            let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
            let (names, out) = (&mut state.names, &mut batch.contributions);
            let place = (log.offset, record, &event);
            adds = judge.revised((&state.revisions, &revision), place, names, out);
            if adds && is_unmatched {
                let told = Told {
                    offset: log.offset,
                    index: batch.records.len(),
                    bytes: log.bytes.clone(),
                    fault: None,
                    first: None,
                };
                batch.listed.push(told);
                let (kind, received_at) = (Kind::Matched, record.received_at);
                batch.records.push(Judged { kind, received_at, tenant: None });
            }
            step.left |= !adds && is_unmatched;
        }
        step.counted += u64::from(adds);
        root.add_revised(&Hash::blake3(&log.bytes), adds);
    }
    batch.revision = Some(pb::Revision {
        kind: Some(why_to_proto(&revision.why)),
        from,
        to,
        counted: step.counted,
        root: root.finish().0.to_vec().into(),
        last: to >= revision.to,
        begun: revision.seal,
    });
    state.revisions.advance(&step);
    Ok(Some(batch))
}

/// The first record that the revision has to look at: one that is still kept, and that was
/// not received before any that it is about.
async fn begin(
    context: &Context,
    state: &Metering,
    revision: &Revision,
) -> Result<Offset, EngineError> {
    let first = first_kept(context, state, revision.next).await?;
    let Some(at) = revision.received_from else { return Ok(first) };
    // Where several write, times of receipt go up and down. What seals say of them does not:
    // nothing up to the end of a seal was received later than its `through`.
    let (store, live) = (context.ports.store.as_ref(), context.meters.live.as_ref());
    let (mut low, mut high) = (first, revision.to.max(first));
    while low < high {
        let middle = low + (high - low) / 2;
        match seal_of(store, live, state.partition, middle).await? {
            Some(seal) if seal.through < at => low = seal.to.min(high),
            // Also one that is not known: then more is looked at.
            seal => high = seal.map_or(middle, |it| it.from.clamp(low, middle)),
        }
    }
    Ok(low)
}

async fn first_kept(
    context: &Context,
    state: &Metering,
    from: Offset,
) -> Result<Offset, EngineError> {
    match context.meters.sealed_records(state.partition, from, 1).await {
        Ok(_) => Ok(from),
        Err(Fault { kind: FaultKind::Expired { begins_at }, .. }) => Ok(begins_at.max(from)),
        Err(fault) => Err(fault.into()),
    }
}

/// Is the event the first under its identity, one that the revision is about, and not
/// voided?
async fn stands(
    context: &Context,
    state: &Metering,
    revision: &Revision,
    (offset, record, event): (Offset, &Record<'_>, &EventRecord<'_>),
) -> Result<Option<Corrected>, EngineError> {
    let window = state.identities.window();
    let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
    // What is older has no identity any more.
    if !judge.is_meant(revision, (offset, record, event))
        || state.through.since(record.received_at) > window
    {
        return Ok(None);
    }
    let Prepared::Event { identity, .. } = judge.prepare(record) else { return Ok(None) };
    let at = state.through;
    let known = match state.identities.recent(&identity) {
        None if state.identities.must_ask(&identity, at) => {
            state.identities.ask(context.ports.store.as_ref(), &identity, at).await?
        }
        recent => recent,
    };
    if known.is_none_or(|known| known.place.offset != offset) {
        return Ok(None);
    }
    corrected(context, state, identity, (offset, Offset::MAX)).await
}
