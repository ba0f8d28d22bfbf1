//! A member's own personal tokens, for which it needs no permission.

use core::time::Duration;

use exchequer_access::AddressRange;
use exchequer_api::authn::TokenKind;
use exchequer_domain_access as domain;
use exchequer_proto::access::v1 as pb;
use exchequer_proto::access::v1::credential_service_client::CredentialServiceClient;
use exchequer_proto::tenants::v1 as tenants;
use exchequer_types::{ActorId, Timestamp};
use tonic::transport::Channel;

use super::{Guarded, from, said, whole, with};
use crate::world::refused;

const MINUTE: Duration = Duration::from_secs(60);

fn create(owner: &str, expires_at: Timestamp) -> pb::CreateCredentialRequest {
    let seconds = expires_at.micros().div_euclid(1_000_000);
    pb::CreateCredentialRequest {
        tenant: "acme".to_owned(),
        kind: pb::CredentialKind::Personal.into(),
        name: "laptop".to_owned(),
        owner: owner.to_owned(),
        expires_at: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..<_>::default()
    }
}

fn list(owner: &str) -> pb::ListCredentialsRequest {
    let (tenant, owner) = ("acme".to_owned(), owner.to_owned());
    pb::ListCredentialsRequest { tenant, owner, ..<_>::default() }
}

fn rotate(id: &str) -> pb::RotateCredentialRequest {
    pb::RotateCredentialRequest { tenant: "acme".to_owned(), id: id.to_owned(), ..<_>::default() }
}

fn revoke(id: &str) -> pb::RevokeCredentialRequest {
    pb::RevokeCredentialRequest { tenant: "acme".to_owned(), id: id.to_owned(), ..<_>::default() }
}

fn get(id: &str) -> pb::GetCredentialRequest {
    pb::GetCredentialRequest { tenant: "acme".to_owned(), id: id.to_owned(), ..<_>::default() }
}

async fn acme() -> (Guarded, CredentialServiceClient<Channel>) {
    let guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let client = CredentialServiceClient::new(guarded.world.channel.clone());
    (guarded, client)
}

// REQ: IAM-12, IAM-13
#[tokio::test(flavor = "multi_thread")]
async fn a_member_manages_its_own_tokens_without_any_permission() {
    let (mut guarded, mut client) = acme().await;
    let vera = guarded.member("acme", "vera", &[("viewer", whole())]).await;
    guarded.member("acme", "olga", &[("owner", whole())]).await;
    let soon = guarded.now().saturating_add(MINUTE);
    let made = client.create_credential(with(&vera, create("vera", soon))).await.unwrap();
    let made = made.into_inner();
    let (id, secret) = (made.credential.unwrap().id, made.secret);
    let ask = tenants::GetTenantRequest { id: "acme".to_owned(), ..<_>::default() };
    guarded.world.tenants.get_tenant(with(&secret, ask)).await.unwrap();
    assert_eq!(client.get_credential(with(&vera, get(&id))).await.unwrap().into_inner().id, id);
    let own = client.list_credentials(with(&vera, list("vera"))).await.unwrap().into_inner();
    assert_eq!(own.credentials.len(), 2);
    assert!(own.credentials.iter().all(|it| it.owner == "vera"));
    let turned = client.rotate_credential(with(&vera, rotate(&id))).await.unwrap().into_inner();
    assert!(!turned.secret.is_empty() && turned.secret != secret);
    client.revoke_credential(with(&vera, revoke(&id))).await.unwrap();
    // It is nobody else's business, and nothing else is hers.
    let others = client.list_credentials(with(&vera, list("olga"))).await;
    assert_eq!(said(&refused(others, "PERMISSION_DENIED"), "permission"), "credentials.read");
    refused(client.list_credentials(with(&vera, list(""))).await, "PERMISSION_DENIED");
    refused(client.create_credential(with(&vera, create("olga", soon))).await, "PERMISSION_DENIED");
    let service = pb::CreateCredentialRequest {
        kind: pb::CredentialKind::Service.into(),
        owner: String::new(),
        ..create("", soon)
    };
    refused(client.create_credential(with(&vera, service)).await, "PERMISSION_DENIED");
    refused(client.revoke_credential(with(&vera, revoke("crd_none"))).await, "PERMISSION_DENIED");
}

