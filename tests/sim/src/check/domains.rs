//! SIM-16 to SIM-22, and SIM-24: every tenant's stream followed from its first event on, beside
//! what the domains' state and the gateways say of it.

use std::collections::BTreeMap;

use exchequer_domain_entitlements as entitlements;
use exchequer_types::{PartitionId, Slug, StreamId, TenantId, Timestamp};

use super::chain::Chain;
use super::decide::Customer;
use super::entitled::{self, Documents};
use super::flags;
use super::happened::{self, History};
use super::oracle::Folded;
use super::shadow::Shadow;
use crate::exec::lock;
use crate::workload::{Glance, Look, features};
use crate::world::World;

pub(crate) fn check(
    world: &World,
    chains: &[Chain],
    folded: &[Folded],
    violations: &mut Vec<String>,
) {
    let histories = happened::histories(chains, violations);
    let documents = Documents::read(&histories);
    for (partition, folded) in (0..).map(PartitionId).zip(folded) {
        let own = folded.stream(&StreamId::Partition(partition));
        if let Some(missing) = documents.missing(&own.catalog.adopted) {
            violations.push(format!("SIM-9 partition {partition} has not adopted {missing}"));
        }
    }
    let evaluated = lock(&world.evaluated).clone();
    let mut customers = BTreeMap::new();
    let mut asked: BTreeMap<String, Vec<Asked>> = BTreeMap::new();
    for glance in lock(&world.glances).iter() {
        let (tenant, offset) = (glance.tenant.to_string(), glance.offset);
        asked.entry(tenant).or_default().push((offset, Question::Glance(glance.clone())));
    }
    for look in lock(&world.looks).iter() {
        let (tenant, offset) = (look.tenant.to_string(), look.offset);
        asked.entry(tenant).or_default().push((offset, Question::Look(look.clone())));
    }
    for (index, it) in evaluated.iter().enumerate() {
        if let Some((tenant, offset)) = &it.customer {
            let question = Question::Flag { index, provider: it.provider.clone(), now: it.now };
            asked.entry(tenant.to_string()).or_default().push((*offset, question));
        }
    }
    let features = features();
    let mut follow = Follow {
        world,
        documents: &documents,
        features: &features,
        asked: Vec::new(),
        customers: &mut customers,
    };
    for (stream, history) in &histories {
        follow.asked = asked.remove(stream).unwrap_or_default();
        let followed = follow.stream(stream, history, folded);
        let followed = followed.and_then(|()| flags::check_rollouts(history));
        if let Err(problem) = followed {
            violations.push(format!("{problem} (stream {stream})"));
        }
    }
    for (stream, questions) in asked {
        follow.asked = questions;
        if let Err(problem) = follow.answer(&Shadow::default(), 0, u64::MAX) {
            violations.push(format!("{problem} (stream {stream}, of which nothing is known)"));
        }
    }
    if violations.is_empty() {
        for (index, it) in evaluated.iter().enumerate() {
            let checked = flags::check(chains, folded, it, customers.get(&index));
            violations.extend(checked.err());
        }
    }
}

/// What somebody asked of a tenant, behind everything below an offset.
type Asked = (u64, Question);

enum Question {
    Glance(Glance),
    Look(Look),
    /// For an evaluation, by its index.
    Flag {
        index: usize,
        provider: TenantId,
        now: Timestamp,
    },
}

struct Follow<'a> {
    world: &'a World,
    documents: &'a Documents,
    features: &'a [Slug],
    asked: Vec<Asked>,
    /// What customers had, by evaluation.
    customers: &'a mut BTreeMap<usize, Customer>,
}

