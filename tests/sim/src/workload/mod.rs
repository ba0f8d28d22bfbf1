//! People outside: they ask for commands, again and again under the same id
//! until they have an answer, and look at what they wrote.

mod documents;
mod flags;
mod gateway;
mod holders;
mod kernel;
mod shop;
mod staff;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use exchequer_engine::{Answer, Submission, SubmitError};
use exchequer_kernel::Status;
use exchequer_projection_tenants as tenants_view;
use exchequer_tenant::Command;
use exchequer_types::{
    ActorId, CommandId, Issuer, Offset, PartitionId, StreamId, TenantId, Timestamp,
};
use futures::future::{Either, join_all, select};
use tokio::sync::oneshot;

pub(crate) use flags::{Facts, Given};
pub(crate) use gateway::{Evaluated, Glance, features};
pub(crate) use kernel::rename;
pub(crate) use shop::{customer, provider, sandbox};
pub(crate) use staff::Look;

use crate::exec::{Proc, lock};
use crate::procs::{Procs, Role};
use crate::rng::Rng;
use crate::world::World;

/// A command that somebody asked for, and every answer that they got.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) submission: Submission,
    pub(crate) answers: Vec<Answer>,
    /// Refused for good, before the log.
    pub(crate) refused: bool,
}

/// Everyone outside. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct People {
    pub(crate) world: World,
    pub(crate) procs: Procs,
    known: Arc<Mutex<Known>>,
    serial: Arc<AtomicU64>,
    pub(crate) busy: Arc<AtomicU64>,
}

/// What people have learnt from answers.
#[derive(Debug, Default)]
struct Known {
    /// Versions, by stream and resource.
    versions: BTreeMap<(String, &'static str), u64>,
    /// Of sandboxes.
    clocks: BTreeMap<TenantId, Timestamp>,
    /// What was granted and scheduled, with its id.
    grants: Vec<(TenantId, String)>,
    role_grants: Vec<(TenantId, String)>,
    credentials: Vec<(TenantId, String)>,
    entries: Vec<(TenantId, String)>,
    /// Who answered, by partition and offset.
    answered: BTreeSet<(PartitionId, Offset, Proc)>,
}

impl People {
    pub(crate) fn new(world: &World, procs: &Procs) -> Self {
        Self {
            world: world.clone(),
            procs: procs.clone(),
            known: Arc::default(),
            serial: Arc::default(),
            busy: Arc::default(),
        }
    }

