//! A provider's catalogs as data: drafts, published versions that never change and are
//! addressed by their content, and what partitions have adopted of them. Pure: `decide`
//! per command in `commands/`, what is wrong with a document in `check`, what a
//! selection comes to in `adopted.rs`.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod adopted;
mod canonical;
mod check;
mod commands;
mod diff;
mod document;
mod event;
mod rejection;
mod series;
#[cfg(test)]
mod tests;

pub use adopted::{Adopted, AdoptedVersion, Unresolved};
pub use canonical::{Content, beyond_word, component_word, feature_kind_word, proration_word};
pub use check::{
    ADD_ONS_MAX, AMOUNT_MAX, CURRENCIES_MAX, DOCUMENT_BYTES_MAX, FEATURES_MAX, LIMIT_MAX,
    NAME_CHARS_MAX, PACKS_MAX, PLANS_MAX, PRICES_MAX, SEATS_MAX, TRIAL_DAYS_MAX, VIOLATIONS_MAX,
    Violation, check,
};
pub use commands::{Command, DiscardDraft, Publish, Retire, SaveDraft};
pub use diff::{Change, diff};
pub use document::{
    AddOn, AddOnFeature, AddOnPrice, Amount, Beyond, Document, Feature, FeatureKind, Meter, Method,
    Plan, PlanFeature, Price, PriceIn, Product, Refusal, Route,
};
pub use event::{Adoption, Event};
pub use rejection::{CATALOGS_MAX, Rejection, VERSIONS_MAX, codes};
pub use series::{Draft, Series, Version, VersionStatus, status_word};

use std::collections::BTreeMap;

use exchequer_kernel::{Ctx, Decider, Shown};
use exchequer_types::{Fact, Json, Slug, Timestamp};

/// The domain's rules over one stream: a provider's own, or a partition's own, in which
/// versions are adopted.
#[derive(Clone, Copy, Debug)]
pub struct Catalog;

/// State of one stream. A partition's own stream has only `adopted`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    pub catalogs: BTreeMap<Slug, Series>,
    pub adopted: Adopted,
}

/// What an accepted command is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The catalog with its draft and newest version.
    Catalog(Box<Series>),
    /// The version that was published or retired.
    Version {
        catalog: Slug,
        version: Version,
    },
    Nothing,
}

impl Decider for Catalog {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(state: &State, command: &Command, _: &Ctx) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::SaveDraft(it) => it.decide(state),
            Command::DiscardDraft(it) => it.decide(state),
            Command::Publish(it) => it.decide(state),
            Command::Retire(it) => it.decide(state),
            Command::Adopt(it) => it.decide(state),
        }
    }

    fn evolve(state: &mut State, event: &Event, at: Timestamp) {
        match event {
            Event::Adopted(it) => state.adopted.adopt(it.clone()),
            _ => series::evolve(state, event, at),
        }
    }
}

/// The small public form of `event`: nothing that other domains of the same tenant need.
pub fn facts(_: &Event) -> Vec<Fact> {
    Vec::new()
}

/// The revision of the catalog that `command` is addressed to; 0 when it is not there.
pub fn version(state: &State, command: &Command) -> u64 {
    match command {
        Command::Adopt(_) => 0,
        _ => state.catalogs.get(command.catalog()).map_or(0, |catalog| catalog.revision),
    }
}

/// How the audit log tells of `command`.
pub fn shown(before: &State, after: &State, command: &Command) -> Shown {
    let (action, version) = match command {
        Command::SaveDraft(_) => ("catalog.draft-saved", None),
        Command::DiscardDraft(_) => ("catalog.draft-discarded", None),
        Command::Publish(_) => ("catalog.published", None),
        Command::Retire(it) => ("catalog.retired", Some(it.version)),
        Command::Adopt(_) => ("catalog.adopted", None),
    };
    let id = command.catalog();
    let json = |state: &State| {
        state.catalogs.get(id).map_or(Json::Null, |catalog| catalog.to_json(version))
    };
    Shown {
        action,
        resource_type: "catalog",
        resource_id: id.to_string(),
        before: json(before),
        after: json(after),
    }
}

/// What the accepted `command` is answered with, given the state after it and its events.
pub fn reply(after: &State, command: &Command, _: &[Event]) -> Reply {
    let Some(catalog) = after.catalogs.get(command.catalog()) else { return Reply::Nothing };
    let version = match command {
        Command::Adopt(_) => return Reply::Nothing,
        Command::SaveDraft(_) | Command::DiscardDraft(_) => {
            return Reply::Catalog(Box::new(catalog.clone()));
        }
        Command::Publish(_) => catalog.latest(),
        Command::Retire(it) => catalog.version(it.version),
    };
    let catalog = catalog.id.clone();
    version.map_or(Reply::Nothing, |version| Reply::Version { catalog, version: *version })
}

/// About how many bytes the state holds.
pub fn weight(state: &State) -> usize {
    let drafts = state.catalogs.values().filter_map(|catalog| catalog.draft.as_ref());
    let drafts: usize = drafts.map(|draft| 4 * draft.content.bytes()).sum();
    let versions: usize = state.catalogs.values().map(|it| 300 + 64 * it.versions.len()).sum();
    drafts + versions + state.adopted.weight()
}
