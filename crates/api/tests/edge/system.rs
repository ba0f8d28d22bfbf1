//! The operator's calls, health and reflection over a real port.

use std::sync::Arc;
use std::time::Duration;

use crate::world::{World, named, refused};
use bytes::Bytes;
use exchequer_codec::{encode_command, seal};
use exchequer_journal::Lane;
use exchequer_kernel::SealKey;
use exchequer_proto::journal::v1 as pbj;
use exchequer_proto::system::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::{PartitionId, partition_of};
use futures::StreamExt as _;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

/// A stream ends at once; a busy machine gets more.
const DEADLINE: Duration = Duration::from_secs(10);

// REQ: KER-08
#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_looked_up() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let mut request = pb::GetOutcomeRequest {
        tenant: "acme".to_owned(),
        command_id: "create-acme".to_owned(),
        issuer: String::new(),
        ..<_>::default()
    };
    let found = world.system.get_outcome(request.clone()).await.unwrap().into_inner();
    assert!(found.found);
    assert_eq!(found.outcome.unwrap().status(), pbj::OutcomeStatus::Accepted);
    assert_eq!(found.partition, partition_of(b"acme", 3).0);
    "never-sent".clone_into(&mut request.command_id);
    let found = world.system.get_outcome(request.clone()).await.unwrap().into_inner();
    assert_eq!(found, pb::GetOutcomeResponse::default());
    request.command_id.clear();
    let status = refused(world.system.get_outcome(request).await, "ID_INVALID");
    assert_eq!(named(&status).1, ["command_id"]);
}

// REQ: KER-11
#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_of_partitions_views_and_cursors() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let status =
        world.system.get_status(pb::GetStatusRequest::default()).await.unwrap().into_inner();
    assert_eq!(status.partitions.len(), 3);
    assert!(status.partitions.iter().all(|it| it.leading && it.epoch == 1 && it.breaks == 0));
    let views: Vec<_> = status.views.iter().map(|it| it.view.as_str()).collect();
    let expected = [
        "access",
        "audit",
        "catalogs",
        "dead-letters",
        "entitlements",
        "flags",
        "meters",
        "quotas",
        "subscriptions",
        "tenants",
        "timers",
    ];
    assert_eq!(views, expected);
    assert!(status.cursors.iter().any(|it| it.consumer == "adoption" && it.failure.is_empty()));
    let rebuild = pb::RebuildViewRequest { view: "nothing".to_owned() };
    let status = refused(world.system.rebuild_view(rebuild).await, "VIEW_UNKNOWN");
    assert!(status.message().contains("tenants"), "{}", status.message());
}

/// A rename that another deployment's gateway has sealed.
fn foreign(id: &str) -> Bytes {
    let rename = exchequer_domain_tenants::Rename { name: "Vouched".to_owned() };
    let command = Command::Tenants(exchequer_domain_tenants::Command::Rename(rename));
    let (kind, payload) = encode_command(&command).unwrap();
    let envelope = pbj::Envelope {
        stream: "acme".to_owned(),
        issuer: "api".to_owned(),
        id: id.to_owned(),
        r#type: kind.to_owned(),
        payload,
        actor: "u-1".to_owned(),
        ..pbj::Envelope::default()
    };
    seal(&SealKey::new(&[9; 32]), envelope)
}

