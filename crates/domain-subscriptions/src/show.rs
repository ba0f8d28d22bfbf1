//! How the audit log tells of the subscription.

use std::collections::BTreeMap;

use exchequer_kernel::Shown;
use exchequer_types::{AddOnHolding, Exceeded, Holding, Json, Timestamp};

use crate::subscription::{
    Cancellation, Dropped, EndReason, Entry, LifePeriod, ScheduleAt, Status, Subscription,
};
use crate::{Command, State};

/// How the audit log tells of `command`.
pub fn shown(before: &State, after: &State, command: &Command) -> Shown {
    let json = |state: &State| state.current.as_ref().map_or(Json::Null, Subscription::to_json);
    let is_same =
        before.current.as_ref().map(|it| &it.id) == after.current.as_ref().map(|it| &it.id);
    Shown {
        action: action(before, after, command),
        resource_type: "subscription",
        resource_id: after.current.as_ref().map(|it| it.id.clone()).unwrap_or_default(),
        before: if is_same { json(before) } else { Json::Null },
        after: with_refused(json(after), before, command),
    }
}

fn action(before: &State, after: &State, command: &Command) -> &'static str {
    match command {
        Command::Subscribe(_) => "subscription.created",
        Command::Activate(_) => "subscription.activated",
        Command::Change(_) => {
            let entries = |state: &State| state.current.as_ref().map_or(0, |it| it.schedule.len());
            if entries(after) > entries(before) {
                "subscription.change-scheduled"
            } else {
                "subscription.changed"
            }
        }
        Command::Cancel(_) => match after.current.as_ref().map(|it| it.status) {
            Some(Status::Ended) => "subscription.ended",
            _ => "subscription.cancelled",
        },
        Command::Reactivate(_) => "subscription.reactivated",
        Command::Pause(_) => match before.current.as_ref().map(|it| it.status) {
            Some(Status::Paused) => "subscription.pause-moved",
            _ => "subscription.paused",
        },
        Command::Resume(_) => "subscription.resumed",
        Command::SetZone(_) => "subscription.time-zone-changed",
        Command::Amend(_) => "subscription.change-amended",
        Command::Reschedule(_) => "subscription.change-rescheduled",
        Command::Drop(_) => "subscription.change-dropped",
        Command::FireTimer(_) => fired(before.current.as_ref(), after.current.as_ref()),
    }
}

/// What a timer brought.
fn fired(before: Option<&Subscription>, after: Option<&Subscription>) -> &'static str {
    let Some((before, after)) = before.zip(after) else { return "subscription.changed" };
    match (before.status, after.status) {
        (_, Status::Ended) => "subscription.ended",
        (Status::Trialing, Status::Active) => "subscription.activated",
        (Status::Paused, Status::Active) => "subscription.resumed",
        (Status::Active, Status::Active) if before.period.end == Some(after.period.start) => {
            "subscription.renewed"
        }
        _ if before.holding == after.holding && before.dropped != after.dropped => {
            "subscription.change-refused"
        }
        _ => "subscription.changed",
    }
}

/// The subscription `after` a timer, with the changes that a plan refused when they fell
/// due, and why.
fn with_refused(mut after: Json, before: &State, command: &Command) -> Json {
    if let Json::Object(members) = &mut after
        && let (Command::FireTimer(timer), Some(before)) = (command, &before.current)
    {
        let refused = before.schedule.iter();
        let refused = refused.filter_map(|it| Some((it.id.clone(), limits(timer.refused(it)?))));
        let refused: BTreeMap<String, Json> = refused.collect();
        if !refused.is_empty() {
            members.insert("refused", Json::Map(refused));
        }
    }
    after
}

fn limits(exceeded: &[Exceeded]) -> Json {
    let limit = |it: &Exceeded| {
        Json::object([
            ("feature", Json::text(it.feature.as_str())),
            ("limit", int(it.limit)),
            ("used", int(it.used)),
        ])
    };
    Json::List(exceeded.iter().map(limit).collect())
}

impl Subscription {
    /// As audit entries show it before and after a change.
    pub fn to_json(&self) -> Json {
        let end = self.end.as_ref().map(|it| match &it.reason {
            EndReason::Cancelled { reason } => Json::object([
                ("at", Json::text(it.at.to_string())),
                ("by", Json::text("cancellation")),
                ("reason", Json::text(reason)),
            ]),
            EndReason::TenantClosed => {
                Json::object([("at", Json::text(it.at.to_string())), ("by", Json::text("closing"))])
            }
            EndReason::OutOfTime => Json::object([
                ("at", Json::text(it.at.to_string())),
                ("by", Json::text("calendar")),
            ]),
        });
        Json::object([
            ("dropped", Json::List(self.dropped.iter().map(dropped).collect())),
            ("cancellation", self.cancellation.as_ref().map_or(Json::Null, cancellation)),
            ("ended", end.unwrap_or(Json::Null)),
            ("holding", holding(&self.holding)),
            ("id", Json::text(&self.id)),
            ("period", period(&self.period)),
            ("schedule", Json::List(self.schedule.iter().map(entry).collect())),
            ("state", Json::text(self.word())),
            ("time_zone", Json::text(self.zone.name())),
            ("trial_ends_at", instant(self.trial_ends_at)),
            ("version", int(self.version)),
        ])
    }
}

fn cancellation(it: &Cancellation) -> Json {
    Json::object([("at", when(it.at)), ("reason", Json::text(&it.reason))])
}

fn entry(it: &Entry) -> Json {
    Json::object([
        ("at", when(it.at)),
        ("holding", holding(&it.holding)),
        ("id", Json::text(&it.id)),
    ])
}

fn dropped(it: &Dropped) -> Json {
    let refusal = it.refusal.as_ref();
    Json::object([
        ("at", Json::text(it.at.to_string())),
        ("code", refusal.map_or(Json::Null, |it| Json::text(&it.code))),
        ("holding", holding(&it.holding)),
        ("id", Json::text(&it.id)),
        ("message", refusal.map_or(Json::Null, |it| Json::text(&it.message))),
        ("why", Json::text(it.why.as_str())),
    ])
}

fn period(it: &LifePeriod) -> Json {
    Json::object([
        ("end", instant(it.end)),
        ("index", Json::Int(i64::from(it.index))),
        ("kind", Json::text(it.kind.as_str())),
        ("start", Json::text(it.start.to_string())),
    ])
}

fn holding(it: &Holding) -> Json {
    let offer = &it.offer;
    let add_on = |it: &AddOnHolding| (it.offer.add_on.to_string(), int(it.quantity));
    Json::object([
        ("add_ons", Json::Map(it.add_ons.iter().map(add_on).collect())),
        ("catalog", Json::text(offer.plan.catalog.as_str())),
        ("currency", Json::text(offer.currency.code())),
        ("plan", Json::text(offer.plan.plan.as_str())),
        ("price", Json::text(offer.price.as_str())),
        ("provider", Json::text(offer.plan.provider.as_str())),
        ("seats", int(it.seats)),
        ("version", Json::Int(i64::from(offer.plan.version))),
    ])
}

fn when(at: ScheduleAt) -> Json {
    match at {
        ScheduleAt::PeriodEnd => Json::text("period-end"),
        ScheduleAt::Instant(at) => Json::text(at.to_string()),
    }
}

fn instant(at: Option<Timestamp>) -> Json {
    at.map_or(Json::Null, |at| Json::text(at.to_string()))
}

fn int(value: u64) -> Json {
    Json::Int(i64::try_from(value).unwrap_or(i64::MAX))
}
