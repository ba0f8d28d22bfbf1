//! A document as YAML that reads back as the same document.

use core::fmt::{Display, Write as _};

use exchequer_domain_catalog::{
    AddOn, Beyond, Document, Feature, Plan, Price, Refusal, beyond_word, component_word,
    feature_kind_word, proration_word,
};
use exchequer_types::{Allowance, Currency, Downgrade, Money, Proration, Slug};

/// The file of `document`. Amounts are decimal.
pub fn write(document: &Document) -> String {
    let mut out = Writer { out: String::new(), indent: 0, first: false };
    out.text("name", &document.name);
    out.text("description", &document.description);
    if !document.currencies.is_empty() {
        out.put("currencies", flow(&document.currencies));
    }
    out.id("fallback", document.fallback.as_ref());
    out.list("products", &document.products, |out, it| {
        out.put("id", &it.id);
        out.required_text("name", &it.name);
        out.text("description", &it.description);
    });
    out.list("features", &document.features, feature);
    out.list("meters", &document.meters, |out, it| {
        out.put("id", &it.id);
        out.required_text("name", &it.name);
        out.text("unit", &it.unit);
        out.text("description", &it.description);
    });
    out.list("plans", &document.plans, plan);
    out.list("add_ons", &document.add_ons, add_on);
    if !document.actions.is_empty() {
        out.put("actions", flow(&document.actions));
    }
    out.map("methods", &document.methods, |out, it| out.put(&it.method, &it.action));
    out.list("routes", &document.routes, |out, it| {
        out.text("path", &it.path);
        out.put("feature", &it.feature);
    });
    out.out
}

fn feature(out: &mut Writer, it: &Feature) {
    out.put("id", &it.id);
    out.required_text("name", &it.name);
    out.put("kind", feature_kind_word(it.kind));
    out.text("unit", &it.unit);
    if let Some(per) = it.per {
        out.put("per", per.as_str());
    }
    out.id("meter", it.meter.as_ref());
    if !it.thresholds.is_empty() {
        out.put("thresholds", flow(&it.thresholds));
    }
    if it.burst > 0 {
        out.put("burst", it.burst);
    }
    if it.grace_hours > 0 {
        out.put("grace_hours", it.grace_hours);
    }
    if it.refusal != Refusal::Wait {
        out.put("refusal", it.refusal.word());
    }
    out.text("description", &it.description);
}

fn plan(out: &mut Writer, it: &Plan) {
    out.put("id", &it.id);
    out.required_text("name", &it.name);
    out.text("description", &it.description);
    out.id("product", it.product.as_ref());
    out.id("extends", it.extends.as_ref());
    out.put("rank", it.rank);
    if it.seats_min != 1 {
        out.put("seats_min", it.seats_min);
    }
    out.optional("seats_max", it.seats_max);
    if it.trial_days_max != 0 {
        out.put("trial_days_max", it.trial_days_max);
    }
    if it.downgrade == Downgrade::Refuse {
        out.put("downgrade", "refuse");
    }
    if it.proration != Proration::default() {
        out.put("proration", proration_word(it.proration));
    }
    out.optional("grace_days", it.grace_days);
    out.optional("per_owner_max", it.per_owner_max);
    out.map("features", &it.features, |out, it| {
        let allowance = it.allowance.map_or_else(|| "none".to_owned(), allowance);
        if it.beyond == Beyond::default() {
            out.put(it.feature.as_str(), allowance);
        } else {
            let beyond = beyond_word(it.beyond);
            let both = format!("{{ allowance: {allowance}, beyond: {beyond} }}");
            out.put(it.feature.as_str(), both);
        }
    });
    out.list("prices", &it.prices, price);
}

fn price(out: &mut Writer, it: &Price) {
    out.put("id", &it.id);
    out.put("cycle", it.cycle);
    if let Some(proration) = it.proration {
        out.put("proration", proration_word(proration));
    }
    out.map("currencies", &it.currencies, |out, it| {
        let components = it.components.iter().map(|component| {
            let kind = component_word(component.kind);
            format!("{kind}: {}", decimal(component.amount, it.currency))
        });
        let components: Vec<String> = components.collect();
        out.put(it.currency.code(), format!("{{ {} }}", components.join(", ")));
    });
}

fn add_on(out: &mut Writer, it: &AddOn) {
    out.put("id", &it.id);
    out.required_text("name", &it.name);
    out.text("description", &it.description);
    if !it.plans.is_empty() {
        out.put("plans", flow(&it.plans));
    }
    out.map("features", &it.features, |out, it| {
        out.put(it.feature.as_str(), allowance(it.allowance));
    });
    out.optional("quantity_max", it.quantity_max);
    out.list("prices", &it.prices, |out, it| {
        out.put("cycle", it.cycle);
        out.map("currencies", &it.amounts, |out, it| {
            out.put(it.currency.code(), decimal(it.amount, it.currency));
        });
    });
}

fn allowance(it: Allowance) -> String {
    match it {
        Allowance::On => "on".to_owned(),
        Allowance::Limit(limit) => limit.to_string(),
        Allowance::Unlimited => "unlimited".to_owned(),
        Allowance::Seats => "per_seat".to_owned(),
    }
}

fn decimal(amount: i64, currency: Currency) -> impl Display {
    Money::new(amount, currency).decimal()
}

/// `[a, b]`, of items that need no quotes.
fn flow<T: Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}

struct Writer {
    out: String,
    indent: usize,
    /// The next line is the first of a list's item.
    first: bool,
}

impl Writer {
    /// A line. `value` is written as it is.
    fn put(&mut self, key: &str, value: impl Display) {
        self.begin(key);
        self.out.push(' ');
        self.out.push_str(&value.to_string());
        self.out.push('\n');
    }

    fn begin(&mut self, key: &str) {
        if self.first {
            self.out.push_str(&"  ".repeat(self.indent - 1));
            self.out.push_str("- ");
        } else {
            self.out.push_str(&"  ".repeat(self.indent));
        }
        self.first = false;
        self.out.push_str(key);
        self.out.push(':');
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.required_text(key, text);
        }
    }

    fn required_text(&mut self, key: &str, text: &str) {
        self.put(key, quoted(text));
    }

    fn id(&mut self, key: &str, id: Option<&Slug>) {
        self.optional(key, id);
    }

    fn optional(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn list<T>(&mut self, key: &str, items: &[T], write: impl Fn(&mut Self, &T)) {
        if items.is_empty() {
            return;
        }
        self.begin(key);
        self.out.push('\n');
        self.indent += 2;
        for item in items {
            self.first = true;
            write(self, item);
        }
        self.indent -= 2;
    }

    fn map<T>(&mut self, key: &str, items: &[T], write: impl Fn(&mut Self, &T)) {
        if items.is_empty() {
            return;
        }
        self.begin(key);
        self.out.push('\n');
        self.indent += 1;
        for item in items {
            write(self, item);
        }
        self.indent -= 1;
    }
}

/// Plain when nothing in it could mean something else, in double quotes otherwise.
fn quoted(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_/ ".contains(char);
    let begins = text.starts_with(|char: char| char.is_ascii_alphanumeric());
    if begins && !text.ends_with(' ') && text != "null" && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            ' '..='~' => out.push(char),
            _ if char.is_alphanumeric() => out.push(char),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\U{:08X}", u32::from(char));
            }
        }
    }
    out.push('"');
    out
}
