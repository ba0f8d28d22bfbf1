//! A query over many events: thirty days by hour, with one group-by of ten values. The
//! events are folded by the view itself and written as the meters write them, without
//! gateway, log and seals, which a query does not read.

use std::path::Path as Folder;
use std::sync::Arc;
use std::time::{Duration, Instant};

use exchequer_metering::{
    Aggregation, Contribution, GROUPS_DEFAULT, GroupBy, Meter, Path, Sign, Value,
};
use exchequer_projection_usage::{
    Checkpoint, Kept, LiveUsage, Position, Query, Sealed, Step, Windows, flush, query,
};
use exchequer_readstore::ReadStore as _;
use exchequer_readstore_local::{LocalReadStore, Settings};
use exchequer_types::{PartitionId, Period, Quantity, Slug, TenantId, Timestamp};

use crate::report::{Figure, p99};
use crate::world::processor_seconds;
use crate::{Args, Failure};

const EVENTS: u64 = 100_000_000;
const PARTITIONS: u32 = 16;
const GROUPS: u64 = 10;
const SUBJECTS: u64 = 10_000;
const DAYS: u64 = 30;
const DAY_MICROS: u64 = 24 * 3_600 * 1_000_000;
const QUERIES: u64 = 200;

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::new(folder.path())?;
    let per_day = EVENTS / 100 * args.percent as u64 / DAYS / u64::from(PARTITIONS);
    let began = Instant::now();
    for day in 0..DAYS {
        for partition in 0..PARTITIONS {
            world.fill(PartitionId(partition), day, per_day).await?;
        }
    }
    let events = per_day * DAYS * u64::from(PARTITIONS);
    let filled = began.elapsed();
    // The first reads what the others find in memory.
    let cold = Instant::now();
    world.ask(events).await?;
    let cold = cold.elapsed();
    let (mut spent, processor) = (Vec::new(), processor_seconds("self"));
    for _ in 0..QUERIES {
        let began = Instant::now();
        world.ask(events).await?;
        spent.push(began.elapsed());
    }
    let processor = (processor_seconds("self") - processor) / QUERIES as f64 * 1e3;
    spent.sort_unstable();
    let half = spent[spent.len() / 2];
    let figure = |what: &str, value, goal| Figure::new("usage-query", what, value, goal);
    let ms = |it: Duration| it.as_secs_f64() * 1e3;
    Ok(vec![
        figure("events folded, millions", events as f64 / 1e6, None),
        figure("events/s folded into rows, one thread", events as f64 / filled.as_secs_f64(), None),
        figure("30 days by hour, 10 groups, first, ms", ms(cold), None),
        figure("the same again, p50, ms", ms(half), None),
        figure("the same again, p99, ms", p99(spent), Some(("<", 50.0))),
        figure("processor ms a query", processor, None),
    ])
}

struct World {
    store: LocalReadStore,
    live: LiveUsage,
    tenant: Arc<TenantId>,
    meter: Arc<Meter>,
    groups: Vec<Arc<[Arc<str>]>>,
    subjects: Vec<Arc<str>>,
    /// Of the first day.
    start: u64,
}

impl World {
    fn new(folder: &Folder) -> Result<Self, Failure> {
        let live = LiveUsage::new(PARTITIONS);
        for partition in 0..PARTITIONS {
            live.begin(PartitionId(partition), Position::default());
        }
        let group_by = GroupBy { name: Slug::parse("model")?, path: Path::parse("$.model")? };
        let meter = Meter {
            key: Slug::parse("tokens")?,
            version: 1,
            event_type: "api.request".to_owned(),
            aggregation: Aggregation::Sum,
            value: Some(Path::parse("$.tokens")?),
            group_by: vec![group_by],
            filters: Vec::new(),
            unit: "tokens".to_owned(),
            groups_max: GROUPS_DEFAULT,
        };
        let start = Timestamp::parse("2026-01-01T00:00:00Z")?.micros().unsigned_abs();
        Ok(Self {
            store: LocalReadStore::open(folder, &Settings::default())?,
            live,
            tenant: Arc::new(TenantId::parse("acme")?),
            meter: Arc::new(meter),
            groups: (0..GROUPS).map(|n| [Arc::from(format!("m-{n}"))].into()).collect(),
            subjects: (0..SUBJECTS).map(|n| Arc::from(format!("user-{n}"))).collect(),
            start,
        })
    }

