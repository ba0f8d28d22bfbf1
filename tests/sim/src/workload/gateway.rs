//! What people ask a gateway: what a tenant may use. Answers come from snapshots in
//! memory, and are kept for the checkers.

use core::time::Duration;
use std::sync::Arc;

use exchequer_domain_entitlements as entitlements;
use exchequer_engine::{Answer, Token};
use exchequer_projection_entitlements::{LiveEntitlements, Snapshot};
use exchequer_types::{Offset, Slug, TenantId, Timestamp};
use futures::future::select;
use tokio::sync::oneshot;

use super::People;
use super::documents::{FEATURES, slug};
use crate::exec::lock;
use crate::procs::Role;
use crate::rng::Rng;

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

/// What is asked about.
pub(crate) fn features() -> Vec<Slug> {
    FEATURES.iter().map(|id| slug(id)).collect()
}

impl People {
    /// Asks a gateway about a tenant, at `answer`'s place or later.
    pub(super) async fn glance(&self, tenant: &TenantId, answer: Option<&Answer>, rng: &mut Rng) {
        let Some((proc, platform)) = self.procs.platform(&[Role::Views]) else { return };
        let (world, tenant) = (self.world.clone(), tenant.clone());
        let answered = answer.filter(|_| rng.chance(700));
        let token = answered.map_or_else(Token::default, Answer::token);
        // A process's memory is never behind what that process answered.
        let is_own = answer.is_some_and(|it| self.is_answered_by(it, proc));
        let wanted = answer.filter(|_| is_own || answered.is_some()).map(|it| it.place.offset);
        let (done, is_done) = oneshot::channel();
        self.world.sim.spawn_on(proc, async move {
            let Some(live) = platform.live::<LiveEntitlements>() else { return };
            let seen = live.get(&tenant, &token, Duration::from_secs(5)).await;
            world.sim.note(|| match &seen {
                Ok(seen) => format!("glance at {tenant}, below {}", seen.offset),
                Err(error) => format!("no glance at {tenant}: {error}"),
            });
            if let Ok(seen) = seen {
                let now = platform.ports.runtime.now();
                if wanted.is_some_and(|offset| seen.offset <= offset) {
                    world.violation(format!("SIM-14 {tenant}: {:?} sees less than was told", seen));
                }
                let snapshot = seen.snapshot;
                let at = snapshot.time(now);
                let answers = features().into_iter().map(|feature| {
                    let decision = entitlements::check(&snapshot.state, &feature, at);
                    (feature, decision)
                });
                let answers = answers.collect();
                let offset = seen.offset;
                let glance = Glance { tenant, offset, snapshot, now, answers };
                lock(&world.glances).push(glance);
            }
            // Whoever asked may be gone.
            let _ = done.send(());
        });
        let _ = select(is_done, Box::pin(self.world.sim.sleep(8_000_000))).await;
    }
}
