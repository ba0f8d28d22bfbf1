//! `exchequer.tenants.v1.TenantService`.

use exchequer_domain_tenants as domain;
use exchequer_projection_tenants as view;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::tenants::v1 as pb;
use exchequer_proto::tenants::v1::tenant_service_server::TenantService;
use exchequer_tenant::{Command, Create};
use exchequer_types::{StreamId, TenantId};
use tonic::{Request, Response, Status, async_trait};

use crate::call::Call;
use crate::check::Check;
use crate::edge::{Asked, Edge, same};
use crate::status::{self, tenant_not_found};
use crate::{messages, pages};

#[derive(Debug)]
pub(crate) struct Tenants {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl TenantService for Tenants {
    async fn create_tenant(&self, request: Request<pb::CreateTenantRequest>) -> Reply<pb::Tenant> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let command = Command::Create(Create {
            parent: check.tenant_or_root("parent", it.parent),
            name: it.name,
            settings: check.settings("settings", it.settings),
            test_clock: check.timestamp("test_clock", it.test_clock),
        });
        self.write(call, check, it.id, it.write, command).await
    }

    async fn get_tenant(&self, request: Request<pb::GetTenantRequest>) -> Reply<pb::Tenant> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.get(&mut call, it).await;
        call.reply(result)
    }

    async fn list_tenants(
        &self,
        request: Request<pb::ListTenantsRequest>,
    ) -> Reply<pb::ListTenantsResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.list(&mut call, it).await;
        call.reply(result)
    }

    async fn rename_tenant(&self, request: Request<pb::RenameTenantRequest>) -> Reply<pb::Tenant> {
        let (call, it) = self.edge.receive(request)?;
        let command = domain::Command::Rename(domain::Rename { name: it.name });
        self.write(call, Check::default(), it.id, it.write, Command::Tenants(command)).await
    }

    async fn update_settings(
        &self,
        request: Request<pb::UpdateSettingsRequest>,
    ) -> Reply<pb::Tenant> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let set = check.settings("set", it.set);
        let command = domain::UpdateSettings { set, unset: it.unset };
        let command = domain::Command::UpdateSettings(command);
        self.write(call, check, it.id, it.write, Command::Tenants(command)).await
    }

    async fn get_settings(&self, request: Request<pb::GetSettingsRequest>) -> Reply<pb::Settings> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.settings(&mut call, it).await;
        call.reply(result)
    }

    async fn promote_tenant(
        &self,
        request: Request<pb::PromoteTenantRequest>,
    ) -> Reply<pb::Tenant> {
        let (call, it) = self.edge.receive(request)?;
        let command = domain::Command::Promote(domain::Promote);
        self.write(call, Check::default(), it.id, it.write, Command::Tenants(command)).await
    }

    async fn suspend_tenant(
        &self,
        request: Request<pb::SuspendTenantRequest>,
    ) -> Reply<pb::Tenant> {
        let (call, it) = self.edge.receive(request)?;
        let command = domain::Command::Suspend(domain::Suspend { reason: it.reason });
        self.write(call, Check::default(), it.id, it.write, Command::Tenants(command)).await
    }

    async fn reinstate_tenant(
        &self,
        request: Request<pb::ReinstateTenantRequest>,
    ) -> Reply<pb::Tenant> {
        let (call, it) = self.edge.receive(request)?;
        let command = domain::Command::Reinstate(domain::Reinstate);
        self.write(call, Check::default(), it.id, it.write, Command::Tenants(command)).await
    }

    async fn close_tenant(&self, request: Request<pb::CloseTenantRequest>) -> Reply<pb::Tenant> {
        let (call, it) = self.edge.receive(request)?;
        let command = domain::Command::Close(domain::Close { reason: it.reason });
        self.write(call, Check::default(), it.id, it.write, Command::Tenants(command)).await
    }

    async fn schedule_closing(
        &self,
        request: Request<pb::ScheduleClosingRequest>,
    ) -> Reply<pb::Tenant> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let at = check.required_timestamp("at", it.at);
        let command = domain::Command::ScheduleClosing(domain::ScheduleClosing { at });
        self.write(call, check, it.id, it.write, Command::Tenants(command)).await
    }

    async fn cancel_closing(
        &self,
        request: Request<pb::CancelClosingRequest>,
    ) -> Reply<pb::Tenant> {
        let (call, it) = self.edge.receive(request)?;
        let command = domain::Command::CancelClosing(domain::CancelClosing);
        self.write(call, Check::default(), it.id, it.write, Command::Tenants(command)).await
    }

    async fn advance_clock(&self, request: Request<pb::AdvanceClockRequest>) -> Reply<pb::Tenant> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let to = check.required_timestamp("to", it.to);
        let command = domain::Command::AdvanceClock(domain::AdvanceClock { to });
        self.write(call, check, it.id, it.write, Command::Tenants(command)).await
    }
}

