//! Each thing that can be wrong, with its path and code.

use exchequer_types::{Allowance, Component, ComponentKind};

use super::*;
use crate::document::{Beyond, Feature, FeatureKind, Plan};
use crate::tests::{currency, document, plan, slug};

/// What is found wrong after `spoil`.
fn found(spoil: impl FnOnce(&mut Document)) -> Vec<(String, &'static str)> {
    let mut document = document();
    spoil(&mut document);
    let found = check(&document).into_iter().map(|it| {
        assert!(!it.message.is_empty());
        (it.path, it.code)
    });
    found.collect()
}

fn one(spoil: impl FnOnce(&mut Document), path: &str, code: &'static str) {
    assert_eq!(found(spoil), [(path.to_owned(), code)]);
}

/// The document lists `pro` before `free`.
fn pro(document: &mut Document) -> &mut Plan {
    &mut document.plans[0]
}

#[test]
fn nothing_is_wrong_with_the_sample() {
    assert_eq!(found(|_| {}), []);
}

// REQ: BIL-01
#[test]
fn duplicates_are_found() {
    let code = codes::CATALOG_DUPLICATE;
    one(|it| it.products.push(it.products[0].clone()), "products[1].id", code);
    one(|it| it.features.push(it.features[0].clone()), "features[3].id", code);
    one(|it| it.meters.push(it.meters[0].clone()), "meters[1].id", code);
    one(|it| it.plans.push(plan("pro", 7)), "plans[2].id", code);
    one(|it| it.currencies.push(currency("USD")), "currencies[2]", code);
    one(|it| it.add_ons.push(it.add_ons[0].clone()), "add_ons[1].id", code);
    one(|it| it.actions.push("VIEW".to_owned()), "actions[1]", code);
    one(|it| it.methods.push(it.methods[0].clone()), "methods.GET", code);
    one(|it| it.routes.push(it.routes[0].clone()), "routes[1].path", code);
    one(
        |it| {
            let again = pro(it).features[0].clone();
            pro(it).features.push(again);
        },
        "plans[0].features.storage",
        code,
    );
    one(
        |it| {
            let again = pro(it).prices[0].clone();
            pro(it).prices.push(again);
        },
        "plans[0].prices[1].id",
        code,
    );
    one(
        |it| {
            let again = pro(it).prices[0].currencies[1].clone();
            pro(it).prices[0].currencies.push(again);
        },
        "plans[0].prices[0].currencies.USD",
        code,
    );
    one(
        |it| {
            let flat = Component { kind: ComponentKind::Flat, amount: 1 };
            pro(it).prices[0].currencies[0].components.push(flat);
        },
        "plans[0].prices[0].currencies.VND.flat",
        code,
    );
    one(
        |it| {
            let again = it.add_ons[0].prices[0].clone();
            it.add_ons[0].prices.push(again);
        },
        "add_ons[0].prices[1].cycle",
        code,
    );
    one(|it| it.features[1].thresholds = vec![80, 80], "features[1].thresholds[1]", code);
}

#[test]
fn unknown_references_are_found() {
    let code = codes::CATALOG_REFERENCE_UNKNOWN;
    one(|it| it.fallback = Some(slug("gone")), "fallback", code);
    one(|it| pro(it).product = Some(slug("gone")), "plans[0].product", code);
    one(|it| pro(it).extends = Some(slug("gone")), "plans[0].extends", code);
    one(|it| pro(it).features[0].feature = slug("gone"), "plans[0].features.gone", code);
    one(|it| it.features[1].meter = Some(slug("gone")), "features[1].meter", code);
    one(|it| it.add_ons[0].plans[0] = slug("gone"), "add_ons[0].plans[0]", code);
    one(|it| it.add_ons[0].features[0].feature = slug("gone"), "add_ons[0].features.gone", code);
    one(|it| it.routes[0].feature = slug("gone"), "routes[0].feature", code);
    one(|it| it.methods[0].action = "GONE".to_owned(), "methods.GET", code);
    let found = found(|it| it.currencies = vec![currency("USD")]);
    assert_eq!(found.len(), 3);
    assert_eq!(found[0], ("plans[0].prices[0].currencies.VND".to_owned(), code));
}

#[test]
fn circles_are_found() {
    let code = codes::CATALOG_CYCLE;
    one(|it| pro(it).extends = Some(slug("pro")), "plans[0].extends", code);
    let found = found(|it| {
        it.plans[1].extends = Some(slug("pro"));
        it.plans.push(Plan { extends: Some(slug("pro")), ..plan("gold", 2) });
    });
    assert_eq!(
        found,
        [("plans[0].extends".to_owned(), code), ("plans[1].extends".to_owned(), code)]
    );
    // What goes round in circles does not hang who asks.
    let mut circle = document();
    circle.plans[1].extends = Some(slug("pro"));
    assert_eq!(circle.included(&circle.plans[0]).len(), 2);
}

