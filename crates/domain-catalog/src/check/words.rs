//! The words of a catalog: products, features, meters, actions, methods and routes.

use exchequer_types::Slug;

use super::{
    ACTIONS_MAX, CURRENCIES_MAX, Check, DESCRIPTION_CHARS_MAX, FEATURES_MAX, GRACE_HOURS_MAX,
    METERS_MAX, METHODS_MAX, PATH_CHARS_MAX, PERCENT_MAX, PRODUCTS_MAX, ROUTES_MAX, THRESHOLDS_MAX,
    UNIT_CHARS_MAX,
};
use crate::document::{Document, Feature, FeatureKind, Refusal};
use crate::rejection::codes;

pub(super) fn check(check: &mut Check, it: &Document) {
    check.name(|| "name".to_owned(), &it.name);
    check.text(|| "description".to_owned(), &it.description, DESCRIPTION_CHARS_MAX);
    if check.count("currencies", it.currencies.len(), CURRENCIES_MAX) {
        check.distinct(it.currencies.iter(), |index, _| format!("currencies[{index}]"));
    }
    if check.count("products", it.products.len(), PRODUCTS_MAX) {
        ids(check, "products", it.products.iter().map(|it| &it.id));
        for (index, it) in it.products.iter().enumerate() {
            check.name(|| format!("products[{index}].name"), &it.name);
            let path = || format!("products[{index}].description");
            check.text(path, &it.description, DESCRIPTION_CHARS_MAX);
        }
    }
    if check.count("meters", it.meters.len(), METERS_MAX) {
        ids(check, "meters", it.meters.iter().map(|it| &it.id));
        for (index, it) in it.meters.iter().enumerate() {
            check.name(|| format!("meters[{index}].name"), &it.name);
            check.text(|| format!("meters[{index}].unit"), &it.unit, UNIT_CHARS_MAX);
            let path = || format!("meters[{index}].description");
            check.text(path, &it.description, DESCRIPTION_CHARS_MAX);
        }
    }
    if check.count("features", it.features.len(), FEATURES_MAX) {
        ids(check, "features", it.features.iter().map(|it| &it.id));
        for (index, feature) in it.features.iter().enumerate() {
            check_feature(check, index, feature, it);
        }
    }
    routes(check, it);
}

pub(super) fn ids<'a>(check: &mut Check, list: &str, ids: impl Iterator<Item = &'a Slug>) {
    check.distinct(ids, |index, _| format!("{list}[{index}].id"));
}

fn check_feature(check: &mut Check, index: usize, it: &Feature, document: &Document) {
    let path = |field: &str| format!("features[{index}].{field}");
    check.name(|| path("name"), &it.name);
    check.text(|| path("description"), &it.description, DESCRIPTION_CHARS_MAX);
    check.text(|| path("unit"), &it.unit, UNIT_CHARS_MAX);
    if let Some(meter) = &it.meter
        && !document.meters.iter().any(|known| known.id == *meter)
    {
        check.unknown(path("meter"), "meter", meter.as_str());
    }
    if it.kind == FeatureKind::Switch {
        let only_limits = [
            ("unit", !it.unit.is_empty()),
            ("per", it.per.is_some()),
            ("meter", it.meter.is_some()),
            ("thresholds", !it.thresholds.is_empty()),
            ("burst", it.burst > 0),
            ("grace_hours", it.grace_hours > 0),
            ("refusal", it.refusal != Refusal::Wait),
        ];
        for (field, _) in only_limits.into_iter().filter(|(_, given)| *given) {
            let text = "goes with a feature of kind limit alone";
            check.refuse(path(field), codes::CATALOG_VALUE_INVALID, text);
        }
    }
    for (field, given, most) in
        [("burst", it.burst, PERCENT_MAX), ("grace_hours", it.grace_hours, GRACE_HOURS_MAX)]
    {
        if given > most {
            let text = format!("must be at most {most}");
            check.refuse(path(field), codes::CATALOG_VALUE_INVALID, text);
        }
    }
    if check.count(&path("thresholds"), it.thresholds.len(), THRESHOLDS_MAX) {
        check.distinct(it.thresholds.iter(), |at, _| path(&format!("thresholds[{at}]")));
        for (at, percent) in it.thresholds.iter().enumerate() {
            if !(1..=PERCENT_MAX).contains(percent) {
                let text = format!("must be a percentage of 1 to {PERCENT_MAX}");
                check.refuse(
                    path(&format!("thresholds[{at}]")),
                    codes::CATALOG_VALUE_INVALID,
                    text,
                );
            }
        }
    }
}

fn routes(check: &mut Check, it: &Document) {
    if check.count("actions", it.actions.len(), ACTIONS_MAX) {
        check.distinct(it.actions.iter(), |index, _| format!("actions[{index}]"));
        for (index, action) in it.actions.iter().enumerate() {
            capitals(check, || format!("actions[{index}]"), action);
        }
    }
    if check.count("methods", it.methods.len(), METHODS_MAX) {
        check.distinct(it.methods.iter().map(|it| &it.method), |_, it| format!("methods.{it}"));
        for it in &it.methods {
            capitals(check, || format!("methods.{}", it.method), &it.method);
        }
        for method in it.methods.iter().filter(|method| !it.actions.contains(&method.action)) {
            check.unknown(format!("methods.{}", method.method), "action", &method.action);
        }
    }
    if check.count("routes", it.routes.len(), ROUTES_MAX) {
        check.distinct(it.routes.iter().map(|it| &it.path), |index, _| {
            format!("routes[{index}].path")
        });
        for (index, route) in it.routes.iter().enumerate() {
            let fits = route.path.len() <= PATH_CHARS_MAX && route.path.starts_with('/');
            if !fits || !route.path.bytes().all(|byte| byte.is_ascii_graphic()) {
                let text = format!(
                    "must begin with / and have at most {PATH_CHARS_MAX} visible ASCII characters"
                );
                check.refuse(format!("routes[{index}].path"), codes::CATALOG_VALUE_INVALID, text);
            }
            if it.feature(&route.feature).is_none() {
                let path = format!("routes[{index}].feature");
                check.unknown(path, "feature", route.feature.as_str());
            }
        }
    }
}

fn capitals(check: &mut Check, path: impl Fn() -> String, text: &str) {
    let fits = (1..=63).contains(&text.len());
    if !fits || !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
        check.refuse(path(), codes::CATALOG_VALUE_INVALID, "must match [A-Z_]{1,63}");
    }
}
