//! People outside: they ask for commands, again and again under the same id
//! until they have an answer, and look at what they wrote.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_engine::{Answer, Submission, SubmitError};
use exchequer_kernel::Status;
use exchequer_projection_tenants as tenants_view;
use exchequer_tenant::Command;
use exchequer_types::{ActorId, CommandId, Issuer, StreamId, TenantId};
use futures::future::{Either, join_all, select};
use tokio::sync::oneshot;

use crate::exec::lock;
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
    /// Versions seen, by tenant.
    seen: Arc<Mutex<BTreeMap<String, u64>>>,
    serial: Arc<AtomicU64>,
    pub(crate) busy: Arc<AtomicU64>,
}

impl People {
    pub(crate) fn new(world: &World, procs: &Procs) -> Self {
        Self {
            world: world.clone(),
            procs: procs.clone(),
            seen: Arc::default(),
            serial: Arc::default(),
            busy: Arc::default(),
        }
    }

    /// One person's day.
    pub(crate) async fn client(self, mut rng: Rng) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        for _ in 0..self.world.plan.commands_per_client {
            let pause = rng.within(1, 2_000) * rng.within(1, 1_000);
            self.world.sim.sleep(pause).await;
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

    /// Many commands of one tenant at once.
    async fn flood(&self, rng: &mut Rng) {
        let tenant = self.tenant(rng);
        let count = rng.within(5, 25);
        let asks: Vec<_> =
            (0..count).map(|_| self.ask(self.submission(&tenant, rename(rng)))).collect();
        join_all(asks).await;
    }

    fn tenant(&self, rng: &mut Rng) -> TenantId {
        // A few are more popular than others.
        let bound = rng.within(1, self.world.plan.tenants + 1);
        tenant(rng.below(bound))
    }

    pub(crate) fn submission(&self, tenant: &TenantId, command: Command) -> Submission {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        Submission {
            stream: StreamId::Tenant(tenant.clone()),
            issuer: word(Issuer::parse("api")),
            id: word(CommandId::parse(format!("c-{serial}"))),
            actor: word(ActorId::parse("someone")),
            command,
            expected_version: None,
            not_after: None,
            validate_only: false,
        }
    }

    /// What to ask for next.
    fn think(&self, rng: &mut Rng) -> Submission {
        if rng.chance(120) {
            let asked = lock(&self.world.asked);
            if !asked.is_empty() {
                let earlier = rng.pick(&asked).submission.clone();
                drop(asked);
                return self.again(earlier, rng);
            }
        }
        let tenant = self.tenant(rng);
        let version = lock(&self.seen).get(tenant.as_str()).copied();
        let command = match version {
            None if rng.chance(750) => self.create(rng),
            _ => self.change(rng),
        };
        let mut submission = self.submission(&tenant, command);
        if rng.chance(150) {
            submission.expected_version = Some(version.unwrap_or(0) + rng.below(2));
        }
        if rng.chance(60) {
            let in_a_while = Duration::from_micros(rng.within(1_000, 3_000_000));
            submission.not_after = Some(self.world.sim.now().saturating_add(in_a_while));
        }
        submission.validate_only = rng.chance(50);
        submission
    }

    /// Something with an id that was used before.
    fn again(&self, earlier: Submission, rng: &mut Rng) -> Submission {
        match rng.below(5) {
            0 | 1 => earlier,
            2 => Submission { command: rename(rng), ..earlier },
            _ => {
                let StreamId::Tenant(tenant) = &earlier.stream else { return earlier };
                let (issuer, id) = (earlier.issuer.into_string(), earlier.id.into_string());
                self.submission(tenant, Command::Lookup { issuer, id })
            }
        }
    }

    fn create(&self, rng: &mut Rng) -> Command {
        let parent = if rng.chance(600) { TenantId::platform() } else { self.tenant(rng) };
        Command::Create { parent, name: name(rng), settings: settings(rng) }
    }

    fn change(&self, rng: &mut Rng) -> Command {
        use tenants::Command as T;
        Command::Tenants(match rng.below(100) {
            0..25 => return rename(rng),
            25..40 => {
                let set = settings(rng);
                let unset = vec![format!("key-{}", rng.within(3, 6))];
                T::UpdateSettings(tenants::UpdateSettings { set, unset })
            }
            40..50 => T::Promote(tenants::Promote),
            50..57 => T::Suspend(tenants::Suspend { reason: name(rng) }),
            57..63 => T::Reinstate(tenants::Reinstate),
            63..75 => {
                let wait = Duration::from_micros(rng.within(1, 15_000) * rng.within(1, 2_000));
                let at = self.world.sim.now().saturating_add(wait);
                T::ScheduleClosing(tenants::ScheduleClosing { at })
            }
            75..79 => T::CancelClosing(tenants::CancelClosing),
            79..81 => T::Close(tenants::Close { reason: name(rng) }),
            81 => return Command::Release { reason: name(rng) },
            82 => return large(),
            _ => return append(rng),
        })
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
                    let tenant = submission.stream.to_string();
                    if answer.outcome.version > 0
                        && !matches!(submission.command, Command::Audit(_) | Command::Lookup { .. })
                    {
                        lock(&self.seen).insert(tenant, answer.outcome.version);
                    }
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
            }
            // Whoever asked may be gone.
            let _ = reply.send(result);
        });
        match select(replied, Box::pin(self.world.sim.sleep(12_000_000))).await {
            Either::Left((result, _)) => result.ok(),
            Either::Right(_) => None,
        }
    }

    /// Reads what was written: a query with the reply's token must see it.
    async fn look(&self, submission: &Submission, answer: &Answer) {
        let StreamId::Tenant(tenant) = submission.stream.clone() else { return };
        let is_change = matches!(submission.command, Command::Create { .. } | Command::Tenants(_));
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

/// Panics only for a literal that is no id.
fn word<T, E: core::fmt::Debug>(parsed: Result<T, E>) -> T {
    match parsed {
        Ok(it) => it,
        Err(error) => unreachable!("{error:?}"),
    }
}

pub(crate) fn tenant(number: u64) -> TenantId {
    word(TenantId::parse(format!("t{number}")))
}

fn name(rng: &mut Rng) -> String {
    format!("name {}", rng.below(100_000))
}

pub(crate) fn rename(rng: &mut Rng) -> Command {
    Command::Tenants(tenants::Command::Rename(tenants::Rename { name: name(rng) }))
}

fn settings(rng: &mut Rng) -> BTreeMap<String, String> {
    (0..rng.below(3)).map(|key| (format!("key-{key}"), name(rng))).collect()
}

fn draft(rng: &mut Rng) -> audit::Draft {
    audit::Draft {
        action: "invoice.seen".to_owned(),
        actor: "u-1".to_owned(),
        resource_type: "invoice".to_owned(),
        resource_id: name(rng),
        before: String::new(),
        after: "{\"a\":1}".to_owned(),
        context: String::new(),
        occurred_at: None,
    }
}

fn append(rng: &mut Rng) -> Command {
    let entries = (0..rng.within(1, 4)).map(|_| draft(rng)).collect();
    Command::Audit(audit::Command::Append(audit::Append { entries }))
}

/// More than a command may have.
fn large() -> Command {
    Command::Tenants(tenants::Command::Rename(tenants::Rename { name: "x".repeat(300_000) }))
}
