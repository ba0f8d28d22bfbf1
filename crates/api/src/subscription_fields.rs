//! The parts of requests about subscriptions, and how a request calls the fields that
//! the domain names.

use std::collections::BTreeMap;

use exchequer_domain_subscriptions::{ScheduleAt, When};
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_types::{SelectionChange, Slug};
use pb::when::When as W;

use crate::check::Check;
use crate::status::{FIELD_MISSING, TIME_ZONE_UNKNOWN, VALUE_INVALID};

/// When something is to take place. None: what is wrong is said in `check`.
pub(crate) fn when(check: &mut Check, it: Option<pb::When>) -> Option<When> {
    match it.and_then(|it| it.when) {
        Some(W::Now(())) => Some(When::Now),
        Some(W::PeriodEnd(())) => Some(When::PeriodEnd),
        Some(W::At(at)) => check.timestamp("when.at", Some(at)).map(When::At),
        None => {
            check.refuse(FIELD_MISSING, "when", "must be now, period_end or at");
            None
        }
    }
}

/// As [`when`], and not now.
pub(crate) fn later(check: &mut Check, it: Option<pb::When>) -> Option<ScheduleAt> {
    match when(check, it)? {
        When::PeriodEnd => Some(ScheduleAt::PeriodEnd),
        When::At(at) => Some(ScheduleAt::Instant(at)),
        When::Now => {
            let text = "must be period_end or at: to change now, change the subscription";
            check.refuse(VALUE_INVALID, "when", text);
            None
        }
    }
}

pub(crate) fn selection_change(
    check: &mut Check,
    it: Option<pb::SelectionChange>,
) -> SelectionChange {
    let Some(it) = it else {
        check.refuse(FIELD_MISSING, "change", "must say what is to be held");
        return SelectionChange::default();
    };
    let mut slug = |field: &str, text: Option<String>| {
        text.and_then(|text| check.slug(&format!("change.{field}"), text))
    };
    SelectionChange {
        catalog: slug("catalog", it.catalog),
        version: it.version,
        plan: slug("plan", it.plan),
        price: slug("price", it.price),
        seats: it.seats,
        add_ons: it.add_ons.map(|it| packs(check, "change.add_ons", it.add_ons)),
    }
}

pub(crate) fn packs(
    check: &mut Check,
    field: &str,
    packs: Vec<pb::AddOnQuantity>,
) -> BTreeMap<Slug, u64> {
    let mut found = BTreeMap::new();
    for (index, it) in packs.into_iter().enumerate() {
        let path = format!("{field}[{index}].add_on");
        let Some(add_on) = check.slug(&path, it.add_on) else { continue };
        if found.insert(add_on, it.quantity).is_some() {
            check.refuse(VALUE_INVALID, &path, "must stand once");
        }
    }
    found
}

pub(crate) fn refuse_zone(check: &mut Check) {
    let text = "must be the name of a time zone of the IANA database, such as Europe/Paris";
    check.refuse(TIME_ZONE_UNKNOWN, "time_zone", text);
}

/// Of requests about the subscription itself.
pub(crate) fn of_subscription(field: &str) -> String {
    match field {
        "id" => "tenant",
        "change" => "id",
        field => field,
    }
    .to_owned()
}

/// Of requests that say what is to be held instead.
pub(crate) fn of_change(field: &str) -> String {
    match field {
        "catalog" | "version" | "plan" | "price" | "seats" | "add_ons" => {
            format!("change.{field}")
        }
        "currency" => "change.price".to_owned(),
        field => of_subscription(field),
    }
}
