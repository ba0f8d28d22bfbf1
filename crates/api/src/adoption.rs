//! What a command needs of a provider becomes known to all partitions a moment after
//! the provider said it. Until then the command is asked again under the same id,
//! unless the views say that there is nothing to wait for.

use core::time::Duration;

use exchequer_domain_catalog::{CATALOGS_MAX, codes as catalog};
use exchequer_domain_entitlements as entitlements;
use exchequer_engine::{Answer, Submission};
use exchequer_kernel::Status as Decided;
use exchequer_projection_catalogs as catalogs_view;
use exchequer_projection_tenants as tenants_view;
use exchequer_tenant::Command;
use exchequer_types::{Slug, StreamId, TenantId};
use tonic::Status;

use crate::call::Call;
use crate::edge::{Edge, Seen};
use crate::status::{
    self, CATALOG_NOT_ADOPTED, FEATURE_UNKNOWN, PROVIDER_NOT_ADOPTED, Refusal, TENANT_NOT_PROVIDER,
    tenant_not_found,
};

/// A command waits this long for what it needs to be known in its partition.
const ADOPTION_PATIENCE_MAX: Duration = Duration::from_secs(2);
const ADOPTION_RETRY_MIN: Duration = Duration::from_millis(10);

/// What a command may have to wait for.
#[derive(Debug)]
pub(crate) enum Awaited {
    Provider(TenantId),
    /// Of the tenant's provider.
    Catalog {
        tenant: TenantId,
        catalog: Option<Slug>,
        version: Option<u32>,
    },
    /// Of a catalog of the tenant's provider.
    Feature {
        tenant: TenantId,
        feature: Slug,
    },
}

impl Awaited {
    pub(crate) fn of(stream: &StreamId, command: &Command) -> Option<Self> {
        let of_catalog = |catalog: Option<&Slug>, version| {
            let (tenant, catalog) = (stream.tenant()?.clone(), catalog.cloned());
            Some(Self::Catalog { tenant, catalog, version })
        };
        match command {
            Command::Create(it) => Some(Self::Provider(it.parent.clone())),
            Command::Subscribe(it) => of_catalog(Some(&it.selection.catalog), it.selection.version),
            Command::ChangeSubscription(it) => of_catalog(it.to.catalog.as_ref(), it.to.version),
            Command::AmendChange(it) => of_catalog(it.to.catalog.as_ref(), it.to.version),
            Command::Entitlements(entitlements::Command::Grant(it)) => {
                let (tenant, feature) = (stream.tenant()?.clone(), it.feature.clone());
                Some(Self::Feature { tenant, feature })
            }
            _ => None,
        }
    }
}

impl Edge {
    pub(crate) async fn answer_when_adopted(
        &self,
        call: &mut Call,
        submission: Submission,
        awaited: &Awaited,
    ) -> Result<Answer, Status> {
        let began = self.platform.ports.runtime.now();
        let mut wait = ADOPTION_RETRY_MIN;
        loop {
            let left = call.patience.saturating_sub(self.elapsed(began));
            let answer = self.answer(call, submission.clone(), left).await?;
            if !is_not_adopted(&answer) {
                return Ok(answer);
            }
            match awaited {
                Awaited::Provider(parent) => self.check_provider(call, parent).await?,
                Awaited::Catalog { tenant, catalog, version } => {
                    self.check_catalog(call, tenant, catalog.as_ref(), *version).await?;
                }
                Awaited::Feature { tenant, feature } => {
                    self.check_feature(call, tenant, feature).await?;
                }
            }
            if self.elapsed(began) + wait > ADOPTION_PATIENCE_MAX.min(call.patience) {
                return Ok(answer);
            }
            self.platform.ports.runtime.sleep(wait).await;
            wait *= 2;
        }
    }

