//! One partition's seals and records in their order: sections 4, 5 and 7 of the format.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use exchequer_codec::usage::{decode_record, decode_seal};
use exchequer_kernel::{Head, SealKey, Verdict, fold};
use exchequer_metering::{CorrectionRecord, EventRecord, Fate, Record, RecordBody};
use exchequer_projection_usage::Kind;
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::revision::Kind as Why;
use exchequer_types::{Hash, Offset, PartitionId, TenantId, partition_of};

use super::adopted::Adopted;
use super::judge::{
    CONFLICTING, COUNTED, DUPLICATE, Event, FORWARDED, INVALID, UNMATCHED, is_counted, judge,
};
use super::{Adds, Change, Fated, Name, Partition, Sealed};
use crate::exec::lock;
use crate::usage::Course;
use crate::usage::data::{Data, Written};
use crate::world::World;

/// How long an identity stays taken.
const WINDOW_MICROS: i64 = 3_024_000 * 1_000_000;

/// All of an event that decides whether another is the same.
type Body = (String, String, String, Option<i64>, Data);

/// Who has taken an identity.
#[derive(Debug)]
struct Taken {
    offset: Offset,
    body: Body,
    received_at: i64,
}

/// An event that took its identity.
#[derive(Debug)]
struct Standing {
    name: Name,
    event: Event,
    data: Data,
    /// By its record, not by where it was first.
    received_at: i64,
    seal: u64,
    fate: u8,
    adds: Vec<Adds>,
    voided: bool,
}

/// Who judges, what of.
struct Walk<'a> {
    id: PartitionId,
    partitions: u32,
    key: &'a SealKey,
    written: &'a Written,
    records: Vec<Bytes>,
    adopted: Adopted,
    taken: HashMap<Name, Taken>,
    standing: BTreeMap<Offset, Standing>,
    /// Every revision of the log, those to come too: the seal that holds it.
    revisions: Vec<(u64, pb::Revision)>,
    out: Partition,
    next: Offset,
    through: i64,
}

/// Tells `partition` from zero.
pub(in crate::usage) fn walk(course: &Course, partition: PartitionId) -> Partition {
    let written = lock(&course.written).clone();
    let mut out = Partition::default();
    let seals = accepted(&course.world, partition, &mut out);
    let revisions = seals.iter().filter_map(|(_, it)| Some((it.seq, it.revision.clone()?)));
    let mut walk = Walk {
        id: partition,
        partitions: course.world.plan.partitions,
        key: &course.world.key,
        written: &written,
        records: course.world.usage.records(partition),
        adopted: Adopted::default(),
        taken: HashMap::new(),
        standing: BTreeMap::new(),
        revisions: revisions.collect(),
        out,
        next: 0,
        through: 0,
    };
    for (offset, seal) in &seals {
        if let Err(what) = walk.seal(*offset, seal) {
            let text = format!("seal {} of usage partition {partition} {what}", seal.seq);
            walk.out.violations.push(format!("SIM-26 {text}"));
            return walk.out;
        }
    }
    walk.finish();
    walk.out
}

fn accepted(world: &World, partition: PartitionId, out: &mut Partition) -> Vec<(Offset, pb::Seal)> {
    let (mut head, mut seals) = (Head::default(), Vec::new());
    for bytes in world.seals.records(partition) {
        let offset = head.offset;
        let (record, hash, seal) = decode_seal(partition, &bytes);
        match (fold(&mut head, &record, &hash), seal) {
            (Verdict::Accepted, Some(seal)) => seals.push((offset, seal)),
            (Verdict::Accepted, None) => out.claims += 1,
            (verdict @ Verdict::Break(_), _) => {
                let text = format!("seals of {partition}, offset {offset}: {verdict}");
                out.violations.push(format!("SIM-1 {text}"));
            }
            _ => {}
        }
    }
    seals
}

