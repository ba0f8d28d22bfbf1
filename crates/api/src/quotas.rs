//! `exchequer.quotas.v1.QuotaService`. Reservations are decided by the tenant's writer; checks
//! and lists are answered from memory, in the time that the tenant lives in.

use core::time::Duration;
use std::sync::Arc;

use exchequer_codec::quota_message;
use exchequer_domain_entitlements::is_entitled;
use exchequer_domain_quotas as domain;
use exchequer_domain_tenants::codes::TENANT_CLOSED;
use exchequer_engine::MeterFigures;
use exchequer_kernel::Reason as _;
use exchequer_projection_entitlements::LiveEntitlements;
use exchequer_projection_quotas::LiveQuotas;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::quotas::v1 as pb;
use exchequer_proto::quotas::v1::quota_service_server::{QuotaService, QuotaServiceServer};
use exchequer_tenant::Command;
use exchequer_types::{Quantity, Slug, StreamId, TenantId, TenantStatus, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::REQUEST_BYTES_MAX;
use crate::batch::{self, ItemResult, item};
use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::edge::{Asked, Edge};
use crate::lists::list_options;
use crate::mask::Mask;
use crate::quota_headers::{self, Answer, OfQuota, Words};
use crate::status::{self, tenant_not_found};
use crate::usage::at_rest;

pub(crate) struct Quotas {
    pub(crate) edge: Edge,
    /// Not there where nothing is metered.
    pub(crate) figures: Option<MeterFigures>,
}

impl core::fmt::Debug for Quotas {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Quotas").finish_non_exhaustive()
    }
}

/// The service on `edge`.
pub(crate) fn service(edge: &Edge) -> QuotaServiceServer<Quotas> {
    let platform = &edge.platform;
    let figures = MeterFigures::of(&platform.ports, platform.meters.as_ref());
    let quotas = Quotas { edge: edge.clone(), figures };
    QuotaServiceServer::new(quotas).max_decoding_message_size(REQUEST_BYTES_MAX)
}

type Reply<T> = Result<Response<T>, Status>;

item!(pb::ReserveRequest, "exchequer.quotas.v1.ReserveRequest");

fn result_of(result: ItemResult<pb::Reservation>) -> pb::ReserveResult {
    use pb::reserve_result::Result as R;
    pb::ReserveResult { result: Some(result.map_or_else(R::Error, R::Reservation)) }
}

#[async_trait]
impl QuotaService for Quotas {
    async fn reserve(&self, request: Request<pb::ReserveRequest>) -> Reply<pb::Reservation> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.reserve_one(&mut call, it).await;
        quota_headers::reply(call, result)
    }

    async fn batch_reserve(
        &self,
        request: Request<pb::BatchReserveRequest>,
    ) -> Reply<pb::BatchReserveResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let one = |mut call: Call, mut item: pb::ReserveRequest| -> BoxFuture<'_, _> {
            let is_of_batch = batch::common(&mut item.tenant, "tenant", tenant.as_str());
            async move {
                let result = match is_of_batch {
                    Ok(()) => self.reserve_one(&mut call, item).await,
                    Err(refused) => Err(refused),
                };
                (call, result.map(|(reservation, _)| reservation))
            }
            .boxed()
        };
        let results = self.edge.each(&mut call, check, it.requests, it.write, one).await;
        let result = results.map(|results| pb::BatchReserveResponse {
            results: results.into_iter().map(result_of).collect(),
        });
        call.reply(result)
    }

    async fn finalise(&self, request: Request<pb::FinaliseRequest>) -> Reply<pb::Reservation> {
        let (mut call, it) = self.edge.receive(request)?;
        let finalise = domain::Finalise { id: it.reservation, amount: it.amount };
        let command = Some(domain::Command::Finalise(finalise));
        let result = self.submit(&mut call, Check::default(), it.tenant, it.write, command).await;
        quota_headers::reply(call, result)
    }

    async fn release(&self, request: Request<pb::ReleaseRequest>) -> Reply<pb::Reservation> {
        let (mut call, it) = self.edge.receive(request)?;
        let release = domain::Release { id: it.reservation };
        let command = Some(domain::Command::Release(release));
        let result = self.submit(&mut call, Check::default(), it.tenant, it.write, command).await;
        quota_headers::reply(call, result)
    }

    async fn adjust_held(&self, request: Request<pb::AdjustHeldRequest>) -> Reply<pb::Quota> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let feature = check.slug("feature", it.feature);
        let (units, reason) = (it.units, it.reason);
        let adjust = |feature| domain::AdjustHeld { feature, units, reason };
        let command = feature.map(|feature| domain::Command::AdjustHeld(adjust(feature)));
        let result = self.submit(&mut call, check, it.tenant, it.write, command).await;
        quota_headers::reply(call, result)
    }

    async fn check_quota(
        &self,
        request: Request<pb::CheckQuotaRequest>,
    ) -> Reply<pb::CheckQuotaResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.check(&mut call, it).await;
        quota_headers::reply(call, result)
    }

    async fn get_quota(&self, request: Request<pb::GetQuotaRequest>) -> Reply<pb::Quota> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.get(&mut call, it).await;
        quota_headers::reply(call, result)
    }

    async fn list_quotas(
        &self,
        request: Request<pb::ListQuotasRequest>,
    ) -> Reply<pb::ListQuotasResponse> {
        self.edge.serve(request, async |call, it| self.list(call, it).await).await
    }
}

