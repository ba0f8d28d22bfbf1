//! SIM-16 to SIM-20 and SIM-22: one stream told from its events alone, and what
//! must hold after each input.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_domain_entitlements as entitlements;
use exchequer_domain_subscriptions as subscriptions;
use exchequer_domain_tenants as tenants;
use exchequer_tenant::Event;
use exchequer_types::{HeldPlan, Slug, TenantId, Timestamp};

use super::entitled::{Documents, Grant};
use super::happened::{Happened, Step};
use super::lives::Lives;
use super::staff::Staff;

/// A stream as far as time and plans go.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    pub(crate) exists: bool,
    pub(crate) provider: Option<TenantId>,
    pub(crate) clock: Option<Timestamp>,
    is_closed: bool,
    closing: Option<String>,
    timers: BTreeMap<String, Timestamp>,
    lives: Lives,
    /// What the subscription last said of the plan.
    told: Option<HeldPlan>,
    pub(crate) plan: Option<HeldPlan>,
    /// Those that have not ended, by id.
    pub(crate) grants: BTreeMap<String, Grant>,
    pub(crate) used: BTreeMap<Slug, u64>,
    pub(crate) staff: Staff,
    /// Every id that was given out.
    ids: BTreeSet<String>,
}

impl Shadow {
    /// The time that the stream lives in when real time is `now`.
    pub(crate) fn time(&self, now: Timestamp) -> Timestamp {
        self.clock.unwrap_or(now)
    }

    /// The plan that the tenant has; `since` is not judged.
    pub(crate) fn held(&self, since: Timestamp) -> Option<HeldPlan> {
        self.lives.plan(since).filter(|_| !self.is_closed)
    }

    /// Takes over what one input came to.
    pub(crate) fn step(&mut self, step: &Step, documents: &Documents) -> Result<(), String> {
        let clock = self.clock;
        for happened in &step.events {
            self.take(happened, documents)?;
        }
        if let Some(clock) = clock {
            self.check_own_time(clock, step)?;
        }
        self.lives.check_charges()?;
        self.check_plan()?;
        self.check_timers()
    }