    /// One person's day.
    pub(crate) async fn client(self, mut rng: Rng) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        for _ in 0..self.world.plan.commands_per_client {
            self.pause(&mut rng).await;
            if rng.chance(40) {
                self.flood(&mut rng).await;
                continue;
            }
            let submission = self.think(&mut rng);
            let answer = self.ask(submission.clone()).await;
            if let Some(answer) = answer
                && rng.chance(300)
            {
                self.look(&submission, &answer).await;
            }
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    async fn pause(&self, rng: &mut Rng) {
        let pause = rng.within(1, 2_000) * rng.within(1, 1_000);
        self.world.sim.sleep(pause).await;
    }

    /// Many commands of one tenant at once.
    async fn flood(&self, rng: &mut Rng) {
        let tenant = self.tenant(rng);
        let count = rng.within(5, 25);
        let asks: Vec<_> =
            (0..count).map(|_| self.ask(self.submission(&tenant, rename(rng)))).collect();
        join_all(asks).await;
    }

    pub(crate) fn submission(&self, tenant: &TenantId, command: Command) -> Submission {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        Submission::new(
            StreamId::Tenant(tenant.clone()),
            word(Issuer::parse("api")),
            word(CommandId::parse(format!("c-{serial}"))),
            word(ActorId::parse("someone")),
            command,
        )
    }

    /// The command, maybe with conditions.
    fn conditioned(&self, tenant: &TenantId, command: Command, rng: &mut Rng) -> Submission {
        let resource = resource(&command);
        let version = resource.and_then(|it| self.version(tenant, it));
        let mut submission = self.submission(tenant, command);
        if rng.chance(if resource.is_some() { 150 } else { 40 }) {
            submission.expected_version = Some(version.unwrap_or(0) + rng.below(2));
        }
        if rng.chance(60) {
            let in_a_while = Duration::from_micros(rng.within(1_000, 3_000_000));
            submission.not_after = Some(self.world.sim.now().saturating_add(in_a_while));
        }
        submission.validate_only = rng.chance(50);
        submission
    }

    /// The last version seen; None when nothing was.
    fn version(&self, tenant: &TenantId, resource: &'static str) -> Option<u64> {
        lock(&self.known).versions.get(&(tenant.to_string(), resource)).copied()
    }

    /// Asks until there is an answer, or a refusal for good.
    pub(crate) async fn ask(&self, submission: Submission) -> Option<Answer> {
        let index = {
            let mut asked = lock(&self.world.asked);
            asked.push(Asked { submission: submission.clone(), answers: vec![], refused: false });
            asked.len() - 1
        };
        self.world.sim.note(|| {
            let Submission { stream, id, command, .. } = &submission;
            format!("ask {index}: {stream} {id} {command:?}").chars().take(160).collect()
        });
        loop {
            match self.try_once(index, &submission).await {
                Some(Ok(answer)) => {
                    lock(&self.known).learn(&submission, &answer);
                    return Some(answer);
                }
                Some(Err(SubmitError::TooLarge { .. })) => {
                    lock(&self.world.asked)[index].refused = true;
                    return None;
                }
                Some(Err(_)) | None => {
                    let wait = self.world.sim.within(1_000, 800_000);
                    self.world.sim.sleep(wait).await;
                }
            }
        }
    }

    /// One call of one gateway. None when the connection broke.
    async fn try_once(
        &self,
        index: usize,
        submission: &Submission,
    ) -> Option<Result<Answer, SubmitError>> {
        let (proc, platform) = self.procs.platform(&[Role::Gateway])?;
        let (reply, replied) = oneshot::channel();
        let (world, submission) = (self.world.clone(), submission.clone());
        let known = Arc::clone(&self.known);
        let patience = Duration::from_micros(world.sim.within(200_000, 6_000_000));
        self.world.sim.spawn_on(proc, async move {
            let result = platform.gateway.submit(submission, patience).await;
            world.sim.note(|| match &result {
                Ok(answer) => {
                    let (place, status) = (answer.place, answer.status());
                    format!("answer {index}: {place:?} of {}: {status:?}", answer.partition)
                }
                Err(error) => format!("no answer {index}: {error}"),
            });
            if let Ok(answer) = &result {
                lock(&world.asked)[index].answers.push(answer.clone());
                let place = (answer.partition, answer.place.offset, proc);
                lock(&known).answered.insert(place);
            }
            // Whoever asked may be gone.
            let _ = reply.send(result);
        });
        match select(replied, Box::pin(self.world.sim.sleep(12_000_000))).await {
            Either::Left((result, _)) => result.ok(),
            Either::Right(_) => None,
        }
    }

    fn is_answered_by(&self, answer: &Answer, proc: Proc) -> bool {
        let place = (answer.partition, answer.place.offset, proc);
        lock(&self.known).answered.contains(&place)
    }

    /// Reads what was written: a query with the reply's token must see it.
    async fn look(&self, submission: &Submission, answer: &Answer) {
        let StreamId::Tenant(tenant) = submission.stream.clone() else { return };
        let is_change = matches!(submission.command, Command::Create(_) | Command::Tenants(_));
        if answer.status() != Some(Status::Accepted) || !is_change {
            return;
        }
        let Some((proc, platform)) = self.procs.platform(&[Role::Views]) else { return };
        let (token, version) = (answer.token(), answer.outcome.version);
        let (done, is_done) = oneshot::channel();
        let world = self.world.clone();
        self.world.sim.spawn_on(proc, async move {
            let Some(view) = platform.view("tenants") else { return };
            let patience = Duration::from_secs(5);
            if let Ok(generation) = view.at_least(&platform.ports, &token, patience).await
                && let Ok(found) =
                    tenants_view::get(platform.ports.store.as_ref(), generation, &tenant).await
            {
                let found = found.map_or(0, |listed| listed.tenant.version);
                if found < version {
                    world.violation(format!(
                        "SIM-14 {tenant} was written at version {version}, and then read at {found}"
                    ));
                }
            }
            // Whoever looks may be gone.
            let _ = done.send(());
        });
        let _ = select(is_done, Box::pin(self.world.sim.sleep(8_000_000))).await;
    }
}

/// What a command's version is of.
fn resource(command: &Command) -> Option<&'static str> {
    match command {
        Command::Create(_) | Command::Tenants(_) | Command::Release { .. } => Some("tenant"),
        Command::Catalog(_) => Some("catalog"),
        Command::Subscribe(_)
        | Command::ChangeSubscription(_)
        | Command::AmendChange(_)
        | Command::Subscriptions(_) => Some("subscription"),
        Command::Entitlements(_) => Some("entitlements"),
        Command::Access(_) => Some("access"),
        // Each flag has a version of its own.
        Command::Flags(_)
        | Command::Usage(_)
        | Command::Quotas(_)
        | Command::Wake
        | Command::Lookup { .. }
        | Command::Audit(_) => None,
    }
}

impl Known {
    fn learn(&mut self, submission: &Submission, answer: &Answer) {
        let StreamId::Tenant(tenant) = &submission.stream else { return };
        let version = answer.outcome.version;
        if let Some(resource) = resource(&submission.command).filter(|_| version > 0) {
            self.versions.insert((tenant.to_string(), resource), version);
        }
        if answer.status() == Some(Status::Accepted) {
            self.learn_accepted(tenant, submission, answer);
        }
    }
}

/// Panics only for a literal that is no id.
pub(crate) fn word<T, E: core::fmt::Debug>(parsed: Result<T, E>) -> T {
    match parsed {
        Ok(it) => it,
        Err(error) => unreachable!("{error:?}"),
    }
}

pub(crate) fn tenant(number: u64) -> TenantId {
    word(TenantId::parse(format!("t{number}")))
}
