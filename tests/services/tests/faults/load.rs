//! What goes on while something breaks: callers who send one command after another and ask
//! again under the same id until they are answered, and producers of events of use, by the
//! gateways and straight into the topic. What was acknowledged is kept.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use exchequer_codec::usage::encode_event;
use exchequer_e2e::{Answer, Client, Random, Res, Sent, wait};
use exchequer_journal::Journal as _;
use exchequer_journal_kafka::KafkaJournal;
use exchequer_metering::{Body, EventRecord, partition_of_event};
use exchequer_proto::io::cloudevents::v1 as events;
use exchequer_proto::usage::v1 as usage;
use exchequer_types::{PartitionId, Timestamp};
use tokio::task::JoinSet;

use crate::world::PARTITIONS;

/// Callers, each after the answer to its last command.
const CALLERS: u64 = 6;
const TENANTS_EACH: u64 = 3;
/// Asked again at the other gateway after it.
const CALL_MAX: Duration = Duration::from_secs(8);
/// A command that is not answered by then is lost to its caller. As long as a killed server
/// may take to start, and some more; how soon all are answered behind it is for the round.
const ANSWER_MAX: Duration = Duration::from_secs(400);
/// Between two calls of one caller, for the processes share a small machine.
const PAUSE: Duration = Duration::from_millis(15);
/// Pauses are so many times as long while a server starts: it has to get its turn.
const GENTLE: u32 = 10;
const EVENTS_EACH: u64 = 20;
/// Of so many calls with events, one event is voided behind them.
const VOIDED_PERCENT: u64 = 25;
pub(crate) const EVENT_TYPE: &str = "llm.call";
const SOURCE: &str = "/service";
const PUBLISH: &str = "/exchequer.usage.v1.IngestService/PublishEvents";

/// An acknowledged command.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) tenant: String,
    pub(crate) id: String,
    pub(crate) entries: usize,
}

/// Acknowledged events of one tenant, each once, and what those come to that were not voided.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Events {
    pub(crate) count: u64,
    pub(crate) voided: u64,
    pub(crate) tokens: u64,
    /// Different ones.
    pub(crate) users: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) commands: Vec<Kept>,
    pub(crate) events: BTreeMap<String, Events>,
    /// From the first try to the answer.
    pub(crate) slowest: Duration,
    /// Tries that got no answer.
    pub(crate) open: u64,
    pub(crate) wrong: Vec<String>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    is_gentle: AtomicBool,
    answers: AtomicU64,
}

/// Callers and producers at work.
pub(crate) struct Load {
    tasks: JoinSet<Res<Ledger>>,
    shared: Arc<Shared>,
}

impl Load {
    /// Begins; names of tenants and ids begin with `name`.
    pub(crate) fn start(
        gateways: &[Client; 2],
        log: Arc<KafkaJournal>,
        name: &str,
        seed: u64,
    ) -> Self {
        let (mut tasks, shared) = (JoinSet::new(), Arc::new(Shared::default()));
        let caller = |number: u64, name: String| Caller {
            gateways: gateways.clone(),
            turn: number as usize,
            random: Random::new(seed, number),
            shared: Arc::clone(&shared),
            name,
            left: Vec::new(),
            ledger: Ledger::default(),
        };
        for number in 0..CALLERS {
            tasks.spawn(caller(number, format!("{name}-{number}")).commands());
        }
        tasks.spawn(caller(CALLERS, format!("{name}-http")).publish());
        tasks.spawn(caller(CALLERS + 1, format!("{name}-topic")).produce(log));
        Self { tasks, shared }
    }

    pub(crate) fn answers(&self) -> u64 {
        self.shared.answers.load(Ordering::Relaxed)
    }

    /// Goes on with longer pauses while `work` is done.
    pub(crate) fn gently<T>(&self, work: impl FnOnce() -> T) -> T {
        self.shared.is_gentle.store(true, Ordering::Relaxed);
        let done = work();
        self.shared.is_gentle.store(false, Ordering::Relaxed);
        done
    }

    /// Waits for so many answers more; an early end is an error.
    pub(crate) async fn go_on(&self, answers: u64) -> Res<()> {
        let enough = self.answers() + answers;
        let reached = async || Ok((self.answers() >= enough).then_some(()));
        wait::until_async("answers to go on", reached).await
    }

    /// Lets all end after their next answer; what they kept.
    pub(crate) async fn finish(mut self) -> Res<Ledger> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        while let Some(done) = self.tasks.join_next().await {
            let done = done??;
            all.commands.extend(done.commands);
            all.events.extend(done.events);
            all.wrong.extend(done.wrong);
            all.slowest = all.slowest.max(done.slowest);
            all.open += done.open;
        }
        Ok(all)
    }
}

