//! Tables and keys of the view.

use exchequer_readstore::{Column, Key, Kind, Table, Value};
use exchequer_types::{Hash, Timestamp};

mod columns;
mod credential;

pub(crate) use columns::{
    TenantRow, grant_from, grant_values, member_from, member_values, role_from, role_values,
    team_from, team_values, tenant_from, tenant_values,
};
pub(crate) use credential::{credential_from, credential_values};

/// By tenant: what concerns its access control as a whole.
pub static ACCESS_TENANTS: Table = Table {
    name: "access_tenants",
    partition_key: &[text("tenant")],
    clustering: &[],
    columns: &[
        // Empty for the root.
        text("provider"),
        int("version"),
        // In microseconds since the Unix epoch, as all instants.
        int("updated_at"),
        // 0 or 1.
        int("bootstrapped"),
        // A JSON list of networks. Empty: from everywhere.
        text("addresses"),
        // Below 0 while the tenant is open.
        int("closed_at"),
    ],
};

/// By tenant, then by member. Names and addresses are encrypted, and empty when not given.
pub static ACCESS_MEMBERS: Table = Table {
    name: "access_members",
    partition_key: &[text("tenant")],
    clustering: &[text("member")],
    columns: &[
        bytes("name_key"),
        bytes("name"),
        bytes("email_key"),
        bytes("email"),
        int("added_at"),
    ],
};

/// By tenant, then by team.
pub static ACCESS_TEAMS: Table = Table {
    name: "access_teams",
    partition_key: &[text("tenant")],
    clustering: &[text("team")],
    columns: &[
        text("name"),
        // A JSON list.
        text("members"),
        // A JSON list.
        text("teams"),
    ],
};

/// By tenant, then by role: the tenant's own.
pub static ACCESS_ROLES: Table = Table {
    name: "access_roles",
    partition_key: &[text("tenant")],
    clustering: &[text("role")],
    columns: &[
        text("name"),
        // A JSON list of names.
        text("permissions"),
    ],
};

/// By tenant, then by grant. Those that have ended are not here.
pub static ACCESS_GRANTS: Table = Table {
    name: "access_grants",
    partition_key: &[text("tenant")],
    clustering: &[text("grant_id")],
    columns: &[
        // member, team or credential.
        text("principal_kind"),
        text("principal"),
        text("role"),
        // Empty: all of them, as the two below.
        text("project"),
        text("environment"),
        text("flag"),
        // Below 0 when it does not expire, as all instants that may be absent.
        int("expires_at"),
        text("expiry_timer"),
        int("granted_at"),
    ],
};

/// By tenant, then by credential, live and ended.
pub static ACCESS_CREDENTIALS: Table = Table {
    name: "access_credentials",
    partition_key: &[text("tenant")],
    clustering: &[text("credential")],
    columns: &[
        // service, personal, server-sdk or client-sdk.
        text("kind"),
        // Of a personal token.
        text("owner"),
        // Of an SDK key, as the one below.
        text("project"),
        text("environment"),
        text("name"),
        // BLAKE3 of the secret.
        bytes("hash"),
        text("hint"),
        // Empty when no secret before the present one is accepted.
        bytes("previous_hash"),
        text("previous_hint"),
        int("overlap_ends_at"),
        text("overlap_timer"),
        int("expires_at"),
        text("expiry_timer"),
        // A JSON list of networks.
        text("addresses"),
        // 0: what the tenant's plan or settings say.
        int("requests_per_minute"),
        int("created_at"),
        int("rotated_at"),
        int("ended_at"),
        // expiry, revocation, owner-removed or closing; empty while it has not ended.
        text("ended_by"),
    ],
};

/// By tenant, then the live ones by id and the ended ones by their end: so that the live
/// ones and the latest of the ended ones are found without reading all that there ever were.
pub static ACCESS_CREDENTIAL_STATES: Table = Table {
    name: "access_credential_states",
    partition_key: &[text("tenant")],
    // 0 live, with 0 as its instant; 1 ended.
    clustering: &[int("ended"), int("ended_at"), text("credential")],
    columns: &[],
};

/// By hash of a secret: whose it is. That a hash stands here does not say that its secret is
/// still accepted.
pub static ACCESS_HASHES: Table = Table {
    name: "access_hashes",
    partition_key: &[bytes("hash")],
    clustering: &[],
    columns: &[text("tenant"), text("credential")],
};

const LIVE: i64 = 0;
const ENDED: i64 = 1;

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes }
}

/// Key of `access_tenants`.
pub(crate) fn tenant_key(tenant: &str) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: Vec::new() }
}

/// Key of a member, team, role, grant or credential.
pub(crate) fn part_key(tenant: &str, part: &str) -> Key {
    Key { partition: vec![Value::text(tenant)], clustering: vec![Value::text(part)] }
}

/// Key of `access_credential_states`.
pub(crate) fn state_key(tenant: &str, ended_at: Option<Timestamp>, credential: &str) -> Key {
    let (state, at) = ended_at.map_or((LIVE, 0), |at| (ENDED, at.micros()));
    let clustering = vec![Value::Int(state), Value::Int(at), Value::text(credential)];
    Key { partition: vec![Value::text(tenant)], clustering }
}

/// Beginning of the clustering keys of live credentials, and of ended ones.
pub(crate) fn state_prefix(is_ended: bool) -> Vec<Value> {
    vec![Value::Int(if is_ended { ENDED } else { LIVE })]
}

/// Key of `access_hashes`.
pub(crate) fn hash_key(hash: &Hash) -> Key {
    let hash = bytes::Bytes::copy_from_slice(&hash.0);
    Key { partition: vec![Value::Bytes(hash)], clustering: Vec::new() }
}
