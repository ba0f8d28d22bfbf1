//! Methods of which the guard looks at what they would change.

use exchequer_access::{Permission, Scope};
use exchequer_domain_access as domain;
use exchequer_proto::flags::v1 as flags;
use exchequer_types::Slug;
use prost_types::FieldMask;

use super::grants::{Shop, create_flag, shop, toggle, update};
use super::{Guarded, project, said, whole, with};
use crate::world::refused;

/// A role of the tenant's own.
async fn role(guarded: &Guarded, key: &str, words: &[&str]) {
    let permissions = words.iter().map(|word| Permission::parse(word).unwrap()).collect();
    let role = Slug::parse(key).unwrap();
    let create = domain::CreateRole { role, name: key.to_owned(), permissions };
    guarded.access("acme", domain::Command::CreateRole(create)).await;
}

fn masked(mut request: flags::UpdateFlagRequest, paths: &[&str]) -> flags::UpdateFlagRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    request.update_mask = Some(FieldMask { paths });
    request
}

/// With another value where the flag is off.
fn other_off(key: &str) -> flags::UpdateFlagRequest {
    let mut request = update(key, key);
    request.definition.as_mut().unwrap().off_variant.replace_range(.., "on");
    request
}

fn other_values(key: &str) -> flags::UpdateFlagRequest {
    let mut request = update(key, key);
    let yes = flags::Value { kind: Some(flags::value::Kind::Boolean(true)) };
    for variant in &mut request.definition.as_mut().unwrap().variants {
        variant.value = Some(yes.clone());
    }
    request
}

/// What is off in production serves its off variant there.
// REQ: IAM-09
#[tokio::test(flavor = "multi_thread")]
async fn a_developer_changes_nothing_that_production_serves() {
    let Shop { guarded, mut flags, owner } = shop().await;
    let dev = guarded.member("acme", "dana", &[("developer", whole())]).await;
    for request in [
        other_off("dark"),
        other_values("dark"),
        masked(other_off("dark"), &["off_variant"]),
        masked(other_off("dark"), &["name", "off_variant"]),
        masked(other_off("dark"), &["*"]),
        masked(other_values("dark"), &["variants"]),
    ] {
        let status = flags.update_flag(with(&dev, request.clone())).await;
        let status = refused(status, "PERMISSION_DENIED");
        assert_eq!(said(&status, "rule"), "OUTSIDE_PRODUCTION", "{request:?}");
        assert_eq!(said(&status, "permission"), "flags.edit");
    }
    // What production does not serve: words about the flag, also beside what stays as it is.
    flags.update_flag(with(&dev, update("dark", "Darker"))).await.unwrap();
    let named = masked(other_off("dark"), &["name", "tags"]);
    let named = flags.update_flag(with(&dev, named)).await.unwrap().into_inner();
    assert_eq!(named.definition.unwrap().off_variant, "off");
    // In a project without production nothing is kept from anybody who edits.
    let create = flags::CreateProjectRequest {
        tenant: "acme".to_owned(),
        key: "lab".to_owned(),
        name: "Lab".to_owned(),
        write: None,
    };
    flags.create_project(with(&owner, create)).await.unwrap();
    flags.create_flag(with(&dev, create_flag("lab", "dark"))).await.unwrap();
    let there = flags::UpdateFlagRequest { project: "lab".to_owned(), ..other_off("dark") };
    flags.update_flag(with(&dev, there)).await.unwrap();
    // Who may change production may all of it.
    flags.update_flag(with(&owner, other_off("dark"))).await.unwrap();
}

/// What was seen to stay is not put back to what it was a moment ago.
// REQ: IAM-09
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_allowed_holds_for_the_version_that_was_seen() {
    let Shop { guarded, mut flags, .. } = shop().await;
    let dev = guarded.member("acme", "dana", &[("developer", whole())]).await;
    let expecting = |version: u64, name: &str| flags::UpdateFlagRequest {
        write: Some(exchequer_proto::common::v1::WriteOptions {
            expected_version: Some(version),
            ..<_>::default()
        }),
        ..update("dark", name)
    };
    let now = flags.update_flag(with(&dev, update("dark", "Darker"))).await.unwrap();
    let now = now.into_inner().version;
    let behind = flags.update_flag(with(&dev, expecting(now - 1, "Darkest"))).await;
    refused(behind, "VERSION_CONFLICT");
    flags.update_flag(with(&dev, expecting(now, "Darkest"))).await.unwrap();
}

fn set(environment: &str, enabled: bool, off: &str) -> flags::SetTargetingRequest {
    flags::SetTargetingRequest {
        tenant: "acme".to_owned(),
        project: "shop".to_owned(),
        key: "dark".to_owned(),
        environment: environment.to_owned(),
        targeting: Some(flags::Targeting {
            enabled,
            off_variant: off.to_owned(),
            ..<_>::default()
        }),
        write: None,
    }
}

