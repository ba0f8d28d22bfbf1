//! Apache Kafka in KRaft mode: each node is broker and controller. Nodes are
//! counted from 1, and can be stopped, killed, paused and started again.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Error, Folder, KAFKA, Lifetime, Process, free_ports};

pub const BROKERS_MAX: usize = 5;

/// 16 bytes in the form that Kafka gives ids.
const CLUSTER_ID: &str = "ZXhjaGVxdWVyLXRlc3RzMQ";
/// How long Java takes on a busy machine is nobody's promise.
const START_WAIT_MAX: Duration = Duration::from_secs(300);
const STARTED: &str = "Kafka Server started";
/// The listener that asks who comes, and its protocol.
const GUARDED: &str = "SASL_SSL";

/// A running cluster.
#[derive(Debug)]
pub struct Kafka {
    nodes: Vec<Node>,
    jars: PathBuf,
    lifetime: Lifetime,
    guard: Option<Guard>,
    // Last, so that the processes have ended before their folder goes.
    folder: Folder,
}

#[derive(Debug)]
struct Node {
    id: usize,
    port: u16,
    controller_port: u16,
    far: Far,
    guarded_port: u16,
    process: Option<Process>,
}

/// What a third listener asks of clients: TLS, perhaps a certificate, and a user with a
/// password, by PLAIN or SCRAM.
#[derive(Clone, Debug)]
pub struct Guard {
    /// PEM: the brokers' key and the chain of its certificate, for 127.0.0.1.
    pub identity: String,
    /// PEM of the authority that vouches for clients, each of which must show a certificate.
    pub clients: Option<String>,
    pub user: String,
    pub password: String,
}

/// A second listener for clients: where it is, and where it says that it is.
#[derive(Clone, Copy, Debug)]
pub struct Far {
    pub port: u16,
    pub told: u16,
}

impl Kafka {
    /// Starts `brokers` nodes that end with the value.
    pub fn start(brokers: usize) -> Result<Self, Error> {
        Self::start_in(Folder::temporary("kafka")?, brokers, Lifetime::Owned)
    }

    /// The same with a listener that asks who comes.
    pub fn start_guarded(brokers: usize, guard: Guard) -> Result<Self, Error> {
        let folder = Folder::temporary("kafka")?;
        Self::start_as(folder, brokers, Lifetime::Owned, Some(guard))
    }

    /// The same in a folder, which must be empty.
    pub fn start_in(folder: Folder, brokers: usize, lifetime: Lifetime) -> Result<Self, Error> {
        Self::start_as(folder, brokers, lifetime, None)
    }

    fn start_as(
        folder: Folder,
        brokers: usize,
        lifetime: Lifetime,
        guard: Option<Guard>,
    ) -> Result<Self, Error> {
        if !(1..=BROKERS_MAX).contains(&brokers) {
            return Err(Error::new(format!(
                "{brokers} brokers; 1 to {BROKERS_MAX} can be started"
            )));
        }
        let jars = KAFKA.jars()?;
        let ports = free_ports(5 * brokers)?;
        let nodes = ports
            .chunks(5)
            .zip(1..)
            .map(|(ports, id)| Node {
                id,
                port: ports[0],
                controller_port: ports[1],
                far: Far { port: ports[2], told: ports[3] },
                guarded_port: ports[4],
                process: None,
            })
            .collect();
        let mut kafka = Self { nodes, jars, lifetime, guard, folder };
        kafka.format()?;
        for at in 0..brokers {
            kafka.nodes[at].process = Some(kafka.launch(at)?);
        }
        for node in &mut kafka.nodes {
            node.wait()?;
        }
        Ok(kafka)
    }

