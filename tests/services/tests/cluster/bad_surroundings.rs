//! A cluster that is not as it must be: one message that says what, where and what to do, an
//! exit code by kind, and an end instead of a storm of tries.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use exchequer_e2e::{Res, ensure};
use exchequer_readstore_scylla::{
    MIGRATIONS, Migration, Replication, Settings as StoreSettings, migrate,
};
use exchequer_services::{Clock, Folder, free_ports};

use crate::changed::add_partitions;
use crate::deployment::{Deployment, admin, says, settings, start};
use crate::turn::Turn;

const EXIT_USAGE: i32 = 64;
const EXIT_UNAVAILABLE: i32 = 69;
const EXIT_PROTOCOL: i32 = 76;
const EXIT_CONFIG: i32 = 78;

// REQ: KER-07
#[test]
fn whoever_starts_too_early_is_told_what_is_missing() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Deployment::bare()?;
    let (config, folder) = (deployment.config(), deployment.folder());
    // Not even the keys.
    says(&start(config, "decider")?, EXIT_USAGE, &["keys.deployment_file", "deployment.key"])?;
    let made = deployment.admin(&["init"])?;
    says(&made, 0, &["journal created", "deployment.key made", "master.keys made"])?;
    says(&deployment.admin(&["init"])?, 0, &["journal is as it must be"])?;
    says(&start(config, "decider")?, EXIT_CONFIG, &["no keyspace exchequer", "admin migrate"])?;
    says(&deployment.admin(&["migrate"])?, 0, &["keyspace exchequer created"])?;
    says(&deployment.admin(&["migrate"])?, 0, &["is up to date"])?;

    let more = deployment.changed("more.toml", "partitions = 4", "partitions = 8")?;
    says(&start(&more, "decider")?, EXIT_CONFIG, &["have 4 partitions and must have 8"])?;
    says(&admin(&more, &["init"])?, EXIT_CONFIG, &["has 4 partitions and must have 8"])?;
    let prefixed = deployment.changed("prefix.toml", "replicas", "prefix = \"x.\"\nreplicas")?;
    says(&start(&prefixed, "decider")?, EXIT_CONFIG, &["x.journal", "exchequer admin init"])?;
    let copies = deployment.changed("copies.toml", "factor = 1", "factor = 2")?;
    says(&admin(&copies, &["migrate"])?, EXIT_CONFIG, &["is replicated as"])?;

    // A process with another deployment's key would write what nobody takes.
    std::fs::write(folder.join("other.key"), [7; 32])?;
    let other = deployment.changed("other.toml", "deployment.key", "../other.key")?;
    says(&start(&other, "decider")?, EXIT_CONFIG, &["another deployment", "deployment_file"])?;

    newer_keyspace(&deployment)?;
    // The number of partitions says where each key lives.
    add_partitions(&deployment, "journal", "5")?;
    says(&start(config, "decider")?, EXIT_CONFIG, &["journal has 5 partitions and must have 4"])
}

/// A keyspace that a newer program has migrated.
fn newer_keyspace(deployment: &Deployment) -> Res<()> {
    let known = MIGRATIONS.len() as u32;
    let text = "CREATE TABLE \"later\" (\n  \"id\" text,\n  PRIMARY KEY ((\"id\"))\n);\n";
    let later = Migration { number: known + 1, name: "later".into(), text: text.into() };
    let all = [MIGRATIONS, &[later]].concat();
    let settings = deployment.changed("newer.toml", "nodes =", "keyspace = \"newer\"\nnodes =")?;
    let to = StoreSettings::new(vec![deployment.node()], "newer");
    let migrated = tokio::runtime::Runtime::new()?.block_on(migrate(
        &to,
        &Replication::EachDatacenter(1),
        &all,
    ))?;
    ensure(migrated.applied.len() == all.len(), || format!("{migrated:?}"))?;
    let words = [format!("migrated to {}", known + 1), "run a newer program".to_owned()];
    let words = words.each_ref().map(String::as_str);
    says(&start(&settings, "decider")?, EXIT_CONFIG, &words)?;
    says(&admin(&settings, &["migrate"])?, EXIT_CONFIG, &words)
}

// REQ: KER-07
#[test]
fn a_wrong_address_ends_the_process_and_a_wrong_clock_is_told() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Deployment::ready()?;
    let text = std::fs::read_to_string(deployment.config())?;
    let value = |key: &str| -> Res<String> {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let line = line.ok_or_else(|| format!("no {key}"))?;
        Ok(line.split('"').nth(1).unwrap_or_default().to_owned())
    };
    let (bootstrap, node) = (value("bootstrap")?, value("nodes")?);
    let nowhere = format!("127.0.0.1:{}", free_ports(1)?[0]);
    let file = deployment.folder().join("wrong.toml");
    for (bootstrap, node) in [(&nowhere, &node), (&bootstrap, &nowhere)] {
        std::fs::write(&file, settings(bootstrap, node, deployment.folder()))?;
        says(&start(&file, "gateway")?, EXIT_UNAVAILABLE, &[&nowhere, "check"])?;
    }
    // The protocol of the other one.
    std::fs::write(&file, settings(&node, &bootstrap, deployment.folder()))?;
    says(&start(&file, "gateway")?, EXIT_UNAVAILABLE, &[&node])?;
    clocks(&deployment)
}

