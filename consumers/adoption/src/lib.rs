//! The adoption process: a provider's profile, copied into every partition.

use exchequer_codec::{Entry, decode_event};
use exchequer_domain_tenants as tenants;
use exchequer_kernel::{Process, Reaction};
use exchequer_tenant::{Command, Event};
use exchequer_types::{PartitionId, StreamId};

/// The event that this process reads.
const TRIGGER: &str = "tenants.provider-profiled.v1";

/// Copies profiles into `partitions` partitions.
#[derive(Clone, Copy, Debug)]
pub struct Adoption {
    pub partitions: u32,
}

impl Process for Adoption {
    type Entry = Entry;
    type Command = (StreamId, Command);

    const NAME: &'static str = "adoption";

    fn react(&self, entry: &Entry) -> Vec<Reaction<Self::Command>> {
        let events = entry.commit.events.iter().enumerate();
        let triggers = events.filter(|(_, event)| event.r#type == TRIGGER);
        triggers
            .filter_map(|(index, event)| {
                // What its own decider wrote can be read, or the reader stops elsewhere.
                let event = decode_event(&event.stream, &event.r#type, &event.payload).ok()?;
                match event {
                    Event::Tenants(tenants::Event::ProviderProfiled(profile)) => {
                        Some((index, profile))
                    }
                    _ => None,
                }
            })
            .flat_map(|(index, profile)| {
                let id = format!("{}-{}-{index}", entry.partition, entry.offset);
                (0..self.partitions).map(move |partition| {
                    let adopt = tenants::AdoptProvider { profile: profile.clone() };
                    let command = Command::Tenants(tenants::Command::AdoptProvider(adopt));
                    Reaction {
                        destination: partition,
                        id: id.clone(),
                        command: (StreamId::Partition(PartitionId(partition)), command),
                    }
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use exchequer_codec::encode_event;
    use exchequer_proto::journal::v1 as pb;
    use exchequer_types::{Hash, ProviderProfile, TenantId, TenantStatus};

    use super::*;

    // REQ: KER-06
    #[test]
    fn every_partition_is_asked_once_under_the_same_id() {
        let profile = ProviderProfile {
            id: TenantId::platform(),
            version: 1,
            parent: None,
            depth: 0,
            status: TenantStatus::Active,
            settings: BTreeMap::new(),
        };
        let event = Event::Tenants(tenants::Event::ProviderProfiled(profile));
        let (kind, payload) = encode_event(&event);
        let event = pb::Event {
            stream: "platform".to_owned(),
            r#type: kind.to_owned(),
            payload,
            ..pb::Event::default()
        };
        let commit = pb::Commit { events: vec![event], ..pb::Commit::default() };
        let entry = Entry {
            partition: PartitionId(2),
            offset: 7,
            hash: Hash::ZERO,
            commit: Arc::new(commit),
        };
        let reactions = Adoption { partitions: 3 }.react(&entry);
        let asked: Vec<_> = reactions.iter().map(|it| (it.destination, it.id.as_str())).collect();
        assert_eq!(asked, [(0, "2-7-0"), (1, "2-7-0"), (2, "2-7-0")]);
        assert_eq!(reactions, Adoption { partitions: 3 }.react(&entry));
    }
}
