//! A server that is restarted under load fails nobody: it says that it is not ready,
//! goes on answering until balancers have noticed, tells connections to go, and ends
//! what is under way.

use core::time::Duration;
use std::error::Error as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use exchequer_e2e::client::{GET_TENANT, Sent};
use exchequer_e2e::{Client, Res, Server, ensure, program, wait};
use exchequer_proto::tenants::v1 as tenants;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::{Code, Status};

const CONNECTIONS: usize = 8;
/// On each connection.
const CALLS_AT_ONCE: u64 = 6;
const RESTARTS: usize = 4;
/// Between two restarts.
const ANSWERS_BETWEEN: u64 = 400;
/// More than a balancer here takes to notice.
const DRAIN_DELAY_MS: &str = "500";

/// Where calls go: None while the balancer knows of no server that is ready.
type Target = watch::Receiver<Option<(u64, String)>>;

/// What the callers have met.
#[derive(Debug, Default)]
struct Met {
    answers: AtomicU64,
    /// Calls that certainly did not leave the client.
    unsent: AtomicU64,
    stop: AtomicBool,
}

fn start(folder: &std::path::Path, delay_ms: &str) -> Res<Server> {
    let mut command = Command::new(program()?);
    command.env("EXCHEQUER__ACCESS__ENABLED", "false");
    command.env("EXCHEQUER__SHUTDOWN__DRAIN_DELAY_MS", delay_ms);
    Server::start_with(folder, &mut command)
}

/// Did the call not leave the client, or did it come behind the last one that the server
/// says it has looked at (RFC 9113, section 6.8)? Only then may any caller send it again.
fn is_unsent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_in_order = error.reason() == Some(h2::Reason::NO_ERROR);
            return error.is_go_away() && error.is_remote() && is_in_order;
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        source = error.source();
    }
    // Of a connection that could not be made.
    status.code() == Code::Unavailable && status.message().contains("tcp connect error")
}

/// The tenant, and every view that shows it.
async fn create(server: &Server) -> Res<()> {
    let client = Client::connect(server).await?;
    client.answer(&Sent::create("acme", "create")).await?;
    let token = client.token("acme").await?;
    client.book("acme", &token).await?.ok_or("the tenant cannot be seen")?;
    Ok(())
}

/// One call: some write, others read.
async fn call(client: &Client, name: String, count: u64) -> Result<(), Status> {
    if count.is_multiple_of(3) {
        let append = Sent::append("acme", &format!("{name}-{count}"), 10);
        return client.send(&append).await.map(drop);
    }
    let get = tenants::GetTenantRequest { id: "acme".to_owned(), ..Default::default() };
    client.ask::<_, tenants::Tenant>(GET_TENANT, &get, None).await.map(drop)
}

/// A connection with some calls at once on it, again and again; a new one when the
/// balancer names another server, or when calls were not sent.
async fn connection(name: String, mut target: Target, met: Arc<Met>) -> Res<()> {
    let (mut count, mut client) = (0_u64, None::<(u64, Client)>);
    while !met.stop.load(Ordering::Relaxed) {
        let Some((life, address)) = target.wait_for(Option::is_some).await?.clone() else {
            continue;
        };
        let current = match client.take() {
            Some((of, client)) if of == life => client,
            _ => {
                let Ok(client) = Client::connect_to(&address).await else {
                    // Gone, and the balancer has not noticed; nothing was sent.
                    wait::pass_async(Duration::from_millis(5)).await;
                    continue;
                };
                client
            }
        };
        let calls = (0..CALLS_AT_ONCE).map(|at| call(&current, name.clone(), count + at));
        let called = futures::future::join_all(calls).await;
        count += CALLS_AT_ONCE;
        let answers = called.iter().filter(|called| called.is_ok()).count() as u64;
        met.answers.fetch_add(answers, Ordering::Relaxed);
        for status in called.into_iter().filter_map(Result::err) {
            if !is_unsent(&status) {
                return Err(format!("{name} failed: {status:?}").into());
            }
            met.unsent.fetch_add(1, Ordering::Relaxed);
        }
        if answers == CALLS_AT_ONCE {
            client = Some((life, current));
        }
    }
    Ok(())
}

