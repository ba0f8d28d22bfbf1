//! Who is let in, over the real port: tokens that are wrong, rotated, revoked and lent a
//! narrow role, and the same answers after kill -9.

use exchequer_e2e::client::{GET_TENANT, RENAME};
use exchequer_e2e::{Bearer, Client, Res, Sent, Server, reason, wait};
use exchequer_proto::access::v1 as pb;
use exchequer_proto::audit::v1::TailEntriesRequest;
use exchequer_proto::audit::v1::audit_service_client::AuditServiceClient;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::tenants::v1 as tenants;
use tonic::{Code, Status};

const CREATE: &str = "/exchequer.access.v1.CredentialService/CreateCredential";
const GET: &str = "/exchequer.access.v1.CredentialService/GetCredential";
const ROTATE: &str = "/exchequer.access.v1.CredentialService/RotateCredential";
const REVOKE: &str = "/exchequer.access.v1.CredentialService/RevokeCredential";
const EXPLAIN: &str = "/exchequer.access.v1.AccessService/Explain";

/// A server with the tenants `acme` and `other`, and a client with the deployment's rights.
async fn started(folder: &std::path::Path) -> Res<(Server, Client)> {
    let server = Server::start(folder)?;
    let client = Client::connect(&server).await?;
    for tenant in ["acme", "other"] {
        client.answer(&Sent::create(tenant, &format!("create-{tenant}"))).await?;
    }
    Ok((server, client))
}

fn service(role: &str, command_id: &str) -> pb::CreateCredentialRequest {
    pb::CreateCredentialRequest {
        tenant: "acme".to_owned(),
        kind: pb::CredentialKind::Service.into(),
        name: format!("a {role}"),
        grants: vec![pb::RoleGrant { role: role.to_owned(), scope: None }],
        write: Some(WriteOptions { command_id: command_id.to_owned(), ..WriteOptions::default() }),
        ..pb::CreateCredentialRequest::default()
    }
}

async fn create(client: &Client, role: &str) -> Res<(String, String)> {
    let request = service(role, &format!("make-{role}"));
    let made: pb::CreateCredentialResponse = client.ask(CREATE, &request, None).await?;
    Ok((made.credential.unwrap_or_default().id, made.secret))
}

async fn read(server: &Server, secret: &str, tenant: &str) -> Res<Result<tenants::Tenant, Status>> {
    let client = Client::connect_as(server, Bearer::token(secret)?).await?;
    let get = tenants::GetTenantRequest { id: tenant.to_owned(), ..<_>::default() };
    Ok(client.ask(GET_TENANT, &get, None).await)
}

/// The code and reason of what must be refused.
fn told<T: core::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    match result {
        Ok(reply) => (Code::Ok, format!("{reply:?}")),
        Err(status) => (status.code(), reason(&status)),
    }
}

fn refused(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

// REQ: IAM-09, IAM-12, IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_does_what_it_was_granted_where_it_belongs_and_nothing_else() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let (server, client) = started(folder.path()).await?;
    let (id, secret) = create(&client, "viewer").await?;
    assert_eq!(read(&server, &secret, "acme").await??.id, "acme");
    let viewer = Client::connect_as(&server, Bearer::token(&secret)?).await?;
    let rename = Sent::rename("acme", "rename", "Another", None);
    let written = viewer.send(&rename).await;
    assert_eq!(rename.path, RENAME);
    assert_eq!(told(written), refused(Code::PermissionDenied, "PERMISSION_DENIED"));
    let status = viewer.status().await;
    assert_eq!(told(status), refused(Code::PermissionDenied, "PERMISSION_DENIED"));
    // A tenant that is there and one that is not look the same.
    let (there, nowhere) =
        (read(&server, &secret, "other").await?, read(&server, &secret, "nowhere").await?);
    let (there, nowhere) = (there.unwrap_err(), nowhere.unwrap_err());
    assert_eq!((there.code(), there.message()), (nowhere.code(), nowhere.message()));
    assert_eq!(reason(&there), "TENANT_NOT_FOUND");
    let explain = pb::ExplainRequest {
        tenant: "acme".to_owned(),
        principal: Some(pb::Principal {
            principal: Some(pb::principal::Principal::Credential(id)),
        }),
        permission: "tenants.update".to_owned(),
        scope: None,
    };
    let explained: pb::Explanation = client.ask(EXPLAIN, &explain, None).await?;
    assert!(!explained.allowed);
    assert_eq!(explained.rule.unwrap_or_default().kind, "NO_GRANT");
    assert_eq!(explained.considered.len(), 1);
    Ok(())
}

