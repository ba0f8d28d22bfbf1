//! A cached read through the whole server, with access control and the access log, beside
//! a bare server of the same gRPC library that answers with the same message: how many of
//! the library's calls are left. Both are processes of their own, asked in turns by the
//! same client over the same number of connections.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use exchequer_proto::access::v1 as access;
use exchequer_proto::access::v1::credential_service_client::CredentialServiceClient;
use exchequer_proto::tenants::v1 as tenants;
use exchequer_proto::tenants::v1::tenant_service_client::TenantServiceClient;
use prost::Message as _;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::report::Figure;
use crate::server::{self, with};
use crate::{Args, Failure, say};

const NAME: &str = "edge";
const TENANT: &str = "t0";
const CONNECTIONS: usize = 8;
const CALLERS: usize = 256;
const CALLS: usize = 60_000;
const ROUNDS: usize = 7;
/// Never reached here, but counted.
const SETTINGS: [(&str, &str); 1] = [("EXCHEQUER__LIMITS__REQUESTS_PER_MINUTE", "60000000")];

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let server = server::start(&SETTINGS)?;
    let whole = connect(&server.address).await?;
    let bearer = prepare(&whole[0], &server.bearer).await?;
    let mut client = TenantServiceClient::new(whole[0].clone());
    let reply = client.get_tenant(with(&bearer, question())).await?.into_inner();
    let echo = EchoServer::start(&reply)?;
    let bare = connect(&echo.address).await?;
    // Once for the caches of both.
    for channels in [&whole, &bare] {
        calls(channels, &bearer, CALLS / 4).await?;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let of_whole = calls(&whole, &bearer, CALLS * args.scale).await?;
        let of_bare = calls(&bare, &bearer, CALLS * args.scale).await?;
        rounds.push((of_whole / of_bare, of_whole, of_bare));
    }
    rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, of_whole, of_bare) = rounds[rounds.len() / 2];
    Ok(vec![
        Figure::new(NAME, "cached reads/s through the whole server", of_whole, None),
        Figure::new(NAME, "the same message from a bare gRPC server, calls/s", of_bare, None),
        Figure::new(NAME, "ratio, median of rounds in turns", ratio, Some((">=", 0.6))),
    ])
}

fn question() -> tenants::GetTenantRequest {
    tenants::GetTenantRequest { id: TENANT.to_owned(), ..<_>::default() }
}

async fn connect(address: &str) -> Result<Vec<Channel>, Failure> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(Channel::from_shared(format!("http://{address}"))?.connect().await?);
    }
    Ok(channels)
}

/// A tenant, and a token of its own that may read.
async fn prepare(
    channel: &Channel,
    owner: &MetadataValue<Ascii>,
) -> Result<MetadataValue<Ascii>, Failure> {
    let create = tenants::CreateTenantRequest {
        id: TENANT.to_owned(),
        name: "Tenant 0".to_owned(),
        ..<_>::default()
    };
    TenantServiceClient::new(channel.clone()).create_tenant(with(owner, create)).await?;
    let create = access::CreateCredentialRequest {
        tenant: TENANT.to_owned(),
        kind: access::CredentialKind::Service.into(),
        name: "bench".to_owned(),
        grants: vec![access::RoleGrant { role: "viewer".to_owned(), scope: None }],
        ..<_>::default()
    };
    let mut client = CredentialServiceClient::new(channel.clone());
    let made = client.create_credential(with(owner, create)).await?.into_inner();
    Ok(format!("Bearer {}", made.secret).parse()?)
}

/// Calls per second.
async fn calls(
    channels: &[Channel],
    bearer: &MetadataValue<Ascii>,
    calls: usize,
) -> Result<f64, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let (next, bearer) = (Arc::clone(&next), bearer.clone());
        let mut client = TenantServiceClient::new(channels[caller % CONNECTIONS].clone());
        #[expect(clippy::disallowed_methods, reason = "callers are no part of the platform")]
        tokio::spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < calls {
                client.get_tenant(with(&bearer, question())).await?;
            }
            Ok::<(), Status>(())
        })
    });
    for caller in futures::future::join_all(callers).await {
        caller??;
    }
    Ok(calls as f64 / begun.elapsed().as_secs_f64())
}

/// This program again, as a bare server.
struct EchoServer {
    child: Child,
    address: String,
}

impl EchoServer {
    fn start(reply: &tenants::Tenant) -> Result<Self, Failure> {
        use std::fmt::Write as _;
        let mut text = String::new();
        for byte in reply.encode_to_vec() {
            write!(text, "{byte:02x}")?;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--echo-on", &address, "--echo", &text])
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let server = Self { child, address };
        if line.trim() == "listening" { Ok(server) } else { Err("the echo did not start".into()) }
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers every call with the message that `text` gives in hexadecimal digits.
pub(crate) async fn serve(address: &str, text: &str) -> Result<(), Failure> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16);
    let bytes: Result<Vec<u8>, _> = (0..text.len()).step_by(2).map(byte).collect();
    let reply = Arc::new(tenants::Tenant::decode(&bytes?[..])?);
    let listener = tokio::net::TcpListener::bind(address).await?;
    say("listening");
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder().add_service(Echo { reply }).serve_with_incoming(incoming).await?;
    Ok(())
}

/// As generated services are, with nothing behind it.
#[derive(Clone)]
struct Echo {
    reply: Arc<tenants::Tenant>,
}

impl NamedService for Echo {
    const NAME: &'static str = "exchequer.tenants.v1.TenantService";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = Answer(Arc::clone(&self.reply));
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(answer, request).await) })
    }
}

struct Answer(Arc<tenants::Tenant>);

impl UnaryService<tenants::GetTenantRequest> for Answer {
    type Response = tenants::Tenant;
    type Future = BoxFuture<Response<tenants::Tenant>, Status>;

    fn call(&mut self, _: Request<tenants::GetTenantRequest>) -> Self::Future {
        let reply = tenants::Tenant::clone(&self.0);
        Box::pin(async move { Ok(Response::new(reply)) })
    }
}
