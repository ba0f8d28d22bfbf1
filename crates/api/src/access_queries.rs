//! The queries of `exchequer.access.v1.AccessService`, from what is in memory.

use std::sync::Arc;

use exchequer_access::{BuiltIn, Permission, Scope};
use exchequer_codec::{
    addresses_message, member_message, role_grant_message, role_message, team_message,
};
use exchequer_domain_access::{Member, Rejection};
use exchequer_kernel::Reason as _;
use exchequer_projection_access::{LiveAccess, Snapshot};
use exchequer_proto::access::v1 as pb;
use exchequer_types::{ActorId, TenantId};
use tonic::Status;

use crate::access::{Access, MEMBER_EMAIL, MEMBER_NAME};
use crate::access_fields::{actor, principal, scope};
use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::edge::Edge;
use crate::lists::{List, list_options};
use crate::mask::Mask;
use crate::status::{Refusal, tenant_not_found};

impl Access {
    pub(crate) async fn member(
        &self,
        call: &mut Call,
        it: pb::GetMemberRequest,
    ) -> Result<pb::Member, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let id = actor(&mut check, "id", it.id);
        let named = scope(&mut check, "scope", it.scope);
        let mask = Mask::read::<pb::Member>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let id = id.ok_or_else(unchecked)?;
        let snapshot = self.edge.access(call, &tenant).await?;
        let found = snapshot.state.members.get(&id);
        let is_there = || named.is_tenant() || snapshot.state.members_in(&named).contains(&id);
        let found = found.filter(|_| is_there());
        let found = found.ok_or_else(|| refused(&Rejection::MemberNotFound { field: "id" }))?;
        call.is_at(snapshot.state.version);
        mask.apply(self.revealed(&tenant, found, snapshot.state.version).await?)
    }

    pub(crate) async fn members(
        &self,
        call: &mut Call,
        it: pb::ListMembersRequest,
    ) -> Result<pb::ListMembersResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let of = format!("{:?}", it.scope);
        let named = scope(&mut check, "scope", it.scope);
        let options = list_options!(it);
        let read = |text: &str| ActorId::parse(text).ok();
        let list: List<pb::Member, ActorId> =
            check.list("ListMembers", &[tenant.as_str(), &of], options, read);
        check.done()?;
        let snapshot = self.edge.access(call, &tenant).await?;
        let version = snapshot.state.version;
        let there = (!named.is_tenant()).then(|| snapshot.state.members_in(&named));
        let behind = snapshot.state.members.values();
        let behind = behind.filter(|it| there.as_ref().is_none_or(|there| there.contains(&it.id)));
        let behind = behind.filter(|it| list.place.as_ref().is_none_or(|at| it.id > *at));
        let wanted = behind.filter(|it| list.wants(|| member_message(it, version)));
        let mut page: Vec<&Arc<Member>> = wanted.take(list.limit + 1).collect();
        let is_end = page.len() <= list.limit;
        page.truncate(list.limit);
        let next = page.last().filter(|_| !is_end).map(|it| it.id.clone());
        let mut members = Vec::with_capacity(page.len());
        for member in page {
            members.push(self.revealed(&tenant, member, version).await?);
        }
        let next_page_token = list.token(next);
        Ok(pb::ListMembersResponse { members: list.items(members)?, next_page_token })
    }

    pub(crate) async fn team(
        &self,
        call: &mut Call,
        it: pb::GetTeamRequest,
    ) -> Result<pb::Team, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let key = check.slug("key", it.key);
        let named = scope(&mut check, "scope", it.scope);
        let mask = Mask::read::<pb::Team>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let key = key.ok_or_else(unchecked)?;
        let snapshot = self.edge.access(call, &tenant).await?;
        let found = snapshot.state.teams.get(&key);
        let is_there = || named.is_tenant() || snapshot.state.teams_in(&named).contains(&key);
        let found = found.filter(|_| is_there());
        let found = found.ok_or_else(|| refused(&Rejection::TeamNotFound { field: "key" }))?;
        call.is_at(snapshot.state.version);
        mask.apply(team_message(found, snapshot.state.version))
    }

    pub(crate) async fn teams(
        &self,
        call: &mut Call,
        it: pb::ListTeamsRequest,
    ) -> Result<pb::ListTeamsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let of = format!("{:?}", it.scope);
        let named = scope(&mut check, "scope", it.scope);
        let options = list_options!(it);
        let list: List<pb::Team, String> =
            check.list("ListTeams", &[tenant.as_str(), &of], options, |text| Some(text.to_owned()));
        check.done()?;
        let snapshot = self.edge.access(call, &tenant).await?;
        let version = snapshot.state.version;
        let there = (!named.is_tenant()).then(|| snapshot.state.teams_in(&named));
        let all = snapshot.state.teams.values();
        let all = all.filter(|it| there.as_ref().is_none_or(|there| there.contains(&it.key)));
        let all = all.map(|it| team_message(it, version));
        let (teams, next_page_token) = list.page_of(all, |it| it.key.clone())?;
        Ok(pb::ListTeamsResponse { teams, next_page_token })
    }

    pub(crate) async fn role(
        &self,
        call: &mut Call,
        it: pb::GetRoleRequest,
    ) -> Result<pb::Role, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let key = check.slug("key", it.key);
        // Read by the guard alone: roles are the same in every scope.
        scope(&mut check, "scope", it.scope);
        let mask = Mask::read::<pb::Role>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let key = key.ok_or_else(unchecked)?;
        let snapshot = self.edge.access(call, &tenant).await?;
        if let Some(built_in) = BuiltIn::parse(key.as_str()) {
            return mask.apply(built_in_message(built_in));
        }
        let found = snapshot.state.roles.get(&key);
        let found = found.ok_or_else(|| refused(&Rejection::RoleNotFound { field: "key" }))?;
        call.is_at(snapshot.state.version);
        mask.apply(role_message(found, snapshot.state.version))
    }

    pub(crate) async fn roles(
        &self,
        call: &mut Call,
        it: pb::ListRolesRequest,
    ) -> Result<pb::ListRolesResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let of = format!("{:?}", it.scope);
        // Read by the guard alone: roles are the same in every scope.
        scope(&mut check, "scope", it.scope);
        let options = list_options!(it);
        let list: List<pb::Role, String> =
            check.list("ListRoles", &[tenant.as_str(), &of], options, |text| Some(text.to_owned()));
        check.done()?;
        let snapshot = self.edge.access(call, &tenant).await?;
        let version = snapshot.state.version;
        let mut built_in: Vec<BuiltIn> = BuiltIn::ALL.to_vec();
        built_in.sort_by_key(|it| it.as_str());
        let own = snapshot.state.roles.values().map(|it| role_message(it, version));
        let all = built_in.into_iter().map(built_in_message).chain(own);
        // Built-in roles come first.
        let place = |it: &pb::Role| format!("{}/{}", u8::from(!it.built_in), it.key);
        let (roles, next_page_token) = list.page_of(all, place)?;
        Ok(pb::ListRolesResponse { roles, next_page_token })
    }

    pub(crate) async fn permissions(
        &self,
        call: &mut Call,
        it: pb::ListPermissionsRequest,
    ) -> Result<pb::ListPermissionsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        check.done()?;
        self.edge.access(call, &tenant).await?;
        let mut permissions: Vec<Permission> = Permission::ALL.to_vec();
        permissions.sort_by_key(|it| it.as_str());
        let messages = permissions.into_iter().map(|it| pb::Permission {
            name: it.as_str().to_owned(),
            description: it.describe().to_owned(),
            finest_scope: it.finest().as_str().to_owned(),
        });
        Ok(pb::ListPermissionsResponse { permissions: messages.collect() })
    }

    pub(crate) async fn grant(
        &self,
        call: &mut Call,
        it: pb::GetGrantRequest,
    ) -> Result<pb::Grant, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let named = scope(&mut check, "scope", it.scope);
        let mask = Mask::read::<pb::Grant>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let snapshot = self.edge.access(call, &tenant).await?;
        let found = snapshot.state.grants.get(&it.id);
        let found = found.filter(|it| named.holds(&it.scope));
        let found = found.ok_or_else(|| refused(&Rejection::GrantNotFound))?;
        call.is_at(snapshot.state.version);
        mask.apply(role_grant_message(found, snapshot.state.version))
    }

    pub(crate) async fn grants(
        &self,
        call: &mut Call,
        it: pb::ListGrantsRequest,
    ) -> Result<pb::ListGrantsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let of = format!("{:?} {:?}", it.principal, it.scope);
        let principal = match it.principal {
            Some(given) => principal(&mut check, "principal", Some(given)),
            None => None,
        };
        let named = it.scope.is_some().then(|| scope(&mut check, "scope", it.scope));
        let role = it.role;
        let options = list_options!(it);
        let list: List<pb::Grant, String> =
            check.list("ListGrants", &[tenant.as_str(), &of, &role], options, |text| {
                Some(text.to_owned())
            });
        check.done()?;
        let snapshot = self.edge.access(call, &tenant).await?;
        let version = snapshot.state.version;
        let all = snapshot.state.grants.values();
        let wanted = all.filter(|it| {
            principal.as_ref().is_none_or(|wanted| it.principal == *wanted)
                && (role.is_empty() || it.role.as_str() == role)
                && named.as_ref().is_none_or(|wanted| wanted.holds(&it.scope))
        });
        let messages = wanted.map(|it| role_grant_message(it, version));
        let (grants, next_page_token) = list.page_of(messages, |it| it.id.clone())?;
        Ok(pb::ListGrantsResponse { grants, next_page_token })
    }

    pub(crate) async fn addresses(
        &self,
        call: &mut Call,
        it: pb::GetAddressesRequest,
    ) -> Result<pb::Addresses, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let mask = Mask::read::<pb::Addresses>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let snapshot = self.edge.access(call, &tenant).await?;
        call.is_at(snapshot.state.version);
        mask.apply(addresses_message(&snapshot.state.addresses, snapshot.state.version))
    }

    /// Refuses a grant that does not lie in this scope: the caller's right may be limited to
    /// what it names.
    pub(crate) async fn check_scope(
        &self,
        call: &mut Call,
        tenant: &TenantId,
        grant: &str,
        scope: &Scope,
    ) -> Result<(), Status> {
        let snapshot = self.edge.access(call, tenant).await?;
        let found = snapshot.state.grants.get(grant).filter(|it| scope.holds(&it.scope));
        found.map(|_| ()).ok_or_else(|| refused(&Rejection::GrantNotFound))
    }

    /// A member as it is now, with what only the vault can read. `reply` is a command's,
    /// which has none of it.
    pub(crate) async fn shown(
        &self,
        call: &mut Call,
        tenant: &TenantId,
        reply: pb::Member,
    ) -> Result<pb::Member, Status> {
        let snapshot = self.edge.access(call, tenant).await?;
        let id = ActorId::parse(reply.id.as_str()).ok();
        match id.and_then(|id| snapshot.state.members.get(&id)) {
            Some(member) => self.revealed(tenant, member, reply.version).await,
            None => Ok(reply),
        }
    }

    async fn revealed(
        &self,
        tenant: &TenantId,
        member: &Member,
        version: u64,
    ) -> Result<pb::Member, Status> {
        let name = self.edge.reveal(tenant, MEMBER_NAME, member.name.as_ref()).await?;
        let email = self.edge.reveal(tenant, MEMBER_EMAIL, member.email.as_ref()).await?;
        let (name, email) = (name.unwrap_or_default(), email.unwrap_or_default());
        Ok(pb::Member { name, email, ..member_message(member, version) })
    }
}

impl Edge {
    /// A tenant's access control, not older than the call wants.
    pub(crate) async fn access(
        &self,
        call: &mut Call,
        tenant: &TenantId,
    ) -> Result<Arc<Snapshot>, Status> {
        let snapshot = self.live::<LiveAccess>(call, tenant).await?;
        if snapshot.exists { Ok(snapshot) } else { Err(tenant_not_found("tenant")) }
    }
}

/// The refusal that the domain would give.
pub(crate) fn refused(rejection: &Rejection) -> Status {
    let refusal = Refusal::new(rejection.code(), rejection.message());
    match rejection.field() {
        Some(field) => refusal.field(field).status(),
        None => refusal.status(),
    }
}

fn built_in_message(it: BuiltIn) -> pb::Role {
    let mut permissions: Vec<String> =
        it.permissions().iter().map(|it| it.as_str().to_owned()).collect();
    permissions.sort();
    pb::Role {
        key: it.as_str().to_owned(),
        name: it.name().to_owned(),
        permissions,
        built_in: true,
        version: 0,
        description: it.describe().to_owned(),
    }
}
