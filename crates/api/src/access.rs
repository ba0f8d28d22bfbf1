//! `exchequer.access.v1.AccessService`: its commands. Queries are in `access_queries.rs`.

use std::collections::BTreeSet;

use exchequer_access::Permission;
use exchequer_domain_access as domain;
use exchequer_proto::access::v1 as pb;
use exchequer_proto::access::v1::access_service_server::AccessService;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_tenant::Command;
use exchequer_types::{StreamId, TenantId};
use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::access_fields::{
    actor, actors, admits_itself, networks, permissions, person_text, principal, rename, scope,
    slugs,
};
use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::edge::{Asked, Edge};
use crate::guard::Judge;
use crate::status;

#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) edge: Edge,
    /// Answers as the guard does.
    pub(crate) judge: Judge,
}

type Reply<T> = Result<Response<T>, Status>;

/// Where the names and addresses of members are encrypted for.
pub(crate) const MEMBER_NAME: &str = "access.member.name";
pub(crate) const MEMBER_EMAIL: &str = "access.member.email";

#[async_trait]
impl AccessService for Access {
    async fn add_member(&self, request: Request<pb::AddMemberRequest>) -> Reply<pb::Member> {
        self.edge.serve(request, async |call, it| self.add(call, it).await).await
    }

    async fn get_member(&self, request: Request<pb::GetMemberRequest>) -> Reply<pb::Member> {
        self.edge.serve(request, async |call, it| self.member(call, it).await).await
    }

    async fn list_members(
        &self,
        request: Request<pb::ListMembersRequest>,
    ) -> Reply<pb::ListMembersResponse> {
        self.edge.serve(request, async |call, it| self.members(call, it).await).await
    }

    async fn update_member(&self, request: Request<pb::UpdateMemberRequest>) -> Reply<pb::Member> {
        self.edge.serve(request, async |call, it| self.update(call, it).await).await
    }

    async fn remove_member(&self, request: Request<pb::RemoveMemberRequest>) -> Reply<pb::Member> {
        self.edge.serve(request, async |call, it| self.remove(call, it).await).await
    }

