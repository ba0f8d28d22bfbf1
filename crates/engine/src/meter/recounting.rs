//! Windows of which something was taken back and that cannot be subtracted from: minima,
//! maxima, latest and unique values. The minute is put together anew from its events, longer
//! windows from the rows of shorter ones. Events are read when the state stands where the
//! rows are about to, so that nothing later is in what they add; the rows are changed by the
//! write that brings them there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use exchequer_codec::usage::decode_record;
use exchequer_codec::{meter_definition_from_proto, meter_definition_to_proto};
use exchequer_journal::Record as LogRecord;
use exchequer_metering::{Contribution, Judge, Meter, Prepared, RecordBody};
use exchequer_projection_usage::{
    Amounts, CellOf, FlushError, Kept, Pending, Recount, count, ends, ranges, shorter,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Identity, PartitionId, Period, TenantId, Timestamp};

use super::Context;
use super::correcting::corrected;
use super::resume::read_range;
use super::state::Metering;
use crate::EngineError;

/// Cells that are to be put together anew: all that one event was in.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    /// The first seal that took back.
    seal: u64,
    tenant: Arc<TenantId>,
    meter: Arc<Meter>,
    time: Timestamp,
    groups: Vec<String>,
    subject: String,
    /// Where the billing period begins.
    period: Option<Timestamp>,
    is_of_period: bool,
}

impl Touched {
    fn is_of_cells_of(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.time, it.period, it.is_of_period);
        of(self) == of(other)
            && self.is_of_meter_of(other)
            && (&self.groups, &self.subject) == (&other.groups, &other.subject)
    }

    fn is_of_meter_of(&self, other: &Self) -> bool {
        self.tenant == other.tenant
            && (&self.meter.key, self.meter.version) == (&other.meter.key, other.meter.version)
    }

    fn minute(&self) -> Option<Period> {
        Kept::Minute.window(self.time).filter(|_| !self.is_of_period)
    }
}

/// Which events of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    Minute(Period),
    /// Of the billing period, in the parts of minutes at both of its ends.
    Ends(Period),
}

/// What they add.
#[derive(Debug)]
struct Added {
    of: Touched,
    stretch: Stretch,
    totals: Amounts,
    subjects: Amounts,
}

/// All that a write has to put together anew.
#[derive(Debug, Default)]
pub(super) struct Recounts {
    due: Vec<(Touched, Vec<Stretch>)>,
    /// Each stretch of a meter once.
    added: Vec<Added>,
}

impl Recounts {
    fn find(&self, of: &Touched, stretch: Stretch) -> Option<&Added> {
        self.added.iter().find(|it| it.stretch == stretch && it.of.is_of_meter_of(of))
    }
}

/// Notes what `contributions` of seal `seal` take back from where nothing can be taken away.
pub(super) fn note(state: &mut Metering, seal: u64, contributions: &[Contribution]) {
    let lacks = |it: &&Contribution| it.sign.is_back() && !it.meter.aggregation.can_subtract();
    for it in contributions.iter().filter(lacks) {
        let touched = Touched {
            seal,
            tenant: Arc::clone(&it.tenant),
            meter: Arc::clone(&it.meter),
            time: Kept::Minute.window(it.time).map_or(it.time, |window| window.start),
            groups: it.groups.iter().map(ToString::to_string).collect(),
            subject: it.subject.to_string(),
            period: it.period.map(|it| it.start),
            is_of_period: it.sign.is_of_period(),
        };
        put_to(&mut state.touched, touched);
    }
}

fn put_to(all: &mut Vec<Touched>, it: Touched) {
    if !all.iter().any(|known| known.is_of_cells_of(&it)) {
        all.push(it);
    }
}

