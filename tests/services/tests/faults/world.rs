//! A deployment on three brokers and a node: settings, keys, and every role as processes of
//! their own, two of those that take over from each other.

use std::path::{Path, PathBuf};

use exchequer_e2e::{Bearer, Client, Res, ensure, program, run_with, wait};
use exchequer_journal::Fault;
use exchequer_journal_kafka::topics::Layout;
use exchequer_journal_kafka::{KafkaJournal, Settings};
use exchequer_readstore_scylla::Settings as StoreSettings;
use exchequer_services::{
    Cassandra, Clock, Folder, Kafka, Lifetime, Process, Relay, Users, free_ports,
};

pub(crate) const PARTITIONS: u32 = 4;
const BROKERS: usize = 3;
/// Its way to the brokers can be cut.
pub(crate) const FAR: &str = "decider-2";
const MEMBERS: &[(&str, &str)] = &[
    ("decider-1", "decider"),
    (FAR, "decider"),
    ("meter-1", "meter"),
    ("meter-2", "meter"),
    ("projector-1", "projector"),
    ("consumer-1", "consumer"),
    ("sealer-1", "sealer"),
    ("gateway-1", "gateway"),
    ("gateway-2", "gateway"),
];

/// Servers and processes.
pub(crate) struct World {
    pub(crate) members: Vec<Member>,
    pub(crate) relays: Vec<Relay>,
    pub(crate) kafka: Kafka,
    pub(crate) store: Cassandra,
    // Last, so that the processes have ended before their folder goes.
    pub(crate) folder: Folder,
}

/// A process of one role, which is started again on its port.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) role: &'static str,
    pub(crate) clock: Clock,
    config: PathBuf,
    address: String,
    process: Option<Process>,
}

fn settings(bootstrap: &str, node: &str, folder: &Path) -> String {
    let keys = folder.join("keys");
    let keys = keys.display();
    format!(
        "[journal]\nbackend = \"kafka\"\npartitions = {PARTITIONS}\n\
         [views]\nbackend = \"scylla\"\n\
         [kafka]\nbootstrap = \"{bootstrap}\"\nreplicas = {BROKERS}\n\
         [scylla]\nnodes = [\"{node}\"]\nreplication_factor = 1\nrequest_timeout_ms = 10000\n\
         [keys]\ndeployment_file = \"{keys}/deployment.key\"\nmaster_path = \"{keys}/master.keys\"\n"
    )
}

impl World {
    /// Everything runs and is ready.
    pub(crate) fn start() -> Res<Self> {
        let (kafka, store) = std::thread::scope(|both| {
            let store = both.spawn(|| Cassandra::start(Users::Anybody));
            (Kafka::start(BROKERS), store.join())
        });
        let (kafka, store) = (kafka?, store.map_err(|_| "the store's start panicked")??);
        let folder = Folder::temporary("faults")?;
        let far = kafka.far();
        let relays: Result<Vec<_>, _> =
            far.iter().map(|it| Relay::start(it.told, it.port)).collect();
        let told: Vec<String> = far.iter().map(|it| format!("127.0.0.1:{}", it.told)).collect();
        let mut world = Self { members: Vec::new(), relays: relays?, kafka, store, folder };
        let (own, node) = (world.folder.path(), world.store.address());
        let [near, far] = ["near.toml", "far.toml"].map(|name| own.join(name));
        std::fs::write(&near, settings(&world.kafka.bootstrap(), &node, own))?;
        std::fs::write(&far, settings(&told.join(","), &node, own))?;
        for word in ["init", "migrate"] {
            let args = ["admin".as_ref(), word.as_ref(), "--config".as_ref(), near.as_os_str()];
            let done = run_with(&args)?;
            ensure(done.status.success(), || done.output.clone())?;
        }
        let ports = free_ports(MEMBERS.len())?;
        for ((name, role), port) in MEMBERS.iter().zip(ports) {
            let config = if *name == FAR { far.clone() } else { near.clone() };
            let clock = Clock::new(world.folder.path(), name)?;
            let address = format!("127.0.0.1:{port}");
            world.members.push(Member { name, role, clock, config, address, process: None });
        }
        world.begin_missing()?;
        world.wait_ready()?;
        Ok(world)
    }

