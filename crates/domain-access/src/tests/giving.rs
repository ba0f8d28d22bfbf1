//! Nobody gives or takes what they have not.

use super::*;

const NO: &str = "ROLE_NOT_GIVABLE";

// REQ: IAM-10
#[test]
fn nobody_gives_what_they_have_not() {
    let mut story = Story::begun().given(&add("cid")).by("ben");
    assert_eq!(story.refuses(&grant(member("cid"), "owner")), NO);
    assert_eq!(story.refuses(&grant(member("ben"), "owner")), NO);
    assert_eq!(story.refuses(&create_role("payer", &["billing.manage"])), NO);
    let story = story.given(&grant(member("cid"), "developer"));
    let mut story =
        story.given(&create_role("mine", &["flags.read"])).given(&grant(member("ben"), "mine"));
    // A role that would grant itself more.
    let more = UpdateRole {
        role: slug("mine"),
        name: None,
        add_permissions: permissions(&["billing.manage"]),
        remove_permissions: BTreeSet::new(),
    };
    assert_eq!(story.refuses(&Command::UpdateRole(more)), NO);
    let mut story = story.by("cid");
    assert_eq!(story.refuses(&grant(member("cid"), "admin")), NO);
    let mut story = story.by("ann");
    assert_eq!(story.refuses(&grant(member("cid"), "operator")), NO);
    assert!(story.decide(&grant(member("cid"), "owner")).is_ok());
}

#[test]
fn nobody_takes_what_they_could_not_give() {
    let story = Story::begun().given(&add("cid")).given(&grant(member("cid"), "owner"));
    let owners = story.grant_of(&member("ann"), "owner");
    let mut story = story.by("ben");
    assert_eq!(story.refuses(&remove("ann")), NO);
    assert_eq!(story.refuses(&revoke_role(&owners)), NO);
    let mut story = story.by("cid");
    assert!(story.decide(&revoke_role(&owners)).is_ok());
}

#[test]
fn not_wider_nor_longer_than_one_has_it() {
    let web = Scope::project(slug("web"));
    let mut story = Story::begun()
        .given(&add("cid"))
        .given(&grant_in(member("cid"), "project-admin", web.clone(), Some(100)))
        .by("cid");
    let give = |scope: &Scope, until| grant_in(member("ben"), "developer", scope.clone(), until);
    assert_eq!(story.refuses(&give(&Scope::tenant(), Some(50))), NO);
    assert_eq!(story.refuses(&give(&Scope::project(slug("app")), Some(50))), NO);
    assert_eq!(story.refuses(&give(&web, None)), NO);
    assert_eq!(story.refuses(&give(&web, Some(101))), NO);
    assert!(story.decide(&give(&web, Some(100))).is_ok());
}

#[test]
fn not_by_a_team_either() {
    let mut story = Story::begun()
        .given(&add("cid"))
        .given(&create_team("owners", &["ann"], &[]))
        .given(&create_team("inner", &[], &[]))
        .given(&join("owners", &[], &["inner"]))
        .given(&grant(team("owners"), "owner"))
        .by("ben");
    // Who comes into the inner team would own the tenant.
    assert_eq!(story.refuses(&join("inner", &["ben"], &[])), NO);
    assert_eq!(story.refuses(&join("owners", &["ben"], &[])), NO);
    let delete = Command::DeleteTeam(DeleteTeam { team: slug("owners") });
    assert_eq!(story.refuses(&delete), NO);
    assert_eq!(story.refuses(&Command::UpdateTeam(leave("owners", &["ann"], &[]))), NO);
    let renamed = UpdateTeam { name: Some("Owners".to_owned()), ..leave("owners", &[], &[]) };
    let story = story.given(&Command::UpdateTeam(renamed));
    let story = story.by("ann").given(&join("inner", &["ben"], &[]));
    assert!(story.may(&member("ben"), "billing.manage"));
}

