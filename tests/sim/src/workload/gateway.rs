//! What people ask a gateway: what a tenant may use, and what flags serve. Answers
//! come from snapshots in memory, and are kept for the checkers.

use core::time::Duration;
use std::sync::Arc;

use exchequer_domain_entitlements as entitlements;
use exchequer_engine::{Answer, Platform, Token};
use exchequer_flag_eval::{DecidedBy, Plan};
use exchequer_projection_entitlements::{LiveEntitlements, Snapshot};
use exchequer_projection_flags::{LiveFlags, ProjectKey};
use exchequer_types::{Offset, PartitionId, Slug, StreamId, TenantId, Timestamp};
use futures::future::select;
use tokio::sync::oneshot;

use super::People;
use super::documents::{FEATURES, slug};
use super::flags::{self, FLAGS, Facts};
use super::shop;
use crate::check::decide::Served;
use crate::exec::{Proc, lock};
use crate::procs::Role;
use crate::rng::Rng;

/// A gateway that is behind is waited for so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What a gateway said that a tenant may use.
#[derive(Clone, Debug)]
pub(crate) struct Glance {
    pub(crate) tenant: TenantId,
    /// Everything of the tenant's partition below it had been seen.
    pub(crate) offset: Offset,
    pub(crate) snapshot: Arc<Snapshot>,
    /// By the gateway's clock.
    pub(crate) now: Timestamp,
    pub(crate) answers: Vec<(Slug, entitlements::Decision)>,
}

/// What a gateway said that a flag serves.
#[derive(Clone, Debug)]
pub(crate) struct Evaluated {
    pub(crate) provider: TenantId,
    pub(crate) project: Slug,
    pub(crate) environment: Slug,
    pub(crate) flag: Slug,
    pub(crate) facts: Facts,
    /// Everything of the provider's partition below it had been seen.
    pub(crate) seen: (PartitionId, Offset),
    /// The same of the customer, when the context names one.
    pub(crate) customer: Option<(TenantId, Offset)>,
    /// By the gateway's clock.
    pub(crate) now: Timestamp,
    pub(crate) served: Served,
}

/// What a customer has of its provider, at an instant.
struct Customer {
    snapshot: Arc<Snapshot>,
    at: Timestamp,
}

impl Plan for Customer {
    fn plan(&self) -> Option<&str> {
        self.snapshot.state.plan.as_ref().map(|plan| plan.held.plan.plan.as_str())
    }

    fn entitled(&self, feature: &str) -> bool {
        entitlements::is_entitled(&self.snapshot.state, &slug(feature), self.at)
    }
}

/// What is asked about.
pub(crate) fn features() -> Vec<Slug> {
    FEATURES.iter().map(|id| slug(id)).collect()
}

/// What an answer must have seen: everything up to a reply.
pub(super) struct Wanted {
    pub(super) token: Token,
    place: Option<(PartitionId, Offset)>,
}

impl Wanted {
    pub(super) fn is_missed(&self, partition: PartitionId, seen: Offset) -> bool {
        self.place.is_some_and(|(of, offset)| of == partition && seen <= offset)
    }
}

impl People {
    /// `answer` is what was told before, if anything was. A process's memory is never
    /// behind what that process answered; others are told by a token.
    pub(super) fn wanted(&self, answer: Option<&Answer>, proc: Proc, rng: &mut Rng) -> Wanted {
        let told = answer.filter(|_| rng.chance(700));
        let is_own = answer.is_some_and(|it| self.is_answered_by(it, proc));
        let known = answer.filter(|_| is_own || told.is_some());
        let place = known.map(|it| (it.partition, it.place.offset));
        Wanted { token: told.map_or_else(Token::default, Answer::token), place }
    }

    /// Asks a gateway about a tenant, at `answer`'s place or later.
    pub(super) async fn glance(&self, tenant: &TenantId, answer: Option<&Answer>, rng: &mut Rng) {
        let Some((proc, platform)) = self.procs.platform(&[Role::Views]) else { return };
        let (people, tenant) = (self.clone(), tenant.clone());
        let wanted = self.wanted(answer, proc, rng);
        let (done, is_done) = oneshot::channel();
        self.world.sim.spawn_on(proc, async move {
            people.glanced(&platform, tenant, wanted).await;
            // Whoever asked may be gone.
            let _ = done.send(());
        });
        let _ = select(is_done, Box::pin(self.world.sim.sleep(8_000_000))).await;
    }

