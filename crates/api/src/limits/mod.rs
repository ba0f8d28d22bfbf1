//! Rate limits: one bucket for each credential, and one for each tenant whose plan says
//! how much all its credentials together may ask. In memory of this process, bounded,
//! and lost at a restart.

mod bucket;
mod buckets;
mod sources;

pub use bucket::{Exceeded, Limit, REQUESTS_PER_MINUTE_MAX, Taken};
pub use buckets::BUCKETS_MAX;
pub use sources::{FEATURE, PlatformLimits, SETTING};

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use exchequer_runtime::{Metric, Runtime};
use exchequer_types::{TenantId, Timestamp};
use futures::future::BoxFuture;

use crate::hashed::{ByHash, hashed};
use crate::status::{RATE_LIMITED, Refusal};
use buckets::Buckets;

/// Where nothing else says so.
pub const REQUESTS_PER_MINUTE_DEFAULT: u32 = 100;
/// Tenants whose limits are remembered.
const TENANTS_MAX: usize = 65_536;
/// A changed plan or setting counts after this long at the latest.
const REMEMBERED_NANOS: i64 = 10 * 1_000_000_000;

/// What holds where no credential, plan or tenant says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Of a credential.
    pub requests_per_minute: u32,
    /// Requests that may come at once, at most a minute's worth; that when None.
    pub burst: Option<u32>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { requests_per_minute: REQUESTS_PER_MINUTE_DEFAULT, burst: None }
    }
}

/// What a tenant's plan and settings say, in requests per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Said {
    /// Of all its credentials together, and of each.
    pub of_plan: Option<u32>,
    /// Of each, where the plan is silent.
    pub of_settings: Option<u32>,
}

/// Where a tenant's limits are known.
pub trait TenantLimits: fmt::Debug + Send + Sync {
    /// `Err` when it cannot be told now.
    fn of<'a>(&'a self, tenant: &'a TenantId) -> BoxFuture<'a, Result<Said, Untold>>;
}

/// The tenant's limit cannot be told now: what is remembered of it holds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untold;

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        Metric::CallsRateLimited.counter(&[]).increment(1);
        let message = format!(
            "more than {} requests a minute: wait as long as RetryInfo says",
            exceeded.limit
        );
        Self::new(RATE_LIMITED, message).retry(exceeded.retry)
    }
}

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The tenant that the credential belongs to.
    pub tenant: &'a TenantId,
    /// One credential of it; whoever shares the text shares the bucket.
    pub credential: &'a str,
    /// The credential's own limit.
    pub requests_per_minute: Option<u32>,
    /// Made before, for whoever asks often.
    pub keys: Option<Keys>,
}

/// By which the buckets of a tenant and of one of its credentials are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    tenant: u64,
    credential: u64,
}

impl Keys {
    pub fn of(tenant: &TenantId, credential: &str) -> Self {
        let tenant = tenant.as_str();
        Self { tenant: hashed(tenant), credential: hashed((tenant, credential)) }
    }

    /// Of the credential alone.
    pub(crate) fn credential(self) -> u64 {
        self.credential
    }
}

/// The rate limits of a process.
#[derive(Debug)]
pub struct Limits {
    defaults: Defaults,
    tenants: Arc<dyn TenantLimits>,
    runtime: Arc<dyn Runtime>,
    of_credentials: Buckets,
    of_tenants: Buckets,
    remembered: RwLock<ByHash<Remembered>>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    said: Said,
    until: i64,
}

impl Limits {
    pub fn new(
        defaults: Defaults,
        tenants: Arc<dyn TenantLimits>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        Self {
            defaults,
            tenants,
            runtime,
            of_credentials: Buckets::default(),
            of_tenants: Buckets::default(),
            remembered: RwLock::default(),
        }
    }

    /// Lets one request through, or says when it will. What is told is the tighter one
    /// of the credential's bucket and its tenant's.
    pub async fn take(&self, asking: Asking<'_>) -> Result<Taken, Exceeded> {
        self.take_at(asking, self.runtime.now()).await
    }

    /// The same at `now`, which has been asked already.
    pub(crate) async fn take_at(
        &self,
        asking: Asking<'_>,
        now: Timestamp,
    ) -> Result<Taken, Exceeded> {
        let now = now.micros().saturating_mul(1_000);
        let keys = asking.keys.unwrap_or_else(|| Keys::of(asking.tenant, asking.credential));
        let Said { of_plan, of_settings } = self.of_tenant(asking.tenant, keys.tenant, now).await;
        let allowed = of_plan.or(of_settings).unwrap_or(self.defaults.requests_per_minute);
        // Whoever makes a credential may bound it, and does not lift the tenant's limit.
        let own = asking.requests_per_minute.map_or(allowed, |own| own.min(allowed));
        let own = self.limit(own);
        let whose = keys.credential;
        let Some(shared) = of_plan.map(|requests| self.limit(requests)) else {
            return self.of_credentials.take(whose, own, now);
        };
        let all = self.of_tenants.take(keys.tenant, shared, now)?;
        match self.of_credentials.take(whose, own, now) {
            Ok(taken) if taken.remaining <= all.remaining => Ok(taken),
            Ok(_) => Ok(all),
            Err(exceeded) => {
                self.of_tenants.give_back(keys.tenant, shared, now);
                Err(exceeded)
            }
        }
    }

    fn limit(&self, requests_per_minute: u32) -> Limit {
        let burst = self.defaults.burst.unwrap_or(requests_per_minute);
        Limit::with_burst(requests_per_minute, burst.min(requests_per_minute))
    }

    /// What the tenant's plan and settings say, as remembered or asked anew.
    async fn of_tenant(&self, tenant: &TenantId, key: u64, now: i64) -> Said {
        let known = {
            let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
            remembered.get(&key).copied()
        };
        if let Some(known) = known
            && now < known.until
        {
            return known.said;
        }
        let before = known.map(|known| known.said).unwrap_or_default();
        let said = self.tenants.of(tenant).await.unwrap_or(before);
        let until = now + REMEMBERED_NANOS;
        let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= TENANTS_MAX && !remembered.contains_key(&key) {
            remembered.retain(|_, known| now < known.until);
            if remembered.len() >= TENANTS_MAX {
                remembered.clear();
            }
        }
        remembered.insert(key, Remembered { said, until });
        said
    }
}

#[cfg(test)]
mod tests;
