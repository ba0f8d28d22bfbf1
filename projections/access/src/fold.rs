//! Events into rows. The rows that an event concerns are what the domain's own `evolve`
//! makes of the old ones; each carries its position, so that each may be ahead of the others.

use std::sync::Arc;

use exchequer_codec::{Entry, decode_event};
use exchequer_domain_access::{Access, Event, State};
use exchequer_domain_tenants as tenants;
use exchequer_kernel::Decider as _;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Key, RowSet, Table, Value};
use exchequer_tenant::Event as Any;
use exchequer_types::{ActorId, Hash, Slug, Timestamp};

use crate::rows::{
    ACCESS_CREDENTIAL_STATES, ACCESS_CREDENTIALS, ACCESS_GRANTS, ACCESS_HASHES, ACCESS_MEMBERS,
    ACCESS_ROLES, ACCESS_TEAMS, ACCESS_TENANTS, TenantRow, credential_from, credential_values,
    grant_from, grant_values, hash_key, member_from, member_values, part_key, role_from,
    role_values, state_key, team_from, team_values, tenant_from, tenant_key, tenant_values,
};
use crate::snapshot::{Unfoldable, forget, is_wanted};

/// Something that an event changes, beside the tenant's own row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Member(ActorId),
    Team(Slug),
    Role(Slug),
    Grant(String),
    Credential(String),
}

