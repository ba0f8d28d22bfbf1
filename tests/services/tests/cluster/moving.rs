//! From a data folder, or a backup, to a cluster: records keep their places, what was cut
//! short goes on, and the cluster knows all that the one process knew.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use exchequer_e2e::client::Book;
use exchequer_e2e::{Client, Finished, Res, Sent, Server, ensure, program, wait};
use exchequer_journal::Journal as _;
use exchequer_journal_kafka::topics::{Layout, Moved, check_to_fill, note_moved};
use exchequer_journal_kafka::{KafkaJournal, Settings};
use exchequer_journal_local::JournalReader;
use exchequer_readstore_scylla::{ScyllaKeys, Settings as StoreSettings, keys_settings};
use exchequer_services::{Lifetime, Process};
use exchequer_types::{Hash, PartitionId, TenantId};
use exchequer_vault::{KeyStore as _, Row, TenantKeyRow};
use serde_json::Value;

use crate::deployment::{Deployment, PARTITIONS, accepted, admin, says, start};
use crate::metered::{counted, make_meter, publish};
use crate::turn::Turn;

const EXIT_USAGE: i32 = 64;
const EXIT_CONFIG: i32 = 78;
const TENANTS: usize = 12;
const EVENTS: usize = 3_000;

fn tenant(number: usize) -> String {
    format!("tenant-{number}")
}

const SUM: u64 = (EVENTS as u64 - 1) * EVENTS as u64 / 2;

async fn books(client: &Client) -> Res<Vec<Book>> {
    let mut books = Vec::new();
    for number in 0..TENANTS {
        let id = tenant(number);
        let token = client.token(&id).await?;
        books.push(client.book(&id, &token).await?.ok_or_else(|| format!("{id} is gone"))?);
    }
    Ok(books)
}

/// A folder with tenants, their audit entries, keys of persons, and use.
async fn lived_in(data: &Path) -> Res<Vec<Book>> {
    let mut command = Command::new(program()?);
    let partitions = PARTITIONS.to_string();
    let server =
        Server::start_with(data, command.env("EXCHEQUER__JOURNAL__PARTITIONS", &partitions))?;
    let client = Client::connect(&server).await?;
    let create: Vec<Sent> =
        (0..TENANTS).map(|it| Sent::create(&tenant(it), &format!("create-{it}"))).collect();
    accepted(&client, &create).await?;
    accepted(&client, &renames("before")).await?;
    make_meter(&client).await?;
    for from in (0..EVENTS).step_by(500) {
        publish(&client, from..from + 500).await?;
    }
    counted(&client, SUM).await?;
    let books = books(&client).await?;
    server.stop()?;
    Ok(books)
}

fn renames(round: &str) -> Vec<Sent> {
    let rename = |it| Sent::rename(&tenant(it), &format!("rename-{round}-{it}"), round, None);
    (0..TENANTS).map(rename).collect()
}

fn give_keys(data: &Path, folder: &Path) -> Res<()> {
    let keys = folder.join("keys");
    std::fs::create_dir_all(&keys)?;
    for name in ["deployment.key", "master.keys"] {
        std::fs::copy(data.join("keys").join(name), keys.join(name))?;
    }
    Ok(())
}

fn migrate_log(config: &Path, data: &Path, more: &[&str]) -> Res<Finished> {
    let data = data.display().to_string();
    let mut words = vec!["migrate-log", "--data", &data];
    words.extend(more);
    admin(config, &words)
}

