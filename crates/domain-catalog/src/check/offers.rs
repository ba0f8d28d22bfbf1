//! What a catalog offers: plans, their prices and features, and add-ons.

use std::collections::BTreeSet;

use exchequer_types::{Allowance, Currency, Slug};

use super::words::ids;
use super::{
    ADD_ONS_MAX, AMOUNT_MAX, CURRENCIES_MAX, Check, DESCRIPTION_CHARS_MAX, FEATURES_MAX,
    GRACE_DAYS_MAX, LIMIT_MAX, PACKS_MAX, PLANS_MAX, PRICES_MAX, SEATS_MAX, TRIAL_DAYS_MAX,
};
use crate::canonical::component_word;
use crate::document::{AddOn, Beyond, Document, FeatureKind, Plan, Price};
use crate::rejection::codes;

pub(super) fn check(check: &mut Check, it: &Document) {
    if it.plans.is_empty() {
        check.refuse("plans", codes::CATALOG_VALUE_INVALID, "must have at least one plan");
    }
    if check.count("plans", it.plans.len(), PLANS_MAX) {
        ids(check, "plans", it.plans.iter().map(|it| &it.id));
        for (index, plan) in it.plans.iter().enumerate() {
            Offer { check, document: it, path: format!("plans[{index}]") }.plan(plan);
        }
    }
    if let Some(fallback) = &it.fallback
        && it.plan(fallback).is_none()
    {
        check.unknown("fallback".to_owned(), "plan", fallback.as_str());
    }
    if check.count("add_ons", it.add_ons.len(), ADD_ONS_MAX) {
        ids(check, "add_ons", it.add_ons.iter().map(|it| &it.id));
        for (index, add_on) in it.add_ons.iter().enumerate() {
            Offer { check, document: it, path: format!("add_ons[{index}]") }.add_on(add_on);
        }
    }
}

/// One plan or add-on under check.
struct Offer<'a> {
    check: &'a mut Check,
    document: &'a Document,
    path: String,
}

