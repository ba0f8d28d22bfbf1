//! Tokens and keys: made, rotated, expired, revoked.

use exchequer_access::AddressRange;

use super::*;

fn sdk(name: &str) -> CreateCredential {
    let kind = CredentialKind::ClientSdk { project: slug("web"), environment: slug("live") };
    CreateCredential { kind, ..service(name, &[]) }
}

fn create(it: CreateCredential) -> Command {
    Command::CreateCredential(it)
}

// REQ: IAM-12
#[test]
fn a_service_token_has_the_grants_it_was_made_with() {
    let story = Story::begun().by("ann").given(&create(service("ci", &["developer", "viewer"])));
    let ci = story.credential("ci");
    assert_eq!(ci.principal(), Principal::Credential(ci.id.clone()));
    assert!(
        story.may(&ci.principal(), "flags.evaluate") && !story.may(&ci.principal(), "members.read")
    );
    assert!(ci.accepts(&secret("ci").hash, at(1)) && !ci.accepts(&secret("cj").hash, at(1)));
    assert_eq!(format!("{:?}", ci.secret), "Secret { hint: \"wxyz\", .. }");
}

// REQ: IAM-12
#[test]
fn a_personal_token_acts_as_its_owner() {
    let mut story = Story::begun().by("ben");
    assert_eq!(story.refuses(&create(personal("t", "ann", 100))), "TOKEN_OF_ANOTHER");
    let mut story = story.given(&create(personal("laptop", "ben", 100)));
    let laptop = story.credential("laptop");
    assert_eq!(laptop.principal(), member("ben"));
    assert!(!policy(&story.state).knows(&Principal::Credential(laptop.id.clone())));
    let id = laptop.id.clone();
    let to_it = grant(Principal::Credential(id.clone()), "viewer");
    assert_eq!(story.refuses(&to_it), "CREDENTIAL_GRANTS_INVALID");
    assert_eq!(story.by("ann").refuses(&rotate(&id, "stolen", 0)), "TOKEN_OF_ANOTHER");
}

// REQ: IAM-12
#[test]
fn an_sdk_key_evaluates_the_flags_of_its_environment() {
    let story = Story::begun().by("ann").given(&create(sdk("page")));
    let page = story.credential("page").principal();
    let decide = |environment| {
        let permission = Permission::parse("flags.evaluate").unwrap();
        let target =
            Target { project: Some("web"), environment: Some(environment), ..Target::default() };
        policy(&story.state).decide(&page, permission, &target, at(1)).allowed
    };
    assert!(decide("live") && !decide("test"));
    let comes_with_it = story.grant_of(&page, "client-sdk");
    let mut story = story;
    assert_eq!(story.refuses(&revoke_role(&comes_with_it)), "CREDENTIAL_GRANTS_INVALID");
    assert_eq!(story.refuses(&grant(page.clone(), "viewer")), "CREDENTIAL_GRANTS_INVALID");
    let id = story.credential("page").id.clone();
    assert_eq!(story.given(&revoke(&id)).state.grants_of(&page).count(), 0);
}

// REQ: IAM-13
#[test]
fn a_rotated_secret_overlaps_and_ends() {
    let story = Story::begun().by("ann").given(&create(service("ci", &["viewer"])));
    let id = story.credential("ci").id.clone();
    let accepts = |story: &Story, text: &str| {
        story.state.credentials[&id].accepts(&secret(text).hash, at(story.now))
    };
    let story = story.given(&rotate(&id, "second", 60));
    assert!(accepts(&story, "ci") && accepts(&story, "second"));
    // Rotated again while the first still overlaps: the first is gone.
    let story = story.until(11).given(&rotate(&id, "third", 60));
    assert!(!accepts(&story, "ci") && accepts(&story, "second") && accepts(&story, "third"));
    assert_eq!(story.timers.len(), 1);
    assert!(accepts(&story.clone().until(70), "second"));
    let mut story = story.until(71);
    assert!(!accepts(&story, "second") && accepts(&story, "third"));
    assert!(story.state.credentials[&id].previous.is_none() && story.timers.is_empty());
    assert_eq!(story.refuses(&rotate(&id, "third", 0)), "CREDENTIAL_SECRET_USED");
    assert_eq!(
        story.refuses(&rotate(&id, "x", OVERLAP_SECONDS_MAX + 1)),
        "CREDENTIAL_OVERLAP_INVALID"
    );
    assert_eq!(story.refuses(&rotate("crd_none", "x", 0)), "CREDENTIAL_NOT_FOUND");
    let story = story.given(&rotate(&id, "fourth", 0));
    assert!(!accepts(&story, "third") && accepts(&story, "fourth"));
}

// REQ: IAM-13
#[test]
fn a_credential_expires_with_its_grants_and_not_before() {
    let ends = CreateCredential { expires_at: Some(at(100)), ..service("ci", &["viewer"]) };
    let story = Story::begun().by("ann").given(&create(ends));
    let id = story.credential("ci").id.clone();
    let move_to = |seconds| {
        Command::UpdateCredential(UpdateCredential {
            id: id.clone(),
            name: None,
            expires_at: Some(at(seconds)),
            addresses: None,
            requests_per_minute: None,
        })
    };
    let mut story = story.given(&rotate(&id, "next", 600));
    assert_eq!(story.refuses(&move_to(1)), "EXPIRY_IN_THE_PAST");
    assert_eq!(story.refuses(&move_to(100)), "ACCESS_UNCHANGED");
    let story = story.given(&move_to(200)).until(199);
    assert!(story.credential("ci").holds(at(199)) && !story.credential("ci").holds(at(200)));
    let mut story = story.until(200);
    assert_eq!(story.credential("ci").ended, Some(Ended { at: at(200), by: EndedBy::Expiry }));
    assert!(
        story.timers.is_empty() && !story.credential("ci").accepts(&secret("next").hash, at(200))
    );
    assert_eq!(story.state.grants_of(&Principal::Credential(id.clone())).count(), 0);
    assert_eq!(story.refuses(&revoke(&id)), "CREDENTIAL_NOT_FOUND");
    assert_eq!(story.refuses(&move_to(300)), "CREDENTIAL_NOT_FOUND");
}

