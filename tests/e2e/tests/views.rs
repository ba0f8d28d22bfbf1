//! Views that are built anew while they serve, and a live tail that goes on over
//! rebuilds and kill -9.

use exchequer_e2e::client::REBUILD;
use exchequer_e2e::{Client, Load, Res, Sent, Server, check, wait};
use exchequer_proto::audit::v1 as audit;
use exchequer_proto::system::v1 as system;

/// A live tail, and where it stands.
struct Tail {
    stream: tonic::Streaming<audit::TailEntriesResponse>,
    seq: u64,
    cursor: String,
}

impl Tail {
    async fn open(client: &Client, seq: u64, cursor: &str) -> Res<Self> {
        let stream = client.tail("acme", cursor).await?;
        Ok(Self { stream, seq, cursor: cursor.to_owned() })
    }

    /// Reads up to entry `seq`, each once and in order.
    async fn read_to(&mut self, seq: u64) -> Res<()> {
        while self.seq < seq {
            let next = wait::within("the next entry", self.stream.message()).await??;
            let next = next.ok_or("the tail ended")?;
            let entry = next.entry.ok_or("no entry")?;
            assert_eq!(entry.seq, self.seq + 1, "no gap, nothing twice");
            self.seq = entry.seq;
            self.cursor = next.cursor;
        }
        Ok(())
    }
}

async fn append(client: &Client, id: &str) -> Res<u64> {
    let reply: audit::AppendEntryResponse = client.accepted(&Sent::append("acme", id, 0)).await?;
    Ok(reply.seq)
}

/// Rebuilds all views and waits until all have swapped.
async fn rebuild(client: &Client) -> Res<()> {
    let before = client.status().await?.views;
    assert!(before.len() >= 2, "{before:?}");
    for view in &before {
        let request = system::RebuildViewRequest { view: view.view.clone() };
        let reply: system::RebuildViewResponse = client.ask(REBUILD, &request, None).await?;
        assert!(reply.generation > view.generation, "{reply:?}");
    }
    wait::until_async("all views to swap", async || {
        let now = client.status().await?.views;
        let swapped = before
            .iter()
            .zip(&now)
            .all(|(old, new)| new.generation > old.generation && new.building == 0);
        Ok(swapped.then_some(()))
    })
    .await
}

// REQ: KER-06 KER-15 KER-08
#[tokio::test(flavor = "multi_thread")]
async fn views_are_rebuilt_while_serving_and_a_tail_goes_on_over_kill_9() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path())?;
    let mut client = Client::connect(&server).await?;
    client.answer(&Sent::create("acme", "c-1")).await?;
    let mut tail = Tail::open(&client, 0, "").await?;
    tail.read_to(1).await?;
    let mut ledger = exchequer_e2e::Ledger::default();
    for round in 0..3 {
        let load = Load::start(&server, 8, round, &format!("r{round}")).await?;
        let goal = load.answers() + 200;
        wait::until_async("answers", async || Ok((load.answers() > goal).then_some(()))).await?;
        append(&client, &format!("before-{round}")).await?;
        rebuild(&client).await?;
        let metrics = server.get("/metrics")?;
        assert!(metrics.contains("view_lag_events"), "{metrics}");
        let seq = append(&client, &format!("after-{round}")).await?;
        tail.read_to(seq).await?;
        // Entries that nobody has read yet when the server goes away.
        let unread = append(&client, &format!("unread-{round}")).await?;
        server.kill()?;
        ledger.merge(load.ledger().await?);
        server = Server::start_tight(folder.path())?;
        client = Client::connect(&server).await?;
        tail = Tail::open(&client, tail.seq, &tail.cursor).await?;
        tail.read_to(unread).await?;
        let next = append(&client, &format!("next-{round}")).await?;
        tail.read_to(next).await?;
    }
    let found = check::everything(&server, &ledger).await?;
    assert_eq!(found.wrong, Vec::<String>::new());
    Ok(())
}

// REQ: KER-09
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_set_before_kill_9_fires_after_it() -> Res<()> {
    use exchequer_proto::tenants::v1 as tenants;
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let client = Client::connect(&server).await?;
    client.answer(&Sent::create("acme", "c-1")).await?;
    let soon = std::time::SystemTime::now() + core::time::Duration::from_secs(2);
    let request = tenants::ScheduleClosingRequest {
        id: "acme".to_owned(),
        at: Some(soon.into()),
        write: None,
    };
    let set: tenants::Tenant = client.ask(exchequer_e2e::client::SCHEDULE, &request, None).await?;
    server.kill()?;
    let server = Server::start(folder.path())?;
    let client = Client::connect(&server).await?;
    let token = client.token("acme").await?;
    let closed = wait::until_async("the tenant to close", async || {
        let request = tenants::GetTenantRequest { id: "acme".to_owned(), ..<_>::default() };
        let tenant: tenants::Tenant =
            client.ask(exchequer_e2e::client::GET_TENANT, &request, Some(&token)).await?;
        Ok((tenant.status() == tenants::TenantStatus::Closed).then_some(tenant))
    })
    .await?;
    assert_eq!(closed.updated_at, set.closes_at, "at its due instant");
    Ok(())
}
