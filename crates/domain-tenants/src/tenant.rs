//! A tenant and how events change it.

use std::collections::BTreeMap;

use exchequer_types::{Json, ProviderProfile, TenantId, TenantStatus, Timestamp};

use crate::rejection::Rejection;
use crate::settings::BACKGROUND_PRIORITY;
use crate::{Event, State};

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    /// None for the root.
    pub parent: Option<TenantId>,
    pub name: String,
    pub status: TenantStatus,
    /// 0 for the root.
    pub depth: u32,
    pub provider: bool,
    /// Its own settings.
    pub settings: BTreeMap<String, String>,
    /// Counts the tenant's own events.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub closing: Option<Closing>,
    /// The own time that a sandbox lives in. None: the tenant lives in real time.
    pub clock: Option<Timestamp>,
    /// Given when it was suspended or closed.
    pub reason: String,
}

/// A scheduled closing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub timer: String,
    pub at: Timestamp,
}

impl Tenant {
    /// What partitions are to know of it as a provider, at `version`.
    pub(crate) fn profile(&self, version: u64) -> ProviderProfile {
        ProviderProfile {
            id: self.id.clone(),
            version,
            parent: self.parent.clone(),
            depth: self.depth,
            status: self.status,
            settings: self.settings.clone(),
        }
    }

    /// Turns that background work for the tenant gets in each round: 1, 2 or 4, by
    /// the setting `background.priority`.
    pub fn background_share(&self) -> u32 {
        match self.settings.get(BACKGROUND_PRIORITY).map(String::as_str) {
            Some("low") => 1,
            Some("high") => 4,
            _ => 2,
        }
    }

    /// As audit entries show it before and after a change.
    pub fn to_json(&self) -> Json {
        let optional = |text: Option<String>| text.map_or(Json::Null, Json::Text);
        let settings =
            self.settings.iter().map(|(key, value)| (key.clone(), Json::text(value))).collect();
        Json::object([
            ("clock", optional(self.clock.map(|it| it.to_string()))),
            ("closes_at", optional(self.closing.as_ref().map(|it| it.at.to_string()))),
            ("id", Json::text(self.id.as_str())),
            ("name", Json::text(&self.name)),
            ("parent", optional(self.parent.as_ref().map(ToString::to_string))),
            ("provider", Json::Bool(self.provider)),
            ("reason", Json::text(&self.reason)),
            ("settings", Json::Map(settings)),
            ("status", Json::text(status_word(self.status))),
            ("version", Json::Int(i64::try_from(self.version).unwrap_or(i64::MAX))),
        ])
    }
}

fn status_word(status: TenantStatus) -> &'static str {
    match status {
        TenantStatus::Active => "active",
        TenantStatus::Suspended => "suspended",
        TenantStatus::Closed => "closed",
    }
}

/// The tenant, if it exists and is not closed.
pub fn open(state: &State) -> Result<&Tenant, Rejection> {
    let tenant = state.tenant.as_ref().ok_or(Rejection::NotFound)?;
    if tenant.status == TenantStatus::Closed { Err(Rejection::Closed) } else { Ok(tenant) }
}

/// The events of a change, and the profile that partitions are to adopt when a
/// provider's public side changed with it.
pub(crate) fn with_profile(tenant: &Tenant, mut events: Vec<Event>, at: Timestamp) -> Vec<Event> {
    let mut after = Some(tenant.clone());
    for event in &events {
        evolve(&mut after, event, at);
    }
    if let Some(after) = after
        && after.provider
        && (!tenant.provider || after.status != tenant.status || after.settings != tenant.settings)
    {
        events.push(Event::ProviderProfiled(after.profile(after.version)));
    }
    events
}

pub(crate) fn evolve(state: &mut Option<Tenant>, event: &Event, at: Timestamp) {
    if let Event::Created { id, parent, depth, name, settings, provider, test_clock, .. } = event {
        *state = Some(Tenant {
            id: id.clone(),
            parent: parent.clone(),
            name: name.clone(),
            status: TenantStatus::Active,
            depth: *depth,
            provider: *provider,
            settings: settings.clone(),
            version: 1,
            created_at: at,
            updated_at: at,
            closing: None,
            clock: *test_clock,
            reason: String::new(),
        });
        return;
    }
    let Some(tenant) = state else { return };
    tenant.version += 1;
    tenant.updated_at = at;
    match event {
        Event::Renamed { name } => tenant.name.clone_from(name),
        Event::SettingsChanged { set, unset } => {
            for key in unset {
                tenant.settings.remove(key);
            }
            tenant.settings.extend(set.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        Event::Promoted => tenant.provider = true,
        Event::Suspended { reason } => {
            tenant.status = TenantStatus::Suspended;
            tenant.reason.clone_from(reason);
        }
        Event::Reinstated => {
            tenant.status = TenantStatus::Active;
            tenant.reason.clear();
        }
        Event::Closed { reason, .. } => {
            tenant.status = TenantStatus::Closed;
            tenant.reason.clone_from(reason);
            tenant.closing = None;
        }
        Event::ClosingScheduled { timer, at } => {
            tenant.closing = Some(Closing { timer: timer.clone(), at: *at });
        }
        Event::ClosingCancelled { .. } => tenant.closing = None,
        Event::ClockAdvanced { to } => tenant.clock = Some(*to),
        Event::Created { .. } | Event::ProviderProfiled(_) | Event::ProviderAdopted(_) => {}
    }
}
