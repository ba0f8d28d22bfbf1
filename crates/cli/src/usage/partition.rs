//! One partition: its records are judged again as its seals say, and compared with them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use exchequer_codec::usage::{Counts, Root, adopted_from_proto, counts_from_proto, decode_record};
use exchequer_journal_local::PhysicalRecord;
use exchequer_metering::{
    BodyDigest, Contribution, Definitions, EventRecord, Fate, First, Judge, Prepared, Record,
    RecordBody, Schemas, Unshared, seen,
};
use exchequer_types::{Hash, Identity, Offset, PartitionId, Timestamp};

use super::changes::Changes;
use super::figure::{Asked, Figure};
use super::seals::SealAt;
use super::{Place, Sources, Walk};
use crate::chains::Bad;

/// How long an identity is remembered, as the format says.
pub(super) const IDENTITY_WINDOW: Duration = Duration::from_secs(35 * 24 * 3_600);
/// Identities beyond the window are forgotten when so many came since the last time.
const FORGET_EVERY: usize = 1_000_000;

/// A partition on the way.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) id: PartitionId,
    pub(super) partitions: u32,
    /// Those to come.
    pub(super) seals: VecDeque<SealAt>,
    pub(super) definitions: Definitions,
    pub(super) identities: HashMap<Identity, Known>,
    /// Identities that were there when some were forgotten last.
    kept: usize,
    pub(super) is_asked: bool,
    /// Records that wait for their seal, the first of them at `next`.
    waiting: VecDeque<PhysicalRecord>,
    next: Offset,
    pub(super) through: i64,
    /// Of each seal with records: where they end, and its `through`.
    pub(super) ends: Vec<(Offset, i64)>,
    counts: Counts,
    /// Where each record stands: its segment, and its place there.
    pub(super) places: Vec<(u32, u32)>,
    pub(super) changes: Changes,
    /// After a difference nothing more is said of this partition.
    is_bad: bool,
    pub(super) sealed: u64,
    pub(super) unsealed: u64,
}

/// The first record of an identity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) first: First,
    pub(super) received_at: Timestamp,
}

/// What a range comes to.
pub(super) struct Judged {
    pub(super) counts: Counts,
    pub(super) root: Hash,
    pub(super) contributions: Vec<Contribution>,
    pub(super) received_at: Timestamp,
}

impl Partition {
    pub(super) fn new(
        partition: u32,
        partitions: u32,
        seals: VecDeque<SealAt>,
        asked: Option<&Asked>,
        schemas: &Arc<dyn Schemas>,
    ) -> Self {
        Self {
            id: PartitionId(partition),
            partitions,
            seals,
            definitions: Definitions::new(Arc::clone(schemas)),
            identities: HashMap::new(),
            kept: 0,
            is_asked: asked.is_some(),
            waiting: VecDeque::new(),
            next: 0,
            through: 0,
            ends: Vec::new(),
            counts: Counts::default(),
            places: Vec::new(),
            changes: Changes::default(),
            is_bad: false,
            sealed: 0,
            unsealed: 0,
        }
    }

    /// Records that its seals cover and that were not looked at.
    pub(super) fn to_come(&self) -> u64 {
        self.seals.back().map_or(0, |it| it.seal.to.saturating_sub(self.next))
    }

    /// Sealed records by fate.
    pub(super) fn fates(&self) -> impl Iterator<Item = (Fate, u64)> {
        Fate::ALL.into_iter().zip(self.counts)
    }

    /// Takes the next record.
    pub(super) fn record(
        &mut self,
        record: PhysicalRecord,
        sources: &mut Sources<'_>,
        figure: &mut Option<Figure>,
        walk: &mut Walk,
    ) {
        if self.is_bad || self.seals.is_empty() {
            self.unsealed += 1;
            return;
        }
        let to = record.offset + 1;
        self.places.push((record.segment as u32, record.position as u32));
        self.waiting.push_back(record);
        self.follow(to, sources, figure, walk);
    }

