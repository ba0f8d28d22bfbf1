//! Nobody gives what they have not.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{World, at, member, scope};
use crate::{BuiltIn, Gift, Permission as P, Policy, RoleDef, Scope, may_give};

fn tenant() -> Policy {
    World::default()
        .member("owner")
        .member("admin")
        .member("pat")
        .member("dev")
        .member("temp")
        .grant(member("owner"), "owner", Scope::tenant())
        .grant(member("admin"), "admin", Scope::tenant())
        .grant(member("pat"), "project-admin", scope("shop", "", ""))
        .grant(member("dev"), "developer", Scope::tenant())
        .grant_until(member("temp"), "admin", Scope::tenant(), Some(at(100)))
        .policy()
}

fn gives(who: &str, role: &RoleDef, scope: &Scope, expires_at: Option<i64>) -> Result<(), P> {
    let gift = Gift { role, scope, expires_at: expires_at.map(at) };
    may_give(&tenant(), &member(who), &gift, at(1))
}

// REQ: IAM-10
#[test]
fn a_role_does_not_grant_itself_more() {
    let whole = Scope::tenant();
    let role = |it: BuiltIn| it.role();
    assert_eq!(gives("owner", &role(BuiltIn::Owner), &whole, None), Ok(()));
    assert_eq!(gives("owner", &role(BuiltIn::Operator), &whole, None), Err(P::TenantsSuspend));
    assert_eq!(gives("admin", &role(BuiltIn::Owner), &whole, None), Err(P::TenantsCreate));
    assert_eq!(gives("admin", &role(BuiltIn::ProjectAdmin), &scope("shop", "", ""), None), Ok(()));
    let custom = RoleDef::new("money", [P::BillingManage].into());
    assert_eq!(gives("admin", &custom, &whole, None), Err(P::BillingManage));
    assert_eq!(gives("eve", &role(BuiltIn::Viewer), &whole, None), Err(P::TenantsRead));
}

// REQ: IAM-10
#[test]
fn a_gift_is_no_wider_than_what_one_has() {
    let viewer = BuiltIn::Viewer.role();
    assert_eq!(gives("pat", &viewer, &scope("shop", "staging", ""), None), Ok(()));
    assert_eq!(gives("pat", &viewer, &scope("blog", "", ""), None), Err(P::TenantsRead));
    assert_eq!(gives("pat", &viewer, &Scope::tenant(), None), Err(P::TenantsRead));
    // A developer makes developers, but no one who writes in production.
    assert_eq!(gives("dev", &BuiltIn::Developer.role(), &Scope::tenant(), None), Ok(()));
    let editor = RoleDef::new("editor", [P::FlagsEdit].into());
    assert_eq!(gives("dev", &editor, &Scope::tenant(), None), Err(P::FlagsEdit));
}

// REQ: IAM-10
#[test]
fn a_gift_does_not_outlive_what_one_has() {
    let viewer = BuiltIn::Viewer.role();
    assert_eq!(gives("temp", &viewer, &Scope::tenant(), Some(100)), Ok(()));
    assert_eq!(gives("temp", &viewer, &Scope::tenant(), Some(101)), Err(P::TenantsRead));
    assert_eq!(gives("temp", &viewer, &Scope::tenant(), None), Err(P::TenantsRead));
}

proptest! {
    /// Whoever receives a gift can do nothing that its giver could not.
    // REQ: IAM-10
    #[test]
    fn giving_never_adds_power(picked in proptest::collection::btree_set(0..P::ALL.len(), 0..6), giver in 0..5_usize, project in "shop|blog|") {
        let permissions: BTreeSet<P> = picked.iter().map(|it| P::ALL[*it]).collect();
        let names = ["owner", "admin", "pat", "dev", "temp"];
        let role = RoleDef::new("gift", permissions.clone());
        let scope = scope(&project, "", "");
        let gift = Gift { role: &role, scope: &scope, expires_at: Some(at(50)) };
        let policy = tenant();
        let giver = member(names[giver]);
        if may_give(&policy, &giver, &gift, at(1)).is_ok() {
            for permission in permissions {
                prop_assert!(policy.decide(&giver, permission, &scope.target(), at(49)).allowed);
            }
        }
    }
}
