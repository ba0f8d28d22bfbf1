//! Which schema an event's data must keep to: that of its type, as the tenant's provider
//! has set it.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use exchequer_engine::{Platform, Token};
use exchequer_event_schema::{Cache, Schema};
use exchequer_projection_meters::{LiveMeters, LiveTerms};
use exchequer_types::TenantId;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::authn::Unavailable;

const PATIENCE: Duration = Duration::from_secs(2);

/// Where the schemas of event types are known.
pub(crate) trait Schemas: fmt::Debug + Send + Sync {
    /// The schema in force of events of type `kind` of `tenant`, which is its provider's;
    /// none when data of this type are free.
    fn of<'a>(
        &'a self,
        tenant: &'a TenantId,
        kind: &'a str,
    ) -> BoxFuture<'a, Result<Option<Arc<Schema>>, Unavailable>>;
}

/// Those that a running platform has in memory.
#[derive(Debug)]
pub(crate) struct PlatformSchemas {
    pub(crate) platform: Platform,
    pub(crate) compiled: Cache,
}

impl Schemas for PlatformSchemas {
    fn of<'a>(
        &'a self,
        tenant: &'a TenantId,
        kind: &'a str,
    ) -> BoxFuture<'a, Result<Option<Arc<Schema>>, Unavailable>> {
        async move {
            // A process that knows no meters knows no schemas either.
            let (Some(terms), Some(meters)) =
                (self.platform.live::<LiveTerms>(), self.platform.live::<LiveMeters>())
            else {
                return Ok(None);
            };
            let now = Token::default();
            let terms = terms.get(tenant, &now, PATIENCE).await.map_err(|_| Unavailable)?;
            let Some(provider) = terms.snapshot.counted_by(tenant) else { return Ok(None) };
            let meters = meters.get(&provider, &now, PATIENCE).await.map_err(|_| Unavailable)?;
            let Some(schema) = meters.snapshot.schema(kind) else { return Ok(None) };
            // It was compiled before it was taken over.
            self.compiled.schema(&schema.text).map(Some).map_err(|error| {
                tracing::error!(%provider, kind, %error, "a schema that was accepted does not compile");
                Unavailable
            })
        }
        .boxed()
    }
}
