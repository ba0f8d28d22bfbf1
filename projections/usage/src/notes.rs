//! What became of records, beside what they add to figures: fates that are asked for
//! by identity, lists of what a tenant should look at, counts by hour of receipt, and
//! where seals are. Kept in memory until they are written with the cells.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_metering::{EventIdentity, Fate};
use exchequer_types::{Offset, Timestamp};

use crate::bytes::{Damaged, Reader, Writer};

/// Tenants and hours that are counted before they are looked up.
const RUNS_MAX: usize = 32;
/// A text of a list is cut off behind this many bytes.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// What has become of a record of the usage log, as queries tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Fate(Fate),
    /// Refused by a gateway.
    Refused,
    /// An event was voided by this record.
    Voided,
    /// An event was amended by this record.
    Amended,
    /// It was unmatched, and is counted since.
    Matched,
    /// It is counted, and a meter of its type could not use it. Stands in the list beside its
    /// fate.
    Unusable,
}

/// A record, and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Fated<'a> {
    /// As the event names it; it need not be known.
    pub tenant: &'a str,
    pub kind: Kind,
    pub offset: Offset,
    pub received_at: Timestamp,
    /// Needed unless it is counted, a duplicate, or forwarded.
    pub detail: Option<Detail<'a>>,
}

/// What a list tells of an event.
#[derive(Clone, Copy, Debug)]
pub struct Detail<'a> {
    pub identity: EventIdentity,
    pub source: &'a str,
    pub id: &'a str,
    /// CloudEvents `type`.
    pub event_type: &'a str,
    pub subject: &'a str,
    /// The event's own, or that of its receipt.
    pub time: Timestamp,
    /// Key of the meter that could not use it; empty when none could, or all do.
    pub meter: &'a str,
    /// The field at fault, and why: of the first fault, when there are several.
    pub field: &'a str,
    pub reason: &'a str,
    /// Of a conflicting event, or of one that was voided or amended: where the first one is.
    pub first: Option<Offset>,
}

/// A seal that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub seq: u64,
    /// Of its record in the log of seals.
    pub offset: Offset,
    /// Records of the usage log, `to` excluded; none of a revision.
    pub from: Offset,
    pub to: Offset,
    pub through: Timestamp,
    /// Earliest and latest time of its events.
    pub times: Option<(Timestamp, Timestamp)>,
}

/// An item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub kind: Kind,
    pub received_at: Timestamp,
    pub source_partition: u32,
    pub offset: Offset,
    pub seal: u64,
    pub source: String,
    pub id: String,
    pub event_type: String,
    pub subject: String,
    pub time: Timestamp,
    /// Key of the meter that could not use it; empty when none could, or all do.
    pub meter: String,
    pub field: String,
    pub reason: String,
    pub first: Option<Offset>,
}

/// How many records had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub(crate) [u64; Kind::ALL.len()]);

/// Not written yet.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) listed: Vec<Note>,
    /// By hour of receipt, then by tenant.
    pub(crate) hours: BTreeMap<Timestamp, BTreeMap<Arc<str>, Counts>>,
    pub(crate) seals: Vec<Sealed>,
    bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) tenant: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) identity: EventIdentity,
    pub(crate) received_at: Timestamp,
    pub(crate) offset: Offset,
    pub(crate) seal: u64,
    pub(crate) detail: Vec<u8>,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Fate(Fate::Counted),
        Self::Fate(Fate::Late),
        Self::Fate(Fate::Duplicate),
        Self::Fate(Fate::Conflicting),
        Self::Fate(Fate::Unmatched),
        Self::Fate(Fate::Invalid),
        Self::Fate(Fate::Forwarded),
        Self::Refused,
        Self::Voided,
        Self::Amended,
        Self::Matched,
        Self::Unusable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fate(fate) => fate.as_str(),
            Self::Refused => "refused",
            Self::Voided => "voided",
            Self::Amended => "amended",
            Self::Matched => "matched",
            Self::Unusable => "unusable",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// Does it stand in a list, and is it found by its identity?
    pub fn is_listed(self) -> bool {
        let plain = [Fate::Counted, Fate::Duplicate, Fate::Forwarded].map(Self::Fate);
        !plain.contains(&self)
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|it| *it == self).unwrap_or_default()
    }
}

impl Counts {
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind.index()]
    }

    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }

    pub(crate) fn write(&self) -> bytes::Bytes {
        let mut out = Writer::default();
        out.count(self.0.len());
        self.0.iter().for_each(|count| out.uint(*count));
        out.bytes.into()
    }

    /// Of fewer kinds, when it was written before the others were known.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut input = Reader::new(bytes);
        let mut counts = Self::default();
        let known = input.count(1)?;
        for count in counts.0.iter_mut().take(known) {
            *count = input.uint()?;
        }
        input.finish()?;
        Ok(counts)
    }
}

