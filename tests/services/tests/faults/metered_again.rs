//! Usage as a meter counts it anew from nothing: the topics copied into memory, every seal
//! made again from the records that it covers, and what the deployment's store tells of each
//! tenant compared with what comes out.

use std::collections::BTreeSet;
use std::sync::Arc;

use exchequer_codec::usage::decode_record;
use exchequer_e2e::{Res, ensure, wait};
use exchequer_engine::meter::MeterState;
use exchequer_engine::{LiveKind, Parts, Platform, Ports, Roles, Settings, UsagePorts, live_of};
use exchequer_journal::{Journal, MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_journal_kafka::KafkaJournal;
use exchequer_kernel::SealKey;
use exchequer_metering::{CorrectionRecord, EventRecord, RecordBody};
use exchequer_projection_meters::{LiveMeters, LiveTerms};
use exchequer_projection_usage::GENERATION;
use exchequer_readstore::{Batch, MemoryStore, ReadStore as _, Row, Table, Write};
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_types::{PartitionId, Timestamp};

use crate::told::{FIGURES, ROWS, Told};
use crate::views::{open, views};
use crate::world::{PARTITIONS, World, told};

const READ_BYTES_MAX: usize = 4 << 20;

/// What is in the log of usage.
#[derive(Debug, Default)]
struct Found {
    tenants: BTreeSet<String>,
    /// When the first and the last record were received.
    times: Option<(Timestamp, Timestamp)>,
}

impl Found {
    fn add(&mut self, bytes: &[u8]) {
        let record = decode_record(bytes, None);
        if let RecordBody::Event(EventRecord { tenant, .. })
        | RecordBody::Correction(CorrectionRecord { tenant, .. }) = record.body
        {
            self.tenants.insert(tenant.to_owned());
            let at = record.received_at;
            let (first, last) = self.times.unwrap_or((at, at));
            self.times = Some((first.min(at), last.max(at)));
        }
    }
}

/// A meter of the copies, which has counted all of them.
pub(crate) struct MeteredAgain {
    store: Arc<MemoryStore>,
    runtime: TokioRuntime,
    found: Found,
}

impl MeteredAgain {
    /// Counts what is in the topics now. That a seal says otherwise than its records is an
    /// error.
    pub(crate) async fn start(world: &World, usage: &KafkaJournal) -> Res<Self> {
        let journal = copy(&world.log("journal")?, &mut |_| ()).await?;
        let of_seals = world.log("usage-seals")?;
        let (found, seals, log) = loop {
            let mut found = Found::default();
            let log = copy(usage, &mut |record| found.add(record)).await?;
            let seals = copy(&of_seals, &mut |_| ()).await?;
            // What came between would be sealed and not be there.
            if ends(usage).await? == ends(&log).await? {
                break (found, seals, Arc::new(log));
            }
        };
        let runtime = TokioRuntime::default();
        let clock = runtime.clone();
        let now = Arc::new(move || clock.now());
        let inputs = MemoryInput::new(PARTITIONS, [9; 16], MemoryInputLimits::default(), now);
        let store = Arc::new(MemoryStore::new(true));
        let key = std::fs::read(world.folder.path().join("keys/deployment.key"))?;
        let key: [u8; 32] = key.try_into().map_err(|_| "no key of a deployment")?;
        let ports = Ports {
            journal: Arc::new(journal),
            inputs: Arc::new(inputs),
            store: Arc::<MemoryStore>::clone(&store),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&key),
            settings: Arc::new(Settings::default()),
            usage: Some(UsagePorts {
                log: Arc::<MemoryJournal>::clone(&log),
                seals: Arc::new(seals),
            }),
        };
        let lives: Vec<Arc<dyn LiveKind>> = vec![live_of(LiveMeters), live_of(LiveTerms)];
        let roles = Roles { decides: false, bootstraps: false, meters: true };
        let given = Parts { views: views(), lives, ..Parts::default() };
        let platform = Platform::start_as(roles, ports, given).await?;
        let it = Self { store, runtime, found };
        match count(&platform, &log).await {
            Ok(()) => Ok(it),
            Err(error) => {
                it.end().await;
                Err(error)
            }
        }
    }

    /// What the deployment's store tells otherwise, once it has come to rest.
    pub(crate) async fn compare(&self, world: &World) -> Res<Vec<String>> {
        let store = open(&world.rows()).await?;
        let mut last = Vec::new();
        let is_same = wait::until_async("use as it is counted from zero", async || {
            last = self.differs(&Told::Deployment(&store)).await?;
            Ok(last.is_empty().then_some(()))
        });
        match is_same.await {
            Err(error) if last.is_empty() => Err(error),
            _ => Ok(last),
        }
    }

    async fn differs(&self, there: &Told<'_>) -> Res<Vec<String>> {
        let times = self.found.times.ok_or("no events")?;
        Told::Memory(&self.store).compare(there, self.found.tenants.iter(), times).await
    }

    /// Breaks the check: what it says of rows like its own without the first such one.
    pub(crate) async fn without_a_row(
        &self,
        of: &'static Table,
        is_such: fn(&Row) -> bool,
    ) -> Res<Vec<String>> {
        let other = MemoryStore::new(true);
        for table in FIGURES.iter().chain(ROWS) {
            let mut rows = self.store.snapshot(table, GENERATION);
            if table.name == of.name {
                let at = rows.iter().position(is_such).ok_or("there is no such row")?;
                rows.remove(at);
            }
            let write = |it: Row| Write {
                table,
                generation: GENERATION,
                key: it.key,
                values: Some(it.values),
                timestamp: it.timestamp,
            };
            let rows = rows.into_iter().map(write).collect();
            other.write(Batch { rows, last: Vec::new() }).await?;
        }
        self.differs(&Told::Memory(&other)).await
    }

    /// The meter stops.
    pub(crate) async fn end(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
    }
}