impl Walk<'_> {
    fn seal(&mut self, offset: Offset, seal: &pb::Seal) -> Result<(), String> {
        if seal.from != self.next {
            return Err(format!("begins at {}, and not at {}", seal.from, self.next));
        }
        if seal.to > self.records.len() as u64 {
            return Err(format!("ends at {}, behind all records", seal.to));
        }
        if seal.through < self.through {
            return Err("goes back in time".to_owned());
        }
        for adopted in &seal.adopted {
            self.adopted.take(seal.seq, adopted)?;
        }
        let mut counts = BTreeMap::<u8, u64>::new();
        let mut root = blake3::Hasher::new_derive_key("exchequer usage seal root v1");
        if let Some(revision) = &seal.revision {
            self.revise(seal.seq, revision)?;
            self.out.revisions += 1;
        } else {
            for at in seal.from..seal.to {
                let bytes = self.records[at as usize].clone();
                let record = decode_record(&bytes, Some(self.key));
                if record.received_at.micros() > seal.through {
                    return Err(format!("ends in time before record {at} was received"));
                }
                let alone = seal.to == seal.from + 1;
                let fate = self.record(seal.seq, at, &record, alone);
                *counts.entry(fate).or_default() += 1;
                root.update(&Hash::blake3(&bytes).0).update(&[fate]);
            }
        }
        let said: BTreeMap<u8, u64> =
            seal.counts.iter().map(|it| (it.fate as u8, it.count)).collect();
        if said != counts {
            let range = (seal.from, seal.to);
            return Err(format!("counts {said:?} in {range:?}, and these come to {counts:?}"));
        }
        if *root.finalize().as_bytes() != *seal.root {
            return Err(format!("has another root than its records, of {counts:?}"));
        }
        self.next = seal.to;
        self.through = seal.through;
        self.out.seals.push(Sealed {
            seq: seal.seq,
            offset,
            from: seal.from,
            to: seal.to,
            through: seal.through,
        });
        Ok(())
    }

    fn record(&mut self, seal: u64, at: Offset, record: &Record<'_>, alone: bool) -> u8 {
        let (tenant, source, id) = record.names();
        let name: Name = (tenant.to_owned(), source.to_owned(), id.to_owned());
        let (fate, kind) = self.fate(seal, at, record, &name, alone);
        let sent_on = self.sent_on(at).filter(|_| record.is_authentic);
        self.out.fated.push(Fated {
            name,
            received_at: record.received_at,
            kind: kind.unwrap_or_else(|| Kind::Fate(fate_of(fate))),
            matched: false,
            sent_on,
        });
        fate
    }

    fn sent_on(&self, at: Offset) -> Option<(u32, Offset)> {
        use prost::Message as _;
        let record = pb::UsageRecord::decode(self.records[at as usize].clone()).ok()?;
        record.forwarded.map(|it| (it.partition, it.offset))
    }

    fn fate(
        &mut self,
        seal: u64,
        at: Offset,
        record: &Record<'_>,
        name: &Name,
        alone: bool,
    ) -> (u8, Option<Kind>) {
        let key = format!("{}/{}", name.0, name.2);
        let is_astray = partition_of(key.as_bytes(), self.partitions) != self.id;
        let is_sent_on = record.forwarded.is_some();
        let needs_mac = is_sent_on || !matches!(record.body, RecordBody::Event(_));
        match &record.body {
            RecordBody::Unreadable(_) => (INVALID, None),
            _ if needs_mac && !record.is_authentic => (INVALID, None),
            RecordBody::Refused { .. } => (INVALID, Some(Kind::Refused)),
            RecordBody::Event(_) if !is_named(name) => (INVALID, None),
            _ if is_astray => (if is_sent_on { INVALID } else { FORWARDED }, None),
            RecordBody::Correction(_) if !alone => (INVALID, None),
            RecordBody::Correction(it) => self.correct(seal, at, record, it, name),
            RecordBody::Event(it) => (self.event(seal, at, record, it, name), None),
        }
    }

    fn event(
        &mut self,
        seal: u64,
        at: Offset,
        record: &Record<'_>,
        it: &EventRecord<'_>,
        name: &Name,
    ) -> u8 {
        let data = self.data(it.body.data);
        if data == Data::NoNormalForm {
            return INVALID;
        }
        let event = event_of(self.id, at, record, it);
        let body = (
            event.kind.clone(),
            event.schema.clone(),
            event.subject.clone(),
            event.time,
            data.clone(),
        );
        let received_at = record.received_at.micros();
        if let Some(taken) = self.taken.get(name)
            && received_at - taken.received_at <= WINDOW_MICROS
        {
            return if taken.body == body { DUPLICATE } else { CONFLICTING };
        }
        let (fate, adds) = judge(self.adopted.view(&name.0, seal), &event, &data);
        if is_counted(fate) || fate == UNMATCHED {
            self.taken.insert(name.clone(), Taken { offset: at, body, received_at });
            let changes = adds.iter().map(|it| Change { seal, adds: true, what: it.clone() });
            self.out.changes.extend(changes);
            let name = name.clone();
            let voided = false;
            let standing = Standing { name, event, data, received_at, seal, fate, adds, voided };
            self.standing.insert(at, standing);
        }
        fate
    }

    fn data(&self, text: &str) -> Data {
        self.written.get(text).cloned().unwrap_or(Data::NoNormalForm)
    }

    /// By the view that was in force for it, or by the first later one that counts it, of
    /// those before seal `before`.
    fn comes_to(&self, it: &Standing, data: &Data, before: u64) -> (u8, Vec<Adds>) {
        let tenant = it.event.tenant.as_str();
        let own = judge(self.adopted.view(tenant, it.seal), &it.event, data);
        if own.0 != UNMATCHED {
            return own;
        }
        let later = self.adopted.changes(tenant).into_iter();
        for seal in later.filter(|seal| *seal > it.seal && *seal < before) {
            let found = judge(self.adopted.view(tenant, seal), &it.event, data);
            if is_counted(found.0) {
                return found;
            }
        }
        own
    }

    /// The event that stands under `name` for somebody who asks at `now`.
    fn stands(&self, name: &Name, before: Offset, now: i64) -> Option<Offset> {
        let taken = self.taken.get(name).filter(|it| it.offset < before)?;
        (now - taken.received_at <= WINDOW_MICROS).then_some(taken.offset)
    }

    fn correct(
        &mut self,
        seal: u64,
        at: Offset,
        record: &Record<'_>,
        it: &CorrectionRecord<'_>,
        name: &Name,
    ) -> (u8, Option<Kind>) {
        let Some(first) = self.stands(name, at, record.received_at.micros()) else {
            return (INVALID, None);
        };
        let Some(standing) = self.standing.get(&first) else { return (INVALID, None) };
        if standing.voided {
            let fate = if it.amended.is_none() { DUPLICATE } else { INVALID };
            return (fate, None);
        }
        let mut adds = Vec::new();
        let data = it.amended.map(|text| self.data(text));
        if let Some(data) = &data {
            let pending = self.pending(first, standing, seal);
            let was = self.comes_to(standing, &standing.data, pending);
            let now = self.comes_to(standing, data, pending);
            if now.0 != was.0 && !(is_counted(now.0) && is_counted(was.0)) {
                return (INVALID, None);
            }
            adds = now.1;
            for (_, revision) in self.done(first, seal) {
                if let Some(Why::Backfill(order)) = &revision.kind {
                    adds.extend(self.backfilled(standing, data, order, revision.begun));
                }
            }
        }
        let Some(standing) = self.standing.get_mut(&first) else { return (INVALID, None) };
        let gone = core::mem::replace(&mut standing.adds, adds.clone());
        let gone = gone.into_iter().map(|what| Change { seal, adds: false, what });
        let come = adds.into_iter().map(|what| Change { seal, adds: true, what });
        self.out.changes.extend(gone.chain(come));
        let kind = if data.is_some() { Kind::Amended } else { Kind::Voided };
        match data {
            Some(data) => standing.data = data,
            None => standing.voided = true,
        }
        (COUNTED, Some(kind))
    }

    /// The first seal whose revision has still to come to the event at `offset`.
    fn pending(&self, offset: Offset, it: &Standing, seal: u64) -> u64 {
        let waits = |(at, revision): &&(u64, pb::Revision)| {
            let is_own =
                matches!(&revision.kind, Some(Why::Unmatched(of)) if of.tenant == it.event.tenant);
            is_own && *at > seal && revision.from <= offset && offset < revision.to
        };
        let begun = self.revisions.iter().filter(waits).map(|(_, revision)| revision.begun);
        begun.min().unwrap_or(u64::MAX)
    }

    /// Revisions that have come to the event at `offset`.
    fn done(&self, offset: Offset, seal: u64) -> impl Iterator<Item = &(u64, pb::Revision)> {
        self.revisions.iter().filter(move |(at, revision)| {
            *at < seal && revision.from <= offset && offset < revision.to
        })
    }

    fn backfilled(
        &self,
        it: &Standing,
        data: &Data,
        order: &pb::Backfill,
        begun: u64,
    ) -> Vec<Adds> {
        let is_meant = |it: &Adds| it.meter == order.meter && it.version == order.version;
        let (fate, adds) = self.comes_to(it, data, u64::MAX);
        let at = it.event.at();
        let is_in = order.since <= at && order.until.is_none_or(|until| at < until);
        if fate == INVALID || !is_in || adds.iter().any(is_meant) {
            return Vec::new();
        }
        let (_, adds) = judge(self.adopted.view(&it.event.tenant, begun), &it.event, data);
        adds.into_iter().filter(is_meant).collect()
    }

    fn revise(&mut self, seal: u64, revision: &pb::Revision) -> Result<(), String> {
        let mut root = blake3::Hasher::new_derive_key("exchequer usage seal root v1");
        let (mut counted, mut found) = (0, Vec::new());
        for at in revision.from..revision.to {
            let adds = self.revised(at, revision);
            let is_more = !adds.is_empty();
            counted += u64::from(is_more);
            root.update(&Hash::blake3(&self.records[at as usize]).0).update(&[u8::from(is_more)]);
            let Some(standing) = self.standing.get_mut(&at) else { continue };
            if is_more && matches!(revision.kind, Some(Why::Unmatched(_))) {
                self.out.fated[at as usize].matched = true;
            }
            if is_more {
                found.push((at, standing.fate, standing.seal, standing.data.clone()));
            }
            standing.adds.extend(adds.iter().cloned());
            let adds = adds.into_iter().map(|what| Change { seal, adds: true, what });
            self.out.changes.extend(adds);
        }
        if counted != revision.counted {
            let (said, kind) = (revision.counted, &revision.kind);
            let range = (revision.from, revision.to, revision.begun);
            return Err(format!("counts {said} anew of {range:?}, {kind:?}, not {found:?}"));
        }
        if *root.finalize().as_bytes() != *revision.root {
            return Err(format!("counts others anew than {counted} of its records"));
        }
        Ok(())
    }

    fn revised(&self, at: Offset, revision: &pb::Revision) -> Vec<Adds> {
        let Some(it) = self.standing.get(&at).filter(|it| !it.voided) else { return Vec::new() };
        if self.stands(&it.name, Offset::MAX, self.through) != Some(at) {
            return Vec::new();
        }
        let tenant = it.event.tenant.as_str();
        match &revision.kind {
            Some(Why::Unmatched(of)) if of.tenant == tenant => {
                let (before, _) = self.comes_to(it, &it.data, revision.begun);
                let view = self.adopted.view(tenant, revision.begun);
                let (fate, adds) = judge(view, &it.event, &it.data);
                if before == UNMATCHED && is_counted(fate) { adds } else { Vec::new() }
            }
            Some(Why::Backfill(order)) => {
                let view = self.adopted.view(tenant, u64::MAX);
                if view.tenant.is_some_and(|known| known.provider == order.provider) {
                    self.backfilled(it, &it.data, order, revision.begun)
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        }
    }

    /// At rest every event that a meter would count is counted, or too old.
    fn finish(&mut self) {
        for (offset, it) in &self.standing {
            let is_due = it.fate == UNMATCHED && !it.voided && it.adds.is_empty();
            let is_young = self.through - it.received_at < WINDOW_MICROS / 2;
            if is_due && is_young && is_counted(self.comes_to(it, &it.data, u64::MAX).0) {
                let text = format!("record {offset} of usage partition {}", self.id);
                self.out.violations.push(format!("SIM-26 {text} has a meter, and is not counted"));
            }
        }
    }
}

fn event_of(id: PartitionId, at: Offset, record: &Record<'_>, it: &EventRecord<'_>) -> Event {
    Event {
        tenant: it.tenant.to_owned(),
        kind: it.body.kind.to_owned(),
        schema: it.body.schema.to_owned(),
        subject: it.body.subject.to_owned(),
        time: it.body.time.map(exchequer_types::Timestamp::micros),
        received_at: record.forwarded.unwrap_or(record.received_at).micros(),
        place: (id.0, at),
    }
}

fn is_named((tenant, source, id): &Name) -> bool {
    TenantId::parse(tenant.as_str()).is_ok() && !source.is_empty() && !id.is_empty()
}

fn fate_of(number: u8) -> Fate {
    match number {
        1 => Fate::Counted,
        2 => Fate::Late,
        3 => Fate::Duplicate,
        4 => Fate::Conflicting,
        5 => Fate::Unmatched,
        7 => Fate::Forwarded,
        _ => Fate::Invalid,
    }
}
