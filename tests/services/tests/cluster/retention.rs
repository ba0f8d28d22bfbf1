//! Commands that retention deletes before anybody has decided them: whoever is to decide them
//! says which they were and ends, and nothing is passed over.

use core::pin::pin;
use std::path::Path;

use exchequer_codec::decode_record;
use exchequer_e2e::{Res, Sent, ensure, wait};
use exchequer_journal::Journal as _;
use exchequer_services::clients;
use exchequer_types::PartitionId;
use futures::future::select;

use crate::deployment::{Deployment, accepted, ends};
use crate::turn::Turn;

const READ_BYTES_MAX: usize = 4 << 20;

/// Deletes everything in the topic of commands, as its retention would.
fn expire(deployment: &Deployment, ends: &[u64]) -> Res<()> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/delete_records.py");
    let ends: Vec<String> = ends.iter().map(u64::to_string).collect();
    let words: Vec<&str> =
        core::iter::once("commands").chain(ends.iter().map(|it| &**it)).collect();
    let done = clients::python(&deployment.bootstrap(), &program, &words)?;
    ensure(done.status.success(), || format!("{done:?}"))
}

// REQ: KER-08
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_are_gone_undecided_are_named_and_none_is_passed_over() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Deployment::ready()?;
    let decider = deployment.start("decider", &["decider"])?;
    let _rest = deployment.start("rest", &["projector", "consumer"])?;
    let gateway = deployment.start("gateway", &["gateway"])?;
    let client = deployment.client(&gateway).await?;
    accepted(&client, &[Sent::create("acme", "create-acme")]).await?;
    let (commands, journal) = (deployment.log("commands")?, deployment.log("journal")?);

    // Without a decider nobody answers.
    decider.kill()?;
    let known = ends(&commands).await?;
    let lost = Sent::rename("acme", "rename-lost", "Lost", None);
    let asking = async {
        let _ = client.send(&lost).await;
        core::future::pending().await
    };
    let has_come = wait::until_async("the command to come", async || {
        let now = ends(&commands).await?;
        Ok((now != known).then_some(now))
    });
    let come: Res<Vec<u64>> = select(pin!(has_come), pin!(asking)).await.factor_first().0;
    let come = come?;
    let partition = (0..).zip(known.iter().zip(&come)).find(|(_, (old, new))| old != new);
    let (partition, (lost, begins)) = partition.ok_or("no partition has it")?;
    let before = journal.end(PartitionId(partition)).await?;
    expire(&deployment, &come)?;

    let mut heir = deployment.begin("heir", &["decider"])?;
    let named = format!(
        "commands/{partition} begins at {begins}: records {lost} to {} were deleted before they \
         were read",
        begins - 1
    );
    heir.wait_for_line(&named, wait::PATIENCE)?;
    wait::until("the decider to end", || Ok(heir.check().is_err().then_some(())))?;
    let records = journal.read(PartitionId(partition), before, READ_BYTES_MAX).await?;
    let commits = records.iter().map(|it| decode_record(PartitionId(partition), &it.bytes).2);
    let commits: Vec<_> = commits.flatten().collect();
    ensure(commits.is_empty(), || format!("decided over the gap: {commits:?}"))
}
