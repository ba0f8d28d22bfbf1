//! `exchequer.tenants.v1.TenantService`.

use exchequer_access::Permission;
use exchequer_codec::tenant_message;
use exchequer_domain_tenants::{self as domain, Tenant};
use exchequer_projection_tenants as view;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::tenants::v1 as pb;
use exchequer_proto::tenants::v1::tenant_service_server::TenantService;
use exchequer_tenant::{Command, Create};
use exchequer_types::{StreamId, TenantId};
use futures::FutureExt as _;
use tonic::{Request, Response, Status, async_trait};

use crate::authn::NotAuthenticated;
use crate::batch::{self, ItemResult, item};
use crate::call::Call;
use crate::check::Check;
use crate::edge::{Asked, Edge, same};
use crate::guard::{About, Denied, Judge, Need};
use crate::lists::list_options;
use crate::mask::Mask;
use crate::messages;
use crate::status::{self, PERMISSION_DENIED, Refusal, tenant_not_found};

/// Settings by which a provider bounds its tenants.
const OF_PROVIDER: [&str; 2] = ["background.", "limits."];

#[derive(Debug)]
pub(crate) struct Tenants {
    pub(crate) edge: Edge,
    pub(crate) judge: Judge,
}

type Reply<T> = Result<Response<T>, Status>;

item!(pb::CreateTenantRequest, "exchequer.tenants.v1.CreateTenantRequest");

fn result_of(result: ItemResult<pb::Tenant>) -> pb::TenantResult {
    use pb::tenant_result::Result as R;
    pb::TenantResult { result: Some(result.map_or_else(R::Error, R::Tenant)) }
}

#[async_trait]
impl TenantService for Tenants {
    async fn create_tenant(&self, request: Request<pb::CreateTenantRequest>) -> Reply<pb::Tenant> {
        self.edge.serve(request, async |call, it| self.create(call, it).await).await
    }