/// Needed: the rows that events change.
pub(crate) fn reads(entry: &Entry) -> Vec<(&'static Table, Key)> {
    let wanted = entry.commit.events.iter().filter(|event| is_wanted(&event.r#type));
    let keys = wanted.flat_map(|event| {
        let own = (&ACCESS_TENANTS, tenant_key(&event.stream));
        // What cannot be decoded is told by the fold.
        let parts = match decode_event(&event.stream, &event.r#type, &event.payload) {
            Ok(Any::Access(it)) => parts_of(&it),
            _ => Vec::new(),
        };
        let parts = parts.into_iter().map(|part| part.row(&event.stream));
        core::iter::once(own).chain(parts).collect::<Vec<_>>()
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

fn fold_event(
    entry: &Entry,
    index: usize,
    event: &pb::Event,
    rows: &mut RowSet,
) -> Result<(), Unfoldable> {
    let tenant = event.stream.as_str();
    let at = Timestamp::saturating_from_micros(event.at);
    let mut writer = Writer { rows, timestamp: entry.timestamp(index) };
    let it = match decode_event(tenant, &event.r#type, &event.payload)? {
        Any::Tenants(tenants::Event::Created { parent, .. }) => {
            let row = TenantRow { provider: parent, ..TenantRow::default() };
            writer.put(&ACCESS_TENANTS, tenant_key(tenant), tenant_values(&row));
            return Ok(());
        }
        Any::Access(it) => it,
        _ => return Ok(()),
    };
    let key = tenant_key(tenant);
    let row = writer.rows.get(&ACCESS_TENANTS, &key).map(|(values, _)| tenant_from(values));
    let mut row = row.ok_or_else(|| Unfoldable::NoTenant(tenant.to_owned()))??;
    let parts = parts_of(&it);
    for part in &parts {
        part.load(tenant, writer.rows, &mut row.state)?;
    }
    Access::evolve(&mut row.state, &it, at);
    forget(&mut row.state);
    if matches!(it, Event::Closed { .. }) {
        row.closed_at = Some(at);
    }
    writer.put(&ACCESS_TENANTS, key, tenant_values(&row));
    for part in &parts {
        let (table, key) = part.row(tenant);
        match part.values(&row.state) {
            Some(values) => writer.put(table, key, values),
            None => writer.delete(table, key),
        }
    }
    credential_index(tenant, &it, at, &mut writer);
    Ok(())
}

/// What finds credentials by hash and by state. The event alone says what to write.
fn credential_index(tenant: &str, event: &Event, at: Timestamp, writer: &mut Writer<'_>) {
    let whose = |id: &str| vec![Value::text(tenant), Value::text(id)];
    match event {
        Event::CredentialCreated { id, secret, .. } => {
            writer.put(&ACCESS_HASHES, hash_key(&secret.hash), whose(id));
            writer.put(&ACCESS_CREDENTIAL_STATES, state_key(tenant, None, id), Vec::new());
        }
        Event::CredentialRotated { id, secret, dropped, .. } => {
            writer.put(&ACCESS_HASHES, hash_key(&secret.hash), whose(id));
            for hash in dropped {
                writer.drop_hash(hash);
            }
        }
        Event::CredentialOverlapEnded { dropped, .. } => writer.drop_hash(dropped),
        // Its hashes stay, so that whoever presents it is told that it has ended.
        Event::CredentialExpired { id, .. } | Event::CredentialRevoked { id, .. } => {
            writer.delete(&ACCESS_CREDENTIAL_STATES, state_key(tenant, None, id));
            writer.put(&ACCESS_CREDENTIAL_STATES, state_key(tenant, Some(at), id), Vec::new());
        }
        _ => {}
    }
}

/// Writes rows that are not ahead.
struct Writer<'a> {
    rows: &'a mut RowSet,
    timestamp: u64,
}

impl Writer<'_> {
    fn put(&mut self, table: &'static Table, key: Key, values: Vec<Value>) {
        if self.is_due(table, &key) {
            self.rows.put(table, key, values, self.timestamp);
        }
    }

    fn delete(&mut self, table: &'static Table, key: Key) {
        if self.is_due(table, &key) {
            self.rows.delete(table, key, self.timestamp);
        }
    }

    fn drop_hash(&mut self, hash: &Hash) {
        self.delete(&ACCESS_HASHES, hash_key(hash));
    }

    fn is_due(&self, table: &'static Table, key: &Key) -> bool {
        let at = self.rows.get(table, key).map_or(0, |(_, at)| at);
        at < self.timestamp || mutation::active(Mutation::DerivedPosition)
    }
}

impl Part {
    fn row(&self, tenant: &str) -> (&'static Table, Key) {
        match self {
            Self::Member(id) => (&ACCESS_MEMBERS, part_key(tenant, id.as_str())),
            Self::Team(key) => (&ACCESS_TEAMS, part_key(tenant, key.as_str())),
            Self::Role(key) => (&ACCESS_ROLES, part_key(tenant, key.as_str())),
            Self::Grant(id) => (&ACCESS_GRANTS, part_key(tenant, id)),
            Self::Credential(id) => (&ACCESS_CREDENTIALS, part_key(tenant, id)),
        }
    }

    /// Puts what its row holds into the state; nothing when there is none.
    fn load(&self, tenant: &str, rows: &RowSet, state: &mut State) -> Result<(), Unfoldable> {
        let (table, key) = self.row(tenant);
        let Some((values, _)) = rows.get(table, &key) else { return Ok(()) };
        match self {
            Self::Member(id) => {
                let it = Arc::new(member_from(id.clone(), values)?);
                Arc::make_mut(&mut state.members).insert(id.clone(), it);
            }
            Self::Team(key) => {
                let it = Arc::new(team_from(key.clone(), values)?);
                Arc::make_mut(&mut state.teams).insert(key.clone(), it);
            }
            Self::Role(key) => {
                let it = Arc::new(role_from(key.clone(), values)?);
                Arc::make_mut(&mut state.roles).insert(key.clone(), it);
            }
            Self::Grant(id) => {
                let it = Arc::new(grant_from(id.clone(), values)?);
                Arc::make_mut(&mut state.grants).insert(id.clone(), it);
            }
            Self::Credential(id) => {
                let it = Arc::new(credential_from(id.clone(), values)?);
                Arc::make_mut(&mut state.credentials).insert(id.clone(), it);
            }
        }
        Ok(())
    }

    /// Its row. None when it is not there any more.
    fn values(&self, state: &State) -> Option<Vec<Value>> {
        Some(match self {
            Self::Member(id) => member_values(state.members.get(id)?),
            Self::Team(key) => team_values(state.teams.get(key)?),
            Self::Role(key) => role_values(state.roles.get(key)?),
            Self::Grant(id) => grant_values(state.grants.get(id)?),
            Self::Credential(id) => credential_values(state.credentials.get(id)?),
        })
    }
}

/// What an event changes. That of a closing is told by the tenant's row.
fn parts_of(event: &Event) -> Vec<Part> {
    match event {
        Event::MemberAdded { member, .. } | Event::MemberUpdated { member, .. } => {
            vec![Part::Member(member.clone())]
        }
        Event::MemberRemoved { member, teams } => {
            let teams = teams.iter().cloned().map(Part::Team);
            core::iter::once(Part::Member(member.clone())).chain(teams).collect()
        }
        Event::TeamCreated { team, .. } | Event::TeamUpdated { team, .. } => {
            vec![Part::Team(team.clone())]
        }
        Event::TeamDeleted { team, parents } => {
            let all = core::iter::once(team).chain(parents);
            all.cloned().map(Part::Team).collect()
        }
        Event::RoleCreated { role, .. }
        | Event::RoleUpdated { role, .. }
        | Event::RoleDeleted { role } => vec![Part::Role(role.clone())],
        Event::RoleGranted { id, .. }
        | Event::RoleRevoked { id, .. }
        | Event::GrantExpired { id, .. } => vec![Part::Grant(id.clone())],
        Event::CredentialCreated { id, .. }
        | Event::CredentialUpdated { id, .. }
        | Event::CredentialRotated { id, .. }
        | Event::CredentialOverlapEnded { id, .. }
        | Event::CredentialExpired { id, .. }
        | Event::CredentialRevoked { id, .. } => vec![Part::Credential(id.clone())],
        Event::Bootstrapped { .. }
        | Event::AddressesSet { .. }
        | Event::PersonErased { .. }
        | Event::Closed { .. } => Vec::new(),
    }
}
