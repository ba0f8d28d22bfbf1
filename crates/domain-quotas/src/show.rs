//! How the audit log tells of the domain's commands.

use exchequer_kernel::Shown;
use exchequer_types::{Json, Slug, Timestamp};

use crate::{Command, Quota, State};

/// How the audit log tells of `command`. None for reservations: they come by the thousand,
/// are no change of anything but figures, and stand in the journal as events.
pub fn shown(before: &State, after: &State, command: &Command) -> Option<Shown> {
    let of = |action: &'static str, feature: &Slug| Shown {
        action,
        resource_type: "quota",
        resource_id: feature.to_string(),
        before: json(before.quota(feature)),
        after: json(after.quota(feature)),
    };
    match command {
        Command::AdjustHeld(it) => Some(of("quota.adjusted", &it.feature)),
        Command::NoteThreshold(it) => Some(of("quota.threshold-reached", &it.feature)),
        Command::Reserve(_)
        | Command::Finalise(_)
        | Command::Release(_)
        | Command::FireTimer(_) => None,
    }
}

fn json(quota: Option<&Quota>) -> Json {
    let Some(quota) = quota else { return Json::Null };
    let number = |it: u64| Json::Int(i64::try_from(it).unwrap_or(i64::MAX));
    let instant = |it: Option<Timestamp>| it.map_or(Json::Null, |it| Json::text(it.to_string()));
    Json::object([
        ("beyond", Json::text(quota.terms.beyond.word())),
        ("limit", quota.terms.limit.map_or(Json::Null, number)),
        ("reached", Json::List(quota.noted.iter().map(|it| number(u64::from(*it))).collect())),
        ("reserved", number(quota.reserved)),
        ("resets_at", instant(quota.resets_at())),
        ("used", number(quota.used)),
    ])
}
