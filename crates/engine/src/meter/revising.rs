//! Revisions: records that have a fate already are looked at again when a tenant or a meter
//! appears that no one knew then, or when a backfill was asked for. Each is done in chunks,
//! one seal each, and by what was adopted when it began, whatever is taken over meanwhile.

use std::collections::VecDeque;

use exchequer_codec::usage::Root;
use exchequer_metering::{
    Adoption, BackfillOrder, EventRecord, Judge, Prepared, Record, RecordBody,
};
use exchequer_projection_usage::Kind;
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::revision::Kind as Why;
use exchequer_types::{Hash, Offset, Slug, TenantId, Timestamp};
use prost::Message as _;

use super::Context;
use super::correcting::{Corrected, corrected};
use super::judging::{Batch, Judged, Told, decoded};
use super::resume::read_range;
use super::state::Metering;
use crate::EngineError;

/// Tenants whose unmatched records are known one by one; those of further ones are looked
/// for among all.
const UNMATCHED_TENANTS_MAX: usize = 10_000;
/// Stands for the further ones.
const ANY: &str = "";

/// A revision that is not done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pending {
    pub(super) why: Why,
    /// The seal that began it, by whose adoptions it counts.
    pub(super) seal: u64,
    pub(super) next: Offset,
    pub(super) to: Offset,
}

/// Where unmatched records of tenants lie.
pub(super) type UnmatchedRanges = std::collections::BTreeMap<String, (Offset, Offset)>;

/// The record at `offset` of `tenant` is unmatched.
pub(super) fn note_unmatched(ranges: &mut UnmatchedRanges, tenant: &str, offset: Offset) {
    if let Some(range) = ranges.get_mut(tenant) {
        range.1 = offset + 1;
        return;
    }
    let tenant = if ranges.len() < UNMATCHED_TENANTS_MAX { tenant } else { ANY };
    ranges.entry(tenant.to_owned()).or_insert((offset, offset + 1)).1 = offset + 1;
}

/// May there be unmatched records of `tenant`?
pub(super) fn may_wait_for(ranges: &UnmatchedRanges, tenant: &str) -> bool {
    ranges.contains_key(tenant) || ranges.contains_key(ANY)
}

/// What has to be looked at again once `adoption` is taken over.
pub(super) fn begin(state: &mut Metering, seal: u64, adoption: &Adoption) {
    match adoption {
        Adoption::Tenant(it) => {
            if it.provider.is_some() {
                begin_unmatched(state, seal, it.tenant.as_str());
            }
        }
        Adoption::Meters(it) => {
            let of_provider: Vec<String> = state
                .unmatched
                .keys()
                .filter(|tenant| {
                    let known = state.definitions.tenant(tenant);
                    known.is_some_and(|known| known.provider.as_ref() == Some(&it.provider))
                })
                .cloned()
                .collect();
            for tenant in &of_provider {
                begin_unmatched(state, seal, tenant);
            }
            let known = state.definitions.meters(&it.provider);
            let is_new = |order: &&BackfillOrder| {
                known.is_none_or(|known| known.backfills.iter().all(|it| it.id != order.id))
            };
            for order in it.backfills.iter().filter(is_new) {
                let (provider, meter) = (&it.provider, &order.meter);
                let from = state.definitions.in_force_from(provider, meter, order.version);
                let to = from.unwrap_or(state.next);
                let why = Why::Backfill(backfill_to_proto(provider, order));
                state.revisions.push_back(Pending { why, seal, next: 0, to });
            }
        }
    }
}

fn begin_unmatched(state: &mut Metering, seal: u64, tenant: &str) {
    let ranges = [tenant, ANY].into_iter().filter_map(|it| state.unmatched.get(it));
    let range = ranges.copied().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let Some((from, to)) = range else { return };
    let why = Why::Unmatched(pb::Unmatched { tenant: tenant.to_owned() });
    let to = to.min(state.next);
    // One seal may take over the tenant and its meters.
    if from < to && !state.revisions.iter().any(|it| it.why == why && it.seal == seal) {
        state.revisions.push_back(Pending { why, seal, next: from, to });
    }
}

