//! `exchequer.usage.v1.MeterService` and `CorrectionService`: what a provider counts, and
//! corrections of a tenant's events. What only reads stands in `meter_queries.rs`.

use std::collections::BTreeSet;

use exchequer_codec::{Misfit, MisfitKind, aggregation_from_proto, meter_rules_from_proto};
use exchequer_domain_usage::{self as domain, RulesField};
use exchequer_event_schema::Schema;
use exchequer_metering::{Meter as Rules, partition_of_event};
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::correction_service_server::CorrectionService;
use exchequer_proto::usage::v1::meter_service_server::MeterService;
use exchequer_tenant::Command;
use exchequer_types::{Slug, TenantId};
use prost_types::FieldMask;
use tonic::{Code, Request, Response, Status, async_trait};

use crate::backfills;
use crate::call::Call;
use crate::check::Check;
use crate::edge::{Edge, Wanted, same};
use crate::status::{
    self, ENUM_UNKNOWN, FIELD_MASK_INVALID, FIELD_MISSING, ID_INVALID, Refusal,
    USAGE_EVENT_NOT_FOUND, VALUE_INVALID, VIEW_BEHIND,
};
use crate::usage::{Seen, Usage};

#[derive(Debug)]
pub(crate) struct Meters {
    pub(crate) edge: Edge,
}

#[derive(Debug)]
pub(crate) struct Corrections {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl MeterService for Meters {
    async fn create_meter(&self, request: Request<pb::CreateMeterRequest>) -> Reply<pb::Meter> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let key = check.slug("key", it.key);
        check_aggregation(&mut check, it.rules.as_ref(), &BTreeSet::new());
        let rules = key.and_then(|key| rules(&mut check, key, it.rules));
        let command =
            rules.map(|rules| domain::Command::CreateMeter(domain::CreateMeter { rules }));
        self.edge.write(call, check, wanted(it.tenant, it.write, command)).await
    }

    async fn get_meter(&self, request: Request<pb::GetMeterRequest>) -> Reply<pb::Meter> {
        self.edge.serve(request, async |call, it| self.meter(call, it).await).await
    }

    async fn list_meters(
        &self,
        request: Request<pb::ListMetersRequest>,
    ) -> Reply<pb::ListMetersResponse> {
        self.edge.serve(request, async |call, it| self.meters(call, it).await).await
    }

    async fn update_meter(&self, request: Request<pb::UpdateMeterRequest>) -> Reply<pb::Meter> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let key = check.slug("key", it.key);
        let only = only(&mut check, it.update_mask);
        check_aggregation(&mut check, it.rules.as_ref(), &only);
        let rules = key.and_then(|key| rules(&mut check, key, it.rules));
        let update = |rules| domain::Command::UpdateMeter(domain::UpdateMeter { rules, only });
        self.edge.write(call, check, wanted(it.tenant, it.write, rules.map(update))).await
    }

    async fn retire_meter(&self, request: Request<pb::RetireMeterRequest>) -> Reply<pb::Meter> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let meter = check.slug("key", it.key);
        let command =
            meter.map(|meter| domain::Command::RetireMeter(domain::RetireMeter { meter }));
        self.edge.write(call, check, wanted(it.tenant, it.write, command)).await
    }

    async fn backfill_meter(&self, request: Request<pb::BackfillMeterRequest>) -> Reply<pb::Meter> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let meter = check.slug("key", it.key);
        let from = check.required_timestamp("from", it.from);
        let command = meter
            .map(|meter| domain::Command::BackfillMeter(domain::BackfillMeter { meter, from }));
        self.edge.write(call, check, wanted(it.tenant, it.write, command)).await
    }

    async fn list_meter_backfills(
        &self,
        request: Request<pb::ListMeterBackfillsRequest>,
    ) -> Reply<pb::ListMeterBackfillsResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = backfills::list(&self.edge, &mut call, it).await;
        call.reply(result)
    }

    async fn put_event_schema(
        &self,
        request: Request<pb::PutEventSchemaRequest>,
    ) -> Reply<pb::EventSchemaInfo> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        if let Err(wrong) = Schema::compile(&it.schema) {
            check.refuse(wrong.code(), "schema", wrong.to_string());
        }
        let put = domain::PutEventSchema { kind: it.r#type, text: it.schema };
        let command = Some(domain::Command::PutEventSchema(put));
        self.edge.write(call, check, wanted(it.tenant, it.write, command)).await
    }

    async fn get_event_schema(
        &self,
        request: Request<pb::GetEventSchemaRequest>,
    ) -> Reply<pb::EventSchemaInfo> {
        self.edge.serve(request, async |call, it| self.event_schema(call, it).await).await
    }

    async fn list_event_schemas(
        &self,
        request: Request<pb::ListEventSchemasRequest>,
    ) -> Reply<pb::ListEventSchemasResponse> {
        self.edge.serve(request, async |call, it| self.event_schemas(call, it).await).await
    }

    async fn retire_event_schema(
        &self,
        request: Request<pb::RetireEventSchemaRequest>,
    ) -> Reply<pb::EventSchemaInfo> {
        let (call, it) = self.edge.receive(request)?;
        let retire = domain::RetireEventSchema { kind: it.r#type };
        let command = Some(domain::Command::RetireEventSchema(retire));
        self.edge.write(call, Check::default(), wanted(it.tenant, it.write, command)).await
    }
}

