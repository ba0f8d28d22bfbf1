//! A deployment of a test: a broker, a node, settings for all processes, and the processes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use exchequer_e2e::{Answer, Bearer, Client, Finished, Res, Sent, ensure, program, run_with};
use exchequer_services::{Cassandra, Folder, Kafka, Lifetime, Process, Users};

const START_WAIT_MAX: Duration = Duration::from_secs(60);
pub(crate) const PARTITIONS: u32 = 4;

/// Servers, settings and keys.
pub(crate) struct Deployment {
    _kafka: Kafka,
    _store: Cassandra,
    config: PathBuf,
    // Last, so that the processes have ended before their folder goes.
    folder: Folder,
}

/// A process of the deployment; it ends with the value.
pub(crate) struct Member {
    process: Process,
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

impl Deployment {
    /// Servers on which nothing is yet.
    pub(crate) fn bare() -> Res<Self> {
        let kafka = Kafka::start(1)?;
        let store = Cassandra::start(Users::Anybody)?;
        let folder = Folder::temporary("cluster")?;
        let config = folder.path().join("exchequer.toml");
        std::fs::write(&config, settings(&kafka.bootstrap(), &store.address(), folder.path()))?;
        Ok(Self { _kafka: kafka, _store: store, config, folder })
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

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    pub(crate) fn admin(&self, words: &[&str]) -> Res<Finished> {
        admin(&self.config, words)
    }

    /// Starts a process with these roles, and does not wait for it.
    pub(crate) fn begin(&self, name: &str, roles: &[&str]) -> Res<Process> {
        let mut words = vec![
            program()?.display().to_string(),
            "run".to_owned(),
            "--config".to_owned(),
            self.config.display().to_string(),
            "--listen".to_owned(),
            "127.0.0.1:0".to_owned(),
        ];
        words.extend(roles.iter().flat_map(|role| ["--role".to_owned(), (*role).to_owned()]));
        Ok(Process::start(&words, self.folder.path(), name, Lifetime::Owned)?)
    }

    /// Starts a process with these roles; it is ready.
    pub(crate) fn start(&self, name: &str, roles: &[&str]) -> Res<Member> {
        let mut process = self.begin(name, roles)?;
        process.wait_for_line("is ready", START_WAIT_MAX)?;
        process.wait_for_line("curl http://", START_WAIT_MAX)?;
        let said = std::fs::read_to_string(process.log())?;
        let address = said.lines().find_map(|line| line.trim().strip_prefix("address  "));
        let address = address.ok_or("no address in the greeting")?.to_owned();
        Ok(Member { process, address })
    }

    /// A connection with the deployment's rights.
    pub(crate) async fn client(&self, gateway: &Member) -> Res<Client> {
        Client::open(&gateway.address, Bearer::of_deployment(self.folder.path())?).await
    }
}

impl Member {
    pub(crate) fn kill(mut self) -> Res<()> {
        Ok(self.process.kill()?)
    }

    pub(crate) fn stop(mut self) -> Res<()> {
        Ok(self.process.stop()?)
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
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