    async fn create_team(&self, request: Request<pb::CreateTeamRequest>) -> Reply<pb::Team> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let team = check.slug("key", it.key);
        let members = actors(&mut check, "members", it.members);
        let teams = slugs(&mut check, "teams", it.teams);
        let name = it.name;
        let command = team.map(|team| {
            domain::Command::CreateTeam(domain::CreateTeam { team, name, members, teams })
        });
        self.write(call, check, it.tenant, it.write, command).await
    }

    async fn get_team(&self, request: Request<pb::GetTeamRequest>) -> Reply<pb::Team> {
        self.edge.serve(request, async |call, it| self.team(call, it).await).await
    }

    async fn list_teams(
        &self,
        request: Request<pb::ListTeamsRequest>,
    ) -> Reply<pb::ListTeamsResponse> {
        self.edge.serve(request, async |call, it| self.teams(call, it).await).await
    }

    async fn update_team(&self, request: Request<pb::UpdateTeamRequest>) -> Reply<pb::Team> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let team = check.slug("key", it.key);
        let add_members = actors(&mut check, "add_members", it.add_members);
        let remove_members = actors(&mut check, "remove_members", it.remove_members);
        let add_teams = slugs(&mut check, "add_teams", it.add_teams);
        let remove_teams = slugs(&mut check, "remove_teams", it.remove_teams);
        let command = team.map(|team| {
            domain::Command::UpdateTeam(domain::UpdateTeam {
                team,
                name: it.name,
                add_members,
                remove_members,
                add_teams,
                remove_teams,
            })
        });
        self.write(call, check, it.tenant, it.write, command).await
    }

    async fn delete_team(&self, request: Request<pb::DeleteTeamRequest>) -> Reply<pb::Team> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let team = check.slug("key", it.key);
        let command = team.map(|team| domain::Command::DeleteTeam(domain::DeleteTeam { team }));
        self.write(call, check, it.tenant, it.write, command).await
    }

    async fn create_role(&self, request: Request<pb::CreateRoleRequest>) -> Reply<pb::Role> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let role = check.slug("key", it.key);
        let permissions = permissions(&mut check, "permissions", &it.permissions);
        let permissions: BTreeSet<Permission> = permissions.into_iter().collect();
        let name = it.name;
        let command = role.map(|role| {
            domain::Command::CreateRole(domain::CreateRole { role, name, permissions })
        });
        self.write(call, check, it.tenant, it.write, command).await
    }

    async fn get_role(&self, request: Request<pb::GetRoleRequest>) -> Reply<pb::Role> {
        self.edge.serve(request, async |call, it| self.role(call, it).await).await
    }

    async fn list_roles(
        &self,
        request: Request<pb::ListRolesRequest>,
    ) -> Reply<pb::ListRolesResponse> {
        self.edge.serve(request, async |call, it| self.roles(call, it).await).await
    }

    async fn update_role(&self, request: Request<pb::UpdateRoleRequest>) -> Reply<pb::Role> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let role = check.slug("key", it.key);
        let add = permissions(&mut check, "add_permissions", &it.add_permissions);
        let remove = permissions(&mut check, "remove_permissions", &it.remove_permissions);
        let command = role.map(|role| {
            domain::Command::UpdateRole(domain::UpdateRole {
                role,
                name: it.name,
                add_permissions: add.into_iter().collect(),
                remove_permissions: remove.into_iter().collect(),
            })
        });
        self.write(call, check, it.tenant, it.write, command).await
    }

    async fn delete_role(&self, request: Request<pb::DeleteRoleRequest>) -> Reply<pb::Role> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let role = check.slug("key", it.key);
        let command = role.map(|role| domain::Command::DeleteRole(domain::DeleteRole { role }));
        self.write(call, check, it.tenant, it.write, command).await
    }

    async fn list_permissions(
        &self,
        request: Request<pb::ListPermissionsRequest>,
    ) -> Reply<pb::ListPermissionsResponse> {
        self.edge.serve(request, async |call, it| self.permissions(call, it).await).await
    }

    async fn grant_role(&self, request: Request<pb::GrantRoleRequest>) -> Reply<pb::Grant> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let principal = principal(&mut check, "principal", it.principal);
        let role = check.slug("role", it.role);
        let scope = scope(&mut check, "scope", it.scope);
        let expires_at = check.timestamp("expires_at", it.expires_at);
        let command = principal.zip(role).map(|(principal, role)| {
            domain::Command::GrantRole(domain::GrantRole { principal, role, scope, expires_at })
        });
        self.write(call, check, it.tenant, it.write, command).await
    }

    async fn get_grant(&self, request: Request<pb::GetGrantRequest>) -> Reply<pb::Grant> {
        self.edge.serve(request, async |call, it| self.grant(call, it).await).await
    }

    async fn list_grants(
        &self,
        request: Request<pb::ListGrantsRequest>,
    ) -> Reply<pb::ListGrantsResponse> {
        self.edge.serve(request, async |call, it| self.grants(call, it).await).await
    }

    async fn revoke_role(&self, request: Request<pb::RevokeRoleRequest>) -> Reply<pb::Grant> {
        self.edge.serve(request, async |call, it| self.revoke(call, it).await).await
    }

    async fn erase_person(
        &self,
        request: Request<pb::ErasePersonRequest>,
    ) -> Reply<pb::ErasePersonResponse> {
        self.edge.serve(request, async |call, it| self.erase(call, it).await).await
    }

    async fn get_addresses(
        &self,
        request: Request<pb::GetAddressesRequest>,
    ) -> Reply<pb::Addresses> {
        self.edge.serve(request, async |call, it| self.addresses(call, it).await).await
    }

    async fn set_addresses(
        &self,
        request: Request<pb::SetAddressesRequest>,
    ) -> Reply<pb::Addresses> {
        self.edge.serve(request, async |call, it| self.set(call, it).await).await
    }

    async fn explain(&self, request: Request<pb::ExplainRequest>) -> Reply<pb::Explanation> {
        self.edge.serve(request, async |call, it| self.explanation(call, it).await).await
    }

    async fn list_allowed(
        &self,
        request: Request<pb::ListAllowedRequest>,
    ) -> Reply<pb::ListAllowedResponse> {
        self.edge.serve(request, async |call, it| self.allowed(call, it).await).await
    }

    async fn test_permissions(
        &self,
        request: Request<pb::TestPermissionsRequest>,
    ) -> Reply<pb::TestPermissionsResponse> {
        self.edge.serve(request, async |call, it| self.test(call, it).await).await
    }
}

impl Access {
    async fn add(
        &self,
        call: &mut Call,
        mut it: pb::AddMemberRequest,
    ) -> Result<pb::Member, Status> {
        // The same request is the same command, although it is encrypted anew.
        let write = it.write.take();
        let mut said = it.clone();
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let member = actor(&mut check, "id", it.id);
        let name = person_text(&mut check, "name", it.name);
        let email = person_text(&mut check, "email", it.email);
        let write = check.write(write);
        check.done()?;
        let member = member.ok_or_else(unchecked)?;
        // What only validates writes nothing that could be shown: it is told as it was asked.
        let trial = write.validate_only.then(|| (name.clone(), email.clone()));
        let subject = member.as_str();
        said.name = self.edge.tag(&tenant, subject, MEMBER_NAME, &said.name).await?;
        said.email = self.edge.tag(&tenant, subject, MEMBER_EMAIL, &said.email).await?;
        let digest = said.encode_to_vec();
        let name = self.edge.protect(&tenant, subject, MEMBER_NAME, name).await?;
        let email = self.edge.protect(&tenant, subject, MEMBER_EMAIL, email).await?;
        let command = domain::Command::AddMember(domain::AddMember { member, name, email });
        let asked = Asked {
            stream: StreamId::Tenant(tenant.clone()),
            command: Command::Access(command),
            write,
            rename,
        };
        let reply: pb::Member = self.edge.submit_digested(call, asked, Some(digest.into())).await?;
        match trial {
            Some((name, email)) => Ok(pb::Member { name, email, ..reply }),
            None => self.shown(call, &tenant, reply).await,
        }
    }