struct Caller {
    gateways: [Client; 2],
    turn: usize,
    random: Random,
    shared: Arc<Shared>,
    name: String,
    /// Events that are acknowledged and not voided.
    left: Vec<u64>,
    ledger: Ledger,
}

impl Caller {
    fn goes_on(&self) -> bool {
        !self.shared.stop.load(Ordering::Relaxed)
    }

    /// Lets the others have their turn.
    async fn pause(&self, pauses: u32) {
        let factor = if self.shared.is_gentle.load(Ordering::Relaxed) { GENTLE } else { 1 };
        wait::pass_async(PAUSE * pauses * factor).await;
    }

    async fn commands(mut self) -> Res<Ledger> {
        let tenants: Vec<String> =
            (0..TENANTS_EACH).map(|it| format!("{}-{it}", self.name)).collect();
        for tenant in &tenants {
            self.send(&Sent::create(tenant, &format!("create-{tenant}"))).await?;
        }
        let mut before: Vec<(Sent, Answer)> = Vec::new();
        let mut count = 0;
        while self.goes_on() {
            if let Some((sent, answer)) = self.random.pick(&before).cloned()
                && self.random.percent(5)
            {
                let again = self.answer(&sent).await?;
                if again != answer {
                    let id = &sent.id;
                    self.ledger.wrong.push(format!("{id}: {answer:?}, and again {again:?}"));
                }
                continue;
            }
            count += 1;
            let id = format!("{}-c{count}", self.name);
            let tenant = &tenants[self.random.below(TENANTS_EACH) as usize];
            let sent = match self.random.below(10) {
                0..6 => Sent::append(tenant, &id, 0),
                6 => Sent::append(tenant, &id, self.random.below(8_000) as usize),
                7 => Sent::append_batch(tenant, &id, 3),
                _ => Sent::rename(tenant, &id, &id, None),
            };
            let answer = self.send(&sent).await?;
            before.push((sent, answer));
            self.pause(1).await;
        }
        Ok(self.ledger)
    }

    /// Sends a command until it is answered, and keeps it.
    async fn send(&mut self, sent: &Sent) -> Res<Answer> {
        let begun = Instant::now();
        let answer = self.answer(sent).await?;
        self.ledger.slowest = self.ledger.slowest.max(begun.elapsed());
        let Sent { tenant, id, entries, .. } = sent.clone();
        if let Answer::Rejection(no) = &answer {
            self.ledger.wrong.push(format!("{id} of {tenant} was refused: {no:?}"));
        } else {
            self.ledger.commands.push(Kept { tenant, id, entries });
        }
        self.shared.answers.fetch_add(1, Ordering::Relaxed);
        Ok(answer)
    }

    /// Asks one gateway after the other, always under the same id.
    async fn answer(&mut self, sent: &Sent) -> Res<Answer> {
        let begun = Instant::now();
        loop {
            let called = tokio::time::timeout(CALL_MAX, self.gateway().send(sent)).await;
            let bytes = called.as_ref().map(|it| it.as_ref().map(|(bytes, _)| bytes.clone()));
            if let Some(answer) = bytes.ok().and_then(Answer::of_command) {
                return Ok(answer);
            }
            self.is_open(&sent.id, begun, &format!("{called:?}")).await?;
        }
    }

    fn gateway(&self) -> &Client {
        &self.gateways[self.turn % self.gateways.len()]
    }

    /// Goes over to the other gateway, unless it took too long already.
    async fn is_open(&mut self, id: &str, begun: Instant, last: &str) -> Res<()> {
        if begun.elapsed() > ANSWER_MAX {
            return Err(format!("{id} is not answered; the last was {last}").into());
        }
        self.turn += 1;
        self.ledger.open += 1;
        self.pause(4).await;
        Ok(())
    }

    /// Events by the gateways.
    async fn publish(mut self) -> Res<Ledger> {
        let (tenant, mut next) = (self.name.clone(), 0);
        self.send(&Sent::create(&tenant, &format!("create-{tenant}"))).await?;
        while self.goes_on() {
            let ids = next..next + EVENTS_EACH;
            let all = ids.clone().map(|it| cloud_event(&tenant, it)).collect();
            let request = usage::PublishEventsRequest { events: all };
            let begun = Instant::now();
            loop {
                let asked = self.gateway().ask(PUBLISH, &request, None);
                let called = tokio::time::timeout(CALL_MAX, asked).await;
                if let Ok(Ok(usage::PublishEventsResponse { accepted, verdicts, .. })) = &called {
                    if u64::from(*accepted) != EVENTS_EACH {
                        self.ledger.wrong.push(format!("{tenant}, {ids:?}: {verdicts:?}"));
                    }
                    break;
                }
                self.is_open(&format!("{ids:?} of {tenant}"), begun, &format!("{called:?}"))
                    .await?;
            }
            self.keep(&tenant, ids.clone());
            if self.random.percent(VOIDED_PERCENT) {
                self.void(&tenant).await?;
            }
            next = ids.end;
            self.pause(4).await;
        }
        Ok(self.ledger)
    }

