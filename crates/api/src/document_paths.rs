//! Where a request has what the domain finds wrong in a catalog's document. The domain
//! speaks of features and currencies by their names, as files do; a request has lists.

use exchequer_domain_catalog::{Document, codes};
use exchequer_types::{Allowance, ComponentKind};

/// The path in the request's `document` for what the domain calls `path`, refused with
/// `code`. A path that needs no change stays as it is.
pub(crate) fn in_request(document: &Document, path: &str, code: &str) -> String {
    let found = feature(document, path, code).or_else(|| currency(document, path, code));
    found.unwrap_or_else(|| path.to_owned())
}

/// `plans[2].features.sso`, and the same of an add-on.
fn feature(document: &Document, path: &str, code: &str) -> Option<String> {
    let (holder, name) = path.split_once(".features.")?;
    let (list, index) = indexed(holder)?;
    let features: Vec<(&str, Option<Allowance>)> = match list {
        "plans" => {
            let features = document.plans.get(index)?.features.iter();
            features.map(|it| (it.feature.as_str(), it.allowance)).collect()
        }
        "add_ons" => {
            let features = document.add_ons.get(index)?.features.iter();
            features.map(|it| (it.feature.as_str(), Some(it.allowance))).collect()
        }
        _ => return None,
    };
    // Of one that stands twice, the second is too many.
    let at = features.iter().rposition(|(it, _)| *it == name)?;
    let is_name = [codes::CATALOG_DUPLICATE, codes::CATALOG_REFERENCE_UNKNOWN].contains(&code);
    let field = match features[at].1 {
        _ if is_name => "feature",
        Some(Allowance::Limit(_)) => "limit",
        _ => "inclusion",
    };
    Some(format!("{holder}.features[{at}].{field}"))
}

/// `plans[2].prices[0].currencies.USD.flat`, and without the last part; the same of an
/// add-on's prices, which have amounts alone.
fn currency(document: &Document, path: &str, code: &str) -> Option<String> {
    let (holder, name) = path.split_once(".currencies.")?;
    let (name, component) = name.split_once('.').map_or((name, None), |(it, of)| (it, Some(of)));
    let (owner, price) = holder.split_once(".prices[")?;
    let price: usize = price.strip_suffix(']')?.parse().ok()?;
    let (list, index) = indexed(owner)?;
    let is_name = [codes::CATALOG_DUPLICATE, codes::CATALOG_REFERENCE_UNKNOWN].contains(&code);
    match list {
        "plans" => {
            let price = document.plans.get(index)?.prices.get(price)?;
            let at = price.currencies.iter().rposition(|it| it.currency.code() == name)?;
            let below = match component {
                None if is_name => "currency".to_owned(),
                None => "components".to_owned(),
                Some(kind) => {
                    let kinds = price.currencies[at].components.iter();
                    let of = kinds.rev().position(|it| word(it.kind) == kind);
                    let of = price.currencies[at].components.len() - 1 - of?;
                    let field = if is_name { "kind" } else { "amount" };
                    format!("components[{of}].{field}")
                }
            };
            Some(format!("{holder}.currencies[{at}].{below}"))
        }
        "add_ons" => {
            let price = document.add_ons.get(index)?.prices.get(price)?;
            let at = price.amounts.iter().rposition(|it| it.currency.code() == name)?;
            let field = if is_name { "currency" } else { "amount" };
            Some(format!("{holder}.currencies[{at}].{field}"))
        }
        _ => None,
    }
}

fn word(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Flat => "flat",
        ComponentKind::PerSeat => "per_seat",
    }
}

/// `plans[2]` taken apart.
fn indexed(path: &str) -> Option<(&str, usize)> {
    let (list, index) = path.strip_suffix(']')?.split_once('[')?;
    Some((list, index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use exchequer_catalog_file::{SAMPLES, parse};
    use exchequer_domain_catalog::check;
    use exchequer_types::{Currency, Slug};

    use super::*;

    fn sample() -> Document {
        let sample = SAMPLES.iter().find(|it| it.name == "workspace").unwrap();
        parse(sample.text).unwrap()
    }

    fn paths(document: &Document) -> Vec<String> {
        let found = check(document);
        found.iter().map(|it| in_request(document, &it.path, it.code)).collect()
    }

    // REQ: EDG-02
    #[test]
    fn paths_are_those_of_the_request() {
        let plan = |it: &Document| it.plans.iter().position(|it| !it.prices.is_empty()).unwrap();
        let mut unknown = sample();
        let at = plan(&unknown);
        unknown.plans[at].features[1].feature = Slug::parse("nothing").unwrap();
        assert_eq!(paths(&unknown), [format!("plans[{at}].features[1].feature")]);
        let mut twice = sample();
        let first = twice.plans[at].features[0].clone();
        twice.plans[at].features.push(first);
        let last = twice.plans[at].features.len() - 1;
        assert_eq!(paths(&twice), [format!("plans[{at}].features[{last}].feature")]);
        let mut amount = sample();
        amount.plans[at].prices[0].currencies[0].components[0].amount = -1;
        let expected = format!("plans[{at}].prices[0].currencies[0].components[0].amount");
        assert_eq!(paths(&amount), [expected]);
        let mut empty = sample();
        empty.plans[at].prices[0].currencies[0].components.clear();
        let expected = format!("plans[{at}].prices[0].currencies[0].components");
        assert_eq!(paths(&empty), [expected]);
        let mut other = sample();
        other.currencies = vec![Currency::parse("JOD").unwrap()];
        for path in paths(&other) {
            assert!(path.ends_with(".currencies") || path.ends_with(".currency"), "{path}");
        }
    }
}
