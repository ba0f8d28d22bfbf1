//! Whether a change of flags is one of production, from the flags in memory.

use core::fmt;
use core::time::Duration;

use exchequer_engine::{Platform, Token};
use exchequer_projection_flags::{LiveFlags, ProjectKey};
use exchequer_types::{Slug, TenantId};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::authn::Unavailable;

const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of environments and flags.
pub(crate) trait Production: fmt::Debug + Send + Sync {
    /// A change of `flag` in `environment` concerns production. Of no environment: the
    /// flag is on in one of production. Of no flag: any may be meant.
    fn changes<'a>(
        &'a self,
        tenant: &'a TenantId,
        project: &'a Slug,
        environment: Option<&'a str>,
        flag: Option<&'a str>,
    ) -> BoxFuture<'a, Result<bool, Unavailable>>;
}

/// The flags of a running platform.
#[derive(Clone, Debug)]
pub(crate) struct PlatformFlags(pub(crate) Platform);

impl Production for PlatformFlags {
    fn changes<'a>(
        &'a self,
        tenant: &'a TenantId,
        project: &'a Slug,
        environment: Option<&'a str>,
        flag: Option<&'a str>,
    ) -> BoxFuture<'a, Result<bool, Unavailable>> {
        async move {
            let live = self.0.live::<LiveFlags>().ok_or(Unavailable)?;
            let key = ProjectKey { tenant: tenant.clone(), project: project.clone() };
            let seen = live.get(&key, &Token::default(), PATIENCE).await;
            let seen = seen.map_err(|_| Unavailable)?;
            // What is not there is not production either: the service says what is missing.
            let Some(project) = seen.snapshot.project() else { return Ok(false) };
            let mut served = project.environments.iter().filter(|it| it.production);
            if let Some(environment) = environment {
                return Ok(served.any(|it| it.key.as_str() == environment));
            }
            let Some(flag) = flag else { return Ok(served.next().is_some()) };
            let flag = Slug::parse(flag).ok().and_then(|key| project.flags.get(&key));
            let is_on = |environment: &Slug| {
                flag.and_then(|it| it.targeting.get(environment)).is_some_and(|it| it.enabled)
            };
            Ok(served.any(|it| is_on(&it.key)))
        }
        .boxed()
    }
}
