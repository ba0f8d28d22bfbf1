//! Use that others send to the shipped processes: by HTTP, and with the clients of Kafka in
//! each mode. Whatever way an event comes, and however often, it counts once.

use exchequer_e2e::{Client, Res, Sent, ensure, wait};
use exchequer_proto::access::v1 as access;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::usage::v1 as pb;

use crate::deployment::{Deployment, Member, accepted};
use crate::metered;
use crate::programs::{self, Guide};
use crate::turn::Turn;

const CREATE_CREDENTIAL: &str = "/exchequer.access.v1.CredentialService/CreateCredential";
const RECONCILE: &str = "/exchequer.usage.v1.UsageService/ReconcileUsage";
const TENANT: &str = "acme";
const HOUR_SECONDS: i64 = 3_600;
/// What each program sends again: see there.
const REPETITIONS: u64 = 10 + 50 + 50 + 10 + 3 * 200;

// REQ: USE-02 USE-03
#[tokio::test(flavor = "multi_thread")]
async fn an_event_counts_once_whichever_way_it_comes() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Deployment::ready()?;
    let _rest = deployment.start("rest", &["decider", "projector", "consumer"])?;
    let _meter = deployment.start("meter", &["meter"])?;
    let gateway = deployment.start("gateway", &["gateway"])?;
    let client = deployment.client(&gateway).await?;
    metered::make_meter_of(&client, "tokens.used").await?;
    accepted(&client, &[Sent::create(TENANT, "create")]).await?;
    let token = token(&client).await?;
    let guide = Guide::read("docs/guides/kafka-producers.md", deployment.folder());
    let bootstrap = deployment.bootstrap();
    let by_http = |first: &str, end: &str| by_http(&bootstrap, &gateway, &token, first, end);

    by_http("0", "10")?;
    metered::counted_of(&client, TENANT, 20).await?;
    guide.run("structured.py", &bootstrap);
    metered::counted_of(&client, TENANT, 200).await?;
    guide.run("binary.py", &bootstrap);
    guide.run("Produce.java", &bootstrap);
    metered::counted_of(&client, TENANT, 400).await?;
    by_http("190", "200")?;
    programs::run_own("producers_modes.py", &bootstrap, &[]);
    programs::run_own("Structured.java", &bootstrap, &[]);

    let settled = async || {
        let counts = counts(&client).await?;
        Ok((counts.duplicate == REPETITIONS).then_some(counts))
    };
    let counts = wait::until_async("all repetitions to be known", settled).await?;
    ensure(counts.counted == 200 && counts.conflicting == 0, || format!("{counts:?}"))?;
    metered::counted_of(&client, TENANT, 400).await?;
    wait::until_async("the dead letter to be told of", async || {
        let letters = client.status().await?.usage.iter().map(|it| it.dead_letters).sum::<u64>();
        Ok((letters == 1).then_some(()))
    })
    .await?;
    let left = guide.run("letters.py", &bootstrap);
    let is_told = left.stderr.starts_with("EVENT_MALFORMED: ");
    ensure(left.stdout.trim() == "0" && is_told, || format!("{}{}", left.stdout, left.stderr))
}

fn by_http(bootstrap: &str, gateway: &Member, token: &str, first: &str, end: &str) -> Res<()> {
    let words = [&gateway.address, token, first, end];
    let said = programs::run_own("http_events.py", bootstrap, &words);
    ensure(said.trim() == "200", || said.clone())
}

/// Of a service that may send events of the tenant.
async fn token(client: &Client) -> Res<String> {
    let request = access::CreateCredentialRequest {
        tenant: TENANT.to_owned(),
        kind: access::CredentialKind::Service.into(),
        name: "inference".to_owned(),
        grants: vec![access::RoleGrant { role: "owner".to_owned(), scope: None }],
        write: Some(WriteOptions { command_id: "token".to_owned(), ..<_>::default() }),
        ..<_>::default()
    };
    let made: access::CreateCredentialResponse =
        client.ask(CREATE_CREDENTIAL, &request, None).await?;
    Ok(made.secret)
}

async fn counts(client: &Client) -> Res<pb::ReceivedCounts> {
    let now = metered::now()?;
    let hour = |hours: i64| prost_types::Timestamp {
        seconds: (now / HOUR_SECONDS + hours) * HOUR_SECONDS,
        nanos: 0,
    };
    let request = pb::ReconcileUsageRequest {
        tenant: TENANT.to_owned(),
        from: Some(hour(-2)),
        to: Some(hour(2)),
    };
    let reply: pb::ReconcileUsageResponse = client.ask(RECONCILE, &request, None).await?;
    Ok(reply.total.unwrap_or_default())
}
