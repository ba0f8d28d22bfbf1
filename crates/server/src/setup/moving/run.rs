//! The steps of a move, in their order: everything is looked at before anything is written,
//! a note on the topics keeps processes away until all is there, and what came to the brokers
//! is read back before the note goes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use exchequer_cli::{Moving, PartitionReport};
use exchequer_codec::decode_record;
use exchequer_codec::usage::decode_seal;
use exchequer_engine::UsageIntake;
use exchequer_journal::{GroupMember, Intake as _, Journal, Produced};
use exchequer_journal_kafka::topics::{self, Known, Moved};
use exchequer_journal_kafka::{KafkaJournal, Settings, members};
use exchequer_journal_local::JournalReader;
use exchequer_kernel::{Head, RecordHead, fold};
use exchequer_readstore_scylla::{ScyllaKeys, keys_settings};
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_types::{Hash, Offset, PartitionId};
use serde_json::{Value, json};

use super::MoveError;
use super::carry::{Carried, Log, ReadAs, stand_still};
use super::folder::Folder;
use super::persons::{self, Counted};
use crate::backend::cluster::{ClusterError, apart, fingerprint};
use crate::config::Config;
use crate::setup::{Done, SetupError, of_cluster::run};
use crate::{RunError, keys};

const JOURNAL: &str = "journal";
const USAGE: &str = "usage";
const SEALS: &str = "usage-seals";
/// Offsets in topics are those in the folder: both count from 0, and nothing is left out.
const SHIFT: u64 = 0;
/// Beyond the time that brokers have to answer an append.
const ARRIVAL_MARGIN: Duration = Duration::from_secs(1);

/// Why a cluster is not one to which a folder can be carried.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error(
        "processes of the cluster are running ({0}): stop them, and start them when everything \
         is carried"
    )]
    AtWork(String),
    #[error(
        "{0} hold records, and a folder is carried to topics that are new: name another \
         kafka.prefix, and make them with `exchequer admin init`"
    )]
    NotNew(String),
    #[error(
        "another folder's records are carried to {0}: go on with that one, or name another \
         kafka.prefix"
    )]
    OtherFolder(String),
    #[error(
        "{topic}/{partition} was written and does not hold what the folder does: somebody else \
         writes there. Stop all processes of the cluster, and begin with topics that are new, \
         under another kafka.prefix"
    )]
    Differs { topic: String, partition: PartitionId },
}

/// Reads what the fold wants to know of a record.
type Decode = fn(PartitionId, &Bytes) -> (RecordHead, Hash);

/// One log with its topic and its notes.
struct Part<'a> {
    log: Log<'a>,
    known: Known,
    /// Of a log with chains: how its records are read, and what they come to in the folder.
    chain: Option<(Decode, &'a [PartitionReport])>,
}

/// Carries everything, or goes on with it.
pub(in crate::setup) async fn migrate_log(
    config: &Config,
    moving: &Moving,
) -> Result<Done, SetupError> {
    let key = keys::load(&config.place.data, config.keys.deployment_file.as_deref());
    let key = key.map_err(|error| SetupError::Run(RunError::Key(error)))?;
    let settings = config.kafka.settings().map_err(|error| run(error.into()))?;
    let settings = Settings { process: "migrate-log".to_owned(), ..settings };
    let to = place(&settings);
    let folder = Folder::open(moving, &to, config.journal.partitions, &key);
    let folder = folder.map_err(MoveError::from)?;
    let persons = persons::read(config, moving).await.map_err(MoveError::from)?;
    let known = look(config, &settings, &folder).await?;
    if known.iter().all(|it| it.moved.is_some_and(|moved| moved.is_whole)) {
        return already(&settings, &folder, known).await;
    }
    let of_store = config.scylla.settings().map_err(|error| run(error.into()))?;
    let shared = keys_settings(&of_store);
    let store = ScyllaKeys::open(&shared, &fingerprint(&key)).await;
    let store = store.map_err(|error| run(error.into()))?;

    let clock = TokioRuntime::default();
    let read_as = |bytes: &Bytes| {
        let (appended_at, value) = (clock.now(), Some(&bytes[..]));
        UsageIntake.take(&Produced { appended_at, key: None, headers: Vec::new(), value })
    };
    let parts = open(&settings, &folder, known, &read_as).await?;
    let mut ends = Vec::new();
    for part in &parts {
        ends.push(part.log.compare().await.map_err(MoveError::from)?);
    }
    if let Some(rows) = &persons {
        persons::check(rows, &store).await.map_err(MoveError::from)?;
    }
    let ends = keep_away(&settings, &parts, ends, &clock).await?;
    let counted = match &persons {
        Some(rows) => Some(persons::carry(rows, &store).await.map_err(MoveError::from)?),
        None => None,
    };
    let mut carried = Vec::new();
    for (part, ends) in parts.iter().zip(&ends) {
        carried.push(part.log.append(ends).await.map_err(MoveError::from)?);
    }
    for (part, carried) in parts.iter().zip(&carried) {
        read_back(part, carried).await?;
    }
    // First it is not served any more, then they may serve.
    folder.leave(&to).map_err(MoveError::from)?;
    note(&settings, &parts, true).await?;
    Ok(told(&folder, &to, &parts, &carried, counted))
}

