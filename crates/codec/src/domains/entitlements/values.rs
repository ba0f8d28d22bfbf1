//! What the messages of the domain share: plans and what they include, amounts,
//! grants, and the state as a decider's cell keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_domain_entitlements::{
    Amount, Ended, EndedBy, Expiry, GivenPlan, Grant, GrantKind, State,
};
use exchequer_proto::entitlements::v1 as pb;
use exchequer_types::{Allowance, Features, HeldBy, HeldPlan, PlanContent, PlanRef, Slug};

use crate::DecodeError;
use crate::convert::{slug, tenant_id, timestamp};

/// The state as the decider's cell keeps it.
/// A tenant's entitlements as cells and views keep them.
pub fn entitlements_to_proto(state: &State) -> pb::State {
    let plan = state.plan.as_ref().map(|given| pb::GivenPlan {
        held: Some(held_to_proto(&given.held)),
        content: Some(content_to_proto(&given.content)),
    });
    let used = state.used.iter();
    pb::State {
        version: state.version,
        updated_at: state.updated_at.micros(),
        plan,
        grants: state.grants.values().map(|grant| grant_to_proto(grant)).collect(),
        used: used.map(|(it, used)| pb::Use { feature: it.to_string(), used: *used }).collect(),
    }
}

/// An error when it cannot be what was written.
pub fn entitlements_from_proto(it: pb::State) -> Result<State, DecodeError> {
    let plan = it.plan.map(|given| {
        let held = held_from_proto(given.held)?;
        Ok::<_, DecodeError>(Arc::new(GivenPlan {
            held,
            content: content_from_proto(given.content)?,
        }))
    });
    let grants = it.grants.into_iter().map(|grant| {
        let grant = grant_from_proto(grant)?;
        Ok((grant.id.clone(), Arc::new(grant)))
    });
    let used = it.used.into_iter().map(|it| Ok((slug(it.feature, "used.feature")?, it.used)));
    Ok(State {
        version: it.version,
        updated_at: timestamp(it.updated_at, "updated_at")?,
        plan: plan.transpose()?,
        grants: Arc::new(grants.collect::<Result<_, DecodeError>>()?),
        used: Arc::new(used.collect::<Result<_, DecodeError>>()?),
    })
}

pub(super) fn amount_to_proto(amount: Amount) -> pb::Amount {
    let (kind, units) = match amount {
        Amount::On => (pb::AmountKind::On, 0),
        Amount::Units(units) => (pb::AmountKind::Units, units),
        Amount::Unlimited => (pb::AmountKind::Unlimited, 0),
    };
    pb::Amount { kind: kind.into(), units }
}

/// An error when absent, or of no known kind.
pub fn amount_from_proto(it: Option<pb::Amount>) -> Result<Amount, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "amount" })?;
    match pb::AmountKind::try_from(it.kind) {
        Ok(pb::AmountKind::On) => Ok(Amount::On),
        Ok(pb::AmountKind::Units) => Ok(Amount::Units(it.units)),
        Ok(pb::AmountKind::Unlimited) => Ok(Amount::Unlimited),
        Ok(pb::AmountKind::Unspecified) | Err(_) => {
            Err(DecodeError::Field { field: "amount.kind" })
        }
    }
}

pub(super) fn grant_kind_to_proto(kind: GrantKind) -> pb::GrantKind {
    match kind {
        GrantKind::Trial => pb::GrantKind::Trial,
        GrantKind::Promotional => pb::GrantKind::Promotional,
        GrantKind::Manual => pb::GrantKind::Manual,
        GrantKind::Beta => pb::GrantKind::Beta,
        GrantKind::AddOn => pb::GrantKind::AddOn,
    }
}

