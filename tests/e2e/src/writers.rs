//! Many connections that write at once, each command after the answer to the one
//! before, until the server goes away or enough is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use exchequer_proto::tenants::v1 as tenants;
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::Status;

use crate::answer::is_nowhere;
use crate::client::CREATE;
use crate::{Answer, Answered, Client, Ledger, Random, Res, Sent, Server, reason};

/// Tenants that all connections change.
const SHARED: &[&str] = &["shared-a", "shared-b", "shared-c"];

/// Connections that write.
#[derive(Debug)]
pub struct Load {
    writers: JoinSet<Res<Ledger>>,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
}

impl Load {
    /// Connects and begins. `name` begins every id that is new here.
    pub async fn start(server: &Server, connections: usize, seed: u64, name: &str) -> Res<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicU64::new(0));
        let mut writers = JoinSet::new();
        for index in 0..connections {
            let client = Client::connect(server).await?;
            let mut writer = Writer {
                client,
                random: Random::new(seed, index as u64),
                name: format!("{name}-{index}"),
                own: SHARED.iter().map(|id| Tenant { id: (*id).to_owned(), version: 1 }).collect(),
                count: 0,
                ledger: Ledger::default(),
            };
            let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
            writers.spawn(async move {
                while !stop.load(Ordering::Relaxed) && writer.write().await {
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                Ok(writer.ledger)
            });
        }
        Ok(Self { writers, stop, answers })
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Lets the connections end by themselves, as those do whose server goes away.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What all connections sent and got, when they have ended.
    pub async fn ledger(mut self) -> Res<Ledger> {
        let mut ledger = Ledger::default();
        while let Some(writer) = self.writers.join_next().await {
            ledger.merge(writer??);
        }
        Ok(ledger)
    }
}

/// Writes from so many connections until there are `answers`.
pub async fn write_until(
    server: &Server,
    connections: usize,
    seed: u64,
    name: &str,
    answers: u64,
) -> Res<Ledger> {
    let load = Load::start(server, connections, seed, name).await?;
    let enough = async || Ok((load.answers() >= answers).then_some(()));
    crate::wait::until_async("enough answers", enough).await?;
    load.stop();
    load.ledger().await
}

struct Tenant {
    id: String,
    /// As last heard of.
    version: u64,
}

struct Writer {
    client: Client,
    random: Random,
    name: String,
    own: Vec<Tenant>,
    count: u64,
    ledger: Ledger,
}

impl Writer {
    /// Sends one command; false when it was not answered.
    async fn write(&mut self) -> bool {
        self.count += 1;
        match self.random.below(100) {
            0..10 => self.repeat().await,
            10..14 => self.other_body().await,
            _ => {
                let sent = self.next();
                self.answer(sent).await
            }
        }
    }

    fn next(&mut self) -> Sent {
        let id = format!("{}-{}", self.name, self.count);
        let fresh = self.own.len() <= SHARED.len() || self.random.percent(8);
        let at = self.random.below(self.own.len() as u64) as usize;
        let Some(tenant) = self.own.get(at).filter(|_| !fresh) else {
            let tenant = match self.random.pick(SHARED) {
                Some(shared) if self.random.percent(5) => (*shared).to_owned(),
                _ => format!("t-{id}"),
            };
            return Sent::create(&tenant, &id);
        };
        match self.random.below(20) {
            0..7 => Sent::append(&tenant.id, &id, 0),
            7 => Sent::append(&tenant.id, &id, self.random.below(20_000) as usize),
            8..10 => Sent::append_batch(&tenant.id, &id, 2 + self.random.below(8) as usize),
            10..13 => Sent::rename(&tenant.id, &id, &format!("Name {id}"), Some(tenant.version)),
            13..16 => Sent::rename(&tenant.id, &id, &format!("Name {id}"), None),
            16..19 => Sent::schedule(&tenant.id, &id, self.random.below(1_000) as u32),
            _ => Sent::cancel(&tenant.id, &id),
        }
    }

    /// Sends a command and keeps what became of it.
    async fn answer(&mut self, sent: Sent) -> bool {
        // Half of the time a twin, which must get the same answer.
        let twin = self.random.percent(5);
        let (called, twin) = if twin {
            let (first, second) = tokio::join!(self.client.send(&sent), self.client.send(&sent));
            (first, Some(second))
        } else {
            (self.client.send(&sent).await, None)
        };
        let of = |called: &Result<(Bytes, String), Status>| {
            Answer::of_command(called.as_ref().map(|(bytes, _)| bytes.clone()))
        };
        let answer = of(&called);
        let twin = twin.as_ref().and_then(of);
        if let (Some(first), Some(second)) = (&answer, &twin)
            && first != second
        {
            let id = &sent.id;
            self.ledger.wrong.push(format!("{id}: sent twice at once: {first:?} and {second:?}"));
        }
        let Some(answer) = answer.or(twin) else {
            if called.as_ref().is_err_and(is_nowhere) {
                return true;
            }
            // A refusal that leaves it open ends nothing.
            let open = called.as_ref().is_err_and(|status| !reason(status).is_empty());
            self.ledger.unanswered.push(sent);
            return open;
        };
        self.learn(&sent, &answer);
        let token = called.map(|(_, token)| token).unwrap_or_default();
        self.ledger.answered.push(Answered { sent, answer, token });
        true
    }

    fn learn(&mut self, sent: &Sent, answer: &Answer) {
        let version = match answer {
            Answer::Reply(bytes) if sent.entries == 1 => {
                tenants::Tenant::decode(bytes.clone()).ok().map(|tenant| tenant.version)
            }
            Answer::Reply(_) => None,
            Answer::Rejection(no) => {
                no.facts.get("current_version").and_then(|text| text.parse().ok())
            }
        };
        if sent.path == CREATE && answer.is_accepted() {
            self.own.push(Tenant { id: sent.tenant.clone(), version: 1 });
        } else if let Some(tenant) = self.own.iter_mut().find(|it| it.id == sent.tenant) {
            tenant.version = version.filter(|it| *it > 0).unwrap_or(tenant.version);
        }
    }

    /// Sends something answered again: the first answer is given again.
    async fn repeat(&mut self) -> bool {
        let Some(known) = self.random.pick(&self.ledger.answered).cloned() else { return true };
        let again = self.client.send(&known.sent).await;
        match Answer::of(again.as_ref().map(|(bytes, _)| bytes.clone())) {
            Some(again) if again != known.answer => {
                let (id, first) = (&known.sent.id, &known.answer);
                self.ledger.wrong.push(format!("{id}: answered {first:?}, then {again:?}"));
                true
            }
            Some(_) => true,
            None => again.is_err_and(|status| !reason(&status).is_empty()),
        }
    }

    /// The identity of something answered with another body is a conflict.
    async fn other_body(&mut self) -> bool {
        let Some(known) = self.random.pick(&self.ledger.answered).cloned() else { return true };
        let Sent { tenant, id, .. } = &known.sent;
        let other = Sent::append(tenant, id, 3);
        match self.client.send(&other).await {
            Ok(_) => {
                self.ledger.wrong.push(format!("{id}: taken again with another body"));
                true
            }
            Err(status) => {
                let reason = reason(&status);
                let open = Answer::of(Err::<bytes::Bytes, _>(&status)).is_none();
                if !open && reason != "COMMAND_ID_REUSED" {
                    self.ledger.wrong.push(format!("{id}: another body gets {reason}"));
                }
                !reason.is_empty()
            }
        }
    }
}
