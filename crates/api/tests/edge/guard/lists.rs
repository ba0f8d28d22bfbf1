//! Whoever has something in a part of the tenant sees that part of its lists.

use exchequer_access::Scope;
use exchequer_domain_access as domain;
use exchequer_proto::access::v1 as access;
use exchequer_proto::access::v1::credential_service_client::CredentialServiceClient;
use exchequer_proto::flags::v1 as pb;
use exchequer_proto::flags::v1::flag_service_client::FlagServiceClient;
use exchequer_types::Slug;
use tonic::Status;
use tonic::transport::Channel;

use super::grants::{Shop, create_flag, shop, toggle};
use super::{project, said, whole, with};
use crate::world::{named, refused};

type Flags = FlagServiceClient<Channel>;

/// Keys of all projects that it sees, one a page.
async fn projects(flags: &mut Flags, token: &str, filter: &str) -> Result<Vec<String>, Status> {
    let mut request = pb::ListProjectsRequest {
        tenant: "acme".to_owned(),
        page_size: 1,
        filter: filter.to_owned(),
        ..<_>::default()
    };
    let mut found = Vec::new();
    loop {
        let page = flags.list_projects(with(token, request)).await?.into_inner();
        found.extend(page.projects.into_iter().map(|it| it.key));
        // The token is in hexadecimal digits; of what it may not see there is nothing in it.
        assert!(!page.next_page_token.contains(&hex("blog")) || found.contains(&"blog".to_owned()));
        request = pb::ListProjectsRequest {
            tenant: "acme".to_owned(),
            page_size: 1,
            filter: filter.to_owned(),
            page_token: page.next_page_token,
            ..<_>::default()
        };
        if request.page_token.is_empty() {
            return Ok(found);
        }
    }
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

async fn environments(flags: &mut Flags, token: &str, key: &str) -> Result<Vec<String>, Status> {
    let (tenant, project) = ("acme".to_owned(), key.to_owned());
    let request = pb::ListEnvironmentsRequest { tenant, project, ..<_>::default() };
    let page = flags.list_environments(with(token, request)).await?.into_inner();
    Ok(page.environments.into_iter().map(|it| it.key).collect())
}

/// `flag: environments whose targeting is told`.
async fn listed(
    flags: &mut Flags,
    token: &str,
    key: &str,
    at: &str,
) -> Result<Vec<String>, Status> {
    let (tenant, project, environment) = ("acme".to_owned(), key.to_owned(), at.to_owned());
    let request = pb::ListFlagsRequest { tenant, project, environment, ..<_>::default() };
    let page = flags.list_flags(with(token, request)).await?.into_inner();
    let told = page.flags.into_iter().map(|it| {
        let at: Vec<String> = it.targeting.into_iter().map(|it| it.environment).collect();
        format!("{}: {}", it.key, at.join(" "))
    });
    Ok(told.collect())
}

fn scope(environment: &str, flag: &str) -> Scope {
    let part = |text: &str| (!text.is_empty()).then(|| Slug::parse(text).unwrap());
    Scope::new(part("shop"), part(environment), part(flag)).unwrap()
}

// REQ: IAM-10, EDG-05
#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_what_its_caller_may_see() {
    let Shop { guarded, mut flags, owner } = shop().await;
    flags.create_flag(with(&owner, create_flag("shop", "light"))).await.unwrap();
    for (key, at) in
        [("dark", "staging"), ("dark", "production"), ("light", "staging"), ("light", "production")]
    {
        flags.toggle_flag(with(&owner, toggle("shop", key, at, true))).await.unwrap();
    }
    let lead = guarded.member("acme", "lea", &[("project-admin", project("shop"))]).await;
    let stage = guarded.member("acme", "sue", &[("viewer", scope("staging", ""))]).await;
    let dark = guarded.member("acme", "dan", &[("viewer", scope("", "dark"))]).await;
    let both = [("operator", whole()), ("viewer", whole())];
    let staff = guarded.service("platform", &both).await;
    for token in [&owner, &staff] {
        assert_eq!(projects(&mut flags, token, "").await.unwrap(), ["blog", "shop"]);
    }
    assert_eq!(projects(&mut flags, &lead, "").await.unwrap(), ["shop"]);
    assert!(projects(&mut flags, &lead, "key = blog").await.unwrap().is_empty());
    for token in [&stage, &dark] {
        // The project as a whole is more than they may read.
        assert!(projects(&mut flags, token, "").await.unwrap().is_empty());
    }
    let both = ["production", "staging"];
    assert_eq!(environments(&mut flags, &lead, "shop").await.unwrap(), both);
    assert_eq!(environments(&mut flags, &stage, "shop").await.unwrap(), ["staging"]);
    assert!(environments(&mut flags, &dark, "shop").await.unwrap().is_empty());
    let all = ["dark: production staging", "light: production staging"];
    assert_eq!(listed(&mut flags, &lead, "shop", "").await.unwrap(), all);
    let staged = ["dark: staging", "light: staging"];
    assert_eq!(listed(&mut flags, &stage, "shop", "").await.unwrap(), staged);
    assert_eq!(listed(&mut flags, &stage, "shop", "staging").await.unwrap(), staged);
    assert_eq!(listed(&mut flags, &dark, "shop", "").await.unwrap(), all[..1]);
    assert_eq!(listed(&mut flags, &dark, "shop", "staging").await.unwrap(), staged[..1]);
}