    /// As this test reaches the brokers itself.
    pub(crate) fn brokers(&self) -> Settings {
        Settings::new(self.kafka.bootstrap())
    }

    pub(crate) fn layout() -> Layout {
        Layout { partitions: PARTITIONS, replicas: BROKERS as u32, ..Layout::default() }
    }

    /// One of the deployment's logs.
    pub(crate) fn log(&self, name: &str) -> Res<KafkaJournal> {
        let spec = Self::layout().topic(name).ok_or("no such topic")?;
        Ok(KafkaJournal::open(&self.brokers(), &spec)?)
    }

    pub(crate) fn rows(&self) -> StoreSettings {
        StoreSettings::new(vec![self.store.address()], "exchequer")
    }

    /// A connection to the gateway, with the deployment's rights.
    pub(crate) async fn client(&self, gateway: &str) -> Res<Client> {
        let bearer = Bearer::of_deployment(self.folder.path())?;
        let member = self.members.iter().find(|it| it.name == gateway);
        Client::open(&member.ok_or("no such gateway")?.address, bearer).await
    }

    pub(crate) fn member(&mut self, name: &str) -> Res<&mut Member> {
        let found = self.members.iter_mut().find(|it| it.name == name);
        Ok(found.ok_or_else(|| format!("no process {name}"))?)
    }

    pub(crate) fn of_role(&self, role: &str) -> Vec<&'static str> {
        self.members.iter().filter(|it| it.role == role).map(|it| it.name).collect()
    }

    /// Starts what does not run, and does not wait for it.
    pub(crate) fn begin_missing(&mut self) -> Res<()> {
        let folder = self.folder.path().to_owned();
        self.members.iter_mut().try_for_each(|it| it.begin(&folder))
    }

    /// Waits until every process is ready. One that has ended by itself is an error.
    pub(crate) fn wait_ready(&mut self) -> Res<()> {
        for member in &mut self.members {
            let name = member.name;
            wait::until(&format!("{name} to be ready"), || {
                member.check()?;
                Ok(is_ready(&member.address).then_some(()))
            })?;
        }
        Ok(())
    }

    /// No process has ended by itself.
    pub(crate) fn check(&mut self) -> Res<()> {
        self.members.iter_mut().try_for_each(Member::check)
    }
}

impl Member {
    pub(crate) fn begin(&mut self, folder: &Path) -> Res<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut words = self.clock.words().to_vec();
        words.push(program()?.display().to_string());
        words.extend(["run", "--config"].map(str::to_owned));
        words.push(self.config.display().to_string());
        words.extend(["--listen", &self.address, "--role", self.role].map(str::to_owned));
        self.process = Some(Process::start(&words, folder, self.name, Lifetime::Owned)?);
        Ok(())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Res<()> {
        match self.process.take() {
            Some(mut process) => Ok(process.kill()?),
            None => Err(format!("{} does not run", self.name).into()),
        }
    }

    pub(crate) fn running(&self) -> Res<&Process> {
        self.process.as_ref().ok_or_else(|| format!("{} does not run", self.name).into())
    }

    fn check(&mut self) -> Res<()> {
        match &mut self.process {
            Some(process) => Ok(process.check()?),
            None => Ok(()),
        }
    }
}

/// What the brokers say, asked again while nobody can tell: who leads a partition may be
/// changing at this moment.
pub(crate) async fn told<T>(ask: impl AsyncFn() -> Result<T, Fault>) -> Res<T> {
    let answer = async || match ask().await {
        Ok(answer) => Ok(Some(answer)),
        Err(fault) if fault.is_retryable() => Ok(None),
        Err(fault) => Err(fault.into()),
    };
    wait::until_async("an answer of the brokers", answer).await
}

fn is_ready(address: &str) -> bool {
    use std::io::{Read as _, Write as _};
    let ask = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(core::time::Duration::from_secs(5)))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
