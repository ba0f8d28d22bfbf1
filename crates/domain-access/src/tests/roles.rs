//! Roles of the tenant's own, and grants.

use super::*;

fn update_role(key: &str, add: &[&str], remove: &[&str]) -> Command {
    Command::UpdateRole(UpdateRole {
        role: slug(key),
        name: None,
        add_permissions: permissions(add),
        remove_permissions: permissions(remove),
    })
}

fn delete_role(key: &str) -> Command {
    Command::DeleteRole(DeleteRole { role: slug(key) })
}

// REQ: IAM-10
#[test]
fn a_role_of_ones_own_gives_what_it_holds_now() {
    let mut story = Story::begun()
        .given(&add("cid"))
        .given(&create_role("toggler", &["flags.read", "flags.toggle"]))
        .given(&grant_in(member("cid"), "toggler", Scope::tenant(), Some(50)));
    assert!(story.may(&member("cid"), "flags.toggle"));
    assert_eq!(story.refuses(&delete_role("toggler")), "ROLE_IN_USE");
    let story = story.given(&update_role("toggler", &["flags.edit"], &["flags.toggle"]));
    assert!(!story.may(&member("cid"), "flags.toggle") && story.may(&member("cid"), "flags.edit"));
    let story = story.until(49);
    assert!(story.may(&member("cid"), "flags.edit"));
    let story = story.until(50);
    assert!(!story.may(&member("cid"), "flags.edit") && story.timers.is_empty());
    assert!(story.given(&delete_role("toggler")).state.roles.is_empty());
}

#[test]
fn a_role_is_refused_in_order() {
    let mut story = Story::begun().given(&create_role("toggler", &["flags.toggle"]));
    for taken in ["toggler", "owner", "server-sdk"] {
        assert_eq!(story.refuses(&create_role(taken, &["flags.read"])), "ROLE_EXISTS");
    }
    assert_eq!(story.refuses(&create_role("none", &[])), "ROLE_EMPTY");
    assert_eq!(story.refuses(&update_role("owner", &[], &[])), "ROLE_BUILT_IN");
    assert_eq!(story.refuses(&update_role("none", &[], &[])), "ROLE_NOT_FOUND");
    assert_eq!(story.refuses(&update_role("toggler", &[], &["flags.toggle"])), "ROLE_EMPTY");
    assert_eq!(story.refuses(&update_role("toggler", &["flags.toggle"], &[])), "ACCESS_UNCHANGED");
    assert_eq!(story.refuses(&delete_role("owner")), "ROLE_BUILT_IN");
    assert_eq!(story.refuses(&delete_role("none")), "ROLE_NOT_FOUND");
}

#[test]
fn a_grant_is_refused_in_order() {
    let mut story = Story::begun().given(&create_team("web", &[], &[]));
    let unknown = Principal::Credential("crd_none".to_owned());
    assert_eq!(story.refuses(&grant(member("nobody"), "none")), "MEMBER_NOT_FOUND");
    assert_eq!(story.refuses(&grant(team("none"), "viewer")), "TEAM_NOT_FOUND");
    assert_eq!(story.refuses(&grant(unknown, "viewer")), "CREDENTIAL_NOT_FOUND");
    assert_eq!(story.refuses(&grant(team("web"), "none")), "ROLE_NOT_FOUND");
    assert_eq!(story.refuses(&grant(team("web"), "client-sdk")), "ROLE_NOT_GRANTABLE");
    let in_project = |role: &str| grant_in(team("web"), role, Scope::project(slug("p")), None);
    let mut story = story.given(&create_role("payer", &["billing.manage"]));
    assert_eq!(story.refuses(&in_project("payer")), "ROLE_NOT_SCOPABLE");
    let late = grant_in(team("web"), "viewer", Scope::tenant(), Some(1));
    assert_eq!(story.refuses(&late), "EXPIRY_IN_THE_PAST");
    let mut story = story.given(&in_project("viewer")).given(&grant(team("web"), "viewer"));
    assert_eq!(story.refuses(&in_project("viewer")), "ROLE_ALREADY_GRANTED");
    assert_eq!(story.refuses(&revoke_role("rgr_none")), "ROLE_GRANT_NOT_FOUND");
    let id = story.grant_of(&team("web"), "viewer");
    assert_eq!(story.given(&revoke_role(&id)).refuses(&revoke_role(&id)), "ROLE_GRANT_NOT_FOUND");
}

#[test]
fn a_role_is_given_as_finely_as_it_is_of_use() {
    let web = || Some(slug("web"));
    let environment = Scope::new(web(), Some(slug("live")), None).unwrap();
    let flag = Scope::new(web(), None, Some(slug("search"))).unwrap();
    let mut story = Story::begun()
        .given(&create_role("projects", &["projects.manage"]))
        .given(&create_role("environments", &["environments.manage"]))
        .given(&create_role("flags", &["flags.toggle"]));
    let mut give = |role: &str, scope: &Scope| {
        let decided = story.decide(&grant_in(member("ben"), role, scope.clone(), None));
        decided.is_ok()
    };
    assert!(give("projects", &Scope::project(slug("web"))));
    assert!(!give("projects", &environment) && !give("projects", &flag));
    assert!(give("environments", &environment) && !give("environments", &flag));
    assert!(give("flags", &environment) && give("flags", &flag));
}