/// A tenant's limits, and what else an answer needs.
struct Known {
    quotas: Arc<domain::State>,
    entitlements: Arc<exchequer_projection_entitlements::Snapshot>,
    /// The tenant's time.
    at: Timestamp,
}

impl Known {
    /// The code with which a reservation of so many units would be refused. What is given
    /// without being counted needs none, and is not refused.
    fn refuses(&self, feature: &Slug, units: u64) -> Option<&'static str> {
        match self.entitlements.status {
            TenantStatus::Active => {}
            TenantStatus::Suspended => return Some(domain::codes::QUOTA_TENANT_SUSPENDED),
            TenantStatus::Closed => return Some(TENANT_CLOSED),
        }
        match self.quotas.quota(feature).map(|it| it.at(self.at)) {
            Some(quota) => quota.check(units, self.at).err().map(|it| it.code()),
            None => (!is_entitled(&self.entitlements.state, feature, self.at))
                .then_some(domain::codes::FEATURE_NOT_INCLUDED),
        }
    }
}

impl Quotas {
    async fn reserve_one(
        &self,
        call: &mut Call,
        it: pb::ReserveRequest,
    ) -> Answer<pb::Reservation> {
        let mut check = Check::default();
        let feature = check.slug("feature", it.feature);
        let ttl_seconds = seconds(&mut check, it.ttl);
        let (id, amount, tenant) = (it.reservation, it.amount.max(1), it.tenant.clone());
        let wanted = feature.clone();
        let reserve = |feature| domain::Reserve { id, feature, amount, ttl_seconds };
        let command = feature.map(|feature| domain::Command::Reserve(reserve(feature)));
        let result = self.submit(call, check, it.tenant, it.write, command).await;
        match (result, TenantId::parse(tenant), wanted) {
            (Err(refused), Ok(tenant), Some(feature)) if quota_headers::is_of_quota(&refused) => {
                Err(self.explain(call, refused, &tenant, &feature).await)
            }
            (result, ..) => result,
        }
    }

    /// The refusal, with what is left and when there is more. As it is when that is not known.
    async fn explain(
        &self,
        call: &mut Call,
        refused: Status,
        tenant: &TenantId,
        feature: &Slug,
    ) -> Status {
        let Ok(known) = self.known(call, tenant).await else { return refused };
        let Some(quota) = known.quotas.quota(feature).map(|it| it.at(known.at)) else {
            return refused;
        };
        Words::of(&quota_message(&quota, None), known.at).explain(&refused)
    }

