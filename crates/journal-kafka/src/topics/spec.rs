//! The description of topics: names, numbers, and settings with the reason for each.

use crate::settings::BATCH_BYTES_MAX;

/// One topic as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Without the deployment's prefix.
    pub name: String,
    pub partitions: u32,
    pub replicas: u32,
    pub settings: Vec<Setting>,
}

/// One setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As Kafka calls it.
    pub name: &'static str,
    /// What a new topic gets.
    pub value: String,
    pub rule: Rule,
    /// Why another value would break something.
    pub why: &'static str,
}

/// Which values are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The very value.
    Exactly,
    /// A number that is not smaller.
    AtLeast,
    /// A number that is not smaller, or -1 for no bound.
    AtLeastOrUnbounded,
}

impl Rule {
    pub(crate) fn allows(self, wanted: &str, found: &str) -> bool {
        let number = |text: &str| text.parse::<i64>().ok();
        match (self, number(wanted), number(found)) {
            (Self::Exactly, ..) => wanted == found,
            (Self::AtLeastOrUnbounded, _, Some(-1)) => true,
            (_, Some(wanted), Some(found)) => found >= wanted && wanted >= 0,
            _ => false,
        }
    }
}

/// The numbers that a deployment chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of all topics but `heads`: fixed for good when they are created.
    pub partitions: u32,
    pub replicas: u32,
    /// Replicas that must have a record before it is acknowledged; 0: 2 where there are 3
    /// replicas or more, else 1.
    pub min_insync_replicas: u32,
    pub commands_retention_hours: u32,
    /// At least 35: as long as an event's identity is remembered.
    pub usage_retention_days: u32,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            partitions: 16,
            replicas: 3,
            min_insync_replicas: 0,
            commands_retention_hours: 168,
            usage_retention_days: 40,
        }
    }
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const USAGE_DAYS_MIN: u32 = 35;

impl Layout {
    /// Every topic of a deployment.
    pub fn topics(&self) -> Vec<Spec> {
        let commands = u64::from(self.commands_retention_hours) * HOUR_MS;
        let usage = u64::from(self.usage_retention_days.max(USAGE_DAYS_MIN)) * DAY_MS;
        let spec = |name: &str, partitions, retention| Spec {
            name: name.to_owned(),
            partitions,
            replicas: self.replicas,
            settings: self.settings(retention),
        };
        let each = self.partitions;
        vec![
            spec("commands", each, for_time(commands)),
            spec("commands-internal", each, for_time(commands)),
            spec("journal", each, for_ever()),
            spec("usage", each, for_time(usage)),
            spec("usage-seals", each, for_ever()),
            spec("heads", 1, for_ever()),
            spec("audit", each, for_ever()),
            spec("dead-letters", each, for_ever()),
        ]
    }

    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<Spec> {
        self.topics().into_iter().find(|spec| spec.name == name)
    }

    fn in_sync(&self) -> Setting {
        let in_sync = match self.min_insync_replicas {
            0 if self.replicas >= 3 => 2,
            0 => 1,
            given => given,
        };
        Setting {
            name: MIN_IN_SYNC,
            value: in_sync.to_string(),
            rule: Rule::AtLeast,
            why: "an acknowledged record must survive the loss of a broker",
        }
    }

    fn settings(&self, retention: Setting) -> Vec<Setting> {
        vec![
            exactly(
                "cleanup.policy",
                "delete",
                "compaction leaves gaps, and every offset must hold its record",
            ),
            exactly(
                "message.timestamp.type",
                "LogAppendTime",
                "the time of a record is when the broker appended it, not what a producer says",
            ),
            clean_leaders(),
            self.in_sync(),
            Setting {
                name: "max.message.bytes",
                value: BATCH_BYTES_MAX.to_string(),
                rule: Rule::AtLeast,
                why: "the largest record of 1 MiB must fit into a batch",
            },
            Setting {
                name: "retention.bytes",
                value: "-1".to_owned(),
                rule: Rule::Exactly,
                why: "records go by age alone, so that a burst deletes nothing early",
            },
            retention,
        ]
    }
}

/// The topic where ids and numbers of topics are written down when they are created.
pub(crate) const DESCRIPTIONS: &str = "exchequer-topics";
const MIN_IN_SYNC: &str = "min.insync.replicas";

/// How [`DESCRIPTIONS`] must be beside `specs`: one that was made by an earlier version has
/// nothing but its policy.
pub(crate) fn descriptions(specs: &[Spec]) -> Spec {
    let policy = exactly(
        "cleanup.policy",
        "compact",
        "without its note nobody knows which records a topic must have",
    );
    let replicas = specs.iter().map(|spec| spec.replicas).max().unwrap_or(1);
    Spec { name: DESCRIPTIONS.to_owned(), partitions: 1, replicas, settings: vec![policy] }
}

/// How a new one is made.
pub(crate) fn new_descriptions(specs: &[Spec]) -> Spec {
    let mut made = descriptions(specs);
    let mut in_sync = specs.iter().flat_map(|it| &it.settings).filter(|it| it.name == MIN_IN_SYNC);
    made.settings.push(clean_leaders());
    made.settings.extend(in_sync.next().cloned());
    made
}

fn clean_leaders() -> Setting {
    exactly(
        "unclean.leader.election.enable",
        "false",
        "a leader that was behind loses acknowledged records",
    )
}

fn exactly(name: &'static str, value: &str, why: &'static str) -> Setting {
    Setting { name, value: value.to_owned(), rule: Rule::Exactly, why }
}

fn for_ever() -> Setting {
    exactly(
        "retention.ms",
        "-1",
        "this log is kept for ever: it is what everything is rebuilt from",
    )
}

fn for_time(retention_ms: u64) -> Setting {
    Setting {
        name: "retention.ms",
        value: retention_ms.to_string(),
        rule: Rule::AtLeastOrUnbounded,
        why: "what is not decided or sealed yet must not go",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: KER-06
    #[test]
    fn rules_compare_numbers_as_numbers() {
        assert!(Rule::AtLeast.allows("9", "10"));
        assert!(!Rule::AtLeast.allows("2", "1"));
        assert!(!Rule::AtLeast.allows("2", "-1"));
        assert!(Rule::AtLeastOrUnbounded.allows("100", "-1"));
        assert!(!Rule::AtLeastOrUnbounded.allows("100", "99"));
        assert!(!Rule::Exactly.allows("delete", "compact,delete"));
        assert!(Rule::Exactly.allows("-1", "-1"));
        assert!(!Rule::Exactly.allows("-1", "604800000"), "for ever is not a week");
    }

    // REQ: KER-06
    #[test]
    fn three_replicas_wait_for_two() {
        let value = |replicas| {
            let layout = Layout { replicas, ..Layout::default() };
            let journal = layout.topic("journal").unwrap();
            let found = journal.settings.iter().find(|it| it.name == "min.insync.replicas");
            found.unwrap().value.clone()
        };
        assert_eq!((value(1), value(2), value(3)), ("1".into(), "1".into(), "2".into()));
        let layout = Layout { replicas: 5, min_insync_replicas: 3, ..Layout::default() };
        let notes = new_descriptions(&layout.topics());
        let found = notes.settings.iter().find(|it| it.name == MIN_IN_SYNC);
        assert_eq!(found.unwrap().value, "3");
    }
}
