//! Raw events of a range of time, by the place where they stand in the usage log. The
//! seals tell where to look; what lies there is read from the log itself.

use core::fmt;
use core::time::Duration;

use exchequer_codec::usage::decode_record;
use exchequer_engine::meter::Meters;
use exchequer_journal::Record;
use exchequer_metering::RecordBody;
use exchequer_projection_usage as view;
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1 as usage;
use exchequer_types::{Offset, PartitionId, TenantId, Timestamp};
use tonic::Status;

use super::query::{Asked, Usage, range};
use crate::call::Call;
use crate::check::Check;
use crate::filter::Field;
use crate::filter::Get::{Text, Time};
use crate::lists::list_options;
use crate::messages::instant;
use crate::resources::{Resource, resource};
use crate::status::{self, RANGE_INVALID};

const RANGE_MAX: Duration = Duration::from_secs(35 * 24 * 3_600);
/// Records that one page looks at.
const RECORDS_EXAMINED_MAX: usize = 50_000;
/// Bytes of the events of a page: it ends behind them.
const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
const READ_BYTES_MAX: usize = 1024 * 1024;

resource!(
    usage::UsageEvent,
    "source": Text(|it| &it.source),
    "id": Text(|it| &it.id),
    "type": Text(|it| &it.r#type),
    "subject": Text(|it| &it.subject),
    "schema": Text(|it| &it.schema),
    "time": Time(|it| it.time),
    "received_at": Time(|it| it.received_at),
);

/// Which events are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) tenant: TenantId,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// All when empty.
    pub(crate) event_type: String,
    pub(crate) subject: String,
}

/// A place among the events: everything before it has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) partition: u32,
    pub(crate) offset: Offset,
}

/// Part of the events, and where the rest is.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) events: Vec<pb::UsageEvent>,
    pub(crate) next: Option<Place>,
}

pub(crate) async fn list(
    usage: &Usage,
    call: &Call,
    asked: &Asked,
    it: pb::ListEventsRequest,
) -> Result<pb::ListEventsResponse, Status> {
    let mut check = Check::default();
    let tenant = check.tenant("tenant", it.tenant);
    let (from, to) = range(&mut check, it.from, it.to);
    if to.since(from) > RANGE_MAX {
        check.refuse(RANGE_INVALID, "to", "must be at most 35 days after `from`");
    }
    let (event_type, subject) = (it.r#type, it.subject);
    let options = list_options!(it);
    let wanted = Wanted { tenant, from, to, event_type, subject };
    let of = [wanted.tenant.as_str(), &format!("{wanted:?}")];
    let list = check.list::<pb::UsageEvent, _>("ListEvents", &of, options, Place::read);
    check.done()?;
    let meters = usage.await_seen(call, asked, &wanted.tenant).await?;
    let place = list.place.unwrap_or(Place::FIRST);
    let is_wanted = |event: &pb::UsageEvent| list.wants(|| event.clone());
    let page = read(usage, meters, &wanted, place, list.limit, &is_wanted).await?;
    let next_page_token = list.token(page.next);
    Ok(pb::ListEventsResponse { events: list.items(page.events)?, next_page_token })
}

/// Events from `place` on: at most `limit`, and fewer where much must be looked through.
pub(crate) async fn read(
    usage: &Usage,
    meters: &Meters,
    wanted: &Wanted,
    mut place: Place,
    limit: usize,
    also: &(dyn Fn(&pb::UsageEvent) -> bool + Sync),
) -> Result<Page, Status> {
    let store = usage.edge.platform.ports.store.as_ref();
    let mut reading = Reading { wanted, also, limit, page: Page::default(), examined: 0, bytes: 0 };
    while place.partition < meters.partitions() {
        let partition = PartitionId(place.partition);
        let times = (wanted.from, wanted.to);
        let found = view::ranges(store, &meters.live, partition, times, place.offset).await;
        let (ranges, more) = found.map_err(|fault| status::of_fault(&fault))?;
        for (from, to) in ranges {
            let mut next = from;
            while next < to {
                let records = meters.sealed_records(partition, next, READ_BYTES_MAX).await;
                let records = records.map_err(|fault| status::of_engine(&fault.into()))?;
                let Some(last) = records.last().map(|it| it.offset) else { break };
                for record in records.iter().filter(|it| it.offset < to) {
                    if reading.is_full() {
                        let offset = record.offset;
                        reading.page.next = Some(Place { partition: partition.0, offset });
                        return Ok(reading.page);
                    }
                    reading.look_at(partition, record);
                }
                next = last + 1;
            }
        }
        place = match more {
            Some(offset) => Place { partition: partition.0, offset },
            None => Place { partition: partition.0 + 1, offset: 0 },
        };
        if reading.is_full() {
            break;
        }
    }
    reading.page.next = Some(place).filter(|it| it.partition < meters.partitions());
    Ok(reading.page)
}

struct Reading<'a> {
    wanted: &'a Wanted,
    also: &'a (dyn Fn(&pb::UsageEvent) -> bool + Sync),
    limit: usize,
    page: Page,
    examined: usize,
    bytes: usize,
}

impl Reading<'_> {
    fn is_full(&self) -> bool {
        self.page.events.len() >= self.limit
            || self.examined >= RECORDS_EXAMINED_MAX
            || self.bytes >= PAGE_BYTES_MAX
    }

    fn look_at(&mut self, partition: PartitionId, record: &Record) {
        self.examined += 1;
        let Some(event) = event(partition, record, &self.wanted.tenant) else { return };
        let Wanted { from, to, event_type, subject, .. } = self.wanted;
        let is_in = (*from..*to).contains(&event.1)
            && (event_type.is_empty() || *event_type == event.0.r#type)
            && (subject.is_empty() || *subject == event.0.subject)
            && (self.also)(&event.0);
        if is_in {
            self.bytes += record.bytes.len();
            self.page.events.push(event.0);
        }
    }
}

/// The event that a record is, with its time; none when it is another tenant's, or none.
pub(crate) fn event(
    partition: PartitionId,
    record: &Record,
    tenant: &TenantId,
) -> Option<(pb::UsageEvent, Timestamp)> {
    let read = decode_record(&record.bytes, None);
    let RecordBody::Event(it) = read.body else { return None };
    if it.tenant != tenant.as_str() {
        return None;
    }
    let received_at = read.forwarded.unwrap_or(read.received_at);
    let time = it.body.time.unwrap_or(received_at);
    let event = pb::UsageEvent {
        source: it.source.to_owned(),
        id: it.id.to_owned(),
        r#type: it.body.kind.to_owned(),
        subject: it.body.subject.to_owned(),
        schema: it.body.schema.to_owned(),
        time: Some(instant(time)),
        received_at: Some(instant(received_at)),
        data: it.body.data.to_owned(),
        place: Some(pb::EventPlace { partition: partition.0, offset: record.offset }),
    };
    Some((event, time))
}

impl Place {
    pub(crate) const FIRST: Self = Self { partition: 0, offset: 0 };

    fn read(text: &str) -> Option<Self> {
        let (partition, offset) = text.split_once(' ')?;
        Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.partition, self.offset)
    }
}