    /// There are no more records.
    pub(super) fn finish(
        &mut self,
        is_whole: bool,
        sources: &mut Sources<'_>,
        figure: &mut Option<Figure>,
        walk: &mut Walk,
    ) {
        let to = self.next + self.waiting.len() as u64;
        self.follow(to, sources, figure, walk);
        if let Some(seal) = self.seals.pop_front().filter(|_| is_whole && !self.is_bad) {
            let says = seal.seal.to;
            let reason = format!(
                "seal {} covers records up to {says} of usage partition {}, and that ends at {to}",
                seal.seal.seq, self.id
            );
            self.differs(&seal, reason, walk);
        }
        self.unsealed += self.waiting.len() as u64;
        // The next pass needs the room.
        self.waiting = VecDeque::new();
        self.identities = HashMap::new();
        self.places = Vec::new();
        self.changes = Changes::default();
    }

    /// Follows the seals that end at `to` or before it.
    fn follow(
        &mut self,
        to: Offset,
        sources: &mut Sources<'_>,
        figure: &mut Option<Figure>,
        walk: &mut Walk,
    ) {
        while !self.is_bad
            && self.seals.front().is_some_and(|seal| seal.seal.to <= to)
            && let Some(seal) = self.seals.pop_front()
        {
            match self.compare(&seal, sources) {
                Ok(contributions) => {
                    if let Some(figure) = figure {
                        figure.add(self.id.0, &seal, &contributions);
                    }
                }
                Err(what) => {
                    let first = self.waiting.front().map(|record| Place {
                        file: sources.log.file(record.segment).unwrap_or_default(),
                        byte: record.position,
                    });
                    let reason = format!("seal {} {what}{}", seal.seal.seq, place_text(first));
                    self.differs(&seal, reason, walk);
                    return;
                }
            }
            let count = (seal.seal.to - self.next).min(self.waiting.len() as u64);
            self.waiting.drain(..count as usize);
            self.sealed += count;
            if seal.seal.to > self.next {
                self.ends.push((seal.seal.to, seal.seal.through));
            }
            self.next = seal.seal.to;
            self.through = seal.seal.through;
            self.forget();
        }
    }

    fn differs(&mut self, seal: &SealAt, reason: String, walk: &mut Walk) {
        self.is_bad = true;
        walk.is_bad(Bad {
            file: seal.place.file.clone(),
            byte: seal.place.byte,
            partition: Some(self.id.0),
            offset: Some(seal.offset),
            reason,
        });
    }

    /// Judges what a seal covers, and says what differs.
    fn compare(
        &mut self,
        seal: &SealAt,
        sources: &mut Sources<'_>,
    ) -> Result<Vec<Contribution>, String> {
        let it = &seal.seal;
        if it.from != self.next {
            return Err(format!(
                "begins at record {}, and the one before ends at {}",
                it.from, self.next
            ));
        }
        if it.through < self.through {
            return Err("goes back in time".to_owned());
        }
        for adopted in &it.adopted {
            let adoption = adopted_from_proto(adopted);
            let adoption =
                adoption.map_err(|error| format!("takes over what is not whole: {error}"))?;
            let through = Timestamp::saturating_from_micros(self.through);
            let place = (it.seq, it.from, through);
            self.changes.revisions.begin(&self.definitions, place, &adoption);
            self.definitions.adopt(it.seq, it.from, adoption);
        }
        let judged = match &it.revision {
            Some(revision) => self.revise(revision, sources)?,
            None => self.judge(it.to, sources)?,
        };
        let counts = counts_from_proto(&it.counts).map_err(|error| error.to_string())?;
        let range = format!("records {}..{}", it.from, it.to);
        if counts != judged.counts {
            return Err(format!(
                "says {} of {range}, and they come to {}",
                counts_text(&counts),
                counts_text(&judged.counts)
            ));
        }
        if judged.root.0 != it.root.as_ref() {
            return Err(format!(
                "has another root than {range}: one of them, or what became of it, was changed"
            ));
        }
        if judged.received_at.micros() > it.through {
            return Err(format!("says that its records came before {range} did"));
        }
        for (all, count) in self.counts.iter_mut().zip(counts) {
            *all += count;
        }
        Ok(judged.contributions)
    }