// REQ: IAM-13
#[test]
fn a_revoked_credential_is_never_accepted_again() {
    let story = Story::begun().by("ann").given(&create(service("ci", &["viewer"])));
    let id = story.credential("ci").id.clone();
    let story = story.given(&rotate(&id, "next", 60)).given(&revoke(&id));
    assert!(story.timers.is_empty());
    for text in ["ci", "next"] {
        assert!(!story.state.credentials[&id].accepts(&secret(text).hash, at(2)));
    }
    let mut story = story;
    assert_eq!(story.refuses(&rotate(&id, "again", 0)), "CREDENTIAL_NOT_FOUND");
    assert_eq!(story.refuses(&create(service("next", &[]))), "CREDENTIAL_SECRET_USED");
}

// REQ: IAM-13
#[test]
fn a_credential_that_gets_an_end_later_ends_then() {
    let story = Story::begun().by("ann").given(&create(service("ci", &["viewer"])));
    let id = story.credential("ci").id.clone();
    let update = |name: Option<&str>, ends: Option<i64>| {
        Command::UpdateCredential(UpdateCredential {
            id: id.clone(),
            name: name.map(str::to_owned),
            expires_at: ends.map(at),
            addresses: None,
            requests_per_minute: None,
        })
    };
    let story = story.given(&update(None, Some(50))).given(&update(Some("ci 2"), None));
    assert_eq!(story.timers.len(), 1, "set once, and not again by a change of something else");
    assert!(story.until(50).credential("ci 2").ended.is_some());
}

#[test]
fn a_credential_is_refused_in_order() {
    let mut story = Story::begun().by("ann");
    let nameless = CreateCredential { name: String::new(), ..service("x", &[]) };
    assert_eq!(story.refuses(&create(nameless)), "NAME_INVALID");
    let granted = CreateCredential { grants: service("y", &["viewer"]).grants, ..sdk("x") };
    assert_eq!(story.refuses(&create(granted)), "CREDENTIAL_GRANTS_INVALID");
    assert_eq!(story.refuses(&create(personal("x", "nobody", 9))), "MEMBER_NOT_FOUND");
    let endless = CreateCredential { expires_at: None, ..personal("x", "ann", 9) };
    assert_eq!(story.refuses(&create(endless)), "CREDENTIAL_EXPIRY_MISSING");
    assert_eq!(story.refuses(&create(service("x", &["none"]))), "ROLE_NOT_FOUND");
    assert_eq!(story.refuses(&create(service("x", &["server-sdk"]))), "ROLE_NOT_GRANTABLE");
    assert_eq!(story.refuses(&create(service("x", &["viewer", "viewer"]))), "ACCESS_UNCHANGED");
    let late = CreateCredential { expires_at: Some(at(1)), ..service("x", &[]) };
    assert_eq!(story.refuses(&create(late)), "EXPIRY_IN_THE_PAST");
    let range = AddressRange::parse("192.0.2.0/24").unwrap();
    let twice = CreateCredential { addresses: vec![range, range], ..service("x", &[]) };
    assert_eq!(story.refuses(&create(twice)), "ADDRESSES_INVALID");
    for rate in [0, REQUESTS_PER_MINUTE_MAX + 1] {
        let rated = CreateCredential { requests_per_minute: Some(rate), ..service("x", &[]) };
        assert_eq!(story.refuses(&create(rated)), "CREDENTIAL_RATE_INVALID");
    }
    let story =
        story.given(&create(CreateCredential { addresses: vec![range], ..service("x", &[]) }));
    assert_eq!(story.credential("x").addresses, [range]);
}

#[test]
fn the_root_gets_its_first_owner_once() {
    let bootstrap = Command::Bootstrap(Bootstrap { secret: secret("first") });
    let mut elsewhere = Story::new();
    assert_eq!(elsewhere.refuses(&bootstrap), "TENANT_NOT_ROOT");
    let mut story = Story::new();
    "platform".clone_into(&mut story.tenant);
    let mut story = story.given(&bootstrap);
    let first = story.credential("first owner").principal();
    assert!(story.may(&first, "tenants.close") && story.may(&first, "system.operate"));
    assert!(story.may(&first, "tenants.act_as") && has_owner(&story.state));
    let again = Command::Bootstrap(Bootstrap { secret: secret("second") });
    assert_eq!(story.refuses(&again), "ALREADY_BOOTSTRAPPED");
}

// REQ: IAM-14
#[test]
fn the_tenants_addresses_are_one_list() {
    let set = |texts: &[&str]| {
        let parse = |text: &&str| AddressRange::parse(text).unwrap();
        Command::SetAddresses(SetAddresses { addresses: texts.iter().map(parse).collect() })
    };
    let mut story = Story::begun().given(&set(&["192.0.2.0/24", "2001:db8::/32"]));
    assert_eq!(story.refuses(&set(&["192.0.2.0/24", "2001:db8::/32"])), "ACCESS_UNCHANGED");
    assert_eq!(story.refuses(&set(&["192.0.2.1", "192.0.2.1"])), "ADDRESSES_INVALID");
    assert!(story.given(&set(&[])).state.addresses.is_empty());
}
