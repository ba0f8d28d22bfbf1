//! What grants allow, method by method.

use exchequer_access::{Permission, Principal, Scope};
use exchequer_domain_access as domain;
use exchequer_proto::flags::v1 as flags;
use exchequer_proto::flags::v1::flag_service_client::FlagServiceClient;
use exchequer_proto::subscriptions::v1 as subscriptions;
use exchequer_proto::subscriptions::v1::subscription_service_client::SubscriptionServiceClient;
use exchequer_proto::tenants::v1 as pb;
use exchequer_types::{ActorId, Slug};
use tonic::Code;

use super::{Guarded, project, said, whole, with};
use crate::world::{named, refused};

fn get(id: &str) -> pb::GetTenantRequest {
    pb::GetTenantRequest { id: id.to_owned(), ..<_>::default() }
}

// REQ: IAM-09
#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_reads_and_changes_nothing() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let viewer = guarded.member("acme", "vera", &[("viewer", whole())]).await;
    let tenants = &mut guarded.world.tenants;
    let found = tenants.get_tenant(with(&viewer, get("acme"))).await.unwrap();
    assert_eq!(found.into_inner().id, "acme");
    let rename =
        pb::RenameTenantRequest { id: "acme".to_owned(), name: "Mine".to_owned(), write: None };
    let status = refused(tenants.rename_tenant(with(&viewer, rename)).await, "PERMISSION_DENIED");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(said(&status, "permission"), "tenants.update");
    assert_eq!(said(&status, "rule"), "NO_GRANT");
}

// REQ: IAM-09, IAM-19
#[tokio::test(flavor = "multi_thread")]
async fn billing_is_the_owners_alone() {
    let mut guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let admin = guarded.member("acme", "adam", &[("admin", whole())]).await;
    let staff = guarded.service("platform", &[("operator", whole())]).await;
    let mut client = SubscriptionServiceClient::new(guarded.world.channel.clone());
    let ask = || subscriptions::ListScheduledChangesRequest {
        tenant: "acme".to_owned(),
        ..<_>::default()
    };
    let status =
        refused(client.list_scheduled_changes(with(&admin, ask())).await, "PERMISSION_DENIED");
    assert_eq!(said(&status, "permission"), "billing.read");
    for token in [&owner, &staff] {
        // There is no subscription, which only those are told who may know.
        match client.list_scheduled_changes(with(token, ask())).await {
            Ok(_) => {}
            Err(status) => assert_eq!(named(&status).0, "SUBSCRIPTION_NOT_FOUND"),
        }
    }
    // The admin closes nothing either, and the owner does not lift its own suspension.
    let tenants = &mut guarded.world.tenants;
    let close = pb::CloseTenantRequest { id: "acme".to_owned(), ..<_>::default() };
    refused(tenants.close_tenant(with(&admin, close)).await, "PERMISSION_DENIED");
    let reinstate = pb::ReinstateTenantRequest { id: "acme".to_owned(), write: None };
    let status =
        refused(tenants.reinstate_tenant(with(&owner, reinstate)).await, "PERMISSION_DENIED");
    assert_eq!(said(&status, "rule"), "PROVIDER_ONLY");
}

pub(super) struct Shop {
    pub(super) guarded: Guarded,
    pub(super) flags: FlagServiceClient<tonic::transport::Channel>,
    pub(super) owner: String,
}

/// A project with production and staging, and a flag.
pub(super) async fn shop() -> Shop {
    let guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    guarded.promote("acme").await;
    let owner = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let mut flags = FlagServiceClient::new(guarded.world.channel.clone());
    for project in ["shop", "blog"] {
        let create = flags::CreateProjectRequest {
            tenant: "acme".to_owned(),
            key: project.to_owned(),
            name: project.to_owned(),
            write: None,
        };
        flags.create_project(with(&owner, create)).await.unwrap();
        for environment in ["production", "staging"] {
            let create = flags::CreateEnvironmentRequest {
                tenant: "acme".to_owned(),
                project: project.to_owned(),
                key: environment.to_owned(),
                name: environment.to_owned(),
                production: environment == "production",
                ..<_>::default()
            };
            flags.create_environment(with(&owner, create)).await.unwrap();
        }
        flags.create_flag(with(&owner, create_flag(project, "dark"))).await.unwrap();
    }
    Shop { guarded, flags, owner }
}

pub(super) fn create_flag(project: &str, key: &str) -> flags::CreateFlagRequest {
    let boolean = |value| flags::Value { kind: Some(flags::value::Kind::Boolean(value)) };
    let on_off = [("on", true), ("off", false)]
        .map(|(key, value)| flags::Variant { key: key.to_owned(), value: Some(boolean(value)) });
    flags::CreateFlagRequest {
        tenant: "acme".to_owned(),
        project: project.to_owned(),
        key: key.to_owned(),
        definition: Some(flags::Definition {
            name: key.to_owned(),
            kind: flags::Kind::Boolean.into(),
            variants: on_off.into(),
            default_variant: "on".to_owned(),
            off_variant: "off".to_owned(),
            ..<_>::default()
        }),
        write: None,
    }
}