/// What a call that was cut short leaves: a part of one partition, and the note on the topic.
async fn half_done(deployment: &Deployment, data: &Path) -> Res<usize> {
    let settings = Settings::new(deployment.bootstrap());
    let layout = Layout { partitions: PARTITIONS, replicas: 1, ..Layout::default() };
    let spec = layout.topic("journal").ok_or("no such topic")?;
    let reader = JournalReader::open(data)?;
    let known = check_to_fill(&settings, core::slice::from_ref(&spec))?;
    let moved = Moved { from: reader.id(), shift: 0, is_whole: false };
    note_moved(&settings, known.first().ok_or("not known")?, Some(moved))?;
    let of_first = |it: &exchequer_journal_local::PhysicalRecord| it.partition == PartitionId(1);
    let records: Result<Vec<_>, _> = reader.records().collect();
    let records: Vec<Bytes> = records?.into_iter().filter(of_first).map(|it| it.bytes).collect();
    let some = records.len() / 2 + 1;
    let journal = KafkaJournal::open(&settings, &spec)?;
    journal.append_all(PartitionId(1), records[..some].to_vec()).await?;
    Ok(some)
}

/// Ends the tool as soon as records of use come to the brokers.
async fn killed(deployment: &Deployment, data: &Path) -> Res<()> {
    let usage = deployment.log("usage")?;
    let mut words = vec![program()?.display().to_string()];
    words.extend(["admin", "migrate-log", "--config"].map(str::to_owned));
    words.extend([deployment.config().display().to_string(), "--data".to_owned()]);
    words.push(data.display().to_string());
    let mut tool = Process::start(&words, deployment.folder(), "migrate", Lifetime::Owned)?;
    let deadline = wait::Deadline::new("a record of use at the brokers");
    'waiting: loop {
        for partition in 0..PARTITIONS {
            if usage.end(PartitionId(partition)).await? > 0 {
                break 'waiting;
            }
        }
        deadline.step().await?;
    }
    // It may have come to its end by now.
    let _ = tool.kill();
    Ok(())
}

// REQ: KER-07, KER-15, USE-12
#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_goes_on_as_a_cluster() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Deployment::bare()?;
    let (config, folder) = (deployment.config(), deployment.folder());
    let data = folder.join("data");
    let before = lived_in(&data).await?;
    let [copy, persons] = ["copy", "persons.backup"].map(|name| folder.join(name));
    back_up(&data, &copy, &persons)?;
    give_keys(&data, folder)?;
    says(&deployment.admin(&["init"])?, 0, &["journal created"])?;
    says(&deployment.admin(&["migrate"])?, 0, &["keyspace exchequer created"])?;

    refused(&deployment, &data, &copy)?;
    refused_by_what_is_there(&deployment, &data).await?;
    let some = half_done(&deployment, &data).await?;
    says(&start(config, "decider")?, EXIT_CONFIG, &["journal does not hold yet", "migrate-log"])?;
    killed(&deployment, &data).await?;
    let done = migrate_log(config, &data, &["--json"])?;
    ensure(done.status.success(), || done.output.clone())?;
    let told: Value = serde_json::from_str(&done.output).map_err(|_| done.output.clone())?;
    let journal =
        told["logs"].as_array().and_then(|it| it.iter().find(|it| it["topic"] == "journal"));
    let is_told =
        journal.is_some_and(|it| it["found"].as_u64() >= Some(some as u64) && it["shift"] == 0);
    ensure(is_told || told["already"] == true, || told.to_string())?;
    says(&migrate_log(config, &data, &[])?, 0, &["was carried already"])?;
    let again = Server::refused(&data)?;
    says(&again, 1, &["go on elsewhere", "MOVED"])?;

    let member = deployment.start("all", &[])?;
    let client = deployment.client(&member).await?;
    check(&client, &before).await?;
    accepted(&client, &renames("after")).await?;
    for (book, was) in books(&client).await?.iter().zip(&before) {
        let (now, then) = (commands(book), commands(was));
        let is_one_more = now.len() == then.len() + 1 && now.starts_with(&then);
        ensure(is_one_more, || format!("{:?} after {then:?}", book.entries))?;
    }
    says(&migrate_log(config, &data, &[])?, 0, &["was carried already"])?;
    member.stop()?;

    restored(deployment, (&copy, &persons), &before).await
}

