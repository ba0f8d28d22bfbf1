//! Usage on disk: sealed by a running server, verified beside it and after it was killed,
//! damaged, and taken along by a backup.

use std::path::Path;

use exchequer_e2e::segment::Last;
use exchequer_e2e::{Client, Finished, Res, Sent, Server, ensure, run, wait};
use exchequer_journal_local::LogName;
use exchequer_proto::io::cloudevents::v1 as events;
use exchequer_proto::usage::v1 as pb;
use serde_json::Value;

const PUBLISH: &str = "/exchequer.usage.v1.IngestService/PublishEvents";

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
    let client = Client::connect(&server).await?;
    let made = client.answer(&Sent::create("acme", "make-acme")).await?;
    ensure(made.is_accepted(), || format!("{made:?}"))?;
    let events = (0..count).map(|id| event("acme", id)).collect();
    let request = pb::PublishEventsRequest { events };
    let reply: pb::PublishEventsResponse = client.ask(PUBLISH, &request, None).await?;
    ensure(reply.accepted as usize == count, || format!("{reply:?}"))?;
    Ok(server)
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