// REQ: IAM-10, IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_which_nothing_may_be_seen_is_refused_and_says_no_more() {
    let Shop { guarded, mut flags, .. } = shop().await;
    let lead = guarded.member("acme", "lea", &[("project-admin", project("shop"))]).await;
    let stage = guarded.member("acme", "sue", &[("viewer", scope("staging", ""))]).await;
    let una = guarded.member("acme", "una", &[]).await;
    let rule = |answer: Result<Vec<String>, Status>| {
        let status = refused(answer.map(tonic::Response::new), "PERMISSION_DENIED");
        (said(&status, "rule"), status.message().to_owned())
    };
    // Whether there is such a project or not.
    let mut told = Vec::new();
    for elsewhere in ["blog", "nowhere"] {
        told.push(rule(environments(&mut flags, &lead, elsewhere).await));
        told.push(rule(listed(&mut flags, &lead, elsewhere, "").await));
    }
    assert!(told.iter().all(|it| it.0 == "OUT_OF_SCOPE"), "{told:?}");
    assert_eq!((&told[0], &told[1]), (&told[2], &told[3]));
    for at in ["production", "nowhere"] {
        assert_eq!(rule(listed(&mut flags, &stage, "shop", at).await).0, "OUT_OF_SCOPE");
    }
    assert_eq!(rule(projects(&mut flags, &una, "").await).0, "NO_GRANT");
    assert_eq!(rule(environments(&mut flags, &una, "shop").await).0, "NO_GRANT");
    assert_eq!(rule(listed(&mut flags, &una, "shop", "").await).0, "NO_GRANT");
    // Nobody of another tenant.
    guarded.tenant("platform", "rival").await;
    let rival = guarded.member("rival", "eve", &[("owner", whole())]).await;
    let hidden = projects(&mut flags, &rival, "").await.map(tonic::Response::new);
    refused(hidden, "TENANT_NOT_FOUND");
}

// REQ: IAM-12, IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_listed_for_whom_they_concern() {
    let Shop { guarded, .. } = shop().await;
    let lead = guarded.member("acme", "lea", &[("project-admin", project("shop"))]).await;
    let una = guarded.member("acme", "una", &[]).await;
    let slug = |text: &str| Slug::parse(text).unwrap();
    for at in ["shop", "blog"] {
        let (project, environment) = (slug(at), slug("staging"));
        let kind = domain::CredentialKind::ServerSdk { project, environment };
        let written = exchequer_api::authn::TokenKind::ServerKey;
        guarded.credential("acme", kind, written, |it| at.clone_into(&mut it.name)).await;
    }
    let mut client = CredentialServiceClient::new(guarded.world.channel.clone());
    let ask = |owner: &str| access::ListCredentialsRequest {
        tenant: "acme".to_owned(),
        owner: owner.to_owned(),
        ..<_>::default()
    };
    let found = client.list_credentials(with(&lead, ask(""))).await.unwrap().into_inner();
    let mut told: Vec<(String, String)> =
        found.credentials.into_iter().map(|it| (it.name, it.owner)).collect();
    told.sort();
    let own = ("test".to_owned(), "lea".to_owned());
    assert_eq!(told, [("shop".to_owned(), String::new()), own]);
    // Its own, without any role.
    let found = client.list_credentials(with(&una, ask("una"))).await.unwrap().into_inner();
    assert_eq!(found.credentials.len(), 1);
    let status = client.list_credentials(with(&una, ask(""))).await.unwrap_err();
    assert_eq!(named(&status).0, "PERMISSION_DENIED");
    let status = client.list_credentials(with(&una, ask("lea"))).await.unwrap_err();
    assert_eq!(named(&status).0, "PERMISSION_DENIED");
}