    async fn check(
        &self,
        call: &mut Call,
        it: pb::CheckQuotaRequest,
    ) -> Answer<pb::CheckQuotaResponse> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let feature = check.slug("feature", it.feature);
        check.done()?;
        let feature = feature.ok_or_else(unchecked)?;
        let known = self.known(call, &tenant).await?;
        let no = known.refuses(&feature, it.amount.max(1)).unwrap_or_default();
        let (allowed, reason) = (no.is_empty(), no.to_owned());
        let Some(quota) = known.quotas.quota(&feature).map(|it| it.at(known.at)) else {
            return Ok((pb::CheckQuotaResponse { allowed, reason, quota: None }, None));
        };
        // Whether it is allowed does not depend on it, so that nobody waits for it.
        let measured = self.measured(&tenant, &quota, Duration::ZERO).await.unwrap_or_default();
        let shown = quota_message(&quota, measured);
        let words = Words::of(&shown, known.at);
        let reply = pb::CheckQuotaResponse { allowed, reason, quota: Some(shown) };
        Ok((reply, Some(words)))
    }

    async fn get(&self, call: &mut Call, it: pb::GetQuotaRequest) -> Answer<pb::Quota> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let feature = check.slug("feature", it.feature);
        let mask = Mask::read::<pb::Quota>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let feature = feature.ok_or_else(unchecked)?;
        let known = self.known(call, &tenant).await?;
        let Some(quota) = known.quotas.quota(&feature).map(|it| it.at(known.at)) else {
            return Err(status::quota_not_found());
        };
        let measured = self.measured(&tenant, &quota, call.patience).await?;
        let shown = quota_message(&quota, measured);
        let words = Words::of(&shown, known.at);
        Ok((mask.apply(shown)?, Some(words)))
    }

    async fn list(
        &self,
        call: &mut Call,
        it: pb::ListQuotasRequest,
    ) -> Result<pb::ListQuotasResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let (options, of) = (list_options!(it), [tenant.as_str()]);
        let place = |text: &str| Some(text.to_owned());
        let list = check.list::<pb::Quota, _>("ListQuotas", &of, options, place);
        check.done()?;
        let known = self.known(call, &tenant).await?;
        let mut all = Vec::with_capacity(known.quotas.quotas().len());
        for quota in known.quotas.quotas() {
            let quota = quota.at(known.at);
            let measured = self.measured(&tenant, &quota, call.patience).await?;
            all.push(quota_message(&quota, measured));
        }
        let (quotas, next_page_token) = list.page_of(all.into_iter(), |it| it.feature.clone())?;
        Ok(pb::ListQuotasResponse { quotas, next_page_token })
    }

    /// What the quota's meter has counted in the window; waits for so long while it is written.
    async fn measured(
        &self,
        tenant: &TenantId,
        quota: &domain::Quota,
        patience: Duration,
    ) -> Result<Option<Quantity>, Status> {
        let (Some(figures), Some(meter)) = (&self.figures, &quota.terms.meter) else {
            return Ok(None);
        };
        let ask = || figures.of_window(tenant, meter, quota.window);
        at_rest(self.edge.platform.ports.runtime.as_ref(), patience, ask).await
    }

    async fn known(&self, call: &mut Call, tenant: &TenantId) -> Result<Known, Status> {
        let entitlements = self.edge.live::<LiveEntitlements>(call, tenant).await?;
        if !entitlements.exists {
            return Err(tenant_not_found("tenant"));
        }
        let quotas = self.edge.live::<LiveQuotas>(call, tenant).await?;
        let at = entitlements.time(self.edge.platform.ports.runtime.now());
        Ok(Known { quotas, entitlements, at })
    }

    async fn submit<R: Message + Default + OfQuota>(
        &self,
        call: &mut Call,
        mut check: Check,
        tenant: String,
        write: Option<WriteOptions>,
        command: Option<domain::Command>,
    ) -> Answer<R> {
        let tenant = check.tenant("tenant", tenant);
        let write = check.write(write);
        check.done()?;
        let command = Command::Quotas(command.ok_or_else(unchecked)?);
        let asked = Asked { stream: StreamId::Tenant(tenant.clone()), command, write, rename };
        let reply: R = self.edge.submit(call, asked).await?;
        let Some(quota) = reply.quota() else { return Ok((reply, None)) };
        // Only who is told when counting begins anew needs the tenant's time.
        let now = self.edge.platform.ports.runtime.now();
        let at = match &quota.resets_at {
            Some(_) => self.edge.live::<LiveEntitlements>(call, &tenant).await?.time(now),
            None => now,
        };
        let words = Words::of(quota, at);
        Ok((reply, Some(words)))
    }
}

/// What a reservation asks for; the default when it says nothing.
fn seconds(check: &mut Check, ttl: Option<prost_types::Duration>) -> u32 {
    let Some(ttl) = ttl else { return domain::TTL_SECONDS_DEFAULT };
    let range = 1..=i64::from(domain::TTL_SECONDS_MAX);
    if ttl.nanos != 0 || !range.contains(&ttl.seconds) {
        let text = format!("must be 1 to {} whole seconds", domain::TTL_SECONDS_MAX);
        check.refuse(domain::codes::RESERVATION_TTL_INVALID, "ttl", text);
        return domain::TTL_SECONDS_DEFAULT;
    }
    u32::try_from(ttl.seconds).unwrap_or(domain::TTL_SECONDS_DEFAULT)
}

/// As requests call a field of the command, or of the tenant it is addressed to.
fn rename(field: &str) -> String {
    match field {
        "id" => "tenant",
        same => same,
    }
    .to_owned()
}
