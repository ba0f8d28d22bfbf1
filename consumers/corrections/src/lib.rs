//! The corrections process: a correction of an event, which its tenant's stream decided,
//! becomes a record of the usage log, where the event's meter reads it.

use exchequer_codec::{EVENT_CORRECTED, Entry, decode_event};
use exchequer_domain_usage as usage;
use exchequer_kernel::{Process, Reaction};
use exchequer_proto::journal::v1 as pbj;
use exchequer_proto::usage::v1 as pb;
use exchequer_tenant::Event;
use exchequer_types::{PartitionId, TenantId, Timestamp, partition_of};

/// Writes to a usage log of so many partitions.
#[derive(Clone, Copy, Debug)]
pub struct Corrections {
    pub partitions: u32,
}

/// A record that the usage log is to get.
#[derive(Clone, Debug, PartialEq)]
pub struct Correct {
    pub partition: PartitionId,
    pub tenant: TenantId,
    /// When it was decided, by the clock of the log: no other clock says when it is received.
    pub decided_at: Timestamp,
    pub correction: pb::Correction,
}

impl Process for Corrections {
    type Entry = Entry;
    type Command = Correct;

    const NAME: &'static str = "corrections";

    fn react(&self, entry: &Entry) -> Vec<Reaction<Correct>> {
        let decided_at = Timestamp::saturating_from_micros(entry.commit.now);
        let events = entry.commit.events.iter();
        let triggers = events.filter(|event| event.r#type == EVENT_CORRECTED);
        triggers
            .filter_map(|event| Some((event.input, self.correct(event, decided_at)?)))
            .map(|(input, correct)| Reaction {
                destination: correct.partition.0,
                id: correct.correction.id.clone(),
                input,
                command: correct,
            })
            .collect()
    }
}

impl Corrections {
    fn correct(self, event: &pbj::Event, decided_at: Timestamp) -> Option<Correct> {
        // What its own decider wrote can be read, or the reader stops elsewhere.
        let decoded = decode_event(&event.stream, &event.r#type, &event.payload).ok()?;
        let Event::Usage(usage::Event::EventCorrected(it)) = decoded else { return None };
        let tenant = TenantId::parse(event.stream.as_str()).ok()?;
        let what = match it.data {
            None => pb::correction::What::Void(pb::Void {}),
            Some(data) => pb::correction::What::Amend(pb::Amend { data }),
        };
        let partition = partition_of(format!("{tenant}/{}", it.event).as_bytes(), self.partitions);
        let correction = pb::Correction {
            id: it.id,
            tenant: tenant.to_string(),
            source: it.source,
            event: it.event,
            what: Some(what),
            reason: it.reason,
            actor: it.actor.to_string(),
        };
        Some(Correct { partition, tenant, decided_at, correction })
    }
}

#[cfg(test)]
mod tests {
    use exchequer_types::ActorId;

    use super::*;

    fn corrected(event: &str, data: Option<&str>) -> Event {
        Event::Usage(usage::Event::EventCorrected(usage::Correction {
            id: format!("cor_{event}"),
            source: "/api".to_owned(),
            event: event.to_owned(),
            data: data.map(str::to_owned),
            reason: "wrong".to_owned(),
            actor: ActorId::parse("u-1").unwrap(),
        }))
    }

    // REQ: USE-16
    #[test]
    fn a_correction_goes_to_the_partition_of_its_event_under_its_own_id() {
        let other = Event::Parked { reason: String::new() };
        let events = [
            ("acme", other),
            ("acme", corrected("e-1", None)),
            ("acme", corrected("e-2", Some("{}"))),
        ];
        let decided_at = Timestamp::saturating_from_micros(1_000_000);
        let entry = Entry::of_events(PartitionId(2), 7, decided_at, &events);
        let process = Corrections { partitions: 16 };
        let reactions = process.react(&entry);
        assert_eq!(reactions, process.react(&entry));
        let expected = |event: &str| partition_of(format!("acme/{event}").as_bytes(), 16);
        for (reaction, event) in reactions.iter().zip(["e-1", "e-2"]) {
            assert_eq!(reaction.command.partition, expected(event));
            assert_eq!(reaction.command.decided_at, decided_at);
            assert_eq!(reaction.destination, expected(event).0);
            assert_eq!(reaction.id, format!("cor_{event}"));
            let correction = &reaction.command.correction;
            assert_eq!((correction.tenant.as_str(), correction.event.as_str()), ("acme", event));
            assert_eq!((correction.source.as_str(), correction.actor.as_str()), ("/api", "u-1"));
        }
        let whats: Vec<_> = reactions.iter().map(|it| it.command.correction.what.clone()).collect();
        let amend = pb::correction::What::Amend(pb::Amend { data: "{}".to_owned() });
        assert_eq!(whats, [Some(pb::correction::What::Void(pb::Void {})), Some(amend)]);
    }

    // REQ: USE-16
    #[test]
    fn definitions_are_not_sent_to_the_usage_log() {
        let retired = usage::Event::EventSchemaRetired { kind: "request".to_owned() };
        let events = [("vendor", Event::Usage(retired))];
        let entry = Entry::of_events(PartitionId(0), 1, Timestamp::MIN, &events);
        assert!(Corrections { partitions: 16 }.react(&entry).is_empty());
    }
}
