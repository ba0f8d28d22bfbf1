//! Who writes to the log of usage: gateways with what clients send, twice, late and in
//! conflict; consumers with recorded corrections; and strangers.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, Journal as _};
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::usage_record::Body;
use exchequer_types::{PartitionId, partition_of};
use prost::Message as _;
use tokio::sync::oneshot;

use super::data::{self, Data};
use super::procs::Procs;
use super::{Acknowledged, Course, DAY, SECOND, TYPES, provider, tenant};
use crate::exec::lock;
use crate::ports::journal::{Ack, JournalPort};
use crate::rng::Rng;
use crate::world::Log;

/// An append is tried so often, as long as nobody is calm.
const TRIES_MAX: u64 = 4;
/// Ids of a day, so that many events meet.
const IDS: u64 = 14;

impl Course {
    pub(super) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    /// The partition of an event.
    pub(super) fn own_partition(&self, tenant: &str, id: &str) -> PartitionId {
        partition_of(format!("{tenant}/{id}").as_bytes(), self.world.plan.partitions)
    }

    fn any_partition(&self, rng: &mut Rng) -> PartitionId {
        PartitionId(rng.below(u64::from(self.world.plan.partitions)) as u32)
    }

    /// A gateway takes in what its clients send.
    pub(super) async fn gateway(self, procs: Procs, mut rng: Rng) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        for _ in 0..self.shaped.batches_per_gateway {
            let most = if rng.chance(100) { 3_000_000 } else { 300_000 };
            let wait = rng.below(most);
            self.world.sim.sleep(wait).await;
            let count = if rng.chance(300) { rng.within(2, 12) } else { 1 };
            let mut by_partition = std::collections::BTreeMap::<PartitionId, Vec<Bytes>>::new();
            for _ in 0..count {
                let (partition, record) = self.record(&mut rng);
                by_partition.entry(partition).or_default().push(record);
            }
            for (partition, records) in by_partition {
                self.send(&procs, partition, records, &mut rng).await;
            }
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    fn record(&self, rng: &mut Rng) -> (PartitionId, Bytes) {
        if rng.chance(30) {
            let refused = pb::Refused {
                tenant: tenant(rng.below(self.shaped.tenants)).to_string(),
                source: "s0".to_owned(),
                id: format!("refused-{}", rng.below(1_000)),
                r#type: TYPES[0].to_owned(),
                field: "data".to_owned(),
                reason: "is not what the schema says".to_owned(),
                bytes: rng.below(1_000),
            };
            return (self.any_partition(rng), unstamped(Body::Refused(refused)));
        }
        let event = self.event(rng);
        let own = self.own_partition(&event.tenant, &event.id);
        let is_astray = rng.chance(self.world.rates().astray.max(20));
        let partition = if is_astray { self.any_partition(rng) } else { own };
        (partition, unstamped(Body::Event(event)))
    }

    /// An event whose body follows from its id, but for one in a few.
    fn event(&self, rng: &mut Rng) -> pb::Event {
        let day = self.world.sim.micros() / DAY;
        let nth = rng.below(IDS * self.shaped.tenants);
        let id = match rng.below(12) {
            0 => format!("e{}", nth % 3),
            1 => format!("e{day}-{}", rng.below(1_000_000)),
            _ => format!("e{day}-{nth}"),
        };
        let by = if rng.chance(30) {
            "nobody".to_owned()
        } else {
            format!("t{}", nth % self.shaped.tenants)
        };
        let source = if rng.chance(900) { "s0" } else { rng.word(&["s1", ""]) }.to_owned();
        let named = [by.as_bytes(), id.as_bytes(), source.as_bytes()].concat();
        let seed = blake3::hash(&named).as_bytes()[..8]
            .iter()
            .fold(0, |all, it| all << 8 | u64::from(*it));
        let mut body = Rng::new(seed);
        if rng.chance(80) {
            body = rng.fork();
        }
        let members = data::draw(&mut body);
        let midnight = crate::exec::EPOCH_MICROS + (day * DAY) as i64;
        let time = match body.below(10) {
            0..3 => None,
            3..7 => Some(midnight + body.below(1_800 * SECOND) as i64),
            7..9 => Some(midnight - body.below(5 * 3_600 * SECOND) as i64),
            _ => {
                Some(midnight - body.below(40 * DAY) as i64 + body.below(3 * 3_600 * SECOND) as i64)
            }
        };
        let kind = TYPES[if body.chance(600) { 0 } else { body.below(3) as usize }].to_owned();
        let subject = if body.chance(200) { String::new() } else { format!("u{}", body.below(5)) };
        let is_broken = body.chance(25);
        let data = if is_broken { self.broken(rng) } else { self.write(&members, rng) };
        if !is_broken {
            lock(&self.sent).insert((by.clone(), source.clone(), id.clone()), members);
        }
        let schema = if body.chance(100) { "v2".to_owned() } else { String::new() };
        pb::Event { tenant: by, source, id, r#type: kind, subject, schema, time, data }
    }

    fn write(&self, members: &data::Members, rng: &mut Rng) -> String {
        let text = data::write(members, rng);
        lock(&self.written).insert(text.clone(), Data::Members(members.clone()));
        text
    }

    fn broken(&self, rng: &mut Rng) -> String {
        let text = data::broken(rng);
        lock(&self.written).insert(text.clone(), Data::NoNormalForm);
        text
    }

    /// Sends the records, and again when nobody says that they are there.
    async fn send(&self, procs: &Procs, to: PartitionId, records: Vec<Bytes>, rng: &mut Rng) {
        let mut tries = 0;
        loop {
            tries += 1;
            if let Ok(offset) = self.append(procs, to, records.clone()).await {
                let it = Acknowledged { partition: to, offset, records };
                lock(&self.acknowledged).push(it);
                return;
            }
            if tries >= TRIES_MAX && !self.is_calm() && rng.chance(300) {
                return;
            }
            self.world.sim.sleep(rng.within(10_000, 1_500_000)).await;
        }
    }

    /// Embedded, by the process that meters too: it dies with it.
    async fn append(&self, procs: &Procs, to: PartitionId, records: Vec<Bytes>) -> Ack {
        let port = JournalPort(self.world.clone(), Log::Usage);
        if !self.world.is_embedded() {
            return port.append_all(to, records).await;
        }
        let down = || Fault::new(FaultKind::Unavailable, "nobody is there");
        let Some(proc) = procs.proc(0) else { return Err(down()) };
        let (done, is_done) = oneshot::channel();
        self.world.sim.spawn_on(proc, async move {
            // Whoever sends may be gone.
            let _ = done.send(port.append_all(to, records).await);
        });
        is_done.await.unwrap_or_else(|_| Err(down()))
    }

    /// Corrections that were decided come in, each maybe twice.
    pub(super) async fn corrector(self, procs: Procs, mut rng: Rng) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        for nth in 0..self.shaped.corrections {
            self.world.sim.sleep(rng.below(2_000_000)).await;
            let Some(correction) = self.correction(nth, &mut rng) else { continue };
            let own = self.own_partition(&correction.tenant, &correction.event);
            let partition = if rng.chance(60) { self.any_partition(&mut rng) } else { own };
            let record = unstamped(Body::Correction(correction));
            for _ in 0..if rng.chance(150) { 2 } else { 1 } {
                self.send(&procs, partition, vec![record.clone()], &mut rng).await;
            }
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    fn correction(&self, nth: u64, rng: &mut Rng) -> Option<pb::Correction> {
        let (of, members) = {
            let sent = lock(&self.sent);
            if sent.is_empty() {
                return None;
            }
            let index = rng.below(sent.len() as u64) as usize;
            let (of, members) = sent.iter().nth(index)?;
            (of.clone(), members.clone())
        };
        let (tenant, source, mut event) = of;
        if rng.chance(50) {
            "unheard-of".clone_into(&mut event);
        }
        let what = if rng.chance(400) {
            pb::correction::What::Void(pb::Void {})
        } else {
            let mut amended = members;
            if rng.chance(800) {
                amended.insert("n", data::Value::Number(rng.below(20_000) as i64 - 5_000));
            }
            if rng.chance(300) {
                amended.insert("model", data::Value::Text(format!("m{}", rng.below(3))));
            }
            let data = if rng.chance(40) { self.broken(rng) } else { self.write(&amended, rng) };
            pb::correction::What::Amend(pb::Amend { data })
        };
        Some(pb::Correction {
            id: format!("correction-{nth}"),
            tenant,
            source,
            event,
            what: Some(what),
            reason: "was wrong".to_owned(),
            actor: "somebody".to_owned(),
        })
    }

    /// Providers change what counts.
    pub(super) async fn definer(self, mut rng: Rng) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let tenants = self.shaped.tenants;
        for number in 0..tenants {
            if rng.chance(500) {
                self.add_tenant(number, &mut rng);
            }
        }
        for _ in 0..rng.below(6) {
            let of = rng.below(self.shaped.providers);
            self.definitions.change_meters(of, &mut rng, self.world.sim.now());
        }
        for _ in 0..self.shaped.changes {
            let of = rng.below(self.shaped.providers);
            if rng.chance(200) {
                let number = rng.below(tenants);
                self.add_tenant(number, &mut rng);
            } else {
                self.definitions.change_meters(of, &mut rng, self.world.sim.now());
                self.world.sim.note(|| format!("{} changes its meters", provider(of)));
            }
            self.world.sim.sleep(rng.within(1_000, 4 * SECOND)).await;
        }
        for number in 0..tenants {
            if rng.chance(800) {
                self.add_tenant(number, &mut rng);
            }
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    fn add_tenant(&self, number: u64, rng: &mut Rng) {
        let of = number % self.shaped.providers;
        self.world.sim.note(|| format!("{} is there", tenant(number)));
        self.definitions.add_tenant(number, of, rng, self.world.sim.now());
    }

    /// A record that no gateway would write, or one that was there before.
    pub(super) fn stranger(&self) {
        let sim = &self.world.sim;
        let mut rng = sim.rng(Rng::fork);
        let from = self.any_partition(&mut rng);
        let records = self.world.usage.records(from);
        let sample = (!records.is_empty()).then(|| rng.pick(&records).clone());
        let record = match (rng.below(4), sample) {
            (0, Some(sample)) => forged(&sample),
            // Sent on already, it is astray for ever; else it is received once more.
            (1 | 2, Some(sample)) => again(sample),
            _ => Bytes::from(vec![0x5a; rng.within(1, 40) as usize]),
        };
        let to = if rng.chance(500) { from } else { self.any_partition(&mut rng) };
        self.world.land(Log::Usage, to, vec![record]);
    }
}

/// The log stamps it where it lands.
fn unstamped(body: Body) -> Bytes {
    let record = pb::UsageRecord { body: Some(body), ..pb::UsageRecord::default() };
    Bytes::from(record.encode_to_vec())
}

fn again(sample: Bytes) -> Bytes {
    match pb::UsageRecord::decode(sample.clone()) {
        Ok(record) if record.mac.is_empty() => {
            Bytes::from(pb::UsageRecord { received_at: 0, ..record }.encode_to_vec())
        }
        _ => sample,
    }
}

/// As if it had been sent on, under a MAC of nobody.
fn forged(sample: &Bytes) -> Bytes {
    let Ok(mut record) = pb::UsageRecord::decode(sample.clone()) else { return sample.clone() };
    record.forwarded =
        Some(pb::Forwarded { partition: 0, offset: 0, received_at: record.received_at });
    record.mac = Bytes::from(vec![7; 32]);
    Bytes::from(record.encode_to_vec())
}
