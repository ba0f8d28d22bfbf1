//! Events into rows. The rows of a project, an environment and a flag are what the
//! domain's own `evolve` makes of the old ones; each carries its position, so that each
//! may be ahead of the others.

use exchequer_codec::{DecodeError, Entry, decode_event};
use exchequer_domain_flags::{Environment, Event, Flag, Flags, Project, State, Table as Entries};
use exchequer_kernel::Decider as _;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Fault, Key, RowSet, Table, Value};
use exchequer_tenant::Event as Any;
use exchequer_types::Timestamp;

use crate::rows::{
    FLAG_ENVIRONMENTS, FLAG_PROJECTS, FLAGS, environment_from, environment_values, flag_from,
    flag_values, part_key, project_from, project_key, project_values,
};

/// Why an event cannot be folded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfoldable {
    #[error(transparent)]
    Event(#[from] DecodeError),
    #[error(transparent)]
    Row(#[from] Fault),
    #[error("its {0} was never created: the view is damaged, rebuild it")]
    Missing(&'static str),
}

/// Needed: the rows that events change.
pub(crate) fn reads(entry: &Entry) -> Vec<(&'static Table, Key)> {
    let wanted = entry.commit.events.iter().filter(|event| is_wanted(&event.r#type));
    // What cannot be decoded is told by the fold.
    let decoded = wanted.filter_map(|event| Some((event.stream.as_str(), decode(event).ok()?)));
    let keys = decoded.flat_map(|(tenant, event)| {
        let touched = Touched::by(&event, tenant);
        let project = touched.project.map(|key| (&FLAG_PROJECTS, key));
        let environment = touched.environment.map(|key| (&FLAG_ENVIRONMENTS, key));
        let flag = touched.flag.map(|key| (&FLAGS, key));
        project.into_iter().chain(environment).chain(flag)
    });
    keys.collect()
}

pub(crate) fn fold(entry: &Entry, rows: &mut RowSet) {
    for (index, event) in entry.commit.events.iter().enumerate() {
        if !is_wanted(&event.r#type) {
            continue;
        }
        if let Err(error) = fold_event(entry, index, event, rows) {
            let (partition, offset, kind) = (entry.partition, entry.offset, &event.r#type);
            rows.fail(format!(
                "partition {partition}, offset {offset}, event {index} ({kind}): {error}"
            ));
            return;
        }
    }
}

pub(crate) fn is_wanted(kind: &str) -> bool {
    kind.starts_with("flags.")
}

/// An event of the domain.
pub(crate) fn decode(event: &pb::Event) -> Result<Event, DecodeError> {
    match decode_event(&event.stream, &event.r#type, &event.payload)? {
        Any::Flags(event) => Ok(event),
        _ => Err(DecodeError::UnknownType(event.r#type.clone())),
    }
}

/// Keys of the rows that an event changes.
struct Touched {
    project: Option<Key>,
    environment: Option<Key>,
    flag: Option<Key>,
}

impl Touched {
    fn by(event: &Event, tenant: &str) -> Self {
        let project = event.project();
        let environment = event.environment();
        // A new environment is an event of its project too.
        let is_of_project =
            environment.is_none() || matches!(event, Event::EnvironmentCreated { .. });
        Self {
            project: is_of_project.then(|| project_key(tenant, project)),
            environment: environment.map(|it| part_key(tenant, project, it)),
            flag: event.flag().map(|it| part_key(tenant, project, it)),
        }
    }
}

fn fold_event(
    entry: &Entry,
    index: usize,
    event: &pb::Event,
    rows: &mut RowSet,
) -> Result<(), Unfoldable> {
    let decoded = decode(event)?;
    let timestamp = entry.timestamp(index);
    let touched = Touched::by(&decoded, &event.stream);
    let mut state = State::default();
    state.projects.put(before(&decoded, &touched, rows)?);
    Flags::evolve(&mut state, &decoded, Timestamp::saturating_from_micros(event.at));
    let after = state.projects.get(decoded.project()).ok_or(Unfoldable::Missing("project"))?;
    let mut put = |table: &'static Table, key: Key, values: Vec<Value>| {
        let at = rows.get(table, &key).map_or(0, |(_, at)| at);
        if at < timestamp || mutation::active(Mutation::DerivedPosition) {
            rows.put(table, key, values, timestamp);
        }
    };
    if let Some(key) = touched.project {
        put(&FLAG_PROJECTS, key, project_values(after));
    }
    if let (Some(key), Some(environment)) = (touched.environment, decoded.environment()) {
        let environment = after.environments.get(environment);
        let environment = environment.ok_or(Unfoldable::Missing("environment"))?;
        put(&FLAG_ENVIRONMENTS, key, environment_values(environment));
    }
    if let (Some(key), Some(flag)) = (touched.flag, decoded.flag()) {
        let flag = after.flags.get(flag).ok_or(Unfoldable::Missing("flag"))?;
        put(&FLAGS, key, flag_values(flag));
    }
    Ok(())
}

/// The project with those of its parts that the event changes, each as its row has it.
fn before(event: &Event, touched: &Touched, rows: &RowSet) -> Result<Project, Unfoldable> {
    let row = |table: &'static Table, key: &Option<Key>| {
        key.as_ref().and_then(|key| rows.get(table, key)).map(|(values, _)| values)
    };
    let name = event.project().clone();
    let is_new = matches!(event, Event::ProjectCreated { .. });
    let mut project = match row(&FLAG_PROJECTS, &touched.project) {
        Some(values) => project_from(name, values)?,
        None if touched.project.is_some() && !is_new => return Err(Unfoldable::Missing("project")),
        // Its own row stays as it is.
        None => nameless(event),
    };
    if let Some(environment) = event.environment()
        && let Some(values) = row(&FLAG_ENVIRONMENTS, &touched.environment)
    {
        let environment: Environment = environment_from(environment.clone(), values)?;
        project.environments.put(environment);
    }
    if let Some(flag) = event.flag()
        && let Some(values) = row(&FLAGS, &touched.flag)
    {
        let flag: Flag = flag_from(flag, values)?;
        project.flags.put(flag);
    }
    Ok(project)
}

/// For parts whose project is not looked at.
fn nameless(event: &Event) -> Project {
    Project {
        key: event.project().clone(),
        name: String::new(),
        version: 0,
        changes: 0,
        created_at: Timestamp::MIN,
        environments: Entries::default(),
        flags: Entries::default(),
    }
}
