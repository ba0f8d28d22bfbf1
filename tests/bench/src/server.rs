//! The server as a process: idle memory, and commands through gRPC on loopback.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exchequer_proto::audit::v1 as audit;
use exchequer_proto::audit::v1::audit_service_client::AuditServiceClient;
use exchequer_proto::tenants::v1 as tenants;
use exchequer_proto::tenants::v1::tenant_service_client::TenantServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::report::Figure;
use crate::world::resident_bytes;
use crate::{Args, Failure};

pub(crate) const CONNECTIONS: usize = 8;
const CALLERS: usize = 1_000;
pub(crate) const TENANTS: usize = 100;

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// `Bearer` and the token that the first start has shown.
    pub(crate) bearer: MetadataValue<Ascii>,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of `EXCHEQUER_BIN` on a new folder, with settings as variables.
pub(crate) fn start(settings: &[(&str, &str)]) -> Result<Server, Failure> {
    let program = std::env::var_os("EXCHEQUER_BIN").ok_or("EXCHEQUER_BIN names the server")?;
    let folder = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let mut child = Command::new(program)
        .args(["run", "--listen", &address, "--data"])
        .arg(folder.path())
        .envs(settings.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = child.stdout.take().ok_or("no standard output")?;
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    // The token stands before the calls to try.
    let greeting: Vec<String> = lines.take_while(|line| !line.contains("/readyz")).collect();
    let token = greeting.iter().find_map(|line| line.trim().strip_prefix("token "));
    let token = token.ok_or("the server ended before it was ready")?;
    let bearer = format!("Bearer {}", token.trim()).parse()?;
    Ok(Server { child, address, bearer, _folder: folder })
}

/// A request with the credential that every call presents.
pub(crate) fn with<T>(bearer: &MetadataValue<Ascii>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", bearer.clone());
    request
}

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let server = start(&[])?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = resident_bytes(&server.child.id().to_string()) as f64 / 1e6;
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(Channel::from_shared(format!("http://{}", server.address))?.connect().await?);
    }
    let mut client = TenantServiceClient::new(channels[0].clone());
    for n in 0..TENANTS {
        let request = tenants::CreateTenantRequest {
            id: format!("t{n}"),
            name: "T".to_owned(),
            ..tenants::CreateTenantRequest::default()
        };
        client.create_tenant(with(&server.bearer, request)).await?;
    }
    let commands = 50_000 * args.scale;
    let elapsed = appends(&channels, &server.bearer, commands).await?;
    let rate = commands as f64 / elapsed.as_secs_f64();
    Ok(vec![
        Figure::new("grpc", "idle process, resident MB", idle, Some(("<", 100.0))),
        Figure::new("grpc", "commands/s over loopback, all views running", rate, None),
    ])
}

pub(crate) async fn appends(
    channels: &[Channel],
    bearer: &MetadataValue<Ascii>,
    commands: usize,
) -> Result<Duration, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let next = Arc::clone(&next);
        let bearer = bearer.clone();
        let mut client = AuditServiceClient::new(channels[caller % CONNECTIONS].clone());
        #[expect(clippy::disallowed_methods, reason = "callers are no part of the platform")]
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= commands {
                    return Ok::<(), Status>(());
                }
                let entry = audit::NewEntry {
                    action: "invoice.downloaded".to_owned(),
                    actor: "u-1".to_owned(),
                    resource: Some(audit::Resource {
                        r#type: "invoice".to_owned(),
                        id: "2026-000123".to_owned(),
                    }),
                    ..audit::NewEntry::default()
                };
                let request = audit::AppendEntryRequest {
                    tenant: format!("t{}", n % TENANTS),
                    entry: Some(entry),
                    write: None,
                };
                client.append_entry(with(&bearer, request)).await?;
            }
        })
    });
    for caller in futures::future::join_all(callers).await {
        caller??;
    }
    Ok(begun.elapsed())
}
