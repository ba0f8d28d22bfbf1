//! `GetEventFate`: what became of an event, told from the rows of fates, the seals, and
//! the record itself.

use exchequer_codec::usage::decode_record;
use exchequer_engine::meter::Meters;
use exchequer_journal::Record;
use exchequer_metering::{
    Adoption, Contribution, Definitions, EventIdentity, EventRecord, Fate, Grain, Judge,
    RecordBody, Unshared, Value, partition_of_event,
};
use exchequer_projection_usage::{self as view, Kind, Listed};
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1 as usage;
use exchequer_types::{Offset, PartitionId, TenantId, Timestamp};
use tonic::Status;

use super::query::{Asked, Usage, of_query};
use super::query_events::event;
use super::query_lists::listed;
use crate::call::Call;
use crate::check::Check;
use crate::filter::Field;
use crate::mask::Mask;
use crate::messages::instant;
use crate::resources::{Resource, resource};
use crate::status::{self, FIELD_MISSING, Refusal, USAGE_EVENT_NOT_FOUND};

/// Records of the event's partition that are looked through for it, from the latest on.
const RECORDS_EXAMINED_MAX: u64 = 1_000_000;
const READ_RECORDS: u64 = 4_096;
const READ_BYTES_MAX: usize = 1024 * 1024;

resource!(usage::EventFate,);

pub(crate) async fn get(
    usage: &Usage,
    call: &Call,
    asked: &Asked,
    it: pb::GetEventFateRequest,
) -> Result<pb::EventFate, Status> {
    let mut check = Check::default();
    let tenant = check.tenant("tenant", it.tenant);
    for (field, text) in [("source", &it.source), ("id", &it.id)] {
        if text.is_empty() {
            check.refuse(FIELD_MISSING, field, "must be given");
        }
    }
    let time = check.timestamp("time", it.time);
    let mask = Mask::read::<pb::EventFate>(&mut check, "read_mask", it.read_mask);
    check.done()?;
    let meters = usage.await_seen(call, asked, &tenant).await?;
    let store = usage.edge.platform.ports.store.as_ref();
    let identity = EventIdentity::of(&tenant, &it.source, &it.id);
    let related = view::related(store, &meters.live, tenant.as_str(), identity).await;
    let related = related.map_err(of_query)?;
    let partition =
        partition_of_event(tenant.as_str(), &it.id, meters.partitions(), &mut Vec::new());
    let search =
        Search { usage, meters, partition, tenant: &tenant, source: &it.source, id: &it.id };
    let first = match first(&related) {
        Some(offset) => Some(offset),
        None => search.find(time).await?,
    };
    let not_found = || {
        let text = "no event of this source and id was accepted in the last 35 days";
        Refusal::new(USAGE_EVENT_NOT_FOUND, text).status()
    };
    let Some(offset) = first else { return Err(not_found()) };
    let read = meters.ports.log.read(partition, offset, 1).await;
    let read = read.map_err(|fault| status::of_engine(&fault.into()))?;
    let Some(record) = read.first() else { return Err(not_found()) };
    mask.apply(search.tell(record, related).await?)
}

/// Where the first event of the identity is, when one of its records tells.
fn first(related: &[Listed]) -> Option<Offset> {
    let own =
        |it: &&Listed| matches!(it.kind, Kind::Fate(Fate::Late | Fate::Unmatched) | Kind::Matched);
    let own = related.iter().find(own).map(|it| it.offset);
    let named = || related.iter().find_map(|it| it.first);
    // What is invalid does not take the identity: another one may have, later on.
    let invalid = || related.iter().find(|it| it.kind == Kind::Fate(Fate::Invalid));
    own.or_else(named).or_else(|| invalid().map(|it| it.offset))
}

struct Search<'a> {
    usage: &'a Usage,
    meters: &'a Meters,
    partition: PartitionId,
    tenant: &'a TenantId,
    source: &'a str,
    id: &'a str,
}

