//! Events of use, from the wire to a figure that can be queried: by HTTP in batches, then
//! by gRPC as a stream, with the load generator on the same cores as the server.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use exchequer_proto::tenants::v1 as tenants;
use exchequer_proto::tenants::v1::tenant_service_client::TenantServiceClient;
use exchequer_proto::usage::v1 as usage;
use exchequer_proto::usage::v1::meter_service_client::MeterServiceClient;
use exchequer_proto::usage::v1::usage_service_client::UsageServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;

use crate::report::Figure;
use crate::server::{self, Server, with};
use crate::usage_stream;
use crate::world::resident_bytes;
use crate::{Args, Failure};

/// Of each half: by HTTP, then by gRPC.
const EVENTS: u64 = 10_000_000;
const BATCH: u64 = 1_000;
const CONNECTIONS: usize = 8;
pub(crate) const TENANTS: u64 = 10;
pub(crate) const SUBJECTS: u64 = 10_000;
/// Every tenth event is one that was sent this many events before.
const REPEATED_BEHIND: u64 = 25_001;
const PROBES: usize = 200;
const TOKEN: &str = "x-exchequer-usage-consistency";

/// Which event stands at place `n`: the number that makes its id and content.
pub(crate) fn number(n: u64) -> u64 {
    if n % 10 == 9 && n > REPEATED_BEHIND { n - REPEATED_BEHIND } else { n }
}

/// How many different events the places `from..to` add to those before.
fn distinct(from: u64, to: u64) -> u64 {
    (from..to).filter(|n| number(*n) == *n).count() as u64
}

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let events = EVENTS / 100 * args.percent as u64;
    let server = server::start(&[])?;
    let channel = Channel::from_shared(format!("http://{}", server.address))?.connect().await?;
    prepare(&server, channel.clone()).await?;
    let memory = Memory::watch(server.process_id());
    let began = Instant::now();
    send(&server, 0..events, None).await?;
    seen(&server, channel.clone(), distinct(0, events)).await?;
    let first = events as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    usage_stream::send(&server, events..2 * events).await?;
    seen(&server, channel.clone(), distinct(0, 2 * events)).await?;
    let second = events as f64 / began.elapsed().as_secs_f64();
    let visible =
        visible(&server, channel, 2 * events, (first.min(200_000.0) / 2.0) as u64).await?;
    let memory = memory.most() as f64 / 1e6;
    Ok(vec![
        Figure::new("usage", "events/s, HTTP batches to figures", first, Some((">=", 200_000.0))),
        Figure::new(
            "usage",
            "events/s, as many again by gRPC stream",
            second,
            Some((">=", 100_000.0)),
        ),
        Figure::new("usage", "resident MB, the most", memory, Some(("<", 700.0))),
        Figure::new(
            "usage",
            "accepted to visible at half load, p99, ms",
            visible.as_secs_f64() * 1e3,
            Some(("<", 1_000.0)),
        ),
    ])
}

async fn prepare(server: &Server, channel: Channel) -> Result<(), Failure> {
    let mut client = TenantServiceClient::new(channel.clone());
    for n in 0..=TENANTS {
        let request = tenants::CreateTenantRequest {
            id: format!("t{n}"),
            name: "T".to_owned(),
            ..tenants::CreateTenantRequest::default()
        };
        client.create_tenant(with(&server.bearer, request)).await?;
    }
    let mut meters = MeterServiceClient::new(channel);
    for (key, aggregation, value, group) in [
        ("requests", usage::Aggregation::Count, "", None),
        ("tokens", usage::Aggregation::Sum, "$.tokens", Some("model")),
        ("slowest", usage::Aggregation::Max, "$.ms", None),
    ] {
        let group_by = group
            .map(|name| usage::MeterGroupBy { name: name.to_owned(), path: format!("$.{name}") });
        let rules = usage::MeterRules {
            event_type: "api.request".to_owned(),
            aggregation: aggregation.into(),
            value: value.to_owned(),
            group_by: group_by.into_iter().collect(),
            unit: "units".to_owned(),
            ..usage::MeterRules::default()
        };
        let request = usage::CreateMeterRequest {
            tenant: "platform".to_owned(),
            key: key.to_owned(),
            rules: Some(rules),
            ..usage::CreateMeterRequest::default()
        };
        meters.create_meter(with(&server.bearer, request)).await?;
    }
    Ok(())
}

