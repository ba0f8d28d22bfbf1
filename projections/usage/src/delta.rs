//! What a tenant has added in one source partition since its rows were written last, while
//! that is little: all of it in one row, of every meter, length of windows and hour of
//! receipt. A flush reads and writes this row alone; once it is large, what it holds goes to
//! the rows of the windows, and it is empty. Where tenants are many, each adds little at a
//! time, and rows of windows that hold one event each are what a store takes longest for.
//!
//! A delta is merged when it is larger than [`SIZE_MAX`], by a measure that nothing makes
//! less. So whoever writes seals again that another one wrote in part comes to the same end:
//! rows that are further than the delta hold what it holds too.

use std::sync::Arc;

use bytes::Bytes;
use exchequer_readstore::{Key, ReadStore, Value};
use exchequer_types::{PartitionId, Period, TenantId, Timestamp};

use crate::amount::Amount;
use crate::bytes::{Damaged, Reader, Writer};
use crate::names::Names;
use crate::notes::Counts;
use crate::packed::{aggregation_number, aggregation_of, u32_of, usize_of};
use crate::part::{Part, Series, Shape};
use crate::query::QueryError;
use crate::tables::{GENERATION, USAGE_DELTAS};
use crate::window::Of;

/// A larger one is merged into the rows. By [`size`]: some hundred events of one meter. In
/// tests of this crate so little that courses of a few events pass it.
pub(crate) const SIZE_MAX: usize = if cfg!(test) { 1 << 10 } else { 16 << 10 };
const FORMAT: u64 = 1;
/// What one of each counts for, beside its texts.
const SERIES_SIZE: usize = 64;
const WINDOW_SIZE: usize = 24;
pub(crate) const CELL_SIZE: usize = 24;
const HOUR_SIZE: usize = 32;

pub(crate) fn key(tenant: &str, source: PartitionId) -> Key {
    let partition = vec![Value::text(tenant), Value::Int(i64::from(source.0))];
    Key { partition, clustering: Vec::new() }
}

/// What stands of a tenant, which tells of all up to its last seal; None where nothing was
/// ever written.
pub(crate) async fn stands(
    store: &dyn ReadStore,
    tenant: &str,
    source: PartitionId,
) -> Result<Option<Part>, QueryError> {
    let row = store.get(&USAGE_DELTAS, GENERATION, key(tenant, source)).await?;
    let Some(row) = row else { return Ok(None) };
    let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
    Ok(Some(read(&bytes, tenant, Part::new(source, row.timestamp >> 16))?))
}

/// How large a part is: what is added makes it no smaller.
pub(crate) fn size(part: &Part) -> usize {
    let texts = |it: &Shape| it.meter.len() + it.by.iter().map(String::len).sum::<usize>();
    let of = |series: &Series| {
        let heap = |of| series.windows.iter().flat_map(move |it| it.cells(of));
        let heap = heap(Of::Totals).chain(heap(Of::Subjects)).map(|it| it.2.heap_bytes());
        SERIES_SIZE
            + texts(&series.shape)
            + series.windows.len() * WINDOW_SIZE
            + series.cells() * CELL_SIZE
            + heap.sum::<usize>()
    };
    part.series().iter().map(of).sum::<usize>()
        + part.names.text_bytes()
        + part.notes.hours.len() * HOUR_SIZE
}

/// A cell, and where it is.
struct Placed {
    arrival: u32,
    /// Place of its series among those that were asked for, and of its window there.
    series: u32,
    window: u32,
    of: Of,
    name: u32,
    amount: Amount,
}

/// All cells of `series`, in the order in which they first came.
fn placed(series: &[&Series]) -> Vec<Placed> {
    let mut all = Vec::new();
    for (series, it) in (0..).zip(series) {
        for (window, it) in (0..).zip(&it.windows) {
            for of in [Of::Totals, Of::Subjects] {
                all.extend(it.cells(of).map(|(name, arrival, amount)| Placed {
                    arrival,
                    series,
                    window,
                    of,
                    name,
                    amount,
                }));
            }
        }
    }
    all.sort_by_key(|it| it.arrival);
    all
}

/// Puts what `series` of `other` hold behind what `part` does.
pub(crate) fn take_in(part: &mut Part, other: &Part, series: &[&Series]) {
    let own: Vec<(u32, Vec<u32>)> = series
        .iter()
        .map(|it| {
            let at = part.series_of_shape(&it.tenant, Arc::clone(&it.shape));
            let windows = it.windows.iter();
            (at, windows.map(|window| part.window(at, window.minute, window.period)).collect())
        })
        .collect();
    for it in placed(series) {
        let Some((series, windows)) = own.get(usize_of(it.series)) else { continue };
        let Some(window) = windows.get(usize_of(it.window)) else { continue };
        let name = match it.of {
            Of::Totals => part.names.written_groups(other.names.groups_of(it.name)),
            Of::Subjects => match other.names.subject_of(it.name) {
                Some((name, _)) => part.names.written_subject(name),
                None => continue,
            },
        };
        part.merge((*series, *window), it.of, name, &it.amount);
    }
}

