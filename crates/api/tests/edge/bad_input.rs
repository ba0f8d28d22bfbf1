//! What no well-behaved client sends, over a real port: each is refused with a
//! stable code that names the field, nothing is written, and the server goes on.

use crate::world::{World, entry, named, refused};
use exchequer_proto::audit::v1 as pba;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::tenants::v1 as pb;
use prost::Message as _;
use prost_types::value::Kind;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

/// Sends bytes as they are.
#[derive(Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut as _;
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        use bytes::Buf as _;
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}

async fn send(world: &World, path: &'static str, bytes: Vec<u8>) -> Status {
    let mut client = tonic::client::Grpc::new(world.channel.clone());
    client.ready().await.unwrap();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    client.unary(Request::new(bytes), path, Raw).await.unwrap_err()
}

const CREATE: &str = "/exchequer.tenants.v1.TenantService/CreateTenant";
const APPEND: &str = "/exchequer.audit.v1.AuditService/AppendEntry";

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn malformed_bytes_are_named_so() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let records = world.records();
    // A text that is no UTF-8, one that is cut off, a wrong wire type, 150 levels.
    let cases: [(&str, Vec<u8>, &str, &str); 4] = [
        (CREATE, vec![0x1a, 2, 0xff, 0xfe], "REQUEST_MALFORMED", "name"),
        (CREATE, vec![0x1a, 200, b'x'], "REQUEST_MALFORMED", "name"),
        (CREATE, vec![0x18, 1], "REQUEST_MALFORMED", "name"),
        (APPEND, deep(150), "REQUEST_TOO_DEEP", "entry.after"),
    ];
    for (path, bytes, code, field) in cases {
        let status = send(&world, path, bytes).await;
        assert_eq!((status.code(), named(&status).0.as_str()), (Code::InvalidArgument, code));
        assert_eq!(named(&status).1, [field]);
        assert!(!status.message().contains("Protobuf"), "{}", status.message());
    }
    let large = send(&world, CREATE, vec![0; exchequer_api::REQUEST_BYTES_MAX + 1]).await;
    assert_eq!(
        (large.code(), named(&large).0.as_str()),
        (Code::InvalidArgument, "REQUEST_TOO_LARGE")
    );
    for path in ["/exchequer.tenants.v1.TenantService/Nope", "/no.such.Service/Nope"] {
        let unknown = send(&world, path, Vec::new()).await;
        assert_eq!(
            (unknown.code(), named(&unknown).0.as_str()),
            (Code::Unimplemented, "METHOD_UNKNOWN")
        );
    }
    assert_eq!(world.records(), records, "nothing is written");
    world.append("acme", "still.there").await;
}

/// An entry whose `after` nests so deep.
fn deep(levels: usize) -> Vec<u8> {
    let request = pba::AppendEntryRequest {
        tenant: "acme".to_owned(),
        entry: Some(pba::NewEntry { after: Some(nested(levels)), ..entry("deep") }),
        write: None,
    };
    request.encode_to_vec()
}