// REQ: IAM-10
#[tokio::test(flavor = "multi_thread")]
async fn turning_on_takes_toggling_by_whichever_method() {
    let Shop { guarded, mut flags, owner } = shop().await;
    role(&guarded, "editor", &["flags.edit", "flags.read"]).await;
    let editor = guarded.member("acme", "edda", &[("editor", whole())]).await;
    let status = flags.set_targeting(with(&editor, set("staging", true, ""))).await;
    let status = refused(status, "PERMISSION_DENIED");
    assert_eq!(said(&status, "permission"), "flags.toggle");
    flags.set_targeting(with(&editor, set("staging", false, "on"))).await.unwrap();
    flags.toggle_flag(with(&owner, toggle("shop", "dark", "staging", true))).await.unwrap();
    let status = flags.set_targeting(with(&editor, set("staging", false, "on"))).await;
    refused(status, "PERMISSION_DENIED");
    flags.set_targeting(with(&editor, set("staging", true, "off"))).await.unwrap();
    // A developer has both, outside production.
    let dev = guarded.member("acme", "dana", &[("developer", whole())]).await;
    flags.set_targeting(with(&dev, set("staging", false, "off"))).await.unwrap();
    let status = flags.set_targeting(with(&dev, set("production", true, ""))).await;
    assert_eq!(said(&refused(status, "PERMISSION_DENIED"), "rule"), "OUTSIDE_PRODUCTION");
}

fn in_staging() -> Scope {
    let slug = |text: &str| Some(Slug::parse(text).unwrap());
    Scope::new(slug("shop"), slug("staging"), None).unwrap()
}

fn get(environment: &str) -> flags::GetFlagRequest {
    flags::GetFlagRequest {
        tenant: "acme".to_owned(),
        project: "shop".to_owned(),
        key: "dark".to_owned(),
        environment: environment.to_owned(),
        ..<_>::default()
    }
}

fn list(environment: &str) -> flags::ListFlagsRequest {
    flags::ListFlagsRequest {
        tenant: "acme".to_owned(),
        project: "shop".to_owned(),
        environment: environment.to_owned(),
        ..<_>::default()
    }
}

fn environments(flag: &flags::Flag) -> Vec<&str> {
    flag.targeting.iter().map(|it| it.environment.as_str()).collect()
}

// REQ: IAM-10
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_one_environment_sees_what_it_makes_of_a_flag() {
    let Shop { guarded, mut flags, owner } = shop().await;
    for environment in ["staging", "production"] {
        flags.toggle_flag(with(&owner, toggle("shop", "dark", environment, true))).await.unwrap();
    }
    let viewer = guarded.member("acme", "vera", &[("viewer", in_staging())]).await;
    for elsewhere in ["", "production"] {
        let status =
            refused(flags.get_flag(with(&viewer, get(elsewhere))).await, "PERMISSION_DENIED");
        assert_eq!(said(&status, "rule"), "OUT_OF_SCOPE", "{elsewhere}");
    }
    refused(flags.list_flags(with(&viewer, list("production"))).await, "PERMISSION_DENIED");
    let found = flags.get_flag(with(&viewer, get("staging"))).await.unwrap().into_inner();
    assert_eq!(environments(&found), ["staging"]);
    // Of the list of all environments it sees its part.
    for named in ["staging", ""] {
        let found = flags.list_flags(with(&viewer, list(named))).await.unwrap().into_inner();
        assert_eq!(environments(&found.flags[0]), ["staging"]);
    }
    let found = flags.get_flag(with(&owner, get(""))).await.unwrap().into_inner();
    assert_eq!(environments(&found), ["production", "staging"]);
    refused(flags.get_flag(with(&owner, get("nowhere"))).await, "ENVIRONMENT_NOT_FOUND");
    refused(flags.list_flags(with(&owner, list("nowhere"))).await, "ENVIRONMENT_NOT_FOUND");
}

// REQ: IAM-10
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_shows_what_its_caller_may_read() {
    let Shop { guarded, mut flags, owner } = shop().await;
    flags.toggle_flag(with(&owner, toggle("shop", "dark", "production", true))).await.unwrap();
    let admin = guarded.member("acme", "adam", &[("project-admin", in_staging())]).await;
    role(&guarded, "switcher", &["flags.toggle"]).await;
    let switcher = guarded.member("acme", "tess", &[("switcher", project("shop"))]).await;
    let on = toggle("shop", "dark", "staging", true);
    let toggled = flags.toggle_flag(with(&admin, on)).await.unwrap().into_inner();
    assert_eq!(environments(&toggled), ["staging"]);
    let set = flags.set_targeting(with(&admin, set("staging", true, "on"))).await;
    assert_eq!(environments(&set.unwrap().into_inner()), ["staging"]);
    // Whoever reads nothing is shown nothing.
    let off = toggle("shop", "dark", "staging", false);
    let toggled = flags.toggle_flag(with(&switcher, off)).await.unwrap().into_inner();
    assert!(environments(&toggled).is_empty());
    let on = toggle("shop", "dark", "staging", true);
    let toggled = flags.toggle_flag(with(&owner, on)).await.unwrap().into_inner();
    assert_eq!(environments(&toggled), ["production", "staging"]);
}
