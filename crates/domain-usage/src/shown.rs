//! How the audit log tells of a command: the resource before and after it.

use exchequer_kernel::Shown;
use exchequer_types::Json;

use crate::json::correction;
use crate::{Command, State};

/// How the audit log tells of `command`. An event is shown as the command corrects it.
pub fn shown(before: &State, after: &State, command: &Command) -> Shown {
    let (action, resource_type) = match command {
        Command::CreateMeter(_) => ("meter.created", "meter"),
        Command::UpdateMeter(_) => ("meter.updated", "meter"),
        Command::RetireMeter(_) => ("meter.retired", "meter"),
        Command::BackfillMeter(_) => ("meter.backfill-requested", "meter"),
        Command::PutEventSchema(_) => ("event-schema.set", "event-schema"),
        Command::RetireEventSchema(_) => ("event-schema.retired", "event-schema"),
        Command::VoidEvent(_) => ("usage-event.voided", "usage-event"),
        Command::AmendEvent(_) => ("usage-event.amended", "usage-event"),
    };
    let told = |resource_id: String, before: Json, after: Json| Shown {
        action,
        resource_type,
        resource_id,
        before,
        after,
    };
    match command {
        Command::VoidEvent(it) => {
            let after = correction(&it.source, &it.event, None, &it.reason);
            told(it.event.clone(), Json::Null, after)
        }
        Command::AmendEvent(it) => {
            let after = correction(&it.source, &it.event, Some(&it.data), &it.reason);
            told(it.event.clone(), Json::Null, after)
        }
        _ => {
            let id = command
                .meter()
                .map(ToString::to_string)
                .or_else(|| command.schema().map(Into::into));
            told(id.unwrap_or_default(), resource(before, command), resource(after, command))
        }
    }
}

/// Null when it is not there.
fn resource(state: &State, command: &Command) -> Json {
    let meter = command.meter().and_then(|key| state.meters.get(key)).map(|it| it.to_json());
    let schema = || command.schema().and_then(|kind| state.schemas.get(kind));
    meter.or_else(|| schema().map(|it| it.to_json())).unwrap_or(Json::Null)
}
