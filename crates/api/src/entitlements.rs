//! `exchequer.entitlements.v1.EntitlementService`. Checks and lists are answered from
//! memory, in the time that the tenant lives in.

use std::sync::Arc;

use exchequer_codec::{
    amount_from_proto, entitlement_message, grant_kind_from_proto, grant_message,
};
use exchequer_domain_entitlements as domain;
use exchequer_domain_quotas as quotas;
use exchequer_projection_entitlements::{LiveEntitlements, Snapshot};
use exchequer_projection_quotas::LiveQuotas;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::entitlements::v1 as pb;
use exchequer_proto::entitlements::v1::entitlement_service_server::EntitlementService;
use exchequer_tenant::{Command, decision, holding};
use exchequer_types::{Slug, TenantId, Timestamp};
use futures::FutureExt as _;
use tonic::{Request, Response, Status, async_trait};

use crate::batch::{self, ItemResult, item};
use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::edge::{Edge, Wanted};
use crate::lists::list_options;
use crate::status::{ENUM_UNKNOWN, FEATURES_COUNT_INVALID, FIELD_MISSING, tenant_not_found};

/// Features of one call.
const FEATURES_MAX: usize = 100;

#[derive(Debug)]
pub(crate) struct Entitlements {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

item!(pb::GrantEntitlementRequest, "exchequer.entitlements.v1.GrantEntitlementRequest");

fn result_of(result: ItemResult<pb::Grant>) -> pb::GrantResult {
    use pb::grant_result::Result as R;
    pb::GrantResult { result: Some(result.map_or_else(R::Error, R::Grant)) }
}

#[async_trait]
impl EntitlementService for Entitlements {
    async fn check_entitlement(
        &self,
        request: Request<pb::CheckEntitlementRequest>,
    ) -> Reply<pb::Entitlement> {
        self.edge.serve(request, async |call, it| self.check(call, it).await).await
    }

    async fn batch_check_entitlements(
        &self,
        request: Request<pb::BatchCheckEntitlementsRequest>,
    ) -> Reply<pb::BatchCheckEntitlementsResponse> {
        self.edge.serve(request, async |call, it| self.batch(call, it).await).await
    }

    async fn list_entitlements(
        &self,
        request: Request<pb::ListEntitlementsRequest>,
    ) -> Reply<pb::ListEntitlementsResponse> {
        self.edge.serve(request, async |call, it| self.list(call, it).await).await
    }

    async fn grant_entitlement(
        &self,
        request: Request<pb::GrantEntitlementRequest>,
    ) -> Reply<pb::Grant> {
        self.edge.serve(request, async |call, it| self.grant(call, it).await).await
    }

    async fn batch_grant_entitlements(
        &self,
        request: Request<pb::BatchGrantEntitlementsRequest>,
    ) -> Reply<pb::BatchGrantEntitlementsResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let one = |mut call: Call, mut item: pb::GrantEntitlementRequest| {
            let is_of_batch = batch::common(&mut item.tenant, "tenant", tenant.as_str());
            async move {
                let result = match is_of_batch {
                    Ok(()) => self.grant(&mut call, item).await,
                    Err(refused) => Err(refused),
                };
                (call, result)
            }
            .boxed()
        };
        let results = self.edge.each(&mut call, check, it.requests, it.write, one).await;
        let result = results.map(|results| pb::BatchGrantEntitlementsResponse {
            results: results.into_iter().map(result_of).collect(),
        });
        call.reply(result)
    }

    async fn revoke_grant(&self, request: Request<pb::RevokeGrantRequest>) -> Reply<pb::Grant> {
        let (call, it) = self.edge.receive(request)?;
        let revoke = domain::Revoke { id: it.id, reason: it.reason };
        let command = Some(domain::Command::Revoke(revoke));
        self.edge.write(call, Check::default(), wanted(it.tenant, it.write, command)).await
    }

    async fn list_grants(
        &self,
        request: Request<pb::ListGrantsRequest>,
    ) -> Reply<pb::ListGrantsResponse> {
        self.edge.serve(request, async |call, it| self.grants(call, it).await).await
    }

    async fn report_use(&self, request: Request<pb::ReportUseRequest>) -> Reply<pb::Entitlement> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let feature = check.slug("feature", it.feature);
        let report = |feature| domain::ReportUse { feature, used: it.used };
        let command = feature.map(|feature| domain::Command::ReportUse(report(feature)));
        self.edge.write(call, check, wanted(it.tenant, it.write, command)).await
    }
}

