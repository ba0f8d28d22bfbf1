//! What no client of ours would send, over the real port: each gets a typed
//! error, nothing is written, and the process goes on.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use bytes::Bytes;
use exchequer_e2e::client::{
    APPEND, APPEND_BATCH, CANCEL, CREATE, GET_TENANT, LIST_ENTRIES, LIST_TENANTS, RENAME, SCHEDULE,
};
use exchequer_e2e::{Client, Random, Res, Sent, Server, raw, reason, wait};
use exchequer_proto::audit::v1 as audit;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::tenants::v1 as tenants;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const PATHS: &[&str] = &[
    CREATE,
    RENAME,
    SCHEDULE,
    CANCEL,
    APPEND,
    APPEND_BATCH,
    GET_TENANT,
    LIST_TENANTS,
    LIST_ENTRIES,
];
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A server with one tenant, and what its journal holds.
async fn started() -> Res<(tempfile::TempDir, Server, Client, Vec<u64>)> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let client = Client::connect(&server).await?;
    client.answer(&Sent::create("acme", "c-1")).await?;
    let offsets = offsets(&client).await?;
    Ok((folder, server, client, offsets))
}

/// Where each partition of the journal ends, once nothing more comes.
async fn offsets(client: &Client) -> Res<Vec<u64>> {
    let mut last = Vec::new();
    wait::until_async("the journal to rest", async || {
        let partitions = client.status().await?.partitions;
        let now: Vec<u64> = partitions.iter().map(|it| it.offset).collect();
        let rests = core::mem::replace(&mut last, now) == last;
        Ok(rests.then(|| last.clone()))
    })
    .await
}

/// It is the same process, it answers, and nothing was written.
async fn unharmed(mut server: Server, client: &Client, before: &[u64]) -> Res<()> {
    assert!(server.is_alive()?, "{}", server.output());
    assert!(server.is_ready(), "{}", server.output());
    assert_eq!(offsets(client).await?, before, "nothing was written");
    assert!(!server.output().contains("panicked"), "{}", server.output());
    let fresh = Client::connect(&server).await?;
    fresh.answer(&Sent::append("acme", "still-here", 0)).await?;
    Ok(())
}

async fn refused(client: &Client, path: &'static str, message: impl Into<Bytes>) -> Res<Status> {
    match raw::call(&client.channel, path, message.into(), None).await {
        Ok(_) => Err(format!("{path} took it").into()),
        Err(status) => Ok(status),
    }
}