impl Offer<'_> {
    fn path(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }

    fn invalid(&mut self, field: &str, text: impl Into<String>) {
        let path = self.path(field);
        self.check.refuse(path, codes::CATALOG_VALUE_INVALID, text);
    }

    fn named(&mut self, name: &str, description: &str) {
        let path = self.path.clone();
        self.check.name(|| format!("{path}.name"), name);
        let path = || format!("{path}.description");
        self.check.text(path, description, DESCRIPTION_CHARS_MAX);
    }

    fn plan(&mut self, it: &Plan) {
        self.named(&it.name, &it.description);
        if let Some(product) = &it.product
            && !self.document.products.iter().any(|known| known.id == *product)
        {
            let path = self.path("product");
            self.check.unknown(path, "product", product.as_str());
        }
        self.extends(it);
        self.bounds(it);
        self.features(it.features.iter().map(|it| (&it.feature, it.allowance)), false);
        for feature in &it.features {
            let is_number =
                matches!(feature.allowance, Some(Allowance::Limit(_) | Allowance::Seats));
            if feature.beyond != Beyond::default() && !is_number {
                let field = format!("features.{}.beyond", feature.feature);
                self.invalid(&field, "goes with a number alone");
            }
        }
        let path = self.path("prices");
        if self.check.count(&path, it.prices.len(), PRICES_MAX) {
            ids(self.check, &path, it.prices.iter().map(|it| &it.id));
            for (index, price) in it.prices.iter().enumerate() {
                self.price(&format!("prices[{index}].currencies"), price);
            }
        }
    }

    fn extends(&mut self, it: &Plan) {
        let mut seen = BTreeSet::from([&it.id]);
        let mut next = it.extends.as_ref();
        while let Some(id) = next {
            let path = self.path("extends");
            let Some(plan) = self.document.plan(id) else {
                if it.extends.as_ref() == Some(id) {
                    self.check.unknown(path, "plan", id.as_str());
                }
                return;
            };
            if !seen.insert(&plan.id) {
                // Plans that only lead to a circle are not themselves at fault.
                if plan.id == it.id {
                    let text = format!("leads back to the plan {:?} itself", it.id.as_str());
                    self.check.refuse(path, codes::CATALOG_CYCLE, text);
                }
                return;
            }
            next = plan.extends.as_ref();
        }
    }

    fn bounds(&mut self, it: &Plan) {
        if it.trial_days_max > TRIAL_DAYS_MAX {
            self.invalid("trial_days_max", format!("must be 0 to {TRIAL_DAYS_MAX}"));
        }
        if !(1..=SEATS_MAX).contains(&it.seats_min) {
            self.invalid("seats_min", format!("must be 1 to {SEATS_MAX}"));
        }
        if let Some(seats_max) = it.seats_max {
            if !(1..=SEATS_MAX).contains(&seats_max) {
                self.invalid("seats_max", format!("must be 1 to {SEATS_MAX}"));
            } else if seats_max < it.seats_min {
                self.invalid("seats_max", format!("must be at least seats_min, {}", it.seats_min));
            }
        }
        if it.grace_days.is_some_and(|days| days > GRACE_DAYS_MAX) {
            self.invalid("grace_days", format!("must be 0 to {GRACE_DAYS_MAX}"));
        }
        if it.per_owner_max == Some(0) {
            self.invalid("per_owner_max", "must be at least 1");
        }
    }

    fn features<'b>(
        &mut self,
        features: impl ExactSizeIterator<Item = (&'b Slug, Option<Allowance>)> + Clone,
        is_add_on: bool,
    ) {
        let path = self.path("features");
        if !self.check.count(&path, features.len(), FEATURES_MAX) {
            return;
        }
        let ids = features.clone().map(|(feature, _)| feature);
        self.check.distinct(ids, |_, feature| format!("{path}.{feature}"));
        for (feature, allowance) in features {
            let field = format!("features.{feature}");
            let Some(known) = self.document.feature(feature) else {
                let path = self.path(&field);
                self.check.unknown(path, "feature", feature.as_str());
                continue;
            };
            let fits = match (known.kind, allowance) {
                (FeatureKind::Switch, Some(Allowance::On))
                | (FeatureKind::Limit, Some(Allowance::Limit(_) | Allowance::Unlimited)) => true,
                (_, None) | (FeatureKind::Limit, Some(Allowance::Seats)) => !is_add_on,
                _ => false,
            };
            if !fits {
                self.invalid(&field, wanted(known.kind, is_add_on));
            }
            if let Some(Allowance::Limit(limit)) = allowance
                && limit > LIMIT_MAX
            {
                self.invalid(&field, format!("must be 0 to {LIMIT_MAX}"));
            }
        }
    }

    fn price(&mut self, field: &str, it: &Price) {
        let path = self.path(field);
        self.currencies(&path, it.currencies.iter().map(|it| it.currency));
        for it in &it.currencies {
            let path = format!("{path}.{}", it.currency);
            if it.components.is_empty() {
                let text = "must name an amount: flat, per_seat or both";
                self.check.refuse(&path, codes::CATALOG_PRICE_EMPTY, text);
            }
            let kinds = it.components.iter().map(|it| component_word(it.kind));
            self.check.distinct(kinds, |_, kind| format!("{path}.{kind}"));
            for it in &it.components {
                self.amount(&format!("{path}.{}", component_word(it.kind)), it.amount);
            }
        }
    }

    fn add_on(&mut self, it: &AddOn) {
        self.named(&it.name, &it.description);
        let path = self.path("plans");
        if self.check.count(&path, it.plans.len(), PLANS_MAX) {
            self.check.distinct(it.plans.iter(), |index, _| format!("{path}[{index}]"));
            for (index, plan) in it.plans.iter().enumerate() {
                if self.document.plan(plan).is_none() {
                    self.check.unknown(format!("{path}[{index}]"), "plan", plan.as_str());
                }
            }
        }
        self.features(it.features.iter().map(|it| (&it.feature, Some(it.allowance))), true);
        if it.quantity_max.is_some_and(|most| !(1..=PACKS_MAX).contains(&most)) {
            self.invalid("quantity_max", format!("must be 1 to {PACKS_MAX}"));
        }
        let path = self.path("prices");
        if !self.check.count(&path, it.prices.len(), PRICES_MAX) {
            return;
        }
        let cycles = it.prices.iter().map(|it| it.cycle.to_string());
        self.check.distinct(cycles, |index, _| format!("{path}[{index}].cycle"));
        for (index, price) in it.prices.iter().enumerate() {
            let path = format!("{path}[{index}].currencies");
            self.currencies(&path, price.amounts.iter().map(|it| it.currency));
            for it in &price.amounts {
                self.amount(&format!("{path}.{}", it.currency), it.amount);
            }
        }
    }

    /// The currencies that a price names: some, each once, and those of the catalog.
    fn currencies(
        &mut self,
        path: &str,
        currencies: impl ExactSizeIterator<Item = Currency> + Clone,
    ) {
        if currencies.len() == 0 {
            let text = "must name an amount in at least one currency";
            self.check.refuse(path, codes::CATALOG_PRICE_EMPTY, text);
            return;
        }
        if !self.check.count(path, currencies.len(), CURRENCIES_MAX) {
            return;
        }
        self.check.distinct(currencies.clone(), |_, currency| format!("{path}.{currency}"));
        let named: BTreeSet<Currency> = currencies.collect();
        let wanted: BTreeSet<Currency> = self.document.currencies.iter().copied().collect();
        if wanted.is_empty() {
            return;
        }
        for gap in wanted.difference(&named) {
            let text = format!("has no amount in {gap}, in which the catalog is sold");
            self.check.refuse(path, codes::CATALOG_GAP, text);
        }
        for other in named.difference(&wanted) {
            self.check.unknown(format!("{path}.{other}"), "currency", other.code());
        }
    }

    fn amount(&mut self, path: &str, amount: i64) {
        if !(0..=AMOUNT_MAX).contains(&amount) {
            let text = format!("must be 0 to {AMOUNT_MAX} minor units, not {amount}");
            self.check.refuse(path, codes::CATALOG_AMOUNT_INVALID, text);
        }
    }
}

fn wanted(kind: FeatureKind, is_add_on: bool) -> &'static str {
    match (kind, is_add_on) {
        (FeatureKind::Switch, false) => "must be on or none: the feature is a switch",
        (FeatureKind::Switch, true) => "must be on: the feature is a switch",
        (FeatureKind::Limit, false) => {
            "must be a number, unlimited, per_seat or none: the feature is a limit"
        }
        (FeatureKind::Limit, true) => "must be a number or unlimited: the feature is a limit",
    }
}
