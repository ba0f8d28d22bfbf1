//! `exchequer.flags.v1.EvaluationService`: joins the provider's compiled flags with the
//! customer's entitlements, both from memory, each at one state whole.

use std::sync::Arc;

use exchequer_codec::{kind_from_proto, value_to_proto};
use exchequer_flag_eval::{
    Context, DecidedBy, Decision, ErrorCode, Kind, Plan, Reason, Snapshot as FlagSnapshot,
};
use exchequer_projection_entitlements::LiveEntitlements;
use exchequer_projection_flags::{LiveFlags, ProjectKey};
use exchequer_proto::flags::v1 as pb;
use exchequer_proto::flags::v1::evaluation_service_server::EvaluationService;
use exchequer_types::TenantId;
use prost::Message as _;
use tonic::{Request, Response, Status, async_trait};

use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::context::Given;
use crate::customer::{Customer, evaluate};
use crate::edge::Edge;
use crate::flags::{environment_not_found, project_not_found};
use crate::status::{ENUM_UNKNOWN, FLAGS_COUNT_INVALID, RESULT_TOO_LARGE, Refusal};

/// Flags of one call.
const FLAGS_MAX: usize = 2_000;
/// Of a reply, so that clients take it by default.
const REPLY_BYTES_MAX: usize = 3 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Evaluations {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl EvaluationService for Evaluations {
    async fn evaluate(&self, request: Request<pb::EvaluateRequest>) -> Reply<pb::EvaluateResponse> {
        self.edge.serve(request, async |call, it| self.one(call, it).await).await
    }

    async fn batch_evaluate(
        &self,
        request: Request<pb::BatchEvaluateRequest>,
    ) -> Reply<pb::BatchEvaluateResponse> {
        self.edge.serve(request, async |call, it| self.many(call, it).await).await
    }

    async fn evaluate_all(
        &self,
        request: Request<pb::EvaluateAllRequest>,
    ) -> Reply<pb::EvaluateAllResponse> {
        self.edge.serve(request, async |call, it| self.all(call, it).await).await
    }
}

/// What is evaluated, and for whom, as requests name them.
struct Asked {
    tenant: String,
    project: String,
    environment: String,
    context: Option<pb::Context>,
}

/// The snapshots that an evaluation joins.
struct Joined {
    given: Given,
    flags: Arc<FlagSnapshot>,
    customer: Option<Customer>,
    snapshots: pb::Snapshots,
}

impl Joined {
    fn evaluate(&self, flag: &str, kind: Option<Kind>, context: &Context<'_>) -> Decision<'_> {
        evaluate(&self.flags, flag, kind, context, self.customer.as_ref())
    }
}

impl Evaluations {
    async fn one(
        &self,
        call: &mut Call,
        it: pb::EvaluateRequest,
    ) -> Result<pb::EvaluateResponse, Status> {
        let mut check = Check::default();
        let kind = kind(&mut check, it.kind);
        let (tenant, project, environment) = (it.tenant, it.project, it.environment);
        let asked = Asked { tenant, project, environment, context: it.context };
        let joined = self.join(call, check, asked).await?;
        let context = joined.given.context()?;
        let evaluation = Some(message(&it.flag, &joined.evaluate(&it.flag, kind, &context)));
        let snapshots = Some(joined.snapshots.clone());
        Ok(pb::EvaluateResponse { evaluation, snapshots })
    }

    async fn many(
        &self,
        call: &mut Call,
        it: pb::BatchEvaluateRequest,
    ) -> Result<pb::BatchEvaluateResponse, Status> {
        let mut check = Check::default();
        if !(1..=FLAGS_MAX).contains(&it.flags.len()) {
            let text = format!("must name 1 to {FLAGS_MAX} flags");
            check.refuse(FLAGS_COUNT_INVALID, "flags", text);
        }
        let (tenant, project, environment) = (it.tenant, it.project, it.environment);
        let asked = Asked { tenant, project, environment, context: it.context };
        let joined = self.join(call, check, asked).await?;
        let context = joined.given.context()?;
        let evaluations =
            it.flags.iter().map(|flag| message(flag, &joined.evaluate(flag, None, &context)));
        let evaluations = evaluations.collect();
        let reply =
            pb::BatchEvaluateResponse { evaluations, snapshots: Some(joined.snapshots.clone()) };
        check_size(reply.encoded_len())?;
        Ok(reply)
    }

    async fn all(
        &self,
        call: &mut Call,
        it: pb::EvaluateAllRequest,
    ) -> Result<pb::EvaluateAllResponse, Status> {
        let (tenant, project, environment) = (it.tenant, it.project, it.environment);
        let asked = Asked { tenant, project, environment, context: it.context };
        let joined = self.join(call, Check::default(), asked).await?;
        let context = joined.given.context()?;
        let mut evaluations = Vec::new();
        let plan = joined.customer.as_ref().map(|it| it as &dyn Plan);
        joined.flags.evaluate_all(&context, plan, |flag, decision| {
            evaluations.push(message(flag.key(), &decision));
        });
        let reply =
            pb::EvaluateAllResponse { evaluations, snapshots: Some(joined.snapshots.clone()) };
        check_size(reply.encoded_len())?;
        Ok(reply)
    }

    /// The snapshots that `asked` is about, not older than the call wants.
    async fn join(
        &self,
        call: &mut Call,
        mut check: Check,
        asked: Asked,
    ) -> Result<Joined, Status> {
        let tenant = check.tenant("tenant", asked.tenant);
        let project = check.slug("project", asked.project);
        let environment = check.slug("environment", asked.environment);
        let context = asked.context.unwrap_or_default();
        let customer = (!context.tenant.is_empty())
            .then(|| check.tenant("context.tenant", context.tenant.clone()));
        let given = Given::read(&mut check, context);
        check.done()?;
        let (project, environment) = project.zip(environment).ok_or_else(unchecked)?;
        let key = ProjectKey { tenant, project };
        let live = self.edge.live::<LiveFlags>(call, &key).await?;
        if live.project().is_none() {
            self.edge.check_tenant(call, &key.tenant, "tenant").await?;
            return Err(project_not_found("project"));
        }
        let found = live.environment(&environment);
        let (flags, version) = found.ok_or_else(|| environment_not_found("environment"))?;
        let position = Some(self.position(call, &key.tenant));
        let mut snapshots =
            pb::Snapshots { flags: Some(pb::FlagSnapshot { version, position }), plan: None };
        let customer = match customer {
            None => None,
            Some(id) => {
                let customer = self.customer(call, &id, &key.tenant).await?;
                let position = Some(self.position(call, &id));
                snapshots.plan = Some(pb::PlanSnapshot {
                    tenant: id.into_string(),
                    plan: customer.plan().unwrap_or_default().to_owned(),
                    version: customer.version(),
                    position,
                });
                Some(customer)
            }
        };
        Ok(Joined { given, flags, customer, snapshots })
    }

    /// Whoever is no customer of `provider` is answered for like a tenant that does not
    /// exist, so that nobody learns of another provider's customers.
    async fn customer(
        &self,
        call: &mut Call,
        id: &TenantId,
        provider: &TenantId,
    ) -> Result<Customer, Status> {
        let snapshot = self.edge.live::<LiveEntitlements>(call, id).await?;
        Ok(Customer::of(snapshot, provider, self.edge.platform.ports.runtime.now()))
    }

    /// Up to where the call has seen the tenant's partition.
    fn position(&self, call: &Call, tenant: &TenantId) -> pb::Position {
        let partition = self.edge.partition(tenant);
        pb::Position { partition: partition.0, offset: call.token.offset(partition) }
    }
}

/// None when any will do.
fn kind(check: &mut Check, kind: i32) -> Option<Kind> {
    let found = kind_from_proto(kind);
    if kind != 0 && found.is_none() {
        check.refuse(ENUM_UNKNOWN, "kind", "must be BOOLEAN or STRING");
    }
    found
}

fn check_size(bytes: usize) -> Result<(), Status> {
    if bytes <= REPLY_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "the answers have {bytes} bytes together, and a reply at most {REPLY_BYTES_MAX}: ask for \
         fewer flags"
    );
    Err(Refusal::new(RESULT_TOO_LARGE, message).status())
}

fn message(flag: &str, decision: &Decision<'_>) -> pb::Evaluation {
    let error = match decision.reason {
        Reason::Error(ErrorCode::FlagNotFound) => pb::EvaluationError::FlagNotFound,
        Reason::Error(ErrorCode::TypeMismatch) => pb::EvaluationError::TypeMismatch,
        Reason::Error(ErrorCode::TargetingKeyMissing) => pb::EvaluationError::TargetingKeyMissing,
        _ => pb::EvaluationError::Unspecified,
    };
    let reason = match decision.reason {
        Reason::Static => pb::Reason::Static,
        Reason::Default => pb::Reason::Default,
        Reason::TargetingMatch => pb::Reason::TargetingMatch,
        Reason::Split => pb::Reason::Split,
        Reason::Disabled => pb::Reason::Disabled,
        Reason::PlanRestriction => pb::Reason::PlanRestriction,
        Reason::Error(_) => pb::Reason::Error,
    };
    let (rule, target) = match decision.by {
        DecidedBy::Rule { id, .. } => (id.to_owned(), None),
        DecidedBy::Target { index } => (String::new(), u32::try_from(index).ok()),
        DecidedBy::Nothing | DecidedBy::Gate | DecidedBy::Fallthrough => (String::new(), None),
    };
    pb::Evaluation {
        flag: flag.to_owned(),
        value: decision.value.map(value_to_proto),
        variant: decision.variant.unwrap_or_default().to_owned(),
        reason: reason.into(),
        error: error.into(),
        rule,
        target,
    }
}