/// None for a number that is no kind.
pub fn grant_kind_from_proto(kind: i32) -> Option<GrantKind> {
    match pb::GrantKind::try_from(kind).ok()? {
        pb::GrantKind::Unspecified => None,
        pb::GrantKind::Trial => Some(GrantKind::Trial),
        pb::GrantKind::Promotional => Some(GrantKind::Promotional),
        pb::GrantKind::Manual => Some(GrantKind::Manual),
        pb::GrantKind::Beta => Some(GrantKind::Beta),
        pb::GrantKind::AddOn => Some(GrantKind::AddOn),
    }
}

pub(super) fn plan_to_proto(plan: &PlanRef) -> pb::PlanRef {
    pb::PlanRef {
        provider: plan.provider.to_string(),
        catalog: plan.catalog.to_string(),
        version: plan.version,
        plan: plan.plan.to_string(),
    }
}

fn plan_from_proto(it: Option<pb::PlanRef>) -> Result<PlanRef, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "plan" })?;
    Ok(PlanRef {
        provider: tenant_id(it.provider, "plan.provider")?,
        catalog: slug(it.catalog, "plan.catalog")?,
        version: it.version,
        plan: slug(it.plan, "plan.plan")?,
    })
}

pub(super) fn held_by_to_proto(by: HeldBy) -> pb::HeldBy {
    match by {
        HeldBy::Trial => pb::HeldBy::Trial,
        HeldBy::Subscription => pb::HeldBy::Subscription,
        HeldBy::Fallback => pb::HeldBy::Fallback,
    }
}

pub(super) fn held_to_proto(held: &HeldPlan) -> pb::HeldPlan {
    let packs = held.add_ons.iter();
    pb::HeldPlan {
        plan: Some(plan_to_proto(&held.plan)),
        by: held_by_to_proto(held.by).into(),
        seats: held.seats,
        add_ons: packs
            .map(|(add_on, packs)| pb::Packs { add_on: add_on.to_string(), packs: *packs })
            .collect(),
        since: held.since.micros(),
    }
}

pub(super) fn held_from_proto(it: Option<pb::HeldPlan>) -> Result<HeldPlan, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "held" })?;
    let by = match pb::HeldBy::try_from(it.by) {
        Ok(pb::HeldBy::Trial) => HeldBy::Trial,
        Ok(pb::HeldBy::Subscription) => HeldBy::Subscription,
        Ok(pb::HeldBy::Fallback) => HeldBy::Fallback,
        Ok(pb::HeldBy::Unspecified) | Err(_) => {
            return Err(DecodeError::Field { field: "held.by" });
        }
    };
    let packs = it.add_ons.into_iter();
    Ok(HeldPlan {
        plan: plan_from_proto(it.plan)?,
        by,
        seats: it.seats,
        add_ons: packs
            .map(|it| Ok((slug(it.add_on, "held.add_ons")?, it.packs)))
            .collect::<Result<_, DecodeError>>()?,
        since: timestamp(it.since, "held.since")?,
    })
}

pub(super) fn content_to_proto(content: &PlanContent) -> pb::PlanContent {
    let add_ons = content.add_ons.iter().map(|(add_on, features)| pb::AddOnContent {
        add_on: add_on.to_string(),
        features: features_to_proto(features),
    });
    pb::PlanContent { plan: features_to_proto(&content.plan), add_ons: add_ons.collect() }
}

pub(super) fn content_from_proto(it: Option<pb::PlanContent>) -> Result<PlanContent, DecodeError> {
    let it = it.ok_or(DecodeError::Field { field: "content" })?;
    let add_ons = it
        .add_ons
        .into_iter()
        .map(|it| Ok((slug(it.add_on, "content.add_ons")?, features_from_proto(it.features)?)));
    Ok(PlanContent {
        plan: features_from_proto(it.plan)?,
        add_ons: add_ons.collect::<Result<BTreeMap<Slug, Features>, DecodeError>>()?,
    })
}

fn features_to_proto(features: &Features) -> Vec<pb::FeatureAllowance> {
    let allowance = |(feature, allowance): (&Slug, &Allowance)| {
        let (kind, units) = match allowance {
            Allowance::On => (pb::AllowanceKind::On, 0),
            Allowance::Limit(units) => (pb::AllowanceKind::Units, *units),
            Allowance::Unlimited => (pb::AllowanceKind::Unlimited, 0),
            Allowance::Seats => (pb::AllowanceKind::Seats, 0),
        };
        pb::FeatureAllowance { feature: feature.to_string(), kind: kind.into(), units }
    };
    features.iter().map(allowance).collect()
}

