//! Apache Cassandra, one node: in place of ScyllaDB, whose protocol and tables it shares. It
//! can be stopped, killed, paused and started again on its data and port.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{CASSANDRA, Error, Folder, Lifetime, Process, free_ports, wait_until};

/// How long Java takes on a busy machine is nobody's promise.
const START_WAIT_MAX: Duration = Duration::from_secs(300);
/// What the node logs when it has made the user `cassandra`.
const USER_MADE: &str = "Created default superuser role";
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
const SETTINGS: &str = include_str!("../cassandra/cassandra.yaml");
const LOGGING: &str = include_str!("../cassandra/logback.xml");
/// The question what the server can, in version 4 of its protocol, which it answers as soon
/// as it takes clients.
const OPTIONS: [u8; 9] = [4, 0, 0, 0, 5, 0, 0, 0, 0];
/// Begins the answer to it.
const SUPPORTED: (u8, u8) = (0x84, 6);

/// Parts of Java that the server reaches into.
const EXPORTS: &[&str] = &[
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "java.base/java.lang.ref",
    "java.base/java.lang.reflect",
    "jdk.unsupported/sun.misc",
];
const OPENS: &[&str] = &[
    "java.base/java.lang.module",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "jdk.management/com.sun.management.internal",
    "java.base/java.io",
    "java.base/sun.nio.ch",
    "java.base/java.net",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.nio",
    "java.base/java.lang",
    "java.base/java.lang.reflect",
    "java.base/java.math",
    "java.base/java.lang.ref",
];

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    Anybody,
    /// Only `cassandra`, whose password is `cassandra`, and those whom it adds, with the rights
    /// that it gives them.
    WithPassword,
}

/// TLS, without which nobody is spoken to.
#[derive(Clone, Debug)]
pub struct NodeTls {
    /// PEM: the node's key and the chain of its certificate.
    pub identity: String,
    /// PEM of the authority that vouches for clients, each of which must show a certificate.
    pub clients: Option<String>,
}

/// A running node.
#[derive(Debug)]
pub struct Cassandra {
    process: Option<Process>,
    port: u16,
    jars: PathBuf,
    lifetime: Lifetime,
    has_tls: bool,
    // Last, so that the process has ended before its folder goes.
    folder: Folder,
}

impl Cassandra {
    /// Starts a node that ends with the value.
    pub fn start(users: Users) -> Result<Self, Error> {
        Self::start_in(Folder::temporary("cassandra")?, users, Lifetime::Owned)
    }

    /// The same with a password, by TLS alone.
    pub fn start_guarded(tls: &NodeTls) -> Result<Self, Error> {
        let folder = Folder::temporary("cassandra")?;
        Self::start_as(folder, Users::WithPassword, Lifetime::Owned, Some(tls))
    }

    /// The same in a folder, which must be empty.
    pub fn start_in(folder: Folder, users: Users, lifetime: Lifetime) -> Result<Self, Error> {
        Self::start_as(folder, users, lifetime, None)
    }

    fn start_as(
        folder: Folder,
        users: Users,
        lifetime: Lifetime,
        tls: Option<&NodeTls>,
    ) -> Result<Self, Error> {
        let jars = CASSANDRA.jars()?;
        let ports = free_ports(2)?;
        let (authenticator, authorizer) = match users {
            Users::Anybody => ("AllowAllAuthenticator", "AllowAllAuthorizer"),
            Users::WithPassword => ("PasswordAuthenticator", "CassandraAuthorizer"),
        };
        let mut settings = SETTINGS
            .replace("DATA", &folder.below("data")?.display().to_string())
            .replace("CLIENTS", &ports[0].to_string())
            .replace("STORAGE", &ports[1].to_string())
            .replace("USERS", authenticator)
            .replace("RIGHTS", authorizer);
        let conf = folder.below("conf")?;
        if let Some(tls) = tls {
            settings.push_str(&tls.settings(&conf)?);
        }
        for (name, text) in [("cassandra.yaml", settings.as_str()), ("logback.xml", LOGGING)] {
            let file = conf.join(name);
            fs::write(&file, text).map_err(|error| Error::io("write", &file, &error))?;
        }
        let (port, has_tls) = (ports[0], tls.is_some());
        let mut node = Self { process: None, port, jars, lifetime, has_tls, folder };
        node.start_again()?;
        if users == Users::WithPassword {
            // The first user is made a moment after clients are taken.
            node.running()?.wait_for_line(USER_MADE, START_WAIT_MAX)?;
        }
        Ok(node)
    }

