//! `GetEventFate`: what became of an event, told by the meter of its partition, which finds
//! it in the index of identities and judges it by what was sealed for it, and by the rows
//! of fates.

use exchequer_codec::usage::decode_record;
use exchequer_engine::meter::{FirstRecord, Meters};
use exchequer_journal::Record;
use exchequer_metering::{
    Contribution, EventIdentity, Fate, Grain, RecordBody, Value, partition_of_event,
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
    let name = (it.source.as_str(), it.id.as_str());
    let search = Search { usage, meters, partition, tenant: &tenant, name };
    let place = match (first(&related), time) {
        (None, Some(time)) => search.find(time).await?,
        (place, _) => place,
    };
    let found = meters.fate(&tenant, name, place, call.patience).await;
    let found = found.map_err(|error| status::of_engine(&error))?;
    let not_found = || {
        let text = "no event of this source and id was accepted in the last 35 days";
        Refusal::new(USAGE_EVENT_NOT_FOUND, text).status()
    };
    let Some(found) = found else { return Err(not_found()) };
    let read = meters.sealed_records(partition, found.offset, 1).await;
    let read = read.map_err(|fault| status::of_engine(&fault.into()))?;
    let Some(record) = read.first() else { return Err(not_found()) };
    mask.apply(search.tell(record, found, related).await?)
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
    /// Source and id.
    name: (&'a str, &'a str),
}

impl Search<'_> {
    /// The first record of the event among those of `time`.
    async fn find(&self, time: Timestamp) -> Result<Option<Offset>, Status> {
        let store = self.usage.edge.platform.ports.store.as_ref();
        let times = (time, time.saturating_add(core::time::Duration::from_micros(1)));
        let ranges = view::ranges(store, &self.meters.live, self.partition, times, 0).await;
        let (ranges, _) = ranges.map_err(|fault| status::of_fault(&fault))?;
        for (from, to) in ranges {
            if let Some(found) = self.within(from, to).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first of `from..to`.
    async fn within(&self, from: Offset, to: Offset) -> Result<Option<Offset>, Status> {
        let mut next = from;
        while next < to {
            let records = self.meters.sealed_records(self.partition, next, READ_BYTES_MAX).await;
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
        let names = (self.tenant.as_str(), self.name.0, self.name.1);
        let read = decode_record(&record.bytes, None);
        matches!(read.body, RecordBody::Event(_)) && read.names() == names
    }

    async fn tell(
        &self,
        record: &Record,
        found: FirstRecord,
        related: Vec<Listed>,
    ) -> Result<pb::EventFate, Status> {
        let store = self.usage.edge.platform.ports.store.as_ref();
        let seal = view::seal_of(store, &self.meters.live, self.partition, record.offset).await;
        let seal = seal.map_err(|fault| status::of_fault(&fault))?;
        let is_matched =
            related.iter().any(|it| it.offset == record.offset && it.kind == Kind::Matched);
        let fate = if is_matched { Fate::Counted } else { found.fate };
        Ok(pb::EventFate {
            fate: exchequer_codec::usage::fate_to_proto(fate).into(),
            event: event(self.partition, record, self.tenant).map(|(event, _)| event),
            contributions: found.contributions.iter().map(contribution).collect(),
            faults: found.faults.into_iter().map(fault).collect(),
            seal: seal.map(|it| pb::SealPlace {
                partition: self.partition.0,
                seq: it.seq,
                offset: it.offset,
            }),
            voided: found.is_voided,
            related: related
                .into_iter()
                .filter(|it| it.offset != record.offset)
                .map(listed)
                .collect(),
        })
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
