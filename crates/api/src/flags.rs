//! `exchequer.flags.v1.FlagService`: projects, environments and flags. What only reads
//! stands in `flag_queries.rs`.

use exchequer_codec::{
    MisfitKind, definition_from_proto, dialect_from_proto, kind_from_proto, targeting_from_proto,
};
use exchequer_domain_flags::{self as domain, Definition, Dialect, Targeting};
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::flags::v1 as pb;
use exchequer_proto::flags::v1::flag_service_server::FlagService;
use exchequer_tenant::Command;
use exchequer_types::{Slug, StreamId};
use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::call::Call;
use crate::check::Check;
use crate::edge::{Asked, Edge};
use crate::status::{self, ENUM_UNKNOWN, FIELD_MISSING, ID_INVALID, Refusal, VALUE_INVALID};

#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

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
        let asked = Wanted { tenant: it.tenant, write: it.write, command, rename: of_project };
        self.write(call, check, asked).await
    }

    async fn get_project(&self, request: Request<pb::GetProjectRequest>) -> Reply<pb::Project> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.project(&mut call, it).await;
        call.reply(result)
    }

    async fn list_projects(
        &self,
        request: Request<pb::ListProjectsRequest>,
    ) -> Reply<pb::ListProjectsResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.projects(&mut call, it).await;
        call.reply(result)
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
            let name = it.name;
            let create = domain::CreateEnvironment { project, environment, name, dialect, salt };
            domain::Command::CreateEnvironment(create)
        });
        let asked = Wanted { tenant: it.tenant, write: it.write, command, rename: of_environment };
        self.write(call, check, asked).await
    }

    async fn get_environment(
        &self,
        request: Request<pb::GetEnvironmentRequest>,
    ) -> Reply<pb::Environment> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.environment(&mut call, it).await;
        call.reply(result)
    }

    async fn list_environments(
        &self,
        request: Request<pb::ListEnvironmentsRequest>,
    ) -> Reply<pb::ListEnvironmentsResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.environments(&mut call, it).await;
        call.reply(result)
    }

    async fn create_flag(&self, request: Request<pb::CreateFlagRequest>) -> Reply<pb::Flag> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        if it.definition.as_ref().is_some_and(|it| kind_from_proto(it.kind).is_none()) {
            check.refuse(ENUM_UNKNOWN, "definition.kind", "must be BOOLEAN or STRING");
        }
        let definition = definition(&mut check, it.definition);
        let command = addressed.zip(definition).map(|((project, flag), definition)| {
            domain::Command::CreateFlag(domain::CreateFlag { project, flag, definition })
        });
        let asked = Wanted { tenant: it.tenant, write: it.write, command, rename: of_flag };
        self.write(call, check, asked).await
    }

    async fn get_flag(&self, request: Request<pb::GetFlagRequest>) -> Reply<pb::Flag> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.flag(&mut call, it).await;
        call.reply(result)
    }

    async fn list_flags(
        &self,
        request: Request<pb::ListFlagsRequest>,
    ) -> Reply<pb::ListFlagsResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.flags(&mut call, it).await;
        call.reply(result)
    }

    async fn update_flag(&self, request: Request<pb::UpdateFlagRequest>) -> Reply<pb::Flag> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        let definition = definition(&mut check, it.definition);
        let command = addressed.zip(definition).map(|((project, flag), definition)| {
            domain::Command::UpdateFlag(domain::UpdateFlag { project, flag, definition })
        });
        let asked = Wanted { tenant: it.tenant, write: it.write, command, rename: of_flag };
        self.write(call, check, asked).await
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
        let asked = Wanted { tenant: it.tenant, write: it.write, command, rename: of_flag };
        self.write(call, check, asked).await
    }

    async fn toggle_flag(&self, request: Request<pb::ToggleFlagRequest>) -> Reply<pb::Flag> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        let environment = check.slug("environment", it.environment);
        let command = addressed.zip(environment).map(|((project, flag), environment)| {
            let enabled = it.enabled;
            let toggle = domain::ToggleFlag { project, flag, environment, enabled };
            domain::Command::ToggleFlag(toggle)
        });
        let asked = Wanted { tenant: it.tenant, write: it.write, command, rename: of_flag };
        self.write(call, check, asked).await
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
        let asked = Wanted { tenant: it.tenant, write: it.write, command, rename: of_flag };
        self.write(call, check, asked).await
    }

    async fn archive_flag(&self, request: Request<pb::ArchiveFlagRequest>) -> Reply<pb::Flag> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        let command = addressed.map(|(project, flag)| {
            domain::Command::ArchiveFlag(domain::ArchiveFlag { project, flag })
        });
        let asked = Wanted { tenant: it.tenant, write: it.write, command, rename: of_flag };
        self.write(call, check, asked).await
    }

    async fn restore_flag(&self, request: Request<pb::RestoreFlagRequest>) -> Reply<pb::Flag> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let addressed = flag(&mut check, it.project, it.key);
        let command = addressed.map(|(project, flag)| {
            domain::Command::RestoreFlag(domain::RestoreFlag { project, flag })
        });
        let asked = Wanted { tenant: it.tenant, write: it.write, command, rename: of_flag };
        self.write(call, check, asked).await
    }
}

/// A command as a method asks for it.
struct Wanted {
    tenant: String,
    write: Option<WriteOptions>,
    /// None when the check has refused a part of it.
    command: Option<domain::Command>,
    /// How the request calls a field of the command.
    rename: fn(&str) -> String,
}

impl Flags {
    async fn write<R: Message + Default>(
        &self,
        mut call: Call,
        mut check: Check,
        asked: Wanted,
    ) -> Reply<R> {
        let tenant = check.tenant("tenant", asked.tenant);
        let write = check.write(asked.write);
        let result = match check.done().and_then(|()| asked.command.ok_or_else(unchecked)) {
            Ok(command) => {
                let (stream, rename) = (StreamId::Tenant(tenant), asked.rename);
                let command = Command::Flags(command);
                self.edge.submit(&mut call, Asked { stream, command, write, rename }).await
            }
            Err(refused) => Err(refused),
        };
        call.reply(result)
    }
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
    check.refuse(code, &format!("{field}.{}", it.path), it.message.clone());
}

/// What [`Check::done`] lets through is there.
pub(crate) fn unchecked() -> Status {
    status::internal("check", "a field is missing that was not refused")
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

/// As methods about a flag do.
fn of_flag(field: &str) -> String {
    match field {
        "id" => "tenant",
        "flag" => "key",
        "variants" => "definition",
        "name" => "definition.name",
        "description" => "definition.description",
        "tags" => "definition.tags",
        same => same,
    }
    .to_owned()
}
