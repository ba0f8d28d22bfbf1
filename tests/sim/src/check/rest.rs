//! SIM-7, SIM-9 and SIM-10: cells, adoption, and inputs, when all is at rest.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_codec::{decode_stream, status_of};
use exchequer_domain_tenants::Event as Tenants;
use exchequer_journal::Lane;
use exchequer_kernel::Status;
use exchequer_readstore::Table;
use exchequer_tenant::Event;
use exchequer_types::{PartitionId, StreamId, partition_of};

use super::chain::{Chain, envelope, identity};
use super::oracle::Folded;
use crate::world::World;

/// The engine's table of state, by name.
static CELLS: Table = Table { name: "cells", partition_key: &[], clustering: &[], columns: &[] };

pub(crate) fn check(
    world: &World,
    chains: &[Chain],
    folded: &[Folded],
    violations: &mut Vec<String>,
) {
    cells(world, folded, violations);
    adoption(chains, folded, violations);
    inputs(world, folded, violations);
    forwarding(chains, violations);
}

fn cells(world: &World, folded: &[Folded], violations: &mut Vec<String>) {
    let mut written = BTreeSet::new();
    for row in world.store_now().snapshot(&CELLS, 0) {
        let name = row.key.partition[0].as_text().to_owned();
        let Ok(id) = StreamId::parse(&name) else {
            violations.push(format!("SIM-7 a cell of no stream: {name:?}"));
            continue;
        };
        let partition = match &id {
            StreamId::Partition(own) => *own,
            StreamId::Tenant(_) => partition_of(name.as_bytes(), world.plan.partitions),
        };
        let history = folded[partition.index()].histories.get(&id);
        let seq = row.values[0].as_uint();
        // Of several inputs of one commit, the last one's.
        let expected = history.and_then(|it| it.iter().rev().find(|(at, _)| *at == seq));
        let found = decode_stream(&row.values[1].as_bytes());
        if expected.map(|(_, stream)| stream) != found.as_ref().ok() {
            violations.push(format!(
                "SIM-7 the cell of {name} at commit {seq} is not the fold of its events: {found:?}, not {expected:?}"
            ));
        }
        let last = history.and_then(|it| it.last()).map(|(at, _)| *at);
        if last == Some(seq) {
            written.insert(id);
        }
    }
    for id in folded.iter().flat_map(|folded| folded.histories.keys()) {
        if !written.contains(id) {
            violations.push(format!("SIM-7 the last state of {id} was not written behind"));
        }
    }
}

fn adoption(chains: &[Chain], folded: &[Folded], violations: &mut Vec<String>) {
    let mut latest = BTreeMap::new();
    for event in chains.iter().flat_map(|chain| &chain.entries).flat_map(|it| &it.commit.events) {
        if event.r#type != "tenants.provider-profiled.v1" {
            continue;
        }
        let decoded = exchequer_codec::decode_event(&event.stream, &event.r#type, &event.payload);
        if let Ok(Event::Tenants(Tenants::ProviderProfiled(profile))) = decoded {
            latest.insert(profile.id.clone(), profile);
        }
    }
    for (partition, folded) in (0..).map(PartitionId).zip(folded) {
        let own = folded.stream(&StreamId::Partition(partition));
        for (id, profile) in &latest {
            let adopted = own.tenants.adopted.get(id);
            if adopted != Some(profile) {
                violations.push(format!(
                    "SIM-9 partition {partition} has version {} of {id}, not {}",
                    own.tenants.adopted.version(id),
                    profile.version
                ));
            }
        }
    }
}

/// On a cluster what landed is decided; the embedded queue dies with its process.
fn inputs(world: &World, folded: &[Folded], violations: &mut Vec<String>) {
    if world.is_embedded() {
        return;
    }
    for (partition, folded) in (0..).map(PartitionId).zip(folded) {
        for lane in Lane::ALL {
            let log = world.inputs.ids[lane.index()].0.to_vec();
            let decided = folded.positions.get(&log);
            let is_decided = |offset: &u64| decided.is_some_and(|it| it.contains(offset));
            let end = world.inputs.end(lane, partition);
            let missing: Vec<u64> = (0..end).filter(|it| !is_decided(it)).take(5).collect();
            if !missing.is_empty() {
                violations.push(format!(
                    "SIM-10 {lane:?} of partition {partition}: no outcome for {missing:?}"
                ));
            }
        }
    }
}

fn forwarding(chains: &[Chain], violations: &mut Vec<String>) {
    let mut decided = BTreeSet::new();
    let mut astray = Vec::new();
    for entry in chains.iter().flat_map(|chain| &chain.entries) {
        for (input, outcome) in entry.commit.inputs.iter().zip(&entry.commit.outcomes) {
            let Some(envelope) = envelope(input) else { continue };
            if status_of(outcome) == Some(Status::Misrouted) {
                let name = format!("{} {} {}", envelope.stream, envelope.issuer, envelope.id);
                astray.push((entry.partition, entry.offset, identity(&envelope), name));
            } else {
                decided.insert(identity(&envelope));
            }
        }
    }
    for (partition, offset, identity, name) in astray {
        if !decided.contains(&identity) {
            violations.push(format!(
                "SIM-10 partition {partition}, offset {offset}: {name} was misrouted and not sent on"
            ));
        }
    }
}
