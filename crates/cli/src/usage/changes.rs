//! What changes after an event was sealed: corrections, which take back what it added, and
//! revisions, by which earlier records are counted afterwards.

use std::collections::HashMap;

use bytes::Bytes;
use exchequer_codec::usage::{Counts, Root, decode_record};
use exchequer_metering::{
    Adoption, BackfillOrder, Contribution, CorrectionRecord, Definitions, EventRecord, Fate, Judge,
    Prepared, Record, RecordBody, Sign, Unshared,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::revision::Kind;
use exchequer_types::{Hash, Identity, Offset, Slug, Timestamp};

use super::Sources;
use super::partition::{IDENTITY_WINDOW, Judged, Partition};

/// What a partition remembers of them.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Offsets of the corrections of an event, by its identity, ascending.
    corrections: HashMap<Identity, Vec<Offset>>,
    /// Backfills that are not done: records below have been looked at.
    backfills: HashMap<String, Offset>,
}

impl Changes {
    /// Notes the backfills that `adoption` orders and that were not ordered before.
    pub(super) fn begin(&mut self, definitions: &Definitions, adoption: &Adoption) {
        let Adoption::Meters(it) = adoption else { return };
        let known = definitions.meters(&it.provider);
        let is_new = |order: &&BackfillOrder| {
            known.is_none_or(|known| known.backfills.iter().all(|it| it.id != order.id))
        };
        for order in it.backfills.iter().filter(is_new) {
            self.backfills.insert(order.id.clone(), 0);
        }
    }
}

impl Partition {
    fn record_again(&self, offset: Offset, sources: &mut Sources<'_>) -> Result<Bytes, String> {
        let place = usize::try_from(offset).ok().and_then(|at| self.places.get(at));
        let (segment, position) =
            place.ok_or_else(|| format!("is about record {offset}, which is not there"))?;
        let read = sources.again.record(u64::from(*segment), u64::from(*position));
        read.map_err(|error| error.to_string())
    }

    /// Data that the last correction before `before` gave the event, if any did, unless that
    /// voided it.
    fn corrected(
        &self,
        identity: Identity,
        before: Offset,
        sources: &mut Sources<'_>,
    ) -> Result<Result<Option<String>, Voided>, String> {
        let all = self.changes.corrections.get(&identity).into_iter().flatten();
        let Some(last) = all.rev().find(|offset| **offset < before) else { return Ok(Ok(None)) };
        let bytes = self.record_again(*last, sources)?;
        Ok(match decode_record(&bytes, sources.key).body {
            RecordBody::Correction(CorrectionRecord { amended: Some(data), .. }) => {
                Ok(Some(data.to_owned()))
            }
            _ => Err(Voided),
        })
    }

    /// The fate of the correction at `offset` of the event with `identity`.
    pub(super) fn correct(
        &mut self,
        (offset, received_at): (Offset, Timestamp),
        it: &CorrectionRecord<'_>,
        identity: Identity,
        sources: &mut Sources<'_>,
        out: &mut Vec<Contribution>,
    ) -> Result<Fate, String> {
        let known = self.identities.get(&identity);
        let known = known.filter(|known| received_at.since(known.received_at) <= IDENTITY_WINDOW);
        let Some(first) = known.map(|known| known.first.offset) else { return Ok(Fate::Invalid) };
        let Ok(before) = self.corrected(identity, offset, sources)? else {
            return Ok(if it.amended.is_none() { Fate::Duplicate } else { Fate::Invalid });
        };
        let bytes = self.record_again(first, sources)?;
        let record = decode_record(&bytes, sources.key);
        let RecordBody::Event(event) = &record.body else {
            return Err(format!("corrects record {first}, which is no event"));
        };
        let start = out.len();
        let data = before.as_deref().unwrap_or(event.body.data);
        let was = self.stand((first, &record), &with_data(event, data), out);
        for it in &mut out[start..] {
            it.sign = Sign::TakesBack;
        }
        if let Some(data) = it.amended {
            let now = self.stand((first, &record), &with_data(event, data), out);
            if now != was && !(now.is_counted() && was.is_counted()) {
                out.truncate(start);
                return Ok(Fate::Invalid);
            }
        }
        self.changes.corrections.entry(identity).or_default().push(offset);
        Ok(Fate::Counted)
    }

