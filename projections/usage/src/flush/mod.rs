//! Writes a segment. What a tenant adds goes to its delta, or with that to the rows of
//! windows; each row is given the position of the segment's last seal. A row that is there
//! already is passed over, so that a segment which was written in part can be written again.

mod notes;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_readstore::{Batch, Fault, Key, ReadStore, Table, Value, Write};
use exchequer_types::Timestamp;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use crate::checkpoint::{Checkpoint, Span};
use crate::delta::{self, Delta};
use crate::notes::Counts;
use crate::part::{Part, Series};
use crate::query::QueryError;
use crate::tables::{GENERATION, USAGE_DELTAS, timestamp};

/// Subjects of one bucket that a window tells apart: further ones are counted together.
pub const SUBJECTS_PER_BUCKET_MAX: usize = 65_536;
/// Tenants whose deltas are read at a time, and rows of hours.
const TENANTS_AT_ONCE_MAX: usize = 32;
/// Size of the parts that are put together of deltas and the segment, from which on they are
/// added to rows and dropped.
const MERGED_SIZE_MAX: usize = 1 << 20;
/// Groups of which rows of windows are read and added to at a time.
const GROUPS_AT_ONCE_MAX: usize = 4;

/// A segment cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error(transparent)]
    Store(#[from] Fault),
    #[error("table {0}: a packed row is damaged: delete the views, they are rebuilt")]
    Damaged(&'static str),
    /// Rows tell of seals within the segment, because one that ended there was written in
    /// part. Drop the segment, fold from the checkpoint to seal `at`, freeze and write
    /// there, then go on.
    #[error("some rows are at seal {at}, within the segment")]
    Split { at: u64 },
}

/// Who writes a segment, and what of it to rows of windows whatever its size.
#[derive(Debug, Default)]
pub struct How<'a> {
    /// Tenants whose rows are about to be changed in another way.
    pub whole: BTreeSet<&'a str>,
    /// The writer has folded all accepted seals: nobody else's rows are further than the next
    /// segment that it ends.
    pub is_settled: bool,
}

/// What writing a segment takes.
#[derive(Debug)]
pub struct Flushed {
    pub rows: Vec<Write>,
    /// Deltas that `rows` hold from now on: written when those are, and before the checkpoint.
    pub emptied: Vec<Write>,
    pub checkpoint: Write,
}

impl Flushed {
    /// In the order in which they are written, each when the one before it is.
    pub fn batches(self, store: &dyn ReadStore) -> Vec<Batch> {
        let Self { mut rows, mut emptied, checkpoint } = self;
        if store.is_atomic() {
            rows.append(&mut emptied);
        }
        let last = vec![checkpoint];
        if emptied.is_empty() {
            return vec![Batch { rows, last }];
        }
        vec![Batch { rows, last: emptied }, Batch { rows: Vec::new(), last }]
    }
}

/// What writing `segment` takes: its rows, and the checkpoint behind them, which is told of
/// which times there are rows then. The segments of a partition are written in their order.
pub async fn flush(
    store: &dyn ReadStore,
    segment: &Part,
    checkpoint: &mut Checkpoint,
    how: &How<'_>,
) -> Result<Flushed, FlushError> {
    let before = crate::checkpoint(store, segment.source()).await?.unwrap_or_default();
    checkpoint.span = before.span.and(Span::of(segment));
    let tenants: Vec<_> =
        tenants(segment, &how.whole).into_iter().map(|it| it.decide(store, segment)).collect();
    let mut tenants = stream::iter(tenants).buffered(at_once(store, TENANTS_AT_ONCE_MAX));
    let (mut out, mut own, mut merged) = (Out::default(), Vec::new(), Vec::new());
    let mut merged_size = 0;
    let emptied = |tenant| of_contents(tenant, segment, delta::emptied(!how.is_settled));
    while let Some(decided) = tenants.try_next().await? {
        match decided {
            Decided::Written(it) => out.take(it),
            Decided::Rows(tenant) => {
                // One that comes late finds this.
                out.emptied.push(emptied(tenant.tenant));
                own.push(tenant);
            }
            Decided::Merged(tenant, part) => {
                out.emptied.push(emptied(tenant));
                merged_size += delta::size(&part);
                merged.push(part);
            }
        }
        if merged_size > MERGED_SIZE_MAX {
            merged_size = 0;
            out.take(merge(store, &core::mem::take(&mut merged)).await?);
        }
    }
    drop(tenants);
    out.take(merge(store, &merged).await?);
    let series = own.iter().flat_map(|it| it.series.iter().copied());
    out.take(all(store, rows::steps(store, segment, series), GROUPS_AT_ONCE_MAX).await?);
    let hours = own.iter().flat_map(|it| &it.hours);
    let hours = hours.map(|it| notes::hour(store, segment, it));
    out.take(all(store, hours.collect(), TENANTS_AT_ONCE_MAX).await?);
    notes::lists(segment, &mut out.rows);
    if let Some(at) = out.split {
        return Err(FlushError::Split { at });
    }
    Ok(Flushed { rows: out.rows, emptied: out.emptied, checkpoint: checkpoint.put(segment) })
}

/// Adds parts that were put together of deltas to rows.
async fn merge(store: &dyn ReadStore, parts: &[Box<Part>]) -> Result<Out, FlushError> {
    let series = parts.iter().flat_map(|part| rows::steps(store, part, part.series().iter()));
    let mut out = all(store, series.collect(), GROUPS_AT_ONCE_MAX).await?;
    let hours = parts.iter().flat_map(|part| hours_of(part).map(move |it| (part, it)));
    let hours = hours.map(|(part, it)| notes::hour(store, part, &it));
    out.take(all(store, hours.collect(), TENANTS_AT_ONCE_MAX).await?);
    Ok(out)
}

