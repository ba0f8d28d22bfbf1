//! SIM-2: what was answered stands in the journal; the same question never got
//! two answers.

use std::collections::BTreeMap;

use exchequer_codec::{encode_command, status_of};
use exchequer_engine::Answer;
use exchequer_kernel::Status;
use exchequer_tenant::Command;

use super::chain::{Chain, envelope};
use crate::exec::lock;
use crate::workload::Asked;
use crate::world::World;

pub(crate) fn check(world: &World, chains: &[Chain], violations: &mut Vec<String>) {
    let asked = lock(&world.asked);
    let mut first: BTreeMap<(String, String, Vec<u8>), (usize, Answer)> = BTreeMap::new();
    for (index, it) in asked.iter().enumerate() {
        for answer in &it.answers {
            if let Err(problem) = stands(it, answer, chains) {
                let Asked { submission, .. } = it;
                let (stream, id) = (&submission.stream, &submission.id);
                violations.push(format!("SIM-2 answer to {index} ({stream} {id}): {problem}"));
            }
            if !answer.status().is_some_and(Status::takes_identity) {
                continue;
            }
            let body = encode_command(&it.submission.command).map(|it| it.1.to_vec());
            let key = (
                it.submission.stream.to_string(),
                it.submission.id.to_string(),
                body.unwrap_or_default(),
            );
            let is_lookup = matches!(it.submission.command, Command::Lookup { .. });
            match first.get(&key) {
                Some((other, earlier))
                    if !is_lookup
                        && within_window(earlier, answer, chains)
                        && (earlier.place != answer.place || earlier.outcome != answer.outcome) =>
                {
                    violations.push(format!(
                        "SIM-2 {} {} was answered with {:?} to {other} and with {:?} to {index}",
                        key.0, key.1, earlier.place, answer.place
                    ));
                }
                Some(_) => {}
                None => {
                    first.insert(key, (index, answer.clone()));
                }
            }
        }
    }
}

fn within_window(earlier: &Answer, later: &Answer, chains: &[Chain]) -> bool {
    let now = |answer: &Answer| {
        let chain = chains.get(answer.partition.index())?;
        chain.decided_at(answer.place)
    };
    match (now(earlier), now(later)) {
        (Some(a), Some(b)) => a.max(b).since(a.min(b)) <= exchequer_engine::IDENTITY_WINDOW,
        _ => true,
    }
}

fn stands(asked: &Asked, answer: &Answer, chains: &[Chain]) -> Result<(), String> {
    let place = answer.place;
    let chain = chains.get(answer.partition.index()).ok_or("no such partition")?;
    let entry = chain
        .at(place.offset)
        .ok_or_else(|| format!("{place:?} of {} is no accepted commit", answer.partition))?;
    let index = place.index as usize;
    let outcome = entry.commit.outcomes.get(index).ok_or("no such input in the commit")?;
    if *outcome != answer.outcome {
        return Err(format!("{place:?} says {outcome:?}, the answer said {:?}", answer.outcome));
    }
    let input = entry.commit.inputs.get(index).ok_or("no such input")?;
    let envelope = envelope(input).ok_or("the outcome is of no command")?;
    let submission = &asked.submission;
    let (issuer, id) = match &submission.command {
        Command::Lookup { issuer, id } if status_of(outcome) != Some(Status::Unknown) => {
            if envelope.id == submission.id.as_str() {
                // The lookup's own outcome, for instance that it expired.
                return Ok(());
            }
            (issuer.as_str(), id.as_str())
        }
        _ => (submission.issuer.as_str(), submission.id.as_str()),
    };
    let stream = submission.stream.to_string();
    if (envelope.stream.as_str(), envelope.issuer.as_str(), envelope.id.as_str())
        != (stream.as_str(), issuer, id)
    {
        return Err(format!("{place:?} is of {} {}", envelope.stream, envelope.id));
    }
    let body = encode_command(&submission.command).map(|(_, payload)| payload);
    let is_own = envelope.id == submission.id.as_str();
    if is_own && body.is_some_and(|payload| payload != envelope.payload) {
        return Err(format!("{place:?} has another body"));
    }
    Ok(())
}