/// Reads what the events add of all that was taken back from. `state` stands where the rows
/// are about to.
pub(super) async fn read(context: &Context, state: &mut Metering) -> Result<Recounts, EngineError> {
    let mut all = core::mem::take(&mut state.touched);
    for it in core::mem::take(&mut state.waiting) {
        put_to(&mut all, it);
    }
    let mut recounts = Recounts::default();
    for it in all {
        let known = state.definitions.tenant(it.tenant.as_str());
        let period = it.period.map(|start| {
            let now = known.and_then(|known| known.period(start));
            now.filter(|now| now.start == start).unwrap_or(Period { start, end: start })
        });
        let stretches = it.minute().map(Stretch::Minute).into_iter();
        let stretches: Vec<Stretch> = stretches.chain(period.map(Stretch::Ends)).collect();
        for stretch in &stretches {
            if recounts.find(&it, *stretch).is_none() {
                let added = added(context, state, &it, *stretch).await?;
                recounts.added.push(added);
            }
        }
        recounts.due.push((it, stretches));
    }
    Ok(recounts)
}

async fn added(
    context: &Context,
    state: &mut Metering,
    it: &Touched,
    stretch: Stretch,
) -> Result<Added, EngineError> {
    let mut found = Vec::new();
    match stretch {
        Stretch::Minute(minute) => found = events(context, state, it, minute).await?,
        Stretch::Ends(period) => {
            for end in ends(period) {
                found.extend(events(context, state, it, end).await?);
            }
            let starts = |event: &Contribution| event.period.map(|it| it.start);
            found.retain(|event| starts(event) == Some(period.start));
        }
    }
    let (mut totals, mut subjects) = (Amounts::new(), Amounts::new());
    for event in &found {
        count(&mut totals, event.groups.iter().map(ToString::to_string).collect(), event);
        if !event.subject.is_empty() {
            count(&mut subjects, vec![event.subject.to_string()], event);
        }
    }
    Ok(Added { of: it.clone(), stretch, totals, subjects })
}

/// Puts together anew what `recounts` says, in rows that are about to be those of `seal`.
/// Gives what has to be done again, for rows of it tell of later seals.
pub(super) async fn put(
    store: &Pending<'_>,
    (source, seal): (PartitionId, u64),
    recounts: &Recounts,
) -> Result<Vec<Touched>, FlushError> {
    let mut left = Vec::new();
    for (it, stretches) in &recounts.due {
        let rows = Recount::new(store, (&it.tenant, &it.meter), (source, seal));
        let mut has_taken = true;
        for stretch in stretches {
            let Some(added) = recounts.find(it, *stretch) else { continue };
            has_taken &= put_one(&rows, it, added).await?;
        }
        if !has_taken {
            left.push(it.clone());
        }
    }
    Ok(left)
}

async fn put_one(rows: &Recount<'_>, it: &Touched, added: &Added) -> Result<bool, FlushError> {
    let mut cells = vec![(CellOf::Groups(it.groups.clone()), &added.totals)];
    if !it.subject.is_empty() {
        cells.push((CellOf::Subject(it.subject.clone()), &added.subjects));
    }
    let mut has_taken = true;
    for (of, own) in &cells {
        match added.stretch {
            Stretch::Minute(minute) => {
                has_taken &= rows.put((Kept::Minute, minute), of, own).await?;
                for kept in [Kept::Hour, Kept::Day, Kept::Month] {
                    let Some(window) = kept.window(it.time) else { continue };
                    has_taken &= put_longer(rows, (kept, window), of, Amounts::new()).await?;
                }
            }
            Stretch::Ends(period) => {
                has_taken &= put_longer(rows, (Kept::Period, period), of, (*own).clone()).await?;
            }
        }
    }
    Ok(has_taken)
}

/// A window is what `amounts` say and the shorter ones within it.
async fn put_longer(
    rows: &Recount<'_>,
    (kept, window): (Kept, Period),
    of: &CellOf,
    mut amounts: Amounts,
) -> Result<bool, FlushError> {
    let mut is_of_seal = true;
    for piece in shorter(kept, window) {
        is_of_seal &= rows.held(piece, of, &mut amounts).await?;
    }
    Ok(rows.put((kept, window), of, &amounts).await? && is_of_seal)
}

/// What the kept events of `times` add to the meter.
async fn events(
    context: &Context,
    state: &mut Metering,
    it: &Touched,
    times: Period,
) -> Result<Vec<Contribution>, EngineError> {
    let store = context.ports.store.as_ref();
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut after = Some(0);
    while let Some(from) = after {
        let live = &context.meters.live;
        let range = (times.start, times.end);
        let (parts, next) = ranges(store, live, state.partition, range, from).await?;
        for (from, to) in parts {
            for log in read_range(context, state.partition, from, to.min(state.next)).await? {
                let adds = adds(context, state, (it, times), &log, &mut seen).await?;
                found.extend(adds);
            }
        }
        after = next;
    }
    Ok(found)
}

