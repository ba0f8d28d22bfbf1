//! A meter that only counts: it seals, writes, loses its memory and begins anew, as the
//! meters of the engine do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use exchequer_metering::{
    Aggregation, Bucket, Contribution, GroupBy, Meter, OVERFLOW, Path, Sign, Value,
};
use exchequer_readstore::{Batch, MemoryStore, ReadStore as _};
use exchequer_types::{PartitionId, Period, Quantity, Slug, TenantId, Timestamp};

use crate::{
    Checkpoint, FlushError, Kept, LiveUsage, Position, Sealed, Windows, checkpoint, flush,
    members_first,
};

pub(super) const SOURCES: u32 = 2;

pub(super) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub(super) fn meter(aggregation: Aggregation, by: &[&str], groups_max: u32) -> Arc<Meter> {
    let group = |name: &&str| GroupBy {
        name: Slug::parse(*name).unwrap(),
        path: Path::parse(&format!("$.{name}")).unwrap(),
    };
    Arc::new(Meter {
        key: Slug::parse("calls").unwrap(),
        version: 1,
        event_type: "call".to_owned(),
        aggregation,
        value: aggregation.is_numeric().then(|| Path::parse("$.v").unwrap()),
        group_by: by.iter().map(group).collect(),
        filters: Vec::new(),
        unit: "1".to_owned(),
        groups_max,
    })
}

/// Key of a meter whose figures nobody asks for: it counts the same events beside another one,
/// half of them in billing periods alone.
const BESIDE: &str = "beside";

/// Versions of it, one with few groups.
pub(super) fn beside(by: &[&str]) -> [Arc<Meter>; 2] {
    [(1, 100), (2, 2)].map(|(version, groups_max)| {
        let of = meter(Aggregation::Sum, by, groups_max).as_ref().clone();
        Arc::new(Meter { key: Slug::parse(BESIDE).unwrap(), version, ..of })
    })
}

/// An event: partition and offset are given when it is sealed.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) source: u32,
    pub(super) time: Timestamp,
    pub(super) subject: &'static str,
    pub(super) group: String,
    pub(super) value: i64,
    pub(super) back: bool,
}

/// Its billing period begins on the 15th, within a minute.
pub(super) fn period(time: Timestamp) -> Period {
    let middle = at("2026-01-15T10:30:30Z");
    let (start, end) = if time < middle {
        (at("2025-12-15T10:30:30Z"), middle)
    } else {
        (middle, at("2026-02-15T10:30:30Z"))
    };
    Period { start, end }
}

pub(super) fn contribution(meter: &Arc<Meter>, given: &Given, offset: u64) -> Contribution {
    let value = match meter.aggregation {
        Aggregation::UniqueCount => {
            Value::Member(u128::from(given.value.unsigned_abs()).to_be_bytes())
        }
        _ => Value::Number(Quantity::from_units(i128::from(given.value) * 250_000_000_000)),
    };
    let groups = meter.group_by.iter().map(|_| Arc::from(given.group.as_str())).collect();
    Contribution {
        tenant: Arc::new(tenant()),
        meter: Arc::clone(meter),
        time: given.time,
        subject: Arc::from(given.subject),
        groups,
        period: Some(period(given.time)),
        value,
        place: (given.source, offset, 0),
        sign: if given.back { Sign::TakesBack } else { Sign::Adds },
    }
}

/// Store, memory, and the log of what was sealed.
pub(super) struct Platform {
    pub(super) store: MemoryStore,
    pub(super) live: LiveUsage,
    /// By source: the contributions of each seal, from seq 1.
    pub(super) seals: Vec<Vec<Vec<Contribution>>>,
}

impl Platform {
    pub(super) async fn new(atomic: bool) -> Self {
        let it = Self {
            store: MemoryStore::new(atomic),
            live: LiveUsage::new(SOURCES),
            seals: vec![Vec::new(); SOURCES as usize],
        };
        for source in 0..SOURCES {
            it.restart(source).await;
        }
        it
    }

    pub(super) fn seal(&mut self, source: u32, contributions: Vec<Contribution>) {
        self.seals[source as usize].push(contributions);
        let seq = self.seals[source as usize].len() as u64;
        self.count(source, seq);
    }

    /// Adds what seal `seq` counts to memory.
    fn count(&self, source: u32, seq: u64) {
        let mut of = self.live.source(PartitionId(source)).unwrap();
        let contributions = &self.seals[source as usize][seq as usize - 1];
        for contribution in contributions {
            let is_beside = contribution.meter.key.as_str() == BESIDE;
            let into = if is_beside && contribution.time.micros() % 2 == 0 {
                Windows::Period
            } else {
                Windows::All
            };
            of.open().add(seq, contribution, into);
        }
        let through = Timestamp::saturating_from_micros(seq as i64);
        let sealed = Sealed { seq, offset: seq, from: seq, to: seq + 1, through, times: None };
        of.open().seal(sealed);
        of.advance(Position { seal: seq, offset: seq + 1, through });
    }

    /// Memory is lost: from the checkpoint, and the seals above it again, up to `to`.
    pub(super) async fn restart(&self, source: u32) {
        self.refold(source, self.seals[source as usize].len() as u64).await;
        self.live.source(PartitionId(source)).unwrap().settle();
    }

    pub(super) async fn refold(&self, source: u32, to: u64) {
        let found = checkpoint(&self.store, PartitionId(source)).await.unwrap().unwrap_or_default();
        let written = Position { seal: found.seal, offset: found.offset, through: found.through };
        self.live.begin(PartitionId(source), written);
        for seq in found.seal + 1..=to {
            self.count(source, seq);
        }
    }