    async fn glanced(self, platform: &Platform, tenant: TenantId, wanted: Wanted) {
        let Some(live) = platform.live::<LiveEntitlements>() else { return };
        let seen = live.get(&tenant, &wanted.token, PATIENCE).await;
        self.world.sim.note(|| match &seen {
            Ok(seen) => format!("glance at {tenant}, below {}", seen.offset),
            Err(error) => format!("no glance at {tenant}: {error}"),
        });
        let Ok(seen) = seen else { return };
        if wanted.is_missed(seen.partition, seen.offset) {
            self.world.violation(format!("SIM-14 {tenant}: {seen:?} sees less than was told"));
        }
        let now = platform.ports.runtime.now();
        let (snapshot, offset) = (seen.snapshot, seen.offset);
        let at = snapshot.time(now);
        let answer = |feature| {
            let decision = entitlements::check(&snapshot.state, &feature, at);
            (feature, decision)
        };
        let answers = features().into_iter().map(answer).collect();
        lock(&self.world.glances).push(Glance { tenant, offset, snapshot, now, answers });
    }

    /// Has some flags of `provider` evaluated at a gateway, for `tenant` or somebody else,
    /// at `answer`'s place or later.
    pub(super) async fn evaluate(
        &self,
        provider: &TenantId,
        tenant: Option<&TenantId>,
        answer: Option<&Answer>,
        rng: &mut Rng,
    ) {
        let Some((proc, platform)) = self.procs.platform(&[Role::Views]) else { return };
        let (people, provider) = (self.clone(), provider.clone());
        let wanted = self.wanted(answer, proc, rng);
        let tenant = match rng.below(10) {
            0 | 1 => None,
            2 => Some(shop::customer(rng.below(self.world.plan.customers))),
            _ => tenant.cloned(),
        };
        let facts = Facts::draw(tenant, rng);
        let key = ProjectKey { tenant: provider, project: flags::project(rng) };
        let environment = flags::environment(rng);
        let (done, is_done) = oneshot::channel();
        self.world.sim.spawn_on(proc, async move {
            people.evaluated(&platform, key, environment, facts, wanted).await;
            // Whoever asked may be gone.
            let _ = done.send(());
        });
        let _ = select(is_done, Box::pin(self.world.sim.sleep(12_000_000))).await;
    }

    async fn evaluated(
        self,
        platform: &Platform,
        key: ProjectKey,
        environment: Slug,
        facts: Facts,
        wanted: Wanted,
    ) -> Option<()> {
        let seen = platform.live::<LiveFlags>()?.get(&key, &wanted.token, PATIENCE).await.ok()?;
        let partition = platform.tail.partition_of(&StreamId::Tenant(key.tenant.clone()));
        if wanted.is_missed(partition, seen.offset) {
            self.world.violation(format!("SIM-14 flags of {}: less than was told", key.tenant));
        }
        let compiled = seen.snapshot.environment(&environment);
        let customer = match &facts.tenant {
            None => None,
            Some(tenant) => {
                let live = platform.live::<LiveEntitlements>()?;
                Some((tenant.clone(), live.get(tenant, &wanted.token, PATIENCE).await.ok()?))
            }
        };
        let now = platform.ports.runtime.now();
        let offsets = customer.as_ref().map(|(tenant, seen)| (tenant.clone(), seen.offset));
        let customer = customer.map(|(_, seen)| {
            let is_its = seen.snapshot.is_customer_of(&key.tenant);
            let snapshot = if is_its { seen.snapshot } else { Arc::default() };
            Customer { at: snapshot.time(now), snapshot }
        });
        self.world.sim.note(|| format!("evaluate {key:?} below {}, {offsets:?}", seen.offset));
        let (compiled, _) = compiled?;
        let context = facts.context();
        for flag in FLAGS {
            let plan = customer.as_ref().map(|it| it as &dyn Plan);
            let decision = compiled.evaluate(flag, &context, plan);
            let variant = decision.variant.map(str::to_owned).zip(decision.value.cloned());
            let rule = match decision.by {
                DecidedBy::Rule { id, .. } => Some(id.to_owned()),
                _ => None,
            };
            lock(&self.world.evaluated).push(Evaluated {
                provider: key.tenant.clone(),
                project: key.project.clone(),
                environment: environment.clone(),
                flag: slug(flag),
                facts: facts.clone(),
                seen: (partition, seen.offset),
                customer: offsets.clone(),
                now,
                served: Served { variant, reason: decision.reason, rule },
            });
        }
        Some(())
    }
}