fn features_from_proto(features: Vec<pb::FeatureAllowance>) -> Result<Features, DecodeError> {
    let allowance = |it: pb::FeatureAllowance| {
        let allowance = match pb::AllowanceKind::try_from(it.kind) {
            Ok(pb::AllowanceKind::On) => Allowance::On,
            Ok(pb::AllowanceKind::Units) => Allowance::Limit(it.units),
            Ok(pb::AllowanceKind::Unlimited) => Allowance::Unlimited,
            Ok(pb::AllowanceKind::Seats) => Allowance::Seats,
            Ok(pb::AllowanceKind::Unspecified) | Err(_) => {
                return Err(DecodeError::Field { field: "features.kind" });
            }
        };
        Ok((slug(it.feature, "features.feature")?, allowance))
    };
    features.into_iter().map(allowance).collect()
}

pub(super) fn expiry_to_proto(expiry: &Expiry) -> pb::Expiry {
    pb::Expiry { at: expiry.at.micros(), timer: expiry.timer.clone() }
}

pub(super) fn expiry_from_proto(it: pb::Expiry) -> Result<Expiry, DecodeError> {
    Ok(Expiry { at: timestamp(it.at, "expiry.at")?, timer: it.timer })
}

pub(super) fn ended_by_to_proto(by: &EndedBy) -> pb::EndedBy {
    match by {
        EndedBy::Expiry => pb::EndedBy::Expiry,
        EndedBy::Revocation { .. } => pb::EndedBy::Revocation,
        EndedBy::Closing => pb::EndedBy::Closing,
    }
}

fn grant_to_proto(grant: &Grant) -> pb::GrantState {
    let ended = grant.ended.as_ref().map(|ended| pb::Ended {
        at: ended.at.micros(),
        by: ended_by_to_proto(&ended.by).into(),
        reason: match &ended.by {
            EndedBy::Revocation { reason } => reason.clone(),
            EndedBy::Expiry | EndedBy::Closing => String::new(),
        },
    });
    pb::GrantState {
        id: grant.id.clone(),
        feature: grant.feature.to_string(),
        amount: Some(amount_to_proto(grant.amount)),
        kind: grant_kind_to_proto(grant.kind).into(),
        reason: grant.reason.clone(),
        expiry: grant.expiry.as_ref().map(expiry_to_proto),
        granted_at: grant.granted_at.micros(),
        ended,
    }
}

fn grant_from_proto(it: pb::GrantState) -> Result<Grant, DecodeError> {
    Ok(Grant {
        id: it.id,
        feature: slug(it.feature, "grants.feature")?,
        amount: amount_from_proto(it.amount)?,
        kind: grant_kind_from_proto(it.kind).ok_or(DecodeError::Field { field: "grants.kind" })?,
        reason: it.reason,
        expiry: it.expiry.map(expiry_from_proto).transpose()?,
        granted_at: timestamp(it.granted_at, "grants.granted_at")?,
        ended: it.ended.map(ended_from_proto).transpose()?,
    })
}

fn ended_from_proto(it: pb::Ended) -> Result<Ended, DecodeError> {
    let by = match pb::EndedBy::try_from(it.by) {
        Ok(pb::EndedBy::Expiry) => EndedBy::Expiry,
        Ok(pb::EndedBy::Revocation) => EndedBy::Revocation { reason: it.reason },
        Ok(pb::EndedBy::Closing) => EndedBy::Closing,
        Ok(pb::EndedBy::Unspecified) | Err(_) => {
            return Err(DecodeError::Field { field: "grants.ended.by" });
        }
    };
    Ok(Ended { at: timestamp(it.at, "grants.ended.at")?, by })
}
