//! `exchequer.flags.v1.FlagService`: projects, environments and flags. What only reads
//! stands in `flag_queries.rs`.

use exchequer_codec::{
    MisfitKind, definition_from_proto, dialect_from_proto, kind_from_proto, targeting_from_proto,
};
use std::collections::BTreeSet;

use exchequer_domain_flags::{self as domain, Definition, DefinitionField, Dialect, Targeting};
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::flags::v1 as pb;
use exchequer_proto::flags::v1::flag_service_server::FlagService;
use exchequer_tenant::Command;
use exchequer_types::{Slug, TenantId};
use futures::FutureExt as _;
use tonic::{Request, Response, Status, async_trait};

use crate::batch::{self, ItemResult, item};
use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::edge::{Edge, Wanted};
use crate::guard::Judge;
use prost_types::FieldMask;

use crate::status::{
    ENUM_UNKNOWN, FIELD_MASK_INVALID, FIELD_MISSING, ID_INVALID, Refusal, VALUE_INVALID,
};

#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) edge: Edge,
    /// Says which environments a reply may show.
    pub(crate) judge: Judge,
}

type Reply<T> = Result<Response<T>, Status>;

item!(pb::CreateFlagRequest, "exchequer.flags.v1.CreateFlagRequest");
item!(pb::ToggleFlagRequest, "exchequer.flags.v1.ToggleFlagRequest");

fn result_of(result: ItemResult<pb::Flag>) -> pb::FlagResult {
    use pb::flag_result::Result as R;
    pb::FlagResult { result: Some(result.map_or_else(R::Error, R::Flag)) }
}

