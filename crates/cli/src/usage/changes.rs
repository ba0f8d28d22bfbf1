//! What changes after an event was sealed: corrections, which take back what it added, and
//! revisions, by which earlier records are counted afterwards. The rules are those of the
//! meter itself; here they are handed what the log says.

use std::collections::HashMap;

use bytes::Bytes;
use exchequer_codec::usage::{Counts, Root, decode_record, why_from_proto};
use exchequer_metering::{
    Contribution, CorrectionRecord, Fate, Judge, Left, Prepared, RecordBody, Revision,
    RevisionStep, Revisions, Unshared, Why,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, Identity, Offset, Timestamp};

use super::Sources;
use super::partition::{IDENTITY_WINDOW, Judged, Partition};

/// What a partition remembers of them.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Offsets of the corrections of an event, by its identity, ascending.
    corrections: HashMap<Identity, Vec<Offset>>,
    /// What has to be looked at again.
    pub(super) revisions: Revisions,
}

/// An event as its last correction left it.
enum Corrected {
    Own,
    Amended(String),
    Voided,
}

impl Corrected {
    fn left(&self) -> Left<'_> {
        match self {
            Self::Own => Left::Own,
            Self::Amended(data) => Left::Amended(data),
            Self::Voided => Left::Voided,
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

    /// What the last correction before `before` has made of the event.
    fn corrected(
        &self,
        identity: Identity,
        before: Offset,
        sources: &mut Sources<'_>,
    ) -> Result<Corrected, String> {
        let all = self.changes.corrections.get(&identity).into_iter().flatten();
        let Some(last) = all.rev().find(|offset| **offset < before) else {
            return Ok(Corrected::Own);
        };
        let bytes = self.record_again(*last, sources)?;
        Ok(match decode_record(&bytes, sources.key).body {
            RecordBody::Correction(CorrectionRecord { amended: Some(data), .. }) => {
                Corrected::Amended(data.to_owned())
            }
            _ => Corrected::Voided,
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
        let before = self.corrected(identity, offset, sources)?;
        let bytes = self.record_again(first, sources)?;
        let record = decode_record(&bytes, sources.key);
        let RecordBody::Event(event) = &record.body else {
            return Err(format!("corrects record {first}, which is no event"));
        };
        let mut judge = Judge::new(&self.definitions, self.id, self.partitions);
        let place = (first, &record, event);
        let how = (before.left(), it.amended);
        if let Err((fate, _)) =
            judge.correct(&self.changes.revisions, place, how, &mut Unshared, out)
        {
            return Ok(fate);
        }
        self.changes.corrections.entry(identity).or_default().push(offset);
        Ok(Fate::Counted)
    }

    /// Looks at the records of a revision again, and says what differs.
    pub(super) fn revise(
        &mut self,
        said: &pb::Revision,
        sources: &mut Sources<'_>,
    ) -> Result<Judged, String> {
        let why = why_from_proto(said.kind.clone()).map_err(|error| error.to_string())?;
        let revision = self.begun(&why, said)?;
        self.passes_over_nothing(&revision, said.from, sources)?;
        let (mut counted, mut left, mut root) = (0, false, Root::default());
        let mut contributions = Vec::new();
        for offset in said.from..said.to {
            let bytes = self.record_again(offset, sources)?;
            let adds = self.revise_one(&revision, offset, &bytes, sources, &mut contributions)?;
            if !self.is_asked {
                contributions.clear();
            }
            counted += u64::from(adds == Some(true));
            left |= adds == Some(false) && matches!(why, Why::Unmatched { .. });
            root.add_revised(&Hash::blake3(&bytes), adds == Some(true));
        }
        let range = format!("records {}..{}", said.from, said.to);
        if counted != said.counted {
            let said = said.counted;
            return Err(format!("says that {said} of {range} count afterwards, and {counted} do"));
        }
        if root.finish().0 != said.root.as_ref() {
            return Err(format!("has another root of what counts afterwards of {range}"));
        }
        let through = Timestamp::saturating_from_micros(self.through);
        let (from, to) = (said.from, said.to);
        self.changes.revisions.advance(&RevisionStep { from, to, counted, left, through });
        let root = Root::default().finish();
        Ok(Judged { counts: Counts::default(), root, contributions, received_at: Timestamp::MIN })
    }

    /// The revision that is under way, which a seal must go on with.
    fn begun(&self, why: &Why, said: &pb::Revision) -> Result<Revision, String> {
        let Some(front) = self.changes.revisions.queue.front() else {
            return Err("revises what no seal before it has begun".to_owned());
        };
        if front.why != *why || front.seal != said.begun {
            return Err("revises otherwise than the seals before it have begun".to_owned());
        }
        // Records before the first one that was kept are passed over, and those that were
        // received too early.
        let may_skip = front.received_from.is_some() || front.next == 0;
        if said.from < front.next || (said.from > front.next && !may_skip) {
            let (from, next) = (said.from, front.next);
            return Err(format!(
                "revises from record {from} on, and the one before came to {next}"
            ));
        }
        if said.to > front.to.max(said.from) || said.last != (said.to >= front.to) {
            return Err(format!("revises up to record {}, of {}", said.to, front.to));
        }
        Ok(front.clone())
    }

    /// Records that are passed over were received too early, or add nothing.
    fn passes_over_nothing(
        &self,
        revision: &Revision,
        from: Offset,
        sources: &mut Sources<'_>,
    ) -> Result<(), String> {
        let Some(at) = revision.received_from else { return Ok(()) };
        let early = self.ends.partition_point(|(_, through)| *through < at.micros());
        let reach = early.checked_sub(1).map_or(0, |last| self.ends[last].0);
        let mut adds = Vec::new();
        for offset in revision.next.max(reach)..from {
            let bytes = self.record_again(offset, sources)?;
            if self.revise_one(revision, offset, &bytes, sources, &mut adds)? == Some(true) {
                return Err(format!("passes over record {offset}, which it is about"));
            }
        }
        Ok(())
    }

    /// Does the record at `offset` add something by the revision? None: it is not one that
    /// the revision is about.
    fn revise_one(
        &self,
        revision: &Revision,
        offset: Offset,
        bytes: &Bytes,
        sources: &mut Sources<'_>,
        out: &mut Vec<Contribution>,
    ) -> Result<Option<bool>, String> {
        let record = decode_record(bytes, sources.key);
        let RecordBody::Event(event) = &record.body else { return Ok(None) };
        let through = Timestamp::saturating_from_micros(self.through);
        let mut judge = Judge::new(&self.definitions, self.id, self.partitions);
        if !judge.is_meant(revision, (offset, &record, event))
            || through.since(record.received_at) > IDENTITY_WINDOW
        {
            return Ok(None);
        }
        let Prepared::Event { identity, .. } = judge.prepare(&record) else { return Ok(None) };
        if self.identities.get(&identity).is_none_or(|known| known.first.offset != offset) {
            return Ok(None);
        }
        let corrected = self.corrected(identity, Offset::MAX, sources)?;
        let event = match &corrected {
            Corrected::Voided => return Ok(None),
            Corrected::Own => *event,
            Corrected::Amended(data) => event.with_data(data),
        };
        let place = (offset, &record, &event);
        let revisions = (&self.changes.revisions, revision);
        Ok(Some(judge.revised(revisions, place, &mut Unshared, out)))
    }
}
