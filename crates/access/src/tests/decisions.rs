//! Scopes, teams, expiry, tenants above, and the reasons given.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

use super::{World, at, member, scope, slug, target};
use crate::{Above, BuiltIn, Permission as P, Policy, Rule, Scope, Target};

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

// REQ: IAM-16
#[test]
fn who_gives_access_below_has_all_that_could_be_given() {
    let all: Vec<P> = P::ALL.to_vec();
    let but = |lacking: P| all.iter().copied().filter(|it| *it != lacking).collect::<Vec<_>>();
    let of_owner = BuiltIn::Owner.permissions().iter();
    let given: Vec<P> = of_owner.chain(BuiltIn::Operator.permissions()).copied().collect();
    let world = World::default().member("whole").role("whole", &all);
    let mut world = world.grant(member("whole"), "whole", Scope::tenant());
    for (index, lacking) in given.iter().enumerate() {
        let name = format!("but-{index}");
        world = world.member(&name).role(&name, &but(*lacking));
        world = world.grant(member(&name), &name, Scope::tenant());
    }
    let policy = world.policy();
    let of = |who: &str, permission, above| {
        policy.decide_below(&member(who), permission, false, above, at(1)).rule.code()
    };
    for giving in [P::MembersManage, P::RolesManage, P::CredentialsManage] {
        for above in [Above::Provider, Above::Ancestor] {
            assert_eq!(of("whole", giving, above), "ACT_AS");
            for (index, lacking) in given.iter().enumerate() {
                // What `billing.operate` gives for a direct customer is had all the same.
                let by_billing = above == Above::Provider && lacking.of_customers();
                let is_refused = of(&format!("but-{index}"), giving, above) != "ACT_AS";
                assert_eq!(is_refused, !by_billing, "{giving} without {lacking} from {above:?}");
            }
        }
    }
    assert_eq!(of("but-0", P::FlagsRead, Above::Ancestor), "ACT_AS", "what gives nothing away");
}

// REQ: IAM-09, IAM-19
#[test]
fn what_is_the_providers_to_do_no_grant_of_the_tenant_gives() {
    let world = || {
        let world = World::default().member("olga").role("all", P::ALL);
        world.grant(member("olga"), "all", Scope::tenant())
    };
    let (root, customer) = (world().policy(), world().policy().below_provider(true));
    let who = member("olga");
    let of = |policy: &Policy, permission| {
        policy.decide(&who, permission, &Target::default(), at(1)).rule.code()
    };
    for permission in P::ALL.iter().copied() {
        assert_eq!(of(&root, permission), "GRANTED");
        let expected = if permission.of_provider() { "PROVIDER_ONLY" } else { "GRANTED" };
        assert_eq!(of(&customer, permission), expected, "{permission}");
        // It is a provider itself, perhaps.
        let below = customer.decide_below(&who, permission, true, Above::Provider, at(1));
        assert_eq!(below.rule.code(), "ACT_AS", "{permission}");
    }
    let nobody = customer.decide(&member("eve"), P::TenantsSuspend, &Target::default(), at(1));
    assert_eq!(nobody.rule.code(), "NOT_MEMBER", "and learns nothing");
}

// REQ: IAM-10
#[test]
fn of_a_list_everybody_sees_what_lies_in_their_scopes() {
    let world = World::default().member("dan").member("eve").member("tim").member("una");
    let world = world.role("reader", &[P::FlagsRead]);
    let world = world.grant(member("dan"), "reader", scope("shop", "", ""));
    let world = world.grant(member("eve"), "reader", scope("shop", "staging", ""));
    let policy = world.grant(member("tim"), "reader", scope("shop", "staging", "dark")).policy();
    let part = |who, permission, project, environment, flag| {
        let place = policy.place(&member(who)).unwrap();
        let asked = target(project, environment, flag);
        policy.decide_part_at(place, permission, &asked, at(1)).allowed
    };
    for who in ["dan", "eve", "tim"] {
        assert!(part(who, P::FlagsRead, "", "", ""), "{who}: somewhere in the tenant");
        assert!(part(who, P::FlagsRead, "shop", "", ""));
        assert!(part(who, P::FlagsRead, "shop", "staging", "dark"));
        assert!(!part(who, P::FlagsRead, "blog", "", ""), "{who}: not elsewhere");
        assert!(!part(who, P::FlagsEdit, "shop", "", ""), "{who}: not another permission");
    }
    assert!(part("dan", P::FlagsRead, "shop", "live", ""));
    assert!(!part("eve", P::FlagsRead, "shop", "live", ""));
    assert!(part("eve", P::FlagsRead, "shop", "", "light"));
    assert!(!part("tim", P::FlagsRead, "shop", "", "light"));
    assert!(!part("una", P::FlagsRead, "", "", ""));
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
