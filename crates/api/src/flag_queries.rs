//! The queries of `exchequer.flags.v1.FlagService`, from the view of flags.

use exchequer_access::Permission;
use exchequer_codec::{environment_message, flag_message, project_message};
use exchequer_domain_flags::{Environment, Flag, Project, Rejection};
use exchequer_projection_flags as view;
use exchequer_proto::flags::v1 as pb;
use exchequer_types::{Slug, TenantId};
use tonic::Status;

use crate::call::Call;
use crate::check::Check;
use crate::flags::{Flags, environment_not_found, flag, not_found, project_not_found, unchecked};
use crate::guard::{About, Need};
use crate::lists::list_options;
use crate::mask::Mask;
use crate::status;

impl Flags {
    pub(crate) async fn project(
        &self,
        call: &mut Call,
        it: pb::GetProjectRequest,
    ) -> Result<pb::Project, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let project = check.slug("key", it.key);
        let mask = Mask::read::<pb::Project>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let project = project.ok_or_else(unchecked)?;
        let generation = self.read(call, &tenant).await?;
        let found = self.found_project(call, generation, &tenant, &project, "key").await?;
        call.is_at(found.version);
        mask.apply(project_message(&found))
    }

    pub(crate) async fn projects(
        &self,
        call: &mut Call,
        it: pb::ListProjectsRequest,
    ) -> Result<pb::ListProjectsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let (options, of) = (list_options!(it), [tenant.as_str()]);
        let list = check.list::<pb::Project, _>("ListProjects", &of, options, key);
        check.done()?;
        self.edge.check_tenant(call, &tenant, "tenant").await?;
        let generation = self.read(call, &tenant).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let (after, limit) = (list.place.as_ref(), list.limit);
        let is_wanted = |it: &Project| list.wants(|| project_message(it));
        let page = view::list_projects(store, generation, &tenant, after, limit, &is_wanted).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListProjectsResponse {
            projects: list.items(page.items.iter().map(project_message).collect())?,
            next_page_token: list.token(page.next),
        })
    }

    pub(crate) async fn environment(
        &self,
        call: &mut Call,
        it: pb::GetEnvironmentRequest,
    ) -> Result<pb::Environment, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let project = check.slug("project", it.project);
        let environment = check.slug("key", it.key);
        let mask = Mask::read::<pb::Environment>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let (project, key) = project.zip(environment).ok_or_else(unchecked)?;
        let generation = self.read(call, &tenant).await?;
        let project = self.found_project(call, generation, &tenant, &project, "project").await?;
        let store = self.edge.platform.ports.store.as_ref();
        let found = view::get_environment(store, generation, &tenant, &project.key, &key).await;
        let found = found.map_err(|fault| status::of_fault(&fault))?;
        let found = found.ok_or_else(|| environment_not_found("key"))?;
        let version = project.changes + found.changes;
        mask.apply(environment_message(&project.key, &found, version))
    }

    pub(crate) async fn environments(
        &self,
        call: &mut Call,
        it: pb::ListEnvironmentsRequest,
    ) -> Result<pb::ListEnvironmentsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let project = check.slug("project", it.project.clone());
        let (options, of) = (list_options!(it), [tenant.as_str(), &it.project]);
        let list = check.list::<pb::Environment, _>("ListEnvironments", &of, options, key);
        check.done()?;
        let project = project.ok_or_else(unchecked)?;
        let generation = self.read(call, &tenant).await?;
        let project = self.found_project(call, generation, &tenant, &project, "project").await?;
        let store = self.edge.platform.ports.store.as_ref();
        let message =
            |it: &Environment| environment_message(&project.key, it, project.changes + it.changes);
        let is_wanted = |it: &Environment| list.wants(|| message(it));
        let (key, after) = (&project.key, list.place.as_ref());
        let page =
            view::list_environments(store, generation, &tenant, key, after, list.limit, &is_wanted);
        let page = page.await.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListEnvironmentsResponse {
            environments: list.items(page.items.iter().map(message).collect())?,
            next_page_token: list.token(page.next),
        })
    }

    pub(crate) async fn flag(
        &self,
        call: &mut Call,
        it: pb::GetFlagRequest,
    ) -> Result<pb::Flag, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let addressed = flag(&mut check, it.project, it.key);
        let only = environment(&mut check, it.environment);
        let mask = Mask::read::<pb::Flag>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let (project, flag) = addressed.ok_or_else(unchecked)?;
        let generation = self.read(call, &tenant).await?;
        self.found_project(call, generation, &tenant, &project, "project").await?;
        self.check_environment(generation, &tenant, &project, only.as_ref()).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let found = view::get_flag(store, generation, &tenant, &project, &flag).await;
        match found.map_err(|fault| status::of_fault(&fault))? {
            Some(found) => {
                call.is_at(found.version);
                mask.apply(within(only.as_ref(), flag_message(&project, &found)))
            }
            None => Err(not_found(&Rejection::FlagNotFound, "key")),
        }
    }

    pub(crate) async fn flags(
        &self,
        call: &mut Call,
        it: pb::ListFlagsRequest,
    ) -> Result<pb::ListFlagsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let project = check.slug("project", it.project.clone());
        let only = environment(&mut check, it.environment.clone());
        let which = if it.archived { "all" } else { "live" };
        let (options, of) =
            (list_options!(it), [tenant.as_str(), &it.project, which, &it.environment]);
        let list = check.list::<pb::Flag, _>("ListFlags", &of, options, key);
        check.done()?;
        let project = project.ok_or_else(unchecked)?;
        let generation = self.read(call, &tenant).await?;
        self.found_project(call, generation, &tenant, &project, "project").await?;
        self.check_environment(generation, &tenant, &project, only.as_ref()).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let message = |it: &Flag| within(only.as_ref(), flag_message(&project, it));
        let is_wanted = |it: &Flag| list.wants(|| message(it));
        let (after, limit) = (list.place.as_ref(), list.limit);
        let wanted = view::Wanted { archived: it.archived, also: &is_wanted };
        let page = view::list_flags(store, generation, &tenant, &project, after, limit, wanted);
        let page = page.await.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListFlagsResponse {
            flags: list.items(page.items.iter().map(message).collect())?,
            next_page_token: list.token(page.next),
        })
    }

    /// The generation to read a tenant's flags from.
    async fn read(&self, call: &mut Call, tenant: &TenantId) -> Result<u64, Status> {
        let seen = self.edge.view(call, "flags").await?;
        let partition = self.edge.partition(tenant);
        let offset = seen.handle.active().progress().offsets[partition.index()];
        call.has_seen(partition, offset);
        Ok(seen.generation)
    }

    /// Without the environments of which the caller may not read what they make of the flag.
    pub(crate) async fn readable(
        &self,
        call: &Call,
        tenant: &TenantId,
        mut flag: pb::Flag,
    ) -> pb::Flag {
        let Some(caller) = &call.caller else { return flag };
        let need = Need::Permission(Permission::FlagsRead);
        let (project, key) = (Some(flag.project.as_str()), Some(flag.key.as_str()));
        let whole = About { tenant, project, environment: None, flag: key };
        if self.judge.judge(caller, need, &whole).await.is_ok() {
            return flag;
        }
        let mut readable = Vec::new();
        for it in core::mem::take(&mut flag.targeting) {
            let (project, key) = (Some(flag.project.as_str()), Some(flag.key.as_str()));
            let environment = Some(it.environment.as_str());
            let about = About { tenant, project, environment, flag: key };
            if self.judge.judge(caller, need, &about).await.is_ok() {
                readable.push(it);
            }
        }
        flag.targeting = readable;
        flag
    }

    /// Refuses an environment that is not there.
    async fn check_environment(
        &self,
        generation: u64,
        tenant: &TenantId,
        project: &Slug,
        environment: Option<&Slug>,
    ) -> Result<(), Status> {
        let Some(key) = environment else { return Ok(()) };
        let store = self.edge.platform.ports.store.as_ref();
        let found = view::get_environment(store, generation, tenant, project, key).await;
        let found = found.map_err(|fault| status::of_fault(&fault))?;
        found.map(|_| ()).ok_or_else(|| environment_not_found("environment"))
    }

    async fn found_project(
        &self,
        call: &Call,
        generation: u64,
        tenant: &TenantId,
        project: &Slug,
        field: &str,
    ) -> Result<Project, Status> {
        let store = self.edge.platform.ports.store.as_ref();
        let found = view::get_project(store, generation, tenant, project).await;
        let found = found.map_err(|fault| status::of_fault(&fault))?;
        if found.is_none() {
            self.edge.check_tenant(call, tenant, "tenant").await?;
        }
        found.ok_or_else(|| project_not_found(field))
    }
}

/// The one environment that is wanted; None: all.
fn environment(check: &mut Check, key: String) -> Option<Slug> {
    if key.is_empty() { None } else { check.slug("environment", key) }
}

/// With what this environment makes of the flag; all of them when None.
fn within(environment: Option<&Slug>, mut flag: pb::Flag) -> pb::Flag {
    if let Some(environment) = environment {
        flag.targeting.retain(|it| it.environment == environment.as_str());
    }
    flag
}

/// Where a list by key goes on.
fn key(text: &str) -> Option<Slug> {
    Slug::parse(text).ok()
}
