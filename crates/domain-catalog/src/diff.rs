//! What differs between two documents, said so that a person can read it.

use std::collections::BTreeMap;

use exchequer_types::{Currency, Json, Money};

use crate::document::Document;

/// One value that differs. `path` names ids, such as
/// `plans.pro.prices.monthly.currencies.USD.flat`; amounts are decimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub path: String,
    /// None: it was not there.
    pub before: Option<String>,
    /// None: it is gone.
    pub after: Option<String>,
}

/// What differs, by path. Empty when the content is the same.
pub fn diff(old: &Document, new: &Document) -> Vec<Change> {
    let (before, mut after) = (leaves(old), leaves(new));
    let mut changes = Vec::new();
    for (path, before) in before {
        let after = after.remove(&path);
        if after.as_ref() != Some(&before) {
            changes.push(Change { path, before: Some(before), after });
        }
    }
    let added = after.into_iter();
    changes.extend(added.map(|(path, after)| Change { path, before: None, after: Some(after) }));
    changes.sort_unstable();
    changes
}

/// Every value of the document by its path.
fn leaves(document: &Document) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    walk(&document.to_json(), "", None, &mut out);
    out
}

fn walk(json: &Json, path: &str, money: Option<Currency>, out: &mut BTreeMap<String, String>) {
    let mut members = |members: &mut dyn Iterator<Item = (&str, &Json)>| {
        let mut is_empty = true;
        for (name, value) in members {
            is_empty = false;
            let below = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let is_money = path.ends_with(".currencies");
            let money = if is_money { Currency::parse(name) } else { money };
            walk(value, &below, money, out);
        }
        if is_empty && !path.is_empty() {
            out.insert(path.to_owned(), "given".to_owned());
        }
    };
    match json {
        Json::Object(map) => members(&mut map.iter().map(|(name, value)| (*name, value))),
        Json::Map(map) => members(&mut map.iter().map(|(name, value)| (name.as_str(), value))),
        _ => {
            out.insert(path.to_owned(), text(json, money));
        }
    }
}

fn text(json: &Json, money: Option<Currency>) -> String {
    match json {
        Json::Text(text) => text.clone(),
        Json::Int(amount) => match money {
            Some(currency) => Money::new(*amount, currency).decimal().to_string(),
            None => amount.to_string(),
        },
        Json::List(items) => {
            let items: Vec<String> = items.iter().map(|it| text(it, None)).collect();
            items.join(", ")
        }
        _ => json.canonical(),
    }
}
