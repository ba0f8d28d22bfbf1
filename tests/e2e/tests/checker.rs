//! The checks themselves: what is promised and not there is seen.

use bytes::Bytes;
use exchequer_e2e::{Answer, Answered, Ledger, Res, Sent, Server, check, write_until};

/// The lines of a check of `ledger` against the server.
async fn wrong(server: &Server, ledger: Ledger) -> Res<Vec<String>> {
    Ok(check::everything(server, &ledger).await?.wrong)
}

// REQ: OPS-05
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_otherwise_is_seen() -> Res<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let ledger = write_until(&server, 4, 6, "x", 100).await?;
    assert_eq!(wrong(&server, ledger.clone()).await?, Vec::<String>::new());
    let appended =
        |it: &&Answered| it.answer.is_accepted() && it.sent.path.ends_with("AppendEntry");
    let known = ledger.answered.iter().find(appended).ok_or("no entry was appended")?.clone();
    let token = String::new();

    // An answer that was never given.
    let sent = Sent::append(&known.sent.tenant, "never-sent", 0);
    let answer = Answer::Reply(Bytes::from_static(&[8, 99]));
    let lost = Answered { sent, answer, token: token.clone() };
    let seen = wrong(&server, Ledger { answered: vec![lost], ..Ledger::default() }).await?;
    assert!(seen.iter().any(|line| line.contains("0 audit entries, not 1")), "{seen:?}");

    // An answer that was another one.
    let answer = Answer::Reply(Bytes::from_static(&[8, 99]));
    let other = Answered { sent: known.sent.clone(), answer, token: token.clone() };
    let seen = wrong(&server, Ledger { answered: vec![other], ..Ledger::default() }).await?;
    assert!(seen.iter().any(|line| line.contains("answered entries [99], and now")), "{seen:?}");
    assert!(seen.iter().any(|line| line.contains("and now Reply")), "{seen:?}");

    // Half of a command that nobody was answered for.
    let half = Sent { entries: known.sent.entries + 1, ..known.sent.clone() };
    let seen = wrong(&server, Ledger { unanswered: vec![half], ..Ledger::default() }).await?;
    assert!(seen.iter().any(|line| line.contains("1 audit entries, not 2")), "{seen:?}");

    // A tenant that is not there.
    let reply = exchequer_proto::tenants::v1::Tenant { version: 1, ..<_>::default() };
    let answer = Answer::Reply(prost::Message::encode_to_vec(&reply).into());
    let gone = Answered { sent: Sent::create("gone", "g-1"), answer, token };
    let seen = wrong(&server, Ledger { answered: vec![gone], ..Ledger::default() }).await?;
    assert!(seen.iter().any(|line| line.contains("its tenant is not there")), "{seen:?}");
    Ok(())
}
