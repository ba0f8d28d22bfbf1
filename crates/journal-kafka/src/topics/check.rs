//! Compares topics with their description. Everything that differs is told at once,
//! each with the command that changes it.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::known::{self, Known, Note};
use super::spec::{DESCRIPTIONS, descriptions};
use super::{Setting, Spec};
use crate::SetupError;
use crate::client::{self, Reporter};
use crate::error::{is_refusal, tells_refusal};
use crate::settings::Settings;

const POLL: Duration = Duration::from_millis(20);
/// How long the reason of a failed connection is waited for.
const EVENTS_WAIT_MAX: Duration = Duration::from_secs(1);

/// Finds all of `specs` right, or says what to change. Blocks.
pub fn check(settings: &Settings, specs: &[Spec]) -> Result<Vec<Known>, SetupError> {
    check_for(settings, specs, Use::Serving)
}

/// What topics are looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Everything that was carried to them must be there.
    Serving,
    /// They may be half full.
    Filling,
}

pub(super) fn check_for(
    settings: &Settings,
    specs: &[Spec],
    wanted: Use,
) -> Result<Vec<Known>, SetupError> {
    settings.check()?;
    let consumer = reach(settings)?;
    // What it says cannot be trusted when it forgets.
    let of_notes = settings.named(DESCRIPTIONS);
    let mut problems = match shape(&consumer, settings, &of_notes)? {
        Some(_) => differences(settings, &consumer, &of_notes, &descriptions(specs))?,
        None => Vec::new(),
    };
    let notes = known::read(settings, &consumer)?;
    let mut found = Vec::new();
    let mut absent = Vec::new();
    let mut other_numbers: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for spec in specs {
        let name = settings.named(&spec.name);
        let shape = shape(&consumer, settings, &name)?;
        match (notes.get(&name), shape) {
            (None, None) => absent.push(name),
            (Some(note), _) if note.partitions != spec.partitions => {
                other_numbers.entry(note.partitions).or_default().push(name);
            }
            (note, _) => {
                problems.extend(differences(settings, &consumer, &name, spec)?);
                match note {
                    Some(Note { moved: Some(moved), .. })
                        if !moved.is_whole && wanted == Use::Serving =>
                    {
                        problems.push(format!(
                            "{name} does not hold yet all that is carried to it; let `exchequer \
                             admin migrate-log` go on to its end"
                        ));
                    }
                    Some(Note { id, moved, .. }) => {
                        found.push(Known { spec: spec.clone(), id: *id, moved: *moved });
                    }
                    None => {
                        problems.push(format!("{name} is not noted; run `exchequer admin init`"));
                    }
                }
            }
        }
    }
    if !absent.is_empty() {
        problems.push(format!("{} {}", all_of(&absent, "does", "do"), not_there(settings)));
    }
    for (number, names) in other_numbers {
        let wanted = specs.first().map_or(0, |spec| spec.partitions);
        problems.push(format!("{} {}", all_of(&names, "has", "have"), fixed(number, wanted)));
    }
    problems.sort();
    match problems.as_slice() {
        [] => Ok(found),
        [only] => Err(SetupError::topics(only.clone())),
        problems => Err(SetupError::topics(format!(
            "the topics at {} are not as they must be:\n  {}",
            settings.bootstrap,
            problems.join("\n  ")
        ))),
    }
}

fn all_of(names: &[String], one: &str, several: &str) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { one } else { several })
}

fn not_there(settings: &Settings) -> String {
    format!("not exist at {}; run `exchequer admin init`", settings.bootstrap)
}

/// What there is to do about topics that were created with another number.
fn fixed(found: u32, wanted: u32) -> String {
    format!(
        "{found} partitions and must have {wanted}: the number says where each key lives and is \
         fixed when topics are created; set journal.partitions to {found}"
    )
}

/// A client that has spoken to a broker. One that refuses or cannot be understood is told
/// apart from one that is not there.
pub(crate) fn reach(settings: &Settings) -> Result<BaseConsumer<Reporter>, SetupError> {
    let consumer = reader(settings)?;
    let notes = settings.named(DESCRIPTIONS);
    let Err(silent) = consumer.fetch_metadata(Some(&notes), settings.request_wait()) else {
        return Ok(consumer);
    };
    // The request only fails; why the connections did is among the client's events, which
    // may come after it.
    let begun = Instant::now();
    let mut refusal = None;
    while begun.elapsed() < EVENTS_WAIT_MAX
        && refusal.is_none()
        && !consumer.context().last().is_some_and(|last| tells_refusal(&last))
    {
        refusal = consumer.poll(POLL).and_then(Result::err).filter(is_refusal);
    }
    let last = consumer.context().last();
    let error = refusal.unwrap_or(silent);
    Err(SetupError::of("reach a broker", &settings.bootstrap, last.as_deref(), &error))
}

