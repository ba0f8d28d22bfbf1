//! What people ask of tenants themselves: their life, settings, audit entries, and
//! everything once more under an id that was used before.

use core::time::Duration;
use std::collections::BTreeMap;

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_engine::Submission;
use exchequer_tenant::{Command, Create};
use exchequer_types::{StreamId, TenantId};

use super::{People, tenant};
use crate::exec::lock;
use crate::rng::Rng;

impl People {
    pub(super) fn tenant(&self, rng: &mut Rng) -> TenantId {
        // A few are more popular than others.
        let bound = rng.within(1, self.world.plan.tenants + 1);
        tenant(rng.below(bound))
    }

    /// What to ask for next.
    pub(super) fn think(&self, rng: &mut Rng) -> Submission {
        if rng.chance(120) {
            let asked = lock(&self.world.asked);
            if !asked.is_empty() {
                let earlier = rng.pick(&asked).submission.clone();
                drop(asked);
                return self.again(earlier, rng);
            }
        }
        let tenant = self.tenant(rng);
        let command = match self.version(&tenant, "tenant") {
            None if rng.chance(750) => self.create(rng),
            _ => self.befall(rng),
        };
        self.conditioned(&tenant, command, rng)
    }

    /// Something with an id that was used before.
    pub(super) fn again(&self, earlier: Submission, rng: &mut Rng) -> Submission {
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
        Command::Create(Create {
            parent,
            name: name(rng),
            settings: settings(rng),
            test_clock: None,
        })
    }

    fn befall(&self, rng: &mut Rng) -> Command {
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
}

pub(super) fn name(rng: &mut Rng) -> String {
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
        after: "{\"a\":1}".to_owned(),
        ..audit::Draft::default()
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
