//! SIM-16 to SIM-22: every tenant's stream followed from its first event on, beside
//! what the domains' state and the gateways say of it.

use std::collections::BTreeMap;

use exchequer_domain_entitlements as entitlements;
use exchequer_types::{Slug, StreamId, Timestamp};

use super::chain::Chain;
use super::entitled::{self, Documents};
use super::happened::{self, History};
use super::oracle::Folded;
use super::shadow::Shadow;
use crate::exec::lock;
use crate::workload::{Glance, features};
use crate::world::World;

pub(crate) fn check(
    world: &World,
    chains: &[Chain],
    folded: &[Folded],
    violations: &mut Vec<String>,
) {
    let histories = happened::histories(chains, violations);
    let documents = Documents::read(&histories);
    let mut glances: BTreeMap<String, Vec<Glance>> = BTreeMap::new();
    for glance in lock(&world.glances).iter() {
        glances.entry(glance.tenant.to_string()).or_default().push(glance.clone());
    }
    let features = features();
    for (stream, history) in &histories {
        let mut glances = glances.remove(stream).unwrap_or_default();
        glances.sort_by_key(|glance| glance.offset);
        let follow = Follow { world, documents: &documents, features: &features, glances };
        if let Err(problem) = follow.stream(stream, history, folded) {
            violations.push(format!("{problem} (stream {stream})"));
        }
    }
    for (stream, glances) in glances {
        let follow = Follow { world, documents: &documents, features: &features, glances };
        if let Err(problem) = follow.glances(&Shadow::default(), 0, u64::MAX) {
            violations.push(format!("{problem} (stream {stream}, of which nothing is known)"));
        }
    }
}

struct Follow<'a> {
    world: &'a World,
    documents: &'a Documents,
    features: &'a [Slug],
    /// By offset.
    glances: Vec<Glance>,
}

impl Follow<'_> {
    fn stream(&self, stream: &str, history: &History, folded: &[Folded]) -> Result<(), String> {
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
            self.glances(&shadow, seen, step.offset)?;
            seen = seen.max(step.offset + 1);
            let place = |problem| format!("{problem}; offset {}, {}", step.offset, step.command);
            shadow.step(step, self.documents).map_err(place)?;
            let at = step.events.last().map_or(Timestamp::MIN, |last| last.at);
            self.entitled(&shadow, &state.entitlements, shadow.time(at)).map_err(place)?;
        }
        self.glances(&shadow, seen, u64::MAX)?;
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

    /// SIM-21 of the glances that had seen everything below some offset in `from..=to`.
    fn glances(&self, shadow: &Shadow, from: u64, to: u64) -> Result<(), String> {
        let due = self.glances.iter().filter(|it| (from..=to).contains(&it.offset));
        for glance in due {
            glance.check(shadow, self.documents)?;
        }
        Ok(())
    }
}

impl Glance {
    fn check(&self, shadow: &Shadow, documents: &Documents) -> Result<(), String> {
        let place = |what: String| {
            format!("SIM-21 at {}, having seen all below {}: {what}", self.now, self.offset)
        };
        let snapshot = &self.snapshot;
        if (snapshot.exists, snapshot.clock) != (shadow.exists, shadow.clock) {
            return Err(place(format!("{snapshot:?}, not {shadow:?}")));
        }
        let at = shadow.time(self.now);
        for (feature, decision) in &self.answers {
            entitled::check(shadow, documents, feature, at, decision).map_err(place)?;
        }
        Ok(())
    }
}
