//! Scopes, teams, expiry, tenants above, and the reasons given.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

use super::{World, at, member, scope, slug, target};
use crate::{Above, Permission as P, Policy, Rule, Scope};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

// REQ: IAM-10
#[test]
fn a_grant_covers_what_lies_inside_its_scope_and_nothing_else() {
    let role = [P::FlagsEdit];
    let cases = [
        (scope("", "", ""), ["GRANTED", "GRANTED", "GRANTED", "GRANTED"]),
        (scope("shop", "", ""), ["OUT_OF_SCOPE", "GRANTED", "GRANTED", "GRANTED"]),
        (scope("shop", "staging", ""), ["OUT_OF_SCOPE", "OUT_OF_SCOPE", "GRANTED", "GRANTED"]),
        (scope("shop", "", "dark"), ["OUT_OF_SCOPE", "OUT_OF_SCOPE", "OUT_OF_SCOPE", "GRANTED"]),
        (
            scope("shop", "staging", "dark"),
            ["OUT_OF_SCOPE", "OUT_OF_SCOPE", "OUT_OF_SCOPE", "GRANTED"],
        ),
        (scope("blog", "", ""), ["OUT_OF_SCOPE"; 4]),
        (scope("shop", "production", ""), ["OUT_OF_SCOPE"; 4]),
        (scope("shop", "staging", "light"), ["OUT_OF_SCOPE"; 4]),
    ];
    let targets = [
        target("", "", ""),
        target("shop", "", ""),
        target("shop", "staging", ""),
        target("shop", "staging", "dark"),
    ];
    for (granted, expected) in cases {
        let policy = World::default()
            .member("ann")
            .role("editor", &role)
            .grant(member("ann"), "editor", granted.clone())
            .policy();
        let said =
            targets.map(|it| policy.decide(&member("ann"), P::FlagsEdit, &it, at(1)).rule.code());
        assert_eq!(said, expected, "{granted}");
    }
    assert!(Scope::new(None, Some(slug("staging")), None).is_err());
}

// REQ: IAM-10
#[test]
fn members_inherit_from_all_their_teams_and_from_teams_around_them() {
    let policy = World::default()
        .member("ann")
        .member("bob")
        .team("inner", &["ann", "stranger"], &[])
        .team("outer", &["bob"], &["inner"])
        .team("other", &["ann"], &[])
        .grant(crate::Principal::Team(slug("outer")), "viewer", Scope::tenant())
        .grant(crate::Principal::Team(slug("other")), "developer", scope("shop", "", ""))
        .grant(crate::Principal::Team(slug("gone")), "owner", Scope::tenant())
        .policy();
    let of = |who, permission| {
        policy.decide(&member(who), permission, &target("shop", "staging", "f"), at(1)).rule
    };
    let (outer, other) = (slug("outer"), slug("other"));
    assert_eq!(of("bob", P::FlagsRead), Rule::Granted { grant: "grt_0", team: Some(&outer) });
    assert_eq!(of("ann", P::ProjectsRead).code(), "GRANTED");
    assert_eq!(of("ann", P::FlagsEdit), Rule::Granted { grant: "grt_1", team: Some(&other) });
    assert_eq!(of("bob", P::FlagsEdit), Rule::NoGrant);
    // In a team, yet no member of the tenant.
    assert_eq!(of("stranger", P::FlagsRead), Rule::NotMember);
}

#[test]
fn cycles_of_teams_end() {
    let policy = World::default()
        .member("ann")
        .team("a", &["ann"], &["b"])
        .team("b", &[], &["a"])
        .grant(crate::Principal::Team(slug("b")), "viewer", Scope::tenant())
        .policy();
    assert!(policy.decide(&member("ann"), P::FlagsRead, &target("", "", ""), at(1)).allowed);
}

// REQ: IAM-10
#[test]
fn a_grant_ends_at_its_instant() {
    let policy = World::default()
        .member("ann")
        .grant_until(member("ann"), "viewer", Scope::tenant(), Some(at(10)))
        .policy();
    let of =
        |now| policy.decide(&member("ann"), P::FlagsRead, &target("", "", ""), at(now)).rule.code();
    assert_eq!([of(9), of(10), of(11)], ["GRANTED", "EXPIRED", "EXPIRED"]);
}

