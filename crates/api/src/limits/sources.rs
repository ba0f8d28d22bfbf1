//! What a tenant's plan and settings say about its requests, from what the platform
//! keeps in memory and in its views.

use core::time::Duration;

use exchequer_domain_entitlements::{Amount, check};
use exchequer_engine::{Platform, Token};
use exchequer_projection_entitlements::LiveEntitlements;
use exchequer_projection_tenants as tenants_view;
use exchequer_types::{Slug, TenantId};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{REQUESTS_PER_MINUTE_MAX, Said, TenantLimits, Untold};

/// The feature of a plan that says how many requests a minute each of its tenants has.
pub const FEATURE: &str = "api-requests-per-minute";
/// The setting that says how many each credential has, also for tenants below.
pub const SETTING: &str = "limits.requests_per_minute";

/// A request does not wait longer than this to learn its limit.
const PATIENCE: Duration = Duration::from_millis(200);

/// Limits as the platform's entitlements and settings say.
#[derive(Clone, Debug)]
pub struct PlatformLimits {
    platform: Platform,
    feature: Option<Slug>,
}

impl PlatformLimits {
    pub fn new(platform: Platform) -> Self {
        Self { platform, feature: Slug::parse(FEATURE).ok() }
    }

    /// What the tenant's entitlements give, when they say how much.
    async fn of_plan(&self, tenant: &TenantId) -> Result<Option<u32>, Untold> {
        let (Some(live), Some(feature)) =
            (self.platform.live::<LiveEntitlements>(), self.feature.as_ref())
        else {
            return Ok(None);
        };
        let seen = live.get(tenant, &Token::default(), PATIENCE).await.map_err(|_| Untold)?;
        let snapshot = seen.snapshot;
        let at = snapshot.time(self.platform.ports.runtime.now());
        let decision = check(&snapshot.state, feature, at);
        Ok(match decision.limit {
            Amount::Unlimited => Some(REQUESTS_PER_MINUTE_MAX),
            Amount::Units(units) if units > 0 => Some(u32::try_from(units).unwrap_or(u32::MAX)),
            // A plan that does not include the feature says nothing about it.
            Amount::Units(_) | Amount::On => None,
        })
    }

    async fn of_settings(&self, tenant: &TenantId) -> Result<Option<u32>, Untold> {
        let Some(view) = self.platform.view("tenants") else { return Ok(None) };
        let generation = view.active().number;
        let store = self.platform.ports.store.as_ref();
        let settings = tenants_view::effective_settings(store, generation, tenant).await;
        let settings = settings.map_err(|_| Untold)?.unwrap_or_default();
        Ok(settings.get(SETTING).and_then(|setting| setting.value.parse().ok()))
    }
}

impl TenantLimits for PlatformLimits {
    fn of<'a>(&'a self, tenant: &'a TenantId) -> BoxFuture<'a, Result<Said, Untold>> {
        async move {
            let of_plan = self.of_plan(tenant).await?;
            let of_settings = match of_plan {
                Some(_) => None,
                None => self.of_settings(tenant).await?,
            };
            Ok(Said { of_plan, of_settings })
        }
        .boxed()
    }
}
