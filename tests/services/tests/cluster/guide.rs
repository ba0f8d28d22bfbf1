//! `docs/guides/cluster.md`: what stands there is run as it is printed, but for addresses,
//! which are this run's, and for the program that makes the call, which is the tests' own.

use std::fs;
use std::time::Duration;

use exchequer_e2e::{Bearer, Client, Res, Sent, Server, ensure};
use exchequer_services::{Process, free_ports};

use crate::deployment::accepted;
use crate::page::{Shell, Standing, blocks, commands, section};
use crate::turn::Turn;

const START_WAIT_MAX: Duration = Duration::from_secs(120);
const GUIDE: &str = include_str!("../../../../docs/guides/cluster.md");
/// Where the guide's brokers, its node and its processes are.
const BROKERS: &str = "127.0.0.1:19092,127.0.0.1:29092,127.0.0.1:39092";
const NODE: &str = "127.0.0.1:19042";
const PORTS: [u16; 5] = [7447, 7448, 7449, 7450, 7451];

// REQ: KER-07, OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_leads_from_nothing_to_a_call_and_from_one_machine_to_a_cluster() -> Res<()> {
    let _turn = Turn::shared();
    let text = section(GUIDE, "## From nothing to a call")?;
    let servers = servers_stand(text)?;
    let ours = |folder: &str, ports: &[u16]| {
        let port = |port: &u16| format!("127.0.0.1:{port}");
        let mut ours = vec![
            (BROKERS.to_owned(), servers.brokers.clone()),
            (NODE.to_owned(), servers.node.clone()),
        ];
        ours.extend(PORTS.iter().zip(ports).map(|(theirs, our)| (port(theirs), port(our))));
        Shell::new(folder, ours)
    };
    let ports = free_ports(PORTS.len())?;
    let nothing = ours("guide", &ports)?;
    from_nothing(&nothing, text, ports[0], ports[1]).await?;
    let ports = free_ports(PORTS.len())?;
    let one_machine = ours("guide-moved", &ports)?;
    from_one_machine(&one_machine, ports[0]).await?;
    servers.end()
}

/// Brokers and a node, as the guide has them started.
fn servers_stand(text: &'static str) -> Res<Standing> {
    let up = commands(text, "cargo xtask services up");
    let [brokers, node] = up[..] else { return Err(format!("{up:?}").into()) };
    Standing::up(brokers, node)
}

impl Standing {
    /// They are seen, and end when they are told to.
    fn end(self) -> Res<()> {
        let text = section(GUIDE, "### Brokers for trying it out")?;
        let words = commands(text, "cargo xtask services");
        let [up, status, logs, down] = words[..] else { return Err(format!("{words:?}").into()) };
        let again = self.run(up)?;
        ensure(again.contains(&self.brokers), || format!("others were started: {again}"))?;
        let said = self.run(status)?;
        ensure(said.contains(&format!("kafka is up: {}", self.brokers)), || said.clone())?;
        ensure(said.contains(&format!("cassandra is up: {}", self.node)), || said.clone())?;
        let said = self.run(logs)?;
        ensure(said.contains("==> ") && said.contains("kafka"), || said.clone())?;
        for server in ["kafka", "cassandra"] {
            self.run(&down.replace("kafka", server))?;
            let said = self.run(status)?;
            ensure(said.contains(&format!("{server} is down")), || said.clone())?;
        }
        Ok(())
    }
}

async fn from_nothing(shell: &Shell, text: &'static str, gateway: u16, decider: u16) -> Res<()> {
    shell.write("cluster.toml", settings(text)?)?;
    for line in commands(text, "exchequer admin ").iter().filter(|it| it.contains("--config")) {
        shell.run(line)?;
    }
    let processes = start_roles(shell, text)?;

    // The call, with the token that was printed.
    let said = fs::read_to_string(processes[0].log())?;
    let token = said.lines().find_map(|it| it.trim().strip_prefix("token "));
    let token = token.ok_or_else(|| format!("no token in {said}"))?.trim();
    let client = Client::open(&format!("127.0.0.1:{gateway}"), Bearer::token(token)?).await?;
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
    ensure(said.contains(&format!(":{decider}")), || format!("no decider in {said}"))
}

