//! When credentials were last used, and how often. No event tells of it: gateways count in
//! memory and add to these rows now and then, so a crash loses what was not added yet.

use std::collections::BTreeMap;

use exchequer_readstore::{Batch, Column, Fault, Key, Kind, ReadStore, Table, Value, Write};
use exchequer_types::{TenantId, Timestamp};
use futures::future::try_join_all;

use crate::rows::part_key;

/// By tenant, then by credential. Outside of all generations: a rebuild keeps it.
pub static ACCESS_USES: Table = Table {
    name: "access_uses",
    partition_key: &[Column { name: "tenant", kind: Kind::Text }],
    clustering: &[Column { name: "credential", kind: Kind::Text }],
    columns: &[
        Column { name: "last_used_at", kind: Kind::Int },
        Column { name: "requests", kind: Kind::Int },
    ],
};

const GENERATION: u64 = 0;
/// Rows that are read at once.
const READS_AT_ONCE_MAX: usize = 32;

/// How a credential was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses {
    /// The latest that is known.
    pub last_used_at: Timestamp,
    /// Requests in which it was accepted.
    pub requests: u64,
}

/// How those of `credentials` that were ever used were used, by id.
pub async fn uses_of(
    store: &dyn ReadStore,
    tenant: &TenantId,
    credentials: &[&str],
) -> Result<BTreeMap<String, Uses>, Fault> {
    let mut found = BTreeMap::new();
    for some in credentials.chunks(READS_AT_ONCE_MAX) {
        let reads = some.iter().map(|id| store.get(&ACCESS_USES, GENERATION, key(tenant, id)));
        for (id, row) in some.iter().zip(try_join_all(reads).await?) {
            if let Some(uses) = row.as_ref().and_then(|row| uses(&row.values)) {
                found.insert((*id).to_owned(), uses);
            }
        }
    }
    Ok(found)
}

/// Adds `more` of a tenant's credentials to what is known. One process does this at a time;
/// `now` must not go back.
pub async fn add_uses(
    store: &dyn ReadStore,
    tenant: &TenantId,
    more: &[(String, Uses)],
    now: Timestamp,
) -> Result<(), Fault> {
    let ids: Vec<&str> = more.iter().map(|(id, _)| id.as_str()).collect();
    let known = uses_of(store, tenant, &ids).await?;
    let rows = more.iter().map(|(id, more)| {
        let before = known.get(id);
        let last = before.map_or(more.last_used_at, |it| it.last_used_at.max(more.last_used_at));
        let requests = before.map_or(0, |it| it.requests).saturating_add(more.requests);
        Write {
            table: &ACCESS_USES,
            generation: GENERATION,
            key: key(tenant, id),
            values: Some(vec![Value::Int(last.micros()), Value::uint(requests)]),
            timestamp: u64::try_from(now.micros()).unwrap_or(0),
        }
    });
    store.write(Batch { rows: rows.collect(), last: Vec::new() }).await
}

fn uses(values: &[Value]) -> Option<Uses> {
    let [last_used_at, requests] = values else { return None };
    let last_used_at = Timestamp::saturating_from_micros(last_used_at.as_int());
    Some(Uses { last_used_at, requests: requests.as_uint() })
}

fn key(tenant: &TenantId, credential: &str) -> Key {
    part_key(tenant.as_str(), credential)
}

#[cfg(test)]
mod tests {
    use exchequer_readstore::MemoryStore;

    use super::*;

    fn used(seconds: i64, requests: u64) -> Uses {
        Uses { last_used_at: Timestamp::saturating_from_micros(seconds * 1_000_000), requests }
    }

    // REQ: IAM-13
    #[tokio::test]
    async fn uses_add_up() {
        let store = MemoryStore::new(true);
        let acme = TenantId::parse("acme").unwrap();
        let now = |seconds: i64| Timestamp::saturating_from_micros(seconds * 1_000_000);
        assert!(uses_of(&store, &acme, &["a"]).await.unwrap().is_empty());
        let first = [("a".to_owned(), used(5, 3)), ("b".to_owned(), used(6, 1))];
        add_uses(&store, &acme, &first, now(10)).await.unwrap();
        add_uses(&store, &acme, &[("a".to_owned(), used(4, 2))], now(20)).await.unwrap();
        let found = uses_of(&store, &acme, &["a", "b", "c"]).await.unwrap();
        assert_eq!(found.get("a"), Some(&used(5, 5)));
        assert_eq!(found.get("b"), Some(&used(6, 1)));
        assert_eq!(found.len(), 2);
    }
}
