//! Who manages a project's people, and nobody else's.

use exchequer_access::{Principal, Scope};
use exchequer_domain_access as domain;
use exchequer_proto::access::v1 as pb;
use exchequer_proto::access::v1::access_service_client::AccessServiceClient;
use exchequer_types::{ActorId, Slug};

use super::grants::{Shop, shop};
use super::{project, said, whole, with};
use crate::world::refused;

fn named(project: &str, flag: &str) -> pb::Scope {
    let (project, flag) = (project.to_owned(), flag.to_owned());
    pb::Scope { project, flag, ..<_>::default() }
}

fn members(scope: Option<pb::Scope>) -> pb::ListMembersRequest {
    pb::ListMembersRequest { tenant: "acme".to_owned(), scope, ..<_>::default() }
}

fn grants(scope: Option<pb::Scope>) -> pb::ListGrantsRequest {
    pb::ListGrantsRequest { tenant: "acme".to_owned(), scope, ..<_>::default() }
}

fn revoke(id: &str, scope: Option<pb::Scope>) -> pb::RevokeRoleRequest {
    let (tenant, id) = ("acme".to_owned(), id.to_owned());
    pb::RevokeRoleRequest { tenant, id, scope, ..<_>::default() }
}

fn team(key: &str, members: &[&str]) -> domain::Command {
    domain::Command::CreateTeam(domain::CreateTeam {
        team: Slug::parse(key).unwrap(),
        name: key.to_owned(),
        members: members.iter().map(|it| ActorId::parse(*it).unwrap()).collect(),
        teams: [].into(),
    })
}

// REQ: IAM-09, IAM-10
#[tokio::test(flavor = "multi_thread")]
async fn a_project_admin_sees_and_takes_back_what_its_project_has() {
    let Shop { guarded, .. } = shop().await;
    let slug = |text: &str| Some(Slug::parse(text).unwrap());
    let dark = Scope::new(slug("shop"), None, slug("dark")).unwrap();
    let lead = guarded.member("acme", "lea", &[("project-admin", project("shop"))]).await;
    guarded.member("acme", "dan", &[("developer", dark)]).await;
    guarded.member("acme", "bob", &[("developer", project("blog"))]).await;
    guarded.member("acme", "tim", &[]).await;
    guarded.access("acme", team("web", &["tim"])).await;
    guarded.access("acme", team("ops", &["bob"])).await;
    let web = Principal::Team(Slug::parse("web").unwrap());
    guarded.grant("acme", web, "viewer", project("shop")).await;
    let mut client = AccessServiceClient::new(guarded.world.channel.clone());
    // Its people, those of a team among them, and nobody else.
    let found = client.list_members(with(&lead, members(Some(named("shop", ""))))).await.unwrap();
    let ids: Vec<_> = found.into_inner().members.into_iter().map(|it| it.id).collect();
    assert_eq!(ids, ["dan", "lea", "tim"]);
    for scope in [None, Some(named("blog", ""))] {
        let status = client.list_members(with(&lead, members(scope))).await;
        assert_eq!(said(&refused(status, "PERMISSION_DENIED"), "rule"), "OUT_OF_SCOPE");
    }
    let get = |id: &str| pb::GetMemberRequest {
        tenant: "acme".to_owned(),
        id: id.to_owned(),
        scope: Some(named("shop", "")),
        ..<_>::default()
    };
    client.get_member(with(&lead, get("dan"))).await.unwrap();
    for other in ["bob", "olga", "nobody"] {
        refused(client.get_member(with(&lead, get(other))).await, "MEMBER_NOT_FOUND");
    }
    let (tenant, scope) = ("acme".to_owned(), Some(named("shop", "")));
    let teams = pb::ListTeamsRequest { tenant, scope, ..<_>::default() };
    let teams = client.list_teams(with(&lead, teams)).await.unwrap().into_inner().teams;
    assert_eq!(teams.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["web"]);
    let (tenant, scope) = ("acme".to_owned(), Some(named("shop", "")));
    let roles = pb::ListRolesRequest { tenant, scope, ..<_>::default() };
    client.list_roles(with(&lead, roles)).await.unwrap();
    // Its grants, the narrower ones among them.
    let found = client.list_grants(with(&lead, grants(Some(named("shop", ""))))).await.unwrap();
    let found = found.into_inner().grants;
    assert_eq!(found.len(), 3, "{found:?}");
    let is_of_flag = |it: &&pb::Grant| it.scope.as_ref().is_some_and(|scope| scope.flag == "dark");
    let narrow = found.iter().find(is_of_flag).unwrap();
    client.revoke_role(with(&lead, revoke(&narrow.id, Some(named("shop", ""))))).await.unwrap();
    // Nobody else's.
    let owner = guarded.member("acme", "ona", &[("owner", whole())]).await;
    let of_blog = client.list_grants(with(&owner, grants(Some(named("blog", ""))))).await.unwrap();
    let of_blog = of_blog.into_inner().grants[0].id.clone();
    let taken = client.revoke_role(with(&lead, revoke(&of_blog, Some(named("shop", ""))))).await;
    refused(taken, "ROLE_GRANT_NOT_FOUND");
    for scope in [None, Some(named("blog", ""))] {
        let taken = client.revoke_role(with(&lead, revoke(&of_blog, scope))).await;
        refused(taken, "PERMISSION_DENIED");
    }
}
