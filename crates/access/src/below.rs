//! What a tenant above may do: an ancestor reaches a descendant's data only by an
//! explicit permission of its own, a sibling never.

use exchequer_types::Timestamp;

use crate::{BuiltIn, Permission, Policy, Principal, Rule, Target, Verdict};

/// By these, permissions are given to others.
const GIVING: [Permission; 3] =
    [Permission::MembersManage, Permission::RolesManage, Permission::CredentialsManage];

/// How the tenant whose policy is asked stands to the tenant that is acted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Above {
    /// It is its direct provider.
    Provider,
    /// It stands further above.
    Ancestor,
}

impl Policy {
    /// Decides by this tenant's grants about a call in a tenant below it: allowed with
    /// `tenants.act_as` and the permission, both for the whole of this tenant, or with
    /// `billing.operate` for what concerns a direct customer's billing. Who gives access there
    /// could give everything, to others or to themselves, and so must have all that an owner
    /// and an operator have.
    pub fn decide_below<'p>(
        &'p self,
        who: &Principal,
        permission: Permission,
        production: bool,
        above: Above,
        now: Timestamp,
    ) -> Verdict<'p> {
        let verdict = self.decide_one_below(who, permission, production, above, now);
        if !verdict.allowed || !GIVING.contains(&permission) {
            return verdict;
        }
        let has = |it| self.decide_one_below(who, it, production, above, now).allowed;
        if all_given().all(has) { verdict } else { Verdict::no(Rule::AboveIncomplete) }
    }

    fn decide_one_below<'p>(
        &'p self,
        who: &Principal,
        permission: Permission,
        production: bool,
        above: Above,
        now: Timestamp,
    ) -> Verdict<'p> {
        if !self.knows(who) {
            return Verdict::no(Rule::NotMember);
        }
        let whole = Target { production, ..Target::default() };
        // Permissions that hold in any scope still need the whole tenant here.
        let given = |permission| {
            let whole_grants = self.held(who).filter(|(held, _)| held.grant.scope.is_tenant());
            let mut rules =
                whole_grants.map(|(held, team)| held.judge(team, permission, &whole, now));
            rules.find_map(|rule| matches!(rule, Rule::Granted { .. }).then(|| rule.grant())?)
        };
        let acts = given(Permission::TenantsActAs);
        let may = given(permission);
        if let (Some(grant), Some(_)) = (acts, may) {
            return Verdict::yes(Rule::ActAs { grant });
        }
        if above == Above::Provider
            && permission.of_customers()
            && let Some(grant) = given(Permission::BillingOperate)
        {
            return Verdict::yes(Rule::BillingOperate { grant });
        }
        Verdict::no(if acts.is_some() { Rule::AboveIncomplete } else { Rule::NotMember })
    }
}

/// What can be given in a tenant.
fn all_given() -> impl Iterator<Item = Permission> {
    let roles = [BuiltIn::Owner, BuiltIn::Operator];
    roles.into_iter().flat_map(|role| role.permissions().iter().copied())
}
