//! May this caller do this, there: by the tenant's own policy, or by that of a tenant
//! above it. All of it from snapshots in memory; who stands in no relation to a tenant
//! does not learn that it exists.

use std::collections::BTreeSet;
use std::sync::Arc;

use exchequer_access::{
    Above, BuiltIn, Grant, Permission, Place, Policy, Principal, Rule, Scope, Source, Target,
    admits,
};
use exchequer_domain_access::Credential;
use exchequer_domain_flags::Flag;
use exchequer_engine::Platform;
use exchequer_projection_access::Snapshot;
use exchequer_runtime::Runtime;
use exchequer_types::{ActorId, PLATFORM, Slug, TenantId, Timestamp};

use super::caller::{Caller, Proof};
use super::production::{PlatformFlags, Production};
use super::rules::Need;
use crate::authn::{Directory, PlatformDirectory, Unavailable};

/// Tenants stand at most this deep below each other; twice what may be created.
const ANCESTORS_MAX: usize = 8;

/// What a call is about, as far as it names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) project: Option<&'a str>,
    pub(crate) environment: Option<&'a str>,
    pub(crate) flag: Option<&'a str>,
}

impl<'a> About<'a> {
    /// All that is the tenant's.
    pub(crate) const fn of_tenant(tenant: &'a TenantId) -> Self {
        Self { tenant, project: None, environment: None, flag: None }
    }
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// There is no such tenant, as far as the caller may know.
    Hidden,
    /// A principal of the tenant, or of one above, without the permission.
    Lacks { rule: &'static str, grant: Option<String> },
    /// The tenant by whose grants it would be allowed is not used from this address.
    Address,
    /// It cannot be told now.
    Unavailable,
}

/// By whose grants it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grounds {
    /// Those of the tenant itself.
    Own,
    /// Those of a tenant above it, by the rule of this code.
    Above(&'static str),
}

/// Decides.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(super) directory: Arc<dyn Directory>,
    production: Arc<dyn Production>,
    /// Of the platform, for its deployment.
    deployment: Policy,
    runtime: Arc<dyn Runtime>,
}

/// Who asks, and what is known of them already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) caller: &'a Caller,
    /// The access control of its home, and where it stands in the policy there.
    pub(crate) home: Option<(&'a Snapshot, Option<Place>)>,
    pub(crate) now: Timestamp,
}

/// One question, while it is looked at.
struct Question<'a> {
    asker: Asker<'a>,
    caller: &'a Caller,
    need: Need,
    about: &'a About<'a>,
    /// Judged as if it changed production.
    production: bool,
    /// Some of what it is about is enough.
    part: bool,
    now: Timestamp,
}

