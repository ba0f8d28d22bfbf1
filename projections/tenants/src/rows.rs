//! Tables, keys and rows of the view.

use std::collections::BTreeMap;

use exchequer_domain_tenants::{Closing, Tenant};
use exchequer_readstore::{Column, Fault, Key, Kind, Table, Value};
use exchequer_types::{Json, PartitionId, TenantId, TenantStatus, Timestamp};

/// By tenant.
pub static TENANTS: Table =
    Table { name: "tenants", partition_key: &[text("tenant")], clustering: &[], columns: COLUMNS };

/// By parent, then by tenant. The root is not here.
pub static TENANTS_BY_PARENT: Table = Table {
    name: "tenants_by_parent",
    partition_key: &[text("parent")],
    clustering: &[text("tenant")],
    columns: COLUMNS,
};

/// By parent, then by the partition whose events are counted.
pub static TENANT_CHILDREN: Table = Table {
    name: "tenant_children",
    partition_key: &[text("parent")],
    clustering: &[int("source_partition")],
    columns: &[int("active"), int("suspended"), int("closed")],
};

/// Instead of a clock.
const REAL_TIME: i64 = -1;

/// In the order of [`TenantRow::to_values`].
const COLUMNS: &[Column] = &[
    // Empty for the root.
    text("parent_tenant"),
    text("name"),
    // active, suspended or closed.
    text("status"),
    int("depth"),
    // 0 or 1.
    int("provider"),
    // A JSON object of texts.
    text("settings"),
    int("version"),
    // Microseconds since the Unix epoch, as all instants.
    int("created_at"),
    int("updated_at"),
    // Empty, and 0, when no closing is scheduled.
    text("closing_timer"),
    int("closing_at"),
    text("reason"),
    // Status before it was closed; empty while it is not.
    text("closed_from"),
    // The own time of a sandbox; below 0 when the tenant lives in real time.
    int("clock"),
];

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// Children of a provider, by status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ChildCounts {
    pub active: u64,
    pub suspended: u64,
    pub closed: u64,
}

impl ChildCounts {
    pub(crate) fn to_values(self) -> Vec<Value> {
        [self.active, self.suspended, self.closed].map(Value::uint).to_vec()
    }

    pub(crate) fn from_values(values: &[Value]) -> Self {
        let at = |index: usize| values.get(index).map_or(0, Value::as_uint);
        Self { active: at(0), suspended: at(1), closed: at(2) }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.active += other.active;
        self.suspended += other.suspended;
        self.closed += other.closed;
    }

    pub(crate) fn of(&mut self, status: TenantStatus) -> &mut u64 {
        match status {
            TenantStatus::Active => &mut self.active,
            TenantStatus::Suspended => &mut self.suspended,
            TenantStatus::Closed => &mut self.closed,
        }
    }
}

/// Row of `tenants` and of `tenants_by_parent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TenantRow {
    pub(crate) tenant: Tenant,
    /// Its status before it was closed.
    pub(crate) closed_from: Option<TenantStatus>,
}

impl TenantRow {
    pub(crate) fn to_values(&self) -> Vec<Value> {
        let Tenant {
            id: _,
            parent,
            name,
            status,
            depth,
            provider,
            settings,
            version,
            created_at,
            updated_at,
            closing,
            clock,
            reason,
        } = &self.tenant;
        vec![
            Value::text(parent.as_ref().map_or("", TenantId::as_str)),
            Value::text(name),
            Value::text(status_word(*status)),
            Value::Int(i64::from(*depth)),
            Value::Int(i64::from(*provider)),
            Value::Text(settings_to_text(settings)),
            Value::uint(*version),
            Value::Int(created_at.micros()),
            Value::Int(updated_at.micros()),
            Value::text(closing.as_ref().map_or("", |closing| &closing.timer)),
            Value::Int(closing.as_ref().map_or(0, |closing| closing.at.micros())),
            Value::text(reason),
            Value::text(self.closed_from.map_or("", status_word)),
            Value::Int(clock.map_or(REAL_TIME, Timestamp::micros)),
        ]
    }

    /// The row of tenant `id`. A fault when it cannot be what was written.
    pub(crate) fn from_values(id: &str, values: &[Value]) -> Result<Self, Fault> {
        let damaged = |column: &str| {
            Fault::lasting(format!(
                "tenant {id:?}: its row's {column} is damaged: rebuild the view"
            ))
        };
        let [
            parent,
            name,
            status,
            depth,
            provider,
            settings,
            version,
            created_at,
            updated_at,
            closing_timer,
            closing_at,
            reason,
            closed_from,
            clock,
        ] = values
        else {
            return Err(damaged("number of columns"));
        };
        let tenant_id = |text: &str, column| TenantId::parse(text).map_err(|_| damaged(column));
        let instant = |value: &Value| instant_of(value.as_int());
        let optional = |value: &Value| Some(value.as_text().to_owned()).filter(|it| !it.is_empty());
        let closing =
            optional(closing_timer).map(|timer| Closing { timer, at: instant(closing_at) });
        let closed_from = optional(closed_from)
            .map(|word| status_of(&word).ok_or_else(|| damaged("closed_from")));
        Ok(Self {
            tenant: Tenant {
                id: tenant_id(id, "tenant")?,
                parent: optional(parent).map(|id| tenant_id(&id, "parent_tenant")).transpose()?,
                name: name.as_text().to_owned(),
                status: status_of(status.as_text()).ok_or_else(|| damaged("status"))?,
                depth: u32::try_from(depth.as_int()).map_err(|_| damaged("depth"))?,
                provider: provider.as_int() != 0,
                settings: serde_json::from_str(settings.as_text())
                    .map_err(|_| damaged("settings"))?,
                version: version.as_uint(),
                created_at: instant(created_at),
                updated_at: instant(updated_at),
                closing,
                clock: Some(clock.as_int()).filter(|clock| *clock >= 0).map(instant_of),
                reason: reason.as_text().to_owned(),
            },
            closed_from: closed_from.transpose()?,
        })
    }

    /// The parent that the values of a row name; None for the root.
    pub(crate) fn parent_of(values: &[Value]) -> Option<&str> {
        values.first().map(Value::as_text).filter(|parent| !parent.is_empty())
    }
}

/// Key of `tenants`.
pub(crate) fn tenant_key(id: &str) -> Key {
    Key { partition: vec![Value::text(id)], clustering: Vec::new() }
}

/// Key of `tenants_by_parent`.
pub(crate) fn child_key(parent: &str, id: &str) -> Key {
    Key { partition: vec![Value::text(parent)], clustering: vec![Value::text(id)] }
}

/// Key of `tenant_children`.
pub(crate) fn children_key(parent: &str, source: PartitionId) -> Key {
    let source = Value::Int(i64::from(source.0));
    Key { partition: vec![Value::text(parent)], clustering: vec![source] }
}

fn instant_of(micros: i64) -> Timestamp {
    Timestamp::saturating_from_micros(micros)
}

fn settings_to_text(settings: &BTreeMap<String, String>) -> String {
    let members = settings.iter().map(|(key, value)| (key.clone(), Json::text(value)));
    Json::Map(members.collect()).canonical()
}

fn status_word(status: TenantStatus) -> &'static str {
    match status {
        TenantStatus::Active => "active",
        TenantStatus::Suspended => "suspended",
        TenantStatus::Closed => "closed",
    }
}

fn status_of(word: &str) -> Option<TenantStatus> {
    match word {
        "active" => Some(TenantStatus::Active),
        "suspended" => Some(TenantStatus::Suspended),
        "closed" => Some(TenantStatus::Closed),
        _ => None,
    }
}
