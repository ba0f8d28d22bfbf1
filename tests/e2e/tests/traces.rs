//! One call is one trace, from its caller through the record in the log to the views,
//! as a real OTLP receiver gets it; and the access log names it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use exchequer_e2e::{Client, Res, Sent, Server, program, raw, wait};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const SECRET: &str = "authorization=Bearer hunter2";

/// What a receiver has got.
#[derive(Clone, Debug, Default)]
struct Received {
    spans: Vec<Span>,
    resource: BTreeMap<String, String>,
    tokens: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Receiver(Arc<Mutex<Received>>);

impl Receiver {
    fn received(&self) -> Received {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for so many spans of this name in the trace.
    async fn named(&self, name: &str, count: usize) -> Res<Vec<Span>> {
        wait::until_async(&format!("{count} spans {name}"), async || {
            let spans = self.received().spans;
            let found = spans.into_iter().filter(|span| span.name == name).collect::<Vec<_>>();
            Ok((found.len() >= count).then_some(found))
        })
        .await
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let token = request.metadata().get("authorization").and_then(|it| it.to_str().ok());
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        received.tokens.extend(token.map(str::to_owned));
        for resource in request.into_inner().resource_spans {
            for attribute in resource.resource.into_iter().flat_map(|it| it.attributes) {
                if let Some(Value::StringValue(text)) = attribute.value.and_then(|it| it.value) {
                    received.resource.insert(attribute.key, text);
                }
            }
            received.spans.extend(resource.scope_spans.into_iter().flat_map(|it| it.spans));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A receiver on a port of its own; it goes with the set.
async fn receiver(tasks: &mut JoinSet<()>) -> Res<(Receiver, String)> {
    let receiver = Receiver::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let service = TraceServiceServer::new(receiver.clone());
    tasks.spawn(async move {
        let served = tonic::transport::Server::builder().add_service(service);
        // It ends with the test.
        let _ = served.serve_with_incoming(TcpIncoming::from(listener)).await;
    });
    Ok((receiver, endpoint))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    let attribute = span.attributes.iter().find(|it| it.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Everything of a call that is traced, as it was received.
async fn check_trace(receiver: &Receiver) -> Res<()> {
    let call =
        receiver.named("exchequer.tenants.v1.TenantService/CreateTenant", 1).await?.remove(0);
    assert_eq!((hex(&call.trace_id).as_str(), hex(&call.parent_span_id).as_str()), (TRACE, CALLER));
    assert_eq!(call.kind(), SpanKind::Server);
    assert_eq!(text(&call, "exchequer.tenant"), Some("acme"));
    let decide = receiver.named("decide", 1).await?.remove(0);
    assert_eq!(decide.parent_span_id, call.span_id, "the record in the log names the call");
    assert_eq!(text(&decide, "exchequer.outcome"), Some("accepted"));
    let append = receiver.named("append journal", 1).await?.remove(0);
    assert_eq!(append.parent_span_id, decide.span_id);
    for view in ["project tenants", "project audit"] {
        let project = receiver.named(view, 1).await?.remove(0);
        assert_eq!(project.parent_span_id, call.span_id, "{view}");
        assert!(project.end_time_unix_nano >= append.end_time_unix_nano, "{view}");
    }
    assert!(call.start_time_unix_nano <= decide.start_time_unix_nano);
    assert!(decide.end_time_unix_nano <= append.end_time_unix_nano);
    let all = receiver.received();
    assert!(all.spans.iter().all(|span| hex(&span.trace_id) == TRACE), "only what is sampled");
    let calls = all.spans.iter().filter(|span| span.kind() == SpanKind::Server);
    assert_eq!(calls.count(), 1, "calls without a trace are not sampled at a ratio of 0");
    assert_eq!(all.resource.get("service.name").map(String::as_str), Some("ledger"));
    assert!(all.tokens.iter().all(|token| token == "Bearer hunter2"));
    Ok(())
}

/// The line of the access log that says `has`.
fn line(server: &Server, has: &str) -> Res<serde_json::Value> {
    wait::until("a line of the access log", || {
        let output = server.output();
        let mut lines = output.lines().filter(|line| line.contains("exchequer::access"));
        let found = lines.find(|line| line.contains(has)).map(serde_json::from_str);
        Ok(found.transpose()?)
    })
}

// REQ: OPS-02
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_one_trace_and_one_line() -> Res<()> {
    let mut tasks = JoinSet::new();
    let (receiver, endpoint) = receiver(&mut tasks).await?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(program()?);
    command.envs([
        ("EXCHEQUER__ACCESS__ENABLED", "false"),
        ("EXCHEQUER__TELEMETRY__OTLP_ENDPOINT", &endpoint),
        ("EXCHEQUER__TELEMETRY__OTLP_HEADERS", SECRET),
        ("EXCHEQUER__TELEMETRY__SAMPLE_RATIO", "0"),
        ("EXCHEQUER__TELEMETRY__SERVICE_NAME", "ledger"),
    ]);
    let server = Server::start_with(folder.path(), &mut command)?;
    let client = Client::connect(&server).await?;
    let traced = [("traceparent", format!("00-{TRACE}-{CALLER}-01"))];
    let create = Sent::create("acme", "c-1");
    raw::call_with(&client.channel, create.path, create.message, &traced).await?;
    client.answer(&Sent::append("acme", "c-2", 10)).await?;
    let unsampled = [("traceparent", format!("00-{}-{CALLER}-00", TRACE.replace('4', "5")))];
    let rename = Sent::rename("acme", "c-3", "A name that is nobody's business", None);
    raw::call_with(&client.channel, rename.path, rename.message, &unsampled).await?;
    let nobody = Sent::rename("nobody", "c-4", "A", None);
    let refused = raw::call_with(&client.channel, nobody.path, nobody.message, &[]).await;
    assert!(refused.is_err());
    check_trace(&receiver).await?;

    let created = line(&server, "CreateTenant")?;
    assert_eq!(created["code"], "OK", "{created}");
    assert_eq!((&created["tenant"], &created["actor"]), (&"acme".into(), &"local".into()));
    assert_eq!(created["trace_id"], TRACE);
    assert!(created["ms"].as_f64() > Some(0.0) && created["bytes_out"].as_u64() > Some(10));
    assert!(created["bytes_in"].as_u64() > Some(10) && created.get("address").is_none());
    let renamed = line(&server, "RenameTenant")?;
    assert_eq!(renamed["trace_id"], TRACE.replace('4', "5"));
    let refused = line(&server, "TENANT_NOT_FOUND")?;
    assert_eq!((&refused["code"], &refused["tenant"]), (&"NOT_FOUND".into(), &"nobody".into()));
    assert_eq!(refused["request_id"].as_str().map(str::len), Some(32));
    let done = server.stop()?;
    assert!(done.status.success(), "{}", done.output);
    for word in ["hunter2", "nobody's business"] {
        assert!(!done.output.contains(word), "{word} in {}", done.output);
    }
    Ok(())
}
