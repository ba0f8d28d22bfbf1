//! Judging the records of a partition in their order: the one function that the meter,
//! a restart, an offline verifier and the simulation share. It knows what the partition
//! has adopted and what it is told of identities seen before, and nothing else.

use std::borrow::Cow;
use std::sync::Arc;

use exchequer_types::{Identity, Offset, PartitionId, TenantId, Timestamp, partition_of};

use crate::contribution::{Contribution, Sign};
use crate::definitions::{Definitions, View};
use crate::judge::{Fate, Fault, Seen, judge_into, time_of};
use crate::meter::Meter;
use crate::normal::{Body, BodyDigest, EventIdentity};
use crate::outline::Outline;

/// A record of the usage log, as far as judging needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub received_at: Timestamp,
    /// When it was received first, of a record that was sent on.
    pub forwarded: Option<Timestamp>,
    /// Is its MAC right? Of a record that needs none it does not matter.
    pub is_authentic: bool,
    pub body: RecordBody<'a>,
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordBody<'a> {
    Event(EventRecord<'a>),
    /// What a gateway refused; `field` and `reason` are its own.
    Refused {
        tenant: &'a str,
        source: &'a str,
        id: &'a str,
        field: &'a str,
        reason: &'a str,
    },
    /// Corrects the event of this tenant, source and id.
    Correction(CorrectionRecord<'a>),
    /// Its bytes mean nothing here.
    Unreadable(&'static str),
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRecord<'a> {
    pub tenant: &'a str,
    pub source: &'a str,
    pub id: &'a str,
    pub body: Body<'a>,
}

/// A correction of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorrectionRecord<'a> {
    /// Of the command that decided it.
    pub id: &'a str,
    pub tenant: &'a str,
    pub source: &'a str,
    /// Id of the event.
    pub event: &'a str,
    /// Data in place of the event's; none when it counts for nothing from here on.
    pub amended: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// Tenant, source and id of the event that it is about, as far as it names them.
    pub fn names(&self) -> (&'a str, &'a str, &'a str) {
        match &self.body {
            RecordBody::Event(it) => (it.tenant, it.source, it.id),
            RecordBody::Refused { tenant, source, id, .. } => (tenant, source, id),
            RecordBody::Correction(it) => (it.tenant, it.source, it.event),
            RecordBody::Unreadable(_) => ("", "", ""),
        }
    }
}

/// What a record is before anything is known of its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// Its fate depends on nothing else.
    Settled(Fate, Option<Fault>),
    /// An event on its own partition.
    Event { identity: Identity, digest: BodyDigest },
    /// A correction on its own partition; `identity` is that of the event.
    Correction { identity: Identity },
}

/// An identity's first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    pub offset: Offset,
    pub digest: [u8; 8],
}

/// A record's fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The tenant, if it is known.
    pub tenant: Option<Arc<TenantId>>,
    pub fate: Fate,
    /// Event time, as it decides the windows.
    pub time: Timestamp,
    /// Why it was not counted, by one of its meters or by all.
    pub faults: Vec<Fault>,
}

