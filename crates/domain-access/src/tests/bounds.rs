//! Everything has a bound, and says so.

use super::*;
use crate::state::{
    ENDED_CREDENTIALS_MAX, FORMER_MEMBERS_MAX, PERSONAL_TOKENS_MAX, PRINCIPAL_GRANTS_MAX,
    ROLES_MAX, TEAM_TEAMS_MAX, TEAMS_MAX,
};

#[test]
fn teams_and_roles_are_bounded() {
    let mut story = Story::new();
    for number in 0..TEAMS_MAX {
        story = story.given(&create_team(&format!("t{number}"), &[], &[]));
    }
    assert_eq!(story.refuses(&create_team("more", &[], &[])), "TEAMS_TOO_MANY");
    let inner: Vec<String> = (1..=TEAM_TEAMS_MAX + 1).map(|it| format!("t{it}")).collect();
    let inner: Vec<&str> = inner.iter().map(String::as_str).collect();
    assert_eq!(story.refuses(&join("t0", &[], &inner)), "TEAM_TOO_LARGE");
    for number in 0..ROLES_MAX {
        story = story.given(&create_role(&format!("r{number}"), &["flags.read"]));
    }
    assert_eq!(story.refuses(&create_role("more", &["flags.read"])), "ROLES_TOO_MANY");
}

#[test]
fn what_one_principal_has_is_bounded() {
    let mut story = Story::begun().by("ben");
    for number in 1..PRINCIPAL_GRANTS_MAX {
        let scope = Scope::project(slug(&format!("p{number}")));
        story = story.given(&grant_in(member("ben"), "viewer", scope, None));
    }
    assert_eq!(story.refuses(&grant(member("ben"), "viewer")), "ROLE_GRANTS_TOO_MANY");
    for number in 0..PERSONAL_TOKENS_MAX {
        let token = personal(&format!("t{number}"), "ben", 100);
        story = story.given(&Command::CreateCredential(token));
    }
    let more = Command::CreateCredential(personal("more", "ben", 100));
    assert_eq!(story.refuses(&more), "CREDENTIALS_TOO_MANY");
    assert!(story.by("ann").decide(&Command::CreateCredential(personal("x", "ann", 9))).is_ok());
}

#[test]
fn what_has_ended_gives_way() {
    let mut story = Story::new();
    let mut first = None;
    for number in 0..=ENDED_CREDENTIALS_MAX {
        let name = format!("c{number}");
        story = story.given(&Command::CreateCredential(service(&name, &[])));
        let id = story.credential(&name).id.clone();
        first.get_or_insert_with(|| id.clone());
        story.now += 1;
        story = story.given(&revoke(&id));
    }
    assert_eq!(story.state.credentials.len(), ENDED_CREDENTIALS_MAX);
    assert!(!story.state.credentials.contains_key(&first.unwrap()));
    for number in 0..=FORMER_MEMBERS_MAX {
        let id = format!("m{number}");
        story.now += 1;
        story = story.given(&add(&id)).given(&remove(&id));
    }
    assert_eq!(story.state.former.len(), FORMER_MEMBERS_MAX);
    assert!(!story.state.former.contains_key(&actor("m0")));
}

#[test]
fn members_are_bounded() {
    let mut story = Story::new();
    let added = |number| Event::MemberAdded {
        member: actor(&format!("m{number}")),
        name: None,
        email: None,
    };
    let events: Vec<Event> = (0..MEMBERS_MAX).map(added).collect();
    story.take(&events);
    assert_eq!(story.refuses(&add("more")), "MEMBERS_TOO_MANY");
    let members: Vec<String> = (0..=TEAM_MEMBERS_MAX).map(|it| format!("m{it}")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    assert_eq!(story.refuses(&create_team("all", &members, &[])), "TEAM_TOO_LARGE");
    assert!(weight(&story.state) > MEMBERS_MAX * 100);
}
