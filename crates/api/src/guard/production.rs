//! Whether a change of flags is one of production, from the flags in memory.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use exchequer_domain_flags::Flag;
use exchequer_engine::{Platform, Token};
use exchequer_projection_flags::{LiveFlags, LiveProject, ProjectKey};
use exchequer_types::{Slug, TenantId};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::authn::Unavailable;

const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of environments and flags.
pub(crate) trait Production: fmt::Debug + Send + Sync {
    /// A change of flags in `environment` concerns production. Of no environment: one of the
    /// project is production, where every flag is served, if only as off.
    fn changes<'a>(
        &'a self,
        tenant: &'a TenantId,
        project: &'a Slug,
        environment: Option<&'a str>,
    ) -> BoxFuture<'a, Result<bool, Unavailable>>;

    /// The flag as it is. None when there is none.
    fn flag<'a>(
        &'a self,
        tenant: &'a TenantId,
        project: &'a Slug,
        flag: &'a Slug,
    ) -> BoxFuture<'a, Result<Option<Flag>, Unavailable>>;
}

/// The flags of a running platform.
#[derive(Clone, Debug)]
pub(crate) struct PlatformFlags(pub(crate) Platform);

impl PlatformFlags {
    async fn project(
        &self,
        tenant: &TenantId,
        project: &Slug,
    ) -> Result<Arc<LiveProject>, Unavailable> {
        let live = self.0.live::<LiveFlags>().ok_or(Unavailable)?;
        let key = ProjectKey { tenant: tenant.clone(), project: project.clone() };
        let seen = live.get(&key, &Token::default(), PATIENCE).await;
        Ok(seen.map_err(|_| Unavailable)?.snapshot)
    }
}

impl Production for PlatformFlags {
    fn changes<'a>(
        &'a self,
        tenant: &'a TenantId,
        project: &'a Slug,
        environment: Option<&'a str>,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        async move {
            let live = self.project(tenant, project).await?;
            // What is not there is not production either: the service says what is missing.
            let Some(project) = live.project() else { return Ok(false) };
            let mut served = project.environments.iter().filter(|it| it.production);
            Ok(served.any(|it| environment.is_none_or(|named| it.key.as_str() == named)))
        }
        .boxed()
    }

    fn flag<'a>(
        &'a self,
        tenant: &'a TenantId,
        project: &'a Slug,
        flag: &'a Slug,
    ) -> BoxFuture<'a, Result<Option<Flag>, Unavailable>> {
        async move {
            let live = self.project(tenant, project).await?;
            Ok(live.project().and_then(|it| it.flags.get(flag)).cloned())
        }
        .boxed()
    }
}
