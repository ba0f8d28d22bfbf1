//! A topic that gets more partitions while processes run: the number says where each key
//! lives, so whoever writes says what has happened and writes nothing more.

use std::path::Path;

use exchequer_e2e::{Answer, Res, Sent, ensure, wait};
use exchequer_journal_kafka::KafkaJournal;
use exchequer_services::clients;

use crate::deployment::{Deployment, accepted, ends};
use crate::metered::{SOURCE, TENANT, publish, published};
use crate::turn::Turn;

/// Gives a topic of the deployment so many partitions.
pub(crate) fn add_partitions(deployment: &Deployment, topic: &str, count: &str) -> Res<()> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/add_partitions.py");
    let done = clients::python(&deployment.bootstrap(), &program, &[topic, count])?;
    ensure(done.status.success(), || format!("{done:?}"))
}

// REQ: KER-07
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_stop_whoever_writes() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Deployment::ready()?;
    let mut decider = deployment.begin("decider", &["decider"])?;
    decider.wait_for_line("is ready", wait::PATIENCE)?;
    let mut rest = deployment.start("rest", &["projector", "consumer", "meter"])?;
    let mut gateway = deployment.start("gateway", &["gateway"])?;
    let client = deployment.client(&gateway).await?;
    accepted(&client, &[Sent::create(TENANT, "create")]).await?;
    publish(&client, 0..10).await?;
    let logs: Res<Vec<KafkaJournal>> =
        ["commands", "journal", "usage"].iter().map(|name| deployment.log(name)).collect();
    let logs = logs?;

    add_partitions(&deployment, "journal", "5")?;
    let said = "journal has 5 partitions and must have 4";
    for process in [&mut decider, &mut rest.process] {
        process.wait_for_line(said, wait::PATIENCE)?;
        process.wait_for_line("can't go on without", wait::PATIENCE)?;
    }
    wait::until("the decider to end", || Ok(decider.check().is_err().then_some(())))?;
    let rest = &mut rest.process;
    wait::until("the others to end", || Ok(rest.check().is_err().then_some(())))?;
    gateway.process.wait_for_line(said, wait::PATIENCE)?;
    let before = ends_of(&logs).await?;
    let refused = client.send(&Sent::rename(TENANT, "rename", "Other", None)).await;
    let told = Answer::of(refused.as_ref().map(|(bytes, _)| bytes.clone()));
    ensure(told.is_none() && refused.is_err(), || format!("{refused:?}"))?;
    let taken = published(&client, 10..20).await;
    ensure(!matches!(taken, Ok(true)), || format!("events of {SOURCE} were taken: {taken:?}"))?;
    let after = ends_of(&logs).await?;
    ensure(before == after, || format!("{before:?} became {after:?}"))?;
    // What is there can be read.
    ensure(client.book(TENANT, "").await?.is_some(), || "the tenant is gone".to_owned())
}

async fn ends_of(logs: &[KafkaJournal]) -> Res<Vec<Vec<u64>>> {
    let mut all = Vec::new();
    for log in logs {
        all.push(ends(log).await?);
    }
    Ok(all)
}