/// The code and reason, and the field that the error names.
fn assert_named(status: &Status, expected: &str, field: &str) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::InvalidArgument, expected),
        "{status:?}"
    );
    let fields = status.get_details_bad_request().map(|it| it.field_violations).unwrap_or_default();
    let named = fields.iter().any(|it| it.field == field);
    assert!(field.is_empty() || named, "does not name {field}: {fields:?}");
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_http_harm_nobody() -> Res<()> {
    let (_folder, server, client, before) = started().await?;
    let mut random = Random::new(11, 11);
    for n in 0..200 {
        let mut stream = TcpStream::connect(&server.address)?;
        stream.set_read_timeout(Some(wait::PATIENCE))?;
        let mut bytes = if n % 2 == 0 { PREFACE.to_vec() } else { Vec::new() };
        let count = random.below(4_000) as usize;
        bytes.extend(random.bytes(count));
        // It may hang up before it has read all.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    unharmed(server, &client, &before).await
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_do_not_decode_are_named_so() -> Res<()> {
    let (_folder, server, client, before) = started().await?;
    let mut random = Random::new(12, 12);
    for &path in PATHS {
        // Field 1 says that it is a text of 5 bytes, and there are 2.
        let cut = refused(&client, path, vec![0x0a, 5, b'a', b'b']).await?;
        assert_named(&cut, "REQUEST_MALFORMED", "");
        let utf8 = refused(&client, path, vec![0x0a, 2, 0xc3, 0x28]).await?;
        assert_named(&utf8, "REQUEST_MALFORMED", "");
        let number = refused(&client, path, vec![0x08, 0xff]).await?;
        assert_named(&number, "REQUEST_MALFORMED", "");
        for _ in 0..50 {
            let count = 1 + random.below(300) as usize;
            // By chance these are fields that nobody knows.
            let called = raw::call(&client.channel, path, random.bytes(count).into(), None).await;
            let Err(status) = called else { continue };
            assert!(!reason(&status).is_empty(), "{path}: {status:?}");
            assert_ne!(status.code(), Code::Internal, "{path}: {status:?}");
        }
    }
    let status = refused(&client, "/exchequer.tenants.v1.TenantService/NoSuch", vec![]).await?;
    assert_eq!(reason(&status), "METHOD_UNKNOWN");
    unharmed(server, &client, &before).await
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_by_size() -> Res<()> {
    let (_folder, server, client, before) = started().await?;
    for &path in PATHS {
        let request = refused(&client, path, vec![0; 2 << 20]).await?;
        assert_eq!(reason(&request), "REQUEST_TOO_LARGE", "{path}: {request:?}");
    }
    let rename = tenants::RenameTenantRequest {
        id: "acme".to_owned(),
        name: "n".repeat(300 << 10),
        write: None,
    };
    let command = refused(&client, RENAME, rename.encode_to_vec()).await?;
    assert_named(&command, "COMMAND_TOO_LARGE", "");
    let deep = b"\x0a\x04acme\x12".iter().copied().chain([0x0a; 10_000]).collect::<Vec<u8>>();
    let status = refused(&client, APPEND, deep).await?;
    assert!(!reason(&status).is_empty(), "{status:?}");
    unharmed(server, &client, &before).await
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_absurd_are_named() -> Res<()> {
    let (_folder, server, client, before) = started().await?;
    for id in [String::new(), "x".repeat(10_000), "UPPER".to_owned(), "a b".to_owned()] {
        let create = Sent::create(&id, "c-2").message;
        assert_named(&refused(&client, CREATE, create).await?, "ID_INVALID", "id");
        let append = Sent::append(&id, "a-2", 0).message;
        assert_named(&refused(&client, APPEND, append).await?, "ID_INVALID", "tenant");
        let get = tenants::GetTenantRequest { id, ..<_>::default() }.encode_to_vec();
        assert_named(&refused(&client, GET_TENANT, get).await?, "ID_INVALID", "id");
    }
    for command_id in ["x".repeat(10_000), "a\nb".to_owned()] {
        let sent = Sent::cancel("acme", &command_id).message;
        assert_named(&refused(&client, CANCEL, sent).await?, "ID_INVALID", "write.command_id");
    }
    for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, i32::MAX)] {
        let at = Some(prost_types::Timestamp { seconds, nanos });
        let schedule = tenants::ScheduleClosingRequest { id: "acme".to_owned(), at, write: None };
        let status = refused(&client, SCHEDULE, schedule.encode_to_vec()).await?;
        assert_named(&status, "TIMESTAMP_INVALID", "at");
        let cancel = tenants::CancelClosingRequest {
            id: "acme".to_owned(),
            write: Some(WriteOptions { not_after: at, ..WriteOptions::default() }),
        };
        let status = refused(&client, CANCEL, cancel.encode_to_vec()).await?;
        assert_named(&status, "TIMESTAMP_INVALID", "write.not_after");
        let list = audit::ListEntriesRequest {
            tenant: "acme".to_owned(),
            from: at,
            ..audit::ListEntriesRequest::default()
        };
        let status = refused(&client, LIST_ENTRIES, list.encode_to_vec()).await?;
        assert_named(&status, "TIMESTAMP_INVALID", "from");
    }
    let list = tenants::ListTenantsRequest { status: vec![99], ..<_>::default() };
    assert_named(
        &refused(&client, LIST_TENANTS, list.encode_to_vec()).await?,
        "ENUM_UNKNOWN",
        "status[0]",
    );
    let list = tenants::ListTenantsRequest { page_size: u32::MAX, ..<_>::default() };
    assert_named(
        &refused(&client, LIST_TENANTS, list.encode_to_vec()).await?,
        "PAGE_SIZE_INVALID",
        "page_size",
    );
    let status = refused(
        &client,
        GET_TENANT,
        tenants::GetTenantRequest { id: "nobody".to_owned(), ..<_>::default() }.encode_to_vec(),
    )
    .await?;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "TENANT_NOT_FOUND"));
    unharmed(server, &client, &before).await
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_connections_come_and_go() -> Res<()> {
    let (_folder, server, client, before) = started().await?;
    for round in 0..20 {
        let mut open = Vec::new();
        for n in 0..150 {
            let mut stream = TcpStream::connect(&server.address)?;
            // Some say nothing, some begin and go away in the middle.
            if (n + round) % 3 == 1 {
                stream.write_all(PREFACE)?;
            } else if (n + round) % 3 == 2 {
                stream.write_all(b"POST /exchequer.tenants.v1.TenantService/CreateTe")?;
            }
            open.push(stream);
        }
    }
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..100 {
        let client = Client::connect(&server).await?;
        calls.spawn(async move {
            let sent = Sent::append("nobody", &format!("dropped-{n}"), 0);
            // Dropped in the middle of the call.
            drop(
                tokio::time::timeout(core::time::Duration::from_micros(n * 20), client.send(&sent))
                    .await,
            );
        });
    }
    while calls.join_next().await.is_some() {}
    assert!(offsets(&client).await?.len() == before.len());
    let before = offsets(&client).await?;
    unharmed(server, &client, &before).await
}

// REQ: KER-13 OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_files_can_be_open_are_survived() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 200 && exec \"$@\"", "sh"]).arg(exchequer_e2e::program()?);
    let server = Server::start_with(folder.path(), &mut command)?;
    let client = Client::connect(&server).await?;
    client.answer(&Sent::create("acme", "c-1")).await?;
    let before = offsets(&client).await?;
    for _ in 0..3 {
        // As many as it can take, and some that wait to be taken.
        let open: Result<Vec<_>, _> =
            (0..260).map(|_| TcpStream::connect(&server.address)).collect();
        // Who was there before is served meanwhile.
        client.status().await?;
        drop(open?);
    }
    wait::until("it to take connections again", || Ok(server.is_ready().then_some(())))?;
    unharmed(server, &client, &before).await
}