    /// What clients are configured with: `127.0.0.1:PORT` of each node, between commas.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        addresses.join(",")
    }

    /// The same of the listener that asks who comes.
    pub fn guarded_bootstrap(&self) -> String {
        let addresses: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.guarded_port)).collect();
        addresses.join(",")
    }

    /// A second way to each node, for clients that a [`crate::Relay`] stands before: it has to
    /// listen where the node tells.
    pub fn far(&self) -> Vec<Far> {
        self.nodes.iter().map(|node| node.far).collect()
    }

    pub fn brokers(&self) -> usize {
        self.nodes.len()
    }

    /// Stops a node as an operator would: it hands its partitions over first.
    pub fn stop_broker(&mut self, id: usize) -> Result<(), Error> {
        self.node(id)?.take()?.stop()
    }

    /// `kill -9`.
    pub fn kill_broker(&mut self, id: usize) -> Result<(), Error> {
        self.node(id)?.take()?.kill()
    }

    /// Starts a stopped or killed node on its old data and ports.
    pub fn start_broker(&mut self, id: usize) -> Result<(), Error> {
        if self.node(id)?.process.is_some() {
            return Err(Error::new(format!("node {id} runs already")));
        }
        // The log of its last life says that it started, too.
        let log = self.folder.path().join(format!("node-{id}.log"));
        let _ = fs::rename(&log, log.with_extension("log.old"));
        self.nodes[id - 1].process = Some(self.launch(id - 1)?);
        self.node(id)?.wait()
    }

    /// `SIGSTOP`: connections stay open and nothing answers.
    pub fn pause_broker(&mut self, id: usize) -> Result<(), Error> {
        self.node(id)?.running()?.pause()
    }

    pub fn resume_broker(&mut self, id: usize) -> Result<(), Error> {
        self.node(id)?.running()?.resume()
    }

    fn node(&mut self, id: usize) -> Result<&mut Node, Error> {
        let nodes = self.nodes.len();
        let unknown = || Error::new(format!("there is no node {id}; they are 1 to {nodes}"));
        self.nodes.iter_mut().find(|node| node.id == id).ok_or_else(unknown)
    }

    /// Writes the settings of each node and makes its storage.
    fn format(&self) -> Result<(), Error> {
        let mut running = Vec::new();
        for node in &self.nodes {
            let settings = self.settings_file(node);
            let text = self.settings(node)?;
            fs::write(&settings, text).map_err(|error| Error::io("write", &settings, &error))?;
            let child = Command::new("java")
                .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
                .arg(class_path(&self.jars))
                .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
                .arg(&settings)
                .args(self.guard.as_ref().map(Guard::user_to_make).into_iter().flatten())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| Error::new(format!("cannot start java: {error}")))?;
            running.push(child);
        }
        for child in running {
            let output = child.wait_with_output().map_err(|error| Error::new(error.to_string()))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(Error::new(format!("Kafka's storage was not made: {said}")));
            }
        }
        Ok(())
    }

    fn launch(&self, at: usize) -> Result<Process, Error> {
        let node = &self.nodes[at];
        // Several share a small machine, and are started again in the middle of a test.
        let (heap, compiler) = match self.nodes.len() {
            1 => ("-Xmx512m", "-XX:+TieredCompilation"),
            _ => ("-Xmx384m", "-XX:TieredStopAtLevel=1"),
        };
        let words = [
            "java".to_owned(),
            heap.to_owned(),
            compiler.to_owned(),
            "-XX:+UseSerialGC".to_owned(),
            "-cp".to_owned(),
            class_path(&self.jars),
            "kafka.Kafka".to_owned(),
            self.settings_file(node).display().to_string(),
        ];
        Process::start(&words, self.folder.path(), &format!("node-{}", node.id), self.lifetime)
    }

    fn settings_file(&self, node: &Node) -> PathBuf {
        self.folder.path().join(format!("node-{}.properties", node.id))
    }

    fn settings(&self, node: &Node) -> Result<String, Error> {
        let voters: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("{}@127.0.0.1:{}", node.id, node.controller_port))
            .collect();
        let replicas = self.nodes.len().min(3).to_string();
        let in_sync = if self.nodes.len() < 3 { "1" } else { "2" };
        let listeners = format!(
            "PLAINTEXT://127.0.0.1:{},FAR://127.0.0.1:{},CONTROLLER://127.0.0.1:{}",
            node.port, node.far.port, node.controller_port
        );
        let told = format!("PLAINTEXT://127.0.0.1:{},FAR://127.0.0.1:{}", node.port, node.far.told);
        let protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT";
        let guarded =
            self.guard.as_ref().map(|_| format!(",{GUARDED}://127.0.0.1:{}", node.guarded_port));
        let guarded = guarded.unwrap_or_default();
        let (listeners, told) = (format!("{listeners}{guarded}"), format!("{told}{guarded}"));
        let protocols = format!("{protocols},{GUARDED}:{GUARDED}");
        let data = self.folder.below(&format!("data-{}", node.id))?;
        let settings = [
            ("process.roles", "broker,controller"),
            ("node.id", &node.id.to_string()),
            ("controller.quorum.voters", &voters.join(",")),
            ("listeners", &listeners),
            ("advertised.listeners", &told),
            ("controller.listener.names", "CONTROLLER"),
            ("listener.security.protocol.map", &protocols),
            ("log.dirs", &data.display().to_string()),
            ("auto.create.topics.enable", "false"),
            ("offsets.topic.replication.factor", &replicas),
            ("offsets.topic.num.partitions", "1"),
            ("transaction.state.log.replication.factor", &replicas),
            ("transaction.state.log.min.isr", in_sync),
            ("share.coordinator.state.topic.replication.factor", &replicas),
            ("share.coordinator.state.topic.min.isr", in_sync),
            ("group.initial.rebalance.delay.ms", "0"),
            ("broker.session.timeout.ms", "3000"),
            ("broker.heartbeat.interval.ms", "500"),
            ("controller.quorum.fetch.timeout.ms", "3000"),
            ("controller.quorum.election.timeout.ms", "1000"),
        ];
        let mut text = String::new();
        for (name, value) in settings {
            let _ = writeln!(text, "{name}={value}");
        }
        if let Some(guard) = &self.guard {
            text.push_str(&guard.settings(self.folder.path())?);
        }
        Ok(text)
    }
}