/// A server that was used, its backup, and both of them carried to the brokers.
async fn from_one_machine(shell: &Shell, gateway: u16) -> Res<()> {
    let begin = section(GUIDE, "## From nothing to a call")?;
    let text = section(GUIDE, "## From one machine to a cluster")?;
    let data = shell.path().join("DIR");
    let server = Server::start(&data)?;
    let created = [Sent::create("acme", "create")];
    accepted(&Client::connect(&server).await?, &created).await?;
    let backups = commands(text, "exchequer backup");
    for line in backups.iter().chain(&commands(text, "exchequer admin keys backup")) {
        shell.run(line)?;
    }
    server.stop()?;

    let carry = commands(text, "exchequer admin migrate-log");
    let [folder, backup] = carry[..] else { return Err(format!("{carry:?}").into()) };
    for (name, carry) in [("first", folder), ("second", backup)] {
        // Topics and keyspaces of their own, for the brokers have some already.
        let settings = settings(begin)?
            .replace("[kafka]", &format!("[kafka]\nprefix = \"{name}-\""))
            .replace("[scylla]", &format!("[scylla]\nkeyspace = \"{name}\""));
        shell.write("cluster.toml", &settings)?;
        for begin in ["mkdir", "cp", "exchequer admin init", "exchequer admin migrate "] {
            let lines = commands(text, begin);
            ensure(lines.len() == 1, || format!("{begin}: {lines:?}"))?;
            shell.run(lines[0])?;
        }
        shell.run(carry)?;
        let processes = start_roles(shell, begin)?;
        let bearer = Bearer::of_deployment(shell.path())?;
        let client = Client::open(&format!("127.0.0.1:{gateway}"), bearer).await?;
        let token = client.token("acme").await?;
        ensure(client.book("acme", &token).await?.is_some(), || format!("{name}: no tenant"))?;
        // What was sent before gets its first answer.
        accepted(&client, &created).await?;
        drop(processes);
    }
    let moved = Server::refused(&data)?;
    ensure(!moved.status.success(), || "two deployments go on from one history".to_owned())
}

/// Every role as the guide starts it, until all are ready.
fn start_roles(shell: &Shell, text: &'static str) -> Res<Vec<Process>> {
    let roles = commands(text, "exchequer run --config cluster.toml --role");
    ensure(roles.len() == PORTS.len(), || format!("{roles:?}"))?;
    let mut processes = Vec::new();
    for (number, line) in (1..).zip(&roles) {
        processes.push(shell.start(&format!("process-{number}"), line)?);
    }
    for process in &mut processes {
        process.wait_for_line("is ready", START_WAIT_MAX)?;
    }
    Ok(processes)
}

/// The settings file of the first part.
fn settings(text: &'static str) -> Res<&'static str> {
    let [settings] = blocks(text, "toml")[..] else { return Err("not one settings file".into()) };
    ensure(settings.contains(BROKERS) && settings.contains(NODE), || settings.to_owned())?;
    Ok(settings)
}

// REQ: KER-07, EDG-05
#[test]
fn settings_that_the_guide_prints_are_whole() -> Res<()> {
    let _turn = Turn::shared();
    let shell = Shell::new("guide-tls", Vec::new())?;
    let folder = shell.path();
    let whole = blocks(section(GUIDE, "## From nothing to a call")?, "toml").concat();
    let first = whole.find("[kafka]").ok_or("no brokers")?;
    let keys = whole.find("[keys]").ok_or("no keys")?;
    let of_kafka = blocks(section(GUIDE, "### What the brokers need")?, "toml").concat();
    let of_store = blocks(section(GUIDE, "### What the store needs")?, "toml").concat();
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
