//! Who has which partitions, as the groups' coordinators tell it: for operators, and for
//! what may be done only while nobody works.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use exchequer_journal::{Group, GroupMember, Members};
use exchequer_types::PartitionId;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::groups::GroupInfo;

use crate::SetupError;
use crate::client::{self, Reporter};
use crate::settings::Settings;
use crate::topics::reach;

/// Stands before a process's own name, as brokers know it.
const CLIENT_PREFIX: &str = "exchequer@";
/// More members than that are not told.
const MEMBERS_MAX: usize = 10_000;
/// What nobody confirmed for so long is not told any more.
const REMEMBERED: Duration = Duration::from_secs(600);
/// A client that is made anew has at least so long.
const FRESH_WAIT_MIN: Duration = Duration::from_millis(500);
const READING_PAUSE: Duration = Duration::from_millis(250);

/// The processes that are at work in the deployment of `settings`. A group that does not
/// exist has no members; one whose coordinator does not tell is an error. Blocks.
pub fn members(settings: &Settings) -> Result<Vec<GroupMember>, SetupError> {
    settings.check()?;
    let consumer = reach(settings)?;
    let begun = Instant::now();
    loop {
        let told = ask(consumer.client(), settings, settings.request_wait()).map_err(|error| {
            let last = consumer.context().last();
            let doing = "ask who is in the groups";
            SetupError::of(doing, &settings.bootstrap, last.as_deref(), &error)
        })?;
        if told.silent.is_empty() {
            return Ok(told.members.into_values().flatten().collect());
        }
        if begun.elapsed() > settings.request_wait() {
            return Err(SetupError::unreachable(format!(
                "nobody at {} tells who is in the groups of {}: check that all brokers run",
                settings.bootstrap,
                names(&told.silent)
            )));
        }
        // A coordinator reads a group that it has just taken over.
        std::thread::sleep(READING_PAUSE);
    }
}

/// What a process is called at the brokers.
pub(crate) fn client_id(process: &str) -> String {
    if process.is_empty() { "exchequer".to_owned() } else { format!("{CLIENT_PREFIX}{process}") }
}

pub(crate) fn group_name(settings: &Settings, group: Group) -> String {
    settings.named(&format!("exchequer-{}", group.as_str()))
}

/// Asks for those who want to know at the same time, once, and remembers the answer for
/// when brokers are away.
#[derive(Default)]
pub(crate) struct Asking {
    client: Option<BaseConsumer<Reporter>>,
    known: Known,
    answered: Option<(Instant, Members)>,
}

impl core::fmt::Debug for Asking {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}

impl Asking {
    /// What somebody else was answered since `begun`.
    pub(crate) fn answer_since(&self, begun: Instant) -> Option<Members> {
        let (at, members) = self.answered.as_ref()?;
        (*at >= begun).then(|| members.clone())
    }

    /// Blocks, for no longer than a request may take.
    pub(crate) fn ask(&mut self, settings: &Settings) -> Members {
        let told = self.ask_brokers(settings);
        let told = told.map_err(|error| format!("cannot ask who is in the groups: {error}"));
        let members = self.known.with(told, Instant::now());
        self.answered = Some((Instant::now(), members.clone()));
        members
    }

    fn ask_brokers(&mut self, settings: &Settings) -> KafkaResult<Told> {
        let deadline = Instant::now() + settings.request_wait();
        if let Some(client) = self.client.take() {
            // One that has failed is not kept: it would ask a broker that is gone for ever.
            if let Ok(told) = ask(client.client(), settings, settings.request_wait()) {
                self.keep(client);
                return Ok(told);
            }
        }
        let mut config = settings.reader(64 * 1024);
        // Nobody reads its figures, which would wait to be read.
        config.set("statistics.interval.ms", "0");
        let client: BaseConsumer<Reporter> = client::make(&config, Reporter::default())?;
        let left = deadline.saturating_duration_since(Instant::now());
        let told = ask(client.client(), settings, left.max(FRESH_WAIT_MIN))?;
        self.keep(client);
        Ok(told)
    }

    fn keep(&mut self, client: BaseConsumer<Reporter>) {
        // What it has to say is in its log lines.
        while client.poll(Duration::ZERO).is_some() {}
        self.client = Some(client);
    }
}

/// What the coordinators tell.
#[derive(Debug, Default)]
struct Told {
    /// Of each group that exists.
    members: BTreeMap<Group, Vec<GroupMember>>,
    /// Groups that exist, of which nobody tells more at the moment.
    silent: BTreeSet<Group>,
}

/// What was told last of each group.
#[derive(Debug, Default)]
struct Known {
    groups: BTreeMap<Group, (Instant, Vec<GroupMember>)>,
}