/// Those that this test sent, in their order; refusals are counted under ids of their own.
fn commands(book: &Book) -> Vec<&str> {
    let ids = book.entries.iter().map(|it| it.command_id.as_str());
    ids.filter(|it| it.starts_with("create-") || it.starts_with("rename-")).collect()
}

/// The cluster knows what the one process knew.
async fn check(client: &Client, before: &[Book]) -> Res<()> {
    for (book, was) in books(client).await?.iter().zip(before) {
        // Behind them stand those of this test's own reading.
        let are_same = book.tenant == was.tenant && book.entries.starts_with(&was.entries);
        ensure(are_same, || format!("{book:?} is not {was:?}"))?;
        let is_read = book.entries.iter().all(|it| it.origin.as_ref().is_none_or(|it| !it.erased));
        ensure(is_read, || format!("{:?} were erased", book.entries))?;
    }
    // Decided once, and counted once.
    accepted(client, &renames("before")).await?;
    publish(client, 0..500).await?;
    publish(client, EVENTS..EVENTS + 1).await?;
    counted(client, SUM + EVENTS as u64).await?;
    let status = client.status().await?;
    ensure(status.partitions.iter().all(|it| it.breaks == 0), || format!("{status:?}"))
}

/// What is said before anything is written.
fn refused(deployment: &Deployment, data: &Path, copy: &Path) -> Res<()> {
    let folder = deployment.folder();
    std::fs::write(folder.join("other.key"), [7; 32])?;
    let other = deployment.changed("other.toml", "keys/deployment.key", "other.key")?;
    let done = migrate_log(&other, data, &[])?;
    says(&done, EXIT_USAGE, &["is not the key of", "keys/deployment.key in it"])?;
    let more = deployment.changed("more.toml", "partitions = 4", "partitions = 8")?;
    says(&migrate_log(&more, data, &[])?, EXIT_USAGE, &["has 4 partitions", "partitions = 4"])?;
    let done = migrate_log(deployment.config(), copy, &[])?;
    says(&done, EXIT_USAGE, &["persons.keys is missing", "--persons", "--without-persons"])?;
    let done = migrate_log(deployment.config(), &folder.join("nothing"), &[])?;
    says(&done, 1, &["there is no log in"])?;
    ensure(!folder.join("nothing").exists(), || "a folder was made".to_owned())
}

/// What is found when topics and keys are looked at, and leaves no trace there.
async fn refused_by_what_is_there(deployment: &Deployment, data: &Path) -> Res<()> {
    let layout = Layout { partitions: PARTITIONS, replicas: 1, ..Layout::default() };
    let spec = |name: &str| layout.topic(name).ok_or("no such topic");
    let config = deployment.changed("taken.toml", "nodes =", "keyspace = \"taken\"\nnodes =")?;
    says(&admin(&config, &["migrate"])?, 0, &["keyspace taken created"])?;
    let of_keys = keys_settings(&StoreSettings::new(vec![deployment.node()], "taken"));
    let key = std::fs::read(deployment.folder().join("keys/deployment.key"))?;
    let text = b"exchequer deployment key fingerprint v1 ".as_slice();
    let keys = ScyllaKeys::open(&of_keys, &Hash::blake3(&[text, &key].concat()).0).await?;
    let (master, wrapped) = ("1".to_owned(), vec![7; 60]);
    let other = TenantKeyRow { tenant: TenantId::parse(tenant(0))?, master, wrapped };
    keys.insert(Row::Tenant(other)).await?;
    let done = migrate_log(&config, data, &[])?;
    says(&done, EXIT_CONFIG, &["another key of tenant tenant-0", "keyspace that is new"])?;
    let mut settings = Settings::new(deployment.bootstrap());
    let known = check_to_fill(&settings, &[spec("journal")?, spec("usage")?])?;
    ensure(known.iter().all(|it| it.moved.is_none()), || format!("a trace: {known:?}"))?;

    // A folder from before usage was counted, and topics that have some.
    let young = deployment.folder().join("young");
    copy(data, &young, &["usage", "seals", "views"])?;
    let beside = "prefix = \"young.\"\nreplicas = 1\n";
    let text = std::fs::read_to_string(&config)?;
    let config = deployment.folder().join("young.toml");
    std::fs::write(&config, text.replace("replicas = 1\n", beside))?;
    says(&admin(&config, &["init"])?, 0, &["young.usage created"])?;
    let mut decider = decider(deployment, &config)?;
    says(&migrate_log(&config, &young, &[])?, EXIT_CONFIG, &["of the cluster are running", ":"])?;
    decider.stop()?;
    "young.".clone_into(&mut settings.prefix);
    let usage = KafkaJournal::open(&settings, &spec("usage")?)?;
    usage.append(PartitionId(1), Bytes::from_static(b"somebody's")).await?;
    let done = migrate_log(&config, &young, &[])?;
    says(&done, EXIT_CONFIG, &["young.usage", "hold records", "kafka.prefix"])
}