// REQ: KER-07
#[test]
fn a_protocol_that_is_too_old_is_told() -> Res<()> {
    const CONNECTIONS_MAX: usize = 8;
    let _turn = Turn::shared();
    let folder = Folder::temporary("old")?;
    std::fs::create_dir(folder.path().join("keys"))?;
    std::fs::write(folder.path().join("keys/deployment.key"), [7; 32])?;
    let file = folder.path().join("old.toml");
    let (brokers, connected) = listening(answer_as_broker)?;
    let (nodes, connected_to_node) = listening(answer_as_node)?;
    std::fs::write(&file, settings(&brokers, &nodes, folder.path()))?;
    let words = [brokers.as_str(), "protocol is too old", "Apache Kafka 3.0 or newer"];
    says(&admin(&file, &["init"])?, EXIT_PROTOCOL, &words)?;
    let words = [nodes.as_str(), "protocol that is too old", "version 4 of CQL"];
    says(&admin(&file, &["migrate"])?, EXIT_PROTOCOL, &words)?;
    for count in [connected, connected_to_node] {
        let count = count.load(Ordering::Relaxed);
        ensure(count <= CONNECTIONS_MAX, || format!("{count} connections"))?;
    }
    Ok(())
}

/// A process whose clock is far off goes on, and says so.
fn clocks(deployment: &Deployment) -> Res<()> {
    const SAID_MAX: Duration = Duration::from_secs(60);
    let brokers = format!("the brokers at {}: set both right (NTP)", deployment.bootstrap());
    for (name, seconds, off) in
        [("ahead", 3_600, "60 min ahead of"), ("behind", -3_600, "min behind")]
    {
        let clock = Clock::new(deployment.folder(), name)?;
        clock.step(seconds)?;
        let mut process = deployment.begin_with(&clock.words(), name, &["decider"])?;
        process.wait_for_line(&brokers, SAID_MAX)?;
        let said = std::fs::read_to_string(process.log())?;
        let lines: Vec<&str> = said.lines().filter(|line| line.contains(&brokers)).collect();
        ensure(lines.len() == 1 && lines[0].contains(off), || said.clone())?;
        process.check()?;
        process.kill()?;
    }
    Ok(())
}

/// An address where each connection is given such answers, and how many there were. It ends
/// with the test.
fn listening(answer: fn(TcpStream, u16) -> std::io::Result<()>) -> Res<(String, Arc<AtomicUsize>)> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let port = address.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
            // A client that goes away ends its thread.
            std::thread::spawn(move || answer(stream, port).ok());
        }
    });
    Ok((address.to_string(), count))
}

/// What a node says that knows version 3 of CQL at most.
fn answer_as_node(mut stream: TcpStream, _: u16) -> std::io::Result<()> {
    const SAID: &[u8] = b"Invalid or unsupported protocol version (4); highest supported is 3";
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    // Its version, no flags, the request's stream; an error, of the protocol.
    let mut reply = vec![0x83, 0, head[2], head[3], 0];
    reply.extend((6 + SAID.len() as u32).to_be_bytes());
    reply.extend([0, 0, 0, 0x0a, 0, SAID.len() as u8]);
    reply.extend(SAID);
    stream.write_all(&reply)?;
    // It is read before the end of the connection is noticed.
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// What a broker of Kafka 0.10.0 says of itself: requests for its versions and for metadata,
/// and nothing that creates topics.
fn answer_as_broker(mut stream: TcpStream, port: u16) -> std::io::Result<()> {
    const METADATA: u16 = 3;
    const VERSIONS: u16 = 18;
    /// Key, oldest and newest version: producing, fetching, metadata, and these versions.
    const KNOWN: [[u16; 3]; 4] = [[0, 0, 2], [1, 0, 2], [METADATA, 0, 1], [VERSIONS, 0, 0]];
    const UNSUPPORTED_VERSION: u16 = 35;
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request)?;
        let number = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
        // The reply begins with the request's own number.
        let mut reply = request[4..8].to_vec();
        match (number(0), number(2)) {
            (VERSIONS, 0) => {
                reply.extend([0, 0, 0, 0, 0, KNOWN.len() as u8]);
                reply.extend(KNOWN.iter().flatten().flat_map(|it| it.to_be_bytes()));
            }
            (VERSIONS, _) => {
                reply.extend(UNSUPPORTED_VERSION.to_be_bytes());
                reply.extend([0; 4]);
            }
            (METADATA, 1) => {
                // One broker, which is the controller; no topic.
                reply.extend([0, 0, 0, 1, 0, 0, 0, 1, 0, 9]);
                reply.extend(b"127.0.0.1");
                reply.extend(u32::from(port).to_be_bytes());
                reply.extend([0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0]);
            }
            other => return Err(std::io::Error::other(format!("{other:?} is not known"))),
        }
        stream.write_all(&(reply.len() as u32).to_be_bytes())?;
        stream.write_all(&reply)?;
    }
}
