//! `exchequer.usage.v1.MeterService` and `CorrectionService`: what a provider counts, and
//! corrections of a tenant's events. What only reads stands in `meter_queries.rs`.

use std::collections::BTreeSet;

use exchequer_codec::{Misfit, MisfitKind, aggregation_from_proto, meter_rules_from_proto};
use exchequer_domain_usage::{self as domain, RulesField};
use exchequer_event_schema::Schema;
use exchequer_metering::Meter as Rules;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::correction_service_server::CorrectionService;
use exchequer_proto::usage::v1::meter_service_server::MeterService;
use exchequer_tenant::Command;
use exchequer_types::{Slug, StreamId};
use prost::Message;
use prost_types::FieldMask;
use tonic::{Code, Request, Response, Status, async_trait};

use crate::call::Call;
use crate::check::Check;
use crate::edge::{Asked, Edge, same};
use crate::status::{
    self, ENUM_UNKNOWN, FIELD_MASK_INVALID, FIELD_MISSING, ID_INVALID, VALUE_INVALID,
};

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
        let asked = Wanted { tenant: it.tenant, write: it.write, command };
        write(&self.edge, call, check, asked).await
    }

    async fn get_meter(&self, request: Request<pb::GetMeterRequest>) -> Reply<pb::Meter> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.meter(&mut call, it).await;
        call.reply(result)
    }

    async fn list_meters(
        &self,
        request: Request<pb::ListMetersRequest>,
    ) -> Reply<pb::ListMetersResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.meters(&mut call, it).await;
        call.reply(result)
    }

    async fn update_meter(&self, request: Request<pb::UpdateMeterRequest>) -> Reply<pb::Meter> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let key = check.slug("key", it.key);
        let only = only(&mut check, it.update_mask);
        check_aggregation(&mut check, it.rules.as_ref(), &only);
        let rules = key.and_then(|key| rules(&mut check, key, it.rules));
        let update = |rules| domain::Command::UpdateMeter(domain::UpdateMeter { rules, only });
        let asked = Wanted { tenant: it.tenant, write: it.write, command: rules.map(update) };
        write(&self.edge, call, check, asked).await
    }

    async fn retire_meter(&self, request: Request<pb::RetireMeterRequest>) -> Reply<pb::Meter> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let meter = check.slug("key", it.key);
        let command =
            meter.map(|meter| domain::Command::RetireMeter(domain::RetireMeter { meter }));
        let asked = Wanted { tenant: it.tenant, write: it.write, command };
        write(&self.edge, call, check, asked).await
    }

    async fn backfill_meter(&self, request: Request<pb::BackfillMeterRequest>) -> Reply<pb::Meter> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let meter = check.slug("key", it.key);
        let from = check.required_timestamp("from", it.from);
        let command = meter
            .map(|meter| domain::Command::BackfillMeter(domain::BackfillMeter { meter, from }));
        let asked = Wanted { tenant: it.tenant, write: it.write, command };
        write(&self.edge, call, check, asked).await
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
        let asked = Wanted { tenant: it.tenant, write: it.write, command };
        write(&self.edge, call, check, asked).await
    }

    async fn get_event_schema(
        &self,
        request: Request<pb::GetEventSchemaRequest>,
    ) -> Reply<pb::EventSchemaInfo> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.event_schema(&mut call, it).await;
        call.reply(result)
    }

    async fn list_event_schemas(
        &self,
        request: Request<pb::ListEventSchemasRequest>,
    ) -> Reply<pb::ListEventSchemasResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.event_schemas(&mut call, it).await;
        call.reply(result)
    }

    async fn retire_event_schema(
        &self,
        request: Request<pb::RetireEventSchemaRequest>,
    ) -> Reply<pb::EventSchemaInfo> {
        let (call, it) = self.edge.receive(request)?;
        let retire = domain::RetireEventSchema { kind: it.r#type };
        let command = Some(domain::Command::RetireEventSchema(retire));
        let asked = Wanted { tenant: it.tenant, write: it.write, command };
        write(&self.edge, call, Check::default(), asked).await
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
        let command = Some(domain::Command::VoidEvent(void));
        let asked = Wanted { tenant: it.tenant, write: it.write, command };
        write(&self.edge, call, Check::default(), asked).await
    }

    async fn amend_event(
        &self,
        request: Request<pb::AmendEventRequest>,
    ) -> Reply<pb::EventCorrection> {
        let (call, it) = self.edge.receive(request)?;
        let (source, event, reason) = (it.source, it.event, it.reason);
        let amend = domain::AmendEvent { source, event, data: it.data, reason };
        let command = Some(domain::Command::AmendEvent(amend));
        let asked = Wanted { tenant: it.tenant, write: it.write, command };
        write(&self.edge, call, Check::default(), asked).await
    }
}

/// A command as a method asks for it.
struct Wanted {
    tenant: String,
    write: Option<WriteOptions>,
    /// None when the check has refused a part of it.
    command: Option<domain::Command>,
}

async fn write<R: Message + Default>(
    edge: &Edge,
    mut call: Call,
    check: Check,
    asked: Wanted,
) -> Reply<R> {
    let result = submit(edge, &mut call, check, asked).await;
    call.reply(result)
}

async fn submit<R: Message + Default>(
    edge: &Edge,
    call: &mut Call,
    mut check: Check,
    asked: Wanted,
) -> Result<R, Status> {
    let tenant = check.tenant("tenant", asked.tenant);
    let write = check.write(asked.write);
    check.done()?;
    let command = Command::Usage(asked.command.ok_or_else(unchecked)?);
    let stream = StreamId::Tenant(tenant);
    edge.submit(call, Asked { stream, command, write, rename: of_usage }).await
}

/// What [`Check::done`] lets through is there.
pub(crate) fn unchecked() -> Status {
    status::internal("check", "a field is missing that was not refused")
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