    /// Is `parent` a provider, as of now?
    async fn check_provider(&self, call: &Call, parent: &TenantId) -> Result<(), Status> {
        let seen = self.as_of_now("tenants", call, parent).await?;
        match tenants_view::get(self.platform.ports.store.as_ref(), seen.generation, parent).await {
            Err(fault) => Err(status::of_fault(&fault)),
            Ok(None) => Err(tenant_not_found("parent")),
            Ok(Some(listed)) if !listed.tenant.provider => {
                let message = "the parent is no provider: promote it first";
                Err(Refusal::new(TENANT_NOT_PROVIDER, message).field("parent").status())
            }
            Ok(Some(_)) => Ok(()),
        }
    }

    /// Has the provider of `tenant` published what is asked for, as of now?
    async fn check_catalog(
        &self,
        call: &Call,
        tenant: &TenantId,
        catalog: Option<&Slug>,
        version: Option<u32>,
    ) -> Result<(), Status> {
        // A change within what is held names no catalog; its catalog is there.
        let Some(catalog) = catalog else { return Ok(()) };
        let store = self.platform.ports.store.as_ref();
        let (provider, seen) = self.catalogs_for(call, tenant).await?;
        let found =
            catalogs_view::version(store, seen.generation, &provider, catalog, version).await;
        if found.map_err(|fault| status::of_fault(&fault))?.is_some() {
            return Ok(());
        }
        Err(if let Some(version) = version {
            let message = format!("catalog {catalog} of {provider} has no version {version}");
            Refusal::new(catalog::CATALOG_VERSION_NOT_FOUND, message).field("version").status()
        } else {
            let message = format!("the provider {provider} has published no catalog {catalog}");
            Refusal::new(catalog::CATALOG_NOT_FOUND, message).field("catalog").status()
        })
    }

    /// Does the newest version of a catalog of the tenant's provider have the feature, as of
    /// now? One that an older version alone has is known already.
    async fn check_feature(
        &self,
        call: &Call,
        tenant: &TenantId,
        feature: &Slug,
    ) -> Result<(), Status> {
        let store = self.platform.ports.store.as_ref();
        let (provider, seen) = self.catalogs_for(call, tenant).await?;
        let generation = seen.generation;
        let all = catalogs_view::list(store, generation, &provider, None, CATALOGS_MAX, &|_| true);
        let all = all.await.map_err(|fault| status::of_fault(&fault))?;
        for (catalog, _) in all.items {
            let newest = catalogs_view::version(store, generation, &provider, &catalog, None);
            let newest = newest.await.map_err(|fault| status::of_fault(&fault))?;
            let mut features = newest.iter().flat_map(|(_, _, document)| &document.features);
            if features.any(|it| it.id == feature.as_str()) {
                return Ok(());
            }
        }
        let message = format!("no catalog of the provider {provider} has the feature {feature}");
        Err(Refusal::new(FEATURE_UNKNOWN, message).field("feature").status())
    }

    /// The provider of `tenant`, which the root is of itself, and its catalogs as of now.
    async fn catalogs_for(
        &self,
        call: &Call,
        tenant: &TenantId,
    ) -> Result<(TenantId, Seen), Status> {
        let seen = self.as_of_now("tenants", call, tenant).await?;
        let store = self.platform.ports.store.as_ref();
        let found = tenants_view::get(store, seen.generation, tenant).await;
        let found = found.map_err(|fault| status::of_fault(&fault))?;
        let found = found.ok_or_else(|| tenant_not_found("tenant"))?.tenant;
        let provider = found.parent.unwrap_or(found.id);
        let seen = self.as_of_now("catalogs", call, &provider).await?;
        Ok((provider, seen))
    }

    /// The view `name` with everything that `tenant` has decided up to now.
    async fn as_of_now(
        &self,
        name: &'static str,
        call: &Call,
        tenant: &TenantId,
    ) -> Result<Seen, Status> {
        let partition = self.partition(tenant);
        let mut token = call.token.clone();
        token.0.push((partition, self.platform.tail.state(partition).head.offset));
        self.seen(name, &token, call.patience).await
    }
}

fn is_not_adopted(answer: &Answer) -> bool {
    match answer.status() {
        Some(Decided::NotAdopted) => true,
        Some(Decided::Validated) => {
            [PROVIDER_NOT_ADOPTED, CATALOG_NOT_ADOPTED].contains(&answer.outcome.code.as_str())
        }
        _ => false,
    }
}
