//! The queries of `exchequer.flags.v1.FlagService`, from the view of flags.

use exchequer_codec::{environment_message, flag_message, project_message};
use exchequer_domain_flags::{Project, Rejection};
use exchequer_projection_flags as view;
use exchequer_proto::flags::v1 as pb;
use exchequer_types::{Slug, TenantId};
use tonic::Status;

use crate::call::Call;
use crate::check::Check;
use crate::flags::{Flags, environment_not_found, flag, not_found, project_not_found, unchecked};
use crate::{pages, status};

impl Flags {
    pub(crate) async fn project(
        &self,
        call: &mut Call,
        it: pb::GetProjectRequest,
    ) -> Result<pb::Project, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let project = check.slug("key", it.key);
        check.done()?;
        let project = project.ok_or_else(unchecked)?;
        let generation = self.read(call, &tenant).await?;
        let found = self.found_project(generation, &tenant, &project, "key").await?;
        Ok(project_message(&found))
    }

    pub(crate) async fn projects(
        &self,
        call: &mut Call,
        it: pb::ListProjectsRequest,
    ) -> Result<pb::ListProjectsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let limit = check.page_size(it.page_size);
        let scope = ["projects", tenant.as_str()];
        let after = check.page_token(&scope, &it.page_token, |text| Slug::parse(text).ok());
        check.done()?;
        self.edge.check_tenant(call, &tenant, "tenant").await?;
        let generation = self.read(call, &tenant).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let page = view::list_projects(store, generation, &tenant, after.as_ref(), limit).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListProjectsResponse {
            projects: page.items.iter().map(project_message).collect(),
            next_page_token: token(&scope, page.next.as_ref()),
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
        check.done()?;
        let (project, key) = project.zip(environment).ok_or_else(unchecked)?;
        let generation = self.read(call, &tenant).await?;
        let project = self.found_project(generation, &tenant, &project, "project").await?;
        let store = self.edge.platform.ports.store.as_ref();
        let found = view::get_environment(store, generation, &tenant, &project.key, &key).await;
        let found = found.map_err(|fault| status::of_fault(&fault))?;
        let found = found.ok_or_else(|| environment_not_found("key"))?;
        Ok(environment_message(&project.key, &found, project.changes + found.changes))
    }

    pub(crate) async fn environments(
        &self,
        call: &mut Call,
        it: pb::ListEnvironmentsRequest,
    ) -> Result<pb::ListEnvironmentsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let project = check.slug("project", it.project.clone());
        let limit = check.page_size(it.page_size);
        let scope = ["environments", tenant.as_str(), &it.project];
        let after = check.page_token(&scope, &it.page_token, |text| Slug::parse(text).ok());
        check.done()?;
        let key = project.ok_or_else(unchecked)?;
        let generation = self.read(call, &tenant).await?;
        let project = self.found_project(generation, &tenant, &key, "project").await?;
        let store = self.edge.platform.ports.store.as_ref();
        let after = after.as_ref();
        let page = view::list_environments(store, generation, &tenant, &key, after, limit).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        let messages = page
            .items
            .iter()
            .map(|it| environment_message(&project.key, it, project.changes + it.changes));
        Ok(pb::ListEnvironmentsResponse {
            environments: messages.collect(),
            next_page_token: token(&scope, page.next.as_ref()),
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
        check.done()?;
        let (project, flag) = addressed.ok_or_else(unchecked)?;
        let generation = self.read(call, &tenant).await?;
        self.found_project(generation, &tenant, &project, "project").await?;
        let store = self.edge.platform.ports.store.as_ref();
        let found = view::get_flag(store, generation, &tenant, &project, &flag).await;
        match found.map_err(|fault| status::of_fault(&fault))? {
            Some(found) => Ok(flag_message(&project, &found)),
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
        let limit = check.page_size(it.page_size);
        let filter = if it.archived { "all" } else { "live" };
        let scope = ["flags", tenant.as_str(), &it.project, filter];
        let after = check.page_token(&scope, &it.page_token, |text| Slug::parse(text).ok());
        check.done()?;
        let project = project.ok_or_else(unchecked)?;
        let generation = self.read(call, &tenant).await?;
        self.found_project(generation, &tenant, &project, "project").await?;
        let store = self.edge.platform.ports.store.as_ref();
        let (after, archived) = (after.as_ref(), it.archived);
        let page =
            view::list_flags(store, generation, &tenant, &project, after, limit, archived).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListFlagsResponse {
            flags: page.items.iter().map(|it| flag_message(&project, it)).collect(),
            next_page_token: token(&scope, page.next.as_ref()),
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

    async fn found_project(
        &self,
        generation: u64,
        tenant: &TenantId,
        project: &Slug,
        field: &str,
    ) -> Result<Project, Status> {
        let store = self.edge.platform.ports.store.as_ref();
        let found = view::get_project(store, generation, tenant, project).await;
        let found = found.map_err(|fault| status::of_fault(&fault))?;
        found.ok_or_else(|| project_not_found(field))
    }
}

/// The page token behind `next`; empty on the last page.
fn token(scope: &[&str], next: Option<&Slug>) -> String {
    next.map(|next| pages::seal(scope, next.as_str())).unwrap_or_default()
}