fn connect(target: &Target, met: &Arc<Met>) -> JoinSet<Res<()>> {
    let mut connections = JoinSet::new();
    for index in 0..CONNECTIONS {
        connections.spawn(connection(format!("c{index}"), target.clone(), Arc::clone(met)));
    }
    connections
}

/// Waits for answers; a connection that failed says why.
async fn more_answers(connections: &mut JoinSet<Res<()>>, met: &Met) -> Res<()> {
    let goal = met.answers.load(Ordering::Relaxed) + ANSWERS_BETWEEN;
    wait::until_async("answers", async || {
        if let Some(ended) = connections.try_join_next() {
            ended??;
        }
        Ok((met.answers.load(Ordering::Relaxed) >= goal).then_some(()))
    })
    .await
}

async fn all_went_well(mut connections: JoinSet<Res<()>>, met: &Met) -> Res<()> {
    met.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = connections.join_next().await {
        ended??;
    }
    Ok(())
}

/// Writes of all lives are there, each once.
async fn check_entries(server: &Server, answered: u64) -> Res<()> {
    let client = Client::connect(server).await?;
    let token = client.token("acme").await?;
    let book = client.book("acme", &token).await?.ok_or("the tenant is gone")?;
    let entries = book.entries.len() as u64;
    // A third of the answers are entries, and some were answered and not counted yet.
    ensure(entries * 3 + 300 >= answered, || format!("{entries} entries of {answered} answers"))
}

// REQ: EDG-07
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_load_fails_no_call_of_who_heeds_readiness() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let mut server = start(folder.path(), DRAIN_DELAY_MS)?;
    create(&server).await?;
    let balancer = watch::Sender::new(Some((0, server.address.clone())));
    let met = Arc::new(Met::default());
    let mut connections = connect(&balancer.subscribe(), &met);
    for life in 1..=RESTARTS as u64 {
        more_answers(&mut connections, &met).await?;
        server.terminate()?;
        wait::until_async("the server to say that it is not ready", async || {
            Ok((!server.is_ready()).then_some(()))
        })
        .await?;
        assert!(server.is_alive()?, "it serves on while balancers notice");
        balancer.send_replace(None);
        let done = server.ended()?;
        assert!(done.status.success(), "{}", done.output);
        assert!(!done.output.contains("requests were cut off"), "{}", done.output);
        server = start(folder.path(), DRAIN_DELAY_MS)?;
        balancer.send_replace(Some((life, server.address.clone())));
    }
    more_answers(&mut connections, &met).await?;
    all_went_well(connections, &met).await?;
    assert_eq!(met.unsent.load(Ordering::Relaxed), 0, "not one had to be sent again");
    check_entries(&server, met.answers.load(Ordering::Relaxed)).await
}

// REQ: EDG-07
#[tokio::test(flavor = "multi_thread")]
async fn who_only_heeds_goaway_sends_again_what_was_not_sent_and_nothing_else() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let mut server = start(folder.path(), "0")?;
    create(&server).await?;
    let balancer = watch::Sender::new(Some((0, server.address.clone())));
    let met = Arc::new(Met::default());
    let mut connections = connect(&balancer.subscribe(), &met);
    for life in 1..=RESTARTS as u64 {
        more_answers(&mut connections, &met).await?;
        let done = server.stop()?;
        assert!(done.status.success(), "{}", done.output);
        // So no call that it had looked at ended without its answer.
        assert!(!done.output.contains("requests were cut off"), "{}", done.output);
        server = start(folder.path(), "0")?;
        balancer.send_replace(Some((life, server.address.clone())));
    }
    more_answers(&mut connections, &met).await?;
    all_went_well(connections, &met).await?;
    check_entries(&server, met.answers.load(Ordering::Relaxed)).await
}
