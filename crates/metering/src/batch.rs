//! Judging the records of a partition in their order: the one function that the meter,
//! a restart, an offline verifier and the simulation share. It knows what the partition
//! has adopted and what it is told of identities seen before, and nothing else.

use std::borrow::Cow;
use std::sync::Arc;

use exchequer_types::{Identity, Offset, PartitionId, TenantId, Timestamp, partition_of};

use crate::contribution::{Contribution, Sign};
use crate::definitions::{BackfillOrder, Definitions, View};
use crate::judge::{Fate, Fault, Seen, Terms, judge};
use crate::normal::{Body, BodyDigest, EventIdentity};

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
    definitions: &'d Definitions,
    partition: PartitionId,
    partitions: u32,
    scratch: Vec<u8>,
    /// The last tenant that was asked for, with what counts its events.
    last: Option<View>,
}

impl<'d> Judge<'d> {
    pub fn new(definitions: &'d Definitions, partition: PartitionId, partitions: u32) -> Self {
        Self { definitions, partition, partitions, scratch: Vec::new(), last: None }
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
        if self.last.as_ref().is_none_or(|last| last.tenant.id.as_str() != event.tenant)
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
        match BodyDigest::of(&event.body) {
            Ok(digest) => Prepared::Event {
                identity: EventIdentity::of_texts(event.tenant, event.source, event.id).into(),
                digest,
            },
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
        let view = self.known(event.tenant);
        self.judge(view.as_ref(), offset, record, event, seen, names, out)
    }

    /// What an event that stands first under its identity comes to, by all that was adopted
    /// up to now: by what was in force for it or, when no meter counted it then, by the
    /// first change that made one count it.
    pub fn standing<N: Names + ?Sized>(
        &mut self,
        offset: Offset,
        record: &Record<'_>,
        event: &EventRecord<'_>,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> Verdict {
        self.standing_before(u64::MAX, offset, record, event, names, out)
    }

    /// The same by what was adopted before `seal`: when the revision that this seal began has
    /// not come to the event yet.
    pub fn standing_before<N: Names + ?Sized>(
        &mut self,
        seal: u64,
        offset: Offset,
        record: &Record<'_>,
        event: &EventRecord<'_>,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> Verdict {
        let views = self.definitions.views_since(event.tenant, offset);
        let (mut first, mut before) = (None, None::<&View>);
        for (since, view) in views.iter().filter(|(since, _)| *since < seal) {
            if before.is_some_and(|before| before.judges_alike(view, event.body.kind)) {
                continue;
            }
            before = Some(view);
            let seen = Seen::Nothing;
            let verdict = self.judge(Some(view), offset, record, event, seen, names, out);
            let is_own = *since == 0;
            if verdict.fate.is_counted() || (is_own && verdict.fate != Fate::Unmatched) {
                return verdict;
            }
            first.get_or_insert(verdict);
        }
        first.unwrap_or_else(|| self.judge(None, offset, record, event, Seen::Nothing, names, out))
    }

    /// What an event that stands first under its identity comes to by what was in force for
    /// it, and nothing later.
    pub fn sealed<N: Names + ?Sized>(
        &mut self,
        offset: Offset,
        record: &Record<'_>,
        event: &EventRecord<'_>,
        names: &mut N,
    ) -> Verdict {
        self.standing_before(1, offset, record, event, names, &mut Vec::new())
    }

    /// What an event that stands first under its identity adds by the change that `seal`
    /// made, when nothing before it counted it.
    pub fn matched<N: Names + ?Sized>(
        &mut self,
        seal: u64,
        offset: Offset,
        record: &Record<'_>,
        event: &EventRecord<'_>,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> bool {
        let before = self.standing_before(seal, offset, record, event, names, &mut Vec::new());
        let Some(view) = self.definitions.view_at(event.tenant, seal) else { return false };
        before.fate == Fate::Unmatched
            && self
                .judge(Some(&view), offset, record, event, Seen::Nothing, names, out)
                .fate
                .is_counted()
    }

    /// What an event that stands first under its identity adds by `order`: that of the
    /// meter which it names, unless that counts the event by itself.
    pub fn backfilled<N: Names + ?Sized>(
        &mut self,
        order: &BackfillOrder,
        offset: Offset,
        record: &Record<'_>,
        event: &EventRecord<'_>,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> bool {
        let is_meant =
            |it: &Contribution| it.meter.key == order.meter && it.meter.version == order.version;
        let start = out.len();
        let verdict = self.standing(offset, record, event, names, out);
        let counts_already = out.drain(start..).any(|it| is_meant(&it));
        let is_in_range =
            order.from <= verdict.time && order.until.is_none_or(|until| verdict.time < until);
        if counts_already || !is_in_range || verdict.fate == Fate::Invalid {
            return false;
        }
        let known = self.definitions.tenant(event.tenant);
        let provider = known.and_then(|known| known.provider.as_ref());
        let seal = provider.and_then(|it| self.definitions.ordered_at(it, &order.id));
        let Some(view) = seal.and_then(|seal| self.definitions.view_at(event.tenant, seal)) else {
            return false;
        };
        self.judge(Some(&view), offset, record, event, Seen::Nothing, names, out);
        let counted: Vec<Contribution> = out.drain(start..).filter(is_meant).collect();
        out.extend(counted);
        out.len() > start
    }

    #[expect(clippy::too_many_arguments, reason = "one event, and where what it adds goes")]
    fn judge<N: Names + ?Sized>(
        &self,
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
        let default = Terms::default();
        let terms = in_force.map_or(&default, |it| &it.terms);
        let meters = in_force.map(|it| &it.meters);
        let judgement = judge(meters, terms, &event.body, received_at, seen);
        let time = judgement.time;
        if let Some(View { tenant, .. }) = view.filter(|_| !judgement.counted.is_empty()) {
            let subject = names.text(event.body.subject);
            let period = tenant.period(time);
            out.extend(judgement.counted.into_iter().map(|(meter, measured)| Contribution {
                tenant: Arc::clone(&tenant.id),
                meter: Arc::clone(meter),
                time,
                subject: Arc::clone(&subject),
                groups: names.texts(&measured.groups),
                period,
                value: measured.value,
                place: (self.partition.0, offset, 0),
                sign: Sign::Adds,
            }));
        }
        let tenant = view.map(|view| Arc::clone(&view.tenant.id));
        Verdict { tenant, fate: judgement.fate, time, faults: judgement.faults }
    }

    /// The id of a tenant that is known.
    pub fn tenant(&mut self, tenant: &str) -> Option<Arc<TenantId>> {
        self.known(tenant).map(|view| Arc::clone(&view.tenant.id))
    }

    /// The tenant, if it is known, and what counts its events.
    fn known(&mut self, tenant: &str) -> Option<View> {
        if let Some(last) = &self.last
            && last.tenant.id.as_str() == tenant
        {
            return Some(last.clone());
        }
        let known = self.definitions.tenant(tenant)?;
        let provider = known.provider.as_ref();
        let in_force = provider.and_then(|it| self.definitions.meters(it)).cloned();
        let view = View { tenant: Arc::clone(known), in_force };
        self.last = Some(view.clone());
        Some(view)
    }
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
