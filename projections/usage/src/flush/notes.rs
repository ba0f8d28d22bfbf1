//! Rows beside those of windows: fates and lists, where seals are, and what came in an hour.

use exchequer_metering::Fate;
use exchequer_readstore::{Key, ReadStore, Value, Write};
use exchequer_types::Timestamp;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{FlushError, OfHour, Out, put};
use crate::notes::{Counts, Kind, hour as hour_of};
use crate::part::Part;
use crate::tables::{GENERATION, USAGE_FATES, USAGE_HOURS, USAGE_LISTED, USAGE_SEALS};

/// What stands in lists, and where seals are.
pub(super) fn lists(segment: &Part, rows: &mut Vec<Write>) {
    let (notes, source) = (&segment.notes, Value::Int(i64::from(segment.source().0)));
    for note in &notes.listed {
        let (tenant, kind) = (Value::text(&*note.tenant), Value::text(note.kind.as_str()));
        let (received_at, offset) = (note.received_at, Value::uint(note.offset));
        let detail = Value::Bytes(note.detail.clone().into());
        let identity = Value::Bytes(bytes::Bytes::copy_from_slice(&note.identity.0));
        let partition = vec![tenant.clone(), identity];
        let key = Key { partition, clustering: vec![source.clone(), offset.clone()] };
        let (seal, at) = (Value::uint(note.seal), Value::Int(received_at.micros()));
        let values = vec![kind.clone(), seal.clone(), at.clone(), detail.clone()];
        // Beside the record's own fate it stands in the list alone.
        if note.kind != Kind::Unusable {
            rows.push(put(&USAGE_FATES, key, values, note.seal));
        }
        let hour = Value::Int(hour_of(received_at).micros());
        let clustering = vec![at, source.clone(), offset];
        if note.kind == Kind::Matched {
            // It is no longer one of those that are without a meter.
            let unmatched = Value::text(Fate::Unmatched.as_str());
            let partition = vec![tenant.clone(), unmatched, hour.clone()];
            let key = Key { partition, clustering: clustering.clone() };
            let delete = put(&USAGE_LISTED, key, Vec::new(), note.seal);
            rows.push(Write { values: None, ..delete });
        }
        let key = Key { partition: vec![tenant, kind, hour], clustering };
        rows.push(put(&USAGE_LISTED, key, vec![seal, detail], note.seal));
    }
    for seal in &notes.seals {
        let key = Key { partition: vec![source.clone()], clustering: vec![Value::uint(seal.from)] };
        let times = seal.times.unwrap_or((Timestamp::MAX, Timestamp::MIN));
        let values = vec![
            Value::uint(seal.seq),
            Value::uint(seal.offset),
            Value::uint(seal.to),
            Value::Int(seal.through.micros()),
            Value::Int(times.0.micros()),
            Value::Int(times.1.micros()),
        ];
        rows.push(put(&USAGE_SEALS, key, values, seal.seq));
    }
}

/// Adds what came in an hour to its row.
pub(super) fn hour<'a>(
    store: &'a dyn ReadStore,
    segment: &'a Part,
    of: &OfHour<'a>,
) -> BoxFuture<'a, Result<Out, FlushError>> {
    let OfHour { tenant, hour, counts } = *of;
    let partition = vec![Value::text(tenant), Value::Int(i64::from(segment.source().0))];
    let key = Key { partition, clustering: vec![Value::Int(hour.micros())] };
    let mut counts = *counts;
    async move {
        let mut out = Out::default();
        if let Some(row) = store.get(&USAGE_HOURS, GENERATION, key.clone()).await? {
            if out.is_ahead(segment, row.timestamp) {
                return Ok(out);
            }
            let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
            let damaged = |_| FlushError::Damaged(USAGE_HOURS.name);
            counts.add(&Counts::from_bytes(&bytes).map_err(damaged)?);
        }
        out.rows.push(put(&USAGE_HOURS, key, vec![Value::Bytes(counts.to_bytes())], segment.to()));
        Ok(out)
    }
    .boxed()
}