pub(crate) fn put(table: &'static Table, key: Key, values: Vec<Value>, seq: u64) -> Write {
    Write { table, generation: GENERATION, key, values: Some(values), timestamp: timestamp(seq) }
}

/// What a part of the work comes to.
#[derive(Debug, Default)]
struct Out {
    rows: Vec<Write>,
    emptied: Vec<Write>,
    /// The earliest seal within the segment that rows are at.
    split: Option<u64>,
}

impl Out {
    fn take(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.emptied.extend(other.emptied);
        if let Some(at) = other.split {
            self.splits_at(at);
        }
    }

    /// Does a row at `stamp` hold all of `part`?
    fn is_ahead(&mut self, part: &Part, stamp: u64) -> bool {
        if mutation::active(Mutation::AdditivePosition) {
            return false;
        }
        let at = stamp >> 16;
        if at > part.from() && at < part.to() {
            self.splits_at(at);
        }
        at >= part.to()
    }

    fn splits_at(&mut self, at: u64) {
        self.split = Some(self.split.map_or(at, |known| known.min(at)));
    }
}

/// How many steps wait for the store together. In the process nothing is waited for.
fn at_once(store: &dyn ReadStore, max: usize) -> usize {
    if store.is_atomic() { 1 } else { max }
}

async fn all(
    store: &dyn ReadStore,
    steps: Vec<BoxFuture<'_, Result<Out, FlushError>>>,
    at_once_max: usize,
) -> Result<Out, FlushError> {
    let mut out = Out::default();
    let mut steps = stream::iter(steps).buffered(at_once(store, at_once_max));
    while let Some(step) = steps.try_next().await? {
        out.take(step);
    }
    Ok(out)
}

/// What a segment holds of a tenant, as events name it.
struct OfTenant<'a> {
    tenant: &'a str,
    series: Vec<&'a Series>,
    hours: Vec<OfHour<'a>>,
    is_whole: bool,
}

/// What came of a tenant's records of one hour.
struct OfHour<'a> {
    tenant: &'a str,
    hour: Timestamp,
    counts: &'a Counts,
}

enum Decided<'a> {
    Written(Out),
    /// To rows, as it is.
    Rows(OfTenant<'a>),
    /// To rows, with what its delta held.
    Merged(&'a str, Box<Part>),
}

impl OfHour<'_> {
    fn as_tuple(&self) -> (&str, Timestamp, Counts) {
        (self.tenant, self.hour, *self.counts)
    }
}

/// The delta of a tenant, at the end of `segment`.
fn of_contents(tenant: &str, segment: &Part, contents: Bytes) -> Write {
    let key = delta::key(tenant, segment.source());
    put(&USAGE_DELTAS, key, vec![Value::Bytes(contents)], segment.to())
}

fn hours_of(part: &Part) -> impl Iterator<Item = OfHour<'_>> {
    part.notes.hours.iter().flat_map(|(hour, tenants)| {
        tenants.iter().map(move |(tenant, counts)| OfHour { tenant, hour: *hour, counts })
    })
}

fn tenants<'a>(segment: &'a Part, whole: &BTreeSet<&'a str>) -> Vec<OfTenant<'a>> {
    let mut all: BTreeMap<&str, OfTenant<'_>> = BTreeMap::new();
    let new = |tenant: &'a str| {
        let is_whole = whole.contains(tenant);
        OfTenant { tenant, series: Vec::new(), hours: Vec::new(), is_whole }
    };
    for series in segment.series() {
        let tenant = series.tenant.as_str();
        all.entry(tenant).or_insert_with(|| new(tenant)).series.push(series);
    }
    for hour in hours_of(segment) {
        all.entry(hour.tenant).or_insert_with(|| new(hour.tenant)).hours.push(hour);
    }
    for tenant in whole {
        all.entry(tenant).or_insert_with(|| new(tenant));
    }
    all.into_values().collect()
}

impl<'a> OfTenant<'a> {
    /// Where it goes. What one writer has brought to rows every other one brings there, see
    /// `delta`.
    fn decide(
        self,
        store: &'a dyn ReadStore,
        segment: &'a Part,
    ) -> BoxFuture<'a, Result<Decided<'a>, FlushError>> {
        async move {
            let stands = delta::stands(store, self.tenant, segment.source()).await;
            let Delta { part: delta, is_passed } = stands.map_err(of_delta)?;
            let mut out = Out::default();
            if out.is_ahead(segment, timestamp(delta.to())) || out.split.is_some() {
                return Ok(Decided::Written(out));
            }
            let sizes = self.series.iter().map(|it| delta::size_of_series(it));
            let is_large = self.is_whole || is_passed || sizes.sum::<usize>() > delta::SIZE_MAX;
            if is_large && delta.is_empty() {
                return Ok(Decided::Rows(self));
            }
            let mut part = Part::new(segment.source(), segment.from());
            part.reaches(segment.to());
            delta::take_in(&mut part, &delta, &delta.series().iter().collect::<Vec<_>>());
            hours_of(&delta).for_each(|it| part.notes.count_all(it.as_tuple()));
            delta::take_in(&mut part, segment, &self.series);
            self.hours.iter().for_each(|it| part.notes.count_all(it.as_tuple()));
            if is_large || delta::size(&part) > delta::SIZE_MAX {
                return Ok(Decided::Merged(self.tenant, Box::new(part)));
            }
            out.rows.push(of_contents(self.tenant, segment, delta::write(&part)));
            Ok(Decided::Written(out))
        }
        .boxed()
    }
}

fn of_delta(error: QueryError) -> FlushError {
    match error {
        QueryError::Store(fault) => FlushError::Store(fault),
        _ => FlushError::Damaged(USAGE_DELTAS.name),
    }
}