impl Follow<'_> {
    fn stream(&mut self, stream: &str, history: &History, folded: &[Folded]) -> Result<(), String> {
        let id = StreamId::parse(stream).map_err(|error| format!("SIM-4 {error:?}"))?;
        if !matches!(id, StreamId::Tenant(_)) {
            return Ok(());
        }
        let states = folded[history.partition.index()].histories.get(&id);
        let states = states.map(Vec::as_slice).unwrap_or_default();
        if states.len() != history.steps.len() {
            return Err(format!(
                "SIM-4 {} inputs changed it, not {}",
                history.steps.len(),
                states.len()
            ));
        }
        let mut shadow = Shadow::default();
        let mut seen = 0;
        for (step, (_, state)) in history.steps.iter().zip(states) {
            // A gateway has seen whole commits.
            self.answer(&shadow, seen, step.offset)?;
            seen = seen.max(step.offset + 1);
            let place = |problem| format!("{problem}; offset {}, {}", step.offset, step.command);
            shadow.step(step, self.documents).map_err(place)?;
            let at = step.events.last().map_or(Timestamp::MIN, |last| last.at);
            self.entitled(&shadow, &state.entitlements, shadow.time(at)).map_err(place)?;
            shadow.staff.check(&state.access, at).map_err(place)?;
        }
        self.answer(&shadow, seen, u64::MAX)?;
        match states.last() {
            Some((_, state)) => {
                let now = shadow.time(self.world.sim.now());
                self.entitled(&shadow, &state.entitlements, now)
            }
            None => Ok(()),
        }
    }

    fn entitled(
        &self,
        shadow: &Shadow,
        state: &entitlements::State,
        at: Timestamp,
    ) -> Result<(), String> {
        for feature in self.features {
            let decision = entitlements::check(state, feature, at);
            entitled::check(shadow, self.documents, feature, at, &decision)
                .map_err(|problem| format!("SIM-19 {problem}"))?;
        }
        Ok(())
    }

    /// SIM-21 of what was asked by who had seen everything below an offset in `from..=to`.
    fn answer(&mut self, shadow: &Shadow, from: u64, to: u64) -> Result<(), String> {
        let due = self.asked.iter().filter(|(offset, _)| (from..=to).contains(offset));
        for (_, question) in due {
            match question {
                Question::Glance(glance) => glance.check(shadow, self.documents)?,
                Question::Look(look) => look.check(shadow)?,
                Question::Flag { index, provider, now } => {
                    let customer = customer(shadow, self.documents, self.features, provider, *now);
                    self.customers.insert(*index, customer);
                }
            }
        }
        Ok(())
    }
}

/// What the tenant has of `provider`.
fn customer(
    shadow: &Shadow,
    documents: &Documents,
    features: &[Slug],
    provider: &TenantId,
    now: Timestamp,
) -> Customer {
    let at = shadow.time(now);
    if shadow.provider.as_ref() != Some(provider) {
        return Customer { plan: None, features: Vec::new() };
    }
    let held = shadow.held(at);
    let has = |feature: &&Slug| entitled::has(shadow, documents, feature, at);
    let features = features.iter().filter(has).map(ToString::to_string).collect();
    Customer { plan: held.map(|held| held.plan.plan.to_string()), features }
}

impl Look {
    fn check(&self, shadow: &Shadow) -> Result<(), String> {
        let place = |what: String| {
            format!("SIM-21 at {}, having seen all below {}: {what}", self.now, self.offset)
        };
        let snapshot = &self.snapshot;
        if (snapshot.exists, &snapshot.provider) != (shadow.exists, &shadow.provider) {
            return Err(place(format!("{snapshot:?}, not {shadow:?}")));
        }
        shadow.staff.judge(&snapshot.state, self.now).map_err(place)
    }
}

impl Glance {
    fn check(&self, shadow: &Shadow, documents: &Documents) -> Result<(), String> {
        let place = |what: String| {
            format!("SIM-21 at {}, having seen all below {}: {what}", self.now, self.offset)
        };
        let snapshot = &self.snapshot;
        let told = (snapshot.exists, &snapshot.provider, snapshot.clock);
        if told != (shadow.exists, &shadow.provider, shadow.clock) {
            return Err(place(format!("{snapshot:?}, not {shadow:?}")));
        }
        let at = shadow.time(self.now);
        for (feature, decision) in &self.answers {
            entitled::check(shadow, documents, feature, at, decision).map_err(place)?;
        }
        Ok(())
    }
}
