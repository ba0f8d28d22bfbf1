//! What is wrong with a document. Everything is found at once, each with the path of
//! the value at fault, such as `plans[2].prices[0].currencies.USD`.

mod offers;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

use crate::document::Document;
use crate::rejection::codes;

const PRODUCTS_MAX: usize = 50;
pub const FEATURES_MAX: usize = 500;
const METERS_MAX: usize = 100;
pub const PLANS_MAX: usize = 100;
/// Of one plan, and of one add-on.
pub const PRICES_MAX: usize = 50;
pub const CURRENCIES_MAX: usize = 40;
pub const ADD_ONS_MAX: usize = 100;
const ACTIONS_MAX: usize = 50;
const METHODS_MAX: usize = 20;
const ROUTES_MAX: usize = 200;
const THRESHOLDS_MAX: usize = 10;
/// Of a limit: more than all of it is used of a soft one.
const PERCENT_MAX: u32 = 1_000;
/// A year.
const GRACE_HOURS_MAX: u32 = 8_784;
pub const NAME_CHARS_MAX: usize = 200;
const DESCRIPTION_CHARS_MAX: usize = 2_000;
const UNIT_CHARS_MAX: usize = 50;
const PATH_CHARS_MAX: usize = 200;
/// 10^15 minor units.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000_000;
pub const LIMIT_MAX: u64 = 1_000_000_000_000_000;
pub const SEATS_MAX: u64 = 1_000_000_000_000;
/// Packs of one add-on.
pub const PACKS_MAX: u64 = 1_000_000_000;
pub const TRIAL_DAYS_MAX: u32 = 30;
const GRACE_DAYS_MAX: u32 = 365;
/// Of the canonical form: a document fits into a command with room to spare.
pub const DOCUMENT_BYTES_MAX: usize = 200 * 1024;
/// Further violations are not told.
pub const VIOLATIONS_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub path: String,
    /// One of [`codes`].
    pub code: &'static str,
    /// What the value must be.
    pub message: String,
}

/// All that is wrong, at most [`VIOLATIONS_MAX`]; empty when nothing is.
pub fn check(document: &Document) -> Vec<Violation> {
    let mut check = Check::default();
    words::check(&mut check, document);
    offers::check(&mut check, document);
    if check.violations.is_empty() {
        let bytes = document.canonical().len();
        if bytes > DOCUMENT_BYTES_MAX {
            let text = format!("must have at most {DOCUMENT_BYTES_MAX} bytes, not {bytes}");
            check.refuse("", codes::CATALOG_TOO_LARGE, text);
        }
    }
    check.violations
}

#[derive(Debug, Default)]
struct Check {
    violations: Vec<Violation>,
}

impl Check {
    fn refuse(&mut self, path: impl Into<String>, code: &'static str, message: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { path: path.into(), code, message: message.into() });
        }
    }

    /// True when there are not too many to look at.
    fn count(&mut self, path: &str, count: usize, count_max: usize) -> bool {
        if count > count_max {
            let text = format!("must have at most {count_max} entries, not {count}");
            self.refuse(path, codes::CATALOG_TOO_MANY, text);
        }
        count <= count_max
    }

    /// `path` gives the place of the n-th.
    fn distinct<T: Ord + ToString>(
        &mut self,
        items: impl Iterator<Item = T>,
        path: impl Fn(usize, &T) -> String,
    ) {
        let mut seen = BTreeSet::new();
        for (index, item) in items.enumerate() {
            if seen.contains(&item) {
                let text = format!("{:?} stands twice", item.to_string());
                self.refuse(path(index, &item), codes::CATALOG_DUPLICATE, text);
            } else {
                seen.insert(item);
            }
        }
    }

    fn text(&mut self, path: impl Fn() -> String, text: &str, chars_max: usize) {
        if text.chars().count() > chars_max || text.chars().any(is_forbidden) {
            let message = format!(
                "must have at most {chars_max} characters, none of them control characters"
            );
            self.refuse(path(), codes::CATALOG_VALUE_INVALID, message);
        }
    }

    /// A text that must not be empty.
    fn name(&mut self, path: impl Fn() -> String, text: &str) {
        if text.is_empty() {
            self.refuse(path(), codes::CATALOG_VALUE_INVALID, "must not be empty");
        }
        self.text(path, text, NAME_CHARS_MAX);
    }

    fn unknown(&mut self, path: String, what: &str, id: &str) {
        let text = format!("names the {what} {id:?}, which the catalog does not have");
        self.refuse(path, codes::CATALOG_REFERENCE_UNKNOWN, text);
    }
}

/// Line breaks are allowed in descriptions.
fn is_forbidden(char: char) -> bool {
    char.is_control() && char != '\n'
}