// REQ: IAM-12
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_credential_is_told_why() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let (server, client) = started(folder.path()).await?;
    let (_, secret) = create(&client, "owner").await?;
    let elsewhere = tempfile::tempdir()?;
    let (other, other_client) = started(elsewhere.path()).await?;
    let (_, foreign) = create(&other_client, "owner").await?;
    let cut = &secret[..secret.len() - 3];
    for wrong in [cut, foreign.as_str(), "exq_svc_", "x", "ghp_16C7e42F292c6912E7710c838347Ae178"] {
        let told = told(read(&server, wrong, "acme").await?);
        assert_eq!(told, refused(Code::Unauthenticated, "CREDENTIAL_INVALID"), "{wrong}");
    }
    let nothing = Client::connect_as(&server, Bearer::Nothing).await?;
    let get = tenants::GetTenantRequest { id: "acme".to_owned(), ..<_>::default() };
    let missing = nothing.ask::<_, tenants::Tenant>(GET_TENANT, &get, None).await;
    assert_eq!(told(missing), refused(Code::Unauthenticated, "CREDENTIAL_MISSING"));
    // Another deployment's own proof is nothing here.
    let stranger = Client::connect_as(&server, Bearer::of_deployment(&other.data)?).await?;
    let proof = stranger.ask::<_, tenants::Tenant>(GET_TENANT, &get, None).await;
    assert_eq!(told(proof), refused(Code::Unauthenticated, "CREDENTIAL_INVALID"));
    Ok(())
}

// REQ: IAM-12, IAM-13
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_rotated_with_overlap_and_revoked_at_once() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let (server, client) = started(folder.path()).await?;
    let (id, first) = create(&client, "admin").await?;
    let again: pb::CreateCredentialResponse =
        client.ask(CREATE, &service("admin", "make-admin"), None).await?;
    assert_eq!(again.credential.unwrap_or_default().id, id);
    assert_eq!(again.secret, "", "it was shown once");
    let rotate = |overlap_seconds| pb::RotateCredentialRequest {
        tenant: "acme".to_owned(),
        id: id.clone(),
        overlap_seconds,
        ..pb::RotateCredentialRequest::default()
    };
    let second: pb::RotateCredentialResponse = client.ask(ROTATE, &rotate(3_600), None).await?;
    for secret in [&first, &second.secret] {
        assert!(read(&server, secret, "acme").await?.is_ok(), "both hold");
    }
    let third: pb::RotateCredentialResponse = client.ask(ROTATE, &rotate(0), None).await?;
    let third = third.secret;
    for secret in [&first, &second.secret] {
        let told = told(read(&server, secret, "acme").await?);
        assert_eq!(told.0, Code::Unauthenticated, "{told:?}");
    }
    // The same after kill -9.
    server.kill()?;
    let server = Server::start(folder.path())?;
    let client = Client::connect(&server).await?;
    assert!(read(&server, &third, "acme").await?.is_ok());
    assert!(read(&server, &first, "acme").await?.is_err());
    let stream = Client::connect_as(&server, Bearer::token(&third)?).await?;
    let tail = TailEntriesRequest { tenant: "acme".to_owned(), ..TailEntriesRequest::default() };
    let mut tail = AuditServiceClient::new(stream.channel).tail_entries(tail).await?.into_inner();
    assert!(tail.message().await?.is_some());
    let revoke = pb::RevokeCredentialRequest {
        tenant: "acme".to_owned(),
        id: id.clone(),
        ..pb::RevokeCredentialRequest::default()
    };
    let revoked: pb::Credential = client.ask(REVOKE, &revoke, None).await?;
    assert_eq!(revoked.status(), pb::CredentialStatus::Revoked);
    let told_now = told(read(&server, &third, "acme").await?);
    assert_eq!(told_now, refused(Code::Unauthenticated, "CREDENTIAL_REVOKED"));
    let ended = loop {
        match tail.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Err("the stream ended without a reason".into()),
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&ended), "CREDENTIAL_REVOKED");
    Ok(())
}

// REQ: IAM-13
#[tokio::test(flavor = "multi_thread")]
async fn uses_are_counted_and_written_behind() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let (server, client) = started(folder.path()).await?;
    let (id, secret) = create(&client, "viewer").await?;
    for _ in 0..5 {
        assert!(read(&server, &secret, "acme").await?.is_ok());
    }
    let get = pb::GetCredentialRequest {
        tenant: "acme".to_owned(),
        id,
        ..pb::GetCredentialRequest::default()
    };
    wait::until_async("uses to be written", async || {
        let found: pb::Credential = client.ask(GET, &get, None).await?;
        Ok((found.request_count == 5 && found.last_used_at.is_some()).then_some(()))
    })
    .await?;
    for _ in 0..3 {
        assert!(read(&server, &secret, "acme").await?.is_ok());
    }
    server.stop()?;
    let server = Server::start(folder.path())?;
    let client = Client::connect(&server).await?;
    let found: pb::Credential = client.ask(GET, &get, None).await?;
    assert_eq!(found.request_count, 8, "a clean end writes down what is left");
    Ok(())
}