impl Judge {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        production: Arc<dyn Production>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        Self { directory, production, deployment: deployment(), runtime }
    }

    /// From what a running platform has in memory.
    pub(crate) fn of(platform: &Platform) -> Self {
        let directory = Arc::new(PlatformDirectory { platform: platform.clone() });
        let flags = Arc::new(PlatformFlags(platform.clone()));
        Self::new(directory, flags, Arc::clone(&platform.ports.runtime))
    }

    /// The caller may do it, or not.
    pub(crate) async fn judge(
        &self,
        caller: &Caller,
        need: Need,
        about: &About<'_>,
    ) -> Result<(), Denied> {
        self.grounds(caller, need, about).await.map(|_| ())
    }

    /// The same, with what allows it.
    pub(crate) async fn grounds(
        &self,
        caller: &Caller,
        need: Need,
        about: &About<'_>,
    ) -> Result<Grounds, Denied> {
        let asker = Asker { caller, home: None, now: self.runtime.now() };
        self.grounds_of(asker, need, about).await
    }

    /// The same for a caller of whom something is known already.
    pub(super) async fn grounds_of(
        &self,
        asker: Asker<'_>,
        need: Need,
        about: &About<'_>,
    ) -> Result<Grounds, Denied> {
        let Asker { caller, now, .. } = asker;
        let changes = match need {
            Need::Permission(permission) if permission.changes_flags() => Some(permission),
            _ => None,
        };
        let production = changes.is_some();
        let strict = Question { asker, caller, need, about, production, part: false, now };
        match (self.ask(&strict).await, changes) {
            // Whether it really changes production matters to few.
            (Err(Denied::Lacks { rule, grant }), Some(permission)) => {
                if self.changes_production(permission, about).await? {
                    return Err(Denied::Lacks { rule, grant });
                }
                self.ask(&Question { production: false, ..strict }).await
            }
            (answer, _) => answer,
        }
    }

    /// The same of a change that is known to leave production as it is.
    pub(super) async fn grounds_outside(
        &self,
        caller: &Caller,
        need: Need,
        about: &About<'_>,
    ) -> Result<Grounds, Denied> {
        let now = self.runtime.now();
        let asker = Asker { caller, home: None, now };
        self.ask(&Question { asker, caller, need, about, production: false, part: false, now })
            .await
    }

    /// The same of reading some of it, whichever.
    pub(super) async fn grounds_of_part(
        &self,
        asker: Asker<'_>,
        need: Need,
        about: &About<'_>,
    ) -> Result<Grounds, Denied> {
        let Asker { caller, now, .. } = asker;
        self.ask(&Question { asker, caller, need, about, production: false, part: true, now }).await
    }

    /// The flag as it is. None when there is none.
    pub(super) async fn flag(
        &self,
        tenant: &TenantId,
        project: &str,
        flag: &str,
    ) -> Result<Option<Flag>, Unavailable> {
        let (Ok(project), Ok(flag)) = (Slug::parse(project), Slug::parse(flag)) else {
            return Ok(None);
        };
        self.production.flag(tenant, &project, &flag).await
    }

    /// The credential as it is. None when there is none.
    pub(super) async fn credential(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<Arc<Credential>>, Unavailable> {
        let snapshot = self.directory.access_of(tenant).await?;
        Ok(snapshot.state.credentials.get(id).cloned())
    }

    /// No limit holds for the deployment and those who operate it.
    pub(crate) async fn is_unlimited(
        &self,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        if caller.is_deployment() {
            return Ok(true);
        }
        if caller.home.as_str() != PLATFORM {
            return Ok(false);
        }
        let snapshot = self.directory.access_of(&caller.home).await?;
        let (who, whole) = (&caller.principal, Target::default());
        let operates = Permission::SystemOperate;
        Ok(snapshot.policy().decide(who, operates, &whole, now).allowed)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.runtime.now()
    }

    async fn ask(&self, question: &Question<'_>) -> Result<Grounds, Denied> {
        let tenant = question.about.tenant;
        let found;
        let (snapshot, place) = match question.asker.home {
            Some(home) if *tenant == question.caller.home => home,
            _ => {
                found = self.directory.access_of(tenant).await?;
                (found.as_ref(), None)
            }
        };
        if !snapshot.exists {
            return Err(Denied::Hidden);
        }
        let own = match self.policy(question.caller, tenant, snapshot) {
            Some(policy) => question.of_own(policy, place),
            None => Rule::NotMember,
        };
        if matches!(own, Rule::Granted { .. }) {
            return question.check_address(snapshot).map(|()| Grounds::Own);
        }
        let from_above = self.ask_above(question, snapshot).await?;
        match (own, from_above) {
            (_, FromAbove::Allowed(rule)) => Ok(Grounds::Above(rule)),
            (_, FromAbove::Address) => Err(Denied::Address),
            (Rule::NotMember, FromAbove::Nothing) => Err(Denied::Hidden),
            (Rule::NotMember, FromAbove::Incomplete) => {
                Err(Denied::Lacks { rule: Rule::AboveIncomplete.code(), grant: None })
            }
            (rule, _) => {
                Err(Denied::Lacks { rule: rule.code(), grant: rule.grant().map(str::to_owned) })
            }
        }
    }

    /// The tenants above, the nearest first.
    async fn ask_above(
        &self,
        question: &Question<'_>,
        of: &Snapshot,
    ) -> Result<FromAbove, Unavailable> {
        let permission = match question.need {
            Need::Permission(permission) => permission,
            Need::Member => Permission::TenantsActAs,
        };
        let (caller, mut said) = (question.caller, FromAbove::Nothing);
        let (mut next, mut above) = (of.provider.clone(), Above::Provider);
        for _ in 0..ANCESTORS_MAX {
            let Some(tenant) = next.take() else { break };
            let snapshot = self.directory.access_of(&tenant).await?;
            if let Some(policy) = self.policy(caller, &tenant, &snapshot) {
                let (who, production) = (&caller.principal, question.production);
                let verdict = policy.decide_below(who, permission, production, above, question.now);
                match (verdict.allowed, verdict.rule) {
                    (true, _) if question.check_address(&snapshot).is_ok() => {
                        return Ok(FromAbove::Allowed(verdict.rule.code()));
                    }
                    (true, _) => said = FromAbove::Address,
                    (false, Rule::AboveIncomplete) => said = said.max(FromAbove::Incomplete),
                    (false, _) => {}
                }
            }
            (next, above) = (snapshot.provider.clone(), Above::Ancestor);
        }
        Ok(said)
    }

    /// The policy by which `caller` is judged as a principal of `tenant`; None when it
    /// can be none. What a credential's principal is called, its home alone has said.
    pub(super) fn policy<'a>(
        &'a self,
        caller: &Caller,
        tenant: &TenantId,
        snapshot: &'a Snapshot,
    ) -> Option<&'a Policy> {
        match &caller.proof {
            Proof::Deployment => (tenant.as_str() == PLATFORM).then_some(&self.deployment),
            Proof::Credential(_) => (*tenant == caller.home).then(|| snapshot.policy().as_ref()),
            Proof::Issued { .. } | Proof::Certificate { .. } => Some(snapshot.policy().as_ref()),
        }
    }

    async fn changes_production(
        &self,
        permission: Permission,
        about: &About<'_>,
    ) -> Result<bool, Unavailable> {
        // A new flag is off everywhere.
        if permission == Permission::FlagsCreate {
            return Ok(false);
        }
        let Some(project) = about.project else { return Ok(true) };
        // A project of no such name has no environments.
        let Ok(project) = Slug::parse(project) else { return Ok(false) };
        self.production.changes(about.tenant, &project, about.environment).await
    }
}

