//! Quotas of a tenant: what its entitlements and its provider's catalog make of them, and
//! when their counting begins anew by its subscription.

use std::collections::BTreeMap;

use exchequer_domain_catalog::{self as catalog, Document, FeatureKind};
use exchequer_domain_entitlements::{self as entitlements, Amount};
use exchequer_domain_quotas::{self as quotas, Counting, Terms};
use exchequer_domain_tenants::Tenant;
use exchequer_types::{Anchor, Cycle, CycleUnit, Per, PlanRef, Slug, TenantStatus, Timestamp};

use crate::resolve::{Refusal, rejected};
use crate::{Reference, Stream};

/// May the command be decided at all? What a reservation asks for must be given to the
/// tenant, and the tenant must not be suspended.
pub(crate) fn check(
    stream: &Stream,
    tenant: &Tenant,
    command: &quotas::Command,
    now: Timestamp,
) -> Result<(), Refusal> {
    let Some(feature) = command.wants() else { return Ok(()) };
    if tenant.status == TenantStatus::Suspended {
        return Err(rejected(quotas::Rejection::TenantSuspended));
    }
    let is_limited = stream.quotas.quota(feature).is_some();
    if !is_limited && !entitlements::is_entitled(&stream.entitlements, feature, now) {
        return Err(rejected(quotas::Rejection::FeatureNotIncluded));
    }
    Ok(())
}

/// Might the terms of `after` be others than those of `before`?
pub(crate) fn may_differ(before: &Stream, after: &Stream) -> bool {
    before.entitlements.version != after.entitlements.version || anchor(before) != anchor(after)
}

/// The terms of everything that is counted, by feature.
pub(crate) fn terms(
    stream: &Stream,
    reference: &Reference,
    now: Timestamp,
) -> BTreeMap<Slug, Terms> {
    let plan = stream.entitlements.plan.as_ref().map(|given| &given.held.plan);
    let document = plan.and_then(|plan| document(reference, plan));
    let given = entitlements::list(&stream.entitlements, now).into_iter();
    let given = given.filter_map(|(feature, decision)| {
        let defined = document.and_then(|it| it.feature(&feature));
        let is_counted = defined.is_some_and(|it| it.kind == FeatureKind::Limit);
        let limit = match decision.limit {
            Amount::Units(units) if decision.is_included() || is_counted => Some(units),
            Amount::On | Amount::Unlimited if is_counted => None,
            // Had or not had: nothing is counted.
            Amount::Units(_) | Amount::On | Amount::Unlimited => return None,
        };
        let beyond = document.zip(plan).and_then(|(document, plan)| {
            Some(beyond(document.beyond(document.plan(&plan.plan)?, &feature)))
        });
        let terms = Terms {
            limit,
            beyond: beyond.unwrap_or_default(),
            burst_percent: defined.map_or(0, |it| it.burst),
            grace_seconds: defined.map_or(0, |it| it.grace_hours.saturating_mul(3_600)),
            refusal: defined.map_or(quotas::Refusal::Wait, |it| refusal(it.refusal)),
            counting: defined.and_then(|it| it.per).map(|per| counting(per, stream)),
            meter: defined.and_then(|it| it.meter.clone()),
            thresholds: thresholds(defined.map(|it| it.thresholds.as_slice())),
        };
        Some((feature, terms))
    });
    given.collect()
}

/// What is used beyond what was reported: what was finalised of features that never begin
/// anew.
pub(crate) fn in_use(stream: &Stream) -> entitlements::State {
    let mut state = (*stream.entitlements).clone();
    let gauges = stream.quotas.quotas().filter(|it| it.window.is_none() && it.held() > 0);
    let gauges: Vec<(Slug, u64)> = gauges.map(|it| (it.feature.clone(), it.held())).collect();
    if gauges.is_empty() {
        return state;
    }
    let used = std::sync::Arc::make_mut(&mut state.used);
    for (feature, held) in gauges {
        let known = used.entry(feature).or_default();
        *known = held.max(*known);
    }
    state
}

/// The answer for one feature, with what its reservations hold.
pub fn decision(
    entitlements: &entitlements::State,
    quotas: &quotas::State,
    feature: &Slug,
    now: Timestamp,
) -> entitlements::Decision {
    holding(entitlements::check(entitlements, feature, now), quotas, feature, now)
}

/// The decision with what reservations of the feature hold at `now`.
pub fn holding(
    decision: entitlements::Decision,
    quotas: &quotas::State,
    feature: &Slug,
    now: Timestamp,
) -> entitlements::Decision {
    let Some(quota) = quotas.quota(feature).map(|it| it.at(now)) else { return decision };
    let (finalised, reserved) = (quota.used, quota.reserved);
    let extra = quota.extra(now);
    decision.holding(entitlements::Held { finalised, reserved, extra })
}

fn document<'a>(reference: &'a Reference, plan: &PlanRef) -> Option<&'a Document> {
    let version = reference.catalog.adopted.get(&plan.provider, &plan.catalog, plan.version)?;
    Some(version.content.as_ref()?.document())
}

/// What the tenant's periods are counted from: its paid periods, with how long they are, else
/// the part of its subscription's life that it is in. None without a subscription.
fn anchor(stream: &Stream) -> Option<(Anchor, Option<Cycle>)> {
    let subscription = stream.subscriptions.current.as_ref().filter(|it| !it.is_ended())?;
    let period = &subscription.period;
    let counted = period.counted.map(|it| (it.anchor, Some(it.cycle)));
    Some(counted.unwrap_or_else(|| (Anchor::of(period.start, subscription.zone), None)))
}

/// Without a subscription a billing period is a month of the calendar.
fn counting(per: Per, stream: &Stream) -> Counting {
    match (per, anchor(stream)) {
        (Per::Minute, _) => Counting::Minute,
        (Per::Hour, _) => Counting::Hour,
        (Per::Period, Some((anchor, Some(cycle)))) => Counting::Calendar { cycle, anchor },
        (per, Some((anchor, _))) => Counting::from(unit(per), anchor),
        (per, None) => Counting::calendar(unit(per)),
    }
}

fn unit(per: Per) -> CycleUnit {
    per.calendar().unwrap_or(CycleUnit::Month)
}

fn beyond(beyond: catalog::Beyond) -> quotas::Beyond {
    match beyond {
        catalog::Beyond::Refuse => quotas::Beyond::Refuse,
        catalog::Beyond::Allow => quotas::Beyond::Allow,
        catalog::Beyond::Bill => quotas::Beyond::Bill,
    }
}

fn refusal(refusal: catalog::Refusal) -> quotas::Refusal {
    match refusal {
        catalog::Refusal::Wait => quotas::Refusal::Wait,
        catalog::Refusal::Upgrade => quotas::Refusal::Upgrade,
        catalog::Refusal::Forbid => quotas::Refusal::Forbid,
    }
}

fn thresholds(named: Option<&[u32]>) -> Vec<u32> {
    let mut percents = named.unwrap_or_default().to_vec();
    if percents.is_empty() {
        percents.push(quotas::THRESHOLD_DEFAULT);
    }
    percents.sort_unstable();
    percents.dedup();
    percents
}