/// Until everything in the log is in the rows, for as long as it goes on.
async fn count(platform: &Platform, log: &MemoryJournal) -> Res<()> {
    let meters = platform.meters.clone().ok_or("nothing is metered")?;
    let ends = ends(log).await?;
    let mut counted = None;
    loop {
        let states = wait::until_async("usage to be counted anew", async || {
            let states = meters.states();
            for state in &states {
                if let Some(fault) = state.fault.clone().filter(|it| !it.is_retryable()) {
                    return Err(fault.into());
                }
            }
            let now: u64 = states.iter().map(|it| it.next + it.seq).sum();
            let is_done = |(state, end): (&MeterState, &u64)| state.leading && state.next >= *end;
            let all = states.iter().zip(&ends).all(is_done) && meters.live.bytes() == 0;
            Ok((all || Some(now) != counted).then_some((all, now)))
        });
        match states.await? {
            (true, _) => return Ok(()),
            (false, now) => counted = Some(now),
        }
    }
}

async fn ends(log: &dyn Journal) -> Res<Vec<u64>> {
    let mut ends = Vec::new();
    for partition in (0..PARTITIONS).map(PartitionId) {
        ends.push(told(async || log.end(partition).await).await?);
    }
    Ok(ends)
}

/// A log as it is now, in memory; `each` is shown every record.
async fn copy(log: &KafkaJournal, each: &mut dyn FnMut(&[u8])) -> Res<MemoryJournal> {
    let copy = MemoryJournal::new(PARTITIONS);
    for partition in (0..PARTITIONS).map(PartitionId) {
        let end = told(async || log.end(partition).await).await?;
        let mut next = 0;
        while next < end {
            let read = told(async || log.read(partition, next, READ_BYTES_MAX).await).await?;
            for record in read.into_iter().filter(|it| it.offset < end) {
                each(&record.bytes);
                next = copy.push(partition, record.bytes) + 1;
                ensure(next == record.offset + 1, || {
                    format!("record {} of {partition} stands behind a gap", record.offset)
                })?;
            }
        }
    }
    Ok(copy)
}
