//! A gateway that has no other role: what the processes with the others know, its callers are
//! told.

use exchequer_e2e::{Answer, Client, Res, Sent, ensure, reason, wait};
use exchequer_proto::system::v1::BackgroundFailure;
use exchequer_proto::usage::v1 as pb;
use exchequer_services::Clock;

use crate::deployment::{Deployment, Member, PARTITIONS, accepted};
use crate::metered::{self, SOURCE, TENANT};
use crate::turn::Turn;

const CREATE_METER: &str = "/exchequer.usage.v1.MeterService/CreateMeter";
const BACKFILL: &str = "/exchequer.usage.v1.MeterService/BackfillMeter";
const BACKFILLS: &str = "/exchequer.usage.v1.MeterService/ListMeterBackfills";
const FATE: &str = "/exchequer.usage.v1.UsageService/GetEventFate";
const PROVIDER: &str = "platform";
const HOUR_SECONDS: i64 = 3_600;
const EVENTS: usize = 20;
/// Of adoption, corrections, and what was sent to a wrong partition.
const CONSUMERS: usize = 3;

// REQ: KER-07 USE-01 USE-16
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_tells_of_events_that_others_meter() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Deployment::ready()?;
    let _rest = deployment.start("rest", &["decider", "projector", "consumer"])?;
    let meter = deployment.start("meter", &["meter"])?;
    let gateway = deployment.start("gateway", &["gateway"])?;
    let client = deployment.client(&gateway).await?;
    metered::make_meter(&client).await?;
    accepted(&client, &[Sent::create(TENANT, "create")]).await?;
    metered::publish(&client, 1..EVENTS + 1).await?;

    // At once: what has no fate yet is waited for.
    let void = Sent::void(TENANT, "void", (SOURCE, "event-7"));
    accepted(&client, &[void]).await?;
    metered::counted(&client, 210 - 7).await?;
    let told = fate(&client, "event-8").await?;
    ensure(told.fate() == pb::Fate::Counted && told.contributions.len() == 1, || {
        format!("{told:?}")
    })?;
    let told = fate(&client, "event-7").await?;
    ensure(told.voided && told.contributions.is_empty(), || format!("{told:?}"))?;

    let void = Sent::void(TENANT, "void-nothing", (SOURCE, "event-0"));
    let Answer::Rejection(no) = client.answer(&void).await? else {
        return Err("an event was voided that nobody sent".into());
    };
    ensure(no.reason == "USAGE_EVENT_NOT_FOUND", || format!("{no:?}"))?;
    let refused = client.ask::<_, pb::EventFate>(FATE, &named("event-0"), None).await;
    ensure(refused.as_ref().is_err_and(|it| reason(it) == "USAGE_EVENT_NOT_FOUND"), || {
        format!("{refused:?}")
    })?;
    backfilled(&client).await?;
    let passed = async || {
        let cursors = client.status().await?.cursors;
        let count = CONSUMERS * PARTITIONS as usize;
        let is_done = cursors.len() == count && cursors.iter().all(|it| it.lag_events == 0);
        Ok(is_done.then_some(()))
    };
    wait::until_async("consumers to have passed everything", passed).await?;
    stuck(&deployment, &client, meter).await
}

/// Operators who ask a gateway learn which usage is not counted, and why.
async fn stuck(deployment: &Deployment, client: &Client, meter: Member) -> Res<()> {
    meter.stop()?;
    metered::publish(client, 100..101).await?;
    let clock = Clock::new(deployment.folder(), "behind")?;
    clock.step(-HOUR_SECONDS)?;
    let _meter = deployment.begin_with(&clock.words(), "behind", &["meter"])?;
    let told = async || {
        let status = client.status().await?;
        let mut waiting = status.usage.iter().filter(|it| it.lag_events == Some(1));
        let waits = waiting.any(|it| it.lag_seconds.is_some_and(|it| it > 0.0 && it < 7_200.0));
        let is_of_clocks = |it: &BackgroundFailure| {
            it.work == "meter" && it.message.contains("clock") && it.attempts > 1
        };
        Ok((waits && status.failures.iter().any(is_of_clocks)).then_some(status))
    };
    let status = wait::until_async("the meter's fault to be told", told).await?;
    let owner = status.owners.iter().find(|it| it.role == "meter");
    let owner = owner.ok_or("nobody meters")?;
    let mut of_meters = status.failures.iter().filter(|it| it.work == "meter");
    ensure(of_meters.all(|it| it.process == owner.process), || format!("{status:?}"))?;
    clock.step(0)?;
    metered::counted(client, 210 - 7 + 100).await?;
    let over = async || {
        let status = client.status().await?;
        let is_done = status.usage.len() == PARTITIONS as usize
            && status.usage.iter().all(|it| it.lag_events == Some(0) && !it.leading);
        Ok((is_done && status.failures.is_empty()).then_some(()))
    };
    wait::until_async("the meter's fault to be over", over).await
}

fn named(id: &str) -> pb::GetEventFateRequest {
    pb::GetEventFateRequest {
        tenant: TENANT.to_owned(),
        source: SOURCE.to_owned(),
        id: id.to_owned(),
        ..<_>::default()
    }
}

async fn fate(client: &Client, id: &str) -> Res<pb::EventFate> {
    Ok(client.ask(FATE, &named(id), None).await?)
}

/// A meter that comes later counts what was there, and it is told how far that is.
async fn backfilled(client: &Client) -> Res<()> {
    let rules = pb::MeterRules {
        event_type: "llm.call".to_owned(),
        aggregation: pb::Aggregation::Count.into(),
        unit: "calls".to_owned(),
        ..<_>::default()
    };
    let create = pb::CreateMeterRequest {
        tenant: PROVIDER.to_owned(),
        key: "calls".to_owned(),
        rules: Some(rules),
        ..<_>::default()
    };
    let _: pb::Meter = client.ask(CREATE_METER, &create, None).await?;
    let now = metered::now()?;
    let from = prost_types::Timestamp { seconds: now - HOUR_SECONDS, nanos: 0 };
    let backfill = pb::BackfillMeterRequest {
        tenant: PROVIDER.to_owned(),
        key: "calls".to_owned(),
        from: Some(from),
        ..<_>::default()
    };
    let _: pb::Meter = client.ask(BACKFILL, &backfill, None).await?;
    let asked = pb::ListMeterBackfillsRequest { tenant: PROVIDER.to_owned(), ..<_>::default() };
    let deadline = wait::Deadline::new("the backfill");
    loop {
        let reply = client.ask::<_, pb::ListMeterBackfillsResponse>(BACKFILLS, &asked, None).await;
        let all = reply.iter().flat_map(|it| &it.backfills);
        let done = |it: &pb::MeterBackfillProgress| {
            // The voided one is no event any more.
            it.state() == pb::MeterBackfillState::Done && it.events_counted == EVENTS as u64 - 1
        };
        if all.filter(|it| done(it)).count() == 1 {
            return Ok(());
        }
        deadline.step().await.map_err(|error| format!("{error}: {reply:?}"))?;
    }
}
