//! What a provider's catalog offers and a tenant holds: the words in which the
//! catalog, subscriptions, entitlements and flags speak of plans.

use std::collections::BTreeMap;

use crate::{Currency, Cycle, Slug, TenantId, Timestamp};

/// A plan of a published version of a provider's catalog.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanRef {
    pub provider: TenantId,
    pub catalog: Slug,
    /// From 1.
    pub version: u32,
    pub plan: Slug,
}

/// What a price charges for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ComponentKind {
    /// Once a cycle.
    Flat,
    /// For each seat held.
    PerSeat,
}

/// One part of a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    pub kind: ComponentKind,
    /// Minor units for one whole cycle, of one unit of what is charged for. Not negative.
    pub amount: i64,
}

/// How a change inside a period is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Proration {
    /// By the seconds left of the period's seconds.
    #[default]
    BySecond,
    /// By the calendar days left, in the subscription's time zone, of the period's days.
    ByDay,
    /// Nothing is credited and nothing charged before the next period.
    None,
    /// Nothing is credited, the new price is charged whole.
    Full,
}

/// What a plan does with a change to it while more is used than it includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Downgrade {
    /// Allowed; the reply names what is exceeded.
    #[default]
    Accept,
    /// Refused; the refusal names what is exceeded.
    Refuse,
}

/// The commercial terms of a plan at one of its prices, as a subscription keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub plan: PlanRef,
    pub price: Slug,
    pub currency: Currency,
    pub cycle: Cycle,
    pub components: Vec<Component>,
    pub proration: Proration,
    /// The longest trial, in days; 0 when there is none.
    pub trial_days_max: u32,
    pub seats_min: u64,
    /// None: as many as wanted.
    pub seats_max: Option<u64>,
    pub downgrade: Downgrade,
    /// The plan of the same catalog version that a tenant falls to when the
    /// subscription ends or pauses; None: to no plan.
    pub fallback: Option<Slug>,
}

/// An add-on at its price, for the cycle of the offer it goes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOnOffer {
    pub add_on: Slug,
    /// Minor units for one pack and one whole cycle.
    pub amount: i64,
}

/// A number of packs of an add-on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOnHolding {
    pub offer: AddOnOffer,
    /// At least 1.
    pub quantity: u64,
}

/// What a subscription holds, and is charged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    pub offer: Offer,
    pub seats: u64,
    /// By add-on, each once.
    pub add_ons: Vec<AddOnHolding>,
}

impl Holding {
    /// Packs by add-on.
    pub fn packs(&self) -> BTreeMap<Slug, u64> {
        self.add_ons.iter().map(|it| (it.offer.add_on.clone(), it.quantity)).collect()
    }
}

/// What a caller asks to hold. The tenant root looks it up in what the partition has
/// adopted of the provider's catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub catalog: Slug,
    /// None: the newest published version that is adopted.
    pub version: Option<u32>,
    pub plan: Slug,
    pub price: Slug,
    pub currency: Currency,
    pub seats: u64,
    /// Packs by add-on.
    pub add_ons: BTreeMap<Slug, u64>,
}

/// What a caller asks to hold instead; what is None stays.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SelectionChange {
    pub catalog: Option<Slug>,
    pub version: Option<u32>,
    pub plan: Option<Slug>,
    pub price: Option<Slug>,
    pub seats: Option<u64>,
    pub add_ons: Option<BTreeMap<Slug, u64>>,
}

/// Which parts of a holding a change asks for; the others stay as they are when it takes
/// place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The plan and its price.
    pub plan: bool,
    pub seats: bool,
    pub add_ons: bool,
}

impl Asked {
    pub const ALL: Self = Self { plan: true, seats: true, add_ons: true };

    /// What either asks for.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            plan: self.plan || other.plan,
            seats: self.seats || other.seats,
            add_ons: self.add_ons || other.add_ons,
        }
    }
}

impl SelectionChange {
    pub fn asked(&self) -> Asked {
        let of_catalog = self.catalog.is_some() || self.version.is_some();
        Asked {
            plan: of_catalog || self.plan.is_some() || self.price.is_some(),
            seats: self.seats.is_some(),
            add_ons: self.add_ons.is_some(),
        }
    }
}

/// How much of a feature a plan includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// The feature, without a number.
    On,
    /// Up to so many units.
    Limit(u64),
    Unlimited,
    /// As many as the subscription has seats.
    Seats,
}

/// What a plan includes, or what one pack of an add-on adds (where `Seats` does not occur).
pub type Features = BTreeMap<Slug, Allowance>;

/// What a plan and the add-ons held with it include.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PlanContent {
    pub plan: Features,
    /// What one pack of each add-on adds.
    pub add_ons: BTreeMap<Slug, Features>,
}

/// By what right a tenant has a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    Trial,
    Subscription,
    /// The subscription ended or pauses: its fall-back plan.
    Fallback,
}

/// The plan that a tenant has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPlan {
    pub plan: PlanRef,
    pub by: HeldBy,
    pub seats: u64,
    /// Packs by add-on.
    pub add_ons: BTreeMap<Slug, u64>,
    pub since: Timestamp,
}

/// A limit that a plan has below what is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    pub feature: Slug,
    pub limit: u64,
    pub used: u64,
}
