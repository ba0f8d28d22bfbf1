//! All events of the domain.

use std::collections::BTreeSet;

use exchequer_access::{AddressRange, Permission, Principal, Scope};
use exchequer_types::{ActorId, Hash, KeyId, Protected, Slug};

use crate::{CredentialKind, Expiry, Secret};

/// What happened to a tenant's access control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The root tenant has got its first owner, a service token.
    Bootstrapped {
        credential: String,
    },
    MemberAdded {
        member: ActorId,
        name: Option<Protected>,
        email: Option<Protected>,
    },
    /// Both, as they are now.
    MemberUpdated {
        member: ActorId,
        name: Option<Protected>,
        email: Option<Protected>,
    },
    /// Its grants and personal tokens ended by events before this one.
    MemberRemoved {
        member: ActorId,
        /// Those that it was in.
        teams: Vec<Slug>,
    },
    TeamCreated {
        team: Slug,
        name: String,
        members: BTreeSet<ActorId>,
        teams: BTreeSet<Slug>,
    },
    TeamUpdated {
        team: Slug,
        /// None: as it was.
        name: Option<String>,
        added: BTreeSet<ActorId>,
        removed: BTreeSet<ActorId>,
        added_teams: BTreeSet<Slug>,
        removed_teams: BTreeSet<Slug>,
    },
    /// Its grants ended by events before this one.
    TeamDeleted {
        team: Slug,
        /// Those that it was in.
        parents: Vec<Slug>,
    },
    RoleCreated {
        role: Slug,
        name: String,
        permissions: BTreeSet<Permission>,
    },
    /// Both, as they are now.
    RoleUpdated {
        role: Slug,
        name: String,
        permissions: BTreeSet<Permission>,
    },
    RoleDeleted {
        role: Slug,
    },
    RoleGranted {
        id: String,
        principal: Principal,
        role: Slug,
        scope: Scope,
        expiry: Option<Expiry>,
    },
    RoleRevoked {
        id: String,
        /// The expiry timer that this ends.
        timer: Option<String>,
    },
    GrantExpired {
        id: String,
        timer: String,
    },
    /// The whole list.
    AddressesSet {
        addresses: Vec<AddressRange>,
    },
    CredentialCreated {
        id: String,
        kind: CredentialKind,
        name: String,
        secret: Secret,
        expiry: Option<Expiry>,
        addresses: Vec<AddressRange>,
        requests_per_minute: Option<u32>,
    },
    /// Everything that can change, as it is now.
    CredentialUpdated {
        id: String,
        name: String,
        expiry: Option<Expiry>,
        addresses: Vec<AddressRange>,
        requests_per_minute: Option<u32>,
        /// The expiry is another one than before.
        moved: bool,
        /// The expiry timer that this ends.
        timer: Option<String>,
    },
    CredentialRotated {
        id: String,
        secret: Secret,
        /// Until when the secret before is accepted too. None: not any more.
        overlap: Option<Expiry>,
        /// The overlap's timer of an earlier rotation, which this ends.
        timer: Option<String>,
        /// Of secrets that are not accepted any more from here on.
        dropped: Vec<Hash>,
    },
    CredentialOverlapEnded {
        id: String,
        timer: String,
        /// Of the secret that is not accepted any more.
        dropped: Hash,
    },
    /// Its grants ended by events before this one.
    CredentialExpired {
        id: String,
        timer: String,
        /// The overlap's timer, which this ends.
        overlap: Option<String>,
    },
    /// Its grants ended by events before this one.
    CredentialRevoked {
        id: String,
        cause: Cause,
        /// Those that this ends.
        timers: Vec<String>,
    },
    /// Nothing said of the person can be read any more, for these keys are gone.
    PersonErased {
        subject: ActorId,
        keys: BTreeSet<KeyId>,
    },
    /// The tenant is closed: no credential is accepted any more.
    Closed {
        /// Those that this ends.
        timers: Vec<String>,
    },
}

/// Why a credential was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it.
    Asked,
    /// The member whose personal token it was is not one any more.
    OwnerRemoved,
}

impl Event {
    /// The credential that it is about, if it is about one.
    pub fn credential(&self) -> Option<&str> {
        match self {
            Self::Bootstrapped { credential: id }
            | Self::CredentialCreated { id, .. }
            | Self::CredentialUpdated { id, .. }
            | Self::CredentialRotated { id, .. }
            | Self::CredentialOverlapEnded { id, .. }
            | Self::CredentialExpired { id, .. }
            | Self::CredentialRevoked { id, .. } => Some(id),
            _ => None,
        }
    }
}
