//! Entitlements and grants as the API shows them.

use exchequer_domain_entitlements::{Decision, EndedBy, Grant, Part, Rule};
use exchequer_proto::entitlements::v1 as pb;
use exchequer_types::Slug;
use pb::rule::Rule as R;

use super::values::{
    amount_to_proto, ended_by_to_proto, grant_kind_to_proto, held_by_to_proto, plan_to_proto,
};
use crate::convert::instant;

/// The answer for a feature of which so many more units are wanted.
pub fn entitlement_message(feature: &Slug, decision: &Decision, units: u64) -> pb::Entitlement {
    let allowed = decision.allows(units);
    let reason = match &decision.rule {
        Rule::Grant { .. } | Rule::Plan { .. } | Rule::AddOn { .. } if allowed => {
            pb::Reason::Included
        }
        Rule::Grant { .. } | Rule::Plan { .. } | Rule::AddOn { .. } => pb::Reason::LimitReached,
        Rule::Expired { .. } => pb::Reason::Expired,
        Rule::NotIncluded { .. } => pb::Reason::NotIncluded,
        Rule::NoPlan => pb::Reason::NoPlan,
    };
    let part = |part: &Part| pb::Part {
        rule: Some(rule(&part.rule)),
        amount: Some(amount_to_proto(part.amount)),
    };
    pb::Entitlement {
        feature: feature.to_string(),
        allowed,
        reason: reason.into(),
        rule: Some(rule(&decision.rule)),
        limit: Some(amount_to_proto(decision.limit)),
        used: decision.used,
        reported: decision.reported,
        finalised: decision.held.finalised,
        reserved: decision.held.reserved,
        remaining: decision.remaining(),
        expires_at: decision.expires_at.map(instant),
        parts: decision.parts.iter().map(part).collect(),
    }
}

fn rule(rule: &Rule) -> pb::Rule {
    let rule = match rule {
        Rule::Grant { id, kind } => {
            let kind = grant_kind_to_proto(*kind).into();
            R::Grant(pb::GrantRule { id: id.clone(), kind })
        }
        Rule::Plan { plan, by } => {
            let (plan, by) = (Some(plan_to_proto(plan)), held_by_to_proto(*by).into());
            R::Plan(pb::PlanRule { plan, by })
        }
        Rule::AddOn { add_on, packs } => {
            R::AddOn(pb::AddOnRule { add_on: add_on.to_string(), packs: *packs })
        }
        Rule::Expired { grant, kind, at } => R::Expired(pb::ExpiredRule {
            grant: grant.clone(),
            kind: grant_kind_to_proto(*kind).into(),
            at: Some(instant(*at)),
        }),
        Rule::NotIncluded { plan } => R::NotIncluded(plan_to_proto(plan)),
        Rule::NoPlan => R::NoPlan(pb::NoPlanRule {}),
    };
    pb::Rule { rule: Some(rule) }
}

/// The grant as the API shows it.
pub fn grant_message(grant: &Grant) -> pb::Grant {
    let ended = grant.ended.as_ref();
    let by = ended.map_or(pb::EndedBy::Unspecified, |ended| ended_by_to_proto(&ended.by));
    pb::Grant {
        id: grant.id.clone(),
        feature: grant.feature.to_string(),
        amount: Some(amount_to_proto(grant.amount)),
        kind: grant_kind_to_proto(grant.kind).into(),
        reason: grant.reason.clone(),
        granted_at: Some(instant(grant.granted_at)),
        expires_at: grant.expiry.as_ref().map(|expiry| instant(expiry.at)),
        ended_at: ended.map(|ended| instant(ended.at)),
        ended_by: by.into(),
        ended_reason: match ended.map(|ended| &ended.by) {
            Some(EndedBy::Revocation { reason }) => reason.clone(),
            _ => String::new(),
        },
    }
}
