//! Members, erased persons, and the owner who stays.

use super::*;

// REQ: IAM-09
#[test]
fn a_member_without_a_grant_may_do_nothing() {
    let story = Story::begun().given(&add("cid"));
    assert!(!story.may(&member("cid"), "flags.read"));
    assert!(story.may(&member("ann"), "billing.manage"));
    assert!(
        story.may(&member("ben"), "members.manage") && !story.may(&member("ben"), "billing.read")
    );
}

#[test]
fn a_member_is_refused_in_order() {
    let mut story = Story::begun();
    for reserved in ["key:crd_a", "deployment", "timer"] {
        assert_eq!(story.refuses(&add(reserved)), "MEMBER_ID_RESERVED");
    }
    assert_eq!(story.refuses(&add("ann")), "MEMBER_EXISTS");
    let named = |name| {
        Command::AddMember(AddMember { member: actor("cid"), name: Some(name), email: None })
    };
    let long = "x".repeat(PROTECTED_BYTES_MAX + 1);
    assert_eq!(story.refuses(&named(said(1, &long))), "PROTECTED_FIELD_INVALID");
    assert_eq!(story.refuses(&remove("cid")), "MEMBER_NOT_FOUND");
    let update =
        |name| Command::UpdateMember(UpdateMember { member: actor("ann"), name, email: None });
    assert_eq!(story.refuses(&update(None)), "ACCESS_UNCHANGED");
    assert_eq!(story.refuses(&update(Some(None))), "ACCESS_UNCHANGED");
    let story = story.given(&update(Some(Some(said(1, "Ann")))));
    let story = story.given(&update(Some(None)));
    assert_eq!(story.state.members[&actor("ann")].name, None);
}

// REQ: IAM-11
#[test]
fn a_removed_member_leaves_nothing_behind() {
    let story = Story::begun()
        .given(&add("cid"))
        .given(&create_team("web", &["cid", "ben"], &[]))
        .given(&grant_in(member("cid"), "developer", Scope::tenant(), Some(90)))
        .by("cid")
        .given(&Command::CreateCredential(personal("laptop", "cid", 100)))
        .by("ann")
        .given(&remove("cid"));
    assert!(story.timers.is_empty());
    assert_eq!(story.state.grants_of(&member("cid")).count(), 0);
    assert_eq!(story.state.teams[&slug("web")].members, actors(&["ben"]));
    let ended = story.credential("laptop").ended.unwrap();
    assert_eq!(ended.by, EndedBy::OwnerRemoved);
    assert!(!policy(&story.state).knows(&member("cid")));
}

// REQ: IAM-09
#[test]
fn the_last_owner_stays() {
    let mut story = Story::begun();
    let grant_id = story.grant_of(&member("ann"), "owner");
    assert_eq!(story.refuses(&remove("ann")), "LAST_OWNER");
    assert_eq!(story.refuses(&revoke_role(&grant_id)), "LAST_OWNER");
    let erase = ErasePerson { subject: actor("ann"), keys: BTreeSet::new() };
    assert_eq!(story.refuses(&Command::ErasePerson(erase)), "LAST_OWNER");
    // Who owns a part, or for a while, is not who is looked for.
    let mut story = story
        .given(&grant_in(member("ben"), "owner", Scope::project(slug("web")), None))
        .given(&add("cid"))
        .given(&grant_in(member("cid"), "owner", Scope::tenant(), Some(100)));
    assert_eq!(story.refuses(&remove("ann")), "LAST_OWNER");
    // A team without members does not own it either, one with a member does.
    let mut story =
        story.given(&create_team("owners", &[], &[])).given(&grant(team("owners"), "owner"));
    assert_eq!(story.refuses(&remove("ann")), "LAST_OWNER");
    let mut story = story
        .given(&create_team("inner", &["ben"], &[]))
        .given(&join("owners", &[], &["inner"]))
        .given(&remove("ann"));
    assert!(has_owner(&story.state));
    assert_eq!(story.refuses(&remove("ben")), "LAST_OWNER");
    let empty = Command::UpdateTeam(leave("inner", &["ben"], &[]));
    assert_eq!(story.refuses(&empty), "LAST_OWNER");
    let delete = Command::DeleteTeam(DeleteTeam { team: slug("inner") });
    assert_eq!(story.refuses(&delete), "LAST_OWNER");
}

#[test]
fn a_tenant_without_an_owner_may_go_on_without() {
    let story = Story::new().given(&add("ann")).given(&remove("ann"));
    assert!(!has_owner(&story.state));
}

#[test]
fn a_service_token_may_own_a_tenant_but_not_for_a_while() {
    let story = Story::new().given(&Command::CreateCredential(service("root", &["owner"])));
    let id = story.credential("root").id.clone();
    let mut story = story;
    assert_eq!(story.refuses(&revoke(&id)), "LAST_OWNER");
    let mut ends = UpdateCredential {
        id: id.clone(),
        name: None,
        expires_at: Some(at(100)),
        addresses: None,
        requests_per_minute: None,
    };
    assert_eq!(story.refuses(&Command::UpdateCredential(ends.clone())), "LAST_OWNER");
    ends.expires_at = None;
    ends.name = Some("first".to_owned());
    let story = story.given(&Command::UpdateCredential(ends)).given(&rotate(&id, "new", 0));
    let story = story.given(&add("ann")).given(&grant(member("ann"), "owner"));
    assert!(story.given(&revoke(&id)).credential("first").ended.is_some());
}

// REQ: IAM-18
#[test]
fn an_erased_person_is_gone_and_its_key_refused() {
    let add_said = |id: &str, key| {
        Command::AddMember(AddMember {
            member: actor(id),
            name: Some(said(key, "name")),
            email: Some(said(key, "email")),
        })
    };
    let erase = |id: &str, keys: &[u8]| {
        let keys = keys.iter().map(|key| KeyId([*key; 16])).collect();
        Command::ErasePerson(ErasePerson { subject: actor(id), keys })
    };
    let mut story = Story::begun().given(&add_said("cid", 7));
    assert_eq!(story.refuses(&erase("dan", &[])), "PERSON_NOT_FOUND");
    let mut story = story.given(&erase("cid", &[8])).given(&erase("visitor", &[9]));
    assert!(!story.state.members.contains_key(&actor("cid")));
    for key in [7, 8, 9] {
        assert_eq!(story.refuses(&add_said("eve", key)), "PERSON_ERASED");
    }
    assert_eq!(story.refuses(&erase("cid", &[7, 8])), "PERSON_NOT_FOUND");
    let change = UpdateMember { member: actor("ann"), name: None, email: Some(Some(said(7, "x"))) };
    assert_eq!(story.refuses(&Command::UpdateMember(change)), "PERSON_ERASED");
    assert!(story.decide(&add_said("eve", 1)).is_ok());
}