/// The events of these places in batches by HTTP; at `pace` events a second where one is given.
async fn send(
    server: &Server,
    places: core::ops::Range<u64>,
    pace: Option<u64>,
) -> Result<(), Failure> {
    let next = Arc::new(AtomicU64::new(places.start));
    let began = Instant::now();
    let tasks = (0..CONNECTIONS).map(|_| {
        let (next, places) = (Arc::clone(&next), places.clone());
        let connection = Connection::open(server);
        #[expect(clippy::disallowed_methods, reason = "senders are no part of the platform")]
        tokio::spawn(async move {
            let mut connection = connection.await?;
            loop {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                if from >= places.end {
                    return Ok::<(), Failure>(());
                }
                if let Some(pace) = pace {
                    let due = Duration::from_secs_f64((from - places.start) as f64 / pace as f64);
                    tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
                }
                connection.post(from..(from + BATCH).min(places.end)).await?;
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task??;
    }
    Ok(())
}

/// One HTTP/1.1 connection that is used again and again.
struct Connection {
    stream: TcpStream,
    head: String,
    body: String,
    reply: Vec<u8>,
}

impl Connection {
    fn open(server: &Server) -> impl Future<Output = Result<Self, Failure>> + use<> {
        let address = server.address.clone();
        let bearer = server.bearer.to_str().map(str::to_owned);
        async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let head = format!(
                "POST /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: {}\r\n\
                 content-type: application/cloudevents-batch+json\r\ncontent-length: ",
                bearer?
            );
            Ok(Self { stream, head, body: String::new(), reply: Vec::new() })
        }
    }

    /// Posts the events of these places; the token of their acceptance.
    async fn post(&mut self, places: core::ops::Range<u64>) -> Result<String, Failure> {
        self.body.clear();
        for (index, n) in places.enumerate() {
            self.body.push(if index == 0 { '[' } else { ',' });
            write_event(&mut self.body, number(n), &format!("t{}", number(n) % TENANTS))?;
        }
        self.body.push(']');
        self.exchange().await
    }

    async fn exchange(&mut self) -> Result<String, Failure> {
        let head = format!("{}{}\r\n\r\n", self.head, self.body.len());
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(self.body.as_bytes()).await?;
        self.reply.clear();
        let (mut ends_at, mut token) = (usize::MAX, String::new());
        while self.reply.len() < ends_at {
            if self.stream.read_buf(&mut self.reply).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if ends_at == usize::MAX
                && let Some(at) = self.reply.windows(4).position(|it| it == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&self.reply[..at]).to_ascii_lowercase();
                let plain = String::from_utf8_lossy(&self.reply[..at]).into_owned();
                let length = field(&head, &head, "content-length").ok_or("no content-length")?;
                token = field(&head, &plain, TOKEN).unwrap_or_default();
                ends_at = at + 4 + length.parse::<usize>()?;
            }
        }
        let is_taken = self.reply.windows(12).rev().take(200).any(|it| it == b"\"refused\":0}");
        if !is_taken {
            return Err(String::from_utf8_lossy(&self.reply[..self.reply.len().min(2_000)]).into());
        }
        Ok(token)
    }
}

/// The value of a header, whose name is looked for in lower case.
fn field(lower: &str, plain: &str, name: &str) -> Option<String> {
    let at = lower.find(&format!("\r\n{name}: "))? + name.len() + 4;
    plain.get(at..)?.lines().next().map(str::to_owned)
}

fn write_event(out: &mut String, number: u64, tenant: &str) -> core::fmt::Result {
    write!(
        out,
        "{{\"specversion\":\"1.0\",\"id\":\"e-{number}\",\"source\":\"/bench\",\
         \"type\":\"api.request\",\"tenant\":\"{tenant}\",\"subject\":\"s-{}\",\
         \"data\":{{\"tokens\":{},\"model\":\"m-{}\",\"ms\":{}}}}}",
        number % SUBJECTS,
        number % 997,
        number % 7 + number % 4,
        number % 211,
    )
}

/// Waits until the meter of requests has counted `events` over all tenants.
async fn seen(server: &Server, channel: Channel, events: u64) -> Result<(), Failure> {
    let mut client = UsageServiceClient::new(channel);
    loop {
        let mut counted = 0.0;
        for tenant in 0..TENANTS {
            counted += count(&mut client, server, &format!("t{tenant}"), "").await?;
        }
        if counted >= events as f64 {
            if counted > events as f64 {
                return Err(format!("{counted} events were counted of {events}").into());
            }
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn count(
    client: &mut UsageServiceClient<Channel>,
    server: &Server,
    tenant: &str,
    token: &str,
) -> Result<f64, Failure> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() as i64;
    let day = 24 * 3_600;
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let request = usage::QueryUsageRequest {
        tenant: tenant.to_owned(),
        meter: "requests".to_owned(),
        from: at((now / day - 1) * day),
        to: at((now / day + 2) * day),
        grain: usage::UsageGrain::Whole.into(),
        ..usage::QueryUsageRequest::default()
    };
    let mut request = with(&server.bearer, request);
    if !token.is_empty() {
        request.metadata_mut().insert(TOKEN, token.parse()?);
    }
    let reply = client.query_usage(request).await?.into_inner();
    let figures = reply.windows.iter().flat_map(|it| &it.figures);
    Ok(figures.filter_map(|it| it.quantity.parse::<f64>().ok()).sum())
}

/// From an event's acceptance to a query that counts it, beside `pace` events a second.
async fn visible(
    server: &Server,
    channel: Channel,
    first: u64,
    pace: u64,
) -> Result<Duration, Failure> {
    let seconds = 20;
    let load = send(server, first..first + pace * seconds, Some(pace));
    let probes = async {
        let mut client = UsageServiceClient::new(channel);
        let mut connection = Connection::open(server).await?;
        let mut spent = Vec::new();
        for n in 0..PROBES {
            connection.body.clear();
            connection.body.push('[');
            write_event(&mut connection.body, u64::MAX / 2 + n as u64, &format!("t{TENANTS}"))?;
            connection.body.push(']');
            let token = connection.exchange().await?;
            let accepted = Instant::now();
            let tenant = format!("t{TENANTS}");
            let counted = count(&mut client, server, &tenant, &token).await?;
            if (counted as usize) < n + 1 {
                return Err(format!("event {n} is not in the figure {counted}").into());
            }
            spent.push(accepted.elapsed());
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
        spent.sort_unstable();
        Ok::<_, Failure>(spent[spent.len() * 99 / 100])
    };
    let (load, spent) = futures::future::join(load, probes).await;
    load?;
    spent
}

/// The most memory that a process was seen with.
struct Memory {
    most: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
}

impl Memory {
    fn watch(process: u32) -> Self {
        let (most, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, until) = (Arc::clone(&most), Arc::clone(&ends));
        std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let now = resident_bytes(&process.to_string());
                seen.fetch_max(now, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self { most, ends }
    }

    fn most(&self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.most.load(Ordering::Relaxed)
    }
}