pub(crate) fn reader(settings: &Settings) -> Result<BaseConsumer<Reporter>, SetupError> {
    let reporter = Reporter::default();
    client::make(&settings.reader(1024 * 1024), reporter)
        .map_err(|error| SetupError::of("make a client", &settings.bootstrap, None, &error))
}

/// The number of partitions alone, as running logs ask for it.
pub(crate) fn check_partitions(
    consumer: &BaseConsumer<Reporter>,
    settings: &Settings,
    name: &str,
    partitions: u32,
) -> Result<(), SetupError> {
    match shape(consumer, settings, name)? {
        None => Err(SetupError::missing(missing(settings, name))),
        Some(shape) if shape.partitions == partitions => Ok(()),
        Some(shape) => Err(SetupError::topics(other_number(name, shape.partitions, partitions))),
    }
}

struct Shape {
    partitions: u32,
    replicas_min: u32,
}

/// None when there is no such topic.
fn shape(
    consumer: &BaseConsumer<Reporter>,
    settings: &Settings,
    name: &str,
) -> Result<Option<Shape>, SetupError> {
    let failed = |error| {
        let last = consumer.context().last();
        SetupError::of("ask for the topics", &settings.bootstrap, last.as_deref(), &error)
    };
    let metadata = consumer.fetch_metadata(Some(name), settings.request_wait()).map_err(failed)?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
        return Ok(None);
    };
    match topic.error().map(Code::from) {
        None => {}
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
        Some(code) => return Err(failed(rdkafka::error::KafkaError::MetadataFetch(code))),
    }
    let replicas = topic.partitions().iter().map(|it| it.replicas().len() as u32);
    Ok(Some(Shape {
        partitions: topic.partitions().len() as u32,
        replicas_min: replicas.min().unwrap_or(0),
    }))
}

pub(super) fn missing(settings: &Settings, name: &str) -> String {
    format!("{name} does {}", not_there(settings))
}

fn other_number(name: &str, found: u32, wanted: u32) -> String {
    format!(
        "{name} has {found} partitions and must have {wanted}: the number says where each key \
         lives and is fixed when the topic is created; use a topic that has {wanted}, and move \
         the records there in their order"
    )
}

/// What is wrong with one topic; nothing when it is as described.
pub(super) fn differences(
    settings: &Settings,
    consumer: &BaseConsumer<Reporter>,
    name: &str,
    spec: &Spec,
) -> Result<Vec<String>, SetupError> {
    let Some(shape) = shape(consumer, settings, name)? else {
        return Ok(vec![missing(settings, name)]);
    };
    let mut problems = Vec::new();
    if shape.partitions != spec.partitions {
        problems.push(other_number(name, shape.partitions, spec.partitions));
    }
    if shape.replicas_min < spec.replicas {
        problems.push(format!(
            "{name} has a partition with {} replicas and must have {}: reassign it with \
             kafka-reassign-partitions.sh",
            shape.replicas_min, spec.replicas
        ));
    }
    let resource = describe(settings, name)?;
    let wrong = |setting: &&Setting| {
        let found = resource.get(setting.name).and_then(|entry| entry.value.as_deref());
        !found.is_some_and(|found| setting.rule.allows(&setting.value, found))
    };
    for setting in spec.settings.iter().filter(wrong) {
        let entry = resource.get(setting.name).and_then(|entry| entry.value.as_deref());
        let Setting { name: key, value, why, .. } = setting;
        problems.push(format!(
            "{name}: {key} is {} and must be {value}, for {why}; run: kafka-configs.sh \
             --bootstrap-server {} --alter --entity-type topics --entity-name {name} \
             --add-config {key}={value}",
            entry.unwrap_or("unknown"),
            settings.bootstrap
        ));
    }
    Ok(problems)
}

fn describe(settings: &Settings, name: &str) -> Result<ConfigResource, SetupError> {
    let failed = |error| {
        SetupError::of("ask for the settings of a topic", &settings.bootstrap, None, &error)
    };
    let admin: AdminClient<DefaultClientContext> =
        client::make(&settings.client(), DefaultClientContext).map_err(failed)?;
    let options = AdminOptions::new().request_timeout(Some(settings.request_wait()));
    let asked = [ResourceSpecifier::Topic(name)];
    let mut answers = block_on(admin.describe_configs(&asked, &options)).map_err(failed)?;
    match answers.pop() {
        Some(Ok(resource)) => Ok(resource),
        Some(Err(Code::UnknownTopicOrPartition)) => {
            Err(SetupError::missing(missing(settings, name)))
        }
        Some(Err(code)) => Err(failed(rdkafka::error::KafkaError::AdminOp(code))),
        None => Err(SetupError::unreachable(format!("nothing is told of topic {name}"))),
    }
}
