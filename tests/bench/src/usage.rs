//! Events of use, from the wire to a figure that can be queried: by HTTP in batches, then
//! by gRPC as a stream, with the load generator on the same cores as the server.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exchequer_proto::tenants::v1 as tenants;
use exchequer_proto::tenants::v1::tenant_service_client::TenantServiceClient;
use exchequer_proto::usage::v1 as usage;
use exchequer_proto::usage::v1::meter_service_client::MeterServiceClient;
use exchequer_proto::usage::v1::usage_service_client::UsageServiceClient;
use tonic::transport::Channel;

use crate::report::{Figure, p99};
use crate::server::{self, Server, with};
use crate::usage_events::{MODELS, PROBED, TENANTS, Template, Totals};
use crate::usage_http::{self, Connection, TOKEN};
use crate::usage_stream;
use crate::world::{processor_seconds, resident_bytes_most};
use crate::{Args, Failure};

/// Of each half: by HTTP, then by gRPC.
const EVENTS: u64 = 10_000_000;
const PROBES: u64 = 200;
/// The first number of events that are sent one by one.
const PROBE_NUMBER: u64 = 100_000_000;
/// Nothing new is counted for so long: it never will be.
const STANDS_STILL: Duration = Duration::from_secs(30);
/// What the second half of the goal asks for, and half of the first.
const LOAD_HALF: u64 = 100_000;

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let events = EVENTS / 100 * args.percent as u64;
    let server = server::start(&[])?;
    let channel = Channel::from_shared(format!("http://{}", server.address))?.connect().await?;
    prepare(&server, channel.clone()).await?;
    let began = now()? - 60;
    let template = Template::json(began)?;
    let http = Phase::begin(&server);
    let sent_again = usage_http::send(&server, 0..events, None, &template).await?;
    let accepted = http.began.elapsed();
    seen(&server, channel.clone(), Totals::of(events)).await?;
    let mut figures = http.figures(&server, "HTTP batches", events, accepted, 200_000.0);
    figures.push(Figure::new("usage", "requests that had to come again", sent_again as f64, None));
    let grpc = Phase::begin(&server);
    usage_stream::send(&server, events..2 * events, &Template::protobuf(began)?).await?;
    let accepted = grpc.began.elapsed();
    seen(&server, channel.clone(), Totals::of(2 * events)).await?;
    figures.extend(grpc.figures(
        &server,
        "gRPC stream, as many again",
        events,
        accepted,
        100_000.0,
    ));
    let visible = visible(&server, channel, 2 * events, &template).await?;
    let what = "ms, accepted to visible beside 100,000 events/s, p99";
    figures.push(Figure::new("usage", what, visible, Some(("<", 1_000.0))));
    let memory = resident_bytes_most(&server.process_id().to_string()) as f64 / 1e6;
    figures.push(Figure::new(
        "usage",
        "resident MB of the server, the most",
        memory,
        Some(("<", 700.0)),
    ));
    Ok(figures)
}

/// Some events, from the first that is sent until all are in figures.
struct Phase {
    began: Instant,
    /// Processor seconds of the server and of this program.
    spent: (f64, f64),
}

impl Phase {
    fn begin(server: &Server) -> Self {
        Self { began: Instant::now(), spent: spent(server) }
    }

    fn figures(
        &self,
        server: &Server,
        how: &str,
        events: u64,
        accepted: Duration,
        goal: f64,
    ) -> Vec<Figure> {
        let each = 1e6 / events as f64;
        let rate = |it: Duration| events as f64 / it.as_secs_f64();
        let spent = (spent(server), self.spent);
        let figure =
            |what: &str, value, goal| Figure::new("usage", &format!("{what}, {how}"), value, goal);
        vec![
            figure("events/s to figures", rate(self.began.elapsed()), Some((">=", goal))),
            figure("events/s to verdicts", rate(accepted), None),
            figure("server's processor, µs/event", (spent.0.0 - spent.1.0) * each, None),
            figure("load generator's, µs/event", (spent.0.1 - spent.1.1) * each, None),
        ]
    }
}

fn tenants_of_events() -> impl Iterator<Item = String> {
    (0..TENANTS).map(|n| format!("t{n}"))
}