impl Known {
    /// Takes over what is told now. A group that existed and is told of by nobody has a
    /// coordinator that is away.
    fn with(&mut self, told: Result<Told, String>, now: Instant) -> Members {
        self.groups.retain(|_, (at, _)| now.duration_since(*at) < REMEMBERED);
        let (told, why) = match told {
            Ok(told) => (told, "a coordinator does not tell".to_owned()),
            Err(why) => (Told { silent: Group::ALL.into(), ..Told::default() }, why),
        };
        let mut unknown = told.silent;
        unknown.extend(self.groups.keys().filter(|it| !told.members.contains_key(*it)));
        let oldest = unknown.iter().filter_map(|it| self.groups.get(it)).map(|(at, _)| *at).min();
        self.groups.extend(told.members.into_iter().map(|(group, it)| (group, (now, it))));
        let known = self.groups.values().flat_map(|(_, members)| members);
        let mut found: Vec<GroupMember> = known.take(MEMBERS_MAX).cloned().collect();
        found.sort();
        let mut text = String::new();
        if !unknown.is_empty() {
            text = format!("{}: {why}", names(&unknown));
        }
        if let Some(oldest) = oldest {
            let seconds = now.duration_since(oldest).as_secs();
            text = format!("{text}; shown as they were {seconds} s ago");
        }
        Members { found, unknown: text }
    }
}

fn names(groups: &BTreeSet<Group>) -> String {
    let names: Vec<&str> = groups.iter().map(|it| it.as_str()).collect();
    names.join(", ")
}

/// One list of all groups for all questions. A broker that does not answer is an error.
fn ask(client: &Client<Reporter>, settings: &Settings, wait: Duration) -> KafkaResult<Told> {
    let list = client.fetch_group_list(None, wait)?;
    let mut told = Told::default();
    for info in list.groups() {
        let is_it = |group: &Group| group_name(settings, *group) == info.name();
        let Some(group) = Group::ALL.into_iter().find(is_it) else { continue };
        // Of one that cannot be described there is not even a state.
        if info.state().is_empty() {
            told.silent.insert(group);
        } else {
            told.members.insert(group, of_group(group, info));
        }
    }
    // The one that was its coordinator until just now lists it, too.
    told.silent.retain(|group| !told.members.contains_key(group));
    Ok(told)
}

fn of_group(group: Group, info: &GroupInfo) -> Vec<GroupMember> {
    let member = |it: &rdkafka::groups::GroupMemberInfo| GroupMember {
        group,
        process: process(it.client_id(), it.client_host()),
        partitions: it.assignment().and_then(assigned).unwrap_or_default(),
    };
    info.members().iter().map(member).collect()
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

    fn told(groups: &[(Group, &str)]) -> Told {
        let members = groups.iter().map(|(group, name)| (*group, vec![member(*group, name)]));
        Told { members: members.collect(), ..Told::default() }
    }

    fn member(group: Group, name: &str) -> GroupMember {
        GroupMember { group, process: name.to_owned(), partitions: BTreeSet::new() }
    }

    // REQ: KER-07
    #[test]
    fn what_is_not_told_is_named_and_shown_as_it_was() {
        let (mut known, begun) = (Known::default(), Instant::now());
        let nobody = known.with(Ok(Told::default()), begun);
        assert_eq!(nobody, Members::default(), "a group that does not exist has no owner");
        let all = known.with(Ok(told(&[(Group::Deciders, "a"), (Group::Meters, "b")])), begun);
        let both = [member(Group::Deciders, "a"), member(Group::Meters, "b")];
        assert_eq!(all, Members { found: both.to_vec(), unknown: String::new() });

        let later = begun + Duration::from_secs(12);
        let away = known.with(Ok(told(&[(Group::Deciders, "c")])), later);
        assert_eq!(away.found, [member(Group::Deciders, "c"), member(Group::Meters, "b")]);
        let text = "meters: a coordinator does not tell; shown as they were 12 s ago";
        assert_eq!(away.unknown, text);
        let silent = known.with(Err("time-out".to_owned()), later + Duration::from_secs(1));
        assert_eq!(silent.found, away.found);
        let text = "deciders, meters, projectors, consumers, sealers: time-out; shown as they \
                    were 13 s ago";
        assert_eq!(silent.unknown, text);
        let long = known.with(Err("time-out".to_owned()), later + REMEMBERED);
        assert!(long.found.is_empty() && long.unknown.ends_with("time-out"), "{long:?}");
        let back = known.with(Ok(told(&[(Group::Meters, "b")])), later + REMEMBERED);
        assert_eq!(back, Members { found: both[1..].to_vec(), unknown: String::new() });
    }

    // REQ: KER-07
    #[test]
    fn a_process_is_known_by_its_name() {
        assert_eq!(process(&client_id("host:7448"), "/10.0.0.1"), "host:7448");
        assert_eq!(process("exchequer", "/10.0.0.1"), "exchequer at 10.0.0.1");
    }
}