impl Search<'_> {
    /// The first record of the event within the window of identities: among those of its
    /// time, when that is told, else from the latest on.
    async fn find(&self, time: Option<Timestamp>) -> Result<Option<Offset>, Status> {
        let end = self.meters.state(self.partition).next;
        let mut found = None;
        if let Some(time) = time {
            let store = self.usage.edge.platform.ports.store.as_ref();
            let times = (time, time.saturating_add(core::time::Duration::from_micros(1)));
            let ranges = view::ranges(store, &self.meters.live, self.partition, times, 0).await;
            let (ranges, _) = ranges.map_err(|fault| status::of_fault(&fault))?;
            for (from, to) in ranges {
                if found.is_none() {
                    found = self.within(from, to).await?;
                }
            }
            return Ok(found);
        }
        let least = end.saturating_sub(RECORDS_EXAMINED_MAX);
        let mut to = end;
        while to > least {
            let from = to.saturating_sub(READ_RECORDS).max(least);
            found = self.within(from, to).await?.or(found);
            to = from;
        }
        Ok(found)
    }

    /// The first of `from..to`.
    async fn within(&self, from: Offset, to: Offset) -> Result<Option<Offset>, Status> {
        let mut next = from;
        while next < to {
            let records = self.meters.ports.log.read(self.partition, next, READ_BYTES_MAX).await;
            let records = records.map_err(|fault| status::of_engine(&fault.into()))?;
            let Some(last) = records.last().map(|it| it.offset) else { return Ok(None) };
            let found = records.iter().find(|it| it.offset < to && self.is_it(it));
            if let Some(found) = found {
                return Ok(Some(found.offset));
            }
            next = last + 1;
        }
        Ok(None)
    }

    fn is_it(&self, record: &Record) -> bool {
        let names = (self.tenant.as_str(), self.source, self.id);
        let read = decode_record(&record.bytes, None);
        matches!(read.body, RecordBody::Event(_)) && read.names() == names
    }

    async fn tell(&self, record: &Record, related: Vec<Listed>) -> Result<pb::EventFate, Status> {
        let store = self.usage.edge.platform.ports.store.as_ref();
        let seal = view::seal_of(store, &self.meters.live, self.partition, record.offset).await;
        let seal = seal.map_err(|fault| status::of_fault(&fault))?;
        let own = related.iter().find(|it| it.offset == record.offset).map(|it| it.kind);
        let fate = match own {
            Some(Kind::Fate(fate)) => fate,
            _ => Fate::Counted,
        };
        let last = related.iter().find(|it| matches!(it.kind, Kind::Voided | Kind::Amended));
        let is_voided = last.is_some_and(|it| it.kind == Kind::Voided);
        let amended = last.filter(|it| it.kind == Kind::Amended).map(|it| it.offset);
        let (contributions, faults) = self.judged(record, amended).await?;
        let is_counted = fate.is_counted() && !is_voided;
        Ok(pb::EventFate {
            fate: exchequer_codec::usage::fate_to_proto(fate).into(),
            event: event(self.partition, record, self.tenant).map(|(event, _)| event),
            contributions: contributions.iter().filter(|_| is_counted).map(contribution).collect(),
            faults: faults.into_iter().map(fault).collect(),
            seal: seal.map(|it| pb::SealPlace {
                partition: self.partition.0,
                seq: it.seq,
                offset: it.offset,
            }),
            voided: is_voided,
            related: related
                .into_iter()
                .filter(|it| it.offset != record.offset)
                .map(listed)
                .collect(),
        })
    }

    /// What the event comes to for the meters in force, with the data that the correction at
    /// `amended` gives it.
    async fn judged(
        &self,
        record: &Record,
        amended: Option<Offset>,
    ) -> Result<(Vec<Contribution>, Vec<exchequer_metering::Fault>), Status> {
        let failed = |error| status::of_engine(&error);
        let mut definitions = Definitions::default();
        let known = self.meters.definitions.tenant(self.tenant).await.map_err(failed)?;
        if let Some(set) = self.usage.set(self.meters, self.tenant).await? {
            definitions.adopt(0, 0, Adoption::Meters(set.adopted.clone()));
        }
        definitions.adopt(0, 0, Adoption::Tenant(known.adopted));
        let read = decode_record(&record.bytes, None);
        let RecordBody::Event(it) = &read.body else { return Ok((Vec::new(), Vec::new())) };
        let correction = match amended {
            Some(offset) => self.meters.ports.log.read(self.partition, offset, 1).await,
            None => Ok(Vec::new()),
        };
        let correction = correction.map_err(|fault| status::of_engine(&fault.into()))?;
        let correction = correction.first().map(|it| decode_record(&it.bytes, None));
        let mut body = it.body;
        if let Some(RecordBody::Correction(it)) = correction.as_ref().map(|it| &it.body) {
            body.data = it.amended.unwrap_or(body.data);
        }
        let it = &EventRecord { body, ..*it };
        let mut judge = Judge::new(&definitions, self.partition, self.meters.partitions());
        let mut contributions = Vec::new();
        let verdict = judge.standing(record.offset, &read, it, &mut Unshared, &mut contributions);
        Ok((contributions, verdict.faults))
    }
}

fn contribution(it: &Contribution) -> pb::EventContribution {
    let grains = [
        (pb::UsageGrain::Minute, Grain::Minute),
        (pb::UsageGrain::Hour, Grain::Hour),
        (pb::UsageGrain::Day, Grain::Day),
        (pb::UsageGrain::Month, Grain::Month),
    ];
    let window = |grain: pb::UsageGrain, window: exchequer_types::Period| pb::EventWindow {
        grain: grain.into(),
        start: Some(instant(window.start)),
        end: Some(instant(window.end)),
    };
    let windows = grains.map(|(grain, of)| window(grain, of.window(it.time)));
    let period = it.period.map(|period| window(pb::UsageGrain::BillingPeriod, period));
    pb::EventContribution {
        meter: it.meter.key.to_string(),
        rules_version: it.meter.version,
        quantity: match it.value {
            Value::Number(value) => value.to_string(),
            Value::Member(_) => String::new(),
        },
        groups: it.groups.iter().map(ToString::to_string).collect(),
        windows: windows.into_iter().chain(period).collect(),
    }
}

fn fault(it: exchequer_metering::Fault) -> pb::EventFault {
    pb::EventFault { meter: it.meter.unwrap_or_default(), field: it.field, reason: it.reason }
}