/// Finds the topics of the three logs, such that they may be filled from this folder.
async fn look(
    config: &Config,
    settings: &Settings,
    folder: &Folder,
) -> Result<Vec<Known>, SetupError> {
    let specs = config.kafka.layout(config.journal.partitions).topics();
    let is_ours = |name: &str| reader(folder, name).is_some();
    // Also those of usage, where the folder has none.
    let others: Vec<_> = specs.iter().filter(|it| !is_ours(&it.name)).cloned().collect();
    let asked = settings.clone();
    let looked = apart(move || {
        let known = topics::check_to_fill(&asked, &specs)?;
        Ok::<_, ClusterError>((known, topics::holding_records(&asked, &others)?))
    });
    let (known, holding) = looked.await.map_err(run)?.map_err(run)?;
    for it in &known {
        let from = reader(folder, &it.spec.name).map(JournalReader::id);
        if it.moved.is_some_and(|moved| Some(moved.from) != from) {
            return Err(not_ready(NotReady::OtherFolder(it.spec.name.clone())));
        }
    }
    let known: Vec<Known> = known.into_iter().filter(|it| is_ours(&it.spec.name)).collect();
    if known.iter().all(|it| it.moved.is_some_and(|moved| moved.is_whole)) {
        return Ok(known);
    }
    nobody_works(settings).await?;
    if !holding.is_empty() {
        return Err(not_ready(NotReady::NotNew(holding.join(", "))));
    }
    Ok(known)
}

/// No process is in a group. Those that only answer calls are in none, and not seen.
async fn nobody_works(settings: &Settings) -> Result<(), SetupError> {
    let asked = settings.clone();
    let found = apart(move || members(&asked)).await.map_err(run)?;
    let found = found.map_err(|error| run(error.into()))?;
    if found.is_empty() {
        return Ok(());
    }
    let names: BTreeSet<String> = found.into_iter().map(|it: GroupMember| it.process).collect();
    let names: Vec<String> = names.into_iter().collect();
    Err(not_ready(NotReady::AtWork(names.join(", "))))
}

