//! SIM-40 to SIM-42: reservations followed from events alone, beside what the domain's own
//! invariants say of each state.

use core::time::Duration;
use std::collections::BTreeMap;

use exchequer_domain_quotas::{self as quotas, Event as E, Figures, Terms};
use exchequer_tenant::Event;
use exchequer_types::{Slug, Timestamp};

use super::chain::Chain;
use super::happened::{self, Happened};
use super::oracle::Folded;
use crate::world::World;

/// How late the clock may be at rest.
const LATE_MICROS_MAX: u64 = 60_000_000;

/// What the events of a tenant say.
#[derive(Default)]
struct Tenant {
    /// Limit, with what it allows for bursts; None: no end.
    most: BTreeMap<Slug, Option<u64>>,
    used: BTreeMap<Slug, u64>,
    /// Feature, amount and expiry.
    open: BTreeMap<String, (Slug, u64, Timestamp)>,
    /// How each ended that did, and until when it holds its id.
    ended: BTreeMap<String, (&'static str, Timestamp)>,
    is_sandbox: bool,
    is_parked: bool,
}

pub(crate) fn check(
    world: &World,
    chains: &[Chain],
    folded: &[Folded],
    violations: &mut Vec<String>,
) {
    for (_, stream) in folded.iter().flat_map(|it| it.histories.values()).flatten() {
        if let Err(broken) = quotas::invariants::check(&stream.quotas) {
            violations.push(format!("SIM-40 {broken}"));
            return;
        }
    }
    let late = Duration::from_micros(LATE_MICROS_MAX);
    let until = world.sim.now().saturating_sub(late);
    for (stream, history) in happened::histories(chains, violations) {
        let mut tenant = Tenant::default();
        for happened in history.steps.iter().flat_map(|step| &step.events) {
            if let Err(problem) = tenant.follow(happened) {
                violations.push(format!("{problem} ({stream} at {})", happened.at));
                return;
            }
        }
        let kept = tenant.open.iter().find(|(_, (_, _, expires_at))| *expires_at <= until);
        if let Some((id, (_, _, expires_at))) = kept
            && !tenant.is_sandbox
            && !tenant.is_parked
        {
            violations.push(format!("SIM-42 {id} of {stream} is open and ended at {expires_at}"));
        }
    }
}

impl Tenant {
    fn follow(&mut self, happened: &Happened) -> Result<(), String> {
        match &happened.event {
            Event::Tenants(exchequer_domain_tenants::Event::Created { test_clock, .. }) => {
                self.is_sandbox = test_clock.is_some();
            }
            Event::Parked { .. } => self.is_parked = true,
            Event::Released { .. } => self.is_parked = false,
            Event::Quotas(event) => return self.quotas(event, happened.at),
            _ => {}
        }
        Ok(())
    }

    fn quotas(&mut self, event: &E, at: Timestamp) -> Result<(), String> {
        match event {
            E::Limited { feature, terms, figures, .. } => {
                self.most.insert(feature.clone(), most(terms));
                self.agrees(feature, *figures)
            }
            E::Reserved { id, feature, amount, expires_at, figures } => {
                let kept = self.ended.get(id).is_some_and(|(_, until)| at < *until);
                if self.open.contains_key(id) || kept {
                    return Err(format!("SIM-41 {id} is reserved twice"));
                }
                self.open.insert(id.clone(), (feature.clone(), *amount, *expires_at));
                self.agrees(feature, *figures)?;
                let held = self.held(feature);
                match self.most.get(feature) {
                    Some(Some(most)) if held > *most => {
                        Err(format!("SIM-40 {id}: {held} of {most} units of {feature} are held"))
                    }
                    Some(_) => Ok(()),
                    None => Err(format!("SIM-40 {id}: nothing is given of {feature}")),
                }
            }
            E::Finalised { id, feature, amount, figures } => {
                let reserved = self.end(id, "finalised")?;
                if *amount > reserved {
                    return Err(format!("SIM-40 {id}: {amount} of {reserved} units are used"));
                }
                *self.used.entry(feature.clone()).or_default() += amount;
                self.agrees(feature, *figures)
            }
            E::Released { id, feature, figures } => {
                self.end(id, "released")?;
                self.agrees(feature, *figures)
            }
            E::Expired { ids, figures } => {
                for id in ids {
                    let expires_at = self.open.get(id).map(|(_, _, expires_at)| *expires_at);
                    if expires_at.is_some_and(|it| it > at) {
                        return Err(format!("SIM-42 {id} expires before its time"));
                    }
                    self.end(id, "expired")?;
                }
                figures.iter().try_for_each(|(feature, figures)| self.agrees(feature, *figures))
            }
            E::Adjusted { feature, units, figures, .. } => {
                let used = self.used.entry(feature.clone()).or_default();
                *used = used.checked_sub(*units).ok_or("SIM-40 more is freed than was used")?;
                self.agrees(feature, *figures)
            }
            E::Reset { feature, figures, .. } => {
                self.used.remove(feature);
                self.agrees(feature, *figures)
            }
            E::Lifted { feature } => {
                self.most.remove(feature);
                Ok(())
            }
            E::Closed { .. } => {
                *self = Self { is_sandbox: self.is_sandbox, ..Self::default() };
                Ok(())
            }
            E::ThresholdReached { .. } | E::TimerMoved { .. } => Ok(()),
        }
    }

    /// The units of an open one, which ends.
    fn end(&mut self, id: &str, how: &'static str) -> Result<u64, String> {
        let Some((_, amount, expires_at)) = self.open.remove(id) else {
            let before = self.ended.get(id).map_or("never reserved", |(how, _)| how);
            return Err(format!("SIM-41 {id} is {how}, and was {before}"));
        };
        let kept = Duration::from_secs(quotas::ENDED_KEPT_SECONDS);
        self.ended.insert(id.to_owned(), (how, expires_at.saturating_add(kept)));
        Ok(amount)
    }

    fn reserved(&self, feature: &Slug) -> u64 {
        self.open.values().filter(|(of, ..)| of == feature).map(|(_, amount, _)| amount).sum()
    }

    fn held(&self, feature: &Slug) -> u64 {
        self.used.get(feature).copied().unwrap_or(0) + self.reserved(feature)
    }

    /// SIM-40: figures are what the reservations come to.
    fn agrees(&self, feature: &Slug, figures: Figures) -> Result<(), String> {
        let (used, reserved) =
            (self.used.get(feature).copied().unwrap_or(0), self.reserved(feature));
        if (figures.used, figures.reserved) == (used, reserved) {
            return Ok(());
        }
        Err(format!("SIM-40 {feature}: {figures:?}, not {used} used and {reserved} reserved"))
    }
}

fn most(terms: &Terms) -> Option<u64> {
    terms.limit.filter(|_| terms.is_hard()).map(|limit| limit.saturating_add(terms.burst()))
}
