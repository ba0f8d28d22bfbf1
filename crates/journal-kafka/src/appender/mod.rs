//! Appends through idempotent producers. A call's records are handed over in one go,
//! so that no other of this process stands between them; after any delivery error the
//! producer is dropped, and the next append has a new one.

mod call;
mod gate;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use exchequer_journal::{Fault, FaultKind, Outgoing};
use exchequer_types::{Offset, PartitionId};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};
use rdkafka::util::IntoOpaque;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::client;
use crate::error::append_fault;
use crate::settings::Options;
use crate::topic::{Producers, Shared};
use call::{Call, Deliveries, Reserved};
use gate::{Gate, Load, Next, Pace};

/// How long the producer of rounds waits for the rest of one, where many append.
const ROUND_LINGER_MS: u32 = 1;

/// How long a lane's thread waits for deliveries before it looks whether it should end. The
/// client waits for whole milliseconds and spins through the rest, so there is little of one:
/// a thread that is woken after those has none left.
const POLL: Duration = Duration::from_micros(100_050);

/// How long a producer may take to give back what it was handed, when it is dropped.
const PURGE_WAIT_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Appender<R: Sent> {
    core: Arc<Core<R>>,
}

/// What calls under way know of it.
struct Core<R: Sent> {
    shared: Arc<Shared>,
    producers: Producers,
    /// One for each partition, or one for all.
    lanes: Vec<Mutex<Lane<R>>>,
    /// Bytes handed over and not yet acknowledged.
    waiting: Arc<AtomicUsize>,
    /// Where pauses between rounds are waited for.
    runtime: OnceLock<Handle>,
}

/// Producers, and what they are to be handed.
struct Lane<R: Sent> {
    alone: Option<Client<R>>,
    together: Option<Client<R>>,
    /// By partition; one where the lane is a partition's own.
    gates: Vec<Gate<Waiting<R>>>,
}

/// A call, and what it appends.
struct Waiting<R: Sent> {
    call: Arc<Call<R>>,
    records: Vec<R>,
}

impl<R: Sent> Load for Waiting<R> {
    fn records(&self) -> usize {
        self.records.len()
    }

    fn bytes(&self) -> usize {
        self.records.iter().map(Sent::bytes).sum()
    }
}

/// What is put into a record on its way to a broker.
pub(crate) trait Sent: Send + Sync + Sized + 'static {
    fn bytes(&self) -> usize;
    fn put<'a, O: IntoOpaque>(&'a self, record: ToBroker<'a, O>) -> ToBroker<'a, O>;
}

type ToBroker<'a, O> = BaseRecord<'a, [u8], [u8], O>;

impl Sent for Bytes {
    fn bytes(&self) -> usize {
        self.len()
    }

    fn put<'a, O: IntoOpaque>(&'a self, record: ToBroker<'a, O>) -> ToBroker<'a, O> {
        record.payload(self)
    }
}

impl Sent for Outgoing {
    fn bytes(&self) -> usize {
        Self::bytes(self)
    }

    fn put<'a, O: IntoOpaque>(&'a self, record: ToBroker<'a, O>) -> ToBroker<'a, O> {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            headers = headers.insert(Header { key, value: Some(&value[..]) });
        }
        let record = record.payload(&self.value).headers(headers);
        if self.key.is_empty() { record } else { record.key(&self.key) }
    }
}

/// A producer, and the thread that takes its deliveries.
struct Client<R: Sent> {
    producer: Arc<BaseProducer<Deliveries<R>>>,
    is_broken: Arc<AtomicBool>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<R: Sent> Client<R> {
    fn start(producer: BaseProducer<Deliveries<R>>) -> std::io::Result<Self> {
        let (producer, ending) = (Arc::new(producer), Arc::<AtomicBool>::default());
        let deliver = {
            let (producer, ending) = (Arc::clone(&producer), Arc::clone(&ending));
            move || {
                while !ending.load(Ordering::Relaxed) {
                    producer.poll(POLL);
                }
                producer.purge(PurgeConfig::default().queue().inflight());
                if let Err(error) = producer.flush(PURGE_WAIT_MAX) {
                    tracing::warn!(%error, "a producer that was dropped tells nothing of its records");
                }
            }
        };
        let thread = thread::Builder::new().name("kafka-deliveries".to_owned());
        let thread = Some(thread.spawn(deliver)?);
        Ok(Self { producer, is_broken: Arc::default(), ending, thread })
    }

    fn send(&self, shared: &Shared, call: &Arc<Call<R>>, records: &[R]) {
        for (at, record) in records.iter().enumerate() {
            let of_call = BaseRecord::with_opaque_to(&shared.name, Arc::clone(call));
            let of_call = of_call.partition(call.partition.0 as i32);
            if let Err((error, _)) = self.producer.send(record.put(of_call)) {
                if is_fatal(&error) {
                    self.is_broken.store(true, Ordering::Release);
                }
                // Those before it may land; the others were never handed over.
                call.give_up(records.len() - at, append_fault(&error));
                return;
            }
        }
    }

    fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Sends nothing more. Its thread tells of what it had, and ends by itself.
    fn retire(mut self) {
        self.producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
        self.thread = None;
    }
}

/// No append is taken by the client any more.
fn is_fatal(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}

/// Its thread ends soon after; whoever waits for one of its appends is told by then.
impl<R: Sent> Drop for Client<R> {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take()
            // A call that is told last drops all that is left.
            && thread.thread().id() != thread::current().id()
        {
            // A panic of the thread has been reported as such.
            let _ = thread.join();
        }
    }
}

