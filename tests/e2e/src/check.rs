//! Compares what was answered with what is there after a restart.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use exchequer_proto::audit::v1 as audit;
use exchequer_proto::journal::v1::OutcomeStatus;
use exchequer_proto::system::v1 as system;
use exchequer_proto::tenants::v1 as tenants;
use prost::Message;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use crate::answer::is_nowhere;
use crate::client::{APPEND, APPEND_BATCH, Book};
use crate::{Answer, Answered, Client, Ledger, Res, Sent, Server};

const CONNECTIONS: usize = 64;

/// What a check found.
#[derive(Debug, Default)]
pub struct Found {
    /// Each line says what differs.
    pub wrong: Vec<String>,
    /// Unanswered commands that were decided all the same.
    pub decided: usize,
    pub tenants: usize,
    /// The unanswered ones, sent again, with their answers.
    pub answered: Vec<Answered>,
}

/// Compares everything in the ledger with the server, then sends it all again.
pub async fn everything(server: &Server, ledger: &Ledger) -> Res<Found> {
    let mut by_tenant: BTreeMap<&str, Ledger> = BTreeMap::new();
    for it in &ledger.answered {
        by_tenant.entry(&it.sent.tenant).or_default().answered.push(it.clone());
    }
    for it in &ledger.unanswered {
        by_tenant.entry(&it.tenant).or_default().unanswered.push(it.clone());
    }
    let mut found = Found { wrong: ledger.wrong.clone(), ..Found::default() };
    found.tenants = by_tenant.len();
    let mut lanes: Vec<Vec<(String, Ledger)>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
    for (index, (tenant, ledger)) in by_tenant.into_iter().enumerate() {
        lanes[index % CONNECTIONS].push((tenant.to_owned(), ledger));
    }
    let mut checks = JoinSet::new();
    for lane in lanes {
        let client = Client::connect(server).await?;
        checks.spawn(async move {
            let mut found = Found::default();
            for (name, ledger) in lane {
                tenant(&client, &name, &ledger, &mut found).await?;
            }
            Res::Ok(found)
        });
    }
    while let Some(done) = checks.join_next().await {
        let done = done??;
        found.wrong.extend(done.wrong);
        found.decided += done.decided;
        found.answered.extend(done.answered);
    }
    Ok(found)
}

/// One tenant: first everything is looked at, then sent again and looked at again.
async fn tenant(client: &Client, name: &str, ledger: &Ledger, found: &mut Found) -> Res<()> {
    let seen = Seen::read(client, name).await?;
    seen.check_chain(&mut found.wrong);
    for Answered { sent, answer, .. } in &ledger.answered {
        seen.check_answer(sent, answer, &mut found.wrong);
    }
    for sent in &ledger.unanswered {
        let outcome = match client.outcome(name, &sent.id).await {
            Ok((outcome, _)) => outcome,
            Err(status) if is_nowhere(&status) => system::GetOutcomeResponse::default(),
            Err(status) => return Err(status.into()),
        };
        let accepted = outcome
            .outcome
            .filter(|_| outcome.found)
            .is_some_and(|it| it.status() == OutcomeStatus::Accepted);
        found.decided += usize::from(outcome.found);
        seen.check_count(sent, accepted, "unanswered", &mut found.wrong);
    }
    if let Some(last) = ledger.answered.iter().rfind(|it| !it.token.is_empty()) {
        check_token(client, last, &mut found.wrong).await?;
    }
    for Answered { sent, answer, .. } in &ledger.answered {
        let again = client.answer(sent).await?;
        if again != *answer {
            found.wrong.push(format!("{}: answered {answer:?}, and now {again:?}", sent.id));
        }
    }
    for sent in &ledger.unanswered {
        let answer = client.answer(sent).await?;
        if answer.is_nowhere() {
            // No command came of it, so it may be answered otherwise some day.
            continue;
        }
        found.answered.push(Answered { sent: sent.clone(), answer, token: String::new() });
    }
    if ledger.unanswered.is_empty() {
        return Ok(());
    }
    let seen = Seen::read(client, name).await?;
    seen.check_chain(&mut found.wrong);
    let again = found.answered.iter().filter(|it| it.sent.tenant == name);
    for Answered { sent, answer, .. } in ledger.answered.iter().chain(again) {
        seen.check_answer(sent, answer, &mut found.wrong);
    }
    Ok(())
}