/// Notes that processes are to stay away, and finds everything as it was compared: one may
/// have started just before, and what a call that was cut short had sent may still arrive.
/// Where that is refused, the notes are as they were.
async fn keep_away(
    settings: &Settings,
    parts: &[Part<'_>],
    ends: Vec<Vec<Offset>>,
    clock: &TokioRuntime,
) -> Result<Vec<Vec<Offset>>, SetupError> {
    let seen = async {
        note(settings, parts, false).await?;
        see_again(settings, parts, ends, clock).await
    };
    let seen = seen.await;
    if seen.is_err() {
        let before = parts.iter().map(|it| (it.known.clone(), it.known.moved)).collect();
        if let Err(error) = write_notes(settings, before).await {
            let topics: Vec<&str> = parts.iter().map(|it| it.known.spec.name.as_str()).collect();
            tracing::error!(
                %error, ?topics,
                "the note that processes are to stay away is still there: call this again"
            );
        }
    }
    seen
}

async fn see_again(
    settings: &Settings,
    parts: &[Part<'_>],
    ends: Vec<Vec<Offset>>,
    clock: &TokioRuntime,
) -> Result<Vec<Vec<Offset>>, SetupError> {
    if parts.iter().any(|it| it.known.moved.is_some()) {
        let logs: Vec<&Log<'_>> = parts.iter().map(|it| &it.log).collect();
        let pause = settings.append_wait() + ARRIVAL_MARGIN;
        let still = stand_still(&logs, async || clock.sleep(pause).await).await;
        still.map_err(MoveError::from)?;
    }
    nobody_works(settings).await?;
    let mut seen = Vec::new();
    for (part, ends) in parts.iter().zip(ends) {
        seen.push(part.log.compare_since(ends).await.map_err(MoveError::from)?);
    }
    Ok(seen)
}

/// The folder's log for a topic; none where the folder has none.
fn reader<'a>(folder: &'a Folder, topic: &str) -> Option<&'a JournalReader> {
    match topic {
        JOURNAL => Some(&folder.journal),
        USAGE => folder.usage.as_ref().map(|(usage, _)| usage),
        SEALS => folder.usage.as_ref().map(|(_, seals)| seals),
        _ => None,
    }
}

async fn open<'a>(
    settings: &Settings,
    folder: &'a Folder,
    known: Vec<Known>,
    read_as: ReadAs<'a>,
) -> Result<Vec<Part<'a>>, SetupError> {
    let mut parts = Vec::new();
    for known in known {
        let Some(from) = reader(folder, &known.spec.name) else { continue };
        let (asked, spec) = (settings.clone(), known.spec.clone());
        let is_usage = spec.name == USAGE;
        let opened = apart(move || {
            if is_usage {
                KafkaJournal::open_produced(&asked, &spec, Arc::new(UsageIntake))
            } else {
                KafkaJournal::open(&asked, &spec)
            }
        });
        let opened = opened.await.map_err(run)?.map_err(|error| run(error.into()))?;
        let to: Arc<dyn Journal> = Arc::new(opened);
        let seals = folder.usage_report.as_ref().map_or(&[][..], |it| &it.partitions);
        let chain: Option<(Decode, _)> = match known.spec.name.as_str() {
            JOURNAL => Some((of_record, &folder.report.partitions[..])),
            SEALS => Some((of_seal, seals)),
            _ => None,
        };
        let name = format!("{}{}", settings.prefix, known.spec.name);
        let read_as = is_usage.then_some(read_as);
        parts.push(Part { log: Log { name, from, to, read_as }, known, chain });
    }
    Ok(parts)
}

fn of_record(partition: PartitionId, bytes: &Bytes) -> (RecordHead, Hash) {
    let (head, hash, _) = decode_record(partition, bytes);
    (head, hash)
}

fn of_seal(partition: PartitionId, bytes: &Bytes) -> (RecordHead, Hash) {
    let (head, hash, _) = decode_seal(partition, bytes);
    (head, hash)
}

