//! A deployment of a test: a broker, a node, settings for all processes, and the processes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use exchequer_e2e::{Answer, Bearer, Client, Finished, Res, Sent, ensure, program, run_with};
use exchequer_journal::Journal as _;
use exchequer_journal_kafka::topics::Layout;
use exchequer_journal_kafka::{KafkaJournal, Settings as Brokers};
use exchequer_services::{Cassandra, Folder, Kafka, Lifetime, Process, Users};
use exchequer_types::PartitionId;

const START_WAIT_MAX: Duration = Duration::from_secs(60);
pub(crate) const PARTITIONS: u32 = 4;

/// Servers, settings and keys.
pub(crate) struct Deployment {
    kafka: Kafka,
    store: Cassandra,
    config: PathBuf,
    // Last, so that the processes have ended before their folder goes.
    folder: Folder,
}

/// A process of the deployment; it ends with the value.
pub(crate) struct Member {
    pub(crate) process: Process,
    pub(crate) address: String,
}

/// What a settings file says of a deployment on these servers.
pub(crate) fn settings(bootstrap: &str, node: &str, folder: &Path) -> String {
    let keys = folder.join("keys");
    let keys = keys.display();
    format!(
        "[journal]\nbackend = \"kafka\"\npartitions = {PARTITIONS}\n\
         [views]\nbackend = \"scylla\"\n\
         [kafka]\nbootstrap = \"{bootstrap}\"\nreplicas = 1\n\
         [scylla]\nnodes = [\"{node}\"]\nreplication_factor = 1\nrequest_timeout_ms = 30000\n\
         [keys]\ndeployment_file = \"{keys}/deployment.key\"\nmaster_path = \"{keys}/master.keys\"\n"
    )
}

/// Runs `exchequer admin`.
pub(crate) fn admin(config: &Path, words: &[&str]) -> Res<Finished> {
    let mut args: Vec<&OsStr> = vec!["admin".as_ref()];
    args.extend(words.iter().map(OsStr::new));
    args.extend(["--config".as_ref(), config.as_os_str()]);
    run_with(&args)
}

/// Starts a process where it is expected to end by itself.
pub(crate) fn start(config: &Path, role: &str) -> Res<Finished> {
    let listen = "127.0.0.1:0";
    run_with(&[
        "run".as_ref(),
        "--config".as_ref(),
        config.as_os_str(),
        "--listen".as_ref(),
        listen.as_ref(),
        "--role".as_ref(),
        role.as_ref(),
    ])
}

/// It ended with this code, and with these words.
pub(crate) fn says(done: &Finished, code: i32, words: &[&str]) -> Res<()> {
    let has = |word: &&str| done.output.contains(*word);
    ensure(done.status.code() == Some(code) && words.iter().all(has), || {
        format!("{}, not {code} with {words:?}: {}", done.status, done.output)
    })
}

impl Deployment {
    /// Servers on which nothing is yet.
    pub(crate) fn bare() -> Res<Self> {
        Self::on(Kafka::start(1)?, Cassandra::start(Users::Anybody)?)
    }

    /// The same on these.
    pub(crate) fn on(kafka: Kafka, store: Cassandra) -> Res<Self> {
        let folder = Folder::temporary("cluster")?;
        let config = folder.path().join("exchequer.toml");
        std::fs::write(&config, settings(&kafka.bootstrap(), &store.address(), folder.path()))?;
        Ok(Self { kafka, store, config, folder })
    }

    /// With topics, tables and keys.
    pub(crate) fn ready() -> Res<Self> {
        let deployment = Self::bare()?;
        for words in [["init"], ["migrate"]] {
            let done = deployment.admin(&words)?;
            ensure(done.status.success(), || done.output.clone())?;
        }
        Ok(deployment)
    }

    /// From here on nobody answers.
    pub(crate) fn lose_servers(&mut self) -> Res<()> {
        for id in 1..=self.kafka.brokers() {
            self.kafka.kill_broker(id)?;
        }
        Ok(self.store.kill()?)
    }

