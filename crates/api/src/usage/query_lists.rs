//! Corrections, rejected events, and what was received hour by hour.

use core::time::Duration;

use exchequer_metering::Fate;
use exchequer_projection_usage::{self as view, Counts, Kind, ListPlace, Listed, Wanted};
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1 as usage;
use exchequer_types::Timestamp;
use tonic::Status;

use super::query::{Asked, Usage, at_rest, of_query, range};
use crate::call::Call;
use crate::check::Check;
use crate::filter::Field;
use crate::filter::Get::{Name, Text, Time};
use crate::lists::{ListOptions, list_options};
use crate::messages::instant;
use crate::resources::{Resource, names, resource};
use crate::status::{ENUM_UNKNOWN, RANGE_INVALID};

const HOUR: Duration = Duration::from_secs(3_600);
/// What a list begins with when nothing is said.
const DAYS_DEFAULT: u64 = 35;
const HOURS_MAX: u64 = 1_000;

const CORRECTIONS: [Kind; 4] = [Kind::Fate(Fate::Late), Kind::Voided, Kind::Amended, Kind::Matched];
const REJECTED: [Kind; 5] = [
    Kind::Fate(Fate::Conflicting),
    Kind::Fate(Fate::Unmatched),
    Kind::Fate(Fate::Invalid),
    Kind::Refused,
    Kind::Unusable,
];

