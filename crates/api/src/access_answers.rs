//! Who may do what, asked of the policy that every call is judged by: for one principal, for
//! all, and for the caller.

use std::sync::Arc;

use exchequer_access::{Permission, Principal, Rule, Scope, Target};
use exchequer_projection_access::Snapshot;
use exchequer_proto::access::v1 as pb;
use exchequer_types::{TenantId, Timestamp};
use tonic::Status;

use crate::access::Access;
use crate::access_fields::{permission, permissions, principal, scope};
use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::guard::{About, Need, PlatformFlags, Production as _};
use crate::lists::{List, list_options};
use crate::status::{self, VALUE_INVALID};

/// Permissions of one call.
const PERMISSIONS_MAX: usize = 100;

/// What is asked about.
struct Asked<'a> {
    snapshot: &'a Snapshot,
    permission: Permission,
    target: Target<'a>,
    at: Timestamp,
}

impl Access {
    pub(crate) async fn explanation(
        &self,
        call: &mut Call,
        it: pb::ExplainRequest,
    ) -> Result<pb::Explanation, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let who = principal(&mut check, "principal", it.principal);
        if let Some(Principal::Team(_)) = who {
            check.refuse(VALUE_INVALID, "principal.team", "must be a member or a credential");
        }
        let permission = permission(&mut check, "permission", &it.permission);
        let scope = scope(&mut check, "scope", it.scope);
        check.done()?;
        let (who, permission) = who.zip(permission).ok_or_else(unchecked)?;
        let snapshot = self.edge.access(call, &tenant).await?;
        let who = acting(&snapshot, who);
        let production = self.production(&tenant, permission, &scope).await?;
        let asked = self.asked(&snapshot, permission, &scope, production);
        let rule = asked.rule(&who);
        let considered = snapshot.policy().explain(&who, permission, &asked.target, asked.at);
        let considered = considered.into_iter().map(|look| pb::Rule {
            kind: look.rule.code().to_owned(),
            grant: look.grant.id.clone(),
            role: look.grant.role.to_string(),
            team: look.team.map(ToString::to_string).unwrap_or_default(),
        });
        Ok(pb::Explanation {
            allowed: matches!(rule, Rule::Granted { .. }),
            rule: Some(rule_message(&snapshot, &rule)),
            considered: considered.collect(),
        })
    }

    pub(crate) async fn allowed(
        &self,
        call: &mut Call,
        it: pb::ListAllowedRequest,
    ) -> Result<pb::ListAllowedResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let permission = permission(&mut check, "permission", &it.permission);
        let of = format!("{} {:?}", it.permission, it.scope);
        let scope = scope(&mut check, "scope", it.scope);
        let options = list_options!(it);
        let list: List<pb::Allowed, String> =
            check.list("ListAllowed", &[tenant.as_str(), &of], options, |text| {
                Some(text.to_owned())
            });
        check.done()?;
        let permission = permission.ok_or_else(unchecked)?;
        let snapshot = self.edge.access(call, &tenant).await?;
        let production = self.production(&tenant, permission, &scope).await?;
        let asked = self.asked(&snapshot, permission, &scope, production);
        let members = snapshot.state.members.keys().cloned().map(Principal::Member);
        let own = snapshot.state.credentials.values().filter(|it| it.kind.owner().is_none());
        let credentials = own.map(|it| Principal::Credential(it.id.clone()));
        let all = members.chain(credentials).filter_map(|who| {
            let rule = asked.rule(&who);
            let allowed = matches!(rule, Rule::Granted { .. });
            allowed.then(|| pb::Allowed {
                principal: Some(exchequer_codec::principal_to_proto(&who)),
                rule: Some(rule_message(&snapshot, &rule)),
            })
        });
        let (allowed, next_page_token) = list.page_of(all, place)?;
        Ok(pb::ListAllowedResponse { allowed, next_page_token })
    }

    pub(crate) async fn test(
        &self,
        call: &mut Call,
        it: pb::TestPermissionsRequest,
    ) -> Result<pb::TestPermissionsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        if !(1..=PERMISSIONS_MAX).contains(&it.permissions.len()) {
            let text = format!("must name 1 to {PERMISSIONS_MAX}");
            check.refuse(VALUE_INVALID, "permissions", text);
        }
        let wanted = permissions(&mut check, "permissions", &it.permissions);
        let scope = scope(&mut check, "scope", it.scope);
        check.done()?;
        self.edge.access(call, &tenant).await?;
        let target = scope.target();
        let about = About {
            tenant: &tenant,
            project: target.project,
            environment: target.environment,
            flag: target.flag,
        };
        let mut found = Vec::new();
        for permission in wanted {
            let is_allowed = match &call.caller {
                Some(caller) => {
                    self.judge.judge(caller, Need::Permission(permission), &about).await.is_ok()
                }
                // There is no access control.
                None => true,
            };
            if is_allowed {
                found.push(permission.as_str().to_owned());
            }
        }
        Ok(pb::TestPermissionsResponse { permissions: found })
    }

    fn asked<'a>(
        &self,
        snapshot: &'a Arc<Snapshot>,
        permission: Permission,
        scope: &'a Scope,
        production: bool,
    ) -> Asked<'a> {
        let target = Target { production, ..scope.target() };
        let at = self.edge.platform.ports.runtime.now();
        Asked { snapshot, permission, target, at }
    }

    /// Would a call like this change what is served in production?
    async fn production(
        &self,
        tenant: &TenantId,
        permission: Permission,
        scope: &Scope,
    ) -> Result<bool, Status> {
        // A new flag is off everywhere.
        if !permission.changes_flags() || permission == Permission::FlagsCreate {
            return Ok(false);
        }
        let target = scope.target();
        let (Some(project), _, _) = scope.parts() else { return Ok(true) };
        let flags = PlatformFlags(self.edge.platform.clone());
        let changes = flags.changes(tenant, project, target.environment).await;
        changes.map_err(|_| status::of_behind(exchequer_engine::Behind { view: "flags" }))
    }
}

impl Asked<'_> {
    fn rule(&self, who: &Principal) -> Rule<'_> {
        let policy = self.snapshot.policy();
        policy.decide(who, self.permission, &self.target, self.at).rule
    }
}

/// As whom a credential acts.
fn acting(snapshot: &Snapshot, who: Principal) -> Principal {
    match &who {
        Principal::Credential(id) => {
            snapshot.state.credentials.get(id).map_or(who, |it| it.principal())
        }
        _ => who,
    }
}

fn rule_message(snapshot: &Snapshot, it: &Rule<'_>) -> pb::Rule {
    let grant = it.grant().unwrap_or_default();
    let given = snapshot.state.grants.get(grant).map(|grant| grant.role.to_string());
    pb::Rule {
        kind: it.code().to_owned(),
        grant: grant.to_owned(),
        role: given.unwrap_or_default(),
        team: it.team().map(ToString::to_string).unwrap_or_default(),
    }
}

/// Members come before credentials.
fn place(it: &pb::Allowed) -> String {
    use pb::principal::Principal as P;
    match it.principal.as_ref().and_then(|it| it.principal.as_ref()) {
        Some(P::Member(id)) => format!("1/{id}"),
        Some(P::Team(key)) => format!("2/{key}"),
        Some(P::Credential(id)) => format!("3/{id}"),
        None => String::new(),
    }
}
