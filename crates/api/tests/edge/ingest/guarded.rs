//! Who may send for whom: asked for each event's tenant, and nobody learns which tenants
//! there are.

use std::time::Duration;

use exchequer_access::Permission;
use exchequer_api::limits::Defaults;
use exchequer_domain_access as domain;
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::ingest_service_client::IngestServiceClient;
use exchequer_types::{ActorId, Slug};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::client::{BATCH, ONE, event, post};
use super::grpc;
use crate::guard::{Guarded, whole, with};
use crate::world::named;

/// A stream must end within a second; a busy machine gets more.
const DEADLINE: Duration = Duration::from_secs(10);

async fn role(guarded: &Guarded, tenant: &str, key: &str, words: &[&str]) {
    let permissions = words.iter().map(|it| Permission::parse(it).unwrap()).collect();
    let create =
        domain::CreateRole { role: Slug::parse(key).unwrap(), name: key.to_owned(), permissions };
    guarded.access(tenant, domain::Command::CreateRole(create)).await;
}

// REQ: USE-02, IAM-16
#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_is_asked_for_and_none_is_given_away() {
    let guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    guarded.tenant("platform", "brand").await;
    role(&guarded, "acme", "sender", &["usage.ingest"]).await;
    role(&guarded, "acme", "reader", &["usage.read"]).await;
    let sender = guarded.service("acme", &[("sender", whole())]).await;
    let reader = guarded.service("acme", &[("reader", whole())]).await;
    let address = guarded.world.address;
    let list = format!(
        "[{},{},{},{},{}]",
        event("acme", "a", "1"),
        event("brand", "b", "1"),
        event("ghost", "c", "1"),
        event("brand", "d", "NaN"),
        event("acme", "e", "2"),
    );
    let bearer = |token: &str| format!("Bearer {token}");
    let authorization = bearer(&sender);
    let headers = [BATCH, ("authorization", authorization.as_str())];
    let reply = post(address, &headers, list.clone()).await;
    let hidden = "TENANT_NOT_FOUND tenant";
    assert_eq!(
        reply.verdicts(),
        ["ACCEPTED", hidden, hidden, "EVENT_DATA_INVALID data", "ACCEPTED"]
    );
    let verdicts = reply.json["verdicts"].as_array().unwrap();
    assert_eq!(verdicts[1]["message"], verdicts[2]["message"]);
    // Nothing of others is written, no refusal either.
    assert_eq!(guarded.world.usage.told().len(), 2);
    assert!(reply.headers.get("x-ratelimit-limit").is_some());
    // Without the permission, and without anybody.
    let authorization = bearer(&reader);
    let headers = [ONE, ("authorization", authorization.as_str())];
    let reply = post(address, &headers, event("acme", "f", "1")).await;
    assert_eq!(reply.error(), (403, "PERMISSION_DENIED".to_owned(), "tenant".to_owned()));
    let nobody = post(address, &[ONE], event("acme", "f", "1")).await;
    assert_eq!(nobody.error().0, 401);
    let wrong = post(address, &[ONE, ("authorization", "Bearer exq_svc_no")], "{}").await;
    assert_eq!(wrong.error().0, 401);
    assert_eq!(guarded.world.usage.told().len(), 2);
    // By gRPC alike.
    let mut client = IngestServiceClient::new(guarded.world.channel.clone());
    let events = vec![grpc::event("acme", "a", "1"), grpc::event("brand", "b", "1")];
    let request = pb::PublishEventsRequest { events };
    let reply = client.publish_events(with(&sender, request.clone())).await.unwrap().into_inner();
    assert_eq!((reply.accepted, reply.verdicts[1].code.as_str()), (1, "TENANT_NOT_FOUND"));
    assert!(client.publish_events(request).await.is_err());
}

// REQ: USE-02, IAM-13
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_counts_on_an_open_stream() {
    let guarded = Guarded::start().await;
    guarded.tenant("platform", "acme").await;
    role(&guarded, "acme", "sender", &["usage.ingest"]).await;
    let sender = guarded.member("acme", "sam", &[("sender", whole())]).await;
    let mut client = IngestServiceClient::new(guarded.world.channel.clone());
    let (requests, receiver) = mpsc::channel(1);
    let stream = with(&sender, ReceiverStream::new(receiver));
    let mut replies = client.stream_events(stream).await.unwrap().into_inner();
    let request = pb::StreamEventsRequest { events: vec![grpc::event("acme", "a", "1")] };
    requests.send(request.clone()).await.unwrap();
    assert_eq!(replies.message().await.unwrap().unwrap().accepted, 1);
    let update = domain::UpdateRole {
        role: Slug::parse("sender").unwrap(),
        name: None,
        add_permissions: [Permission::UsageRead].into(),
        remove_permissions: [Permission::UsageIngest].into(),
    };
    guarded.access("acme", domain::Command::UpdateRole(update)).await;
    requests.send(request).await.unwrap();
    let verdicts = replies.message().await.unwrap().unwrap().verdicts;
    let told = (verdicts[0].code.as_str(), verdicts[0].field.as_str());
    assert_eq!(told, ("PERMISSION_DENIED", "tenant"));
    // The stream itself ends with its credential.
    let revoke = domain::RemoveMember { member: ActorId::parse("sam").unwrap() };
    guarded.access("acme", domain::Command::RemoveMember(revoke)).await;
    let ended = tokio::time::timeout(DEADLINE, replies.message()).await.unwrap().unwrap_err();
    assert_eq!(named(&ended).0, "CREDENTIAL_REVOKED");
}

// REQ: USE-02
#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_too_often_is_told_when_to_come_again() {
    let guarded = Guarded::start_with(Defaults { requests_per_minute: 60, burst: Some(2) }).await;
    guarded.tenant("platform", "acme").await;
    role(&guarded, "acme", "sender", &["usage.ingest"]).await;
    let sender = guarded.service("acme", &[("sender", whole())]).await;
    let authorization = format!("Bearer {sender}");
    let headers = [ONE, ("authorization", authorization.as_str())];
    let mut last = post(guarded.world.address, &headers, event("acme", "a", "1")).await;
    for _ in 0..3 {
        last = post(guarded.world.address, &headers, event("acme", "a", "1")).await;
    }
    assert_eq!(last.error().0, 429);
    assert_eq!(last.error().1, "RATE_LIMITED");
    assert!(last.headers.get("retry-after").is_some());
}
