//! A tenant's members, teams, roles, grants and credentials.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use exchequer_access::{AddressRange, BuiltIn, Permission, Principal, RoleDef, Scope};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_types::{ActorId, Hash, KeyId, Protected, Slug, Timestamp};

/// Of a tenant.
pub const MEMBERS_MAX: usize = 5_000;
/// Of a tenant.
pub const TEAMS_MAX: usize = 500;
/// Of a team, without those of the teams in it.
pub const TEAM_MEMBERS_MAX: usize = 1_000;
/// In one team.
pub const TEAM_TEAMS_MAX: usize = 50;
/// A tenant's own.
pub const ROLES_MAX: usize = 100;
/// Of a tenant, to whomever.
pub const GRANTS_MAX: usize = 10_000;
/// To one member, team or credential.
pub const PRINCIPAL_GRANTS_MAX: usize = 64;
/// Of a tenant, those that have not ended.
pub const CREDENTIALS_MAX: usize = 1_000;
/// Of one member, those that have not ended.
pub const PERSONAL_TOKENS_MAX: usize = 50;
/// Ended credentials that are kept, so that whoever presents one is told; the oldest give way.
pub const ENDED_CREDENTIALS_MAX: usize = 500;
/// In the list of a tenant, and of a credential.
pub const ADDRESSES_MAX: usize = 64;
/// Keys of erased persons of a tenant.
pub const ERASED_KEYS_MAX: usize = 200_000;
/// Removed members that are remembered; the oldest give way.
pub const FORMER_MEMBERS_MAX: usize = 256;

/// The access control of one tenant. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// Counts the domain's own events.
    pub version: u64,
    /// Instant of the last event.
    pub updated_at: Timestamp,
    /// The root tenant has had its first owner.
    pub bootstrapped: bool,
    pub members: Arc<BTreeMap<ActorId, Arc<Member>>>,
    /// When each was removed. What they sent just before is decided after it.
    pub former: Arc<BTreeMap<ActorId, Timestamp>>,
    pub teams: Arc<BTreeMap<Slug, Arc<Team>>>,
    /// The tenant's own.
    pub roles: Arc<BTreeMap<Slug, Arc<Role>>>,
    /// By id; those that have ended are not here.
    pub grants: Arc<BTreeMap<String, Arc<Grant>>>,
    /// By id, live and ended.
    pub credentials: Arc<BTreeMap<String, Arc<Credential>>>,
    /// From where the tenant may be called. Empty: from everywhere.
    pub addresses: Arc<Vec<AddressRange>>,
    /// What is encrypted under these can never be read again, and is refused.
    pub erased: Arc<BTreeSet<KeyId>>,
}

/// Somebody who belongs to the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: ActorId,
    pub name: Option<Protected>,
    pub email: Option<Protected>,
    pub added_at: Timestamp,
}

/// Members that share grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    pub key: Slug,
    pub name: String,
    pub members: BTreeSet<ActorId>,
    /// Their members belong to this one too.
    pub teams: BTreeSet<Slug>,
}

/// A role of the tenant's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub key: Slug,
    pub name: String,
    pub permissions: BTreeSet<Permission>,
}

/// A role given to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub id: String,
    pub principal: Principal,
    /// A built-in role or one of the tenant's own.
    pub role: Slug,
    pub scope: Scope,
    pub expiry: Option<Expiry>,
    pub granted_at: Timestamp,
}

/// When something ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The first instant at which it does not hold any more.
    pub at: Timestamp,
    pub timer: String,
}

/// What is presented to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub id: String,
    pub kind: CredentialKind,
    pub name: String,
    pub secret: Secret,
    /// The secret before it, while both are accepted.
    pub previous: Option<Previous>,
    pub expiry: Option<Expiry>,
    /// From where it is accepted. Empty: from wherever the tenant may be called.
    pub addresses: Vec<AddressRange>,
    /// None: what the tenant's plan or settings say.
    pub requests_per_minute: Option<u32>,
    pub created_at: Timestamp,
    /// None: it has its first secret.
    pub rotated_at: Option<Timestamp>,
    /// None while it is live, or its expiry timer has not been decided yet.
    pub ended: Option<Ended>,
}

/// What a credential is for, and as whom it acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// Of a program: has grants of its own.
    Service,
    /// Of a member: may what its owner may.
    Personal { owner: ActorId },
    /// Evaluates an environment's flags, where it is kept secret.
    ServerSdk { project: Slug, environment: Slug },
    /// Evaluates an environment's flags, where anyone can read it.
    ClientSdk { project: Slug, environment: Slug },
}

/// What is kept of a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// BLAKE3 of the whole text. Never shown.
    pub hash: Hash,
    /// Its last four characters before the checksum, for people to tell it by.
    pub hint: String,
}

/// A secret that is accepted for a while although there is a newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    pub secret: Secret,
    pub until: Expiry,
}

/// How a credential ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub at: Timestamp,
    pub by: EndedBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    Expiry,
    Revocation,
    /// The member whose personal token it was is not one any more.
    OwnerRemoved,
    /// The tenant was closed.
    Closing,
}

/// A hash is not shown where logs and audit entries could take it over.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("hint", &self.hint).finish_non_exhaustive()
    }
}

impl Role {
    /// As policies are built from it.
    pub fn def(&self) -> RoleDef {
        RoleDef::new(self.name.clone(), self.permissions.clone())
    }
}