/// All lanes' threads end at the same time, and not one after the other.
impl<R: Sent> Drop for Core<R> {
    fn drop(&mut self) {
        for lane in &self.lanes {
            let lane = lock(lane);
            for client in [&lane.alone, &lane.together].into_iter().flatten() {
                client.end();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Sent> Appender<R> {
    pub(crate) fn new(shared: Arc<Shared>, producers: Producers) -> Self {
        let partitions = shared.partitions.len();
        let (lanes, gates) = match producers {
            Producers::EachPartition => (partitions, 1),
            Producers::Shared => (1, partitions),
        };
        let plain_bytes_max = shared.settings.options.plain_bytes_max;
        let lane = |_| {
            let gates = (0..gates).map(|_| Gate::new(plain_bytes_max)).collect();
            Mutex::new(Lane { alone: None, together: None, gates })
        };
        let lanes = (0..lanes).map(lane).collect();
        let (waiting, runtime) = Default::default();
        Self { core: Arc::new(Core { shared, producers, lanes, waiting, runtime }) }
    }

    /// Resolves when all brokers in sync have the records: the offset of the first, if
    /// the brokers told and no other's records stand between them.
    pub(crate) async fn append(
        &self,
        partition: PartitionId,
        records: Vec<R>,
    ) -> Result<Option<Offset>, Fault> {
        let (reply, answer) = oneshot::channel();
        self.core.runtime.get_or_init(Handle::current);
        self.hand_over(partition, records, reply)?;
        let wait = self.core.shared.settings.answer_wait();
        match tokio::time::timeout(wait, answer).await {
            Ok(Ok(answer)) => answer,
            // The producer is gone, and with it whoever would have answered.
            Ok(Err(_)) | Err(_) => {
                Err(Fault::new(FaultKind::Unavailable, "the append was given up"))
            }
        }
    }

    fn hand_over(
        &self,
        partition: PartitionId,
        records: Vec<R>,
        reply: oneshot::Sender<Result<Option<Offset>, Fault>>,
    ) -> Result<(), Fault> {
        let core = &self.core;
        let bytes = records.iter().map(Sent::bytes).sum();
        let bytes_max = core.shared.settings.options.queue_bytes_max;
        let reserved = Reserved::take(&core.waiting, bytes, bytes_max)?;
        let call = Call::new((core, partition), records.len(), reply, reserved);
        let (lane, gate) = core.place(partition);
        let mut lane = lock(lane);
        lane.retire_broken();
        lane.gates[gate].push(Waiting { call: Arc::new(call), records });
        core.pass(&mut lane, partition);
        Ok(())
    }

    /// Makes the producers that the next appends take: until brokers have told a new one who
    /// it is, half a second goes by. What fails is told by the append.
    pub(crate) fn prepare(&self, partition: PartitionId) {
        let (lane, _) = self.core.place(partition);
        let mut lane = lock(lane);
        lane.retire_broken();
        self.core.make_both(&mut lane);
    }
}

impl<R: Sent> core::fmt::Debug for Appender<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Appender").field("lanes", &self.core.lanes.len()).finish_non_exhaustive()
    }
}

impl<R: Sent> Core<R> {
    /// A partition's lane, and its gate there.
    fn place(&self, partition: PartitionId) -> (&Mutex<Lane<R>>, usize) {
        match self.producers {
            Producers::EachPartition => (&self.lanes[partition.index()], 0),
            Producers::Shared => (&self.lanes[0], partition.index()),
        }
    }

    fn make_both(&self, lane: &mut Lane<R>) {
        for each in [Pace::Alone, Pace::Together] {
            if lane.client(each).is_none() {
                // Where it is wanted it is tried again, and what fails is told.
                *lane.client(each) = self.launch(each).ok();
            }
        }
    }

    /// Makes a producer where there is none; in a lane that many share, both.
    fn ready<'a>(&self, lane: &'a mut Lane<R>, pace: Pace) -> Result<&'a Client<R>, Fault> {
        if self.producers == Producers::Shared {
            self.make_both(lane);
        }
        match lane.client(pace) {
            Some(client) => Ok(client),
            none => Ok(none.insert(self.launch(pace)?)),
        }
    }

