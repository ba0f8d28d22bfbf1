//! The built-in roles, permission by permission.

use super::{World, at, member, scope, target};
use crate::{BuiltIn, Finest, Permission as P, Scope};

// REQ: IAM-10
#[test]
fn permissions_are_found_by_their_words_and_none_twice() {
    let mut bits = 0;
    for permission in P::ALL {
        assert_eq!(P::parse(permission.as_str()), Ok(*permission));
        assert_eq!(bits & permission.bit(), 0, "{permission} shares its bit");
        bits |= permission.bit();
        assert!(permission.describe().ends_with('.'));
    }
    for bad in ["", "flags", "Flags.edit", "flags.edit ", "*"] {
        assert!(P::parse(bad).is_err(), "{bad}");
    }
}

/// The scopes that custom roles are made from, at least.
// REQ: IAM-10
#[test]
fn what_custom_roles_need_can_be_granted_finely() {
    for (permission, finest) in [
        (P::FlagsCreate, Finest::Flag),
        (P::FlagsEdit, Finest::Flag),
        (P::FlagsDelete, Finest::Flag),
        (P::FlagsToggle, Finest::Flag),
        (P::FlagsRead, Finest::Flag),
        (P::EnvironmentsManage, Finest::Environment),
        (P::CredentialsManage, Finest::Environment),
        (P::MembersManage, Finest::Project),
        (P::AnalyticsRead, Finest::Flag),
        (P::ChangesApprove, Finest::Flag),
    ] {
        assert_eq!(permission.finest(), finest, "{permission}");
        assert!(permission.scopable());
    }
    assert!(!P::BillingManage.scopable());
}

// REQ: IAM-09, IAM-19
#[test]
fn the_default_roles_mean_what_the_requirement_says() {
    let has = |role: BuiltIn, permission| role.permissions().contains(&permission);
    for mine in [P::BillingRead, P::BillingManage, P::TenantsClose] {
        for role in BuiltIn::ALL {
            assert_eq!(has(*role, mine), *role == BuiltIn::Owner, "{role:?} {mine}");
        }
    }
    for staff in [P::TenantsActAs, P::BillingOperate, P::TenantsSuspend, P::SystemOperate] {
        for role in BuiltIn::ALL {
            assert_eq!(has(*role, staff), *role == BuiltIn::Operator, "{role:?} {staff}");
        }
    }
    assert!(has(BuiltIn::Admin, P::MembersManage) && has(BuiltIn::Admin, P::ProjectsManage));
    assert!(has(BuiltIn::Admin, P::UsageRead));
    assert!(has(BuiltIn::ProjectAdmin, P::MembersManage));
    for theirs in [P::MembersRead, P::MembersManage, P::CredentialsRead, P::FlagsDelete] {
        assert!(!has(BuiltIn::Developer, theirs), "{theirs}");
    }
    let viewer = BuiltIn::Viewer.permissions();
    assert_eq!(viewer, [P::TenantsRead, P::ProjectsRead, P::FlagsRead]);
    for role in BuiltIn::ALL {
        assert_eq!(BuiltIn::parse(role.as_str()), Some(*role));
        assert!(role.permissions().is_sorted(), "{role:?} lists in the order of the page");
    }
}

// REQ: IAM-09
#[test]
fn a_developer_writes_outside_production_and_reads_inside() {
    let policy =
        World::default().member("dev").grant(member("dev"), "developer", Scope::tenant()).policy();
    let asks = |permission, environment| {
        let verdict =
            policy.decide(&member("dev"), permission, &target("shop", environment, "dark"), at(1));
        (verdict.allowed, verdict.rule.code())
    };
    assert_eq!(asks(P::FlagsEdit, "staging"), (true, "GRANTED"));
    assert_eq!(asks(P::FlagsToggle, "staging"), (true, "GRANTED"));
    assert_eq!(asks(P::FlagsEdit, "production"), (false, "OUTSIDE_PRODUCTION"));
    assert_eq!(asks(P::FlagsToggle, "production"), (false, "OUTSIDE_PRODUCTION"));
    assert_eq!(asks(P::FlagsRead, "production"), (true, "GRANTED"));
    assert_eq!(asks(P::FlagsEvaluate, "production"), (true, "GRANTED"));
    assert_eq!(asks(P::MembersRead, ""), (false, "NO_GRANT"));
}

// REQ: IAM-09
#[test]
fn a_project_admin_rules_the_project_in_all_environments_and_no_other() {
    let policy = World::default()
        .member("pat")
        .grant(member("pat"), "project-admin", scope("shop", "", ""))
        .policy();
    let asks = |permission, project, environment| {
        let of = target(project, environment, "");
        policy.decide(&member("pat"), permission, &of, at(1)).rule.code()
    };
    assert_eq!(asks(P::FlagsEdit, "shop", "production"), "GRANTED");
    assert_eq!(asks(P::EnvironmentsManage, "shop", "staging"), "GRANTED");
    assert_eq!(asks(P::MembersManage, "shop", ""), "GRANTED");
    assert_eq!(asks(P::FlagsEdit, "blog", "production"), "OUT_OF_SCOPE");
    assert_eq!(asks(P::MembersManage, "", ""), "OUT_OF_SCOPE");
    // What all members share.
    assert_eq!(asks(P::TenantsRead, "", ""), "GRANTED");
    assert_eq!(asks(P::BillingRead, "", ""), "NO_GRANT");
}
