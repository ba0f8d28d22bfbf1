//! Every process is restarted, one after another, while commands and events come in: nothing
//! is lost or doubled, and each caller gets an answer or an error that says to try again.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use exchequer_e2e::{Bearer, Client, Res, Sent, ensure, run_with, wait};
use tonic::{Code, Status};

use crate::deployment::{Deployment, Member, PARTITIONS, accepted, says};
use crate::metered::{counted, make_meter, published};
use crate::turn::Turn;

/// Two of each, so that one is always there.
const PROCESSES: &[(&str, &[&str])] = &[
    ("decider-1", &["decider"]),
    ("decider-2", &["decider"]),
    ("meter-1", &["meter", "sealer"]),
    ("meter-2", &["meter", "sealer"]),
    ("projector-1", &["projector", "consumer"]),
    ("projector-2", &["projector", "consumer"]),
    ("gateway-1", &["gateway"]),
    ("gateway-2", &["gateway"]),
];
const ROLES: &[&str] = &["decider", "meter", "projector", "consumer", "sealer"];
/// One tenant each.
const WRITERS: usize = 6;
/// Events beside each command.
const EVENTS: usize = 4;
/// By writer: no identity comes twice.
const IDS: usize = 1_000_000;

/// Where gateways are at the moment.
struct Gateways {
    addresses: Mutex<Vec<String>>,
    bearer: Bearer,
}

impl Gateways {
    fn address(&self, turn: usize) -> String {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses[turn % addresses.len()].clone()
    }

    fn moved(&self, from: &str, to: &str) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        for it in addresses.iter_mut().filter(|it| *it == from) {
            to.clone_into(it);
        }
    }
}

/// A caller that goes to another gateway when one is gone.
struct Caller<'a> {
    gateways: &'a Gateways,
    client: Option<Client>,
    turn: usize,
}

impl Caller<'_> {
    async fn client(&mut self) -> Option<Client> {
        if self.client.is_none() {
            self.turn += 1;
            let (address, bearer) = (self.gateways.address(self.turn), &self.gateways.bearer);
            self.client = Client::open(&address, bearer.clone()).await.ok();
        }
        self.client.clone()
    }

    /// An error that leaves it open what became of the call says so by its code; the same
    /// call is made again then.
    fn failed(&mut self, what: &str, status: &Status) -> Res<()> {
        let is_retryable = matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted
        );
        // The library's own words about a connection that ended.
        let is_of_connection = std::error::Error::source(status).is_some();
        ensure(is_retryable || is_of_connection, || format!("{what}: {status:?}"))?;
        self.client = None;
        Ok(())
    }

    async fn answered(&mut self, sent: &Sent) -> Res<()> {
        let deadline = wait::Deadline::new("an answer");
        loop {
            if let Some(client) = self.client().await {
                match client.send(sent).await {
                    Ok(_) => return Ok(()),
                    Err(status) => self.failed(&sent.id, &status)?,
                }
            }
            deadline.step().await?;
        }
    }

    async fn taken(&mut self, ids: core::ops::Range<usize>) -> Res<()> {
        let deadline = wait::Deadline::new("events to be taken");
        loop {
            if let Some(client) = self.client().await {
                match published(&client, ids.clone()).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => self.client = None,
                    Err(status) => self.failed("events", &status)?,
                }
            }
            deadline.step().await?;
        }
    }
}

fn tenant(number: usize) -> String {
    format!("tenant-{number}")
}

fn rename(writer: usize, number: usize) -> Sent {
    let name = format!("Round {number}");
    Sent::rename(&tenant(writer), &format!("rename-{writer}-{number}"), &name, None)
}

/// Writes until it is over; how many commands were answered.
async fn write(gateways: &Gateways, writer: usize, is_over: &AtomicBool) -> Res<usize> {
    let mut caller = Caller { gateways, client: None, turn: writer };
    let mut number = 0;
    while !is_over.load(Ordering::Acquire) {
        caller.answered(&rename(writer, number)).await?;
        let from = writer * IDS + number * EVENTS;
        caller.taken(from..from + EVENTS).await?;
        number += 1;
    }
    Ok(number)
}

/// Stops each process as an operator would, and starts it again.
fn roll(
    deployment: Arc<Deployment>,
    gateways: Arc<Gateways>,
    members: Vec<Member>,
    is_over: Arc<AtomicBool>,
) -> JoinHandle<Res<Vec<Member>>> {
    std::thread::spawn(move || {
        let rolled = members.into_iter().zip(PROCESSES).map(|(member, (name, roles))| {
            let before = member.address.clone();
            member.stop()?;
            let again = deployment.start(&format!("{name}-again"), roles)?;
            gateways.moved(&before, &again.address);
            Ok(again)
        });
        let rolled = rolled.collect();
        is_over.store(true, Ordering::Release);
        rolled
    })
}