    fn launch(&self, pace: Pace) -> Result<Client<R>, Fault> {
        let Options { linger_ms, compression, .. } = self.shared.settings.options;
        let (compression, linger_ms) = match (pace, self.producers) {
            (Pace::Alone, _) => (None, linger_ms),
            (Pace::Together, Producers::EachPartition) => (Some(compression), linger_ms),
            (Pace::Together, Producers::Shared) => {
                (Some(compression), linger_ms.max(ROUND_LINGER_MS))
            }
        };
        let deliveries = Deliveries { reporter: self.shared.reporter.clone(), of: PhantomData };
        let mut config = self.shared.settings.producer(compression);
        config.set("linger.ms", linger_ms.to_string());
        let producer = client::make(&config, deliveries);
        let producer = producer.map_err(|error| append_fault(&error))?;
        Client::start(producer).map_err(|error| {
            let message = format!("a thread for deliveries cannot be started: {error}");
            Fault::new(FaultKind::Unavailable, message)
        })
    }

    /// The way is free: what is gathered goes.
    fn go_on(self: &Arc<Self>, partition: PartitionId) {
        let (lane, _) = self.place(partition);
        self.pass(&mut lock(lane), partition);
    }

    /// Hands producers what may go.
    fn pass(self: &Arc<Self>, lane: &mut Lane<R>, partition: PartitionId) {
        let (_, gate) = self.place(partition);
        loop {
            lane.retire_broken();
            match lane.gates[gate].next() {
                Next::Nothing => return,
                Next::After(pause) => return self.go_on_after(pause, lane, partition),
                Next::Load(waiting, pace) => self.send(lane, gate, (waiting, pace)),
            }
        }
    }

    fn send(&self, lane: &mut Lane<R>, gate: usize, (waiting, pace): (Waiting<R>, Pace)) {
        let Waiting { call, records } = waiting;
        let on_their_way = Arc::clone(lane.gates[gate].on_their_way());
        if call.is_abandoned() {
            call.goes(on_their_way, Arc::default());
            return call.give_up(records.len(), before_it());
        }
        match self.ready(lane, pace) {
            Ok(client) => {
                call.goes(on_their_way, Arc::clone(&client.is_broken));
                client.send(&self.shared, &call, &records);
            }
            Err(fault) => {
                call.goes(on_their_way, Arc::default());
                call.give_up(records.len(), fault);
            }
        }
    }

    fn go_on_after(self: &Arc<Self>, pause: Duration, lane: &mut Lane<R>, partition: PartitionId) {
        let (_, gate) = self.place(partition);
        let Some(runtime) = self.runtime.get() else { return };
        if !lane.gates[gate].begins_pause() {
            return;
        }
        let core = Arc::downgrade(self);
        runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            let Some(core) = core.upgrade() else { return };
            let (lane, gate) = core.place(partition);
            let mut lane = lock(lane);
            lane.gates[gate].ends_pause();
            core.pass(&mut lane, partition);
        });
    }

    /// A producer of the partition's lane has failed.
    fn broke(&self, partition: PartitionId) {
        let (lane, _) = self.place(partition);
        lock(lane).retire_broken();
    }
}

impl<R: Sent> Lane<R> {
    fn client(&mut self, pace: Pace) -> &mut Option<Client<R>> {
        match pace {
            Pace::Alone => &mut self.alone,
            Pace::Together => &mut self.together,
        }
    }

    /// Lets go of producers that have failed, with what they were handed. Nobody waits longer
    /// for what was to follow it than for a record that was sent.
    fn retire_broken(&mut self) {
        for pace in [Pace::Alone, Pace::Together] {
            let Some(broken) = self.client(pace).take_if(|it| it.is_broken()) else { continue };
            broken.retire();
            let gates = self.gates.iter_mut().filter(|gate| gate.pace() == pace);
            for Waiting { call, records } in gates.flat_map(Gate::start_over) {
                call.give_up(records.len(), before_it());
            }
        }
    }
}

/// For a call that was never handed over.
fn before_it() -> Fault {
    let message = "what was appended before it has failed; try again soon";
    Fault::new(FaultKind::Overloaded, message)
}
