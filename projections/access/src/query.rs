//! What is read of the rows. The caller has waited for the freshness that it needs.

use std::sync::Arc;

use exchequer_domain_access::{
    Access, Credential, ENDED_CREDENTIALS_MAX, Event, Grant, Member, Role, State, Team,
};
use exchequer_kernel::Decider as _;
use exchequer_readstore::{Fault, Generation, Key, ReadStore, Row, Scan, Table, Value};
use exchequer_types::{ActorId, Hash, Slug, TenantId};
use futures::future::try_join_all;

use crate::rows::{
    ACCESS_CREDENTIAL_STATES, ACCESS_CREDENTIALS, ACCESS_GRANTS, ACCESS_HASHES, ACCESS_MEMBERS,
    ACCESS_ROLES, ACCESS_TEAMS, ACCESS_TENANTS, credential_from, grant_from, hash_key, member_from,
    part_key, role_from, state_prefix, team_from, tenant_from, tenant_key,
};
use crate::snapshot::Snapshot;

/// Rows that are read in one step.
const CHUNK_ROWS_MAX: usize = 512;
/// Credentials that are read at once.
const READS_AT_ONCE_MAX: usize = 32;

/// Whose a secret is. Whether it is still accepted is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub tenant: TenantId,
    pub credential: String,
}

/// Whose the secret with this hash is or was. None when nobody's.
pub async fn holder_of(
    store: &dyn ReadStore,
    generation: Generation,
    hash: &[u8; 32],
) -> Result<Option<Holder>, Fault> {
    let row = store.get(&ACCESS_HASHES, generation, hash_key(&Hash(*hash))).await?;
    let Some(row) = row else { return Ok(None) };
    let [tenant, credential] = row.values.as_slice() else {
        return Err(damaged("hash"));
    };
    let tenant = TenantId::parse(tenant.as_text()).map_err(|_| damaged("hash"))?;
    Ok(Some(Holder { tenant, credential: credential.as_text().to_owned() }))
}

/// A tenant's access control with all its parts, and the latest of the credentials that have
/// ended. None when there is no such tenant.
pub async fn whole(
    store: &dyn ReadStore,
    generation: Generation,
    tenant: &TenantId,
) -> Result<Option<Snapshot>, Fault> {
    let row = store.get(&ACCESS_TENANTS, generation, tenant_key(tenant.as_str())).await?;
    let Some(row) = row else { return Ok(None) };
    let it = tenant_from(&row.values)?;
    let reader = Reader { store, generation, tenant };
    let mut state = State {
        members: Arc::new(reader.all(&ACCESS_MEMBERS, member).await?),
        teams: Arc::new(reader.all(&ACCESS_TEAMS, team).await?),
        roles: Arc::new(reader.all(&ACCESS_ROLES, role).await?),
        grants: Arc::new(reader.all(&ACCESS_GRANTS, grant).await?),
        credentials: Arc::new(reader.credentials().await?),
        ..it.state
    };
    if let Some(at) = it.closed_at {
        // One event ended what has rows of its own.
        let (version, updated_at) = (state.version, state.updated_at);
        Access::evolve(&mut state, &Event::Closed { timers: Vec::new() }, at);
        (state.version, state.updated_at) = (version, updated_at);
    }
    Ok(Some(Snapshot::of(it.provider, state)))
}

type Parts<K, T> = std::collections::BTreeMap<K, Arc<T>>;

struct Reader<'a> {
    store: &'a dyn ReadStore,
    generation: Generation,
    tenant: &'a TenantId,
}

impl Reader<'_> {
    /// All rows of a table, of which the domain has a bound.
    async fn all<K: Ord, T>(
        &self,
        table: &'static Table,
        read: fn(&Row) -> Result<(K, T), Fault>,
    ) -> Result<Parts<K, T>, Fault> {
        let mut found = Parts::new();
        let mut after = None;
        loop {
            let mut scan = self.scan(table, CHUNK_ROWS_MAX);
            scan.after = after;
            let rows = self.store.scan(scan).await?;
            for row in &rows {
                let (key, part) = read(row)?;
                found.insert(key, Arc::new(part));
            }
            match rows.last() {
                Some(last) if rows.len() == CHUNK_ROWS_MAX => {
                    after = Some(last.key.clustering.clone());
                }
                _ => return Ok(found),
            }
        }
    }

    /// The live ones, of which the domain has a bound, and the latest that have ended.
    async fn credentials(&self) -> Result<Parts<String, Credential>, Fault> {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let mut scan = self.scan(&ACCESS_CREDENTIAL_STATES, CHUNK_ROWS_MAX);
            scan.to = Some(state_prefix(true));
            scan.after = after;
            let rows = self.store.scan(scan).await?;
            ids.extend(rows.iter().map(|row| id_of(&row.key)));
            match rows.last() {
                Some(last) if rows.len() == CHUNK_ROWS_MAX => {
                    after = Some(last.key.clustering.clone());
                }
                _ => break,
            }
        }
        let mut scan = self.scan(&ACCESS_CREDENTIAL_STATES, ENDED_CREDENTIALS_MAX);
        scan.from = Some(state_prefix(true));
        scan.reverse = true;
        ids.extend(self.store.scan(scan).await?.iter().map(|row| id_of(&row.key)));
        let mut found = Parts::new();
        for some in ids.chunks(READS_AT_ONCE_MAX) {
            let reads = some.iter().map(|id| {
                let key = part_key(self.tenant.as_str(), id);
                self.store.get(&ACCESS_CREDENTIALS, self.generation, key)
            });
            for (id, row) in some.iter().zip(try_join_all(reads).await?) {
                // Where a batch is not one step, it may be on its way.
                let row = row.ok_or_else(|| Fault::retryable("a credential's row is missing"))?;
                found.insert(id.clone(), Arc::new(credential_from(id.clone(), &row.values)?));
            }
        }
        Ok(found)
    }

    fn scan(&self, table: &'static Table, rows_max: usize) -> Scan {
        let partition = vec![Value::text(self.tenant.as_str())];
        Scan::of(table, self.generation, partition, rows_max)
    }
}

fn member(row: &Row) -> Result<(ActorId, Member), Fault> {
    let id = ActorId::parse(id_of(&row.key)).map_err(|_| damaged("member"))?;
    Ok((id.clone(), member_from(id, &row.values)?))
}

fn team(row: &Row) -> Result<(Slug, Team), Fault> {
    let key = slug_of(row)?;
    Ok((key.clone(), team_from(key, &row.values)?))
}

fn role(row: &Row) -> Result<(Slug, Role), Fault> {
    let key = slug_of(row)?;
    Ok((key.clone(), role_from(key, &row.values)?))
}

fn grant(row: &Row) -> Result<(String, Grant), Fault> {
    let id = id_of(&row.key);
    Ok((id.clone(), grant_from(id, &row.values)?))
}

fn slug_of(row: &Row) -> Result<Slug, Fault> {
    Slug::parse(id_of(&row.key)).map_err(|_| damaged("team or role"))
}

/// The last part of a row's key.
fn id_of(key: &Key) -> String {
    key.clustering.last().map_or("", Value::as_text).to_owned()
}

fn damaged(what: &str) -> Fault {
    Fault::lasting(format!("access: a {what} is damaged: rebuild the view"))
}