    /// All that the event adds by the seals up to now.
    fn stand(
        &self,
        (offset, record): (Offset, &Record<'_>),
        event: &EventRecord<'_>,
        out: &mut Vec<Contribution>,
    ) -> Fate {
        let mut judge = Judge::new(&self.definitions, self.id, self.partitions);
        // What a revision has still to come to is not in the figures.
        let is_ahead = |it: &pb::Revision| {
            let is_meant =
                matches!(&it.kind, Some(Kind::Unmatched(of)) if of.tenant == event.tenant);
            is_meant && it.begun <= self.seq && (it.from..it.to).contains(&offset)
        };
        let mut later = self.seals.iter().filter_map(|it| it.seal.revision.as_ref());
        let seal = later.find(|it| is_ahead(it)).map_or(u64::MAX, |it| it.begun);
        let verdict = judge.standing_before(seal, offset, record, event, &mut Unshared, out);
        let provider =
            self.definitions.tenant(event.tenant).and_then(|known| known.provider.as_ref());
        for order in provider.into_iter().flat_map(|it| self.definitions.orders(it)) {
            let is_to_do =
                self.changes.backfills.get(&order.id).is_some_and(|next| offset >= *next);
            if !is_to_do {
                judge.backfilled(order, offset, record, event, &mut Unshared, out);
            }
        }
        verdict.fate
    }

    /// Looks at the records of a revision again, and says what differs.
    pub(super) fn revise(
        &mut self,
        said: &pb::Revision,
        sources: &mut Sources<'_>,
    ) -> Result<Judged, String> {
        let kind = said.kind.as_ref().ok_or("revises for no reason")?;
        let (mut counted, mut root) = (0, Root::default());
        let mut contributions = Vec::new();
        for offset in said.from..said.to {
            let bytes = self.record_again(offset, sources)?;
            let adds =
                self.revise_one((kind, said.begun), offset, &bytes, sources, &mut contributions)?;
            if !self.is_asked {
                contributions.clear();
            }
            counted += u64::from(adds);
            root.add_revised(&Hash::blake3(&bytes), adds);
        }
        let range = format!("records {}..{}", said.from, said.to);
        if counted != said.counted {
            let said = said.counted;
            return Err(format!("says that {said} of {range} count afterwards, and {counted} do"));
        }
        if root.finish().0 != said.root.as_ref() {
            return Err(format!("has another root of what counts afterwards of {range}"));
        }
        if let Kind::Backfill(it) = kind {
            if said.last {
                self.changes.backfills.remove(&it.id);
            } else {
                self.changes.backfills.insert(it.id.clone(), said.to);
            }
        }
        let root = Root::default().finish();
        Ok(Judged { counts: Counts::default(), root, contributions, received_at: Timestamp::MIN })
    }

    /// Does the record at `offset` add something by the revision?
    fn revise_one(
        &self,
        (kind, begun): (&Kind, u64),
        offset: Offset,
        bytes: &Bytes,
        sources: &mut Sources<'_>,
        out: &mut Vec<Contribution>,
    ) -> Result<bool, String> {
        let record = decode_record(bytes, sources.key);
        let RecordBody::Event(event) = &record.body else { return Ok(false) };
        let through = Timestamp::saturating_from_micros(self.through);
        if !self.is_meant(kind, event.tenant) || through.since(record.received_at) > IDENTITY_WINDOW
        {
            return Ok(false);
        }
        let mut judge = Judge::new(&self.definitions, self.id, self.partitions);
        let Prepared::Event { identity, .. } = judge.prepare(&record) else { return Ok(false) };
        if self.identities.get(&identity).is_none_or(|known| known.first.offset != offset) {
            return Ok(false);
        }
        let Ok(data) = self.corrected(identity, Offset::MAX, sources)? else { return Ok(false) };
        let event = with_data(event, data.as_deref().unwrap_or(event.body.data));
        Ok(match kind {
            Kind::Unmatched(_) => judge.matched(begun, offset, &record, &event, &mut Unshared, out),
            Kind::Backfill(it) => {
                let order = order(it).ok_or("orders a backfill that cannot be read")?;
                judge.backfilled(&order, offset, &record, &event, &mut Unshared, out)
            }
            Kind::Periods(_) | Kind::Recount(_) => false,
        })
    }

    fn is_meant(&self, kind: &Kind, tenant: &str) -> bool {
        match kind {
            Kind::Unmatched(it) => it.tenant == tenant,
            Kind::Backfill(it) => self.definitions.tenant(tenant).is_some_and(|known| {
                known.provider.as_ref().is_some_and(|provider| provider.as_str() == it.provider)
            }),
            Kind::Periods(_) | Kind::Recount(_) => false,
        }
    }
}

/// The event counts for nothing.
struct Voided;

fn with_data<'a>(event: &EventRecord<'a>, data: &'a str) -> EventRecord<'a> {
    let mut event = *event;
    event.body.data = data;
    event
}

fn order(it: &pb::Backfill) -> Option<BackfillOrder> {
    Some(BackfillOrder {
        id: it.id.clone(),
        meter: Slug::parse(it.meter.as_str()).ok()?,
        version: it.version,
        from: Timestamp::from_micros(it.since).ok()?,
        until: it.until.map(Timestamp::from_micros).transpose().ok()?,
    })
}