/// One that has its partitions.
fn decider(deployment: &Deployment, config: &Path) -> Res<Process> {
    let mut words = vec![program()?.display().to_string()];
    words.extend(["run", "--listen", "127.0.0.1:0", "--role", "decider"].map(str::to_owned));
    words.extend(["--config".to_owned(), config.display().to_string()]);
    let mut process = Process::start(&words, deployment.folder(), "decider", Lifetime::Owned)?;
    process.wait_for_line("partitions are ours", wait::PATIENCE)?;
    Ok(process)
}

/// A folder with all that is in it, but for some names.
fn copy(from: &Path, to: &Path, without: &[&str]) -> Res<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let (path, name) = entry.map(|it| (it.path(), it.file_name()))?;
        if path.is_dir() && !without.iter().any(|it| name == *it) {
            copy(&path, &to.join(name), &[])?;
        } else if path.is_file() {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

fn back_up(data: &Path, copy: &Path, persons: &Path) -> Res<()> {
    let data: PathBuf = data.to_owned();
    let words = ["backup".as_ref(), "--data".as_ref(), data.as_os_str(), "--to".as_ref()];
    let words: Vec<&std::ffi::OsStr> = words.into_iter().chain([copy.as_os_str()]).collect();
    says(&exchequer_e2e::run_with(&words)?, 0, &["nothing is wrong"])?;
    let words = ["admin", "keys", "backup", "--data"].map(std::ffi::OsStr::new);
    let words = words.into_iter().chain([data.as_os_str(), "--to".as_ref(), persons.as_os_str()]);
    says(&exchequer_e2e::run_with(&words.collect::<Vec<_>>())?, 0, &["tenants, keys of"])
}

/// A backup goes to a cluster as a folder does: here beside the other one.
async fn restored(
    mut deployment: Deployment,
    (copy, persons): (&Path, &Path),
    before: &[Book],
) -> Res<()> {
    let beside = "prefix = \"restored.\"\nreplicas = 1\n";
    let config = deployment.changed("restored.toml", "replicas = 1\n", beside)?;
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace("nodes =", "keyspace = \"restored\"\nnodes ="))?;
    says(&admin(&config, &["init"])?, 0, &["restored.journal created"])?;
    says(&admin(&config, &["migrate"])?, 0, &["keyspace restored created"])?;
    let persons = persons.display().to_string();
    let done = migrate_log(&config, copy, &["--persons", &persons])?;
    says(&done, 0, &["was verified and carried", "restored.journal: ", "0 found there"])?;
    says(&done, 0, &["keys of persons: ", "every chain ends with the hash"])?;
    let done = migrate_log(&config, copy, &["--persons", &persons])?;
    says(&done, 0, &["was carried already"])?;
    deployment.use_config(config);
    let member = deployment.start("restored", &[])?;
    check(&deployment.client(&member).await?, before).await
}