    /// Folds the events of a day, and writes them.
    async fn fill(&self, partition: PartitionId, day: u64, events: u64) -> Result<(), Failure> {
        let (seq, first) = (day + 1, day * events);
        let day_start = self.start + day * DAY_MICROS;
        let segment = {
            let mut source = self.live.source(partition).ok_or("no such partition")?;
            let mut contribution = self.contribution(partition);
            for n in 0..events {
                let mixed = (first + n) * u64::from(PARTITIONS) + u64::from(partition.0);
                contribution.time = instant(day_start + n * DAY_MICROS / events);
                contribution.groups = Arc::clone(&self.groups[(mixed / 7 % GROUPS) as usize]);
                let subject = (mixed.wrapping_mul(7_919) / 13 % SUBJECTS) as usize;
                contribution.subject = Arc::clone(&self.subjects[subject]);
                contribution.place = (partition.0, first + n, 0);
                source.open().add(seq, &contribution, Windows::All);
            }
            let (from, to) = (first, first + events);
            let through = instant(day_start + DAY_MICROS);
            let times = Some((instant(day_start), through));
            source.open().seal(Sealed { seq, offset: seq, from, to, through, times });
            source.advance(Position { seal: seq, offset: to, through });
            source.freeze().ok_or("nothing to write")?
        };
        let mut checkpoint =
            Checkpoint { seal: seq, offset: first + events, ..Checkpoint::default() };
        let batch = flush(&self.store, &segment, &mut checkpoint).await?;
        self.store.write(batch).await?;
        self.live.source(partition).ok_or("no such partition")?.written(seq);
        Ok(())
    }

    /// One unit, at no time yet.
    fn contribution(&self, partition: PartitionId) -> Contribution {
        let (start, end) = (instant(self.start), instant(self.start + DAYS * DAY_MICROS));
        Contribution {
            tenant: Arc::clone(&self.tenant),
            meter: Arc::clone(&self.meter),
            time: start,
            subject: Arc::clone(&self.subjects[0]),
            groups: Arc::clone(&self.groups[0]),
            period: Some(Period { start, end }),
            value: Value::Number(Quantity::ONE),
            place: (partition.0, 0, 0),
            sign: Sign::Adds,
        }
    }

    /// The query, whose answer must have all of them.
    async fn ask(&self, events: u64) -> Result<(), Failure> {
        let question = Query {
            tenant: &self.tenant,
            meter: "tokens",
            version: None,
            from: instant(self.start),
            to: instant(self.start + DAYS * DAY_MICROS),
            step: Step::Of(Kept::Hour),
            subject: None,
            by_subject: false,
            group_by: vec!["model".to_owned()],
            filters: Vec::new(),
            top: GROUPS as usize,
            lateness: Duration::ZERO,
            seen: &[],
        };
        let answer = query(&self.store, &self.live, &question).await?;
        let figures = answer.windows.iter().flat_map(|it| &it.groups);
        let sum = figures.clone().filter_map(|it| it.figure?.to_string().parse::<u64>().ok());
        let (count, sum) = (figures.count() as u64, sum.sum::<u64>());
        if (count, sum) == (DAYS * 24 * GROUPS, events) {
            return Ok(());
        }
        Err(format!("{count} figures, together {sum} of {events}").into())
    }
}

fn instant(micros: u64) -> Timestamp {
    Timestamp::saturating_from_micros(micros.cast_signed())
}
