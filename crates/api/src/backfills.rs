//! `ListMeterBackfills`: how far backfills are, as the meters of all partitions tell.

use std::collections::BTreeMap;

use exchequer_metering::{BackfillOrder, BackfillProgress};
use exchequer_projection_meters::LiveMeters;
use exchequer_proto::usage::v1 as pb;
use exchequer_types::Timestamp;
use tonic::Status;

use crate::call::Call;
use crate::check::Check;
use crate::edge::Edge;
use crate::lists::list_options;
use crate::messages::instant;
use crate::status::{Refusal, USAGE_UNAVAILABLE};

pub(crate) async fn list(
    edge: &Edge,
    call: &mut Call,
    it: pb::ListMeterBackfillsRequest,
) -> Result<pb::ListMeterBackfillsResponse, Status> {
    let mut check = Check::default();
    let tenant = check.tenant("tenant", it.tenant);
    let (options, of) = (list_options!(it), [tenant.as_str(), it.meter.as_str()]);
    let place = |text: &str| Some(text.to_owned());
    let list =
        check.list::<pb::MeterBackfillProgress, String>("ListMeterBackfills", &of, options, place);
    check.done()?;
    edge.check_tenant(call, &tenant, "tenant").await?;
    let meters = edge.platform.meters.as_ref().ok_or_else(|| {
        Refusal::new(USAGE_UNAVAILABLE, "this process does not meter usage").status()
    })?;
    let definitions = edge.live::<LiveMeters>(call, &tenant).await?;
    let mut all: BTreeMap<String, pb::MeterBackfillProgress> = BTreeMap::new();
    for (meter, order) in definitions.backfills() {
        let order_of = BackfillOrder {
            id: order.id.clone(),
            meter: meter.rules.key.clone(),
            version: meter.rules.version,
            from: order.from,
            until: order.until,
        };
        all.insert(order.id.clone(), waiting(&order_of, order.requested_at));
    }
    let mut parts: BTreeMap<String, Vec<BackfillProgress>> = BTreeMap::new();
    for part in meters.backfills().into_iter().filter(|part| part.provider == tenant) {
        parts.entry(part.order.id.clone()).or_default().push(part);
    }
    all.extend(parts.into_iter().filter_map(|(id, parts)| Some((id, told(&parts)?))));
    let wanted = all.into_values().filter(|one| it.meter.is_empty() || one.meter == it.meter);
    let mut wanted: Vec<_> = wanted.collect();
    wanted.sort_by_cached_key(newest_first);
    let (backfills, next_page_token) = list.page_of(wanted.into_iter(), newest_first)?;
    Ok(pb::ListMeterBackfillsResponse { backfills, next_page_token })
}

fn newest_first(it: &pb::MeterBackfillProgress) -> String {
    format!("{:019} {}", i64::MAX - micros(it.asked_at.as_ref()), it.id)
}

fn micros(at: Option<&prost_types::Timestamp>) -> i64 {
    at.map_or(0, |at| at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000)
}

fn waiting(order: &BackfillOrder, asked_at: Timestamp) -> pb::MeterBackfillProgress {
    pb::MeterBackfillProgress {
        id: order.id.clone(),
        meter: order.meter.to_string(),
        rules_version: order.version,
        from: Some(instant(order.from)),
        until: order.until.map(instant),
        state: pb::MeterBackfillState::Waiting.into(),
        asked_at: Some(instant(asked_at)),
        ..pb::MeterBackfillProgress::default()
    }
}

/// What all partitions tell together: the whole is done when all parts are, and goes on when
/// any has begun.
fn told(parts: &[BackfillProgress]) -> Option<pb::MeterBackfillProgress> {
    let asked_at = parts.iter().map(|it| it.asked_at).min()?;
    let started_at = parts.iter().filter_map(|it| it.started_at).min();
    let ended: Option<Vec<Timestamp>> = parts.iter().map(|it| it.ended_at).collect();
    let ended_at = ended.and_then(|ended| ended.into_iter().max());
    let state = match (ended_at, started_at) {
        (Some(_), _) => pb::MeterBackfillState::Done,
        (None, Some(_)) => pb::MeterBackfillState::Running,
        (None, None) => pb::MeterBackfillState::Waiting,
    };
    Some(pb::MeterBackfillProgress {
        state: state.into(),
        records_done: parts.iter().map(|it| it.next.saturating_sub(it.from)).sum(),
        records_total: parts.iter().map(|it| it.to.saturating_sub(it.from)).sum(),
        events_counted: parts.iter().map(|it| it.counted).sum(),
        started_at: started_at.map(instant),
        ended_at: ended_at.map(instant),
        ..waiting(&parts.first()?.order, asked_at)
    })
}