resource!(
    usage::ListedEvent,
    "kind": Name {
        of: |it| it.kind,
        name: names!(usage::ListedKind),
        prefix: "LISTED_KIND_",
    },
    "source": Text(|it| &it.source),
    "id": Text(|it| &it.id),
    "type": Text(|it| &it.r#type),
    "subject": Text(|it| &it.subject),
    "time": Time(|it| it.time),
    "received_at": Time(|it| it.received_at),
    "field": Text(|it| &it.field),
    "reason": Text(|it| &it.reason),
);

/// What both lists are asked for.
struct Of {
    method: &'static str,
    among: &'static [Kind],
    kinds: Vec<i32>,
    from: Option<prost_types::Timestamp>,
    to: Option<prost_types::Timestamp>,
    options: ListOptions,
}

pub(crate) async fn corrections(
    usage: &Usage,
    call: &Call,
    asked: &Asked,
    it: pb::ListCorrectionsRequest,
) -> Result<pb::ListCorrectionsResponse, Status> {
    let (tenant, kinds, from, to) = (it.tenant, it.kinds, it.from, it.to);
    let options = list_options!(it);
    let of = Of { method: "ListCorrections", among: &CORRECTIONS, kinds, from, to, options };
    let (corrections, next_page_token) = list(usage, call, asked, tenant, of).await?;
    Ok(pb::ListCorrectionsResponse { corrections, next_page_token })
}

pub(crate) async fn rejected(
    usage: &Usage,
    call: &Call,
    asked: &Asked,
    it: pb::ListRejectedEventsRequest,
) -> Result<pb::ListRejectedEventsResponse, Status> {
    let (tenant, kinds, from, to) = (it.tenant, it.kinds, it.from, it.to);
    let options = list_options!(it);
    let of = Of { method: "ListRejectedEvents", among: &REJECTED, kinds, from, to, options };
    let (events, next_page_token) = list(usage, call, asked, tenant, of).await?;
    Ok(pb::ListRejectedEventsResponse { events, next_page_token })
}

async fn list(
    usage: &Usage,
    call: &Call,
    asked: &Asked,
    tenant: String,
    of: Of,
) -> Result<(Vec<pb::ListedEvent>, String), Status> {
    let mut check = Check::default();
    let tenant = check.tenant("tenant", tenant);
    let kinds = kinds(&mut check, of.among, &of.kinds);
    let (from, to) = (check.timestamp("from", of.from), check.timestamp("to", of.to));
    let scope = [tenant.as_str(), &format!("{kinds:?} {from:?} {to:?}")];
    let list = check.list::<pb::ListedEvent, _>(of.method, &scope, of.options, read_place);
    // A page that goes on ends where the first one did.
    let end = list.place.as_ref().map(|(end, _)| *end);
    let to = end.or(to).unwrap_or_else(|| usage.now().saturating_add(Duration::from_micros(1)));
    let from = from.unwrap_or_else(|| to.saturating_sub(HOUR * 24 * DAYS_DEFAULT as u32));
    if from >= to {
        check.refuse(RANGE_INVALID, "to", "must lie behind `from`");
    }
    check.done()?;
    let meters = usage.await_seen(call, asked, &tenant).await?;
    let wanted = Wanted {
        tenant: tenant.as_str(),
        kinds: &kinds,
        from,
        to,
        after: list.place.as_ref().map(|(_, place)| *place),
        limit: list.limit,
    };
    let is_wanted = |it: &Listed| list.wants(|| listed(it.clone()));
    let store = usage.edge.platform.ports.store.as_ref();
    let page = view::listed(store, &meters.live, &wanted, &is_wanted).await.map_err(of_query)?;
    let token = list.token(page.next.map(|next| place(to, next)));
    Ok((list.items(page.items.into_iter().map(listed).collect())?, token))
}

fn kinds(check: &mut Check, among: &[Kind], kinds: &[i32]) -> Vec<Kind> {
    let mut wanted = Vec::new();
    for (index, number) in kinds.iter().enumerate() {
        match among.iter().find(|it| kind(**it) as i32 == *number) {
            Some(kind) if wanted.contains(kind) => {}
            Some(kind) => wanted.push(*kind),
            None => {
                let names: Vec<_> = among.iter().map(|it| it.as_str().to_uppercase()).collect();
                let text = format!("must be one of {}", names.join(", "));
                check.refuse(ENUM_UNKNOWN, &format!("kinds[{index}]"), text);
            }
        }
    }
    if wanted.is_empty() { among.to_vec() } else { wanted }
}

/// Of a list up to `to`, behind `next`.
fn place(to: Timestamp, (received_at, source, offset): ListPlace) -> String {
    format!("{} {} {source} {offset}", to.micros(), received_at.micros())
}

fn read_place(text: &str) -> Option<(Timestamp, ListPlace)> {
    let mut parts = text.split(' ');
    let mut instant = || Timestamp::from_micros(parts.next()?.parse().ok()?).ok();
    let (to, received_at) = (instant()?, instant()?);
    let source = parts.next()?.parse().ok()?;
    let offset = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((to, (received_at, source, offset)))
}

pub(crate) fn listed(it: Listed) -> pb::ListedEvent {
    let at = |offset| pb::EventPlace { partition: it.source_partition, offset };
    pb::ListedEvent {
        kind: kind(it.kind).into(),
        place: Some(at(it.offset)),
        first: it.first.map(at),
        source: it.source,
        id: it.id,
        r#type: it.event_type,
        subject: it.subject,
        time: Some(instant(it.time)),
        received_at: Some(instant(it.received_at)),
        field: it.field,
        reason: it.reason,
        meter: it.meter,
        seal: it.seal,
    }
}

fn kind(kind: Kind) -> pb::ListedKind {
    match kind {
        Kind::Fate(Fate::Late) => pb::ListedKind::Late,
        Kind::Fate(Fate::Conflicting) => pb::ListedKind::Conflicting,
        Kind::Fate(Fate::Unmatched) => pb::ListedKind::Unmatched,
        Kind::Fate(Fate::Invalid) => pb::ListedKind::Invalid,
        Kind::Refused => pb::ListedKind::Refused,
        Kind::Voided => pb::ListedKind::Voided,
        Kind::Amended => pb::ListedKind::Amended,
        Kind::Matched => pb::ListedKind::Matched,
        Kind::Unusable => pb::ListedKind::Unusable,
        // These stand in no list.
        Kind::Fate(Fate::Counted | Fate::Duplicate | Fate::Forwarded) => {
            pb::ListedKind::Unspecified
        }
    }
}

pub(crate) async fn reconcile(
    usage: &Usage,
    call: &Call,
    asked: &Asked,
    it: pb::ReconcileUsageRequest,
) -> Result<pb::ReconcileUsageResponse, Status> {
    let mut check = Check::default();
    let tenant = check.tenant("tenant", it.tenant);
    let (from, to) = range(&mut check, it.from, it.to);
    for (field, at) in [("from", from), ("to", to)] {
        if at.micros().rem_euclid(3_600_000_000) != 0 {
            check.refuse(RANGE_INVALID, field, "must be the start of an hour");
        }
    }
    if to.since(from).as_secs() / 3_600 > HOURS_MAX {
        check.refuse(
            RANGE_INVALID,
            "to",
            format!("must be at most {HOURS_MAX} hours after `from`"),
        );
    }
    check.done()?;
    let meters = usage.await_seen(call, asked, &tenant).await?;
    let ports = &usage.edge.platform.ports;
    let store = ports.store.as_ref();
    let ask = || view::reconcile(store, &meters.live, tenant.as_str(), from, to);
    let (hours, positions) = at_rest(ports.runtime.as_ref(), call.patience, ask).await?;
    let mut total = Counts::default();
    for counts in hours.values() {
        total.add(counts);
    }
    let hour = |(hour, counts): (&Timestamp, &Counts)| pb::ReconciledHour {
        hour: Some(instant(*hour)),
        counts: Some(received(counts)),
    };
    Ok(pb::ReconcileUsageResponse {
        hours: hours.iter().map(hour).collect(),
        total: Some(received(&total)),
        position: Some(usage.position(&positions)),
    })
}

fn received(counts: &Counts) -> pb::ReceivedCounts {
    let of = |fate| counts.of(Kind::Fate(fate));
    let once = Kind::ALL.iter().filter(|kind| !matches!(kind, Kind::Matched | Kind::Unusable));
    pb::ReceivedCounts {
        received: once.map(|kind| counts.of(*kind)).sum(),
        counted: of(Fate::Counted),
        late: of(Fate::Late),
        duplicate: of(Fate::Duplicate),
        conflicting: of(Fate::Conflicting),
        unmatched: of(Fate::Unmatched),
        invalid: of(Fate::Invalid),
        forwarded: of(Fate::Forwarded),
        refused: counts.of(Kind::Refused),
        voided: counts.of(Kind::Voided),
        amended: counts.of(Kind::Amended),
        matched: counts.of(Kind::Matched),
    }
}