    /// Has an event not counted any more. The answer waits for meters, whose promise is not
    /// that of deciders.
    async fn void(&mut self, tenant: &str) -> Res<()> {
        let at = self.random.below(self.left.len() as u64) as usize;
        let event = event_id(self.left.swap_remove(at));
        let sent = Sent::void(tenant, &format!("void-{event}-of-{tenant}"), (SOURCE, &event));
        if let Answer::Rejection(no) = self.answer(&sent).await? {
            self.ledger.wrong.push(format!("{event} of {tenant} is not voided: {no:?}"));
            return Ok(());
        }
        let Sent { tenant, id, entries, .. } = sent;
        self.ledger.events.entry(tenant.clone()).or_default().voided += 1;
        self.tell(&tenant);
        self.ledger.commands.push(Kept { tenant, id, entries });
        Ok(())
    }

    /// Events into the topic, as a producer of somebody's own writes them.
    async fn produce(mut self, log: Arc<KafkaJournal>) -> Res<Ledger> {
        let (tenant, mut next) = (self.name.clone(), 0);
        self.send(&Sent::create(&tenant, &format!("create-{tenant}"))).await?;
        while self.goes_on() {
            let ids = next..next + EVENTS_EACH;
            let mut left: BTreeMap<PartitionId, Vec<Bytes>> = BTreeMap::new();
            for id in ids.clone() {
                let (partition, record) = record(&tenant, id);
                left.entry(partition).or_default().push(record);
            }
            let begun = Instant::now();
            while let Some((partition, records)) = left.pop_first() {
                if let Err(fault) = log.append_all(partition, records.clone()).await {
                    left.insert(partition, records);
                    self.is_open(&format!("{ids:?} of {tenant}"), begun, &fault.message).await?;
                }
            }
            self.keep(&tenant, ids.clone());
            next = ids.end;
            self.pause(4).await;
        }
        Ok(self.ledger)
    }

    fn keep(&mut self, tenant: &str, ids: core::ops::Range<u64>) {
        let kept = self.ledger.events.entry(tenant.to_owned()).or_default();
        kept.count += ids.end - ids.start;
        self.left.extend(ids);
        self.tell(tenant);
    }

    /// What the events come to that are left.
    fn tell(&mut self, tenant: &str) {
        let kept = self.ledger.events.entry(tenant.to_owned()).or_default();
        kept.tokens = self.left.iter().map(|it| tokens(*it)).sum();
        kept.users = self.left.iter().map(|it| user(*it)).collect::<BTreeSet<_>>().len() as u64;
    }
}

/// What the event with that number is to be counted as.
fn tokens(id: u64) -> u64 {
    1 + id % 97
}

/// Whose it is: one after the other, so that many have a single event.
fn user(id: u64) -> u64 {
    id % 499
}

fn event_id(id: u64) -> String {
    format!("event-{id}")
}

/// In so many groups.
fn model(id: u64) -> u64 {
    id % 7
}

/// Of so many subjects of each tenant.
fn subject(id: u64) -> String {
    format!("customer-{}", id % 997)
}

fn data(id: u64) -> String {
    let (tokens, user, model) = (tokens(id), user(id), model(id));
    format!("{{\"tokens\":{tokens},\"user\":\"user-{user}\",\"model\":\"model-{model}\"}}")
}

fn cloud_event(tenant: &str, id: u64) -> events::CloudEvent {
    use events::cloud_event::cloud_event_attribute_value::Attr;
    use events::cloud_event::{CloudEventAttributeValue, Data};
    let text = |it: String| CloudEventAttributeValue { attr: Some(Attr::CeString(it)) };
    let named = [("tenant", tenant.to_owned()), ("subject", subject(id))];
    events::CloudEvent {
        id: event_id(id),
        source: SOURCE.to_owned(),
        spec_version: "1.0".to_owned(),
        r#type: EVENT_TYPE.to_owned(),
        attributes: named.map(|(name, it)| (name.to_owned(), text(it))).into(),
        data: Some(Data::TextData(data(id))),
    }
}

fn record(tenant: &str, id: u64) -> (PartitionId, Bytes) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let (id, data, subject) = (event_id(id), data(id), subject(id));
    let body = Body { kind: EVENT_TYPE, schema: "", subject: &subject, time: None, data: &data };
    let event = EventRecord { tenant, source: SOURCE, id: &id, body };
    let partition = partition_of_event(tenant, &id, PARTITIONS, &mut Vec::new());
    let now = Timestamp::saturating_from_micros(now);
    (partition, encode_event(&mut BytesMut::new(), now, &event))
}
