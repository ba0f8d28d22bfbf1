//! Teams, one in another.

use super::*;

// REQ: IAM-10
#[test]
fn members_have_what_their_teams_have() {
    let story = Story::begun()
        .given(&add("cid"))
        .given(&add("dan"))
        .given(&create_team("inner", &["cid"], &[]))
        .given(&create_team("outer", &["dan"], &["inner"]))
        .given(&grant(team("outer"), "viewer"))
        .given(&grant(team("inner"), "developer"));
    assert!(story.may(&member("cid"), "flags.read") && story.may(&member("cid"), "flags.evaluate"));
    assert!(
        story.may(&member("dan"), "flags.read") && !story.may(&member("dan"), "flags.evaluate")
    );
    let delete = Command::DeleteTeam(DeleteTeam { team: slug("inner") });
    let story = story.given(&delete);
    assert!(!story.may(&member("cid"), "flags.read"));
    assert!(story.state.teams[&slug("outer")].teams.is_empty());
    assert_eq!(story.state.grants_of(&team("inner")).count(), 0);
}

#[test]
fn a_team_is_never_in_itself() {
    let mut story = Story::begun()
        .given(&create_team("a", &[], &[]))
        .given(&create_team("b", &[], &["a"]))
        .given(&create_team("c", &[], &["b"]));
    assert_eq!(story.refuses(&join("a", &[], &["a"])), "TEAM_CYCLE");
    assert_eq!(story.refuses(&join("a", &[], &["b"])), "TEAM_CYCLE");
    assert_eq!(story.refuses(&join("a", &[], &["c"])), "TEAM_CYCLE");
    let story = story.given(&Command::UpdateTeam(leave("c", &[], &["b"])));
    let mut story = story.given(&join("a", &[], &["c"]));
    assert_eq!(story.refuses(&join("c", &[], &["b"])), "TEAM_CYCLE");
}

#[test]
fn teams_lie_one_in_another_only_so_deep() {
    let mut story = Story::new().given(&create_team("t1", &[], &[]));
    for depth in 2..=exchequer_access::TEAM_DEPTH_MAX {
        let inner = format!("t{}", depth - 1);
        story = story.given(&create_team(&format!("t{depth}"), &[], &[&inner]));
    }
    assert_eq!(story.refuses(&create_team("top", &[], &["t8"])), "TEAM_TOO_DEEP");
    let mut story = story.given(&create_team("under", &[], &[]));
    assert_eq!(story.refuses(&join("t1", &[], &["under"])), "TEAM_TOO_DEEP");
    assert!(story.decide(&join("t2", &[], &["under"])).is_ok());
}

#[test]
fn a_team_is_refused_in_order() {
    let mut story = Story::begun().given(&create_team("web", &["ann"], &[]));
    assert_eq!(story.refuses(&create_team("web", &[], &[])), "TEAM_EXISTS");
    let nameless = CreateTeam {
        team: slug("app"),
        name: String::new(),
        members: BTreeSet::new(),
        teams: BTreeSet::new(),
    };
    assert_eq!(story.refuses(&Command::CreateTeam(nameless)), "NAME_INVALID");
    assert_eq!(story.refuses(&create_team("app", &["nobody"], &["none"])), "MEMBER_NOT_FOUND");
    assert_eq!(story.refuses(&create_team("app", &[], &["none"])), "TEAM_NOT_FOUND");
    assert_eq!(story.refuses(&join("app", &[], &[])), "TEAM_NOT_FOUND");
    assert_eq!(story.refuses(&join("web", &["nobody"], &[])), "MEMBER_NOT_FOUND");
    assert_eq!(story.refuses(&join("web", &["ann"], &[])), "ACCESS_UNCHANGED");
    assert_eq!(
        story.refuses(&Command::UpdateTeam(leave("web", &["ben"], &[]))),
        "ACCESS_UNCHANGED"
    );
    let delete = Command::DeleteTeam(DeleteTeam { team: slug("app") });
    assert_eq!(story.refuses(&delete), "TEAM_NOT_FOUND");
    let renamed = UpdateTeam { name: Some("Web".to_owned()), ..leave("web", &[], &[]) };
    let story = story.given(&Command::UpdateTeam(renamed));
    assert_eq!(story.state.teams[&slug("web")].name, "Web");
}
