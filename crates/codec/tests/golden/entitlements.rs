//! Examples of the entitlements domain's types.

use std::collections::BTreeMap;

use exchequer_domain_entitlements::{
    Amount, Command as C, Event as E, Expiry, GrantFeature, GrantKind, ReportUse, Revoke,
};
use exchequer_tenant::{Command, Event};
use exchequer_types::{
    Allowance, Features, HeldBy, HeldPlan, PlanContent, PlanRef, Slug, TenantId,
};

use crate::tenants::at;

const GRANT: &str = "grt_abcdefghijklmnopqrstuvwxyz";
const TIMER: &str = "tme_abcdefghijklmnopqrstuvwxyz";

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn features(pairs: &[(&str, Allowance)]) -> Features {
    pairs.iter().map(|(feature, allowance)| (slug(feature), *allowance)).collect()
}

fn held() -> HeldPlan {
    HeldPlan {
        plan: PlanRef {
            provider: TenantId::parse("reseller").unwrap(),
            catalog: slug("saas"),
            version: 3,
            plan: slug("pro"),
        },
        by: HeldBy::Trial,
        seats: 25,
        add_ons: BTreeMap::from([(slug("more-reports"), 2)]),
        since: at(),
    }
}

fn content() -> PlanContent {
    PlanContent {
        plan: features(&[
            ("api-access", Allowance::On),
            ("reports", Allowance::Limit(100)),
            ("seats", Allowance::Seats),
            ("storage-gb", Allowance::Unlimited),
        ]),
        add_ons: BTreeMap::from([(
            slug("more-reports"),
            features(&[("reports", Allowance::Limit(u64::MAX))]),
        )]),
    }
}

/// One event of each type, every field filled.
pub(crate) fn events() -> Vec<Event> {
    let events = [
        E::PlanGiven { held: held(), content: content() },
        E::PlanWithdrawn,
        E::Granted {
            id: GRANT.to_owned(),
            feature: slug("sso"),
            amount: Amount::Units(5),
            kind: GrantKind::Beta,
            reason: "they asked for it".to_owned(),
            expiry: Some(Expiry { at: at(), timer: TIMER.to_owned() }),
        },
        E::GrantRevoked {
            id: GRANT.to_owned(),
            reason: "by mistake".to_owned(),
            timer: Some(TIMER.to_owned()),
        },
        E::GrantExpired { id: GRANT.to_owned(), timer: TIMER.to_owned() },
        E::UseReported { feature: slug("reports"), used: 101 },
        E::Closed { timers: vec![TIMER.to_owned()] },
    ];
    events.map(Event::Entitlements).into()
}

/// One command of each type, every field filled.
pub(crate) fn commands() -> Vec<Command> {
    let commands = [
        C::Grant(GrantFeature {
            feature: slug("sso"),
            amount: Amount::Unlimited,
            kind: GrantKind::AddOn,
            reason: "as agreed".to_owned(),
            expires_at: Some(at()),
        }),
        C::Revoke(Revoke { id: GRANT.to_owned(), reason: "by mistake".to_owned() }),
        C::ReportUse(ReportUse { feature: slug("reports"), used: 101 }),
    ];
    commands.map(Command::Entitlements).into()
}