pub(super) fn toggle(
    project: &str,
    key: &str,
    environment: &str,
    enabled: bool,
) -> flags::ToggleFlagRequest {
    flags::ToggleFlagRequest {
        tenant: "acme".to_owned(),
        project: project.to_owned(),
        key: key.to_owned(),
        environment: environment.to_owned(),
        enabled,
        write: None,
    }
}

pub(super) fn update(key: &str, name: &str) -> flags::UpdateFlagRequest {
    let create = create_flag("shop", key);
    let definition = create.definition.map(|it| flags::Definition { name: name.to_owned(), ..it });
    let (tenant, project, key) = (create.tenant, create.project, create.key);
    flags::UpdateFlagRequest { tenant, project, key, definition, ..<_>::default() }
}

// REQ: IAM-09
#[tokio::test(flavor = "multi_thread")]
async fn a_developer_works_outside_production() {
    let Shop { guarded, mut flags, owner } = shop().await;
    let dev = guarded.member("acme", "dana", &[("developer", whole())]).await;
    flags.create_flag(with(&dev, create_flag("shop", "light"))).await.unwrap();
    flags.toggle_flag(with(&dev, toggle("shop", "dark", "staging", true))).await.unwrap();
    let status = flags.toggle_flag(with(&dev, toggle("shop", "dark", "production", true))).await;
    let status = refused(status, "PERMISSION_DENIED");
    assert_eq!(said(&status, "rule"), "OUTSIDE_PRODUCTION");
    // What is said of a flag is the developer's to change, on or off.
    flags.update_flag(with(&dev, update("dark", "Darker"))).await.unwrap();
    flags.toggle_flag(with(&owner, toggle("shop", "dark", "production", true))).await.unwrap();
    flags.update_flag(with(&dev, update("dark", "Darkest"))).await.unwrap();
    flags.update_flag(with(&dev, update("light", "Lighter"))).await.unwrap();
    // Reads production too.
    let read = flags::GetFlagRequest {
        tenant: "acme".to_owned(),
        project: "shop".to_owned(),
        key: "dark".to_owned(),
        ..<_>::default()
    };
    flags.get_flag(with(&dev, read)).await.unwrap();
    // What is missing is told by the service.
    refused(
        flags.toggle_flag(with(&dev, toggle("shop", "dark", "nowhere", true))).await,
        "ENVIRONMENT_NOT_FOUND",
    );
}

// REQ: IAM-10
#[tokio::test(flavor = "multi_thread")]
async fn custom_roles_hold_where_they_are_granted() {
    let Shop { guarded, mut flags, .. } = shop().await;
    let role = domain::CreateRole {
        role: Slug::parse("switcher").unwrap(),
        name: "Switcher".to_owned(),
        permissions: [Permission::FlagsToggle].into(),
    };
    guarded.access("acme", domain::Command::CreateRole(role)).await;
    let slug = |text: &str| Some(Slug::parse(text).unwrap());
    let narrow = Scope::new(slug("shop"), slug("staging"), slug("dark")).unwrap();
    let token = guarded.member("acme", "tess", &[("switcher", narrow)]).await;
    flags.toggle_flag(with(&token, toggle("shop", "dark", "staging", true))).await.unwrap();
    for (project, key, environment) in
        [("shop", "dark", "production"), ("blog", "dark", "staging"), ("shop", "other", "staging")]
    {
        let asked = toggle(project, key, environment, true);
        let status = refused(flags.toggle_flag(with(&token, asked)).await, "PERMISSION_DENIED");
        assert_eq!(said(&status, "rule"), "OUT_OF_SCOPE", "{project} {key} {environment}");
    }
    // A batch names no flag of its own, so it is about all of them.
    let batch = flags::BatchToggleFlagsRequest {
        tenant: "acme".to_owned(),
        project: "shop".to_owned(),
        environment: "staging".to_owned(),
        requests: vec![toggle("shop", "dark", "staging", false)],
        ..<_>::default()
    };
    refused(flags.batch_toggle_flags(with(&token, batch)).await, "PERMISSION_DENIED");
}

// REQ: IAM-10
#[tokio::test(flavor = "multi_thread")]
async fn members_inherit_what_their_teams_have() {
    let Shop { guarded, mut flags, .. } = shop().await;
    let token = guarded.member("acme", "tom", &[]).await;
    let ask = || with(&token, toggle("shop", "dark", "production", true));
    refused(flags.toggle_flag(ask()).await, "PERMISSION_DENIED");
    let team = domain::CreateTeam {
        team: Slug::parse("web").unwrap(),
        name: "Web".to_owned(),
        members: [ActorId::parse("tom").unwrap()].into(),
        teams: [].into(),
    };
    guarded.access("acme", domain::Command::CreateTeam(team)).await;
    let web = Principal::Team(Slug::parse("web").unwrap());
    guarded.grant("acme", web, "project-admin", project("shop")).await;
    // Seen by the next call.
    flags.toggle_flag(ask()).await.unwrap();
    refused(
        flags.toggle_flag(with(&token, toggle("blog", "dark", "production", true))).await,
        "PERMISSION_DENIED",
    );
}
