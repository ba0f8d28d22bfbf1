//! The adoption process: what partitions must know of providers, copied into every
//! partition: a provider's profile, and the versions of its catalogs.

use exchequer_codec::{Entry, decode_event};
use exchequer_domain_catalog as catalog;
use exchequer_domain_tenants as tenants;
use exchequer_kernel::{Process, Reaction};
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::{Command, Event};
use exchequer_types::{PartitionId, StreamId, TenantId};

/// The events that this process reads.
const TRIGGERS: [&str; 3] =
    ["tenants.provider-profiled.v1", "catalog.published.v1", "catalog.retired.v1"];

/// Copies into `partitions` partitions.
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
        let triggers = events.filter(|(_, event)| TRIGGERS.contains(&event.r#type.as_str()));
        triggers
            .filter_map(|(index, event)| Some((index, event.input, adopted(event)?)))
            .flat_map(|(index, input, command)| {
                let id = format!("{}-{}-{index}", entry.partition, entry.offset);
                (0..self.partitions).map(move |partition| Reaction {
                    destination: partition,
                    id: id.clone(),
                    input,
                    command: (StreamId::Partition(PartitionId(partition)), command.clone()),
                })
            })
            .collect()
    }
}

/// What partitions are told of an event.
fn adopted(event: &pb::Event) -> Option<Command> {
    // What its own decider wrote can be read, or the reader stops elsewhere.
    let decoded = decode_event(&event.stream, &event.r#type, &event.payload).ok()?;
    match decoded {
        Event::Tenants(tenants::Event::ProviderProfiled(profile)) => {
            let adopt = tenants::AdoptProvider { profile };
            Some(Command::Tenants(tenants::Command::AdoptProvider(adopt)))
        }
        Event::Catalog(event_of_catalog) => {
            let adoption = version(provider(event)?, event_of_catalog)?;
            Some(Command::Catalog(catalog::Command::Adopt(adoption)))
        }
        _ => None,
    }
}

fn provider(event: &pb::Event) -> Option<TenantId> {
    StreamId::parse(&event.stream).ok()?.tenant().cloned()
}

fn version(provider: TenantId, event: catalog::Event) -> Option<catalog::Adoption> {
    use catalog::{Event as E, VersionStatus};
    match event {
        E::Published { catalog, version, content } => Some(catalog::Adoption {
            provider,
            catalog,
            version,
            status: VersionStatus::Published,
            hash: content.hash(),
            content: Some(content),
        }),
        E::Retired { catalog, version, hash } => Some(catalog::Adoption {
            provider,
            catalog,
            version,
            status: VersionStatus::Retired,
            hash,
            content: None,
        }),
        E::DraftSaved { .. } | E::DraftDiscarded { .. } | E::Adopted(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use exchequer_domain_catalog::{Content, Document, VersionStatus};
    use exchequer_types::{ProviderProfile, Slug, TenantStatus, Timestamp};

    use super::*;

    /// What is asked after `event` of the provider `vendor`, in 3 partitions.
    fn asked(event: Event) -> Vec<Reaction<(StreamId, Command)>> {
        let other = Event::Parked { reason: String::new() };
        let events = [("vendor", other), ("vendor", event)];
        let entry = Entry::of_events(PartitionId(2), 7, Timestamp::MIN, &events);
        let reactions = Adoption { partitions: 3 }.react(&entry);
        assert_eq!(reactions, Adoption { partitions: 3 }.react(&entry));
        let ids: Vec<_> = reactions.iter().map(|it| (it.destination, it.id.as_str())).collect();
        assert!(ids.is_empty() || ids == [(0, "2-7-1"), (1, "2-7-1"), (2, "2-7-1")], "{ids:?}");
        for (partition, reaction) in (0..).map(PartitionId).zip(&reactions) {
            assert_eq!(reaction.command.0, StreamId::Partition(partition));
        }
        reactions
    }

    fn slug(text: &str) -> Slug {
        Slug::parse(text).unwrap()
    }

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
        assert_eq!(asked(event).len(), 3);
    }

    // REQ: BIL-01
    #[test]
    fn every_partition_is_told_of_a_version_and_of_its_end() {
        let content = Content::of(Document { name: "One".to_owned(), ..Document::default() });
        let (catalog, version, hash) = (slug("main"), 4, content.hash());
        let published = catalog::Event::Published {
            catalog: catalog.clone(),
            version,
            content: content.clone(),
        };
        let told = |event: catalog::Event| match asked(Event::Catalog(event)).remove(0).command.1 {
            Command::Catalog(catalog::Command::Adopt(it)) => it,
            other => panic!("{other:?}"),
        };
        let expected = catalog::Adoption {
            provider: TenantId::parse("vendor").unwrap(),
            catalog: catalog.clone(),
            version,
            status: VersionStatus::Published,
            hash,
            content: Some(content.clone()),
        };
        assert_eq!(told(published), expected);
        let retired = catalog::Event::Retired { catalog: catalog.clone(), version, hash };
        let status = VersionStatus::Retired;
        assert_eq!(told(retired), catalog::Adoption { status, content: None, ..expected });
        let saved = catalog::Event::DraftSaved { catalog, content };
        assert!(asked(Event::Catalog(saved)).is_empty());
    }
}