/// Writes down at the brokers how far it is.
async fn note(settings: &Settings, parts: &[Part<'_>], is_whole: bool) -> Result<(), SetupError> {
    let moved = |it: &Part<'_>| Moved { from: it.log.from.id(), shift: SHIFT, is_whole };
    let notes = parts.iter().map(|it| (it.known.clone(), Some(moved(it)))).collect();
    write_notes(settings, notes).await
}

async fn write_notes(
    settings: &Settings,
    notes: Vec<(Known, Option<Moved>)>,
) -> Result<(), SetupError> {
    let asked = settings.clone();
    let written = apart(move || {
        notes.iter().try_for_each(|(known, moved)| topics::note_moved(&asked, known, *moved))
    });
    written.await.map_err(run)?.map_err(|error| run(error.into()))
}

/// Reads a log from the brokers, and finds every record and the end of every chain.
async fn read_back(part: &Part<'_>, carried: &Carried) -> Result<(), SetupError> {
    let log = &part.log;
    for (index, wanted) in carried.digests.iter().enumerate() {
        let partition = PartitionId(index as u32);
        let differs = || not_ready(NotReady::Differs { topic: log.name.clone(), partition });
        let end = log.to.end(partition).await;
        let end = end.map_err(|fault| MoveError::from(log.fault(fault)))?;
        let mut head = Head::default();
        let found = log.of_topic(partition, end, |bytes| {
            if let Some((decode, _)) = part.chain {
                let (read, hash) = decode(partition, bytes);
                fold(&mut head, &read, &hash);
            }
        });
        let found = found.await.map_err(MoveError::from)?;
        let ends_alike = part.chain.is_none_or(|(_, reports)| {
            let of = reports.get(index);
            of.is_some_and(|of| {
                (of.seq, of.epoch, &of.head) == (head.seq, head.epoch(), &head.hash.to_hex())
            })
        });
        if found != *wanted || !ends_alike {
            return Err(differs());
        }
    }
    Ok(())
}

/// The topics hold all of a folder's records, perhaps of this one when it was shorter, or of
/// a backup of it: what it has must be there, behind it the cluster's own.
async fn already(
    settings: &Settings,
    folder: &Folder,
    known: Vec<Known>,
) -> Result<Done, SetupError> {
    if !folder.is_moved {
        for part in open(settings, folder, known, &Bytes::clone).await? {
            part.log.find_all().await.map_err(MoveError::from)?;
        }
        folder.leave(&place(settings)).map_err(MoveError::from)?;
    }
    let data = folder.data.display();
    let text = format!("{data} was carried already, to its end: nothing was left to do");
    Ok(Done { text, json: json!({ "from": data.to_string(), "already": true }) })
}

/// Where it goes, as the folder keeps it.
fn place(settings: &Settings) -> String {
    match settings.prefix.as_str() {
        "" => format!("Kafka at {}", settings.bootstrap),
        prefix => format!("Kafka at {}, kafka.prefix {prefix:?}", settings.bootstrap),
    }
}

/// What was done.
fn told(
    folder: &Folder,
    to: &str,
    parts: &[Part<'_>],
    carried: &[Carried],
    persons: Option<Counted>,
) -> Done {
    let data = folder.data.display();
    let mut lines = vec![format!("{data} was verified and carried to {to}")];
    lines.push(match persons {
        Some(Counted { tenants, persons, erased }) => {
            format!("keys of persons: {tenants} tenants, {persons} persons, {erased} erased")
        }
        None => "keys of persons: none; what is said of persons is shown as erased".to_owned(),
    });
    let mut logs: Vec<Value> = Vec::new();
    for (part, it) in parts.iter().zip(carried) {
        let (name, new) = (&part.log.name, it.records - it.found);
        let (records, found) = (it.records, it.found);
        lines.push(format!(
            "{name}: {records} records, {new} written now, {found} found there; shift {SHIFT}"
        ));
        logs.push(json!({
            "topic": name, "records": records, "written": new, "found": found, "shift": SHIFT,
        }));
    }
    lines.push("partition     records         seq  epoch  head".to_owned());
    lines.extend(folder.report.partitions.iter().map(|it| {
        let head = it.head.get(..16).unwrap_or_default();
        format!("{:>9} {:>11} {:>11} {:>6}  {head}", it.partition, it.records, it.seq, it.epoch)
    }));
    lines.push(
        "read back from the brokers: every record is at its offset, and every chain ends with \
         the hash that it has in the folder"
            .to_owned(),
    );
    if !folder.is_backup {
        lines.push(format!("{data} is not served from any more: start the cluster's processes"));
    }
    let json = json!({
        "from": data.to_string(), "to": to, "already": false, "logs": logs, "persons": persons,
        "partitions": folder.report.partitions,
    });
    Done { text: lines.join("\n"), json }
}

fn not_ready(error: NotReady) -> SetupError {
    SetupError::Move(error.into())
}
