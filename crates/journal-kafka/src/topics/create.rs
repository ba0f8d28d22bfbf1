//! Creates the topics that are missing, and notes each with a new id.

use std::time::{Duration, Instant};

use exchequer_types::LogId;
use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::Spec;
use super::check::{check_partitions, differences, missing, reach, reader};
use super::known::{self, Note};
use super::spec::{descriptions, new_descriptions};
use crate::SetupError;
use crate::client::{self, Reporter};
use crate::settings::Settings;

/// What was done for one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    /// It was there, is as it must be, and is noted now.
    Adopted,
    /// Nothing was to be done.
    Known,
}

/// Until a new topic is known to whichever broker is asked.
const APPEAR_WAIT_MAX: Duration = Duration::from_secs(30);
const NEXT_QUESTION: Duration = Duration::from_millis(50);

/// Creates what is missing of `specs`; changes no topic that is there. A topic that is
/// noted and gone is an error, never made anew: its records are lost. Blocks.
pub fn create(settings: &Settings, specs: &[Spec]) -> Result<Vec<(String, Created)>, SetupError> {
    settings.check()?;
    let consumer = reach(settings)?;
    make(settings, &new_descriptions(specs))?;
    agree(settings, &consumer, &descriptions(specs))?;
    let notes = known::read(settings, &consumer)?;
    let mut done = Vec::new();
    for spec in specs {
        let name = settings.named(&spec.name);
        let is_noted = notes.contains_key(&name);
        let is_there = match check_partitions(&consumer, settings, &name, spec.partitions) {
            Ok(()) => true,
            Err(error) if error.is_about_a_missing_topic() => false,
            Err(error) => return Err(error),
        };
        if is_noted && !is_there {
            return Err(SetupError::topics(format!(
                "{name} was created before and is gone, with all its records; restore it, or \
                 start a new deployment under another prefix"
            )));
        }
        if !is_there {
            make(settings, spec)?;
        }
        agree(settings, &consumer, spec)?;
        if !is_noted {
            let note = Note { id: new_id()?, partitions: spec.partitions, moved: None };
            known::write(settings, &name, note)?;
        }
        let what = match (is_there, is_noted) {
            (false, _) => Created::New,
            (true, false) => Created::Adopted,
            (true, true) => Created::Known,
        };
        done.push((name, what));
    }
    Ok(done)
}

/// Is the topic as described? Whoever is asked may not have heard of it yet.
fn agree(
    settings: &Settings,
    consumer: &BaseConsumer<Reporter>,
    spec: &Spec,
) -> Result<(), SetupError> {
    let name = settings.named(&spec.name);
    let unknown = [missing(settings, &name)];
    once_known(|| {
        let problems = differences(settings, consumer, &name, spec)?;
        match problems.as_slice() {
            [] => Ok(()),
            it if it == unknown => Err(SetupError::missing(problems.join("\n  "))),
            _ => Err(SetupError::topics(problems.join("\n  "))),
        }
    })
}

/// Asks until whichever broker answers knows the topic, or for as long as that may take.
fn once_known(ask: impl Fn() -> Result<(), SetupError>) -> Result<(), SetupError> {
    let begun = Instant::now();
    loop {
        match ask() {
            Err(error) if error.is_about_a_missing_topic() && begun.elapsed() < APPEAR_WAIT_MAX => {
                std::thread::sleep(NEXT_QUESTION);
            }
            other => return other,
        }
    }
}

/// Creates one topic and waits until it is known. One that exists is left as it is.
fn make(settings: &Settings, spec: &Spec) -> Result<(), SetupError> {
    let failed = |error| SetupError::of("create a topic", &settings.bootstrap, None, &error);
    let admin: AdminClient<DefaultClientContext> =
        client::make(&settings.client(), DefaultClientContext).map_err(failed)?;
    let name = settings.named(&spec.name);
    let replication = TopicReplication::Fixed(spec.replicas as i32);
    let mut topic = NewTopic::new(&name, spec.partitions as i32, replication);
    for setting in &spec.settings {
        topic = topic.set(setting.name, &setting.value);
    }
    let wait = settings.request_wait();
    let options = AdminOptions::new().request_timeout(Some(wait)).operation_timeout(Some(wait));
    let mut answers = block_on(admin.create_topics([&topic], &options)).map_err(failed)?;
    match answers.pop() {
        Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) | None => {}
        Some(Err((_, Code::InvalidReplicationFactor))) => {
            return Err(SetupError::topics(format!(
                "{name} needs {} replicas, and there are not as many brokers; start more, or \
                 set fewer replicas for a deployment that may lose data",
                spec.replicas
            )));
        }
        Some(Err((_, code))) => return Err(failed(KafkaError::AdminOp(code))),
    }
    let consumer = reader(settings)?;
    once_known(|| check_partitions(&consumer, settings, &name, spec.partitions))
}

fn new_id() -> Result<LogId, SetupError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|error| SetupError::settings(format!("no randomness from the system: {error}")))?;
    Ok(LogId(id))
}