impl Tenants {
    async fn write(
        &self,
        mut call: Call,
        mut check: Check,
        id: String,
        write: Option<WriteOptions>,
        command: Command,
    ) -> Reply<pb::Tenant> {
        let tenant = check.tenant("id", id);
        let write = check.write(write);
        let result = match check.done() {
            Ok(()) => {
                let stream = StreamId::Tenant(tenant);
                let asked = Asked { stream, command, write, rename: same };
                self.edge.submit(&mut call, asked).await
            }
            Err(refused) => Err(refused),
        };
        call.reply(result)
    }

    async fn get(&self, call: &mut Call, it: pb::GetTenantRequest) -> Result<pb::Tenant, Status> {
        let mut check = Check::default();
        let id = check.tenant("id", it.id);
        check.done()?;
        let generation = self.read_one(call, &id).await?;
        let found = view::get(self.edge.platform.ports.store.as_ref(), generation, &id).await;
        match found {
            Ok(Some(listed)) => Ok(messages::listed(&listed)),
            Ok(None) => Err(tenant_not_found("id")),
            Err(fault) => Err(status::of_fault(&fault)),
        }
    }

    async fn list(
        &self,
        call: &mut Call,
        it: pb::ListTenantsRequest,
    ) -> Result<pb::ListTenantsResponse, Status> {
        let mut check = Check::default();
        let parent = check.tenant_or_root("parent", it.parent);
        let limit = check.page_size(it.page_size);
        let statuses = check.statuses("status", &it.status);
        let filter = format!("{:?}", it.status);
        let scope = ["tenants", parent.as_str(), &filter];
        let after = check.page_token(&scope, &it.page_token, |text| TenantId::parse(text).ok());
        check.done()?;
        self.edge.check_tenant(call, &parent, "parent").await?;
        let seen = self.edge.view(call, "tenants").await?;
        call.has_seen_all(&seen.handle.active().progress());
        let store = self.edge.platform.ports.store.as_ref();
        let page =
            view::list(store, seen.generation, &parent, after.as_ref(), limit, &statuses).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListTenantsResponse {
            tenants: page.tenants.iter().map(messages::listed).collect(),
            next_page_token: page
                .next
                .map(|next| pages::seal(&scope, next.as_str()))
                .unwrap_or_default(),
        })
    }

    async fn settings(
        &self,
        call: &mut Call,
        it: pb::GetSettingsRequest,
    ) -> Result<pb::Settings, Status> {
        let mut check = Check::default();
        let id = check.tenant("id", it.id);
        check.done()?;
        let generation = self.read_one(call, &id).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let settings = view::effective_settings(store, generation, &id).await;
        let settings = settings.map_err(|fault| status::of_fault(&fault))?;
        let settings = settings.ok_or_else(|| tenant_not_found("id"))?;
        let settings = settings.into_iter().map(|(key, setting)| pb::EffectiveSetting {
            key,
            value: setting.value,
            source: setting.source.into_string(),
        });
        Ok(pb::Settings { tenant: id.into_string(), settings: settings.collect() })
    }

    /// The generation to read one tenant from.
    async fn read_one(&self, call: &mut Call, id: &TenantId) -> Result<u64, Status> {
        let seen = self.edge.view(call, "tenants").await?;
        let partition = self.edge.partition(id);
        let offset = seen.handle.active().progress().offsets[partition.index()];
        call.has_seen(partition, offset);
        Ok(seen.generation)
    }
}