#[async_trait]
impl FlagService for Flags {
    async fn create_project(
        &self,
        request: Request<pb::CreateProjectRequest>,
    ) -> Reply<pb::Project> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let project = check.slug("key", it.key);
        let command = project.map(|project| {
            domain::Command::CreateProject(domain::CreateProject { project, name: it.name })
        });
        self.edge.write(call, check, wanted(it.tenant, it.write, command, of_project)).await
    }

    async fn get_project(&self, request: Request<pb::GetProjectRequest>) -> Reply<pb::Project> {
        self.edge.serve(request, async |call, it| self.project(call, it).await).await
    }

    async fn list_projects(
        &self,
        request: Request<pb::ListProjectsRequest>,
    ) -> Reply<pb::ListProjectsResponse> {
        self.edge.serve(request, async |call, it| self.projects(call, it).await).await
    }

    async fn create_environment(
        &self,
        request: Request<pb::CreateEnvironmentRequest>,
    ) -> Reply<pb::Environment> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let project = check.slug("project", it.project);
        let environment = check.slug("key", it.key);
        let dialect = dialect(&mut check, it.dialect);
        let salt = (!it.salt.is_empty()).then_some(it.salt);
        let command = project.zip(environment).map(|(project, environment)| {
            domain::Command::CreateEnvironment(domain::CreateEnvironment {
                project,
                environment,
                name: it.name,
                dialect,
                salt,
                production: it.production,
            })
        });
        self.edge.write(call, check, wanted(it.tenant, it.write, command, of_environment)).await
    }

    async fn get_environment(
        &self,
        request: Request<pb::GetEnvironmentRequest>,
    ) -> Reply<pb::Environment> {
        self.edge.serve(request, async |call, it| self.environment(call, it).await).await
    }

    async fn list_environments(
        &self,
        request: Request<pb::ListEnvironmentsRequest>,
    ) -> Reply<pb::ListEnvironmentsResponse> {
        self.edge.serve(request, async |call, it| self.environments(call, it).await).await
    }

    async fn create_flag(&self, request: Request<pb::CreateFlagRequest>) -> Reply<pb::Flag> {
        self.edge.serve(request, async |call, it| self.create(call, it).await).await
    }

    async fn batch_create_flags(
        &self,
        request: Request<pb::BatchCreateFlagsRequest>,
    ) -> Reply<pb::BatchCreateFlagsResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let project = it.project;
        check.slug("project", project.clone());
        let one = |mut call: Call, mut item: pb::CreateFlagRequest| {
            let is_of_batch = batch::common(&mut item.tenant, "tenant", tenant.as_str())
                .and_then(|()| batch::common(&mut item.project, "project", &project));
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
        let result = results.map(|results| pb::BatchCreateFlagsResponse {
            results: results.into_iter().map(result_of).collect(),
        });
        call.reply(result)
    }

    async fn get_flag(&self, request: Request<pb::GetFlagRequest>) -> Reply<pb::Flag> {
        self.edge.serve(request, async |call, it| self.flag(call, it).await).await
    }

    async fn list_flags(
        &self,
        request: Request<pb::ListFlagsRequest>,
    ) -> Reply<pb::ListFlagsResponse> {
        self.edge.serve(request, async |call, it| self.flags(call, it).await).await
    }

    async fn update_flag(&self, request: Request<pb::UpdateFlagRequest>) -> Reply<pb::Flag> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        let kind = it.definition.as_ref().and_then(|it| kind_from_proto(it.kind));
        let definition = definition(&mut check, it.definition);
        let only = only(&mut check, it.update_mask);
        let command = addressed.zip(definition).map(|((project, flag), definition)| {
            let update = domain::UpdateFlag { project, flag, kind, definition, only };
            domain::Command::UpdateFlag(update)
        });
        self.write_flag(call, check, wanted(it.tenant, it.write, command, of_flag)).await
    }

    async fn set_targeting(&self, request: Request<pb::SetTargetingRequest>) -> Reply<pb::Flag> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        let environment = check.slug("environment", it.environment);
        let targeting = targeting(&mut check, it.targeting);
        let command = addressed.zip(environment).zip(targeting).map(
            |(((project, flag), environment), targeting)| {
                let set = domain::SetTargeting { project, flag, environment, targeting };
                domain::Command::SetTargeting(set)
            },
        );
        self.write_flag(call, check, wanted(it.tenant, it.write, command, of_flag)).await
    }

    async fn toggle_flag(&self, request: Request<pb::ToggleFlagRequest>) -> Reply<pb::Flag> {
        self.edge.serve(request, async |call, it| self.toggle(call, it).await).await
    }

    async fn batch_toggle_flags(
        &self,
        request: Request<pb::BatchToggleFlagsRequest>,
    ) -> Reply<pb::BatchToggleFlagsResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let (project, environment) = (it.project, it.environment);
        check.slug("project", project.clone());
        check.slug("environment", environment.clone());
        let one = |mut call: Call, mut item: pb::ToggleFlagRequest| {
            let is_of_batch = batch::common(&mut item.tenant, "tenant", tenant.as_str())
                .and_then(|()| batch::common(&mut item.project, "project", &project))
                .and_then(|()| batch::common(&mut item.environment, "environment", &environment));
            async move {
                let result = match is_of_batch {
                    Ok(()) => self.toggle(&mut call, item).await,
                    Err(refused) => Err(refused),
                };
                (call, result)
            }
            .boxed()
        };
        let results = self.edge.each(&mut call, check, it.requests, it.write, one).await;
        let result = results.map(|results| pb::BatchToggleFlagsResponse {
            results: results.into_iter().map(result_of).collect(),
        });
        call.reply(result)
    }

    async fn grow_rollout(&self, request: Request<pb::GrowRolloutRequest>) -> Reply<pb::Flag> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        let environment = check.slug("environment", it.environment);
        let command = addressed.zip(environment).map(|((project, flag), environment)| {
            let weights = it.weights.into_iter().map(|it| (it.variant, it.weight)).collect();
            let rule = it.rule;
            let grow = domain::GrowRollout { project, flag, environment, rule, weights };
            domain::Command::GrowRollout(grow)
        });
        self.write_flag(call, check, wanted(it.tenant, it.write, command, of_flag)).await
    }

    async fn archive_flag(&self, request: Request<pb::ArchiveFlagRequest>) -> Reply<pb::Flag> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        let command = addressed.map(|(project, flag)| {
            domain::Command::ArchiveFlag(domain::ArchiveFlag { project, flag })
        });
        self.write_flag(call, check, wanted(it.tenant, it.write, command, of_flag)).await
    }

    async fn restore_flag(&self, request: Request<pb::RestoreFlagRequest>) -> Reply<pb::Flag> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        let command = addressed.map(|(project, flag)| {
            domain::Command::RestoreFlag(domain::RestoreFlag { project, flag })
        });
        self.write_flag(call, check, wanted(it.tenant, it.write, command, of_flag)).await
    }
}

impl Flags {
    async fn write_flag(&self, mut call: Call, check: Check, asked: Wanted) -> Reply<pb::Flag> {
        let result = self.submit_flag(&mut call, check, asked).await;
        call.reply(result)
    }

    async fn submit_flag(
        &self,
        call: &mut Call,
        check: Check,
        asked: Wanted,
    ) -> Result<pb::Flag, Status> {
        let tenant = TenantId::parse(asked.tenant.as_str());
        let flag = self.edge.ask(call, check, asked).await?;
        let tenant = tenant.map_err(|_| unchecked())?;
        Ok(self.readable(call, &tenant, flag).await)
    }

    async fn create(&self, call: &mut Call, it: pb::CreateFlagRequest) -> Result<pb::Flag, Status> {
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        if it.definition.as_ref().is_some_and(|it| kind_from_proto(it.kind).is_none()) {
            check.refuse(ENUM_UNKNOWN, "definition.kind", "must be BOOLEAN or STRING");
        }
        let definition = definition(&mut check, it.definition);
        let command = addressed.zip(definition).map(|((project, flag), definition)| {
            domain::Command::CreateFlag(domain::CreateFlag { project, flag, definition })
        });
        self.submit_flag(call, check, wanted(it.tenant, it.write, command, of_flag)).await
    }

    async fn toggle(&self, call: &mut Call, it: pb::ToggleFlagRequest) -> Result<pb::Flag, Status> {
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        let environment = check.slug("environment", it.environment);
        let command = addressed.zip(environment).map(|((project, flag), environment)| {
            let enabled = it.enabled;
            let toggle = domain::ToggleFlag { project, flag, environment, enabled };
            domain::Command::ToggleFlag(toggle)
        });
        self.submit_flag(call, check, wanted(it.tenant, it.write, command, of_flag)).await
    }
}