/// Looks at the next records of the revision that is under way; `to` is where a seal says
/// that it ends.
pub(super) async fn revise(
    context: &Context,
    state: &mut Metering,
    to: Option<Offset>,
) -> Result<Option<Batch>, EngineError> {
    let Some(pending) = state.revisions.front().cloned() else { return Ok(None) };
    let count = context.ports.settings.usage.batch_records_max as u64;
    let to = to.unwrap_or_else(|| pending.next.saturating_add(count)).min(pending.to);
    let records = read_range(context, state.partition, pending.next, to).await?;
    let read = decoded(context, &records);
    let mut batch = Batch::empty(state.next, state.through);
    let mut root = Root::default();
    let mut counted = 0;
    let mut still_unmatched = None;
    for (log, record) in records.iter().zip(&read) {
        let mut adds = false;
        if let RecordBody::Event(event) = &record.body
            && let Some(standing) =
                stands(context, state, &pending.why, (log.offset, record, event)).await?
        {
            let mut event = *event;
            if let Some(data) = &standing.data {
                event.body.data = data;
            }
            adds = add(state, &pending, (log.offset, record, &event), &mut batch);
            if adds && matches!(pending.why, Why::Unmatched(_)) {
                let tenant = None;
                let kind = Kind::Matched;
                let told = Told {
                    offset: log.offset,
                    index: batch.records.len(),
                    bytes: log.bytes.clone(),
                    fault: None,
                    first: None,
                };
                batch.listed.push(told);
                batch.records.push(Judged { kind, received_at: record.received_at, tenant });
            } else if !adds && matches!(pending.why, Why::Unmatched(_)) {
                still_unmatched = still_unmatched.or(Some(log.offset));
            }
        }
        counted += u64::from(adds);
        root.add_revised(&Hash::blake3(&log.bytes), adds);
    }
    let last = to >= pending.to;
    batch.revision = Some(pb::Revision {
        kind: Some(pending.why.clone()),
        from: pending.next,
        to,
        counted,
        root: root.finish().0.to_vec().into(),
        last,
        begun: pending.seal,
    });
    advance(state, to, last, still_unmatched);
    Ok(Some(batch))
}

/// The revision has come to `to`.
fn advance(state: &mut Metering, to: Offset, last: bool, still_unmatched: Option<Offset>) {
    let Some(front) = state.revisions.front_mut() else { return };
    front.next = to;
    if still_unmatched.is_some() {
        state.revision_left = true;
    }
    if !last {
        return;
    }
    let left = core::mem::take(&mut state.revision_left);
    if let Some(Pending { why: Why::Unmatched(it), to: end, .. }) = state.revisions.pop_front()
        && !left
        && state.unmatched.get(&it.tenant).is_some_and(|range| range.1 <= end)
    {
        state.unmatched.remove(&it.tenant);
    }
}

/// Is the event the first under its identity, of the tenants that the revision is about,
/// and not voided?
async fn stands(
    context: &Context,
    state: &Metering,
    why: &Why,
    (offset, record, event): (Offset, &Record<'_>, &EventRecord<'_>),
) -> Result<Option<Corrected>, EngineError> {
    let is_meant = match why {
        Why::Unmatched(it) => it.tenant == event.tenant,
        Why::Backfill(it) => state.definitions.tenant(event.tenant).is_some_and(|known| {
            known.provider.as_ref().is_some_and(|provider| provider.as_str() == it.provider)
        }),
        Why::Periods(_) | Why::Recount(_) => false,
    };
    let window = state.identities.window();
    // What is older has no identity any more.
    if !is_meant || state.through.since(record.received_at) > window {
        return Ok(None);
    }
    let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
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
    corrected(context, state, identity, Offset::MAX).await
}

/// Adds what the event comes to by the revision. Does it add something?
fn add(
    state: &mut Metering,
    pending: &Pending,
    (offset, record, event): (Offset, &Record<'_>, &EventRecord<'_>),
    batch: &mut Batch,
) -> bool {
    let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
    let (names, out) = (&mut state.names, &mut batch.contributions);
    match &pending.why {
        Why::Unmatched(_) => judge.matched(pending.seal, offset, record, event, names, out),
        Why::Backfill(it) => match backfill_from_proto(it) {
            Some(order) => judge.backfilled(&order, offset, record, event, names, out),
            None => false,
        },
        Why::Periods(_) | Why::Recount(_) => false,
    }
}

fn backfill_to_proto(provider: &TenantId, order: &BackfillOrder) -> pb::Backfill {
    pb::Backfill {
        id: order.id.clone(),
        meter: order.meter.to_string(),
        version: order.version,
        provider: provider.to_string(),
        since: order.from.micros(),
        until: order.until.map(Timestamp::micros),
    }
}

fn backfill_from_proto(it: &pb::Backfill) -> Option<BackfillOrder> {
    Some(BackfillOrder {
        id: it.id.clone(),
        meter: Slug::parse(it.meter.as_str()).ok()?,
        version: it.version,
        from: Timestamp::from_micros(it.since).ok()?,
        until: it.until.map(Timestamp::from_micros).transpose().ok()?,
    })
}

/// As a checkpoint keeps them.
pub(super) fn pending_to_proto(
    revisions: &VecDeque<Pending>,
    left: bool,
) -> Vec<pb::PendingRevision> {
    let message = |it: &Pending| {
        let kind = Some(it.why.clone());
        let revision = pb::Revision { kind, ..pb::Revision::default() };
        pb::PendingRevision {
            revision: revision.encode_to_vec().into(),
            from: it.next,
            to: it.to,
            left,
            seal: it.seal,
        }
    };
    revisions.iter().map(message).collect()
}

pub(super) fn pending_from_proto(it: &pb::PendingRevision) -> Result<Option<Pending>, EngineError> {
    let revision = pb::Revision::decode(it.revision.clone());
    let revision = revision.map_err(exchequer_codec::DecodeError::from)?;
    Ok(revision.kind.map(|why| Pending { why, seal: it.seal, next: it.from, to: it.to }))
}
