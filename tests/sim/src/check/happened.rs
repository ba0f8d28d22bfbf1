//! The accepted journal as events of streams, decoded once for all who check what
//! the domains made of them.

use std::collections::BTreeMap;

use exchequer_codec::decode_event;
use exchequer_tenant::Event;
use exchequer_types::{Offset, PartitionId, Timestamp};

use super::chain::{Chain, envelope};

/// An event and its circumstances.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    pub(crate) at: Timestamp,
    /// The due timer that caused it; empty when none did.
    pub(crate) timer: String,
    pub(crate) event: Event,
}

/// What one input came to in its stream.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) offset: Offset,
    /// Type and id of the command.
    pub(crate) command: String,
    pub(crate) events: Vec<Happened>,
}

/// All that happened to one stream.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) partition: PartitionId,
    pub(crate) steps: Vec<Step>,
}

/// Every stream's history, by its name.
pub(crate) fn histories(
    chains: &[Chain],
    violations: &mut Vec<String>,
) -> BTreeMap<String, History> {
    let mut histories = BTreeMap::new();
    for chain in chains {
        for entry in &chain.entries {
            let commit = &entry.commit;
            let mut last = None;
            for event in &commit.events {
                let decoded = match decode_event(&event.stream, &event.r#type, &event.payload) {
                    Ok(decoded) => decoded,
                    Err(error) => {
                        violations
                            .push(format!("SIM-4 {} of {}: {error}", event.r#type, event.stream));
                        continue;
                    }
                };
                let history: &mut History = histories
                    .entry(event.stream.clone())
                    .or_insert_with(|| History { partition: chain.partition, steps: Vec::new() });
                if last != Some((event.stream.as_str(), event.input)) {
                    let envelope = envelope(&commit.inputs[event.input as usize]);
                    let command = envelope.map(|it| format!("{} {}", it.r#type, it.id));
                    let command = command.unwrap_or_default();
                    let (offset, events) = (entry.offset, Vec::new());
                    history.steps.push(Step { offset, command, events });
                    last = Some((event.stream.as_str(), event.input));
                }
                let at = Timestamp::saturating_from_micros(event.at);
                let timer = event.timer.clone();
                if let Some(step) = history.steps.last_mut() {
                    step.events.push(Happened { at, timer, event: decoded });
                }
            }
        }
    }
    histories
}
