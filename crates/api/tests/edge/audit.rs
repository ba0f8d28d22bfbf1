//! The audit log's calls over a real port.

use std::time::Duration;

use crate::world::{Reply, World, entry, named, refused, seeing, write};
use exchequer_engine::Settings;
use exchequer_proto::audit::v1 as pb;
use exchequer_proto::audit::v1::audit_service_client::AuditServiceClient;
use prost_types::value::Kind;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_secs(60);

fn list(tenant: &str) -> pb::ListEntriesRequest {
    pb::ListEntriesRequest { tenant: tenant.to_owned(), ..pb::ListEntriesRequest::default() }
}

fn tail(tenant: &str, cursor: &str) -> pb::TailEntriesRequest {
    pb::TailEntriesRequest { tenant: tenant.to_owned(), cursor: cursor.to_owned() }
}

// REQ: AUD-01, AUD-02
#[tokio::test(flavor = "multi_thread")]
async fn entries_are_appended_listed_and_filtered() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let value = |kind| Some(prost_types::Value { kind: Some(kind) });
    let request = pb::AppendEntryRequest {
        tenant: "acme".to_owned(),
        entry: Some(pb::NewEntry {
            before: value(Kind::NumberValue(1.5)),
            after: value(Kind::NullValue(0)),
            occurred_at: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            ..entry("invoice.paid")
        }),
        write: Some(write("a-1")),
    };
    let mut request = Request::new(request);
    request.metadata_mut().insert("x-exchequer-actor", "svc-billing".parse().unwrap());
    let appended = Reply::of(world.audit.append_entry(request).await.unwrap());
    // The tenant's creation is entry 1.
    assert_eq!((appended.message.seq, appended.command_id.as_str()), (2, "a-1"));
    let batch = pb::BatchAppendEntriesRequest {
        tenant: "acme".to_owned(),
        entries: vec![entry("invoice.seen"), entry("invoice.paid"), entry("invoice.seen")],
        write: None,
    };
    let batch = Reply::of(world.audit.batch_append_entries(batch).await.unwrap());
    assert_eq!((batch.message.first_seq, batch.message.count), (3, 3));
    let one = pb::BatchAppendEntriesRequest {
        tenant: "acme".to_owned(),
        entries: vec![entry("invoice.seen")],
        write: None,
    };
    let one = Reply::of(world.audit.batch_append_entries(one).await.unwrap());
    assert_eq!((one.message.first_seq, one.message.count), (6, 1));
    let all = world.audit.list_entries(seeing(list("acme"), &one.token)).await.unwrap();
    let all = all.into_inner().entries;
    assert_eq!(all.iter().map(|it| it.seq).collect::<Vec<_>>(), [6, 5, 4, 3, 2, 1]);
    let said = "\"after\":null,\"appended_by\":\"svc-billing\",\"before\":1.5";
    assert!(all[4].json.contains(said), "{}", all[4].json);
    assert_eq!(all[4].occurred_at.as_ref().unwrap().seconds, 1_700_000_000);
    let mut paid =
        pb::ListEntriesRequest { action: "invoice.paid".to_owned(), page_size: 1, ..list("acme") };
    let mut seqs = Vec::new();
    loop {
        let page = world.audit.list_entries(paid.clone()).await.unwrap().into_inner();
        seqs.extend(page.entries.iter().map(|it| it.seq));
        paid.page_token = page.next_page_token;
        if paid.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seqs, [4, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_entry_keeps_all_of_them_out() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let batch = pb::BatchAppendEntriesRequest {
        tenant: "acme".to_owned(),
        entries: vec![
            entry("fine"),
            pb::NewEntry { actor: "two words".to_owned(), ..entry("bad") },
        ],
        write: None,
    };
    let status = refused(world.audit.batch_append_entries(batch).await, "ENTRY_INVALID");
    assert_eq!(named(&status).1, ["entries[1].actor"]);
    assert!(status.message().starts_with("entries[1].actor must be "), "{}", status.message());
    let one = pb::AppendEntryRequest {
        tenant: "acme".to_owned(),
        entry: Some(pb::NewEntry { actor: "two words".to_owned(), ..entry("bad") }),
        write: None,
    };
    let status = refused(world.audit.append_entry(one).await, "ENTRY_INVALID");
    assert_eq!(named(&status).1, ["entry.actor"]);
    assert!(status.message().starts_with("entry.actor must be "), "{}", status.message());
    let none = pb::BatchAppendEntriesRequest { tenant: "acme".to_owned(), ..<_>::default() };
    refused(world.audit.batch_append_entries(none).await, "ENTRIES_COUNT_INVALID");
    let nobody = pb::AppendEntryRequest {
        tenant: "nobody".to_owned(),
        entry: Some(entry("fine")),
        write: None,
    };
    let status = refused(world.audit.append_entry(nobody).await, "TENANT_NOT_FOUND");
    assert_eq!(named(&status).1, ["tenant"]);
    let appended = world.append("acme", "fine").await;
    assert_eq!(appended.message.seq, 2);
}

// REQ: AUD-12, KER-09
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_from_its_cursor() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    world.tenant("other").await;
    let token = world.append("acme", "first").await.token;
    let mut entries =
        world.audit.tail_entries(seeing(tail("acme", ""), &token)).await.unwrap().into_inner();
    let mut cursor = String::new();
    for seq in 1..=2 {
        let item = entries.message().await.unwrap().unwrap();
        assert_eq!(item.entry.unwrap().seq, seq);
        cursor = item.cursor;
    }
    // Live.
    world.append("other", "elsewhere").await;
    world.append("acme", "second").await;
    let item = entries.message().await.unwrap().unwrap();
    assert_eq!(item.entry.unwrap().action, "second");
    drop(entries);
    world.append("acme", "third").await;
    let mut again = world.audit.tail_entries(tail("acme", &cursor)).await.unwrap().into_inner();
    for action in ["second", "third"] {
        let item = again.message().await.unwrap().unwrap();
        assert_eq!(item.entry.unwrap().action, action);
    }
    let foreign = refused(world.audit.tail_entries(tail("other", &cursor)).await, "CURSOR_INVALID");
    assert_eq!(named(&foreign).1, ["cursor"]);
    refused(world.audit.tail_entries(tail("nobody", "")).await, "TENANT_NOT_FOUND");
    world.stopping.send_replace(true);
    let end = again.message().await.unwrap_err();
    assert_eq!((end.code(), named(&end).0.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    assert!(again.message().await.is_ok_and(|it| it.is_none()));
}

// REQ: KER-11
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_view_goes_on_under_its_tail() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let mut entries = loop {
        match world.audit.tail_entries(tail("acme", "")).await {
            Ok(entries) => break entries.into_inner(),
            Err(status) => assert_eq!(named(&status).0, "TENANT_NOT_FOUND"),
        }
    };
    let rebuild = exchequer_proto::system::v1::RebuildViewRequest { view: "audit".to_owned() };
    assert_eq!(world.system.rebuild_view(rebuild).await.unwrap().into_inner().generation, 2);
    let mut expected = 1;
    while world.platform.view("audit").unwrap().active().number == 1 || expected < 20 {
        world.append("acme", "more").await;
        let item = entries.message().await.unwrap().unwrap();
        assert_eq!(item.entry.unwrap().seq, expected);
        expected += 1;
    }
}

/// Many calls at once; gives those that are refused.
async fn flood(audit: &AuditServiceClient<Channel>) -> Vec<Status> {
    let calls = (0..200).map(|_| {
        let mut audit = audit.clone();
        let (tenant, entry) = ("acme".to_owned(), Some(entry("flood")));
        let request = pb::AppendEntryRequest { tenant, entry, write: None };
        async move { audit.append_entry(request).await }
    });
    let results = futures::future::join_all(calls).await;
    results.into_iter().filter_map(Result::err).collect()
}

// REQ: KER-15
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_is_refused_with_a_hint() {
    let settings = Settings { tenant_commands_max: 2, ..Settings::default() };
    let mut world = World::start_with(settings).await;
    world.tenant("acme").await;
    // How many are undecided at once is up to who gets to a processor when.
    let refused = async {
        loop {
            let refusals = flood(&world.audit).await;
            if !refusals.is_empty() {
                break refusals;
            }
        }
    };
    for status in tokio::time::timeout(PATIENCE, refused).await.unwrap() {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(named(&status).0, "TENANT_OVERLOADED");
        assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    }
    world.append("acme", "afterwards").await;
}
