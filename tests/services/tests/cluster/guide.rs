//! `docs/guides/cluster.md` from the settings file to the first call: what stands there is
//! run as it is printed, but for addresses, which are this run's, and for the program that
//! makes the call, which is the tests' own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use exchequer_e2e::{Bearer, Client, Res, Sent, ensure, program};
use exchequer_services::{Cassandra, Folder, Kafka, Lifetime, Process, Users, free_ports};

use crate::deployment::accepted;
use crate::turn::Turn;

const START_WAIT_MAX: Duration = Duration::from_secs(120);
const GUIDE: &str = include_str!("../../../../docs/guides/cluster.md");
/// Where the guide's brokers, its node and its processes are.
const BROKERS: &str = "127.0.0.1:19092,127.0.0.1:29092,127.0.0.1:39092";
const NODE: &str = "127.0.0.1:19042";
const PORTS: [u16; 5] = [7447, 7448, 7449, 7450, 7451];

/// The text between this heading and the next of its kind.
fn section(heading: &str) -> Res<&'static str> {
    let (_, behind) = GUIDE.split_once(&format!("\n{heading}\n")).ok_or(heading)?;
    let kind = format!("\n{} ", heading.split(' ').next().unwrap_or_default());
    Ok(behind.split(&kind).next().unwrap_or(behind))
}

/// The blocks of one language.
fn blocks(text: &'static str, language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|it| it.split("```").next()).collect()
}

/// The lines of all shell blocks that begin so.
fn commands(text: &'static str, begin: &str) -> Vec<&'static str> {
    let lines = blocks(text, "sh").into_iter().flat_map(str::lines);
    lines.filter(|it| it.starts_with(begin)).collect()
}

/// A folder in which `exchequer` is the program, and the addresses of this run.
struct Shell {
    folder: Folder,
    ours: Vec<(String, String)>,
}

impl Shell {
    fn new(ours: Vec<(String, String)>) -> Res<Self> {
        Ok(Self { folder: Folder::temporary("guide")?, ours })
    }

    fn here(&self, printed: &str) -> String {
        self.ours.iter().fold(printed.to_owned(), |text, (theirs, our)| text.replace(theirs, our))
    }

    fn line(&self, printed: &str) -> Res<String> {
        let program = program()?;
        let programs = program.parent().unwrap_or_else(|| Path::new(".")).display().to_string();
        let folder = self.folder.path().display();
        let line = self.here(printed);
        // Nothing of whoever runs the tests is read.
        let home = format!("export HOME='{folder}' XDG_DATA_HOME='{folder}/data'");
        Ok(format!("export PATH='{programs}':\"$PATH\"; {home}; cd '{folder}' && {line}"))
    }

    /// Runs a line to its end, which must be a good one.
    fn run(&self, printed: &str) -> Res<String> {
        let done = Command::new("sh").args(["-c", &self.line(printed)?]).output()?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        ensure(done.status.success(), || format!("{printed}: {}: {said}", done.status))?;
        Ok(said)
    }

    /// Starts a line that goes on.
    fn start(&self, name: &str, printed: &str) -> Res<Process> {
        let line = self.line(&format!("exec {printed}"))?;
        let words = ["sh".to_owned(), "-c".to_owned(), line];
        Ok(Process::start(&words, self.folder.path(), name, Lifetime::Owned)?)
    }
}

// REQ: KER-07, OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_leads_from_nothing_to_a_call_on_three_brokers() -> Res<()> {
    let _turn = Turn::shared();
    let (kafka, store) = (Kafka::start(3)?, Cassandra::start(Users::Anybody)?);
    let mut ours: Vec<(String, String)> =
        vec![(BROKERS.to_owned(), kafka.bootstrap()), (NODE.to_owned(), store.address())];
    let ports = free_ports(PORTS.len())?;
    let port = |port: &u16| format!("127.0.0.1:{port}");
    ours.extend(PORTS.iter().zip(&ports).map(|(theirs, our)| (port(theirs), port(our))));
    let shell = Shell::new(ours)?;
    let text = section("## From nothing to a call")?;

    let [settings] = blocks(text, "toml")[..] else { return Err("not one settings file".into()) };
    ensure(settings.contains(BROKERS) && settings.contains(NODE), || settings.to_owned())?;
    fs::write(shell.folder.path().join("cluster.toml"), shell.here(settings))?;
    for line in commands(text, "exchequer admin ").iter().filter(|it| it.contains("--config")) {
        shell.run(line)?;
    }
    let roles = commands(text, "exchequer run ");
    ensure(roles.len() == PORTS.len(), || format!("{roles:?}"))?;
    let names = (1..).map(|number| format!("process-{number}"));
    let started: Res<Vec<Process>> =
        names.zip(&roles).map(|(name, line)| shell.start(&name, line)).collect();
    let mut processes = started?;
    for process in &mut processes {
        process.wait_for_line("is ready", START_WAIT_MAX)?;
    }

    // The call, with the token that was printed.
    let said = fs::read_to_string(processes[0].log())?;
    let token = said.lines().find_map(|it| it.trim().strip_prefix("token "));
    let token = token.ok_or_else(|| format!("no token in {said}"))?.trim();
    let client = Client::open(&port(&ports[0]), Bearer::token(token)?).await?;
    let call = blocks(text, "sh").into_iter().find(|it| it.contains("grpcurl")).ok_or("no call")?;
    ensure(
        call.contains(r#"'{"id":"acme","name":"Acme"}'"#) && call.contains("/CreateTenant"),
        || call.to_owned(),
    )?;
    accepted(&client, &[Sent::create("acme", "create")]).await?;
    let status = commands(text, "exchequer admin status");
    let [status] = status[..] else { return Err(format!("{status:?}").into()) };
    // It asks the gateway of the first port unless it is told another.
    let said = shell.run(&format!("{status} --server 127.0.0.1:{}", PORTS[0]))?;
    ensure(said.contains(&format!(":{}", ports[1])), || format!("no decider in {said}"))
}

// REQ: KER-07, EDG-05
#[test]
fn settings_that_the_guide_prints_are_whole() -> Res<()> {
    let _turn = Turn::shared();
    let shell = Shell::new(Vec::new())?;
    let folder = shell.folder.path();
    let whole = blocks(section("## From nothing to a call")?, "toml").concat();
    let first = whole.find("[kafka]").ok_or("no brokers")?;
    let keys = whole.find("[keys]").ok_or("no keys")?;
    let of_kafka = blocks(section("### What the brokers need")?, "toml").concat();
    let of_store = blocks(section("### What the store needs")?, "toml").concat();
    let text = format!("{}{of_kafka}{of_store}{}", &whole[..first], &whole[keys..]);
    ensure(text.matches("tls = true").count() == 2, || text.clone())?;
    fs::create_dir(folder.join("keys"))?;
    fs::write(folder.join("keys/deployment.key"), [7; 32])?;
    fs::write(folder.join("keys/master.keys"), format!("1 {}\n", "ab".repeat(32)))?;
    fs::write(folder.join("ca.pem"), "")?;
    for secret in ["kafka-password", "store-password"] {
        fs::write(folder.join(secret), "word\n")?;
    }
    let text = text.replace("/run/secrets/", &format!("{}/", folder.display()));
    fs::write(folder.join("tls.toml"), text)?;
    shell.run("exchequer run --config tls.toml --check-config").map(|_| ())
}
