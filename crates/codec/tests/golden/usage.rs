//! Examples of the usage domain's types.

use exchequer_domain_usage::{
    AmendEvent, Backfill, BackfillMeter, Command as C, Correction, CreateMeter, Event as E,
    PutEventSchema, RetireEventSchema, RetireMeter, RulesField, UpdateMeter, VoidEvent,
};
use exchequer_metering::{Aggregation, Filter, GroupBy, Meter, Path, Scalar, Test};
use exchequer_tenant::{Command, Event};
use exchequer_types::{ActorId, Quantity, Slug};

use crate::tenants::at;

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn rules(version: u32) -> Meter {
    let half = Quantity::parse("0.5").unwrap();
    let scalars = vec![Scalar::Text("eu".to_owned()), Scalar::Number(half), Scalar::Bool(true)];
    let filter = |name: &str, test: Test| Filter { path: path(name), test };
    Meter {
        key: slug("tokens"),
        version,
        event_type: "ai.request".to_owned(),
        aggregation: Aggregation::UniqueCount,
        value: Some(path("$.request['id of it'][0]")),
        group_by: vec![
            GroupBy { name: slug("model"), path: path("$.model") },
            GroupBy { name: slug("region"), path: path("$.region") },
        ],
        filters: vec![
            filter("$.region", Test::In(scalars.clone())),
            filter("$.kind", Test::NotIn(scalars)),
            filter("$.size", Test::Less(half)),
            filter("$.size", Test::AtMost(half)),
            filter("$.size", Test::Greater(half)),
            filter("$.size", Test::AtLeast(half)),
            filter("$.paid", Test::Exists),
            filter("$.test", Test::Missing),
        ],
        unit: "requests".to_owned(),
        groups_max: 500,
    }
}

fn correction(data: Option<&str>) -> Correction {
    Correction {
        id: "cor_abcdefghijklmnopqrstuvwxyz".to_owned(),
        source: "/gateway/eu".to_owned(),
        event: "req-1".to_owned(),
        data: data.map(str::to_owned),
        reason: "counted twice by the gateway".to_owned(),
        actor: ActorId::parse("u-1").unwrap(),
    }
}

/// One event of each type, every field filled.
pub(crate) fn events() -> Vec<Event> {
    let events = [
        E::MeterCreated { rules: rules(1) },
        E::MeterUpdated { rules: rules(2) },
        E::MeterRetired { meter: slug("tokens") },
        E::BackfillRequested {
            meter: slug("tokens"),
            version: 2,
            backfill: Backfill {
                id: "bfl_abcdefghijklmnopqrstuvwxyz".to_owned(),
                from: at(),
                until: Some(at()),
                requested_at: at(),
            },
        },
        E::EventSchemaSet {
            kind: "ai.request".to_owned(),
            version: 3,
            text: "{\"type\":\"object\"}".to_owned(),
        },
        E::EventSchemaRetired { kind: "ai.request".to_owned() },
        E::EventCorrected(correction(Some("{\"tokens\":5}"))),
    ];
    events.map(Event::Usage).into()
}

/// One command of each type, every field filled.
pub(crate) fn commands() -> Vec<Command> {
    let Correction { source, event, reason, .. } = correction(None);
    let commands = [
        C::CreateMeter(CreateMeter { rules: rules(0) }),
        C::UpdateMeter(UpdateMeter {
            rules: rules(0),
            only: [RulesField::Unit, RulesField::GroupsMax].into(),
        }),
        C::RetireMeter(RetireMeter { meter: slug("tokens") }),
        C::BackfillMeter(BackfillMeter { meter: slug("tokens"), from: at() }),
        C::PutEventSchema(PutEventSchema {
            kind: "ai.request".to_owned(),
            text: "{\"type\":\"object\"}".to_owned(),
        }),
        C::RetireEventSchema(RetireEventSchema { kind: "ai.request".to_owned() }),
        C::VoidEvent(VoidEvent {
            source: source.clone(),
            event: event.clone(),
            reason: reason.clone(),
        }),
        C::AmendEvent(AmendEvent { source, event, data: "{\"tokens\":5}".to_owned(), reason }),
    ];
    commands.map(Command::Usage).into()
}
