//! Roles side by side: what one decides another answers, and what one leaves another takes.

use std::io::Write as _;
use std::time::Duration;

use exchequer_e2e::{Client, Res, Sent, ensure, wait};
use exchequer_proto::audit::v1::CallOrigin;
use exchequer_services::Process;

use crate::deployment::{Deployment, accepted};
use crate::turn::Turn;

/// A partition whose decider is killed is decided again after this long at the latest.
const TAKEOVER_MAX: Duration = Duration::from_secs(10);
/// The same after a decider was asked to end.
const HANDOVER_MAX: Duration = Duration::from_secs(2);
/// Tenants, so many that each partition has some.
const TENANTS: usize = 24;

fn tenant(number: usize) -> String {
    format!("tenant-{number}")
}

fn renames(round: &str) -> Vec<Sent> {
    (0..TENANTS)
        .map(|it| Sent::rename(&tenant(it), &format!("rename-{round}-{it}"), round, None))
        .collect()
}

/// Every tenant has the name of the last round, and one audit entry for each round.
async fn check(client: &Client, rounds: &[&str]) -> Res<()> {
    for number in 0..TENANTS {
        let id = tenant(number);
        let token = client.token(&id).await?;
        let book = client.book(&id, &token).await?.ok_or_else(|| format!("{id} is gone"))?;
        let last = *rounds.last().unwrap_or(&"");
        ensure(book.tenant.name == last, || format!("{id} is called {}", book.tenant.name))?;
        // Refusals are counted there too, under ids of their own.
        let ids = book.entries.iter().map(|it| it.command_id.as_str());
        let found: Vec<&str> = ids.filter(|it| it.contains('-')).collect();
        let renames = rounds.iter().map(|round| format!("rename-{round}-{number}"));
        let expected: Vec<String> =
            core::iter::once(format!("create-{number}")).chain(renames).collect();
        ensure(found == expected, || format!("{id} has entries of {found:?}, not {expected:?}"))?;
    }
    Ok(())
}

fn show(what: &str, took: Duration) {
    // A closed output is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{what}: {} ms", took.as_millis());
}

// REQ: KER-07, KER-02, OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_taken_over_and_nothing_is_lost_or_doubled() -> Res<()> {
    let _turn = Turn::alone();
    let deployment = Deployment::ready()?;
    let first = deployment.start("decider-1", &["decider"])?;
    let _rest = deployment.start("rest", &["meter", "projector", "consumer"])?;
    // It is ready when it sees the root tenant, which somebody has to decide and fold.
    let gateway = deployment.start("gateway", &["gateway"])?;
    let client = deployment.client(&gateway).await?;
    let create: Vec<Sent> =
        (0..TENANTS).map(|it| Sent::create(&tenant(it), &format!("create-{it}"))).collect();
    show("created", accepted(&client, &create).await?);

    let second = deployment.start("decider-2", &["decider"])?;
    accepted(&client, &renames("shared")).await?;
    first.kill()?;
    let took = accepted(&client, &renames("killed")).await?;
    show("answered after kill -9", took);
    ensure(took < TAKEOVER_MAX, || format!("taken over after {took:?}"))?;

    let third = deployment.start("decider-3", &["decider"])?;
    accepted(&client, &renames("shared-again")).await?;
    let stopping = std::thread::spawn(move || second.stop().map_err(|error| error.to_string()));
    let (mut rounds, mut took_max) = (Vec::new(), Duration::ZERO);
    // Up to a round that begins when it is gone: whatever it held was handed over by then.
    let mut is_gone = false;
    while !is_gone {
        is_gone = stopping.is_finished();
        rounds.push(format!("stopped-{}", rounds.len()));
        took_max = took_max.max(accepted(&client, &renames(&rounds[rounds.len() - 1])).await?);
    }
    show("answered after SIGTERM", took_max);
    stopping.join().map_err(|_| "the stop panicked")??;
    ensure(took_max < HANDOVER_MAX, || format!("handed over after {took_max:?}"))?;

    // What the old gateway was told, another one knows.
    let other = deployment.start("gateway-2", &["gateway"])?;
    let client = deployment.client(&other).await?;
    let before = ["shared", "killed", "shared-again"];
    let rounds: Vec<&str> = before.into_iter().chain(rounds.iter().map(String::as_str)).collect();
    accepted(&client, &renames("killed")).await?;
    check(&client, &rounds).await?;
    drop(third);
    Ok(())
}

// REQ: KER-02, KER-08
#[tokio::test(flavor = "multi_thread")]
async fn a_decider_that_slept_through_its_session_changes_nothing() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Deployment::ready()?;
    let zombie = deployment.start("zombie", &["decider"])?;
    let _rest = deployment.start("rest", &["projector", "consumer"])?;
    let gateway = deployment.start("gateway", &["gateway"])?;
    let client = deployment.client(&gateway).await?;
    let create: Vec<Sent> =
        (0..TENANTS).map(|it| Sent::create(&tenant(it), &format!("create-{it}"))).collect();
    accepted(&client, &create).await?;
    let heir = deployment.begin("heir", &["decider"])?;
    zombie.process.pause()?;
    show("answered by the heir", accepted(&client, &renames("asleep")).await?);
    zombie.process.resume()?;
    accepted(&client, &renames("awake")).await?;
    accepted(&client, &renames("later")).await?;
    check(&client, &["asleep", "awake", "later"]).await?;
    let status = client.status().await?;
    ensure(status.partitions.iter().all(|it| it.breaks == 0), || format!("{status:?}"))?;
    running(heir)
}

fn running(mut process: Process) -> Res<()> {
    Ok(process.check()?)
}

// REQ: KER-07, EDG-06
#[tokio::test(flavor = "multi_thread")]
async fn gateways_share_the_keys_of_persons() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Deployment::ready()?;
    let one = deployment.start("one", &["gateway", "decider", "projector", "consumer"])?;
    let other = deployment.start("other", &["gateway"])?;
    let (here, there) = (deployment.client(&one).await?, deployment.client(&other).await?);
    // Each gateway keeps where its caller came from under the caller's key.
    for (number, client) in [&here, &there, &here].into_iter().enumerate() {
        accepted(client, &[Sent::create(&tenant(number), &format!("create-{number}"))]).await?;
    }
    for client in [&here, &there] {
        for number in 0..3 {
            let id = tenant(number);
            let token = client.token(&id).await?;
            let book = client.book(&id, &token).await?.ok_or("no tenant")?;
            let is_read = |it: &CallOrigin| !it.erased && it.address == "127.0.0.1";
            let has_origin = book.entries.iter().all(|it| it.origin.as_ref().is_some_and(is_read));
            ensure(has_origin, || format!("{:?}", book.entries))?;
        }
    }
    wait::until("both to be ready", || {
        Ok((is_ready(&one.address) && is_ready(&other.address)).then_some(()))
    })?;
    // Taken every few seconds.
    wait::until("figures of its clients", || {
        let page = page(&other.address, "/metrics").unwrap_or_default();
        let figure = |name: &str| -> Option<f64> {
            let line = page.lines().find_map(|line| line.strip_prefix(name));
            line?.trim().parse().ok()
        };
        let is_told = [
            "exchequer_kafka_connects_total{topic=\"commands\"}",
            "exchequer_kafka_round_trip_seconds{topic=\"journal\"}",
        ];
        Ok(is_told.iter().all(|name| figure(name).is_some_and(|it| it > 0.0)).then_some(()))
    })
}

fn is_ready(address: &str) -> bool {
    page(address, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// What the process answers there, with its head.
fn page(address: &str, path: &str) -> std::io::Result<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
