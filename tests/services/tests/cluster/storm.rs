//! Brokers and the store are gone for more than a minute: whoever looks for them does so ever
//! more seldom, and says each thing once a minute.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use exchequer_e2e::{Res, Sent, ensure, wait};

use crate::deployment::{Deployment, accepted};
use crate::turn::Turn;

/// A warning is repeated after a minute; this is longer.
const OUTAGE: Duration = Duration::from_secs(75);
/// A process has some sixty connections, of which each is tried about once a second; with the
/// pause that is the first alone it would be ten times as often.
const CONNECTS_MAX: usize = 7_500;
/// Twice what each of some sixty tasks has to say.
const LINES_MAX: usize = 300;

/// Takes connections where a server was, and ends each at once.
struct Refusing {
    count: Arc<AtomicUsize>,
    has_ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Refusing {
    fn at(address: &str) -> Res<Self> {
        let listener = wait::until("the port to be free", || Ok(TcpListener::bind(address).ok()))?;
        listener.set_nonblocking(true)?;
        let (count, has_ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counted, ended) = (Arc::clone(&count), Arc::clone(&has_ended));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok(_) => drop(counted.fetch_add(1, Ordering::SeqCst)),
                    Err(_) => wait::pass(Duration::from_millis(1)),
                }
            }
        });
        Ok(Self { count, has_ended, thread: Some(thread) })
    }

    /// How many came; the port is free again.
    fn end(mut self) -> usize {
        self.has_ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        self.count.load(Ordering::SeqCst)
    }
}

// REQ: KER-07, OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_servers_neither_storms_them_nor_the_log() -> Res<()> {
    let _turn = Turn::shared();
    let mut deployment = Deployment::ready()?;
    let member = deployment.start("all", &[])?;
    let client = deployment.client(&member).await?;
    accepted(&client, &[Sent::create("acme", "create")]).await?;
    let [broker, node] = [deployment.bootstrap(), deployment.node()];
    deployment.lose_servers()?;
    let [broker, node] = [Refusing::at(&broker)?, Refusing::at(&node)?];
    let said = || std::fs::read_to_string(member.process.log());
    let before = said()?.lines().count();
    wait::pass(OUTAGE);
    let [to_broker, to_node] = [broker.end(), node.end()];
    let said = said()?;
    let lines: Vec<&str> = said.lines().skip(before).collect();
    let found = format!("{to_broker} to the broker, {to_node} to the node, {} lines", lines.len());
    println!("{found}");
    ensure(to_broker > 0 && to_node > 0 && !lines.is_empty(), || found.clone())?;
    ensure(to_broker.max(to_node) < CONNECTS_MAX && lines.len() < LINES_MAX, || found)?;
    deployment.find_servers()?;
    accepted(&client, &[Sent::rename("acme", "rename", "Back", None)]).await.map(drop)
}