/// Several lacks: the one nearest to being allowed is told, with its grant.
#[test]
fn a_refusal_names_the_nearest_lack() {
    let policy = World::default()
        .member("ann")
        .member("bob")
        .grant(member("ann"), "viewer", Scope::tenant())
        .grant_until(member("ann"), "owner", Scope::tenant(), Some(at(1)))
        .grant(member("ann"), "project-admin", scope("blog", "", ""))
        .policy();
    let question = target("shop", "staging", "f");
    let said = policy.decide(&member("ann"), P::FlagsEdit, &question, at(5));
    assert_eq!(said.rule, Rule::OutOfScope { grant: "grt_2" });
    assert!(!said.allowed && !said.hides());
    let looks = policy.explain(&member("ann"), P::FlagsEdit, &question, at(5));
    let codes: Vec<_> = looks.iter().map(|it| (it.grant.role.as_str(), it.rule.code())).collect();
    let expected =
        [("viewer", "NO_GRANT"), ("owner", "EXPIRED"), ("project-admin", "OUT_OF_SCOPE")];
    assert_eq!(codes, expected);
    assert_eq!(policy.decide(&member("bob"), P::FlagsEdit, &question, at(5)).rule, Rule::NoGrant);
    assert!(policy.decide(&member("eve"), P::FlagsEdit, &question, at(5)).hides());
}

fn provider() -> Policy {
    World::default()
        .member("boss")
        .member("staff")
        .member("both")
        .member("narrow")
        .role("acting", &[P::TenantsActAs, P::FlagsRead])
        .grant(member("boss"), "owner", Scope::tenant())
        .grant(member("staff"), "operator", Scope::tenant())
        .grant(member("both"), "owner", Scope::tenant())
        .grant(member("both"), "operator", Scope::tenant())
        .grant(member("narrow"), "acting", scope("shop", "", ""))
        .policy()
}

// REQ: IAM-19
#[test]
fn a_tenant_above_needs_a_permission_of_its_own() {
    let policy = provider();
    let of = |who, permission, above| {
        policy.decide_below(&member(who), permission, false, above, at(1)).rule.code()
    };
    // The provider's owner has nothing to do with its customers' tenants.
    assert_eq!(of("boss", P::TenantsRead, Above::Provider), "NOT_MEMBER");
    assert_eq!(of("boss", P::BillingManage, Above::Provider), "NOT_MEMBER");
    // Staff serves direct customers' billing, and no one's flags.
    assert_eq!(of("staff", P::BillingManage, Above::Provider), "BILLING_OPERATE");
    assert_eq!(of("staff", P::BillingManage, Above::Ancestor), "ABOVE_INCOMPLETE");
    assert_eq!(of("staff", P::TenantsSuspend, Above::Ancestor), "ACT_AS");
    assert_eq!(of("staff", P::FlagsRead, Above::Provider), "ABOVE_INCOMPLETE");
    assert_eq!(of("both", P::FlagsRead, Above::Ancestor), "ACT_AS");
    // A scope means nothing in another tenant, so acting takes the whole of one's own.
    assert_eq!(of("narrow", P::FlagsRead, Above::Ancestor), "NOT_MEMBER");
    assert_eq!(of("eve", P::FlagsRead, Above::Ancestor), "NOT_MEMBER");
}

/// The guard asks this on every call.
#[test]
fn deciding_does_not_allocate() {
    let mut world = World::default();
    for index in 0..200 {
        let name = format!("member-{index}");
        world = world.member(&name).grant(member(&name), "developer", scope("shop", "", ""));
    }
    let policy = world.team("t", &["member-7"], &[]).policy();
    let (who, asked) = (member("member-7"), target("shop", "staging", "f"));
    let allowed = policy.decide(&who, P::FlagsEdit, &asked, at(1)).allowed;
    // Other tests of this binary run beside this one: some round must be undisturbed.
    let quiet = (0..1_000).any(|_| {
        let region = Region::new(ALLOCATOR);
        let verdict = policy.decide(&who, P::FlagsEdit, &asked, at(1));
        let change = region.change();
        verdict.allowed && change.allocations == 0 && change.reallocations == 0
    });
    assert!(allowed && quiet);
}
