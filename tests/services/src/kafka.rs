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
const START_WAIT_MAX: Duration = Duration::from_secs(90);
const STARTED: &str = "Kafka Server started";

/// A running cluster.
#[derive(Debug)]
pub struct Kafka {
    nodes: Vec<Node>,
    jars: PathBuf,
    lifetime: Lifetime,
    // Last, so that the processes have ended before their folder goes.
    folder: Folder,
}

#[derive(Debug)]
struct Node {
    id: usize,
    port: u16,
    controller_port: u16,
    process: Option<Process>,
}

impl Kafka {
    /// Starts `brokers` nodes that end with the value.
    pub fn start(brokers: usize) -> Result<Self, Error> {
        Self::start_in(Folder::temporary("kafka")?, brokers, Lifetime::Owned)
    }

    /// The same in a folder, which must be empty.
    pub fn start_in(folder: Folder, brokers: usize, lifetime: Lifetime) -> Result<Self, Error> {
        if !(1..=BROKERS_MAX).contains(&brokers) {
            return Err(Error::new(format!(
                "{brokers} brokers; 1 to {BROKERS_MAX} can be started"
            )));
        }
        let jars = KAFKA.jars()?;
        let ports = free_ports(2 * brokers)?;
        let nodes = ports
            .chunks(2)
            .zip(1..)
            .map(|(ports, id)| Node {
                id,
                port: ports[0],
                controller_port: ports[1],
                process: None,
            })
            .collect();
        let mut kafka = Self { nodes, jars, lifetime, folder };
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
        let heap = if self.nodes.len() == 1 { "-Xmx512m" } else { "-Xmx384m" };
        let words = [
            "java".to_owned(),
            heap.to_owned(),
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
            "PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}",
            node.port, node.controller_port
        );
        let data = self.folder.below(&format!("data-{}", node.id))?;
        let settings = [
            ("process.roles", "broker,controller"),
            ("node.id", &node.id.to_string()),
            ("controller.quorum.voters", &voters.join(",")),
            ("listeners", &listeners),
            ("advertised.listeners", &format!("PLAINTEXT://127.0.0.1:{}", node.port)),
            ("controller.listener.names", "CONTROLLER"),
            ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"),
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
            ("controller.quorum.fetch.timeout.ms", "1500"),
            ("controller.quorum.election.timeout.ms", "500"),
        ];
        let mut text = String::new();
        for (name, value) in settings {
            let _ = writeln!(text, "{name}={value}");
        }
        Ok(text)
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