impl Entitlements {
    async fn check(
        &self,
        call: &mut Call,
        it: pb::CheckEntitlementRequest,
    ) -> Result<pb::Entitlement, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let feature = check.slug("feature", it.feature);
        check.done()?;
        let feature = feature.ok_or_else(unchecked)?;
        let known = self.known(call, &tenant).await?;
        Ok(known.answer(&feature, it.units.max(1)))
    }

    async fn batch(
        &self,
        call: &mut Call,
        it: pb::BatchCheckEntitlementsRequest,
    ) -> Result<pb::BatchCheckEntitlementsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        if !(1..=FEATURES_MAX).contains(&it.features.len()) {
            let text = format!("must name 1 to {FEATURES_MAX} features");
            check.refuse(FEATURES_COUNT_INVALID, "features", text);
        }
        let features = it.features.into_iter().take(FEATURES_MAX).enumerate();
        let features: Vec<Slug> = features
            .filter_map(|(index, feature)| check.slug(&format!("features[{index}]"), feature))
            .collect();
        check.done()?;
        let known = self.known(call, &tenant).await?;
        let answers = features.iter().map(|feature| known.answer(feature, 1));
        Ok(pb::BatchCheckEntitlementsResponse { entitlements: answers.collect() })
    }

    async fn list(
        &self,
        call: &mut Call,
        it: pb::ListEntitlementsRequest,
    ) -> Result<pb::ListEntitlementsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let (options, of) = (list_options!(it), [tenant.as_str()]);
        let place = |text: &str| Some(text.to_owned());
        let list = check.list::<pb::Entitlement, _>("ListEntitlements", &of, options, place);
        check.done()?;
        let known = self.known(call, &tenant).await?;
        let all = domain::list(&known.snapshot.state, known.at).into_iter();
        let all = all.map(|(feature, it)| {
            let held = holding(it, &known.quotas, &feature, known.at);
            entitlement_message(&feature, &held, 1)
        });
        let (entitlements, next_page_token) = list.page_of(all, |it| it.feature.clone())?;
        Ok(pb::ListEntitlementsResponse { entitlements, next_page_token })
    }

    async fn grants(
        &self,
        call: &mut Call,
        it: pb::ListGrantsRequest,
    ) -> Result<pb::ListGrantsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let which = if it.include_ended { "all" } else { "live" };
        let (options, of) = (list_options!(it), [tenant.as_str(), which]);
        let place = |text: &str| Some(text.to_owned());
        let list = check.list::<pb::Grant, _>("ListGrants", &of, options, place);
        check.done()?;
        let (snapshot, at) = self.snapshot(call, &tenant).await?;
        let wanted = |grant: &domain::Grant| it.include_ended || grant.is_live(at);
        let grants = snapshot.state.grants.values().filter(|grant| wanted(grant));
        let messages = grants.map(|grant| grant_message(grant));
        let (grants, next_page_token) = list.page_of(messages, |it| it.id.clone())?;
        Ok(pb::ListGrantsResponse { grants, next_page_token })
    }

    /// A tenant's entitlements and what reservations hold of them.
    async fn known(&self, call: &mut Call, tenant: &TenantId) -> Result<Known, Status> {
        let (snapshot, at) = self.snapshot(call, tenant).await?;
        let quotas = self.edge.live::<LiveQuotas>(call, tenant).await?;
        Ok(Known { snapshot, quotas, at })
    }

    /// A tenant's entitlements, not older than the call wants, and the tenant's time.
    async fn snapshot(
        &self,
        call: &mut Call,
        tenant: &TenantId,
    ) -> Result<(Arc<Snapshot>, Timestamp), Status> {
        let snapshot = self.edge.live::<LiveEntitlements>(call, tenant).await?;
        if !snapshot.exists {
            return Err(tenant_not_found("tenant"));
        }
        let at = snapshot.time(self.edge.platform.ports.runtime.now());
        Ok((snapshot, at))
    }

    async fn grant(
        &self,
        call: &mut Call,
        it: pb::GrantEntitlementRequest,
    ) -> Result<pb::Grant, Status> {
        let mut check = Check::default();
        let feature = check.slug("feature", it.feature);
        let amount = amount(&mut check, it.amount);
        let kind = kind(&mut check, it.kind);
        let expires_at = check.timestamp("expires_at", it.expires_at);
        let command = match (feature, amount, kind) {
            (Some(feature), Some(amount), Some(kind)) => {
                let reason = it.reason;
                let grant = domain::GrantFeature { feature, amount, kind, reason, expires_at };
                Some(domain::Command::Grant(grant))
            }
            _ => None,
        };
        self.edge.ask(call, check, wanted(it.tenant, it.write, command)).await
    }
}

/// What an answer needs.
struct Known {
    snapshot: Arc<Snapshot>,
    quotas: Arc<quotas::State>,
    /// The tenant's time.
    at: Timestamp,
}

impl Known {
    fn answer(&self, feature: &Slug, units: u64) -> pb::Entitlement {
        let decision = decision(&self.snapshot.state, &self.quotas, feature, self.at);
        entitlement_message(feature, &decision, units)
    }
}

fn amount(check: &mut Check, amount: Option<pb::Amount>) -> Option<domain::Amount> {
    let Some(given) = &amount else {
        check.refuse(FIELD_MISSING, "amount", "must be given");
        return None;
    };
    let has_no_units = matches!(given.kind(), pb::AmountKind::On | pb::AmountKind::Unlimited);
    if given.units > 0 && has_no_units {
        let text = "must be 0 unless the kind is UNITS: they would be lost";
        check.refuse(domain::codes::GRANT_AMOUNT_INVALID, "amount.units", text);
    }
    let text = "must be ON, UNITS or UNLIMITED";
    amount_from_proto(amount).map_err(|_| check.refuse(ENUM_UNKNOWN, "amount.kind", text)).ok()
}

fn kind(check: &mut Check, kind: i32) -> Option<domain::GrantKind> {
    let kind = grant_kind_from_proto(kind);
    if kind.is_none() {
        let text = "must be TRIAL, PROMOTIONAL, MANUAL, BETA or ADD_ON";
        check.refuse(ENUM_UNKNOWN, "kind", text);
    }
    kind
}

/// What a request asks the domain for.
fn wanted(tenant: String, write: Option<WriteOptions>, command: Option<domain::Command>) -> Wanted {
    let command = command.map(Command::Entitlements);
    Wanted { tenant, write, command, rename }
}

/// As requests call a field of the command, or of the tenant it is addressed to.
fn rename(field: &str) -> String {
    match field {
        "id" => "tenant",
        "grant" => "id",
        same => same,
    }
    .to_owned()
}
