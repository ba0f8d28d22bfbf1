//! A tenant's entitlements, and how events change them.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_kernel::mutation::{self, Mutation};
use exchequer_types::{HeldPlan, Json, PlanContent, Slug, Timestamp};

use crate::{Amount, Event};

/// Live grants of one tenant.
pub const GRANTS_MAX: usize = 256;
/// Ended grants that are kept for reading; the oldest give way.
pub const ENDED_GRANTS_MAX: usize = 64;
/// Features of one tenant with a reported use.
pub const FEATURES_IN_USE_MAX: usize = 256;

/// The entitlements of one tenant. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// Counts the domain's own events.
    pub version: u64,
    /// Instant of the last event.
    pub updated_at: Timestamp,
    pub plan: Option<Arc<GivenPlan>>,
    /// By id, live and ended.
    pub grants: Arc<BTreeMap<String, Arc<Grant>>>,
    /// By feature; never 0.
    pub used: Arc<BTreeMap<Slug, u64>>,
}

/// The plan that the tenant has, and what it includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenPlan {
    pub held: HeldPlan,
    pub content: PlanContent,
}

/// A feature given to one tenant beside its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub id: String,
    pub feature: Slug,
    pub amount: Amount,
    pub kind: GrantKind,
    /// Why it was given, in the words of who gave it.
    pub reason: String,
    pub expiry: Option<Expiry>,
    pub granted_at: Timestamp,
    /// None while it is live, or its expiry timer has not been decided yet.
    pub ended: Option<Ended>,
}

/// When a grant ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The first instant at which the grant does not count any more.
    pub at: Timestamp,
    pub timer: String,
}

/// What a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantKind {
    Trial,
    Promotional,
    Manual,
    Beta,
    AddOn,
}

/// How a grant ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub at: Timestamp,
    pub by: EndedBy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndedBy {
    Expiry,
    Revocation {
        reason: String,
    },
    /// The tenant was closed.
    Closing,
}

impl Grant {
    /// Does it count at `at`?
    pub fn is_live(&self, at: Timestamp) -> bool {
        let is_before = |expiry: &Expiry| at < expiry.at || mutation::active(Mutation::GrantExpiry);
        self.ended.is_none() && self.expiry.as_ref().is_none_or(is_before)
    }

    /// As audit entries show it before and after a change.
    pub fn to_json(&self) -> Json {
        let optional = |text: Option<String>| text.map_or(Json::Null, Json::Text);
        let ended = self.ended.as_ref();
        Json::object([
            ("amount", Json::text(self.amount.to_string())),
            ("ended_at", optional(ended.map(|ended| ended.at.to_string()))),
            ("ended_reason", optional(ended.and_then(|it| it.by.reason()).map(str::to_owned))),
            ("ended_by", optional(ended.map(|ended| ended.by.word().to_owned()))),
            ("expires_at", optional(self.expiry.as_ref().map(|expiry| expiry.at.to_string()))),
            ("feature", Json::text(self.feature.as_str())),
            ("id", Json::text(&self.id)),
            ("kind", Json::text(self.kind.word())),
            ("reason", Json::text(&self.reason)),
        ])
    }
}

impl GrantKind {
    pub const ALL: [Self; 5] =
        [Self::Trial, Self::Promotional, Self::Manual, Self::Beta, Self::AddOn];

    /// As audit entries and views write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Promotional => "promotional",
            Self::Manual => "manual",
            Self::Beta => "beta",
            Self::AddOn => "add-on",
        }
    }
}

impl EndedBy {
    /// As given with a revocation.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Revocation { reason } => Some(reason),
            Self::Expiry | Self::Closing => None,
        }
    }

    /// As audit entries and views write it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Expiry => "expiry",
            Self::Revocation { .. } => "revocation",
            Self::Closing => "closing",
        }
    }
}

impl State {
    /// The grant that a command may still end.
    pub(crate) fn open_grant(&self, id: &str) -> Option<&Grant> {
        self.grants.get(id).map(Arc::as_ref).filter(|grant| grant.ended.is_none())
    }

    /// Grants that have not ended, by id.
    pub(crate) fn open_grants(&self) -> impl Iterator<Item = &Grant> + '_ {
        self.grants.values().map(Arc::as_ref).filter(|grant| grant.ended.is_none())
    }

    /// Grants of `feature` that count at `at`, by id.
    pub(crate) fn live_grants<'a>(
        &'a self,
        feature: &'a Slug,
        at: Timestamp,
    ) -> impl Iterator<Item = &'a Grant> + 'a {
        self.grants
            .values()
            .map(Arc::as_ref)
            .filter(move |grant| grant.feature == *feature && grant.is_live(at))
    }
}

pub(crate) fn evolve(state: &mut State, event: &Event, at: Timestamp) {
    state.version += 1;
    state.updated_at = at;
    match event {
        Event::PlanGiven { held, content } => {
            let given = GivenPlan { held: held.clone(), content: content.clone() };
            state.plan = Some(Arc::new(given));
        }
        Event::PlanWithdrawn => state.plan = None,
        Event::Granted { id, feature, amount, kind, reason, expiry } => {
            let grant = Grant {
                id: id.clone(),
                feature: feature.clone(),
                amount: *amount,
                kind: *kind,
                reason: reason.clone(),
                expiry: expiry.clone(),
                granted_at: at,
                ended: None,
            };
            Arc::make_mut(&mut state.grants).insert(id.clone(), Arc::new(grant));
        }
        Event::GrantRevoked { id, reason, .. } => {
            end(state, id, at, EndedBy::Revocation { reason: reason.clone() });
        }
        Event::GrantExpired { id, .. } => end(state, id, at, EndedBy::Expiry),
        Event::UseReported { feature, used: 0 } => {
            Arc::make_mut(&mut state.used).remove(feature);
        }
        Event::UseReported { feature, used } => {
            Arc::make_mut(&mut state.used).insert(feature.clone(), *used);
        }
        Event::Closed { .. } => {
            state.plan = None;
            let open: Vec<String> = state.open_grants().map(|grant| grant.id.clone()).collect();
            for id in open {
                end(state, &id, at, EndedBy::Closing);
            }
        }
    }
}

/// Ends a grant. Of those that ended before, the oldest gives way when there are too many.
fn end(state: &mut State, id: &str, at: Timestamp, by: EndedBy) {
    let grants = Arc::make_mut(&mut state.grants);
    let ended = || grants.values().filter_map(|grant| Some((grant.ended.as_ref()?.at, &grant.id)));
    if ended().count() >= ENDED_GRANTS_MAX
        && let Some(oldest) = ended().min().map(|(_, id)| id.clone())
    {
        grants.remove(&oldest);
    }
    if let Some(grant) = grants.get_mut(id) {
        Arc::make_mut(grant).ended = Some(Ended { at, by });
    }
}
