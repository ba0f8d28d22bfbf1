//! What operators see and do while a cluster serves: records that nobody can decide are put
//! aside and replayed, and a view is built anew.

use std::ffi::OsStr;

use bytes::Bytes;
use exchequer_codec::{encode_command, seal};
use exchequer_domain_tenants as tenants;
use exchequer_e2e::{Client, Res, Sent, ensure, run_with, wait};
use exchequer_kernel::SealKey;
use exchequer_proto::journal::v1 as journal;
use exchequer_proto::system::v1 as pb;
use exchequer_tenant::Command;
use exchequer_types::partition_of;

use crate::deployment::{Deployment, PARTITIONS, accepted, says};
use crate::programs;
use crate::turn::Turn;

const LETTERS: &str = "/exchequer.system.v1.SystemService/ListDeadLetters";
const REPLAY: &str = "/exchequer.system.v1.SystemService/ReplayDeadLetter";
const REBUILD: &str = "/exchequer.system.v1.SystemService/RebuildView";
const TENANT: &str = "acme";
const VIEW: &str = "tenants";

/// A rename that somebody has sealed who has not the deployment's key.
fn foreign() -> Res<Bytes> {
    let rename = tenants::Rename { name: "Vouched".to_owned() };
    let command = Command::Tenants(tenants::Command::Rename(rename));
    let (kind, payload) = encode_command(&command).ok_or("no such command")?;
    let envelope = journal::Envelope {
        stream: TENANT.to_owned(),
        issuer: "api".to_owned(),
        id: "vouched".to_owned(),
        r#type: kind.to_owned(),
        payload,
        actor: "u-1".to_owned(),
        ..<_>::default()
    };
    Ok(seal(&SealKey::new(&[9; 32]), envelope))
}

// REQ: KER-06, KER-11
#[tokio::test(flavor = "multi_thread")]
async fn poison_is_put_aside_and_a_view_is_built_anew_while_calls_go_on() -> Res<()> {
    let _turn = Turn::shared();
    let deployment = Deployment::ready()?;
    let _rest = deployment.start("rest", &["decider", "projector", "consumer"])?;
    let gateway = deployment.start("gateway", &["gateway"])?;
    let client = deployment.client(&gateway).await?;
    accepted(&client, &[Sent::create(TENANT, "create")]).await?;

    let partition = partition_of(TENANT.as_bytes(), PARTITIONS).0.to_string();
    let records = [Bytes::from_static(b"no command"), foreign()?].map(|it| format!("{it:x}"));
    let words = ["commands", &partition, &records[0], &records[1]];
    programs::run_own("produce_raw.py", &deployment.bootstrap(), &words);
    rename(&client, "behind").await?;
    let letters = wait::until_async("both to be put aside", async || {
        let request = pb::ListDeadLettersRequest::default();
        let page: pb::ListDeadLettersResponse = client.ask(LETTERS, &request, None).await?;
        Ok((page.dead_letters.len() == 2).then_some(page.dead_letters))
    });
    let letters = letters.await?;
    let reasons: Vec<&str> = letters.iter().map(|it| it.reason.as_str()).collect();
    ensure(reasons == ["RECORD_MALFORMED", "RECORD_MAC_INVALID"], || format!("{letters:?}"))?;
    let key = deployment.folder().join("keys/deployment.key").display().to_string();
    let words = ["admin", "status", "--server", &gateway.address, "--deployment-key", &key];
    says(&run_with(&words.map(OsStr::new))?, 0, &["\n2 dead letters, and 0 records of usage"])?;
    let replay = pb::ReplayDeadLetterRequest { id: letters[1].id.clone() };
    let replayed: pb::ReplayDeadLetterResponse = client.ask(REPLAY, &replay, None).await?;
    let is_accepted = replayed.outcome.as_ref().map(journal::Outcome::status)
        == Some(journal::OutcomeStatus::Accepted);
    ensure(is_accepted, || format!("{replayed:?}"))?;
    named(&client, "Vouched").await?;
    rebuilt(&client).await
}

/// While tenants are renamed and read, which always succeeds.
async fn rebuilt(client: &Client) -> Res<()> {
    let before = generation(client).await?.0;
    let rebuild = pb::RebuildViewRequest { view: VIEW.to_owned() };
    let begun: pb::RebuildViewResponse = client.ask(REBUILD, &rebuild, None).await?;
    ensure(begun.generation > before, || format!("{begun:?} after {before}"))?;
    let deadline = wait::Deadline::new("the view to be built");
    for number in 0.. {
        let name = format!("n-{number}");
        rename(client, &name).await?;
        named(client, &name).await?;
        if generation(client).await? == (begun.generation, 0) {
            break;
        }
        deadline.step().await?;
    }
    rename(client, "last").await?;
    named(client, "last").await
}

/// Of the rows that are read, and of those that are being built.
async fn generation(client: &Client) -> Res<(u64, u64)> {
    let status = client.status().await?;
    let view = status.views.iter().find(|it| it.view == VIEW).ok_or("no view")?;
    Ok((view.generation, view.building))
}

async fn rename(client: &Client, name: &str) -> Res<()> {
    accepted(client, &[Sent::rename(TENANT, &format!("to-{name}"), name, None)]).await.map(drop)
}

/// What was written last is read.
async fn named(client: &Client, name: &str) -> Res<()> {
    let token = client.token(TENANT).await?;
    let book = client.book(TENANT, &token).await?.ok_or("no tenant")?;
    ensure(book.tenant.name == name, || format!("{:?}, not {name}", book.tenant))
}
