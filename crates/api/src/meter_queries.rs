//! The queries of `exchequer.usage.v1.MeterService`: what is in force from memory, earlier
//! versions from the view of meters.

use std::sync::Arc;

use exchequer_codec::{event_schema_message, meter_message};
use exchequer_domain_usage::{Meter, Rejection, Schema};
use exchequer_kernel::Reason as _;
use exchequer_projection_meters::{self as view, Definitions, LiveMeters};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Slug, TenantId};
use tonic::Status;

use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::lists::list_options;
use crate::mask::Mask;
use crate::meters::Meters;
use crate::status::{self, Refusal};

impl Meters {
    pub(crate) async fn meter(
        &self,
        call: &mut Call,
        it: pb::GetMeterRequest,
    ) -> Result<pb::Meter, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let key = check.slug("key", it.key);
        let mask = Mask::read::<pb::Meter>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let key = key.ok_or_else(unchecked)?;
        let definitions = self.definitions(call, &tenant).await?;
        let found = definitions.state.meters.get(&key);
        let Some(meter) = found else {
            self.edge.check_tenant(call, &tenant, "tenant").await?;
            return Err(not_found(&Rejection::MeterNotFound, "key"));
        };
        if it.rules_version == 0 || it.rules_version == meter.rules.version {
            call.is_at(meter.version);
            return mask.apply(meter_message(meter));
        }
        mask.apply(meter_message(&self.earlier(call, &tenant, meter, it.rules_version).await?))
    }

    pub(crate) async fn meters(
        &self,
        call: &mut Call,
        it: pb::ListMetersRequest,
    ) -> Result<pb::ListMetersResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let which = if it.include_retired { "all" } else { "live" };
        let (options, of) = (list_options!(it), [tenant.as_str(), which]);
        let place = |text: &str| Slug::parse(text).ok().map(|it| it.to_string());
        let list = check.list::<pb::Meter, String>("ListMeters", &of, options, place);
        check.done()?;
        self.edge.check_tenant(call, &tenant, "tenant").await?;
        let definitions = self.definitions(call, &tenant).await?;
        let meters = definitions.state.meters.values();
        let wanted = meters.filter(|meter| it.include_retired || !meter.retired);
        let all = wanted.map(|meter| meter_message(meter));
        let (meters, next_page_token) = list.page_of(all, |meter| meter.key.clone())?;
        Ok(pb::ListMetersResponse { meters, next_page_token })
    }

    pub(crate) async fn event_schema(
        &self,
        call: &mut Call,
        it: pb::GetEventSchemaRequest,
    ) -> Result<pb::EventSchemaInfo, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let mask = Mask::read::<pb::EventSchemaInfo>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let definitions = self.definitions(call, &tenant).await?;
        let Some(schema) = definitions.state.schemas.get(&it.r#type) else {
            self.edge.check_tenant(call, &tenant, "tenant").await?;
            return Err(not_found(&Rejection::SchemaNotFound, "type"));
        };
        if it.schema_version == 0 || it.schema_version == schema.version {
            call.is_at(schema.changes);
            return mask.apply(event_schema_message(schema));
        }
        let version = it.schema_version;
        let generation = self.generation(call).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let found =
            view::get_event_schema_version(store, generation, &tenant, &schema.kind, version);
        let found = found.await.map_err(|fault| status::of_fault(&fault))?;
        let (text, set_at) =
            found.ok_or_else(|| not_found(&Rejection::SchemaNotFound, "schema_version"))?;
        let earlier = Schema { version, text, set_at, ..Schema::clone(schema) };
        mask.apply(event_schema_message(&earlier))
    }

    pub(crate) async fn event_schemas(
        &self,
        call: &mut Call,
        it: pb::ListEventSchemasRequest,
    ) -> Result<pb::ListEventSchemasResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let which = if it.include_retired { "all" } else { "live" };
        let (options, of) = (list_options!(it), [tenant.as_str(), which]);
        let place = |text: &str| Some(text.to_owned());
        let list =
            check.list::<pb::EventSchemaInfo, String>("ListEventSchemas", &of, options, place);
        check.done()?;
        self.edge.check_tenant(call, &tenant, "tenant").await?;
        let definitions = self.definitions(call, &tenant).await?;
        let schemas = definitions.state.schemas.values();
        let wanted = schemas.filter(|schema| it.include_retired || !schema.retired);
        let all = wanted.map(|schema| event_schema_message(schema));
        let of = |it: &pb::EventSchemaInfo| it.schema.as_ref().map(|it| it.r#type.clone());
        let (schemas, next_page_token) = list.page_of(all, |it| of(it).unwrap_or_default())?;
        Ok(pb::ListEventSchemasResponse { schemas, next_page_token })
    }

    async fn definitions(
        &self,
        call: &mut Call,
        tenant: &TenantId,
    ) -> Result<Arc<Definitions>, Status> {
        self.edge.live::<LiveMeters>(call, tenant).await
    }

    /// The meter with an earlier version of its rules.
    async fn earlier(
        &self,
        call: &Call,
        tenant: &TenantId,
        meter: &Meter,
        version: u32,
    ) -> Result<Meter, Status> {
        let generation = self.generation(call).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let key = &meter.rules.key;
        let found = view::get_meter_version(store, generation, tenant, key, version).await;
        let found = found.map_err(|fault| status::of_fault(&fault))?;
        let (rules, rules_set_at) =
            found.ok_or_else(|| not_found(&Rejection::MeterNotFound, "rules_version"))?;
        Ok(Meter { rules, rules_set_at, backfills: Vec::new(), ..meter.clone() })
    }

    async fn generation(&self, call: &Call) -> Result<u64, Status> {
        Ok(self.edge.view(call, "meters").await?.generation)
    }
}

/// `field` is where the request names it.
fn not_found(rejection: &Rejection, field: &str) -> Status {
    Refusal::new(rejection.code(), rejection.message()).field(field).status()
}
