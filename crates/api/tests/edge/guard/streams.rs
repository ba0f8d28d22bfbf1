//! Streams end when their caller may not read on.

use std::time::Duration;

use exchequer_access::Principal;
use exchequer_domain_access as domain;
use exchequer_proto::audit::v1 as pb;
use exchequer_types::{ActorId, Slug};
use tonic::{Code, Status, Streaming};

use super::{Guarded, whole, with};
use crate::world::named;

/// A stream must end within a second; a busy machine gets more.
const DEADLINE: Duration = Duration::from_secs(10);

async fn tail(guarded: &mut Guarded, token: &str) -> Streaming<pb::TailEntriesResponse> {
    let ask = pb::TailEntriesRequest { tenant: "acme".to_owned(), ..<_>::default() };
    guarded.world.audit.tail_entries(with(token, ask)).await.unwrap().into_inner()
}

async fn ended(mut stream: Streaming<pb::TailEntriesResponse>) -> Status {
    let end = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended without a reason"),
                Err(status) => return status,
            }
        }
    };
    tokio::time::timeout(DEADLINE, end).await.unwrap()
}

async fn reader() -> (Guarded, String) {
    let guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    let role = domain::CreateRole {
        role: Slug::parse("reader").unwrap(),
        name: "Reader".to_owned(),
        permissions: [exchequer_access::Permission::AuditRead].into(),
    };
    guarded.access("acme", domain::Command::CreateRole(role)).await;
    let token = guarded.member("acme", "rita", &[("reader", whole())]).await;
    (guarded, token)
}

// REQ: IAM-13
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_credential() {
    let (mut guarded, token) = reader().await;
    let mut stream = tail(&mut guarded, &token).await;
    assert!(stream.message().await.unwrap().is_some());
    let remove = domain::RemoveMember { member: ActorId::parse("rita").unwrap() };
    guarded.access("acme", domain::Command::RemoveMember(remove)).await;
    let status = ended(stream).await;
    assert_eq!(
        (status.code(), named(&status).0.as_str()),
        (Code::Unauthenticated, "CREDENTIAL_REVOKED")
    );
}

// REQ: IAM-10
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_permission() {
    let (mut guarded, token) = reader().await;
    let stream = tail(&mut guarded, &token).await;
    let update = domain::UpdateRole {
        role: Slug::parse("reader").unwrap(),
        name: None,
        add_permissions: [exchequer_access::Permission::FlagsRead].into(),
        remove_permissions: [exchequer_access::Permission::AuditRead].into(),
    };
    guarded.access("acme", domain::Command::UpdateRole(update)).await;
    let status = ended(stream).await;
    assert_eq!(
        (status.code(), named(&status).0.as_str()),
        (Code::PermissionDenied, "PERMISSION_DENIED")
    );
    // Another grant lets it begin anew.
    let rita = Principal::Member(ActorId::parse("rita").unwrap());
    guarded.grant("acme", rita, "owner", whole()).await;
    assert!(tail(&mut guarded, &token).await.message().await.unwrap().is_some());
}