fn nested(levels: usize) -> prost_types::Value {
    let mut value = prost_types::Value { kind: Some(Kind::BoolValue(true)) };
    for _ in 0..levels {
        let list = prost_types::ListValue { values: vec![value] };
        value = prost_types::Value { kind: Some(Kind::ListValue(list)) };
    }
    value
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn bad_fields_are_named() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let records = world.records();
    let at = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
    let long = "x".repeat(10_000);
    for id in ["", "UPPER", "a b", long.as_str()] {
        let request =
            pb::CreateTenantRequest { id: id.to_owned(), name: "A".to_owned(), ..<_>::default() };
        let status = refused(world.tenants.create_tenant(request).await, "ID_INVALID");
        assert_eq!(named(&status).1, ["id"]);
        assert!(!status.message().contains("xxxx"));
    }
    let write = |write| pb::RenameTenantRequest {
        id: "acme".to_owned(),
        name: "B".to_owned(),
        write: Some(write),
    };
    for command_id in [long.as_str(), "two words", "é"] {
        let options = WriteOptions { command_id: command_id.to_owned(), ..<_>::default() };
        let status = refused(world.tenants.rename_tenant(write(options)).await, "ID_INVALID");
        assert_eq!(named(&status).1, ["write.command_id"]);
    }
    for (seconds, nanos) in
        [(i64::MAX, 0), (i64::MIN, 0), (-1, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000)]
    {
        let options = WriteOptions { not_after: at(seconds, nanos), ..<_>::default() };
        let status =
            refused(world.tenants.rename_tenant(write(options)).await, "TIMESTAMP_INVALID");
        assert_eq!(named(&status).1, ["write.not_after"]);
    }
    let list =
        pb::ListTenantsRequest { status: vec![1, 99, 0], page_size: 1_001, ..<_>::default() };
    let status = refused(world.tenants.list_tenants(list).await, "ENUM_UNKNOWN");
    assert_eq!(named(&status).1, ["status[1]", "status[2]", "page_size"]);
    let list = pb::ListTenantsRequest { page_token: long.clone(), ..<_>::default() };
    refused(world.tenants.list_tenants(list).await, "PAGE_TOKEN_INVALID");
    for value in [
        nested(33),
        prost_types::Value { kind: Some(Kind::NumberValue(f64::NAN)) },
        prost_types::Value { kind: None },
    ] {
        let entry = pba::NewEntry { before: Some(value), ..entry("bad") };
        let request =
            pba::AppendEntryRequest { tenant: "acme".to_owned(), entry: Some(entry), write: None };
        let status = refused(world.audit.append_entry(request).await, "VALUE_INVALID");
        assert_eq!(named(&status).1, ["entry.before"]);
    }
    assert_eq!(world.records(), records, "nothing is written");
}

// REQ: KER-13
#[tokio::test(flavor = "multi_thread")]
async fn large_commands_and_bad_metadata_are_refused() {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let records = world.records();
    let text = prost_types::Value { kind: Some(Kind::StringValue("x".repeat(300 * 1024))) };
    let entry = pba::NewEntry { after: Some(text), ..entry("large") };
    let request =
        pba::AppendEntryRequest { tenant: "acme".to_owned(), entry: Some(entry), write: None };
    let status = refused(world.audit.append_entry(request).await, "COMMAND_TOO_LARGE");
    assert_eq!(status.code(), Code::InvalidArgument);
    for (name, value) in [
        ("x-exchequer-actor", "two words"),
        ("x-exchequer-consistency", "no-token"),
        ("grpc-timeout", "soon"),
    ] {
        let mut request =
            Request::new(pb::GetTenantRequest { id: "acme".to_owned(), ..<_>::default() });
        request.metadata_mut().insert(name, value.parse().unwrap());
        let status = refused(world.tenants.get_tenant(request).await, "METADATA_INVALID");
        assert_eq!(named(&status).1, [name]);
    }
    let unknown = pb::GetTenantRequest { id: "nobody".to_owned(), ..<_>::default() };
    let status = refused(world.tenants.get_tenant(unknown).await, "TENANT_NOT_FOUND");
    assert_eq!((status.code(), named(&status).1), (Code::NotFound, vec!["id".to_owned()]));
    assert_eq!(world.records(), records, "nothing is written");
    assert!(!world.address.ip().is_unspecified());
}

// REQ: KER-09
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_no_view_reaches_ends_at_the_deadline() {
    let mut world = World::start().await;
    let token = exchequer_engine::Token::behind(exchequer_types::PartitionId(0), 1 << 40).encode();
    let mut request = crate::world::seeing(
        pb::GetTenantRequest { id: "platform".to_owned(), ..<_>::default() },
        &token,
    );
    request.set_timeout(std::time::Duration::from_millis(400));
    let status = refused(world.tenants.get_tenant(request).await, "VIEW_BEHIND");
    assert_eq!(status.code(), Code::Unavailable);
}
