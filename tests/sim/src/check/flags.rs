//! SIM-21 and SIM-23: what gateways said that flags serve, and that a rollout which
//! grows moves nobody.

use std::collections::BTreeMap;

use exchequer_domain_flags as flags;
use exchequer_flag_eval::{Outcome, SLOTS, Share, SlotRange, Split};
use exchequer_tenant::Event;
use exchequer_types::{Offset, Slug, StreamId, TenantId};

use super::chain::Chain;
use super::decide::{Customer, decide};
use super::happened::History;
use super::oracle::Folded;
use crate::workload::Evaluated;

/// Compares `evaluated` with what follows from the flags up to its place. `customer` is
/// what its customer had at the place that it names.
pub(crate) fn check(
    chains: &[Chain],
    folded: &[Folded],
    evaluated: &Evaluated,
    customer: Option<&Customer>,
) -> Result<(), String> {
    let (partition, offset) = evaluated.seen;
    let chain = &chains[partition.index()];
    let state = state_below(chain, &folded[partition.index()], &evaluated.provider, offset);
    let project = state.as_ref().and_then(|state| state.projects.get(&evaluated.project));
    let environment = project.and_then(|it| it.environments.get(&evaluated.environment));
    let flag =
        project.filter(|_| environment.is_some()).and_then(|it| it.flags.get(&evaluated.flag));
    let flag = flag.filter(|flag| !flag.archived);
    let flag = flag.map(|flag| flag.in_environment(&evaluated.environment));
    let expected = decide(flag.as_ref(), &evaluated.facts, customer);
    if expected == evaluated.served {
        return Ok(());
    }
    Err(format!(
        "SIM-21 {} of {}, below {offset} of {partition}, for {:?} with {customer:?}: {:?}, not {expected:?}: {flag:?}",
        evaluated.flag, evaluated.provider, evaluated.facts, evaluated.served
    ))
}

/// The stream's flags after everything below `offset`.
fn state_below(
    chain: &Chain,
    folded: &Folded,
    provider: &TenantId,
    offset: Offset,
) -> Option<flags::State> {
    let count = chain.entries.partition_point(|entry| entry.offset < offset);
    let seq = chain.entries.get(count.checked_sub(1)?)?.commit.seq;
    let history = folded.histories.get(&StreamId::Tenant(provider.clone()))?;
    let last = history.iter().rev().find(|(at, _)| *at <= seq);
    last.map(|(_, stream)| stream.flags.as_ref().clone())
}

type Place = (Slug, Slug, Slug, Option<String>);

/// SIM-23 of one provider's history.
pub(crate) fn check_rollouts(history: &History) -> Result<(), String> {
    let mut splits: BTreeMap<Place, Split> = BTreeMap::new();
    for happened in history.steps.iter().flat_map(|step| &step.events) {
        match &happened.event {
            Event::Flags(flags::Event::TargetingSet { project, flag, environment, targeting }) => {
                let place = |rule| (project.clone(), flag.clone(), environment.clone(), rule);
                let rules = targeting.rules.iter();
                let rules = rules.map(|rule| (Some(rule.id.clone()), Some(&rule.outcome)));
                let all = rules.chain([(None, targeting.fallthrough.as_ref())]);
                let now: Vec<_> = all
                    .filter_map(|(rule, outcome)| match outcome {
                        Some(Outcome::Split(split)) => Some((place(rule), split.clone())),
                        _ => None,
                    })
                    .collect();
                for (place, split) in &now {
                    follows(splits.get(place), split)?;
                }
                splits.retain(|it, _| (&it.0, &it.1, &it.2) != (project, flag, environment));
                splits.extend(now);
            }
            Event::Flags(flags::Event::RolloutGrown {
                project,
                flag,
                environment,
                rule,
                split,
            }) => {
                let place = (project.clone(), flag.clone(), environment.clone(), rule.clone());
                follows(splits.get(&place), split)?;
                splits.insert(place, split.clone());
            }
            _ => {}
        }
    }
    Ok(())
}

fn follows(before: Option<&Split>, after: &Split) -> Result<(), String> {
    let mut ranges: Vec<SlotRange> = after.shares.iter().flat_map(|it| it.slots.clone()).collect();
    ranges.sort_unstable();
    let mut end = 0;
    for range in &ranges {
        if range.start != end || range.end <= range.start {
            return Err(format!("SIM-23 slots are not told once each: {after:?}"));
        }
        end = range.end;
    }
    let weighs =
        |share: &Share| share.slots.iter().map(|it| it.count()).sum::<u32>() == share.weight;
    if end != SLOTS || !after.shares.iter().all(weighs) {
        return Err(format!("SIM-23 slots are not those of the weights: {after:?}"));
    }
    let Some(before) = before.filter(|it| it.salt == after.salt && it.by == after.by) else {
        return Ok(());
    };
    for share in &after.shares {
        let Some(old) = before.shares.iter().find(|it| it.variant == share.variant) else {
            continue;
        };
        let (small, large) = if share.weight >= old.weight { (old, share) } else { (share, old) };
        if !small.slots.iter().all(|range| is_within(*range, &large.slots)) {
            return Err(format!("SIM-23 somebody was moved without need: {before:?}, {after:?}"));
        }
    }
    Ok(())
}

fn is_within(range: SlotRange, ranges: &[SlotRange]) -> bool {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    let mut next = range.start;
    for it in ranges {
        if it.start <= next && next < it.end {
            next = it.end;
        }
    }
    next >= range.end
}
