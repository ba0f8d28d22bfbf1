//! A cluster that is not as it must be: one message that says what, where and what to do, an
//! exit code by kind, and an end instead of a storm of tries.

use std::path::Path;

use exchequer_e2e::{Res, ensure};
use exchequer_readstore_scylla::{
    MIGRATIONS, Migration, Replication, Settings as StoreSettings, migrate,
};
use exchequer_services::{clients, free_ports};

use crate::deployment::{Deployment, admin, says, settings, start};

const EXIT_USAGE: i32 = 64;
const EXIT_UNAVAILABLE: i32 = 69;
const EXIT_CONFIG: i32 = 78;

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
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/add_partitions.py");
    let more = clients::python(&deployment.bootstrap(), &program, &["journal", "5"])?;
    ensure(more.status.success(), || format!("{more:?}"))?;
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