#[async_trait]
impl CorrectionService for Corrections {
    async fn void_event(
        &self,
        request: Request<pb::VoidEventRequest>,
    ) -> Reply<pb::EventCorrection> {
        let (call, it) = self.edge.receive(request)?;
        let void = domain::VoidEvent { source: it.source, event: it.event, reason: it.reason };
        let name = (void.source.clone(), void.event.clone());
        let command = domain::Command::VoidEvent(void);
        self.correct(call, name, wanted(it.tenant, it.write, Some(command))).await
    }

    async fn amend_event(
        &self,
        request: Request<pb::AmendEventRequest>,
    ) -> Reply<pb::EventCorrection> {
        let (call, it) = self.edge.receive(request)?;
        let (source, event, reason) = (it.source, it.event, it.reason);
        let name = (source.clone(), event.clone());
        let amend = domain::AmendEvent { source, event, data: it.data, reason };
        let command = domain::Command::AmendEvent(amend);
        self.correct(call, name, wanted(it.tenant, it.write, Some(command))).await
    }
}

impl Corrections {
    async fn correct(
        &self,
        mut call: Call,
        name: (String, String),
        wanted: Wanted,
    ) -> Reply<pb::EventCorrection> {
        if self.may_be_decided(&wanted)
            && let Err(refused) = self.check_event(&call, &wanted.tenant, &name).await
        {
            return call.reply(Err(refused));
        }
        let result = self.edge.ask(&mut call, Check::default(), wanted).await;
        call.reply(result)
    }

    /// Options of a write come first: with faulty ones, or too late, it is refused as every
    /// other write is.
    fn may_be_decided(&self, wanted: &Wanted) -> bool {
        let mut check = Check::default();
        let write = check.write(wanted.write.clone());
        let now = self.edge.platform.ports.runtime.now();
        check.done().is_ok() && write.not_after.is_none_or(|not_after| now <= not_after)
    }

    /// An event must have its fate before it can be corrected: what is recorded of one that
    /// its meter does not know would stand against it for ever.
    async fn check_event(
        &self,
        call: &Call,
        tenant: &str,
        (source, event): &(String, String),
    ) -> Result<(), Status> {
        // What is no id is refused where the command is.
        let Ok(tenant) = TenantId::parse(tenant) else { return Ok(()) };
        if source.is_empty() || event.is_empty() {
            return Ok(());
        }
        let usage = Usage { edge: self.edge.clone() };
        let meters = usage.await_seen(call, &Seen::default(), &tenant).await?;
        let partitions = meters.partitions();
        let partition = partition_of_event(tenant.as_str(), event, partitions, &mut Vec::new());
        let is_known = async || {
            let found = meters.fate(&tenant, (source, event), None, call.patience).await;
            Ok::<_, Status>(found.map_err(|error| status::of_engine(&error))?.is_some())
        };
        if is_known().await? {
            return Ok(());
        }
        // It may have come a moment ago.
        let end = meters.ports.log.end(partition).await;
        let end = end.map_err(|fault| status::of_engine(&fault.into()))?;
        if !meters.wait_for(partition, end, call.patience).await {
            let text = format!("partition {partition} of usage is not judged so far: retry");
            return Err(Refusal::new(VIEW_BEHIND, text).status());
        }
        if is_known().await? {
            return Ok(());
        }
        let text = "no event of this source and id is known that counts or may count, of the \
                    last 35 days: correct it once it was accepted";
        Err(Refusal::new(USAGE_EVENT_NOT_FOUND, text).field("event").status())
    }
}

