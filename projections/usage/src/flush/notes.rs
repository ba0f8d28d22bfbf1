//! What became of records, as a segment adds it to the lists, and where its seals are. Counts
//! by hour are with the rows of their tenants.

use exchequer_metering::Fate;
use exchequer_readstore::{Key, Value, Write};
use exchequer_types::Timestamp;

use super::{Flush, put};
use crate::notes::{Kind, hour};
use crate::tables::{USAGE_FATES, USAGE_LISTED, USAGE_SEALS};

impl Flush<'_> {
    pub(super) fn notes(&mut self) {
        self.listed();
        let source = Value::Int(i64::from(self.segment.source().0));
        for seal in &self.segment.notes.seals {
            let key =
                Key { partition: vec![source.clone()], clustering: vec![Value::uint(seal.from)] };
            let times = seal.times.unwrap_or((Timestamp::MAX, Timestamp::MIN));
            let values = vec![
                Value::uint(seal.seq),
                Value::uint(seal.offset),
                Value::uint(seal.to),
                Value::Int(seal.through.micros()),
                Value::Int(times.0.micros()),
                Value::Int(times.1.micros()),
            ];
            self.rows.push(put(&USAGE_SEALS, key, values, seal.seq));
        }
    }

    fn listed(&mut self) {
        let (notes, source) = (&self.segment.notes, Value::Int(i64::from(self.segment.source().0)));
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
                self.rows.push(put(&USAGE_FATES, key, values, note.seal));
            }
            let hour = Value::Int(hour(received_at).micros());
            let clustering = vec![at, source.clone(), offset];
            if note.kind == Kind::Matched {
                // It is no longer one of those that are without a meter.
                let unmatched = Value::text(Fate::Unmatched.as_str());
                let partition = vec![tenant.clone(), unmatched, hour.clone()];
                let key = Key { partition, clustering: clustering.clone() };
                let delete = put(&USAGE_LISTED, key, Vec::new(), note.seal);
                self.rows.push(Write { values: None, ..delete });
            }
            let key = Key { partition: vec![tenant, kind, hour], clustering };
            self.rows.push(put(&USAGE_LISTED, key, vec![seal, detail], note.seal));
        }
    }
}