async fn letters(world: &mut World, count: usize) -> Vec<pb::DeadLetter> {
    loop {
        let request = pb::ListDeadLettersRequest {
            page_size: 1,
            page_token: String::new(),
            ..<_>::default()
        };
        let mut found = Vec::new();
        let mut request = request;
        loop {
            let page = world.system.list_dead_letters(request.clone()).await.unwrap().into_inner();
            found.extend(page.dead_letters);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        if found.len() == count {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

// REQ: KER-07
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_replayed() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let partition = partition_of(b"acme", 3);
    let inputs = Arc::clone(&world.platform.ports.inputs);
    for record in [foreign("vouched"), Bytes::from_static(b"no command")] {
        inputs.submit(Lane::Commands, partition, record).await.unwrap();
    }
    let found = letters(&mut world, 2).await;
    assert_eq!(
        (found[0].reason.as_str(), found[0].stream.as_str()),
        ("RECORD_MAC_INVALID", "acme")
    );
    assert_eq!(found[0].record, foreign("vouched"));
    let request = pb::ReplayDeadLetterRequest { id: found[0].id.clone() };
    let replayed = world.system.replay_dead_letter(request).await.unwrap().into_inner();
    let outcome = replayed.outcome.unwrap();
    assert_eq!((outcome.status(), outcome.version), (pbj::OutcomeStatus::Accepted, 2));
    let replayed = loop {
        let found = letters(&mut world, 2).await;
        if found[0].replayed_at.is_some() {
            break found;
        }
        tokio::task::yield_now().await;
    };
    let told = &replayed[0];
    assert_eq!((&*told.replay_command_id, &*told.replay_status), ("vouched", "accepted"));
    assert_eq!((replayed[1].replayed_at, &*replayed[1].replay_status), (None, ""));
    assert_eq!(found[1].reason, "RECORD_MALFORMED");
    let request = pb::ReplayDeadLetterRequest { id: found[1].id.clone() };
    refused(world.system.replay_dead_letter(request).await, "RECORD_MALFORMED");
    for (id, code) in [
        ("0-0-0", "DEAD_LETTER_NOT_FOUND"),
        ("99-0-0", "DEAD_LETTER_NOT_FOUND"),
        ("x", "ID_INVALID"),
    ] {
        let request = pb::ReplayDeadLetterRequest { id: id.to_owned() };
        refused(world.system.replay_dead_letter(request).await, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_parked_is_released() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let request = pb::ListParkedTenantsRequest::default();
    let parked = world.system.list_parked_tenants(request).await.unwrap().into_inner();
    assert_eq!(parked, pb::ListParkedTenantsResponse::default());
    for (tenant, code) in [
        ("acme", "TENANT_NOT_PARKED"),
        ("~partition-1", "TENANT_NOT_PARKED"),
        ("~partition-3", "ID_INVALID"),
    ] {
        let request = pb::ReleaseTenantRequest { tenant: tenant.to_owned(), ..<_>::default() };
        refused(world.system.release_tenant(request).await, code);
    }
}

// REQ: KER-16
#[tokio::test(flavor = "multi_thread")]
async fn health_tells_the_truth() {
    let world = World::start().await;
    let mut health = HealthClient::new(world.channel.clone());
    let request = HealthCheckRequest { service: "exchequer.audit.v1.AuditService".to_owned() };
    let mut changes = health.watch(request).await.unwrap().into_inner();
    let mut serving = async |expected: bool| {
        while changes.message().await.unwrap().unwrap().status() as i32
            != if expected { 1 } else { 2 }
        {}
    };
    serving(true).await;
    world.platform.tail.set_leading(PartitionId(1), Ok(false));
    serving(false).await;
    world.platform.tail.set_leading(PartitionId(1), Ok(true));
    serving(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_shows_services_and_error_details() {
    let world = World::start().await;
    let mut client = ServerReflectionClient::new(world.channel.clone());
    let ask =
        |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let asked = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned())),
    ];
    let replies = client.server_reflection_info(futures::stream::iter(asked)).await.unwrap();
    let mut replies = replies.into_inner();
    let mut next = async || {
        let reply: ServerReflectionResponse = replies.message().await.unwrap().unwrap();
        reply.message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(services) = next().await else { panic!() };
    let names: Vec<_> = services.service.iter().map(|it| it.name.as_str()).collect();
    for name in ["tenants.v1.TenantService", "audit.v1.AuditService", "system.v1.SystemService"] {
        assert!(names.contains(&format!("exchequer.{name}").as_str()), "{names:?}");
    }
    assert!(matches!(next().await, MessageResponse::FileDescriptorResponse(_)));
}

/// How the stream ends.
async fn end<T>(mut stream: Streaming<T>) -> Status {
    let read = async {
        loop {
            match stream.message().await {
                Ok(item) => assert!(item.is_some(), "it ended without a reason"),
                Err(status) => return status,
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap()
}

// REQ: EDG-07
#[tokio::test(flavor = "multi_thread")]
async fn streams_of_health_and_reflection_end_when_the_server_stops() {
    let world = World::start().await;
    let mut health = HealthClient::new(world.channel.clone());
    let watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let asked = MessageRequest::ListServices(String::new());
    let asked = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
    // It never says that it has no more questions.
    let questions = futures::stream::iter([asked]).chain(futures::stream::pending());
    let mut reflection = ServerReflectionClient::new(world.channel.clone());
    let mut answers = reflection.server_reflection_info(questions).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    world.stopping.send_replace(true);
    for end in [end(watched).await, end(answers).await] {
        assert_eq!((end.code(), named(&end).0.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    }
    // Who only asks is answered to the end.
    let told = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(told.status(), ServingStatus::NotServing);
}

// REQ: EDG-07
#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_health_is_told_before_the_stream_ends() {
    let world = World::start().await;
    let mut health = HealthClient::new(world.channel.clone());
    let mut told = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let unknown = HealthCheckRequest { service: "exchequer.Nobody".to_owned() };
    let mut nobody = health.watch(unknown.clone()).await.unwrap().into_inner();
    let mut next = async || told.message().await.map(|it| it.unwrap().status());
    assert_eq!(next().await.unwrap(), ServingStatus::Serving);
    // A balancer that has sent it nothing new for a while.
    world.platform.drain();
    assert_eq!(next().await.unwrap(), ServingStatus::NotServing);
    world.stopping.send_replace(true);
    assert_eq!(named(&next().await.unwrap_err()).0, "SHUTTING_DOWN");
    let of_nobody = nobody.message().await.unwrap().unwrap().status();
    assert_eq!(of_nobody, ServingStatus::ServiceUnknown);
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);

    // Asked to end at once, without a delay for balancers.
    let world = World::start().await;
    let mut health = HealthClient::new(world.channel.clone());
    let mut told = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut next = async || told.message().await.map(|it| it.unwrap().status());
    assert_eq!(next().await.unwrap(), ServingStatus::Serving);
    world.stopping.send_replace(true);
    assert_eq!(next().await.unwrap(), ServingStatus::NotServing);
    assert_eq!(named(&next().await.unwrap_err()).0, "SHUTTING_DOWN");
}