    async fn update(
        &self,
        call: &mut Call,
        mut it: pb::UpdateMemberRequest,
    ) -> Result<pb::Member, Status> {
        // The same request is the same command, although it is encrypted anew.
        let write = it.write.take();
        let mut said = it.clone();
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let member = actor(&mut check, "id", it.id);
        let name = it.name.map(|name| person_text(&mut check, "name", name));
        let email = it.email.map(|email| person_text(&mut check, "email", email));
        let write = check.write(write);
        check.done()?;
        let member = member.ok_or_else(unchecked)?;
        let subject = member.as_str();
        if let Some(name) = &mut said.name {
            *name = self.edge.tag(&tenant, subject, MEMBER_NAME, name).await?;
        }
        if let Some(email) = &mut said.email {
            *email = self.edge.tag(&tenant, subject, MEMBER_EMAIL, email).await?;
        }
        let digest = said.encode_to_vec();
        let name = match name {
            Some(name) => Some(self.edge.protect(&tenant, subject, MEMBER_NAME, name).await?),
            None => None,
        };
        let email = match email {
            Some(email) => Some(self.edge.protect(&tenant, subject, MEMBER_EMAIL, email).await?),
            None => None,
        };
        let command = domain::Command::UpdateMember(domain::UpdateMember { member, name, email });
        let asked = Asked {
            stream: StreamId::Tenant(tenant.clone()),
            command: Command::Access(command),
            write,
            rename,
        };
        let reply = self.edge.submit_digested(call, asked, Some(digest.into())).await?;
        self.shown(call, &tenant, reply).await
    }

    async fn remove(
        &self,
        call: &mut Call,
        it: pb::RemoveMemberRequest,
    ) -> Result<pb::Member, Status> {
        let mut check = Check::default();
        let member = actor(&mut check, "id", it.id);
        let command =
            member.map(|member| domain::Command::RemoveMember(domain::RemoveMember { member }));
        let tenant = check.tenant("tenant", it.tenant);
        let reply = self.ask(call, check, &tenant, it.write, command).await?;
        self.shown(call, &tenant, reply).await
    }

    /// Asks for the erasure of every key that the person has in the tenant.
    async fn erase(
        &self,
        call: &mut Call,
        it: pb::ErasePersonRequest,
    ) -> Result<pb::ErasePersonResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let subject = actor(&mut check, "subject", it.subject);
        let write = check.write(it.write);
        check.done()?;
        let subject = subject.ok_or_else(unchecked)?;
        let keys = self.edge.vault()?.keys_of(&tenant, subject.as_str()).await;
        let keys = keys.map_err(|error| status::of_vault(&error, "subject"))?;
        let keys = keys.into_iter().collect();
        // A retry finds fewer keys, and is the same command all the same.
        let digest = subject.as_str().as_bytes().to_vec();
        let command = domain::Command::ErasePerson(domain::ErasePerson { subject, keys });
        let stream = StreamId::Tenant(tenant);
        let asked = Asked { stream, command: Command::Access(command), write, rename };
        self.edge.submit_digested(call, asked, Some(digest.into())).await
    }

    async fn set(
        &self,
        call: &mut Call,
        it: pb::SetAddressesRequest,
    ) -> Result<pb::Addresses, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let addresses = networks(&mut check, "networks", &it.networks);
        if let Some(caller) = call.caller.clone().filter(|_| !it.force) {
            // Whoever acts from above is not bound by the list.
            let snapshot = self.edge.access(call, &tenant).await?;
            if snapshot.policy().knows(&caller.principal) {
                admits_itself(&mut check, &addresses, &caller);
            }
        }
        let command = domain::Command::SetAddresses(domain::SetAddresses { addresses });
        self.ask(call, check, &tenant, it.write, Some(command)).await
    }

    async fn revoke(
        &self,
        call: &mut Call,
        it: pb::RevokeRoleRequest,
    ) -> Result<pb::Grant, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let named = scope(&mut check, "scope", it.scope);
        if !named.is_tenant() {
            self.check_scope(call, &tenant, &it.id, &named).await?;
        }
        let command = domain::Command::RevokeRole(domain::RevokeRole { id: it.id });
        self.ask(call, check, &tenant, it.write, Some(command)).await
    }

    async fn write<R: Message + Default>(
        &self,
        mut call: Call,
        mut check: Check,
        tenant: String,
        write: Option<WriteOptions>,
        command: Option<domain::Command>,
    ) -> Reply<R> {
        let tenant = check.tenant("tenant", tenant);
        let result = self.ask(&mut call, check, &tenant, write, command).await;
        call.reply(result)
    }

    async fn ask<R: Message + Default>(
        &self,
        call: &mut Call,
        mut check: Check,
        tenant: &TenantId,
        write: Option<WriteOptions>,
        command: Option<domain::Command>,
    ) -> Result<R, Status> {
        let write = check.write(write);
        check.done()?;
        let command = Command::Access(command.ok_or_else(unchecked)?);
        let stream = StreamId::Tenant(tenant.clone());
        self.edge.submit(call, Asked { stream, command, write, rename }).await
    }
}