/// A query that presents the token sees the write, also after a restart.
async fn check_token(client: &Client, it: &Answered, wrong: &mut Vec<String>) -> Res<()> {
    let Sent { tenant, id, .. } = &it.sent;
    let book = client.book(tenant, &it.token).await?;
    let seen = book.is_some_and(|it| it.entries.iter().any(|entry| entry.command_id == *id));
    if it.answer.is_accepted() && !seen {
        wrong.push(format!("{id} of {tenant}: not seen with its own consistency token"));
    }
    Ok(())
}

/// What the views show of a tenant, by command.
struct Seen {
    name: String,
    book: Option<Book>,
    by_command: HashMap<String, Vec<u64>>,
}

impl Seen {
    async fn read(client: &Client, name: &str) -> Res<Self> {
        let book = match client.token(name).await {
            Ok(token) => client.book(name, &token).await?,
            Err(status) if is_nowhere(&status) => None,
            Err(status) => return Err(status.into()),
        };
        let mut by_command: HashMap<String, Vec<u64>> = HashMap::new();
        for entry in book.iter().flat_map(|it| &it.entries) {
            by_command.entry(entry.command_id.clone()).or_default().push(entry.seq);
        }
        Ok(Self { name: name.to_owned(), book, by_command })
    }

    fn seqs(&self, id: &str) -> &[u64] {
        self.by_command.get(id).map_or(&[], Vec::as_slice)
    }

    /// Are the entries a chain without gaps, each naming the one before?
    fn check_chain(&self, wrong: &mut Vec<String>) {
        let mut prev = "0".repeat(64);
        let entries = self.book.iter().flat_map(|it| &it.entries);
        for (seq, entry) in (1..).zip(entries) {
            let name = &self.name;
            if entry.seq != seq {
                wrong.push(format!("{name}: entry {} stands in place {seq}", entry.seq));
                return;
            }
            if entry.prev != prev {
                wrong.push(format!("{name}: entry {seq} names {} as the one before", entry.prev));
            }
            prev = hex(&Sha256::digest(entry.json.as_bytes()));
        }
    }

    fn check_answer(&self, sent: &Sent, answer: &Answer, wrong: &mut Vec<String>) {
        self.check_count(sent, answer.is_accepted(), "answered", wrong);
        let Answer::Reply(reply) = answer else { return };
        if let Some(differs) = self.differs(sent, reply) {
            wrong.push(format!("{} of {}: {differs}", sent.id, self.name));
        }
    }

    /// All entries of an accepted command are there, none of any other.
    fn check_count(&self, sent: &Sent, accepted: bool, what: &str, wrong: &mut Vec<String>) {
        let expected = if accepted { sent.entries } else { 0 };
        let count = self.seqs(&sent.id).len();
        if count != expected {
            let Sent { id, path, .. } = sent;
            let name = &self.name;
            wrong.push(format!(
                "{id} of {name} ({what}, {path}): {count} audit entries, not {expected}"
            ));
        }
    }

    /// How what is there contradicts the reply.
    fn differs(&self, sent: &Sent, reply: &Bytes) -> Option<String> {
        let Some(book) = &self.book else { return Some("its tenant is not there".to_owned()) };
        let seqs = self.seqs(&sent.id);
        let promised = match sent.path {
            APPEND => read::<audit::AppendEntryResponse>(reply).ok()?.seq,
            APPEND_BATCH => read::<audit::BatchAppendEntriesResponse>(reply).ok()?.first_seq,
            _ => {
                let promised = read::<tenants::Tenant>(reply).ok()?.version;
                let version = book.tenant.version;
                return (version < promised)
                    .then(|| format!("answered version {promised}, and now {version}"));
            }
        };
        let expected: Vec<u64> = (promised..).take(sent.entries).collect();
        (seqs != expected).then(|| format!("answered entries {expected:?}, and now {seqs:?}"))
    }
}

fn read<M: Message + Default>(reply: &Bytes) -> Result<M, prost::DecodeError> {
    M::decode(reply.clone())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}
