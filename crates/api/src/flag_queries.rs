//! The queries of `exchequer.flags.v1.FlagService`, from the view of flags.

use exchequer_access::Permission;
use exchequer_codec::{environment_message, flag_message, project_message};
use exchequer_domain_flags::{Environment, Flag, Project, Rejection};
use exchequer_projection_flags as view;
use exchequer_proto::flags::v1 as pb;
use exchequer_types::{Slug, TenantId};
use tonic::Status;

use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::flags::{Flags, environment_not_found, flag, not_found, project_not_found};
use crate::guard::{About, Sieve};
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
        let sieve = self.sieve(call, Permission::ProjectsRead, &About::of_tenant(&tenant)).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let (after, limit) = (list.place.as_ref(), list.limit);
        let is_wanted = |it: &Project| {
            sieve.shows(Some(it.key.as_str()), None, None) && list.wants(|| project_message(it))
        };
        let page = view::list_projects(store, generation, &tenant, after, limit, &is_wanted).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListProjectsResponse {
            next_page_token: list.token(shown(page.next, &page.items, |it| &it.key)),
            projects: list.items(page.items.iter().map(project_message).collect())?,
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
        let within = Some(project.key.as_str());
        let about = About { project: within, ..About::of_tenant(&tenant) };
        let sieve = self.sieve(call, Permission::ProjectsRead, &about).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let message =
            |it: &Environment| environment_message(&project.key, it, project.changes + it.changes);
        let is_wanted = |it: &Environment| {
            sieve.shows(within, Some(it.key.as_str()), None) && list.wants(|| message(it))
        };
        let (key, after) = (&project.key, list.place.as_ref());
        let page =
            view::list_environments(store, generation, &tenant, key, after, list.limit, &is_wanted);
        let page = page.await.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListEnvironmentsResponse {
            next_page_token: list.token(shown(page.next, &page.items, |it| &it.key)),
            environments: list.items(page.items.iter().map(message).collect())?,
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
        let (named, place) = (Some(project.as_str()), only.as_ref().map(Slug::as_str));
        let about = About { project: named, environment: place, ..About::of_tenant(&tenant) };
        let sieve = self.sieve(call, Permission::FlagsRead, &about).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let message =
            |it: &Flag| readable(&sieve, within(only.as_ref(), flag_message(&project, it)));
        let is_wanted = |it: &Flag| {
            sieve.shows_part(named, place, Some(it.key.as_str())) && list.wants(|| message(it))
        };
        let (mut after, limit) = (list.place.clone(), list.limit);
        let wanted = view::Wanted { archived: it.archived, also: &is_wanted };
        let page = loop {
            let from = after.as_ref();
            let page = view::list_flags(store, generation, &tenant, &project, from, limit, wanted);
            let page = page.await.map_err(|fault| status::of_fault(&fault))?;
            // A token would name a flag that was passed over: who may see all may know.
            if !page.items.is_empty() || page.next.is_none() || matches!(sieve, Sieve::All) {
                break page;
            }
            after = page.next;
        };
        Ok(pb::ListFlagsResponse {
            next_page_token: list.token(shown(page.next, &page.items, |it| &it.key)),
            flags: list.items(page.items.iter().map(message).collect())?,
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
        flag: pb::Flag,
    ) -> pb::Flag {
        let (project, key) = (Some(flag.project.as_str()), Some(flag.key.as_str()));
        let about = About { project, flag: key, ..About::of_tenant(tenant) };
        // What was done is answered, whatever cannot be told now.
        let sieve = self.sieve(call, Permission::FlagsRead, &about).await;
        readable(&sieve.unwrap_or(Sieve::Nothing), flag)
    }

    async fn sieve(
        &self,
        call: &Call,
        permission: Permission,
        about: &About<'_>,
    ) -> Result<Sieve, Status> {
        self.judge.sieve(call.caller.as_ref(), permission, about).await
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

/// Where the next page begins: behind what was shown, and not behind what was passed over,
/// which may be hidden.
fn shown<T>(next: Option<Slug>, items: &[T], key: impl Fn(&T) -> &Slug) -> Option<Slug> {
    next.map(|passed| items.last().map_or(passed, |it| key(it).clone()))
}

fn readable(sieve: &Sieve, mut flag: pb::Flag) -> pb::Flag {
    let (project, key) = (Some(flag.project.as_str()), Some(flag.key.as_str()));
    if !sieve.shows(project, None, key) {
        flag.targeting.retain(|it| sieve.shows(project, Some(it.environment.as_str()), key));
    }
    flag
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