#[test]
fn prices_are_checked() {
    let path = "plans[0].prices[0].currencies";
    one(|it| pro(it).prices[0].currencies.clear(), path, codes::CATALOG_PRICE_EMPTY);
    let gap = |it: &mut Document| {
        pro(it).prices[0].currencies.pop();
    };
    one(gap, path, codes::CATALOG_GAP);
    let no_gap = |it: &mut Document| {
        it.currencies.clear();
        pro(it).prices[0].currencies.pop();
    };
    assert_eq!(found(no_gap), []);
    one(
        |it| pro(it).prices[0].currencies[0].components.clear(),
        &format!("{path}.VND"),
        codes::CATALOG_PRICE_EMPTY,
    );
    for amount in [-1, AMOUNT_MAX + 1, i64::MIN, i64::MAX] {
        one(
            |it| pro(it).prices[0].currencies[1].components[0].amount = amount,
            &format!("{path}.USD.per_seat"),
            codes::CATALOG_AMOUNT_INVALID,
        );
        one(
            |it| it.add_ons[0].prices[0].amounts[0].amount = amount,
            "add_ons[0].prices[0].currencies.USD",
            codes::CATALOG_AMOUNT_INVALID,
        );
    }
    assert_eq!(found(|it| pro(it).prices.clear()), []);
}

#[test]
fn values_are_checked() {
    let code = codes::CATALOG_VALUE_INVALID;
    one(|it| it.name.clear(), "name", code);
    one(|it| it.name = "x".repeat(201), "name", code);
    one(|it| it.products[0].name = "a\u{7}".to_owned(), "products[0].name", code);
    one(|it| it.description = "x".repeat(2_001), "description", code);
    one(|it| pro(it).seats_min = 0, "plans[0].seats_min", code);
    one(|it| pro(it).seats_min = 26, "plans[0].seats_max", code);
    one(|it| pro(it).seats_max = Some(SEATS_MAX + 1), "plans[0].seats_max", code);
    one(|it| pro(it).trial_days_max = 31, "plans[0].trial_days_max", code);
    one(|it| pro(it).grace_days = Some(366), "plans[0].grace_days", code);
    one(|it| pro(it).per_owner_max = Some(0), "plans[0].per_owner_max", code);
    one(|it| it.features[1].thresholds = vec![0], "features[1].thresholds[0]", code);
    one(|it| it.features[1].thresholds = vec![1_001], "features[1].thresholds[0]", code);
    one(|it| it.features[0].unit = "GB".to_owned(), "features[0].unit", code);
    one(|it| it.actions.push("view".to_owned()), "actions[1]", code);
    one(|it| it.routes[0].path = "v1".to_owned(), "routes[0].path", code);
    one(|it| it.add_ons[0].quantity_max = Some(0), "add_ons[0].quantity_max", code);
    let without_plans = found(|it| {
        it.plans.clear();
        it.fallback = None;
        it.add_ons.clear();
    });
    assert_eq!(without_plans, [("plans".to_owned(), code)]);
}

#[test]
fn allowances_go_with_the_kind_of_the_feature() {
    let code = codes::CATALOG_VALUE_INVALID;
    let storage = "plans[0].features.storage";
    one(|it| pro(it).features[0].allowance = Some(Allowance::On), storage, code);
    let too_much = Some(Allowance::Limit(LIMIT_MAX + 1));
    one(|it| pro(it).features[0].allowance = too_much, storage, code);
    one(
        |it| pro(it).features[2].allowance = Some(Allowance::Unlimited),
        "plans[0].features.api",
        code,
    );
    one(|it| pro(it).features[2].beyond = Beyond::Bill, "plans[0].features.api.beyond", code);
    let pack = "add_ons[0].features.storage";
    one(|it| it.add_ons[0].features[0].allowance = Allowance::Seats, pack, code);
    one(|it| it.add_ons[0].features[0].allowance = Allowance::On, pack, code);
    assert_eq!(found(|it| pro(it).features[0].beyond = Beyond::Bill), []);
}

#[test]
fn counts_and_bytes_are_bounded() {
    let code = codes::CATALOG_TOO_MANY;
    let many = |count: usize| (0..count).map(|index| plan(&format!("p-{index}"), 0));
    one(|it| it.plans.extend(many(PLANS_MAX)), "plans", code);
    let feature = document().features[0].clone();
    let features = |count: usize| {
        let named = |index| Feature { id: slug(&format!("f-{index}")), ..feature.clone() };
        (0..count).map(named).collect::<Vec<_>>()
    };
    one(|it| it.features.extend(features(FEATURES_MAX)), "features", code);
    one(
        |it| {
            let price = pro(it).prices[0].clone();
            pro(it).prices = vec![price; PRICES_MAX + 1];
        },
        "plans[0].prices",
        code,
    );
    one(
        |it| {
            let all = ["USD", "VND"].map(currency).into_iter().cycle();
            it.currencies = all.take(CURRENCIES_MAX + 1).collect();
        },
        "currencies",
        code,
    );
    let long = |it: &mut Document| {
        it.features.extend(features(150));
        for feature in &mut it.features {
            feature.description = "x".repeat(2_000);
        }
    };
    one(long, "", codes::CATALOG_TOO_LARGE);
    let all_wrong = found(|it| {
        it.features.extend(features(400));
        it.features.iter_mut().for_each(|it| it.name.clear());
        it.features.iter_mut().for_each(|it| it.kind = FeatureKind::Switch);
    });
    assert_eq!(all_wrong.len(), VIOLATIONS_MAX);
}
