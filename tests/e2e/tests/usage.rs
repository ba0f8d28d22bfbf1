//! Usage on disk: sealed by a running server, verified beside it and after it was killed,
//! damaged, and taken along by a backup.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use exchequer_e2e::segment::Last;
use exchequer_e2e::{Client, Finished, Res, Sent, Server, ensure, program, run, wait};
use exchequer_journal_local::LogName;
use exchequer_proto::io::cloudevents::v1 as events;
use exchequer_proto::usage::v1 as pb;
use serde_json::Value;

const PUBLISH: &str = "/exchequer.usage.v1.IngestService/PublishEvents";
const CREATE_METER: &str = "/exchequer.usage.v1.MeterService/CreateMeter";
const BACKFILL: &str = "/exchequer.usage.v1.MeterService/BackfillMeter";
const LIST_BACKFILLS: &str = "/exchequer.usage.v1.MeterService/ListMeterBackfills";
const QUERY: &str = "/exchequer.usage.v1.UsageService/QueryUsage";
const DAY_SECONDS: i64 = 86_400;

fn event(tenant: &str, id: usize) -> events::CloudEvent {
    use events::cloud_event::cloud_event_attribute_value::Attr;
    use events::cloud_event::{CloudEventAttributeValue, Data};
    let text = CloudEventAttributeValue { attr: Some(Attr::CeString(tenant.to_owned())) };
    events::CloudEvent {
        id: format!("event-{id}"),
        source: "/service".to_owned(),
        spec_version: "1.0".to_owned(),
        r#type: "llm.call".to_owned(),
        attributes: [("tenant".to_owned(), text)].into(),
        data: Some(Data::TextData(format!("{{\"tokens\":{id}}}"))),
    }
}

/// A server of which `count` events were taken in.
async fn metered(data: &Path, count: usize) -> Res<Server> {
    let server = Server::start(data)?;
    publish(&with_acme(&server).await?, 0..count).await?;
    Ok(server)
}

async fn with_acme(server: &Server) -> Res<Client> {
    let client = Client::connect(server).await?;
    let made = client.answer(&Sent::create("acme", "make-acme")).await?;
    ensure(made.is_accepted(), || format!("{made:?}"))?;
    Ok(client)
}

async fn publish(client: &Client, ids: core::ops::Range<usize>) -> Res<()> {
    let count = ids.len();
    let request = pb::PublishEventsRequest { events: ids.map(|id| event("acme", id)).collect() };
    let reply: pb::PublishEventsResponse = client.ask(PUBLISH, &request, None).await?;
    ensure(reply.accepted as usize == count, || format!("{reply:?}"))
}

fn verify(data: &Path) -> Res<(Finished, Value)> {
    let data: &std::ffi::OsStr = data.as_ref();
    let done =
        run(["verify".as_ref(), "usage".as_ref(), "--data".as_ref(), data, "--json".as_ref()])?;
    let report = serde_json::from_str(&done.output).map_err(|_| done.output.clone())?;
    Ok((done, report))
}

/// Waits until so many records are sealed; the server goes on meanwhile.
fn sealed(data: &Path, count: u64) -> Res<()> {
    wait::until("the records are sealed", || {
        let (_, report) = verify(data)?;
        ensure(report["bad"].is_null(), || report["bad"].to_string())?;
        Ok((report["sealed"].as_u64() >= Some(count)).then_some(()))
    })
}

// REQ: USE-12, KER-12
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_usage_or_its_seals_is_named() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = metered(&data, 300).await?;
    sealed(&data, 300)?;
    // It marks the ends of its logs: what is damaged below them is no torn tail.
    server.stop()?;
    for name in [LogName::Usage, LogName::Seals] {
        let last = Last::find_in(&data, name)?;
        let whole = std::fs::read(&last.file)?;
        // Damage is told from a torn tail by a mark behind it.
        let first = exchequer_journal_local::JournalReader::open_named(&data, name)?;
        let first = first.records().next().ok_or("the log is empty")??;
        let at = first.position as usize + 12;
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        std::fs::write(&last.file, flipped)?;
        let (done, report) = verify(&data)?;
        ensure(done.status.code() == Some(1), || done.output.clone())?;
        let bad = &report["bad"];
        let file = last.file.to_string_lossy();
        ensure(bad["file"] == *file && bad["byte"] == first.position, || bad.to_string())?;
        std::fs::write(&last.file, whole)?;
    }
    let (done, _) = verify(&data)?;
    ensure(done.status.success(), || done.output.clone())
}