impl Guard {
    /// Of users who sign in by SCRAM the brokers keep a hash; it is made with their storage.
    fn user_to_make(&self) -> [String; 4] {
        let Self { user, password, .. } = self;
        let made = |by: &str| format!("{by}=[name={user},password={password}]");
        let add = || "--add-scram".to_owned();
        [add(), made("SCRAM-SHA-256"), add(), made("SCRAM-SHA-512")]
    }

    fn settings(&self, folder: &Path) -> Result<String, Error> {
        let identity = folder.join("identity.pem");
        fs::write(&identity, &self.identity)
            .map_err(|error| Error::io("write", &identity, &error))?;
        let of_listener = "listener.name.sasl_ssl";
        let modules = "org.apache.kafka.common.security";
        let Self { user, password, .. } = self;
        let mut of_clients = String::new();
        if let Some(clients) = &self.clients {
            let file = folder.join("clients.pem");
            fs::write(&file, clients).map_err(|error| Error::io("write", &file, &error))?;
            of_clients = format!(
                "{of_listener}.ssl.client.auth=required\n\
                 {of_listener}.ssl.truststore.type=PEM\n\
                 {of_listener}.ssl.truststore.location={}\n",
                file.display()
            );
        }
        Ok(format!(
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             {of_clients}\
             {of_listener}.ssl.keystore.type=PEM\n\
             {of_listener}.ssl.keystore.location={}\n\
             {of_listener}.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required \
             user_{user}=\"{password}\";\n\
             {of_listener}.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule \
             required;\n\
             {of_listener}.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule \
             required;\n",
            identity.display()
        ))
    }
}

impl Node {
    fn running(&mut self) -> Result<&mut Process, Error> {
        let id = self.id;
        self.process.as_mut().ok_or_else(|| Error::new(format!("node {id} does not run")))
    }

    fn take(&mut self) -> Result<Process, Error> {
        let id = self.id;
        self.process.take().ok_or_else(|| Error::new(format!("node {id} does not run")))
    }

    fn wait(&mut self) -> Result<(), Error> {
        self.running()?.wait_for_line(STARTED, START_WAIT_MAX)
    }
}

fn class_path(jars: &Path) -> String {
    format!("{}/*", jars.display())
}