/// What one record adds to the meter.
async fn adds(
    context: &Context,
    state: &mut Metering,
    (it, times): (&Touched, Period),
    log: &LogRecord,
    seen: &mut BTreeSet<Identity>,
) -> Result<Vec<Contribution>, EngineError> {
    let mut adds = Vec::new();
    let record = decode_record(&log.bytes, Some(&context.ports.key));
    let RecordBody::Event(event) = &record.body else { return Ok(adds) };
    let received_at = record.forwarded.unwrap_or(record.received_at);
    if event.tenant != it.tenant.as_str()
        || event.body.kind != it.meter.event_type
        || !times.contains(event.body.time.unwrap_or(received_at))
    {
        return Ok(adds);
    }
    let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
    let Prepared::Event { identity, .. } = judge.prepare(&record) else { return Ok(adds) };
    let known = match state.identities.recent(&identity) {
        None if state.identities.must_ask(&identity, state.through) => {
            let store = context.ports.store.as_ref();
            state.identities.ask(store, &identity, state.through).await?
        }
        recent => recent,
    };
    let window = state.identities.window();
    let known = known.filter(|known| known.is_kept(state.through, window));
    let known = known.map(|known| known.place.offset);
    // Of long ago, the first one of its name is it, whoever has taken the name since. It may
    // repeat one of another minute, which nobody knows any more: the guide to meters says so.
    let is_first = match known {
        Some(first) if first <= log.offset => first == log.offset,
        _ => seen.insert(identity),
    };
    if !is_first {
        return Ok(adds);
    }
    let until = known.filter(|first| *first > log.offset).unwrap_or(state.next);
    let range = (log.offset, until);
    let Some(left) = corrected(context, state, identity, range).await? else { return Ok(adds) };
    let event = event.with_data(left.data.as_deref().unwrap_or(event.body.data));
    let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
    let place = (log.offset, &record, &event);
    judge.stand(&state.revisions, place, &mut state.names, &mut adds);
    let of = (&it.meter.key, it.meter.version);
    adds.retain(|adds| (&adds.meter.key, adds.meter.version) == of);
    Ok(adds)
}

/// As a checkpoint keeps them.
pub(super) fn to_proto(all: &[Touched]) -> Vec<pb::TouchedWindows> {
    let one = |it: &Touched| pb::TouchedWindows {
        seal: it.seal,
        tenant: it.tenant.to_string(),
        meter: Some(meter_definition_to_proto(&it.meter)),
        time: it.time.micros(),
        groups: it.groups.clone(),
        subject: it.subject.clone(),
        period: it.period.map(Timestamp::micros),
        is_of_period: it.is_of_period,
    };
    all.iter().map(one).collect()
}

pub(super) fn from_proto(all: &[pb::TouchedWindows]) -> Result<Vec<Touched>, EngineError> {
    let mut tenants: BTreeMap<String, Arc<TenantId>> = BTreeMap::new();
    let mut read = Vec::new();
    for it in all {
        let damaged = |what: &str| EngineError::Stopped(format!("a checkpoint's {what}"));
        let tenant = if let Some(known) = tenants.get(&it.tenant) {
            Arc::clone(known)
        } else {
            let id = TenantId::parse(it.tenant.as_str()).map_err(|_| damaged("tenant"))?;
            let id = Arc::new(id);
            tenants.insert(it.tenant.clone(), Arc::clone(&id));
            id
        };
        read.push(Touched {
            seal: it.seal,
            tenant,
            meter: Arc::new(meter_definition_from_proto(it.meter.clone())?),
            time: Timestamp::saturating_from_micros(it.time),
            groups: it.groups.clone(),
            subject: it.subject.clone(),
            period: it.period.map(Timestamp::saturating_from_micros),
            is_of_period: it.is_of_period,
        });
    }
    Ok(read)
}