/// An aggregation must be given where it is set.
fn check_aggregation(
    check: &mut Check,
    rules: Option<&pb::MeterRules>,
    only: &BTreeSet<RulesField>,
) {
    let is_set = only.is_empty() || only.contains(&RulesField::Aggregation);
    if is_set && rules.is_some_and(|it| aggregation_from_proto(it.aggregation).is_none()) {
        check.refuse(ENUM_UNKNOWN, "rules.aggregation", "must be one of the aggregations");
    }
}

fn rules(check: &mut Check, key: Slug, it: Option<pb::MeterRules>) -> Option<Rules> {
    if it.is_none() {
        check.refuse(FIELD_MISSING, "rules", "must be given");
        return None;
    }
    meter_rules_from_proto(key, it).map_err(|it| misfit(check, &it)).ok()
}

fn misfit(check: &mut Check, it: &Misfit) {
    let code = match it.kind {
        MisfitKind::Id => ID_INVALID,
        MisfitKind::Enum => ENUM_UNKNOWN,
        MisfitKind::Value => VALUE_INVALID,
    };
    check.refuse(code, &format!("rules.{}", it.path), it.message.clone());
}

/// The fields of the rules that a mask names; all when it names none, or `*`.
fn only(check: &mut Check, mask: Option<FieldMask>) -> BTreeSet<RulesField> {
    let paths = mask.unwrap_or_default().paths;
    if paths.iter().any(|it| it == "*") {
        return BTreeSet::new();
    }
    let mut found = BTreeSet::new();
    for (index, path) in paths.iter().enumerate() {
        if let Some(field) = RulesField::parse(path) {
            found.insert(field);
        } else {
            let known = RulesField::ALL.map(RulesField::as_str).join(", ");
            let field = format!("update_mask.paths[{index}]");
            check.refuse(FIELD_MASK_INVALID, &field, format!("must be one of {known}"));
        }
    }
    found
}

/// What a request asks the domain for.
fn wanted(tenant: String, write: Option<WriteOptions>, command: Option<domain::Command>) -> Wanted {
    let command = command.map(Command::Usage);
    Wanted { tenant, write, command, rename: of_usage }
}

/// As the requests call a field of the command, or of the tenant.
fn of_usage(field: &str) -> String {
    if field == "id" { "tenant".to_owned() } else { same(field) }
}

/// What the codes of the usage domain are in gRPC; others are failed preconditions.
pub(crate) fn grpc_code(code: &str) -> Code {
    use domain::codes as usage;
    use exchequer_event_schema::codes as schema;
    match code {
        schema::SCHEMA_TOO_LARGE
        | schema::SCHEMA_INVALID
        | schema::SCHEMA_REFERENCE_INVALID
        | usage::METER_INVALID
        | usage::METER_TOO_LARGE
        | usage::BACKFILL_IN_THE_FUTURE
        | usage::EVENT_TYPE_INVALID
        | usage::EVENT_SCHEMA_INVALID
        | usage::EVENT_NAME_INVALID
        | usage::EVENT_DATA_INVALID
        | usage::CORRECTION_REASON_INVALID => Code::InvalidArgument,
        usage::METER_NOT_FOUND | usage::EVENT_SCHEMA_NOT_FOUND => Code::NotFound,
        usage::METER_EXISTS => Code::AlreadyExists,
        _ => Code::FailedPrecondition,
    }
}