impl Notes {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hours.is_empty() && self.seals.is_empty()
    }

    pub(crate) fn add(&mut self, seq: u64, fated: &Fated<'_>) {
        self.count(fated);
        let Some(detail) = fated.detail else { return };
        if fated.kind.is_listed() {
            self.list(seq, fated, fated.kind, &detail);
        }
        let is_counted = matches!(fated.kind, Kind::Fate(fate) if fate.is_counted());
        if is_counted && !detail.field.is_empty() {
            self.count(&Fated { kind: Kind::Unusable, ..*fated });
            self.list(seq, fated, Kind::Unusable, &detail);
        }
    }

    fn list(&mut self, seq: u64, fated: &Fated<'_>, kind: Kind, detail: &Detail<'_>) {
        let tenant = Arc::from(fated.tenant);
        let note = Note {
            tenant,
            kind,
            identity: detail.identity,
            received_at: fated.received_at,
            offset: fated.offset,
            seal: seq,
            detail: detail.write(),
        };
        self.bytes += size_of::<Note>() + note.detail.len() + 32;
        self.listed.push(note);
    }

    pub(crate) fn seal(&mut self, sealed: Sealed) {
        if sealed.from < sealed.to {
            self.bytes += size_of::<Sealed>();
            self.seals.push(sealed);
        }
    }

    fn count(&mut self, fated: &Fated<'_>) {
        self.tally(core::iter::once((fated.tenant, fated.kind, fated.received_at)));
    }

    /// Counts records, those of one tenant and hour together.
    pub(crate) fn tally<'t>(&mut self, records: impl Iterator<Item = (&'t str, Kind, Timestamp)>) {
        let mut runs: Vec<(&str, Timestamp, Counts)> = Vec::new();
        for (tenant, kind, received_at) in records {
            let hour = hour(received_at);
            // By where the text lies: that is told apart fast, and a text that lies in two
            // places is put together below.
            let is_same = |run: &&mut (&str, Timestamp, Counts)| {
                core::ptr::eq(run.0, tenant) && run.1 == hour
            };
            if let Some((_, _, counts)) = runs.iter_mut().find(is_same) {
                counts.0[kind.index()] += 1;
                continue;
            }
            if runs.len() == RUNS_MAX {
                for run in runs.drain(..) {
                    self.count_all(run);
                }
            }
            let mut counts = Counts::default();
            counts.0[kind.index()] = 1;
            runs.push((tenant, hour, counts));
        }
        for run in runs {
            self.count_all(run);
        }
    }

    fn count_all(&mut self, (tenant, hour, more): (&str, Timestamp, Counts)) {
        let of_hour = self.hours.entry(hour).or_default();
        if let Some(counts) = of_hour.get_mut(tenant) {
            counts.add(&more);
        } else {
            self.bytes += size_of::<Counts>() + tenant.len() + 96;
            of_hour.insert(Arc::from(tenant), more);
        }
    }
}

/// The last whole number of `micros` since the epoch, up to `at`.
pub(crate) fn floor(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp::saturating_from_micros(at.micros() - at.micros().rem_euclid(micros))
}

/// Start of the hour that `at` lies in.
pub(crate) fn hour(at: Timestamp) -> Timestamp {
    floor(at, 3_600_000_000)
}

impl Detail<'_> {
    fn write(&self) -> Vec<u8> {
        let mut out = Writer::default();
        let event = [self.source, self.id, self.event_type, self.subject];
        for text in event.into_iter().chain([self.meter, self.field, self.reason]) {
            out.text(cut(text));
        }
        out.int(self.time.micros());
        out.uint(u64::from(self.first.is_some()));
        out.uint(self.first.unwrap_or_default());
        out.bytes
    }
}

/// The text, or what fits of it.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl Listed {
    pub(crate) fn of(note: &Note, source_partition: u32) -> Result<Self, Damaged> {
        let place = (note.received_at, source_partition, note.offset);
        Self::read(note.kind, place, note.seal, &note.detail)
    }

    pub(crate) fn read(
        kind: Kind,
        (received_at, source_partition, offset): (Timestamp, u32, Offset),
        seal: u64,
        detail: &[u8],
    ) -> Result<Self, Damaged> {
        let mut input = Reader::new(detail);
        let mut text = || input.text().map(str::to_owned);
        let (source, id, event_type) = (text()?, text()?, text()?);
        let (subject, meter, field, reason) = (text()?, text()?, text()?, text()?);
        let time = Timestamp::saturating_from_micros(input.int()?);
        let first = (input.uint()? == 1).then_some(input.uint()?);
        input.finish()?;
        Ok(Self {
            kind,
            received_at,
            source_partition,
            offset,
            seal,
            source,
            id,
            event_type,
            subject,
            time,
            meter,
            field,
            reason,
            first,
        })
    }
}