impl Question<'_> {
    /// `place`: where the caller stands in the policy, when that is known.
    fn of_own<'p>(&self, policy: &'p Policy, place: Option<Place>) -> Rule<'p> {
        let (who, about) = (&self.caller.principal, self.about);
        let place = place.or_else(|| policy.place(who));
        match self.need {
            Need::Member if place.is_some() => Rule::Granted { grant: "", team: None },
            Need::Permission(permission) => {
                let target = Target {
                    project: about.project,
                    environment: about.environment,
                    flag: about.flag,
                    production: self.production,
                };
                let verdict = place.map(|place| {
                    if self.part {
                        policy.decide_part_at(place, permission, &target, self.now)
                    } else {
                        policy.decide_at(place, permission, &target, self.now)
                    }
                });
                verdict.map_or(Rule::NotMember, |verdict| verdict.rule)
            }
            Need::Member => Rule::NotMember,
        }
    }

    /// The tenant whose grants allow it may be used from the caller's address.
    fn check_address(&self, of: &Snapshot) -> Result<(), Denied> {
        // The deployment comes from its own machine, and mends lists that lock all out.
        if self.caller.is_deployment() || admits(&of.state.addresses, self.caller.address) {
            Ok(())
        } else {
            Err(Denied::Address)
        }
    }
}

/// What the tenants above say, in order of weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FromAbove {
    Nothing,
    Incomplete,
    Address,
    Allowed(&'static str),
}

/// The deployment owns and operates the platform.
fn deployment() -> Policy {
    let mut source = Source::default();
    let Ok(actor) = ActorId::parse("deployment") else { return Policy::default() };
    source.members = BTreeSet::from([actor.clone()]);
    for role in [BuiltIn::Owner, BuiltIn::Operator] {
        let Ok(key) = Slug::parse(role.as_str()) else { continue };
        source.grants.push(Grant {
            id: format!("deployment-{key}"),
            principal: Principal::Member(actor.clone()),
            role: key,
            scope: Scope::tenant(),
            expires_at: None,
        });
    }
    Policy::build(source)
}

impl From<Unavailable> for Denied {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}
