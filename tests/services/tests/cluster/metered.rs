//! Use of one tenant, and what a meter says of it.

use std::time::{SystemTime, UNIX_EPOCH};

use exchequer_e2e::{Client, Res, wait};
use exchequer_proto::io::cloudevents::v1 as events;
use exchequer_proto::usage::v1 as pb;
use tonic::Status;

const PUBLISH: &str = "/exchequer.usage.v1.IngestService/PublishEvents";
const CREATE_METER: &str = "/exchequer.usage.v1.MeterService/CreateMeter";
const QUERY: &str = "/exchequer.usage.v1.UsageService/QueryUsage";
const DAY_SECONDS: i64 = 86_400;
/// Whose use it is.
pub(crate) const TENANT: &str = "tenant-0";
pub(crate) const SOURCE: &str = "/service";

/// A use of as many tokens as its number.
fn event(id: usize) -> events::CloudEvent {
    use events::cloud_event::cloud_event_attribute_value::Attr;
    use events::cloud_event::{CloudEventAttributeValue, Data};
    let text = CloudEventAttributeValue { attr: Some(Attr::CeString(TENANT.to_owned())) };
    events::CloudEvent {
        id: format!("event-{id}"),
        source: SOURCE.to_owned(),
        spec_version: "1.0".to_owned(),
        r#type: "llm.call".to_owned(),
        attributes: [("tenant".to_owned(), text)].into(),
        data: Some(Data::TextData(format!("{{\"tokens\":{id}}}"))),
    }
}

/// Until all of them are taken.
pub(crate) async fn publish(client: &Client, ids: core::ops::Range<usize>) -> Res<()> {
    let deadline = wait::Deadline::new("events to be taken");
    loop {
        match published(client, ids.clone()).await {
            Ok(true) => return Ok(()),
            other => deadline.step().await.map_err(|error| format!("{error}: {other:?}"))?,
        }
    }
}

/// Were all of them taken?
pub(crate) async fn published(
    client: &Client,
    ids: core::ops::Range<usize>,
) -> Result<bool, Status> {
    let request = pb::PublishEventsRequest { events: ids.map(event).collect() };
    let reply: pb::PublishEventsResponse = client.ask(PUBLISH, &request, None).await?;
    Ok(reply.accepted as usize == request.events.len())
}

/// Adds the tokens up.
pub(crate) async fn make_meter(client: &Client) -> Res<()> {
    make_meter_of(client, "llm.call").await
}

/// The same of events of this type.
pub(crate) async fn make_meter_of(client: &Client, event_type: &str) -> Res<()> {
    let rules = pb::MeterRules {
        event_type: event_type.to_owned(),
        aggregation: pb::Aggregation::Sum.into(),
        value: "$.tokens".to_owned(),
        unit: "tokens".to_owned(),
        ..<_>::default()
    };
    let request = pb::CreateMeterRequest {
        tenant: "platform".to_owned(),
        key: "tokens".to_owned(),
        rules: Some(rules),
        ..<_>::default()
    };
    let _: pb::Meter = client.ask(CREATE_METER, &request, None).await?;
    Ok(())
}

/// What the meter says of the days around today, once it is this much.
pub(crate) async fn counted(client: &Client, wanted: u64) -> Res<()> {
    counted_of(client, TENANT, wanted).await
}

/// In seconds since the Unix epoch.
pub(crate) fn now() -> Res<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64)
}

/// The same of another tenant.
pub(crate) async fn counted_of(client: &Client, tenant: &str, wanted: u64) -> Res<()> {
    let now = now()?;
    let day = |days: i64| prost_types::Timestamp {
        seconds: (now / DAY_SECONDS + days) * DAY_SECONDS,
        nanos: 0,
    };
    let request = pb::QueryUsageRequest {
        tenant: tenant.to_owned(),
        meter: "tokens".to_owned(),
        from: Some(day(-1)),
        to: Some(day(2)),
        grain: pb::UsageGrain::Day.into(),
        ..<_>::default()
    };
    let deadline = wait::Deadline::new("the figure");
    loop {
        let reply = client.ask::<_, pb::QueryUsageResponse>(QUERY, &request, None).await;
        let figures = reply.iter().flat_map(|it| &it.windows).flat_map(|it| &it.figures);
        let sum: u64 = figures.filter_map(|it| it.quantity.parse::<u64>().ok()).sum();
        if sum == wanted {
            return Ok(());
        }
        deadline.step().await.map_err(|error| format!("{error}: {sum}, {reply:?}"))?;
    }
}