    /// They are there again, with what they had.
    pub(crate) fn find_servers(&mut self) -> Res<()> {
        for id in 1..=self.kafka.brokers() {
            self.kafka.start_broker(id)?;
        }
        Ok(self.store.start_again()?)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// What clients of the brokers are configured with.
    pub(crate) fn bootstrap(&self) -> String {
        self.kafka.bootstrap()
    }

    /// One of the deployment's logs, as another process has it.
    pub(crate) fn log(&self, name: &str) -> Res<KafkaJournal> {
        let layout = Layout { partitions: PARTITIONS, replicas: 1, ..Layout::default() };
        let spec = layout.topic(name).ok_or("no such topic")?;
        Ok(KafkaJournal::open(&Brokers::new(self.bootstrap()), &spec)?)
    }

    /// Where the store's node is.
    pub(crate) fn node(&self) -> String {
        self.store.address()
    }

    /// From here on processes have these settings.
    pub(crate) fn use_config(&mut self, config: PathBuf) {
        self.config = config;
    }

    /// The same settings with `from` replaced, in a file of their own.
    pub(crate) fn changed(&self, name: &str, from: &str, to: &str) -> Res<PathBuf> {
        let text = std::fs::read_to_string(self.config())?;
        ensure(text.contains(from), || format!("{from} is not in {text}"))?;
        let file = self.folder().join(name);
        std::fs::write(&file, text.replace(from, to))?;
        Ok(file)
    }

    pub(crate) fn admin(&self, words: &[&str]) -> Res<Finished> {
        admin(&self.config, words)
    }

    /// Starts a process with these roles, and does not wait for it.
    pub(crate) fn begin(&self, name: &str, roles: &[&str]) -> Res<Process> {
        self.begin_with(&[], name, roles)
    }

    /// The same behind words that make its surroundings.
    pub(crate) fn begin_with(&self, before: &[String], name: &str, roles: &[&str]) -> Res<Process> {
        let mut words = before.to_vec();
        words.extend([
            program()?.display().to_string(),
            "run".to_owned(),
            "--config".to_owned(),
            self.config.display().to_string(),
            "--listen".to_owned(),
            "127.0.0.1:0".to_owned(),
        ]);
        words.extend(roles.iter().flat_map(|role| ["--role".to_owned(), (*role).to_owned()]));
        Ok(Process::start(&words, self.folder.path(), name, Lifetime::Owned)?)
    }

    /// Starts a process with these roles; it is ready.
    pub(crate) fn start(&self, name: &str, roles: &[&str]) -> Res<Member> {
        Member::ready(self.begin(name, roles)?)
    }

    /// A connection with the deployment's rights.
    pub(crate) async fn client(&self, gateway: &Member) -> Res<Client> {
        Client::open(&gateway.address, Bearer::of_deployment(self.folder.path())?).await
    }
}

impl Member {
    /// A process that has been started, once it is ready.
    pub(crate) fn ready(mut process: Process) -> Res<Self> {
        process.wait_for_line("is ready", START_WAIT_MAX)?;
        process.wait_for_line("curl http://", START_WAIT_MAX)?;
        let said = std::fs::read_to_string(process.log())?;
        let address = said.lines().find_map(|line| line.trim().strip_prefix("address  "));
        let address = address.ok_or("no address in the greeting")?.to_owned();
        Ok(Self { process, address })
    }

    pub(crate) fn kill(mut self) -> Res<()> {
        Ok(self.process.kill()?)
    }

    pub(crate) fn stop(mut self) -> Res<()> {
        Ok(self.process.stop()?)
    }
}

/// Where each partition of a log ends.
pub(crate) async fn ends(log: &KafkaJournal) -> Res<Vec<u64>> {
    let mut ends = Vec::new();
    for partition in (0..PARTITIONS).map(PartitionId) {
        ends.push(log.end(partition).await?);
    }
    Ok(ends)
}

/// Sends commands until each is accepted; how long the slowest took.
pub(crate) async fn accepted(client: &Client, sent: &[Sent]) -> Res<Duration> {
    let begun = Instant::now();
    let answers = sent.iter().map(|sent| client.answer(sent));
    for (answer, sent) in futures::future::join_all(answers).await.into_iter().zip(sent) {
        match answer? {
            Answer::Reply(_) => {}
            Answer::Rejection(no) => return Err(format!("{}: {no:?}", sent.id).into()),
        }
    }
    Ok(begun.elapsed())
}
