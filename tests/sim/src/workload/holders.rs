//! People who set units aside before they work, and then use them, give them up, ask twice,
//! or forget about them.

use std::sync::atomic::Ordering;

use exchequer_domain_entitlements as entitlements;
use exchequer_domain_quotas as quotas;
use exchequer_tenant::Command;
use exchequer_types::{Slug, TenantId};
use quotas::Command as Q;

use super::{People, word};
use crate::rng::Rng;

/// What is reserved: features of the providers' documents, and one that grants alone give.
const FEATURES: [&str; 4] = ["storage", "calls", "export", "granted"];
const SECOND: u64 = 1_000_000;
/// The longest that a reservation holds: some outlive the storm.
const TTL_SECONDS_MAX: u64 = 40;

impl People {
    /// Somebody's day, with a few tenants.
    pub(crate) async fn holder(self, number: u64, mut rng: Rng) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let mut held: Vec<(TenantId, String)> = Vec::new();
        for turn in 0..self.world.plan.commands_per_holder {
            let pause = rng.within(1, 1_000) * rng.within(1, 2_000);
            self.world.sim.sleep(pause).await;
            let known = held.get(rng.below(held.len().max(1) as u64) as usize).cloned();
            let (tenant, command) = match (rng.below(20), known) {
                (0..3, _) | (15.., None) => (self.any_customer(&mut rng), give(&mut rng)),
                (3..11, _) | (11..15, None) => {
                    let tenant = self.any_customer(&mut rng);
                    let id = format!("h{number}-{turn}");
                    held.push((tenant.clone(), id.clone()));
                    (tenant, reserve(id, &mut rng))
                }
                (11, Some((tenant, id))) => (tenant, reserve(id, &mut rng)),
                (12..16, Some((tenant, id))) => {
                    let amount = rng.chance(400).then(|| rng.below(10));
                    (tenant, Command::Quotas(Q::Finalise(quotas::Finalise { id, amount })))
                }
                (16 | 17, Some((tenant, id))) => {
                    (tenant, Command::Quotas(Q::Release(quotas::Release { id })))
                }
                (_, Some((tenant, _))) => {
                    let (feature, units) = (feature(&mut rng), rng.within(1, 6));
                    let reason = "deleted".to_owned();
                    let adjust = quotas::AdjustHeld { feature, units, reason };
                    (tenant, Command::Quotas(Q::AdjustHeld(adjust)))
                }
            };
            let submission = self.conditioned(&tenant, command, &mut rng);
            self.ask(submission).await;
            if rng.chance(100) {
                // Long enough for some to expire.
                self.world.sim.sleep(rng.within(1, TTL_SECONDS_MAX) * SECOND).await;
            }
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn feature(rng: &mut Rng) -> Slug {
    word(Slug::parse(rng.word(&FEATURES)))
}

fn reserve(id: String, rng: &mut Rng) -> Command {
    let (feature, amount) = (feature(rng), rng.within(1, 9));
    let ttl_seconds = rng.within(1, TTL_SECONDS_MAX) as u32;
    Command::Quotas(Q::Reserve(quotas::Reserve { id, feature, amount, ttl_seconds }))
}

/// A few units: most of what is asked for is refused sooner or later.
fn give(rng: &mut Rng) -> Command {
    Command::Entitlements(entitlements::Command::Grant(entitlements::GrantFeature {
        feature: feature(rng),
        amount: entitlements::Amount::Units(rng.within(3, 20)),
        kind: entitlements::GrantKind::Manual,
        reason: "to work with".to_owned(),
        expires_at: None,
    }))
}
