//! What an accepted seal adds: figures, fates and where it is, for queries at once and to
//! be written behind.

use exchequer_codec::usage::decode_record;
use exchequer_kernel::SealKey;
use exchequer_metering::{EventIdentity, RecordBody};
use exchequer_projection_usage::{
    Detail, Fated, LiveUsage, Part, Position, Sealed as SealPlace, Windows,
};
use exchequer_types::{Offset, PartitionId};

use super::judging::{Batch, Told};

/// An accepted seal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    pub(super) partition: PartitionId,
    pub(super) seq: u64,
    /// Where it stands in the log of seals.
    pub(super) offset: Offset,
}

/// Adds what `accepted` counts. Queries see it from here on.
pub(super) fn fold(live: &LiveUsage, key: &SealKey, accepted: Accepted, batch: &Batch) {
    let Some(mut source) = live.source(accepted.partition) else { return };
    let seq = accepted.seq;
    let part = source.open();
    let contributions = batch.contributions.iter();
    part.add_all(
        seq,
        contributions.map(|it| {
            let is_of_period = it.sign.is_of_period();
            (it, if is_of_period { Windows::Period } else { Windows::All })
        }),
    );
    note(part, key, seq, batch);
    part.seal(SealPlace {
        seq,
        offset: accepted.offset,
        from: batch.from,
        to: batch.to,
        through: batch.through,
        times: batch.times,
    });
    source.advance(Position { seal: seq, offset: batch.to, through: batch.through });
}

fn note(part: &mut Part, key: &SealKey, seq: u64, batch: &Batch) {
    for told in &batch.listed {
        if let Some(judged) = batch.records.get(told.index) {
            note_told(part, key, seq, (judged, told));
        }
    }
    let mut told = batch.listed.iter().map(|told| told.index).peekable();
    let untold = batch.records.iter().enumerate().filter_map(|(index, judged)| {
        let is_told = told.next_if_eq(&index).is_some();
        let tenant = judged.tenant.as_ref().filter(|_| !is_told)?;
        Some((tenant.as_str(), judged.kind, judged.received_at))
    });
    part.tally(seq, untold);
}

fn note_told(
    part: &mut Part,
    key: &SealKey,
    seq: u64,
    (judged, told): (&super::judging::Judged, &Told),
) {
    let record = decode_record(&told.bytes, Some(key));
    let (tenant, source, id) = record.names();
    let (mut event_type, mut subject, mut time) = ("", "", judged.received_at);
    if let RecordBody::Event(event) = &record.body {
        (event_type, subject) = (event.body.kind, event.body.subject);
        time = event.body.time.unwrap_or(time);
    }
    let fault = told.fault.as_ref();
    let detail = Detail {
        identity: EventIdentity::of_texts(tenant, source, id),
        source,
        id,
        event_type,
        subject,
        time,
        meter: fault.and_then(|fault| fault.meter.as_deref()).unwrap_or_default(),
        field: fault.map_or("", |fault| &fault.field),
        reason: fault.map_or("", |fault| &fault.reason),
        first: told.first,
    };
    let (kind, received_at, offset) = (judged.kind, judged.received_at, told.offset);
    part.note(seq, &Fated { tenant, kind, offset, received_at, detail: Some(detail) });
}
