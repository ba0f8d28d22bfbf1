//! How often and when each credential was used last: counted in memory, and written
//! down from time to time. What was not written before a crash is lost.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use exchequer_engine::Ports;
use exchequer_projection_access::{Uses, add_uses};
use exchequer_runtime::{OnEnd, TaskKind};
use exchequer_types::{TenantId, Timestamp};
use futures::{StreamExt as _, stream};

use crate::hashed::ByHash;
use crate::limits::Keys;

/// Credentials counted between two writes; uses of further ones are not counted.
const CREDENTIALS_MAX: usize = 65_536;
/// Calls of different credentials seldom wait for each other.
const SHARDS: usize = 16;
/// Credentials that are written side by side.
const WRITES_AT_ONCE_MAX: usize = 32;
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
const WRITE: TaskKind = TaskKind { name: "credential-uses", on_end: OnEnd::Fine };

/// Counts uses, by tenant and credential.
#[derive(Debug, Default)]
pub struct UseCounter {
    shards: [Mutex<ByHash<Used>>; SHARDS],
    /// Held by whoever writes down: one at a time.
    writing: tokio::sync::Mutex<()>,
}

/// The use of one credential since it was last written down.
#[derive(Debug)]
struct Used {
    tenant: TenantId,
    credential: String,
    uses: Uses,
}

impl UseCounter {
    /// `key` is the credential's, as [`Keys`] has it.
    pub(super) fn count(&self, key: u64, tenant: &TenantId, credential: &str, now: Timestamp) {
        self.add(key, tenant, credential, Uses { last_used_at: now, requests: 1 });
    }

    fn add(&self, key: u64, tenant: &TenantId, credential: &str, more: Uses) {
        // Other bits than those by which the map itself spreads.
        let shard = &self.shards[(key >> 32) as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Used { uses, .. }) = shard.get_mut(&key) {
            uses.requests = uses.requests.saturating_add(more.requests);
            uses.last_used_at = uses.last_used_at.max(more.last_used_at);
        } else if shard.len() < CREDENTIALS_MAX / SHARDS {
            let (tenant, credential) = (tenant.clone(), credential.to_owned());
            shard.insert(key, Used { tenant, credential, uses: more });
        }
    }

    /// Everything counted since the last time.
    fn take(&self) -> Vec<Used> {
        let taken = self.shards.iter().map(|shard| {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            core::mem::take(&mut *shard).into_values()
        });
        taken.flatten().collect()
    }

    /// Writes down what was counted in this process, whose name is empty where it is the only
    /// one. What cannot be written is counted on.
    pub async fn write(&self, ports: &Ports, process: &str) {
        let _writing = self.writing.lock().await;
        let writes = self.take().into_iter().map(async |Used { tenant, credential, uses }| {
            let (store, now) = (ports.store.as_ref(), ports.runtime.now());
            let added = add_uses(store, (&tenant, &credential), process, uses, now).await;
            if let Err(fault) = added {
                tracing::warn!(%fault, "uses of a credential were not written down");
                let key = Keys::of(&tenant, &credential).credential();
                self.add(key, &tenant, &credential, uses);
            }
        });
        let () = stream::iter(writes).buffer_unordered(WRITES_AT_ONCE_MAX).collect().await;
    }

    /// Writes every few seconds for as long as the process runs.
    pub fn write_behind(self: &Arc<Self>, ports: &Ports, process: &str) {
        let (counter, to, process) = (Arc::clone(self), ports.clone(), process.to_owned());
        ports.runtime.spawn(
            WRITE,
            Box::pin(async move {
                loop {
                    to.runtime.sleep(WRITE_INTERVAL).await;
                    counter.write(&to, &process).await;
                }
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: IAM-13
    #[test]
    fn uses_are_counted_by_tenant_and_credential() {
        let counter = UseCounter::default();
        let [one, two] = ["one", "two"].map(|id| TenantId::parse(id).unwrap());
        let at = Timestamp::saturating_from_micros;
        for (tenant, credential, now) in
            [(&one, "a", 5), (&one, "a", 9), (&one, "a", 7), (&two, "a", 3), (&one, "b", 4)]
        {
            let key = Keys::of(tenant, credential).credential();
            counter.count(key, tenant, credential, at(now));
        }
        let mut taken: Vec<_> =
            counter.take().into_iter().map(|it| (it.tenant, it.credential, it.uses)).collect();
        taken.sort_by(|left, right| (&left.0, &left.1).cmp(&(&right.0, &right.1)));
        let uses = |tenant: &TenantId, credential: &str, last, requests| {
            let uses = Uses { last_used_at: at(last), requests };
            (tenant.clone(), credential.to_owned(), uses)
        };
        let expected = [uses(&one, "a", 9, 3), uses(&one, "b", 4, 1), uses(&two, "a", 3, 1)];
        assert_eq!(taken, expected);
        assert!(counter.take().is_empty());
    }
}
