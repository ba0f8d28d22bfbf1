//! Definitions as the platform's own snapshots tell them.

use core::time::Duration;
use std::sync::Arc;

use exchequer_domain_usage::{Backfill, Meter, Schema};
use exchequer_metering::{AdoptedMeters, AdoptedSchema, AdoptedTenant, BackfillOrder};
use exchequer_projection_meters::{LiveMeters, LiveTerms, concerns};
use exchequer_types::TenantId;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::definitions::{ChangeList, Changed, DefinitionsSource, MeterSet, TenantTerms};
use crate::live::{LiveView, Lives};
use crate::tail::{Tail, TailItem, TailListener, unavailable};
use crate::{Behind, EngineError, Token};

/// A snapshot that has to be loaded must be there by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the live snapshots, and notes which of them change.
#[derive(Debug)]
pub(crate) struct LiveDefinitions {
    meters: Arc<LiveView<LiveMeters>>,
    terms: Arc<LiveView<LiveTerms>>,
    changes: ChangeList,
}

impl LiveDefinitions {
    /// None when the platform has no such snapshots. Listens to `tail` behind them and
    /// before whoever replies to commands, so that who was told of a change sees it count.
    pub(crate) fn open(lives: &Lives, tail: &Tail) -> Option<Arc<Self>> {
        let it = Arc::new(Self {
            meters: lives.get()?,
            terms: lives.get()?,
            changes: ChangeList::default(),
        });
        tail.listen(Arc::<Self>::clone(&it));
        Some(it)
    }
}

impl TailListener for LiveDefinitions {
    fn accepted(&self, item: &TailItem) {
        let (providers, tenants) = concerns(&item.entry);
        for id in providers {
            self.changes.push(Changed::Provider(id));
        }
        for id in tenants {
            self.changes.push(Changed::Tenant(id));
        }
    }
}

impl DefinitionsSource for LiveDefinitions {
    fn tenant<'a>(
        &'a self,
        tenant: &'a TenantId,
    ) -> BoxFuture<'a, Result<TenantTerms, EngineError>> {
        async move {
            let seen = self.terms.get(tenant, &Token(Vec::new()), PATIENCE).await;
            let seen = seen.map_err(behind)?;
            let adopted = AdoptedTenant {
                tenant: tenant.clone(),
                provider: seen.snapshot.counted_by(tenant),
                periods: seen.snapshot.periods(),
            };
            Ok(TenantTerms { adopted, position: (seen.partition, seen.offset) })
        }
        .boxed()
    }

    fn meters<'a>(
        &'a self,
        provider: &'a TenantId,
    ) -> BoxFuture<'a, Result<Arc<MeterSet>, EngineError>> {
        async move {
            let seen = self.meters.get(provider, &Token(Vec::new()), PATIENCE).await;
            let seen = seen.map_err(behind)?;
            let adopted = AdoptedMeters {
                provider: provider.clone(),
                version: seen.snapshot.version(),
                meters: seen.snapshot.meters().map(|meter| meter.rules.clone()).collect(),
                terms: seen.snapshot.terms(),
                schemas: seen.snapshot.schemas().map(schema).collect(),
                backfills: seen.snapshot.backfills().map(order).collect(),
            };
            Ok(Arc::new(MeterSet { adopted, position: (seen.partition, seen.offset) }))
        }
        .boxed()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changes.changed()
    }

    fn changes_since(&self, since: u64) -> Option<Vec<Changed>> {
        self.changes.since(since)
    }
}

fn schema(it: &Schema) -> AdoptedSchema {
    AdoptedSchema { kind: it.kind.clone(), version: it.version, text: it.text.clone() }
}

fn order((meter, backfill): (&Meter, &Backfill)) -> BackfillOrder {
    BackfillOrder {
        id: backfill.id.clone(),
        meter: meter.rules.key.clone(),
        version: meter.rules.version,
        from: backfill.from,
        until: backfill.until,
    }
}

fn behind(behind: Behind) -> EngineError {
    unavailable(format!("the snapshots of {} are not there in time", behind.view)).into()
}