#[test]
fn not_by_a_credential_either() {
    let mut story = Story::begun().given(&add("cid")).by("ben");
    assert_eq!(story.refuses(&Command::CreateCredential(service("bot", &["owner"]))), NO);
    let story = story
        .given(&Command::CreateCredential(service("own", &["admin"])))
        .by("ann")
        .given(&Command::CreateCredential(service("bot", &["owner"])));
    let (own, bot) = (story.credential("own").id.clone(), story.credential("bot").id.clone());
    let mut story = story.by("ben");
    // Its secret would be as good as the role.
    assert_eq!(story.refuses(&rotate(&bot, "stolen", 0)), NO);
    let longer = UpdateCredential {
        id: bot.clone(),
        name: None,
        expires_at: None,
        addresses: Some(Vec::new()),
        requests_per_minute: Some(Some(5)),
    };
    assert_eq!(story.refuses(&Command::UpdateCredential(longer)), NO);
    // A token gives what it has itself, and no more.
    let mut story = story.by(&format!("{KEY_ACTOR_PREFIX}{own}"));
    assert_eq!(story.refuses(&grant(member("cid"), "owner")), NO);
    assert_eq!(story.refuses(&grant(Principal::Credential(own.clone()), "owner")), NO);
    let story = story.given(&grant(member("cid"), "admin")).given(&rotate(&own, "next", 0));
    // What has leaked is ended by whoever may manage credentials.
    assert!(story.by("ben").given(&revoke(&bot)).credential("bot").ended.is_some());
}

#[test]
fn what_was_sent_before_a_removal_gives_nothing_after_it() {
    let story = Story::begun()
        .given(&add("cid"))
        .given(&grant(member("cid"), "owner"))
        .given(&Command::CreateCredential(service("bot", &["owner"])))
        .given(&remove("cid"));
    let bot = story.credential("bot").id.clone();
    let mut story = story.given(&revoke(&bot)).by("cid");
    assert_eq!(story.refuses(&grant(member("ben"), "owner")), NO);
    let mut story = story.by(&format!("{KEY_ACTOR_PREFIX}{bot}"));
    assert_eq!(story.refuses(&grant(member("ben"), "owner")), NO);
    // Long after, it is somebody of a tenant above who acts under that id.
    let held = i64::try_from(FORMER_MEMBER_HELD.as_secs()).unwrap();
    let mut story = story.until(2 + held).by("cid");
    assert!(story.decide(&grant(member("ben"), "owner")).is_ok());
}

/// A token that was revoked so long ago that nothing is known of it any more has nothing to
/// give, as on the day it was revoked.
#[test]
fn a_credential_that_is_forgotten_gives_nothing() {
    let key = format!("{KEY_ACTOR_PREFIX}crd_00000000000000000000000000");
    let mut story = Story::begun().by(&key);
    assert_eq!(story.refuses(&grant(member("ben"), "owner")), NO);
    let mut story = story.by_of(&key, "acme");
    assert_eq!(story.refuses(&grant(member("ben"), "owner")), NO);
    assert_eq!(story.refuses(&Command::CreateCredential(service("bot", &["owner"]))), NO);
    // Of another tenant's credentials the gateway has judged by that tenant's policy.
    let mut story = story.by_of(&key, "platform");
    assert!(story.decide(&grant(member("ben"), "owner")).is_ok());
}

/// The same id in two tenants is two persons.
// REQ: IAM-16
#[test]
fn a_member_of_another_tenant_is_not_taken_for_one_of_this() {
    let mut story = Story::begun().by_of("ben", "acme");
    assert_eq!(story.refuses(&grant(member("ben"), "owner")), NO);
    // Their tenant's `ben` acts from above, and is no admin here.
    let mut story = story.by_of("ben", "platform");
    assert!(story.decide(&grant(member("ben"), "owner")).is_ok());
    // Nor is a personal token of this tenant's `ben` theirs.
    let token = |name: &str| Command::CreateCredential(personal(name, "ben", 100));
    assert_eq!(story.refuses(&token("theirs")), "TOKEN_OF_ANOTHER");
    let story = story.by_of("ben", "acme").given(&token("own"));
    let own = story.credential("own").id.clone();
    let mut story = story.by_of("ben", "platform");
    assert_eq!(story.refuses(&rotate(&own, "stolen", 0)), "TOKEN_OF_ANOTHER");
    // Who is no member of the tenant that they belong to was one, however long ago.
    let mut story = story.by_of("cid", "acme");
    assert_eq!(story.refuses(&grant(member("ann"), "admin")), NO);
}
