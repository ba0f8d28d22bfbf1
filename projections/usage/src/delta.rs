//! What a tenant has added in one source partition since its rows were written last, while
//! that is little: all of it in one row, of every meter, length of windows and hour of
//! receipt. A flush reads and writes this row alone; once it is large, what it holds goes to
//! the rows of the windows, and it is empty. Where tenants are many, each adds little at a
//! time, and rows of windows that hold one event each are what a store takes longest for.
//!
//! A delta is merged when it is larger than [`SIZE_MAX`], by a measure that nothing makes
//! less. So whoever writes seals again that another one wrote in part merges too, then or
//! before, and finds the rows of the other one where they are. Who merges before begins with
//! an empty delta and would find them no more: so what a meter empties that has not come to
//! the end of the seals stays empty, and its tenant goes to rows, until one has.

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
use crate::window::{Of, Window};

/// A larger one is merged into the rows. By [`size`]: some hundred events of one meter. In
/// tests of this crate so little that courses of a few events pass it.
pub(crate) const SIZE_MAX: usize = if cfg!(test) { 1 << 10 } else { 16 << 10 };
const FORMAT: u8 = 1;
const FORMAT_PASSED: u8 = 2;
/// What one of each counts for, beside its texts.
const SERIES_SIZE: usize = 64;
const WINDOW_SIZE: usize = 24;
const CELL_SIZE: usize = 24;
const HOUR_SIZE: usize = 32;

pub(crate) fn key(tenant: &str, source: PartitionId) -> Key {
    let partition = vec![Value::text(tenant), Value::Int(i64::from(source.0))];
    Key { partition, clustering: Vec::new() }
}

/// What stands of a tenant.
#[derive(Debug)]
pub(crate) struct Delta {
    /// Tells of all up to its last seal.
    pub(crate) part: Part,
    /// What comes next goes to rows: there may be some that are further.
    pub(crate) is_passed: bool,
}

impl Delta {
    /// Of a tenant that has none.
    pub(crate) fn none(source: PartitionId) -> Self {
        Self { part: Part::new(source, 0), is_passed: false }
    }
}

/// What stands of a tenant; nothing, up to seal 0, where none was ever written.
pub(crate) async fn stands(
    store: &dyn ReadStore,
    tenant: &str,
    source: PartitionId,
) -> Result<Delta, QueryError> {
    let row = store.get(&USAGE_DELTAS, GENERATION, key(tenant, source)).await?;
    let Some(row) = row else { return Ok(Delta::none(source)) };
    let bytes = row.values.first().map(Value::as_bytes).unwrap_or_default();
    Ok(read(&bytes, tenant, Part::new(source, row.timestamp >> 16))?)
}

/// How large a part is: what is added makes it no smaller.
pub(crate) fn size(part: &Part) -> usize {
    part.series().iter().map(size_of_series).sum::<usize>()
        + part.names.text_bytes()
        + part.notes.hours.len() * HOUR_SIZE
}

/// The same of a series, without the names of its cells.
pub(crate) fn size_of_series(series: &Series) -> usize {
    let Shape { meter, by, .. } = &*series.shape;
    let texts = meter.len() + by.iter().map(String::len).sum::<usize>();
    let heap: usize = series.windows.iter().map(Window::heap_bytes).sum();
    SERIES_SIZE + texts + series.windows.len() * WINDOW_SIZE + series.cells() * CELL_SIZE + heap
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

/// Nothing, behind which deltas begin anew or are passed.
pub(crate) fn emptied(is_passed: bool) -> Bytes {
    Bytes::from_static(if is_passed { &[FORMAT_PASSED] } else { &[] })
}

/// A part of one tenant, as its row holds it.
pub(crate) fn write(part: &Part) -> Bytes {
    let mut out = Writer::default();
    out.bytes.push(FORMAT);
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

/// Puts what [`write`] or [`emptied`] gave into `part`, which holds nothing yet.
pub(crate) fn read(bytes: &[u8], tenant: &str, part: Part) -> Result<Delta, Damaged> {
    match bytes {
        [] => Ok(Delta { part, is_passed: false }),
        [FORMAT_PASSED] => Ok(Delta { part, is_passed: true }),
        [FORMAT, rest @ ..] => Ok(Delta { part: read_part(rest, tenant, part)?, is_passed: false }),
        _ => Err(Damaged),
    }
}

fn read_part(bytes: &[u8], tenant: &str, mut part: Part) -> Result<Part, Damaged> {
    let mut input = Reader::new(bytes);
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
        if usize_of(series) >= part.series().len() {
            return Err(Damaged);
        }
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
        let mut names = Vec::with_capacity(ofs.len());
        for of in ofs {
            let name = input.uint32()?;
            if !part.names.has(*of, name) {
                return Err(Damaged);
            }
            names.push(name);
        }
        let series = part.series().get(usize_of(window.0)).ok_or(Damaged)?;
        let amount = Amount::read(series.shape.aggregation, input)?;
        for (of, name) in ofs.iter().zip(names) {
            part.merge(window, *of, name, &amount);
            left = left.checked_sub(1).ok_or(Damaged)?;
        }
    }
    Ok(())
}
