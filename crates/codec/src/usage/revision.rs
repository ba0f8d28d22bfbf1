//! Revisions as seals and checkpoints name them.

use exchequer_metering::{BackfillOrder, BackfillProgress, Revision, Revisions, Why};
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::revision::Kind;
use exchequer_types::Timestamp;
use prost::Message as _;

use crate::DecodeError;
use crate::convert::{optional_timestamp, slug, tenant_id, timestamp};

/// Why records are looked at again.
pub fn why_to_proto(why: &Why) -> Kind {
    match why {
        Why::Unmatched { tenant } => Kind::Unmatched(pb::Unmatched { tenant: tenant.clone() }),
        Why::Periods { tenant, since } => {
            Kind::Periods(pb::Periods { tenant: tenant.clone(), since: since.micros() })
        }
        Why::Backfill { provider, order } => Kind::Backfill(pb::Backfill {
            id: order.id.clone(),
            meter: order.meter.to_string(),
            version: order.version,
            provider: provider.to_string(),
            since: order.from.micros(),
            until: order.until.map(Timestamp::micros),
        }),
    }
}

/// The same, read.
pub fn why_from_proto(kind: Option<Kind>) -> Result<Why, DecodeError> {
    Ok(match kind.ok_or(DecodeError::Field { field: "revision.kind" })? {
        Kind::Unmatched(it) => Why::Unmatched { tenant: it.tenant },
        Kind::Periods(it) => {
            Why::Periods { tenant: it.tenant, since: timestamp(it.since, "periods.since")? }
        }
        Kind::Backfill(it) => Why::Backfill {
            provider: tenant_id(it.provider, "backfill.provider")?,
            order: BackfillOrder {
                id: it.id,
                meter: slug(it.meter, "backfill.meter")?,
                version: it.version,
                from: timestamp(it.since, "backfill.since")?,
                until: optional_timestamp(it.until, "backfill.until")?,
            },
        },
    })
}

/// What a checkpoint keeps of revisions.
pub fn revisions_to_proto(it: &Revisions, checkpoint: &mut pb::MeterCheckpoint) {
    let pending = |one: &Revision| {
        let kind = Some(why_to_proto(&one.why));
        let revision = pb::Revision { kind, ..pb::Revision::default() };
        pb::PendingRevision {
            revision: revision.encode_to_vec().into(),
            from: one.next,
            to: one.to,
            left: it.left,
            seal: one.seal,
            received_from: one.received_from.map(Timestamp::micros),
        }
    };
    checkpoint.pending = it.queue.iter().map(pending).collect();
    let range = |(tenant, range): (&String, &(u64, u64))| pb::UnmatchedRange {
        tenant: tenant.clone(),
        from: range.0,
        to: range.1,
    };
    checkpoint.unmatched = it.unmatched.iter().map(range).collect();
    checkpoint.backfills = it.backfills.iter().map(backfill_to_proto).collect();
}

/// The same, read.
pub fn revisions_from_proto(it: &pb::MeterCheckpoint) -> Result<Revisions, DecodeError> {
    let pending = |it: &pb::PendingRevision| {
        Ok(Revision {
            why: why_from_proto(pb::Revision::decode(it.revision.clone())?.kind)?,
            seal: it.seal,
            next: it.from,
            to: it.to,
            received_from: optional_timestamp(it.received_from, "pending.received_from")?,
        })
    };
    Ok(Revisions {
        queue: it.pending.iter().map(pending).collect::<Result<_, DecodeError>>()?,
        unmatched: it.unmatched.iter().map(|it| (it.tenant.clone(), (it.from, it.to))).collect(),
        left: it.pending.first().is_some_and(|it| it.left),
        backfills: it.backfills.iter().map(backfill_from_proto).collect::<Result<_, _>>()?,
        backfill_changes: 1,
    })
}

fn backfill_to_proto(it: &BackfillProgress) -> pb::BackfillProgress {
    let why = Why::Backfill { provider: it.provider.clone(), order: it.order.clone() };
    let revision = pb::Revision { kind: Some(why_to_proto(&why)), ..pb::Revision::default() };
    pb::BackfillProgress {
        backfill: revision.encode_to_vec().into(),
        seal: it.seal,
        from: it.from,
        to: it.to,
        next: it.next,
        counted: it.counted,
        asked_at: it.asked_at.micros(),
        started_at: it.started_at.map(Timestamp::micros),
        ended_at: it.ended_at.map(Timestamp::micros),
    }
}

fn backfill_from_proto(it: &pb::BackfillProgress) -> Result<BackfillProgress, DecodeError> {
    let why = why_from_proto(pb::Revision::decode(it.backfill.clone())?.kind)?;
    let Why::Backfill { provider, order } = why else {
        return Err(DecodeError::Field { field: "backfills.backfill" });
    };
    Ok(BackfillProgress {
        provider,
        order,
        seal: it.seal,
        from: it.from,
        to: it.to,
        next: it.next,
        counted: it.counted,
        asked_at: timestamp(it.asked_at, "backfills.asked_at")?,
        started_at: optional_timestamp(it.started_at, "backfills.started_at")?,
        ended_at: optional_timestamp(it.ended_at, "backfills.ended_at")?,
    })
}