/// What a request asks the domain for.
fn wanted(
    tenant: String,
    write: Option<WriteOptions>,
    command: Option<domain::Command>,
    rename: fn(&str) -> String,
) -> Wanted {
    Wanted { tenant, write, command: command.map(Command::Flags), rename }
}

/// A flag and its project.
pub(crate) fn flag(check: &mut Check, project: String, key: String) -> Option<(Slug, Slug)> {
    let project = check.slug("project", project);
    project.zip(check.slug("key", key))
}

/// The first dialect when none is given.
fn dialect(check: &mut Check, dialect: i32) -> Dialect {
    if dialect == 0 {
        return Dialect::default();
    }
    dialect_from_proto(dialect).unwrap_or_else(|| {
        check.refuse(ENUM_UNKNOWN, "dialect", "must be FRACTIONAL_V2");
        Dialect::default()
    })
}

fn definition(check: &mut Check, it: Option<pb::Definition>) -> Option<Definition> {
    if it.is_none() {
        check.refuse(FIELD_MISSING, "definition", "must be given");
        return None;
    }
    definition_from_proto(it).map_err(|it| misfit(check, "definition", &it)).ok()
}

/// The fields of a definition that a mask names; all when it names none, or `*`.
fn only(check: &mut Check, mask: Option<FieldMask>) -> BTreeSet<DefinitionField> {
    let paths = mask.unwrap_or_default().paths;
    if paths.iter().any(|it| it == "*") {
        return BTreeSet::new();
    }
    let mut found = BTreeSet::new();
    for (index, path) in paths.iter().enumerate() {
        if let Some(field) = DefinitionField::parse(path) {
            found.insert(field);
        } else {
            let known = DefinitionField::ALL.map(DefinitionField::as_str).join(", ");
            let field = format!("update_mask.paths[{index}]");
            check.refuse(FIELD_MASK_INVALID, &field, format!("must be one of {known}"));
        }
    }
    found
}

fn targeting(check: &mut Check, it: Option<pb::Targeting>) -> Option<Targeting> {
    if it.is_none() {
        check.refuse(FIELD_MISSING, "targeting", "must be given");
        return None;
    }
    targeting_from_proto(it).map_err(|it| misfit(check, "targeting", &it)).ok()
}

fn misfit(check: &mut Check, field: &str, it: &exchequer_codec::Misfit) {
    let code = match it.kind {
        MisfitKind::Id => ID_INVALID,
        MisfitKind::Enum => ENUM_UNKNOWN,
        MisfitKind::Value => VALUE_INVALID,
    };
    let path = if it.path.is_empty() { field.to_owned() } else { format!("{field}.{}", it.path) };
    check.refuse(code, &condition_path(&path), it.message.clone());
}

/// There is no such project. `field` is where the request names it.
pub(crate) fn project_not_found(field: &str) -> Status {
    not_found(&domain::Rejection::ProjectNotFound, field)
}

/// There is no such environment. `field` is where the request names it.
pub(crate) fn environment_not_found(field: &str) -> Status {
    not_found(&domain::Rejection::EnvironmentNotFound, field)
}

pub(crate) fn not_found(rejection: &domain::Rejection, field: &str) -> Status {
    use exchequer_kernel::Reason as _;
    Refusal::new(rejection.code(), rejection.message()).field(field).status()
}

/// As CreateProject calls a field of the command, or of the tenant.
fn of_project(field: &str) -> String {
    match field {
        "id" => "tenant",
        "project" => "key",
        same => same,
    }
    .to_owned()
}

/// As CreateEnvironment does.
fn of_environment(field: &str) -> String {
    match field {
        "id" => "tenant",
        "environment" => "key",
        same => same,
    }
    .to_owned()
}

/// Fields of a definition.
const DEFINITION: [&str; 7] =
    ["name", "description", "tags", "kind", "variants", "default_variant", "off_variant"];

/// Is `path` the field, or something in it?
fn is_below(path: &str, field: &str) -> bool {
    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The path in a request: its lists stand in messages of their own, where the domain has
/// lists alone.
fn condition_path(path: &str) -> String {
    let lists = [("all", "conditions"), ("any", "conditions"), ("plan", "values")];
    let texts = ["in", "starts_with", "ends_with", "contains"].map(|it| (it, "values"));
    let mut found = path.to_owned();
    for (list, inner) in lists.into_iter().chain(texts) {
        found = found.replace(&format!(".{list}["), &format!(".{list}.{inner}["));
    }
    found
}

/// As methods about a flag do.
fn of_flag(field: &str) -> String {
    match field {
        "id" => "tenant",
        "flag" => "key",
        same if DEFINITION.iter().any(|it| is_below(same, it)) => {
            return format!("definition.{same}");
        }
        same if is_below(same, "targeting") => return condition_path(same),
        same => same,
    }
    .to_owned()
}
