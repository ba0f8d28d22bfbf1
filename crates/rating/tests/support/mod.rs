//! Holdings for the tests.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

use exchequer_types::{
    AddOnHolding, AddOnOffer, Component, ComponentKind, Currency, Cycle, Downgrade, Holding, Offer,
    PlanRef, Proration, Slug, TenantId, Timestamp,
};

pub(crate) fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A plan with a flat price and one per seat, in minor units of USD; a part of 0 is left out.
pub(crate) fn holding(plan: &str, flat: i64, seat: i64, seats: u64) -> Holding {
    let component = |kind, amount| Component { kind, amount };
    let components =
        [component(ComponentKind::Flat, flat), component(ComponentKind::PerSeat, seat)];
    Holding {
        offer: Offer {
            plan: PlanRef {
                provider: TenantId::platform(),
                catalog: slug("saas"),
                version: 1,
                plan: slug(plan),
            },
            price: slug("monthly"),
            currency: Currency::parse("USD").unwrap(),
            cycle: Cycle::MONTH,
            components: components.into_iter().filter(|it| it.amount != 0).collect(),
            proration: Proration::BySecond,
            trial_days_max: 0,
            seats_min: 1,
            seats_max: None,
            downgrade: Downgrade::Accept,
            fallback: None,
        },
        seats,
        add_ons: Vec::new(),
    }
}

pub(crate) fn with(policy: Proration, mut holding: Holding) -> Holding {
    holding.offer.proration = policy;
    holding
}

pub(crate) fn with_add_on(add_on: &str, amount: i64, quantity: u64, mut it: Holding) -> Holding {
    let offer = AddOnOffer { add_on: slug(add_on), amount };
    it.add_ons.push(AddOnHolding { offer, quantity });
    it
}