    /// Memory is lost, and what is written next ends at an earlier seal than the last.
    pub(super) async fn write_lower(&self, source: u32, part: u64) {
        let found = checkpoint(&self.store, PartitionId(source)).await.unwrap().unwrap_or_default();
        let all = self.seals[source as usize].len() as u64;
        self.refold(source, found.seal + (all - found.seal) * part / 100).await;
        self.write(source, None).await;
        self.restart(source).await;
    }

    /// Writes what is sealed. With `keep`, only these rows are written, and memory is lost.
    pub(super) async fn write(&self, source: u32, keep: Option<&dyn Fn(usize) -> bool>) {
        loop {
            let frozen = self.live.source(PartitionId(source)).unwrap().freeze();
            let Some(segment) = frozen else { return };
            let mut checkpoint = Checkpoint {
                seal: segment.to(),
                offset: segment.to() + 1,
                ..Checkpoint::default()
            };
            let flushed = flush(&self.store, &segment, &mut checkpoint).await;
            let batch = match flushed {
                Ok(batch) => batch,
                Err(FlushError::Split { at }) => {
                    self.refold(source, at).await;
                    Box::pin(self.write(source, None)).await;
                    self.restart(source).await;
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            if let Some(keep) = keep {
                self.write_in_part(batch, keep).await;
                return self.restart(source).await;
            }
            self.store.write(batch).await.unwrap();
            self.live.source(PartitionId(source)).unwrap().written(segment.to());
        }
    }

    /// Of rows that are written together, those that `keep` wants by their number.
    async fn write_in_part(&self, batch: Batch, keep: &dyn Fn(usize) -> bool) {
        let mut at = 0..;
        for Batch { mut rows, .. } in members_first(batch) {
            let count = rows.len();
            rows.retain(|_| at.next().is_some_and(keep));
            let is_whole = rows.len() == count;
            self.store.write(Batch { rows, last: Vec::new() }).await.unwrap();
            if !is_whole {
                return;
            }
        }
    }

    /// What it would write of all that is sealed is written in part, once another meter has
    /// written up to an earlier seal and the rest in part.
    pub(super) async fn overtaken(&self, source: u32, part: u64, keep: &dyn Fn(usize) -> bool) {
        let frozen = self.live.source(PartitionId(source)).unwrap().freeze();
        let Some(segment) = frozen else { return };
        let flushed = flush(&self.store, &segment, &mut Checkpoint::default()).await;
        self.write_lower(source, part).await;
        self.write(source, Some(&|at| !keep(at + 1))).await;
        match flushed {
            Ok(batch) => self.write_in_part(batch, keep).await,
            Err(FlushError::Split { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        self.restart(source).await;
    }

    /// Begins to write what is sealed: of the rows, those that `keep` wants by their number.
    pub(super) async fn begin_writing(&self, source: u32, keep: &dyn Fn(usize) -> bool) {
        let segment = self.live.source(PartitionId(source)).unwrap().freeze().unwrap();
        let batch = flush(&self.store, &segment, &mut Checkpoint::default()).await.unwrap();
        let rows = batch.rows.into_iter().enumerate();
        let rows = rows.filter_map(|(at, row)| keep(at).then_some(row)).collect();
        self.store.write(Batch { rows, last: Vec::new() }).await.unwrap();
    }

    /// Figures by window and group from zero, with the meter's limit on groups kept in
    /// each window and source.
    pub(super) fn sums(&self, kept: Kept, by_subject: bool) -> BTreeMap<(Period, String), Bucket> {
        let mut all: BTreeMap<(Period, String), Net> = BTreeMap::new();
        for seals in &self.seals {
            let mut names: BTreeMap<Period, BTreeSet<String>> = BTreeMap::new();
            for it in seals.iter().flatten().filter(|it| it.meter.key.as_str() != BESIDE) {
                let window = match kept {
                    Kept::Period => it.period.unwrap(),
                    kept => kept.window(it.time).unwrap(),
                };
                let groups = it.groups.iter().map(ToString::to_string).collect::<Vec<_>>();
                let mut name = if by_subject { it.subject.to_string() } else { groups.join(",") };
                if by_subject && name.is_empty() {
                    continue;
                }
                let names = names.entry(window).or_default();
                if !by_subject && !names.contains(&name) {
                    if names.len() >= it.meter.groups_max as usize {
                        name = it.groups.iter().map(|_| OVERFLOW).collect::<Vec<_>>().join(",");
                    } else {
                        names.insert(name.clone());
                    }
                }
                let empty = || Net::new(it.meter.aggregation);
                all.entry((window, name)).or_insert_with(empty).add(it);
            }
        }
        all.into_iter().map(|(key, net)| (key, net.bucket())).collect()
    }
}

/// Buckets have no negative counts: what is taken back is kept apart.
struct Net {
    plus: Bucket,
    minus: Bucket,
}

impl Net {
    fn new(aggregation: Aggregation) -> Self {
        Self { plus: Bucket::empty(aggregation), minus: Bucket::empty(aggregation) }
    }

    fn add(&mut self, it: &Contribution) {
        let side = if it.sign == Sign::Adds { &mut self.plus } else { &mut self.minus };
        side.add(it.bucket().unwrap()).unwrap();
    }

    fn bucket(self) -> Bucket {
        let minus = |a: Quantity, b: Quantity| a.checked_sub(b).unwrap();
        match (self.plus, self.minus) {
            (Bucket::Count(a), Bucket::Count(b)) => Bucket::Count(a.saturating_sub(b)),
            (Bucket::Sum(a), Bucket::Sum(b)) => Bucket::Sum(minus(a, b)),
            (Bucket::Average { sum: a, count: n }, Bucket::Average { sum: b, count: m }) => {
                Bucket::Average { sum: minus(a, b), count: n.saturating_sub(m) }
            }
            (plus, _) => plus,
        }
    }
}
