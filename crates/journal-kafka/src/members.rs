//! Who has which partitions, as the groups' coordinators tell it: for operators, and for
//! what may be done only while nobody works.

use std::collections::BTreeSet;

use exchequer_journal::{Group, GroupMember};
use exchequer_types::PartitionId;
use rdkafka::client::Client;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::groups::GroupInfo;

use crate::SetupError;
use crate::client::Reporter;
use crate::settings::Settings;
use crate::topics::reach;

/// Stands before a process's own name, as brokers know it.
const CLIENT_PREFIX: &str = "exchequer@";
/// More members than that are not told.
const MEMBERS_MAX: usize = 10_000;

/// The processes that are at work in the deployment of `settings`. Blocks.
pub fn members(settings: &Settings) -> Result<Vec<GroupMember>, SetupError> {
    settings.check()?;
    let consumer = reach(settings)?;
    ask(consumer.client(), settings).map_err(|error| {
        let last = consumer.context().last();
        let doing = "ask who is in the groups";
        SetupError::of(doing, &settings.bootstrap, last.as_deref(), &error)
    })
}

/// What a process is called at the brokers.
pub(crate) fn client_id(process: &str) -> String {
    if process.is_empty() { "exchequer".to_owned() } else { format!("{CLIENT_PREFIX}{process}") }
}

pub(crate) fn group_name(settings: &Settings, group: Group) -> String {
    settings.named(&format!("exchequer-{}", group.as_str()))
}

/// By group, then by name. Blocks.
pub(crate) fn ask(client: &Client<Reporter>, settings: &Settings) -> KafkaResult<Vec<GroupMember>> {
    let mut found = Vec::new();
    for group in Group::ALL {
        let name = group_name(settings, group);
        let list = client.fetch_group_list(Some(&name), settings.request_wait())?;
        // One whose coordinator could not tell has no state, and no members.
        if list.groups().iter().any(|it| it.state().is_empty()) {
            return Err(KafkaError::GroupListFetch(RDKafkaErrorCode::CoordinatorNotAvailable));
        }
        let members = list.groups().iter().flat_map(GroupInfo::members);
        found.extend(members.map(|it| GroupMember {
            group,
            process: process(it.client_id(), it.client_host()),
            partitions: it.assignment().and_then(assigned).unwrap_or_default(),
        }));
    }
    found.truncate(MEMBERS_MAX);
    found.sort();
    Ok(found)
}

fn process(client: &str, host: &str) -> String {
    match client.strip_prefix(CLIENT_PREFIX) {
        Some(name) => name.to_owned(),
        None => format!("{client} at {}", host.trim_start_matches('/')),
    }
}

/// The partitions in an assignment of the classic protocol: a version, then topics with
/// their partitions.
fn assigned(bytes: &[u8]) -> Option<BTreeSet<PartitionId>> {
    let mut rest = bytes.get(2..)?;
    let mut found = BTreeSet::new();
    for _ in 0..number(&mut rest)? {
        let (length, behind) = rest.split_first_chunk()?;
        rest = behind.get(usize::from(u16::from_be_bytes(*length))..)?;
        for _ in 0..number(&mut rest)? {
            found.insert(PartitionId(number(&mut rest)?));
        }
    }
    Some(found)
}

/// A count or an index; none is negative.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    u32::try_from(i32::from_be_bytes(*bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: KER-07
    #[test]
    fn an_assignment_is_read_as_the_protocol_has_it() {
        let mut bytes = vec![0, 1, 0, 0, 0, 1, 0, 5];
        bytes.extend(b"usage");
        bytes.extend([0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        // User data, which nobody reads.
        bytes.extend([0xff; 4]);
        let expected: BTreeSet<_> = [PartitionId(0), PartitionId(3)].into();
        assert_eq!(assigned(&bytes), Some(expected));
        assert_eq!(assigned(&[0, 0, 0, 0, 0, 0]), Some(BTreeSet::new()));
        assert_eq!(assigned(&bytes[..bytes.len() - 6]), None, "cut off");
        assert_eq!(assigned(&[0, 0, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(assigned(&[]), None, "nothing is assigned yet");
    }

    // REQ: KER-07
    #[test]
    fn a_process_is_known_by_its_name() {
        assert_eq!(process(&client_id("host:7448"), "/10.0.0.1"), "host:7448");
        assert_eq!(process("exchequer", "/10.0.0.1"), "exchequer at 10.0.0.1");
    }
}