// REQ: IAM-12, IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_somebody_else_stays_theirs() {
    let (guarded, mut client) = acme().await;
    let vera = guarded.member("acme", "vera", &[]).await;
    let olga = guarded.member("acme", "olga", &[("owner", whole())]).await;
    guarded.tenant("platform", "rival").await;
    let namesake = guarded.member("rival", "olga", &[("owner", whole())]).await;
    let hers = client.list_credentials(with(&olga, list("olga"))).await.unwrap().into_inner();
    let id = hers.credentials[0].id.clone();
    for refusal in [
        client.get_credential(with(&vera, get(&id))).await.map(|it| it.map(|_| ())),
        client.rotate_credential(with(&vera, rotate(&id))).await.map(|it| it.map(|_| ())),
        client.revoke_credential(with(&vera, revoke(&id))).await.map(|it| it.map(|_| ())),
    ] {
        refused(refusal, "PERMISSION_DENIED");
    }
    // Called the same in another tenant is somebody else.
    refused(client.revoke_credential(with(&namesake, revoke(&id))).await, "TENANT_NOT_FOUND");
    refused(client.list_credentials(with(&namesake, list("olga"))).await, "TENANT_NOT_FOUND");
}

// REQ: IAM-12, IAM-13
#[tokio::test(flavor = "multi_thread")]
async fn a_token_makes_none_that_is_more_than_itself() {
    let (guarded, mut client) = acme().await;
    let later = guarded.now().saturating_add(60 * MINUTE);
    guarded.member("acme", "vera", &[]).await;
    let kind = domain::CredentialKind::Personal { owner: ActorId::parse("vera").unwrap() };
    let bounded = guarded
        .credential("acme", kind, TokenKind::Personal, |it| {
            it.expires_at = Some(later);
            it.addresses = vec![AddressRange::parse("192.0.2.0/24").unwrap()];
            it.requests_per_minute = Some(50);
        })
        .await;
    let ask = |request| from("192.0.2.9", with(&bounded, request));
    let fits = pb::CreateCredentialRequest {
        networks: vec!["192.0.2.8/29".to_owned()],
        requests_per_minute: 50,
        ..create("vera", later)
    };
    let beyond = |change: fn(&mut pb::CreateCredentialRequest)| {
        let mut request = fits.clone();
        change(&mut request);
        request
    };
    for request in [
        beyond(|it| it.expires_at.as_mut().unwrap().seconds += 1),
        beyond(|it| it.networks.clear()),
        beyond(|it| it.networks = vec!["192.0.0.0/16".to_owned()]),
        beyond(|it| it.requests_per_minute = 51),
        beyond(|it| it.requests_per_minute = 0),
    ] {
        let status = client.create_credential(ask(request.clone())).await;
        let status = refused(status, "PERMISSION_DENIED");
        assert_eq!(said(&status, "rule"), "BEYOND_TOKEN", "{request:?}");
    }
    client.create_credential(ask(fits)).await.unwrap();
    // Nor does it get the secret of one that is.
    let own = client.list_credentials(from("192.0.2.9", with(&bounded, list("vera")))).await;
    let own = own.unwrap().into_inner().credentials;
    let free = own.iter().find(|it| it.networks.is_empty()).unwrap();
    let status =
        client.rotate_credential(from("192.0.2.9", with(&bounded, rotate(&free.id)))).await;
    assert_eq!(said(&refused(status, "PERMISSION_DENIED"), "rule"), "BEYOND_TOKEN");
    let itself = own.iter().find(|it| it.networks == ["192.0.2.0/24"]).unwrap();
    let turn = from("192.0.2.9", with(&bounded, rotate(&itself.id)));
    client.rotate_credential(turn).await.unwrap();
}