/// Makes shared texts of borrowed ones: the same for the same text, as far as it remembers.
pub trait Names {
    fn text(&mut self, text: &str) -> Arc<str>;
    fn texts(&mut self, texts: &[Cow<'_, str>]) -> Arc<[Arc<str>]>;
}

/// Remembers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unshared;

impl Names for Unshared {
    fn text(&mut self, text: &str) -> Arc<str> {
        Arc::from(text)
    }

    fn texts(&mut self, texts: &[Cow<'_, str>]) -> Arc<[Arc<str>]> {
        texts.iter().map(|text| Arc::from(text.as_ref())).collect()
    }
}

/// The partition that an event belongs to: that of the key `<tenant>/<event id>`.
/// `scratch` is used to put the key together.
pub fn partition_of_event(
    tenant: &str,
    id: &str,
    partitions: u32,
    scratch: &mut Vec<u8>,
) -> PartitionId {
    scratch.clear();
    scratch.extend_from_slice(tenant.as_bytes());
    scratch.push(b'/');
    scratch.extend_from_slice(id.as_bytes());
    partition_of(scratch, partitions)
}

/// Judges the records of one partition.
#[derive(Debug)]
pub struct Judge<'d> {
    pub(crate) definitions: &'d Definitions,
    partition: PartitionId,
    partitions: u32,
    scratch: Vec<u8>,
    /// Of the data that was read last: an event's digest and its values come from one
    /// reading, when it is judged behind its preparation.
    outline: Outline,
    /// Tenants that were asked for lately, with what counts their events: each in the slot
    /// of its id, where it stays until another one takes it.
    lately: Vec<Option<View>>,
}

/// A power of two.
const LATELY_SLOTS: usize = 64;

impl<'d> Judge<'d> {
    pub fn new(definitions: &'d Definitions, partition: PartitionId, partitions: u32) -> Self {
        let (scratch, outline) = (Vec::new(), Outline::default());
        let lately = vec![None; LATELY_SLOTS];
        Self { definitions, partition, partitions, scratch, outline, lately }
    }

    /// What `record` is, before its identity is looked up.
    pub fn prepare(&mut self, record: &Record<'_>) -> Prepared {
        if record.forwarded.is_some() && !record.is_authentic {
            return invalid("mac", "is not this deployment's");
        }
        match &record.body {
            RecordBody::Unreadable(reason) => invalid("record", reason),
            RecordBody::Refused { field, reason, .. } if record.is_authentic => {
                let fault =
                    Fault { meter: None, field: (*field).to_owned(), reason: (*reason).to_owned() };
                Prepared::Settled(Fate::Invalid, Some(fault))
            }
            RecordBody::Correction(it) if record.is_authentic => {
                match self.astray(record, it.tenant, it.event) {
                    Some(settled) => settled,
                    None => Prepared::Correction {
                        identity: EventIdentity::of_texts(it.tenant, it.source, it.event).into(),
                    },
                }
            }
            RecordBody::Refused { .. } | RecordBody::Correction(_) => {
                invalid("mac", "is not this deployment's")
            }
            RecordBody::Event(event) => self.prepare_event(record, event),
        }
    }

    fn prepare_event(&mut self, record: &Record<'_>, event: &EventRecord<'_>) -> Prepared {
        if self.look_up(event.tenant).is_none()
            && let Err(error) = TenantId::parse(event.tenant)
        {
            return invalid("tenant", &error.to_string());
        }
        if event.id.is_empty() || event.source.is_empty() {
            return invalid(if event.id.is_empty() { "id" } else { "source" }, "must not be empty");
        }
        if let Some(settled) = self.astray(record, event.tenant, event.id) {
            return settled;
        }
        match BodyDigest::with(&mut self.scratch, &mut self.outline, &event.body) {
            Ok(digest) => {
                let names = [event.tenant, event.source, event.id];
                let identity = EventIdentity::with(&mut self.scratch, names).into();
                Prepared::Event { identity, digest }
            }
            Err(error) => invalid("data", &error.to_string()),
        }
    }

    /// The fate of a record that stands on another partition than its own.
    fn astray(&mut self, record: &Record<'_>, tenant: &str, id: &str) -> Option<Prepared> {
        let own = partition_of_event(tenant, id, self.partitions, &mut self.scratch);
        if own == self.partition {
            return None;
        }
        Some(match record.forwarded {
            None => Prepared::Settled(Fate::Forwarded, None),
            Some(_) => invalid("id", "stands on the wrong partition again after it was sent on"),
        })
    }

    /// Judges an event at `offset` that [`prepare`](Self::prepare) found on its own
    /// partition. `first` is what the index of identities knows. What it adds is put
    /// behind `out`.
    pub fn event<N: Names + ?Sized>(
        &mut self,
        offset: Offset,
        record: &Record<'_>,
        event: &EventRecord<'_>,
        seen: Seen,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> Verdict {
        // Put back behind the judging, which may not look tenants up.
        let view = self.look_up(event.tenant).and_then(Option::take);
        let verdict = self.judge(view.as_ref(), offset, record, event, seen, names, out);
        if let Some(slot) = self.lately.get_mut(slot_of(event.tenant))
            && view.is_some()
        {
            *slot = view;
        }
        verdict
    }

    #[expect(clippy::too_many_arguments, reason = "one event, and where what it adds goes")]
    pub(crate) fn judge<N: Names + ?Sized>(
        &mut self,
        view: Option<&View>,
        offset: Offset,
        record: &Record<'_>,
        event: &EventRecord<'_>,
        seen: Seen,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> Verdict {
        let received_at = record.forwarded.unwrap_or(record.received_at);
        let in_force = view.and_then(|view| view.in_force.as_deref());
        let tenant = view.map(|view| view.tenant.as_ref());
        let time = time_of(&event.body, received_at);
        let (partition, body) = (self.partition.0, &event.body);
        let mut shared = None;
        let count = |meter: &Arc<Meter>, value, groups: &[Cow<'_, str>]| {
            let Some(tenant) = tenant else { return };
            let (subject, period) =
                shared.get_or_insert_with(|| (names.text(body.subject), tenant.period(time)));
            out.push(Contribution {
                tenant: Arc::clone(&tenant.id),
                meter: Arc::clone(meter),
                time,
                subject: Arc::clone(subject),
                groups: names.texts(groups),
                period: *period,
                value,
                place: (partition, offset, 0),
                sign: Sign::Adds,
            });
        };
        let (fate, faults) =
            judge_into(in_force, body, received_at, seen, &mut self.outline, count);
        let tenant = tenant.map(|tenant| Arc::clone(&tenant.id));
        Verdict { tenant, fate, time, faults }
    }

    /// The id of a tenant that is known.
    pub fn tenant(&mut self, tenant: &str) -> Option<Arc<TenantId>> {
        self.look_up(tenant)?.as_ref().map(|view| Arc::clone(&view.tenant.id))
    }

    /// The tenant, if it is known, and what counts its events.
    fn look_up(&mut self, tenant: &str) -> Option<&mut Option<View>> {
        let slot = self.lately.get_mut(slot_of(tenant))?;
        if slot.as_ref().is_none_or(|view| view.tenant.id.as_str() != tenant) {
            let known = self.definitions.tenant(tenant)?;
            let provider = known.provider.as_ref();
            let in_force = provider.and_then(|it| self.definitions.meters(it)).cloned();
            *slot = Some(View { tenant: Arc::clone(known), in_force });
        }
        Some(slot)
    }
}

fn slot_of(tenant: &str) -> usize {
    let hash = tenant
        .bytes()
        .fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
    hash % LATELY_SLOTS
}

/// What an event at `offset` with body `digest` finds under its identity. Only what
/// stands before it was there first: judging a record again finds itself, and that is
/// no duplicate.
pub fn seen(first: Option<First>, offset: Offset, digest: BodyDigest) -> Seen {
    match first {
        Some(first) if first.offset < offset => {
            if first.digest == digest.0 {
                Seen::Same
            } else {
                Seen::Other
            }
        }
        _ => Seen::Nothing,
    }
}

fn invalid(field: &str, reason: &str) -> Prepared {
    let fault = Fault { meter: None, field: field.to_owned(), reason: reason.to_owned() };
    Prepared::Settled(Fate::Invalid, Some(fault))
}