    fn take(&mut self, happened: &Happened, documents: &Documents) -> Result<(), String> {
        match &happened.event {
            Event::Tenants(event) => self.take_tenants(event),
            Event::Subscriptions(event) => {
                self.new_ids(event)?;
                if let subscriptions::Event::HeldChanged { held } = event {
                    self.told.clone_from(held);
                    if held.as_ref().is_some_and(|held| held.since != happened.at) {
                        return Err(format!("SIM-19 {held:?} was told at {}", happened.at));
                    }
                }
                return self.lives.take(event, happened.at);
            }
            Event::Entitlements(event) => return self.take_entitlements(event, documents),
            Event::Access(event) => return self.staff.take(event),
            Event::TimerSet { id, due, own_time } => {
                self.new_id(id)?;
                if *own_time != self.clock.is_some() {
                    return Err(format!("SIM-22 timer {id} has own_time {own_time}"));
                }
                self.timers.insert(id.clone(), *due);
            }
            Event::TimerCleared { id, due, fired } => {
                let pending = self.timers.remove(id);
                let by_itself = *id == happened.timer;
                if pending != Some(*due) || (by_itself != *fired) {
                    return Err(format!(
                        "SIM-20 timer {id} of {pending:?} was cleared: {happened:?}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_tenants(&mut self, event: &tenants::Event) {
        use tenants::Event as E;
        match event {
            E::Created { parent, test_clock, .. } => {
                self.exists = true;
                self.provider.clone_from(parent);
                self.clock = *test_clock;
            }
            E::ClockAdvanced { to } => self.clock = Some(*to),
            E::Closed { .. } => {
                self.is_closed = true;
                self.closing = None;
            }
            E::ClosingScheduled { timer, .. } => self.closing = Some(timer.clone()),
            E::ClosingCancelled { .. } => self.closing = None,
            _ => {}
        }
    }

    fn take_entitlements(
        &mut self,
        event: &entitlements::Event,
        documents: &Documents,
    ) -> Result<(), String> {
        use entitlements::Event as E;
        match event {
            E::PlanGiven { held, content } => {
                let wanted = documents.content(&held.plan, &held.add_ons);
                if wanted.as_ref() != Some(content) {
                    return Err(format!("SIM-19 {held:?} gives {content:?}, not {wanted:?}"));
                }
                self.plan = Some(held.clone());
            }
            E::PlanWithdrawn => self.plan = None,
            E::Granted { id, feature, amount, kind, expiry, .. } => {
                self.new_id(id)?;
                let (feature, amount, kind) = (feature.clone(), *amount, *kind);
                let grant = Grant { feature, amount, kind, expiry: expiry.clone() };
                self.grants.insert(id.clone(), grant);
            }
            E::GrantRevoked { id, .. } | E::GrantExpired { id, .. } => {
                if self.grants.remove(id).is_none() {
                    return Err(format!("SIM-19 the grant {id} ended twice"));
                }
            }
            E::UseReported { feature, used } => {
                self.used.insert(feature.clone(), *used);
            }
            E::Closed { .. } => {
                self.plan = None;
                self.grants.clear();
            }
        }
        Ok(())
    }

    fn new_ids(&mut self, event: &subscriptions::Event) -> Result<(), String> {
        use subscriptions::Event as E;
        match event {
            E::Subscribed { id, .. } | E::ChangeScheduled { id, .. } => self.new_id(id),
            E::ChargeRecorded(charge) => self.new_id(&charge.id),
            _ => Ok(()),
        }
    }

    fn new_id(&mut self, id: &str) -> Result<(), String> {
        if self.ids.insert(id.to_owned()) {
            return Ok(());
        }
        Err(format!("SIM-20 the id {id} was given out twice"))
    }

    /// SIM-19: the plan given is the one that the subscription has.
    fn check_plan(&self) -> Result<(), String> {
        let since = self.told.as_ref().map_or(Timestamp::MIN, |held| held.since);
        if self.told != self.lives.plan(since) || self.plan != self.held(since) {
            return Err(format!(
                "SIM-19 the subscription gives {:?}, told was {:?}, given is {:?}",
                self.lives.plan(since),
                self.told,
                self.plan
            ));
        }
        if self.is_closed && !self.grants.is_empty() {
            return Err(format!("SIM-19 closed, with {:?}", self.grants));
        }
        Ok(())
    }

    /// SIM-20: pending is what is due, and nothing else.
    fn check_timers(&self) -> Result<(), String> {
        let own = self.timers.iter().filter(|(id, _)| id.starts_with("tms_"));
        let (found, wanted): (Vec<_>, _) = (own.map(|(_, due)| *due).collect(), self.lives.due());
        if found != wanted.into_iter().collect::<Vec<_>>() {
            return Err(format!("SIM-20 timers at {found:?} for what is due at {wanted:?}"));
        }
        let expiries = self.grants.values().filter_map(|grant| grant.expiry.as_ref());
        let expiries: BTreeMap<_, _> = expiries.map(|it| (it.timer.clone(), it.at)).collect();
        let own = |(id, _): &(&String, &Timestamp)| id.starts_with("tme_");
        let found = self.timers.iter().filter(own).map(|(id, due)| (id.clone(), *due));
        let found: BTreeMap<_, _> = found.collect();
        if found != expiries {
            return Err(format!("SIM-20 timers {found:?} for grants that expire at {expiries:?}"));
        }
        // Access lives in real time: nothing falls due of it in a sandbox.
        let due = if self.clock.is_none() { self.staff.due() } else { BTreeMap::new() };
        let own = self.timers.iter().filter(|(id, _)| id.starts_with("tma_"));
        let found: BTreeMap<_, _> = own.map(|(id, due)| (id.clone(), *due)).collect();
        if found != due {
            return Err(format!("SIM-20 timers {found:?} for what ends at {due:?}"));
        }
        // What reservations wait for is followed with them.
        let known = ["tms_", "tme_", "tma_", "tmq_"];
        let is_other = |id: &&String| !known.iter().any(|own| id.starts_with(own));
        let others = self.timers.keys().filter(is_other);
        let others: Vec<_> = others.collect();
        if others != self.closing.iter().collect::<Vec<_>>() {
            return Err(format!("SIM-20 timers {others:?}, to close: {:?}", self.closing));
        }
        Ok(())
    }

    /// SIM-22: `clock` was the sandbox's own time before.
    fn check_own_time(&self, clock: Timestamp, step: &Step) -> Result<(), String> {
        let until = self.clock.unwrap_or(clock);
        for Happened { at, timer, event } in &step.events {
            let is_its = if timer.is_empty() {
                *at == until
            } else {
                // Only where its clock is moved does anything fall due.
                clock < *at && *at <= until
            };
            let is_of_operator = matches!(event, Event::Parked { .. } | Event::Released { .. });
            if !is_its && !is_of_operator {
                return Err(format!(
                    "SIM-22 at {at}, while its clock went from {clock} to {until}: {event:?}"
                ));
            }
        }
        match self.timers.values().min() {
            Some(due) if *due <= until => {
                Err(format!("SIM-22 {due} is pending at its own time {until}"))
            }
            _ => Ok(()),
        }
    }
}