/// Seconds of the clock.
fn now() -> Result<u64, Failure> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn spent(server: &Server) -> (f64, f64) {
    (processor_seconds(&server.process_id().to_string()), processor_seconds("self"))
}

async fn prepare(server: &Server, channel: Channel) -> Result<(), Failure> {
    let mut client = TenantServiceClient::new(channel.clone());
    for id in tenants_of_events().chain([PROBED.to_owned()]) {
        let request = tenants::CreateTenantRequest {
            id,
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

/// Waits until all tenants' figures say exactly this.
async fn seen(server: &Server, channel: Channel, expected: Totals) -> Result<(), Failure> {
    let mut client = UsageServiceClient::new(channel);
    let (mut counted, mut since) = (0, Instant::now());
    loop {
        let mut all = 0;
        for tenant in tenants_of_events() {
            let figures = ask(&mut client, server, &tenant, "requests", "").await?;
            all += figures.iter().sum::<u64>();
        }
        if all >= expected.events {
            break;
        }
        if all > counted {
            (counted, since) = (all, Instant::now());
        } else if since.elapsed() > STANDS_STILL {
            return Err(format!("{all} events are counted of {}", expected.events).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut found = Totals::default();
    for tenant in tenants_of_events() {
        let requests = ask(&mut client, server, &tenant, "requests", "").await?;
        let tokens = ask(&mut client, server, &tenant, "tokens", "").await?;
        let slowest = ask(&mut client, server, &tenant, "slowest", "").await?;
        if tokens.len() as u64 != MODELS {
            return Err(format!("{tenant} has {} models", tokens.len()).into());
        }
        found.events += requests.iter().sum::<u64>();
        found.tokens += tokens.iter().sum::<u64>();
        found.slowest = found.slowest.max(slowest.into_iter().max().unwrap_or_default());
    }
    if found == expected { Ok(()) } else { Err(format!("{found:?}, not {expected:?}").into()) }
}

/// The figures of a tenant's meter, over all time; of tokens, by model.
async fn ask(
    client: &mut UsageServiceClient<Channel>,
    server: &Server,
    tenant: &str,
    meter: &str,
    token: &str,
) -> Result<Vec<u64>, Failure> {
    let now = now()? as i64;
    let day = 24 * 3_600;
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let request = usage::QueryUsageRequest {
        tenant: tenant.to_owned(),
        meter: meter.to_owned(),
        from: at((now / day - 1) * day),
        to: at((now / day + 2) * day),
        grain: usage::UsageGrain::Whole.into(),
        group_by: (meter == "tokens").then(|| "model".to_owned()).into_iter().collect(),
        ..usage::QueryUsageRequest::default()
    };
    let mut request = with(&server.bearer, request);
    if !token.is_empty() {
        request.metadata_mut().insert(TOKEN, token.parse()?);
    }
    let reply = client.query_usage(request).await?.into_inner();
    let figures = reply.windows.iter().flat_map(|it| &it.figures);
    Ok(figures.filter_map(|it| it.quantity.parse().ok()).collect())
}

/// Milliseconds from an event's acceptance to the answer of a query that counts it, beside
/// half of the load.
async fn visible(
    server: &Server,
    channel: Channel,
    first: u64,
    template: &Template,
) -> Result<f64, Failure> {
    let seconds = 20;
    let load =
        usage_http::send(server, first..first + LOAD_HALF * seconds, Some(LOAD_HALF), template);
    let probes = async {
        let mut client = UsageServiceClient::new(channel);
        let mut connection = Connection::open(server, template.clone(), 1).await?;
        let mut spent = Vec::new();
        for n in 0..PROBES {
            let token = connection.post_probe(PROBE_NUMBER + n).await?;
            let accepted = Instant::now();
            let figures = ask(&mut client, server, PROBED, "requests", &token).await?;
            spent.push(accepted.elapsed());
            if figures != [n + 1] {
                return Err(format!("{figures:?} events are counted of {}", n + 1).into());
            }
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
        Ok::<_, Failure>(p99(spent))
    };
    let (load, spent) = futures::future::join(load, probes).await;
    load?;
    spent
}