impl Grant {
    /// As policies are built from it.
    pub fn to_policy(&self) -> exchequer_access::Grant {
        exchequer_access::Grant {
            id: self.id.clone(),
            principal: self.principal.clone(),
            role: self.role.clone(),
            scope: self.scope.clone(),
            expires_at: self.expires_at(),
        }
    }

    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expiry.as_ref().map(|expiry| expiry.at)
    }
}

impl CredentialKind {
    /// As audit entries and views write it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Personal { .. } => "personal",
            Self::ServerSdk { .. } => "server-sdk",
            Self::ClientSdk { .. } => "client-sdk",
        }
    }

    /// The member whose personal token it is.
    pub fn owner(&self) -> Option<&ActorId> {
        match self {
            Self::Personal { owner } => Some(owner),
            _ => None,
        }
    }

    /// Project and environment of an SDK key.
    pub fn environment(&self) -> Option<(&Slug, &Slug)> {
        match self {
            Self::ServerSdk { project, environment } | Self::ClientSdk { project, environment } => {
                Some((project, environment))
            }
            Self::Service | Self::Personal { .. } => None,
        }
    }

    /// The role that comes with an SDK key.
    pub(crate) fn role(&self) -> Option<BuiltIn> {
        match self {
            Self::ServerSdk { .. } => Some(BuiltIn::ServerSdk),
            Self::ClientSdk { .. } => Some(BuiltIn::ClientSdk),
            Self::Service | Self::Personal { .. } => None,
        }
    }
}

impl EndedBy {
    /// As audit entries and views write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Expiry => "expiry",
            Self::Revocation => "revocation",
            Self::OwnerRemoved => "owner-removed",
            Self::Closing => "closing",
        }
    }
}

impl Credential {
    /// As whom it acts.
    pub fn principal(&self) -> Principal {
        match &self.kind {
            CredentialKind::Personal { owner } => Principal::Member(owner.clone()),
            _ => Principal::Credential(self.id.clone()),
        }
    }

    /// Is it accepted at `at`, from an address that it admits?
    pub fn holds(&self, at: Timestamp) -> bool {
        let is_live = self.ended.is_none() || mutation::active(Mutation::CredentialEnds);
        is_live && self.expiry.as_ref().is_none_or(|expiry| at < expiry.at)
    }

    /// Is a secret with this hash accepted at `at`? One that was rotated is, while it
    /// overlaps.
    pub fn accepts(&self, hash: &Hash, at: Timestamp) -> bool {
        let overlaps = |it: &Previous| it.secret.hash == *hash && at < it.until.at;
        self.holds(at)
            && (self.secret.hash == *hash || self.previous.as_ref().is_some_and(overlaps))
    }

    /// Timers that end with it.
    pub(crate) fn timers(&self) -> impl Iterator<Item = &String> {
        let overlap = self.previous.as_ref().map(|it| &it.until.timer);
        self.expiry.as_ref().map(|it| &it.timer).into_iter().chain(overlap)
    }
}

impl State {
    /// The credential that a command may still change.
    pub(crate) fn open_credential(&self, id: &str) -> Option<&Credential> {
        self.credentials.get(id).map(Arc::as_ref).filter(|it| it.ended.is_none())
    }

    /// Credentials that have not ended, by id.
    pub(crate) fn open_credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credentials.values().map(Arc::as_ref).filter(|it| it.ended.is_none())
    }

    /// Grants to the principal itself, by id.
    pub fn grants_of<'a>(&'a self, principal: &'a Principal) -> impl Iterator<Item = &'a Grant> {
        self.grants.values().map(Arc::as_ref).filter(move |it| it.principal == *principal)
    }

    /// What a role allows. None when there is no such role.
    pub fn role(&self, key: &Slug) -> Option<RoleDef> {
        match BuiltIn::parse(key.as_str()) {
            Some(built_in) => Some(built_in.role()),
            None => self.roles.get(key).map(|role| role.def()),
        }
    }

    /// Teams with a grant in `scope`, of their own or of a team around them.
    pub fn teams_in(&self, scope: &Scope) -> BTreeSet<&Slug> {
        let granted = self.grants.values().filter(|it| scope.holds(&it.scope));
        let granted: BTreeSet<&Slug> = granted
            .filter_map(|it| match &it.principal {
                Principal::Team(team) => Some(team),
                _ => None,
            })
            .collect();
        let is_in = |team: &&Slug| self.teams_around(team).iter().any(|it| granted.contains(it));
        self.teams.keys().filter(is_in).collect()
    }

    /// Members with a grant in `scope`, by themselves or through a team.
    pub fn members_in(&self, scope: &Scope) -> BTreeSet<&ActorId> {
        let granted = self.grants.values().filter(|it| scope.holds(&it.scope));
        let own = granted.filter_map(|it| match &it.principal {
            Principal::Member(member) => Some(member),
            _ => None,
        });
        let teams = self.teams_in(scope).into_iter().filter_map(|key| self.teams.get(key));
        own.chain(teams.flat_map(|team| &team.members)).collect()
    }

    /// Teams in which `team` is, directly or through others, and itself.
    pub(crate) fn teams_around<'a>(&'a self, team: &'a Slug) -> BTreeSet<&'a Slug> {
        let mut around = BTreeSet::from([team]);
        let mut rest = vec![team];
        while let Some(inner) = rest.pop() {
            let outer = self.teams.values().filter(|it| it.teams.contains(inner));
            rest.extend(outer.map(|it| &it.key).filter(|key| around.insert(key)));
        }
        around
    }
}