// REQ: KER-15, USE-12
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_usage_and_its_seals_along() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let [data, copy, back] = ["data", "copy", "back"].map(|name| folder.path().join(name));
    let server = metered(&data, 200).await?;
    sealed(&data, 200)?;
    let done =
        run(["backup".as_ref(), "--data".as_ref(), data.as_ref(), "--to".as_ref(), copy.as_ref()])?;
    ensure(done.status.success(), || done.output.clone())?;
    server.stop()?;
    let done = run([
        "restore".as_ref(),
        "--from".as_ref(),
        copy.as_ref(),
        "--data".as_ref(),
        back.as_ref(),
    ])?;
    ensure(done.status.success(), || done.output.clone())?;
    let (done, report) = verify(&back)?;
    ensure(done.status.success() && report["sealed"] == 200, || done.output.clone())?;
    for name in ["persons.keys", "master.keys"] {
        std::fs::copy(data.join("keys").join(name), back.join("keys").join(name))?;
    }
    // An event that was sealed before the backup is a duplicate after it.
    let server = Server::start(&back)?;
    let client = Client::connect(&server).await?;
    let request = pb::PublishEventsRequest { events: vec![event("acme", 7)] };
    let _: pb::PublishEventsResponse = client.ask(PUBLISH, &request, None).await?;
    sealed(&back, 201)?;
    let (_, report) = verify(&back)?;
    ensure(report["fates"]["duplicate"] == 1, || report["fates"].to_string())
}

/// A server whose seals are small, so that much takes many of them.
fn of_small_seals(data: &Path) -> Res<Server> {
    let mut command = Command::new(program()?);
    Server::start_with(data, command.env("EXCHEQUER__USAGE__BATCH_RECORDS_MAX", "8"))
}

async fn make_meter(client: &Client, key: &str) -> Res<()> {
    let rules = pb::MeterRules {
        event_type: "llm.call".to_owned(),
        aggregation: pb::Aggregation::Sum.into(),
        value: "$.tokens".to_owned(),
        unit: "tokens".to_owned(),
        ..<_>::default()
    };
    let request = pb::CreateMeterRequest {
        tenant: "platform".to_owned(),
        key: key.to_owned(),
        rules: Some(rules),
        ..<_>::default()
    };
    let _: pb::Meter = client.ask(CREATE_METER, &request, None).await?;
    Ok(())
}

/// What the meter says of the days around today.
async fn figure(client: &Client, meter: &str) -> Res<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let day = |days: i64| prost_types::Timestamp {
        seconds: (now / DAY_SECONDS + days) * DAY_SECONDS,
        nanos: 0,
    };
    let request = pb::QueryUsageRequest {
        tenant: "acme".to_owned(),
        meter: meter.to_owned(),
        from: Some(day(-1)),
        to: Some(day(2)),
        grain: pb::UsageGrain::Day.into(),
        ..<_>::default()
    };
    let reply: pb::QueryUsageResponse = client.ask(QUERY, &request, None).await?;
    let figures = reply.windows.iter().flat_map(|it| &it.figures);
    figures.map(|it| Ok(it.quantity.parse::<u64>()?)).sum()
}

async fn progress(client: &Client) -> Res<Option<pb::MeterBackfillProgress>> {
    let request = pb::ListMeterBackfillsRequest { tenant: "platform".to_owned(), ..<_>::default() };
    let reply: pb::ListMeterBackfillsResponse = client.ask(LIST_BACKFILLS, &request, None).await?;
    Ok(reply.backfills.into_iter().next())
}

// REQ: USE-01, USE-12
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_is_killed_in_the_middle_goes_on_and_counts_each_event_once() -> Res<()> {
    const EVENTS: usize = 12_000;
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let server = Server::start(&data)?;
    let client = with_acme(&server).await?;
    // Another meter counts them, so that they do not wait for the second one by themselves.
    make_meter(&client, "first").await?;
    for batch in 0..4 {
        publish(&client, batch * EVENTS / 4..(batch + 1) * EVENTS / 4).await?;
    }
    let all = (0..EVENTS as u64).sum::<u64>();
    let counted = async || Ok((figure(&client, "first").await? == all).then_some(()));
    wait::until_async("all of it in the first meter", counted).await?;
    server.stop()?;
    let mut server = of_small_seals(&data)?;
    let client = Client::connect(&server).await?;
    make_meter(&client, "second").await?;
    let request = pb::BackfillMeterRequest {
        tenant: "platform".to_owned(),
        key: "second".to_owned(),
        from: Some(prost_types::Timestamp { seconds: DAY_SECONDS, nanos: 0 }),
        ..<_>::default()
    };
    let _: pb::Meter = client.ask(BACKFILL, &request, None).await?;
    let mut done = 0;
    for life in 0..3 {
        let client = Client::connect(&server).await?;
        let further = async || {
            let found = progress(&client).await?;
            Ok(found.filter(|it| it.events_counted > done))
        };
        let found = wait::until_async("the backfill to go on", further).await?;
        done = found.events_counted;
        if done == EVENTS as u64 {
            ensure(life > 0, || format!("never killed within: {found:?}"))?;
            break;
        }
        server.kill()?;
        server = of_small_seals(&data)?;
    }
    let client = Client::connect(&server).await?;
    let counted = async || Ok((figure(&client, "second").await? == all).then_some(()));
    wait::until_async("all of it in the second meter", counted).await?;
    let ended = async || {
        let found = progress(&client).await?;
        Ok(found.filter(|it| it.state() == pb::MeterBackfillState::Done))
    };
    let found = wait::until_async("the backfill to end", ended).await?;
    ensure(found.events_counted == EVENTS as u64, || format!("{found:?}"))?;
    let (verified, report) = verify(&data)?;
    ensure(verified.status.success(), || report.to_string())
}