    /// What clients are configured with: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts the stopped or killed node on its old data and port, and waits until it answers.
    pub fn start_again(&mut self) -> Result<(), Error> {
        if self.process.is_some() {
            return Err(Error::new("the node runs already"));
        }
        let words = self.words();
        let process = Process::start(&words, self.folder.path(), "cassandra", self.lifetime)?;
        self.process = Some(process);
        let (address, has_tls) = (self.address(), self.has_tls);
        wait_until("an answer of Cassandra", START_WAIT_MAX, || {
            // It listens when it takes clients, and not before.
            let is_there =
                if has_tls { TcpStream::connect(&address).is_ok() } else { answers(&address) };
            if is_there {
                return Ok(Some(()));
            }
            self.running()?.check().map(|()| None)
        })
    }

    /// Stops it as an operator would.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.take()?.stop()
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.take()?.kill()
    }

    /// `SIGSTOP`: connections stay open and nothing answers.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.running()?.pause()
    }

    pub fn resume(&mut self) -> Result<(), Error> {
        self.running()?.resume()
    }

    fn running(&mut self) -> Result<&mut Process, Error> {
        self.process.as_mut().ok_or_else(|| Error::new("the node does not run"))
    }

    fn take(&mut self) -> Result<Process, Error> {
        self.process.take().ok_or_else(|| Error::new("the node does not run"))
    }

    fn words(&self) -> Vec<String> {
        let folder = self.folder.path().display();
        let mut words: Vec<String> =
            ["java", "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
                .map(str::to_owned)
                .into();
        words.extend([
            "-Djdk.attach.allowAttachSelf=true".to_owned(),
            format!("-Dcassandra.config=file://{folder}/conf/cassandra.yaml"),
            format!("-Dcassandra.storagedir={folder}/data"),
            format!("-Djava.io.tmpdir={folder}/data"),
            "-Dcassandra-foreground=yes".to_owned(),
            "-Dcassandra.skip_wait_for_gossip_to_settle=0".to_owned(),
            "-Dcassandra.initial_token=0".to_owned(),
            "-Dcassandra.ring_delay_ms=1".to_owned(),
            "-Dcassandra.superuser_setup_delay_ms=0".to_owned(),
        ]);
        for (flag, names) in [("--add-exports", EXPORTS), ("--add-opens", OPENS)] {
            words.extend(names.iter().map(|name| format!("{flag}={name}=ALL-UNNAMED")));
        }
        words.extend(["-cp".to_owned(), format!("{folder}/conf:{}/*", self.jars.display())]);
        words.push("org.apache.cassandra.service.CassandraDaemon".to_owned());
        words
    }
}

impl NodeTls {
    /// What stands at the end of the settings; the files that it names are written.
    fn settings(&self, conf: &Path) -> Result<String, Error> {
        let kept = |name: &str, pem: &str| {
            let file = conf.join(name);
            fs::write(&file, pem).map_err(|error| Error::io("write", &file, &error))?;
            Ok::<_, Error>(file.display().to_string())
        };
        let identity = kept("identity.pem", &self.identity)?;
        let mut text = format!(
            "client_encryption_options:\n  enabled: true\n  optional: false\n  \
             ssl_context_factory:\n    \
             class_name: org.apache.cassandra.security.PEMBasedSslContextFactory\n  \
             keystore: {identity}\n"
        );
        if let Some(clients) = &self.clients {
            let clients = kept("clients.pem", clients)?;
            let _ = write!(text, "  require_client_auth: true\n  truststore: {clients}\n");
        }
        Ok(text)
    }
}

/// Does it take clients?
fn answers(address: &str) -> bool {
    let ask = || -> std::io::Result<(u8, u8)> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
        stream.write_all(&OPTIONS)?;
        let mut answer = [0; 9];
        stream.read_exact(&mut answer)?;
        Ok((answer[0], answer[4]))
    };
    ask().is_ok_and(|answer| answer == SUPPORTED)
}
