//! Windows of which something was taken back and that cannot be subtracted from: minima,
//! maxima, latest and unique values. The minute is put together anew from its events, longer
//! windows from the rows of shorter ones. It is done behind the flush that wrote what was
//! taken back; doing it twice changes nothing, so that it is begun anew after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use exchequer_codec::usage::decode_record;
use exchequer_codec::{meter_definition_from_proto, meter_definition_to_proto};
use exchequer_journal::Record as LogRecord;
use exchequer_metering::{Aggregation, Contribution, Judge, Meter, Prepared, RecordBody};
use exchequer_projection_usage::{
    Amounts, CellOf, FlushError, Kept, Recount, count, ends, ranges, shorter,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_readstore::Fault;
use exchequer_types::{Identity, Offset, Period, TenantId, Timestamp};

use super::Context;
use super::correcting::corrected;
use super::resume::read_range;
use super::state::Metering;
use crate::EngineError;

/// Cells that are to be put together anew: all that one event was in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Touched {
    /// The seal that took back.
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

/// Where the rows are.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) seal: u64,
    /// Records below it are in the rows.
    pub(super) next: Offset,
}

/// Notes what `contributions` of seal `seq` take back from where nothing can be taken away.
pub(super) fn note(state: &mut Metering, seal: u64, contributions: &[Contribution]) {
    for it in contributions.iter().filter(|it| it.sign.is_back()) {
        let can_subtract = matches!(
            it.meter.aggregation,
            Aggregation::Count | Aggregation::Sum | Aggregation::Average
        );
        if can_subtract {
            continue;
        }
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
        if !state.touched.contains(&touched) {
            state.touched.push(touched);
        }
    }
}

/// Puts together anew what the rows at `at` have, as far as seals up to there took back.
pub(super) async fn recount(
    context: &Context,
    state: &mut Metering,
    at: At,
) -> Result<(), EngineError> {
    let due: Vec<Touched> = state.touched.iter().filter(|it| it.seal <= at.seal).cloned().collect();
    for touched in due {
        one(context, state, at, &touched).await?;
        state.touched.retain(|it| *it != touched);
    }
    Ok(())
}

async fn one(
    context: &Context,
    state: &mut Metering,
    at: At,
    it: &Touched,
) -> Result<(), EngineError> {
    let store = context.ports.store.as_ref();
    let mut cells = vec![CellOf::Groups(it.groups.clone())];
    cells.extend((!it.subject.is_empty()).then(|| CellOf::Subject(it.subject.clone())));
    let mut rows = Recount::new(store, (&it.tenant, &it.meter), (state.partition, at.seal));
    let minute = Kept::Minute.window(it.time);
    if let Some(minute) = minute.filter(|_| !it.is_of_period) {
        let events = events(context, state, at, it, minute).await?;
        for of in &cells {
            let amounts = amounts(of, events.iter());
            rows.put((Kept::Minute, minute), of, &amounts).await.map_err(of_flush)?;
        }
        for kept in [Kept::Hour, Kept::Day, Kept::Month] {
            let Some(window) = kept.window(it.time) else { continue };
            for of in &cells {
                let mut amounts = Amounts::new();
                for piece in shorter(kept, window) {
                    rows.held(piece, of, &mut amounts).await.map_err(of_flush)?;
                }
                rows.put((kept, window), of, &amounts).await.map_err(of_flush)?;
            }
        }
    }
    let Some(start) = it.period else { return Ok(()) };
    let known = state.definitions.tenant(it.tenant.as_str());
    let now = known.and_then(|known| known.period(start)).filter(|now| now.start == start);
    let period = now.unwrap_or(Period { start, end: start });
    let mut at_ends = Vec::new();
    for end in ends(period) {
        at_ends.extend(events(context, state, at, it, end).await?);
    }
    let is_in = |event: &&Contribution| event.period.is_some_and(|it| it.start == start);
    for of in &cells {
        let mut amounts = amounts(of, at_ends.iter().filter(is_in));
        for piece in shorter(Kept::Period, period) {
            rows.held(piece, of, &mut amounts).await.map_err(of_flush)?;
        }
        rows.put((Kept::Period, period), of, &amounts).await.map_err(of_flush)?;
    }
    Ok(())
}

fn amounts<'c>(of: &CellOf, events: impl Iterator<Item = &'c Contribution>) -> Amounts {
    let mut amounts = Amounts::new();
    for it in events {
        match of {
            CellOf::Groups(_) => {
                count(&mut amounts, it.groups.iter().map(ToString::to_string).collect(), it);
            }
            CellOf::Subject(_) if it.subject.is_empty() => {}
            CellOf::Subject(_) => count(&mut amounts, vec![it.subject.to_string()], it),
        }
    }
    amounts
}

/// What the kept events of `times` add to the meter, by what the rows hold.
async fn events(
    context: &Context,
    state: &mut Metering,
    at: At,
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
            for log in read_range(context, state.partition, from, to.min(at.next)).await? {
                let adds = adds(context, state, (at, it, times), &log, &mut seen).await?;
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
    (at, it, times): (At, &Touched, Period),
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
    // Of long ago, the first one of its name is it.
    let is_first =
        known.map_or_else(|| seen.insert(identity), |known| known.place.offset == log.offset);
    if !is_first {
        return Ok(adds);
    }
    let Some(left) = corrected(context, state, identity, at.next).await? else { return Ok(adds) };
    let event = event.with_data(left.data.as_deref().unwrap_or(event.body.data));
    let mut judge = Judge::new(&state.definitions, state.partition, state.partitions);
    let place = (log.offset, &record, &event);
    judge.stand(&state.revisions, place, &mut state.names, &mut adds);
    let of = (&it.meter.key, it.meter.version);
    adds.retain(|adds| (&adds.meter.key, adds.meter.version) == of);
    Ok(adds)
}

fn of_flush(error: FlushError) -> EngineError {
    match error {
        FlushError::Store(fault) => fault.into(),
        FlushError::Split { at } => Fault::retryable(format!("rows are at seal {at}")).into(),
        error @ FlushError::Damaged(_) => EngineError::Stopped(error.to_string()),
    }
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
