//! Tables, keys and rows of the view. A flag has its columns for people, and is read
//! back from one of them, which holds it whole.

use exchequer_codec::{flag_state_from_proto, flag_state_to_proto};
use exchequer_domain_flags::{Dialect, Environment, Flag, Project, Table as Entries};
use exchequer_flag_eval::Kind as FlagKind;
use exchequer_proto::flags::v1 as pb;
use exchequer_readstore::{Column, Fault, Key, Kind, Table, Value};
use exchequer_types::{Slug, Timestamp};
use prost::Message as _;

/// By tenant, then by project.
pub static FLAG_PROJECTS: Table = Table {
    name: "flag_projects",
    partition_key: &[text("tenant")],
    clustering: &[text("project")],
    columns: &[
        text("name"),
        int("version"),
        // Of flags, that concern every environment.
        int("changes"),
        // In microseconds since the Unix epoch, as all instants.
        int("created_at"),
    ],
};

/// By tenant and project, then by environment.
pub static FLAG_ENVIRONMENTS: Table = Table {
    name: "flag_environments",
    partition_key: &[text("tenant"), text("project")],
    clustering: &[text("environment")],
    columns: &[
        text("name"),
        // fractional-v2.
        text("dialect"),
        text("salt"),
        // That concern this environment alone.
        int("changes"),
        int("created_at"),
        // 1: what is served to customers.
        int("production"),
    ],
};

/// By tenant and project, then by flag.
pub static FLAGS: Table = Table {
    name: "flags",
    partition_key: &[text("tenant"), text("project")],
    clustering: &[text("flag")],
    columns: &[
        text("name"),
        // boolean or string.
        text("kind"),
        // 0 or 1.
        int("archived"),
        int("version"),
        int("created_at"),
        int("updated_at"),
        // A JSON object: the flag as audit entries show it.
        text("shown"),
        // A message exchequer.flags.v1.FlagState: the flag whole.
        bytes("flag_state"),
    ],
};

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes }
}

/// Key of `flag_projects`.
pub(crate) fn project_key(tenant: &str, project: &Slug) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: vec![Value::text(project.as_str())] }
}

/// Key of a part of a project: of `flag_environments` or `flags`.
pub(crate) fn part_key(tenant: &str, project: &Slug, part: &Slug) -> Key {
    Key { partition: parts_of(tenant, project), clustering: vec![Value::text(part.as_str())] }
}

/// Partition key of the parts of a project.
pub(crate) fn parts_of(tenant: &str, project: &Slug) -> Vec<Value> {
    vec![Value::text(tenant), Value::text(project.as_str())]
}

pub(crate) fn project_values(it: &Project) -> Vec<Value> {
    vec![
        Value::text(&it.name),
        Value::uint(it.version),
        Value::uint(it.changes),
        Value::Int(it.created_at.micros()),
    ]
}

/// The project without its parts.
pub(crate) fn project_from(key: Slug, values: &[Value]) -> Result<Project, Fault> {
    let [name, version, changes, created_at] = values else {
        return Err(damaged("project", &key, "number of columns"));
    };
    Ok(Project {
        name: name.as_text().to_owned(),
        version: version.as_uint(),
        changes: changes.as_uint(),
        created_at: instant(created_at),
        environments: Entries::default(),
        flags: Entries::default(),
        key,
    })
}

pub(crate) fn environment_values(it: &Environment) -> Vec<Value> {
    vec![
        Value::text(&it.name),
        Value::text(dialect_word(it.dialect)),
        Value::text(&it.salt),
        Value::uint(it.changes),
        Value::Int(it.created_at.micros()),
        Value::Int(i64::from(it.production)),
    ]
}

pub(crate) fn environment_from(key: Slug, values: &[Value]) -> Result<Environment, Fault> {
    let [name, dialect, salt, changes, created_at, production] = values else {
        return Err(damaged("environment", &key, "number of columns"));
    };
    let dialect =
        [Dialect::FractionalV2].into_iter().find(|it| dialect_word(*it) == dialect.as_text());
    Ok(Environment {
        name: name.as_text().to_owned(),
        dialect: dialect.ok_or_else(|| damaged("environment", &key, "dialect"))?,
        salt: salt.as_text().to_owned(),
        production: production.as_int() != 0,
        changes: changes.as_uint(),
        created_at: instant(created_at),
        key,
    })
}

pub(crate) fn flag_values(it: &Flag) -> Vec<Value> {
    let kind = match it.definition.kind {
        FlagKind::Boolean => "boolean",
        FlagKind::Text => "string",
    };
    vec![
        Value::text(&it.definition.name),
        Value::text(kind),
        Value::Int(i64::from(it.archived)),
        Value::uint(it.version),
        Value::Int(it.created_at.micros()),
        Value::Int(it.updated_at.micros()),
        Value::Text(it.to_json(None).canonical()),
        Value::Bytes(flag_state_to_proto(it).encode_to_vec().into()),
    ]
}

pub(crate) fn flag_from(key: &Slug, values: &[Value]) -> Result<Flag, Fault> {
    let Some(state) = values.last() else {
        return Err(damaged("flag", key, "number of columns"));
    };
    let state = pb::FlagState::decode(state.as_bytes()).ok();
    let flag = state.and_then(|it| flag_state_from_proto(it).ok());
    flag.filter(|it| it.key == *key).ok_or_else(|| damaged("flag", key, "flag_state"))
}

/// Is the flag of this row archived? Told without reading it whole.
pub(crate) fn is_archived(values: &[Value]) -> bool {
    values.get(2).is_some_and(|it| it.as_int() != 0)
}

/// The last part of a row's key.
pub(crate) fn key_of(key: &Key) -> Result<Slug, Fault> {
    let text = key.clustering.first().map_or("", Value::as_text);
    Slug::parse(text)
        .map_err(|_| Fault::lasting(format!("flags: {text:?} is no key: rebuild the view")))
}

fn dialect_word(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::FractionalV2 => "fractional-v2",
    }
}

fn instant(value: &Value) -> Timestamp {
    Timestamp::saturating_from_micros(value.as_int())
}

fn damaged(what: &str, key: &Slug, column: &str) -> Fault {
    Fault::lasting(format!(
        "{what} {:?}: the row's {column} is damaged: rebuild the view",
        key.as_str()
    ))
}