// REQ: KER-13, OPS-05, USE-12
#[tokio::test(flavor = "multi_thread")]
async fn every_role_is_restarted_under_load_and_nothing_is_lost() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Arc::new(Deployment::ready()?);
    // Ready is a gateway only with the others.
    let begun: Res<Vec<_>> =
        PROCESSES.iter().map(|(name, roles)| deployment.begin(name, roles)).collect();
    let members: Res<Vec<Member>> = begun?.into_iter().map(Member::ready).collect();
    let members = members?;
    let addresses = members[members.len() - 2..].iter().map(|it| it.address.clone()).collect();
    let bearer = Bearer::of_deployment(deployment.folder())?;
    let gateways = Arc::new(Gateways { addresses: Mutex::new(addresses), bearer });
    let client = deployment.client(&members[members.len() - 1]).await?;
    let create: Vec<Sent> =
        (0..WRITERS).map(|it| Sent::create(&tenant(it), &format!("create-{it}"))).collect();
    accepted(&client, &create).await?;
    make_meter(&client).await?;

    let is_over = Arc::new(AtomicBool::new(false));
    let rolling =
        roll(Arc::clone(&deployment), Arc::clone(&gateways), members, Arc::clone(&is_over));
    let writing = (0..WRITERS).map(|writer| write(&gateways, writer, &is_over));
    let written = futures::future::join_all(writing).await;
    let members = rolling.join().map_err(|_| "the restarts panicked")??;
    let written = written.into_iter().collect::<Res<Vec<usize>>>()?;

    let client = deployment.client(&members[members.len() - 1]).await?;
    for (writer, count) in written.iter().enumerate() {
        let id = tenant(writer);
        let token = client.token(&id).await?;
        let book = client.book(&id, &token).await?.ok_or_else(|| format!("{id} is gone"))?;
        let found: Vec<&str> = book.entries.iter().map(|it| it.command_id.as_str()).collect();
        let found: Vec<&str> = found.into_iter().filter(|it| it.starts_with("rename-")).collect();
        let expected: Vec<String> = (0..*count).map(|it| rename(writer, it).id).collect();
        ensure(*count > 0 && found == expected, || format!("{id}: {found:?}, not {expected:?}"))?;
    }
    let of_writer = |(writer, count): (usize, &usize)| -> u64 {
        (writer * IDS..writer * IDS + count * EVENTS).map(|it| it as u64).sum()
    };
    counted(&client, written.iter().enumerate().map(of_writer).sum()).await?;
    let last = &members[members.len() - 1];
    owned(&client, &members).await?;
    shown(&deployment, last)
}

/// Each partition of each role has its process, and each process is told by its port.
async fn owned(client: &Client, members: &[Member]) -> Res<()> {
    let ports: BTreeSet<&str> = members.iter().filter_map(|it| port(&it.address)).collect();
    let deadline = wait::Deadline::new("an owner for each partition");
    loop {
        let status = client.status().await?;
        let is_owned = |role: &str| {
            let of_role = status.owners.iter().filter(|it| it.role == role);
            let of_role: Vec<u32> = of_role.flat_map(|it| it.partitions.clone()).collect();
            let each: BTreeSet<u32> = of_role.iter().copied().collect();
            of_role.len() == each.len() && each == (0..PARTITIONS).collect()
        };
        let are_owned = ROLES.iter().all(|role| is_owned(role));
        let are_ours = status
            .owners
            .iter()
            .all(|it| port(&it.process).is_some_and(|port| ports.contains(port)));
        if are_owned && are_ours {
            return Ok(());
        }
        deadline.step().await.map_err(|error| format!("{error}: {status:?}"))?;
    }
}

fn port(process: &str) -> Option<&str> {
    process.rsplit_once(':').map(|(_, port)| port)
}

/// The same for people.
fn shown(deployment: &Deployment, gateway: &Member) -> Res<()> {
    let key = deployment.folder().join("keys/deployment.key");
    let words = ["admin", "status", "--server", &gateway.address, "--deployment-key"];
    let words: Vec<&OsStr> = words.iter().map(OsStr::new).chain([key.as_os_str()]).collect();
    let parts = ["decided by", "lag seconds", "0 dead letters", "\nsealer ", "\nmeter "];
    says(&run_with(&words)?, 0, &parts)
}