/// A part of one tenant, as its row holds it. Nothing for one with nothing in it.
pub(crate) fn write(part: &Part) -> Bytes {
    let mut out = Writer::default();
    out.uint(FORMAT);
    let hours = &part.notes.hours;
    out.count(hours.len());
    for (hour, tenants) in hours {
        out.int(hour.micros());
        tenants.values().take(1).for_each(|counts| counts.write(&mut out));
    }
    let series: Vec<&Series> = part.series().iter().collect();
    out.count(series.len());
    for Shape { meter, version, aggregation, by, groups_max } in series.iter().map(|it| &*it.shape)
    {
        out.text(meter);
        out.uint(u64::from(*version));
        out.uint(aggregation_number(*aggregation));
        out.count(by.len());
        for name in by {
            out.text(name);
        }
        out.uint(u64::from(*groups_max));
    }
    let windows = series.iter().zip(0_u64..);
    let windows: Vec<_> =
        windows.flat_map(|(series, at)| series.windows.iter().map(move |it| (at, it))).collect();
    out.count(windows.len());
    for (series, window) in windows {
        out.uint(series);
        let ends = window.period.map(|it| (it.start, it.end));
        out.uint(u64::from(window.minute.is_some()) | (u64::from(ends.is_some()) << 1));
        let times = window.minute.into_iter().chain(ends.into_iter().flat_map(|it| [it.0, it.1]));
        times.for_each(|at| out.int(at.micros()));
    }
    part.names.write(&mut out);
    write_cells(&series, &mut out);
    out.bytes.into()
}

/// Cells in their order. One by group and the one by subject behind it have mostly come of the
/// same events: then both are told at once.
fn write_cells(series: &[&Series], out: &mut Writer) {
    let mut first_windows = Vec::new();
    let mut count = 0;
    for it in series {
        first_windows.push(count);
        count += u32_of(it.windows.len());
    }
    let cells = placed(series);
    out.count(cells.len());
    let mut cells = cells.iter().peekable();
    while let Some(it) = cells.next() {
        let first = first_windows.get(usize_of(it.series)).copied().unwrap_or_default();
        out.uint(u64::from(first + it.window));
        let is_same = |next: &&Placed| {
            (it.of, next.of) == (Of::Totals, Of::Subjects)
                && (it.series, it.window) == (next.series, next.window)
                && it.amount == next.amount
        };
        let subject = cells.next_if(is_same);
        out.uint(match (it.of, subject) {
            (Of::Totals, None) => 0,
            (Of::Subjects, _) => 1,
            (Of::Totals, Some(_)) => 2,
        });
        out.uint(u64::from(it.name));
        if let Some(subject) = subject {
            out.uint(u64::from(subject.name));
        }
        it.amount.write(out);
    }
}

/// Puts what [`write`] wrote into `part`, which holds nothing yet.
pub(crate) fn read(bytes: &[u8], tenant: &str, mut part: Part) -> Result<Part, Damaged> {
    if bytes.is_empty() {
        return Ok(part);
    }
    let mut input = Reader::new(bytes);
    if input.uint()? != FORMAT {
        return Err(Damaged);
    }
    for _ in 0..input.count(2)? {
        let hour = Timestamp::saturating_from_micros(input.int()?);
        part.notes.count_all((tenant, hour, Counts::read(&mut input)?));
    }
    let count = input.count(5)?;
    if count > 0 {
        let tenant = Arc::new(TenantId::parse(tenant).map_err(|_| Damaged)?);
        for _ in 0..count {
            part.series_of_shape(&tenant, Arc::new(read_shape(&mut input)?));
        }
    }
    let mut windows = Vec::with_capacity(input.count(2)?);
    for _ in 0..windows.capacity() {
        let series = input.uint32()?;
        let (minute, period) = read_window(&mut input)?;
        windows.push((series, part.window(series, minute, period)));
    }
    part.names = Names::read(&mut input)?;
    read_cells(&mut input, &mut part, &windows)?;
    input.finish()?;
    Ok(part)
}

fn read_shape(input: &mut Reader<'_>) -> Result<Shape, Damaged> {
    Ok(Shape {
        meter: input.text()?.to_owned(),
        version: input.uint32()?,
        aggregation: aggregation_of(input.uint()?)?,
        by: (0..input.count(1)?)
            .map(|_| input.text().map(str::to_owned))
            .collect::<Result<_, _>>()?,
        groups_max: input.uint32()?,
    })
}

fn read_window(input: &mut Reader<'_>) -> Result<(Option<Timestamp>, Option<Period>), Damaged> {
    let has = input.uint()?;
    let mut time = || input.int().map(Timestamp::saturating_from_micros);
    let minute = if has & 1 == 1 { Some(time()?) } else { None };
    let period = if has & 2 == 2 { Some(Period { start: time()?, end: time()? }) } else { None };
    Ok((minute, period))
}

fn read_cells(
    input: &mut Reader<'_>,
    part: &mut Part,
    windows: &[(u32, u32)],
) -> Result<(), Damaged> {
    let mut left = input.count(1)?;
    while left > 0 {
        let window = *windows.get(usize_of(input.uint32()?)).ok_or(Damaged)?;
        let ofs: &[Of] = match input.uint()? {
            0 => &[Of::Totals],
            1 => &[Of::Subjects],
            2 => &[Of::Totals, Of::Subjects],
            _ => return Err(Damaged),
        };
        let names = ofs.iter().map(|_| input.uint32()).collect::<Result<Vec<_>, _>>()?;
        let series = part.series().get(usize_of(window.0)).ok_or(Damaged)?;
        let amount = Amount::read(series.shape.aggregation, input)?;
        for (of, name) in ofs.iter().zip(names) {
            part.merge(window, *of, name, &amount);
            left = left.checked_sub(1).ok_or(Damaged)?;
        }
    }
    Ok(())
}