    async fn batch_create_tenants(
        &self,
        request: Request<pb::BatchCreateTenantsRequest>,
    ) -> Reply<pb::BatchCreateTenantsResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let parent = check.tenant_or_root("parent", it.parent);
        let one = |mut call: Call, mut item: pb::CreateTenantRequest| {
            let is_of_batch = batch::common(&mut item.parent, "parent", parent.as_str());
            async move {
                let result = match is_of_batch {
                    Ok(()) => self.create(&mut call, item).await,
                    Err(refused) => Err(refused),
                };
                (call, result)
            }
            .boxed()
        };
        let results = self.edge.each(&mut call, check, it.requests, it.write, one).await;
        let result = results.map(|results| pb::BatchCreateTenantsResponse {
            results: results.into_iter().map(result_of).collect(),
        });
        call.reply(result)
    }

    async fn get_tenant(&self, request: Request<pb::GetTenantRequest>) -> Reply<pb::Tenant> {
        self.edge.serve(request, async |call, it| self.get(call, it).await).await
    }

    async fn list_tenants(
        &self,
        request: Request<pb::ListTenantsRequest>,
    ) -> Reply<pb::ListTenantsResponse> {
        self.edge.serve(request, async |call, it| self.list(call, it).await).await
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
        if let Err(refused) = self.check_bounds(&call, &it.id, set.keys().chain(&it.unset)).await {
            return call.reply(Err(refused));
        }
        let command = domain::UpdateSettings { set, unset: it.unset };
        let command = domain::Command::UpdateSettings(command);
        self.write(call, check, it.id, it.write, Command::Tenants(command)).await
    }

    async fn get_settings(&self, request: Request<pb::GetSettingsRequest>) -> Reply<pb::Settings> {
        self.edge.serve(request, async |call, it| self.settings(call, it).await).await
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
        check: Check,
        id: String,
        write: Option<WriteOptions>,
        command: Command,
    ) -> Reply<pb::Tenant> {
        let result = self.submit(&mut call, check, id, write, command).await;
        call.reply(result)
    }

    async fn submit(
        &self,
        call: &mut Call,
        mut check: Check,
        id: String,
        write: Option<WriteOptions>,
        command: Command,
    ) -> Result<pb::Tenant, Status> {
        let tenant = check.tenant("id", id);
        let write = check.write(write);
        check.done()?;
        let stream = StreamId::Tenant(tenant);
        self.edge.submit(call, Asked { stream, command, write, rename: same }).await
    }

    async fn create(
        &self,
        call: &mut Call,
        it: pb::CreateTenantRequest,
    ) -> Result<pb::Tenant, Status> {
        let mut check = Check::default();
        let command = Command::Create(Create {
            parent: check.tenant_or_root("parent", it.parent),
            name: it.name,
            settings: check.settings("settings", it.settings),
            test_clock: check.timestamp("test_clock", it.test_clock),
        });
        self.submit(call, check, it.id, it.write, command).await
    }

    async fn get(&self, call: &mut Call, it: pb::GetTenantRequest) -> Result<pb::Tenant, Status> {
        let mut check = Check::default();
        let id = check.tenant("id", it.id);
        let mask = Mask::read::<pb::Tenant>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let generation = self.read_one(call, &id).await?;
        let found = view::get(self.edge.platform.ports.store.as_ref(), generation, &id).await;
        match found {
            Ok(Some(listed)) => {
                call.is_at(listed.tenant.version);
                mask.apply(messages::listed(&listed))
            }
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
        let statuses = check.statuses("status", &it.status);
        let of = [parent.as_str(), &format!("{statuses:?}")];
        let place = |text: &str| TenantId::parse(text).ok();
        let list = check.list::<pb::Tenant, _>("ListTenants", &of, list_options!(it), place);
        check.done()?;
        self.edge.check_tenant(call, &parent, "parent").await?;
        let seen = self.edge.view(call, "tenants").await?;
        call.has_seen_all(&seen.handle.active().progress());
        let store = self.edge.platform.ports.store.as_ref();
        let is_wanted = |tenant: &Tenant| {
            (statuses.is_empty() || statuses.contains(&tenant.status))
                && list.wants(|| tenant_message(tenant))
        };
        let after = list.place.as_ref();
        let page = view::list(store, seen.generation, &parent, after, list.limit, &is_wanted).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListTenantsResponse {
            tenants: list.items(page.tenants.iter().map(messages::listed).collect())?,
            next_page_token: list.token(page.next),
        })
    }

    async fn settings(
        &self,
        call: &mut Call,
        it: pb::GetSettingsRequest,
    ) -> Result<pb::Settings, Status> {
        let mut check = Check::default();
        let id = check.tenant("id", it.id);
        let mask = Mask::read::<pb::Settings>(&mut check, "read_mask", it.read_mask);
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
        mask.apply(pb::Settings { tenant: id.into_string(), settings: settings.collect() })
    }

    /// Settings that bound a tenant are its provider's to change, as suspending it is.
    async fn check_bounds(
        &self,
        call: &Call,
        tenant: &str,
        mut keys: impl Iterator<Item = &String>,
    ) -> Result<(), Status> {
        let bounds = |key: &&String| OF_PROVIDER.iter().any(|prefix| key.starts_with(prefix));
        let (Some(caller), Some(key), Ok(id)) =
            (&call.caller, keys.find(bounds), TenantId::parse(tenant))
        else {
            return Ok(());
        };
        let about = About::of_tenant(&id);
        let need = Need::Permission(Permission::TenantsSuspend);
        match self.judge.judge(caller, need, &about).await {
            Ok(()) => Ok(()),
            Err(Denied::Unavailable) => Err(Refusal::from(NotAuthenticated::Unavailable).status()),
            Err(_) => {
                let said = format!("{key} is set by the tenant's provider: ask it for a change");
                let refusal = Refusal::new(PERMISSION_DENIED, said).field("set");
                let permission = Permission::TenantsSuspend.as_str();
                Err(refusal.with("permission", permission).with("rule", "PROVIDER_ONLY").status())
            }
        }
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
