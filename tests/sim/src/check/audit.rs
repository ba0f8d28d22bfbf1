//! SIM-6: accepted writes have their audit entries, and these chain per tenant.

use std::collections::BTreeMap;

use exchequer_codec::status_of;
use exchequer_kernel::Status;
use exchequer_proto::journal::v1 as pb;
use exchequer_types::Hash;
use sha2::{Digest as _, Sha256};

use super::chain::{Chain, envelope};

/// Reservations come by the thousand, are no change of anything but figures, and stand in
/// the journal as events.
const UNAUDITED: [&str; 3] = ["quotas.reserve.v1", "quotas.finalise.v1", "quotas.release.v1"];

pub(crate) fn check(chain: &Chain, violations: &mut Vec<String>) {
    let mut heads: BTreeMap<String, (u64, Hash)> = BTreeMap::new();
    for entry in &chain.entries {
        let place = format!("partition {}, offset {}", chain.partition, entry.offset);
        for audit in &entry.commit.audit {
            let head = heads.entry(audit.tenant.clone()).or_default();
            let json: serde_json::Value = serde_json::from_slice(&audit.leaf).unwrap_or_default();
            let continues = audit.seq == head.0 + 1
                && json["seq"] == audit.seq
                && json["prev"] == head.1.to_hex()
                && json["tenant"] == audit.tenant.as_str();
            if !continues {
                violations.push(format!(
                    "SIM-6 {place}: entry {} of {} does not continue {}",
                    audit.seq, audit.tenant, head.0
                ));
            }
            *head = (audit.seq, Hash(Sha256::digest(&audit.leaf).into()));
        }
        let outcomes = entry.commit.outcomes.iter().zip(&entry.commit.inputs).enumerate();
        for (index, (outcome, input)) in outcomes {
            let Some(envelope) = envelope(input) else { continue };
            let writes = status_of(outcome) == Some(Status::Accepted)
                && !envelope.r#type.starts_with("kernel.wake")
                && !UNAUDITED.contains(&envelope.r#type.as_str())
                && !envelope.stream.starts_with('~');
            let id = envelope.id.as_str();
            let has_entry = entry.commit.audit.iter().any(|audit| {
                let json: serde_json::Value =
                    serde_json::from_slice(&audit.leaf).unwrap_or_default();
                audit.input as usize == index && json["command"]["id"] == id
            });
            // What was as it should be already, such as a use reported again, is no write.
            let is_own =
                |event: &pb::Event| event.input as usize == index && event.timer.is_empty();
            let changed = entry.commit.events.iter().any(is_own);
            if writes && changed && !has_entry {
                violations.push(format!("SIM-6 {place}: {id} was accepted without an entry"));
            }
        }
    }
}