    fn judge(&mut self, to: Offset, sources: &mut Sources<'_>) -> Result<Judged, String> {
        let count = to.saturating_sub(self.next).min(self.waiting.len() as u64) as usize;
        let (mut counts, mut root) = (Counts::default(), Root::default());
        let mut contributions = Vec::new();
        let mut received_at = Timestamp::MIN;
        for index in 0..count {
            let log = self.waiting[index].clone();
            let record = decode_record(&log.bytes, sources.key);
            received_at = received_at.max(record.received_at);
            let mut judge = Judge::new(&self.definitions, self.id, self.partitions);
            let fate = match (judge.prepare(&record), &record.body) {
                (Prepared::Settled(fate, _), _) => fate,
                (Prepared::Event { identity, digest }, RecordBody::Event(event)) => {
                    let fate = event_fate(
                        &mut judge,
                        &mut self.identities,
                        (log.offset, &record, event),
                        (identity, digest),
                        &mut contributions,
                    );
                    if fate == Fate::Unmatched {
                        self.changes.revisions.note_unmatched(event.tenant, log.offset);
                    }
                    fate
                }
                // A correction is sealed alone: it stands on all before it.
                (Prepared::Correction { identity }, RecordBody::Correction(it)) if count == 1 => {
                    let place = (log.offset, record.received_at);
                    self.correct(place, it, identity, sources, &mut contributions)?
                }
                (Prepared::Event { .. } | Prepared::Correction { .. }, _) => Fate::Invalid,
            };
            if !self.is_asked {
                contributions.clear();
            }
            let place = Fate::ALL.into_iter().position(|it| it == fate).unwrap_or_default();
            counts[place] += 1;
            root.add(&Hash::blake3(&log.bytes), fate);
        }
        Ok(Judged { counts, root: root.finish(), contributions, received_at })
    }

    /// Drops identities that nothing can meet any more.
    fn forget(&mut self) {
        if self.identities.len() < self.kept + FORGET_EVERY {
            return;
        }
        let now = Timestamp::saturating_from_micros(self.through);
        self.identities.retain(|_, known| now.since(known.received_at) <= IDENTITY_WINDOW);
        self.kept = self.identities.len();
    }
}

fn event_fate(
    judge: &mut Judge<'_>,
    identities: &mut HashMap<Identity, Known>,
    (offset, record, event): (Offset, &Record<'_>, &EventRecord<'_>),
    (identity, digest): (Identity, BodyDigest),
    out: &mut Vec<Contribution>,
) -> Fate {
    let known = identities.get(&identity);
    let known = known.filter(|it| record.received_at.since(it.received_at) <= IDENTITY_WINDOW);
    let first = known.map(|it| it.first);
    let seen = seen(first, offset, digest);
    let verdict = judge.event(offset, record, event, seen, &mut Unshared, out);
    if verdict.fate.takes_identity() && first.is_none() {
        let first = First { offset, digest: digest.0 };
        identities.insert(identity, Known { first, received_at: record.received_at });
    }
    verdict.fate
}

fn counts_text(counts: &Counts) -> String {
    let all = Fate::ALL.into_iter().zip(counts).filter(|(_, count)| **count > 0);
    let all: Vec<String> = all.map(|(fate, count)| format!("{count} {fate}")).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

fn place_text(first: Option<Place>) -> String {
    first.map_or_else(String::new, |it| {
        format!("; its records begin in {} at byte {}", it.file.display(), it.byte)
    })
}
