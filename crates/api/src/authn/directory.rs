//! Where credentials are looked up: by hash in the view `access` when one comes for
//! the first time, and at every call in the live snapshot of its tenant, which says
//! whether it still holds.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use exchequer_engine::{Platform, Token};
use exchequer_projection_access::{Holder, LiveAccess, Snapshot, holder_of};
use exchequer_types::{PartitionId, TenantId};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::token::TokenHash;

/// A call does not wait longer than this to be known.
const PATIENCE: Duration = Duration::from_secs(2);

/// It cannot be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// What is known of credentials.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Whose the token with this hash is or was, as of now: everything that was
    /// answered before the question counts.
    fn holder<'a>(
        &'a self,
        hash: &'a TokenHash,
    ) -> BoxFuture<'a, Result<Option<Holder>, Unavailable>>;

    /// The same as `access`, when that is in memory: nothing is waited for.
    fn access_now(&self, _: &TenantId) -> Option<Arc<Snapshot>> {
        None
    }

    /// A tenant's access control, as of now.
    fn access<'a>(
        &'a self,
        tenant: &'a TenantId,
    ) -> BoxFuture<'a, Result<Arc<Snapshot>, Unavailable>>;
}

impl dyn Directory {
    /// A tenant's access control, as of now, with the least work when it is in memory.
    pub(crate) async fn access_of(&self, tenant: &TenantId) -> Result<Arc<Snapshot>, Unavailable> {
        match self.access_now(tenant) {
            Some(snapshot) => Ok(snapshot),
            None => self.access(tenant).await,
        }
    }
}

/// The directory of a running platform.
#[derive(Clone, Debug)]
pub struct PlatformDirectory {
    pub platform: Platform,
}

impl PlatformDirectory {
    /// Everything that has been accepted by now.
    fn everything(&self) -> Token {
        let tail = &self.platform.tail;
        let partitions = (0..tail.partitions()).map(PartitionId);
        Token(partitions.map(|partition| (partition, tail.offset(partition))).collect())
    }
}

impl Directory for PlatformDirectory {
    fn access_now(&self, tenant: &TenantId) -> Option<Arc<Snapshot>> {
        self.platform.live::<LiveAccess>()?.ready(tenant)
    }

    fn holder<'a>(
        &'a self,
        hash: &'a TokenHash,
    ) -> BoxFuture<'a, Result<Option<Holder>, Unavailable>> {
        async move {
            let view = self.platform.view("access").ok_or(Unavailable)?;
            let everything = self.everything();
            let generation = view.at_least(&self.platform.ports, &everything, PATIENCE);
            let generation = generation.await.map_err(|_| Unavailable)?;
            let store = self.platform.ports.store.as_ref();
            holder_of(store, generation, &hash.0).await.map_err(|fault| {
                tracing::warn!(%fault, "credentials cannot be looked up");
                Unavailable
            })
        }
        .boxed()
    }

    fn access<'a>(
        &'a self,
        tenant: &'a TenantId,
    ) -> BoxFuture<'a, Result<Arc<Snapshot>, Unavailable>> {
        async move {
            let live = self.platform.live::<LiveAccess>().ok_or(Unavailable)?;
            let seen = live.get(tenant, &Token::default(), PATIENCE).await;
            Ok(seen.map_err(|_| Unavailable)?.snapshot)
        }
        .boxed()
    }
}
