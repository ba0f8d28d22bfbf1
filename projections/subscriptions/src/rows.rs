//! Tables, keys and rows of the view. Columns are for those who read the store; the
//! whole, with holdings, schedule and lines, stands in `record`.

use bytes::Bytes;
use exchequer_codec::{
    charge_from_proto, charge_to_proto, subscription_from_proto, subscription_to_proto,
};
use exchequer_domain_subscriptions::{Charge, Subscription};
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_readstore::{Column, Fault, Key, Kind, Table, Value};
use exchequer_types::Timestamp;
use prost::Message as _;

/// By tenant: the current subscription, or the last one when that has ended.
pub static SUBSCRIPTIONS: Table = Table {
    name: "subscriptions",
    partition_key: &[text("tenant")],
    clustering: &[],
    // In the order of `subscription_values`.
    columns: &[
        text("id"),
        // trialing, active, cancelled, paused or ended.
        text("state"),
        text("provider"),
        text("catalog"),
        int("catalog_version"),
        text("plan"),
        text("price"),
        text("currency"),
        int("seats"),
        text("time_zone"),
        int("period_index"),
        // trial, paid or paused.
        text("period_kind"),
        // Microseconds since the Unix epoch, as all instants; below 0 when there is none.
        int("period_start"),
        int("period_end"),
        int("trial_ends_at"),
        int("cancels_at"),
        int("next_due"),
        int("started_at"),
        int("updated_at"),
        int("ended_at"),
        int("version"),
        // exchequer.subscriptions.v1.SubscriptionRecord
        bytes("record"),
    ],
};

/// By tenant, then in the order in which they were recorded.
pub static SUBSCRIPTION_CHARGES: Table = Table {
    name: "subscription_charges",
    partition_key: &[text("tenant")],
    // Journal position of the event.
    clustering: &[int("position")],
    // In the order of `charge_values`.
    columns: &[
        text("id"),
        text("subscription"),
        int("at"),
        // subscribed, activated, renewed, changed, paused, resumed or ended.
        text("cause"),
        int("period_index"),
        int("period_start"),
        int("period_end"),
        text("currency"),
        // Minor units.
        int("total"),
        // exchequer.subscriptions.v1.ChargeRecorded
        bytes("record"),
    ],
};

/// Instead of an instant that there is not.
const NEVER: i64 = -1;

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes }
}

/// Key of `subscriptions`.
pub(crate) fn subscription_key(tenant: &str) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: Vec::new() }
}

/// Key of `subscription_charges`.
pub(crate) fn charge_key(tenant: &str, position: u64) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: vec![Value::uint(position)] }
}

pub(crate) fn subscription_values(it: &Subscription) -> Vec<Value> {
    let offer = &it.holding.offer;
    vec![
        Value::text(&it.id),
        Value::text(it.word()),
        Value::text(offer.plan.provider.as_str()),
        Value::text(offer.plan.catalog.as_str()),
        Value::Int(i64::from(offer.plan.version)),
        Value::text(offer.plan.plan.as_str()),
        Value::text(offer.price.as_str()),
        Value::text(offer.currency.code()),
        Value::uint(it.holding.seats),
        Value::text(it.zone.name()),
        Value::Int(i64::from(it.period.index)),
        Value::text(it.period.kind.as_str()),
        Value::Int(it.period.start.micros()),
        instant(it.period.end),
        instant(it.trial_ends_at),
        instant(it.cancels_at()),
        instant(it.next_due()),
        Value::Int(it.started_at.micros()),
        Value::Int(it.updated_at.micros()),
        instant(it.end.as_ref().map(|end| end.at)),
        Value::uint(it.version),
        Value::Bytes(Bytes::from(subscription_to_proto(it).encode_to_vec())),
    ]
}

/// The subscription of a row. A fault when it cannot be what was written.
pub(crate) fn subscription_of(tenant: &str, values: &[Value]) -> Result<Subscription, Fault> {
    let record = values.last().map(Value::as_bytes).unwrap_or_default();
    let read = pb::SubscriptionRecord::decode(record).map_err(|error| error.to_string());
    let read = read.and_then(|it| subscription_from_proto(it).map_err(|error| error.to_string()));
    read.map_err(|error| damaged(tenant, "subscription", &error))
}

pub(crate) fn charge_values(it: &Charge) -> Vec<Value> {
    vec![
        Value::text(&it.id),
        Value::text(&it.subscription),
        Value::Int(it.at.micros()),
        Value::text(it.cause.as_str()),
        Value::Int(i64::from(it.period_index)),
        Value::Int(it.period.start.micros()),
        Value::Int(it.period.end.micros()),
        Value::text(it.currency.code()),
        Value::Int(it.total),
        Value::Bytes(Bytes::from(charge_to_proto(it).encode_to_vec())),
    ]
}

/// The charge of a row. A fault when it cannot be what was written.
pub(crate) fn charge_of(tenant: &str, values: &[Value]) -> Result<Charge, Fault> {
    let record = values.last().map(Value::as_bytes).unwrap_or_default();
    let read = pb::ChargeRecorded::decode(record).map_err(|error| error.to_string());
    let read = read.and_then(|it| charge_from_proto(it).map_err(|error| error.to_string()));
    read.map_err(|error| damaged(tenant, "charge", &error))
}

fn instant(at: Option<Timestamp>) -> Value {
    Value::Int(at.map_or(NEVER, Timestamp::micros))
}

fn damaged(tenant: &str, what: &str, error: &str) -> Fault {
    Fault::lasting(format!(
        "tenant {tenant:?}: a {what}'s row is damaged ({error}): rebuild the view"
    ))
}
