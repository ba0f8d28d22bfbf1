//! A disk that is full, and then is not.

use exchequer_e2e::{Answer, Answered, Client, Ledger, Res, Sent, Server, Space, check, run, wait};
use tonic::Code;
use tonic_types::StatusExt as _;

const CONNECTIONS: usize = 4;
const PAYLOAD_BYTES: usize = 30_000;
/// Far more than fits.
const COMMANDS_MAX: usize = 2_000;

/// Sends until it is refused; what is refused says that it may be sent again.
async fn send_until_refused(client: Client, name: String) -> Res<Ledger> {
    let mut ledger = Ledger::default();
    for n in 0..COMMANDS_MAX {
        let sent = Sent::append("acme", &format!("{name}-{n}"), PAYLOAD_BYTES);
        let called = client.send(&sent).await;
        if let Some(answer) = Answer::of(called.as_ref().map(|(bytes, _)| bytes.clone())) {
            assert!(answer.is_accepted(), "{answer:?}");
            let token = called.map(|(_, token)| token).unwrap_or_default();
            ledger.answered.push(Answered { sent, answer, token });
            continue;
        }
        ledger.unanswered.push(sent);
        if let Err(status) = called {
            assert_retryable(&status);
        }
        return Ok(ledger);
    }
    Err("the disk does not get full".into())
}

fn assert_retryable(status: &tonic::Status) {
    let code = status.code();
    assert!(matches!(code, Code::ResourceExhausted | Code::Unavailable), "{status:?}");
    assert!(status.get_details_retry_info().is_some(), "no RetryInfo: {status:?}");
}

fn assert_verifies(data: &std::path::Path) -> Res<()> {
    let done = run(["verify".as_ref(), "journal".as_ref(), "--data".as_ref(), data.as_ref()])?;
    assert!(done.status.success(), "{}", done.output);
    Ok(())
}

async fn refuses_then_goes_on(space: &Space) -> Res<()> {
    let data = space.data();
    let mut server = space.start()?;
    let client = Client::connect(&server).await?;
    client.answer(&Sent::create("acme", "c-1")).await?;
    let mut senders = tokio::task::JoinSet::new();
    for index in 0..CONNECTIONS {
        senders.spawn(send_until_refused(Client::connect(&server).await?, format!("f{index}")));
    }
    let mut ledger = Ledger::default();
    while let Some(sender) = senders.join_next().await {
        ledger.merge(sender??);
    }
    assert!(ledger.answered.len() > 20, "{} answers", ledger.answered.len());

    space.fill()?;
    let last = Sent::append("acme", "when-full", PAYLOAD_BYTES);
    let refused = async || Ok(client.send(&last).await.err());
    let refused = wait::until_async("a refusal", refused).await?;
    assert_retryable(&refused);
    assert_verifies(&data)?;
    wait::until("/readyz to say so", || Ok((!server.is_ready()).then_some(())))?;

    space.free(&server)?;
    let again = server.explain(client.answer(&last).await)?;
    assert!(again.is_accepted(), "{again:?}");
    let found = server.explain(check::everything(&server, &ledger).await)?;
    assert_eq!(found.wrong, Vec::<String>::new());
    assert!(found.answered.iter().all(|it| it.answer.is_accepted()), "{:?}", found.answered);
    ledger.answered.extend(found.answered);
    ledger.unanswered.clear();
    assert!(server.is_alive()? && server.is_ready(), "{}", server.output());

    server.kill()?;
    let server = Server::start(&data)?;
    let found = check::everything(&server, &ledger).await?;
    assert_eq!(found.wrong, Vec::<String>::new());
    assert_verifies(&data)
}

// REQ: KER-13 OPS-05 AUD-12
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_nothing_half_and_goes_on_when_there_is_space() -> Res<()> {
    let folder = tempfile::tempdir()?;
    refuses_then_goes_on(&Space::disk(folder.path())?).await
}

// REQ: KER-13 OPS-05 AUD-12
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_the_size_of_files_is_met_like_a_full_disk() -> Res<()> {
    let folder = tempfile::tempdir()?;
    refuses_then_goes_on(&Space::limit(folder.path())).await
}
