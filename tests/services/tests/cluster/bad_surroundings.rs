//! A cluster that is not as it must be: one message that says what, where and what to do, an
//! exit code by kind, and an end instead of a storm of tries.

use std::path::Path;

use exchequer_e2e::{Finished, Res, ensure, run_with};
use exchequer_services::free_ports;

use crate::deployment::{Deployment, admin, settings};

const EXIT_USAGE: i32 = 64;
const EXIT_UNAVAILABLE: i32 = 69;
const EXIT_CONFIG: i32 = 78;

fn start(config: &Path, role: &str) -> Res<Finished> {
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

fn says(done: &Finished, code: i32, words: &[&str]) -> Res<()> {
    let has = |word: &&str| done.output.contains(*word);
    ensure(done.status.code() == Some(code) && words.iter().all(has), || {
        format!("{}, not {code} with {words:?}: {}", done.status, done.output)
    })
}

/// The same settings with `from` replaced, in a file of their own.
fn changed(deployment: &Deployment, name: &str, from: &str, to: &str) -> Res<std::path::PathBuf> {
    let text = std::fs::read_to_string(deployment.config())?;
    ensure(text.contains(from), || format!("{from} is not in {text}"))?;
    let file = deployment.folder().join(name);
    std::fs::write(&file, text.replace(from, to))?;
    Ok(file)
}

// REQ: KER-07
#[test]
fn whoever_starts_too_early_is_told_what_is_missing() -> Res<()> {
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

    let more = changed(&deployment, "more.toml", "partitions = 4", "partitions = 8")?;
    says(&start(&more, "decider")?, EXIT_CONFIG, &["have 4 partitions and must have 8"])?;
    says(&admin(&more, &["init"])?, EXIT_CONFIG, &["has 4 partitions and must have 8"])?;
    let prefixed = changed(&deployment, "prefix.toml", "replicas", "prefix = \"x.\"\nreplicas")?;
    says(&start(&prefixed, "decider")?, EXIT_CONFIG, &["x.journal", "exchequer admin init"])?;
    let copies = changed(&deployment, "copies.toml", "factor = 1", "factor = 2")?;
    says(&admin(&copies, &["migrate"])?, EXIT_CONFIG, &["is replicated as"])?;

    // A process with another deployment's key would write what nobody takes.
    std::fs::write(folder.join("other.key"), [7; 32])?;
    let other = changed(&deployment, "other.toml", "deployment.key", "../other.key")?;
    says(&start(&other, "decider")?, EXIT_CONFIG, &["another deployment", "deployment_file"])
}

// REQ: KER-07
#[test]
fn a_wrong_address_ends_the_process_at_once() -> Res<()> {
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
    says(&start(&file, "gateway")?, EXIT_UNAVAILABLE, &[&node])
}
