//! Reading: by whole key, or page by page within one partition key.

use core::cmp::{max, min};
use core::ops::ControlFlow;

use exchequer_readstore::{Fault, Generation, Key, Keys, Row, Scan, Table, Value};
use scylla::deserialize::row::ColumnIterator;
use scylla::response::query_result::QueryRowsResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;

use crate::ScyllaReadStore;
use crate::cell::{Bind, Cells};
use crate::fault::{failed, unexpected};
use crate::statements::{Bounds, GENERATION, Lower, POSITION, Shape};
use crate::write::closed;

/// Rows that one statement names; ScyllaDB takes 100 at most.
const KEYS_MAX: usize = 32;
/// Rows that the store sends at a time.
const PAGE_ROWS_MAX: usize = 500;

impl ScyllaReadStore {
    pub(crate) async fn row(
        &self,
        table: &'static Table,
        generation: Generation,
        key: Key,
    ) -> Result<Option<Row>, Fault> {
        let statement = self.statements.get(&self.session, table, Shape::Get).await?;
        let values = key.partition.iter().chain(&key.clustering).map(Bind::from);
        let binds = [Bind::Int(generation.cast_signed())].into_iter().chain(values);
        let page = PagingState::start();
        let (found, _) = self.page(table, &statement, &binds.collect(), page).await?;
        let mut row = None;
        for columns in columns_of(table, &found)? {
            let mut cells = columns?;
            let timestamp = cells.unsigned(POSITION)?;
            row = Some((timestamp, cells.values(table.columns)?));
        }
        Ok(row.map(|(timestamp, values)| Row { key, values, timestamp }))
    }

    /// Rows by their keys, some of them with each statement.
    pub(crate) async fn many(&self, keys: Keys) -> Result<Vec<Row>, Fault> {
        let Keys { table, generation, partition, clustering } = keys;
        let mut rows = Vec::with_capacity(clustering.len());
        if table.clustering.is_empty() {
            let key = Key { partition, clustering: Vec::new() };
            rows.extend(self.row(table, generation, key).await?);
            return Ok(rows);
        }
        for part in clustering.chunks(KEYS_MAX) {
            // Few statements for all counts: the last key is named again until one fits.
            let count = part.len().next_power_of_two();
            let named = part.iter().chain(part.last().into_iter().cycle()).take(count);
            let statement = self.statements.get(&self.session, table, Shape::Many(count)).await?;
            let mut binds = vec![Bind::Int(generation.cast_signed())];
            binds.extend(partition.iter().chain(named.flatten()).map(Bind::from));
            let mut page = PagingState::start();
            loop {
                let (found, next) = self.page(table, &statement, &binds, page).await?;
                for cells in columns_of(table, &found)? {
                    let mut cells = cells?;
                    let clustering = cells.values(table.clustering)?;
                    let key = Key { partition: partition.clone(), clustering };
                    rows.push(rest_of_row(table, key, &mut cells)?);
                }
                match next.into_paging_control_flow() {
                    ControlFlow::Continue(next) => page = next,
                    ControlFlow::Break(()) => break,
                }
            }
        }
        Ok(rows)
    }

    pub(crate) async fn rows(&self, scan: Scan) -> Result<Vec<Row>, Fault> {
        let Some((bounds, clustering)) = bounds(&scan)? else { return Ok(Vec::new()) };
        let shape = Shape::Scan(bounds);
        let statement = self.statements.get(&self.session, scan.table, shape).await?;
        let mut statement = statement.as_ref().clone();
        statement.set_page_size(page_rows(scan.rows_max));
        let mut binds = vec![Bind::Int(scan.generation.cast_signed())];
        binds.extend(scan.partition.iter().chain(clustering).map(Bind::from));
        let mut rows = Vec::new();
        let mut page = PagingState::start();
        loop {
            let (found, next) = self.page(scan.table, &statement, &binds, page).await?;
            for cells in columns_of(scan.table, &found)?.take(scan.rows_max - rows.len()) {
                let mut cells = cells?;
                let clustering = cells.values(scan.table.clustering)?;
                let key = Key { partition: scan.partition.clone(), clustering };
                rows.push(rest_of_row(scan.table, key, &mut cells)?);
            }
            match next.into_paging_control_flow() {
                ControlFlow::Continue(next) if rows.len() < scan.rows_max => page = next,
                _ => return Ok(rows),
            }
        }
    }

    /// All rows of a generation, sorted.
    pub(crate) async fn rows_of(
        &self,
        table: &'static Table,
        generation: Generation,
    ) -> Result<Vec<Row>, Fault> {
        let statement = self.statements.get(&self.session, table, Shape::Generation).await?;
        let mut statement = statement.as_ref().clone();
        statement.set_page_size(page_rows(usize::MAX));
        let binds = vec![Bind::Int(generation.cast_signed())];
        let mut rows = Vec::new();
        let mut page = PagingState::start();
        loop {
            let (found, next) = self.page(table, &statement, &binds, page).await?;
            for cells in columns_of(table, &found)? {
                let mut cells = cells?;
                let partition = cells.values(table.partition_key)?;
                let clustering = cells.values(table.clustering)?;
                rows.push(rest_of_row(table, Key { partition, clustering }, &mut cells)?);
            }
            match next.into_paging_control_flow() {
                ControlFlow::Continue(next) => page = next,
                ControlFlow::Break(()) => break,
            }
        }
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(rows)
    }

    /// Partition keys of a generation, a page of them, and where it goes on. All pages
    /// together read the whole table.
    pub(crate) async fn partitions(
        &self,
        table: &'static Table,
        generation: Generation,
        page: PagingState,
    ) -> Result<(Vec<Vec<Value>>, Option<PagingState>), Fault> {
        let statement = self.statements.get(&self.session, table, Shape::Partitions).await?;
        let mut statement = statement.as_ref().clone();
        statement.set_page_size(page_rows(usize::MAX));
        let binds = vec![Bind::Int(generation.cast_signed())];
        let (found, next) = self.page(table, &statement, &binds, page).await?;
        let mut partitions = Vec::new();
        for cells in columns_of(table, &found)? {
            let mut cells = cells?;
            cells.unsigned(GENERATION)?;
            partitions.push(cells.values(table.partition_key)?);
        }
        Ok((partitions, next.into_paging_control_flow().continue_value()))
    }

    async fn page(
        &self,
        table: &'static Table,
        statement: &PreparedStatement,
        binds: &Vec<Bind<'_>>,
        page: PagingState,
    ) -> Result<(QueryRowsResult, PagingStateResponse), Fault> {
        let _permit = self.reads.acquire().await.map_err(|_| closed())?;
        let what = || format!("read {}", table.name);
        let found = self.session.execute_single_page(statement, binds, page).await;
        let (found, next) = found.map_err(|error| failed(&what(), &error))?;
        let rows = found.into_rows_result().map_err(|error| unexpected(&what(), error))?;
        Ok((rows, next))
    }
}

type CellsOf<'a> = Result<Cells<'a, 'a>, Fault>;

fn columns_of<'a>(
    table: &'static Table,
    found: &'a QueryRowsResult,
) -> Result<impl Iterator<Item = CellsOf<'a>>, Fault> {
    let rows = found.rows::<ColumnIterator<'_, '_>>();
    let rows = rows.map_err(|error| unexpected(&format!("read {}", table.name), error))?;
    Ok(rows.map(|columns| match columns {
        Ok(columns) => Ok(Cells::new(table.name, columns)),
        Err(error) => Err(unexpected(&format!("read {}", table.name), error)),
    }))
}

/// The position and the columns, which come behind the key.
fn rest_of_row(table: &'static Table, key: Key, cells: &mut Cells<'_, '_>) -> Result<Row, Fault> {
    let timestamp = cells.unsigned(POSITION)?;
    Ok(Row { key, values: cells.values(table.columns)?, timestamp })
}

fn page_rows(rows_max: usize) -> i32 {
    i32::try_from(rows_max.clamp(1, PAGE_ROWS_MAX)).unwrap_or(1)
}

/// The bounds of the statement, and the values for them; None when no row can be within. A
/// statement takes one lower and one upper bound: of two the narrower.
fn bounds(scan: &Scan) -> Result<Option<(Bounds, impl Iterator<Item = &Value>)>, Fault> {
    let named = [&scan.from, &scan.to, &scan.after];
    let columns = scan.table.clustering.len();
    if named.iter().any(|bound| bound.as_ref().is_some_and(|bound| bound.len() > columns)) {
        let name = scan.table.name;
        return Err(Fault::lasting(format!(
            "table {name}: a bound of more than {columns} columns"
        )));
    }
    let from = scan.from.as_deref().unwrap_or_default();
    let (after_down, after_up) = match &scan.after {
        Some(after) if scan.reverse => (Some(after.as_slice()), None),
        after => (None, after.as_deref()),
    };
    let lower = after_up.filter(|after| *after >= from);
    let to = match (scan.to.as_deref(), after_down) {
        (Some(to), Some(after)) => Some(min(to, after)),
        (to, after) => to.or(after),
    };
    let low = max(from, after_up.unwrap_or_default());
    let is_behind_the_only_row = columns == 0 && scan.after.is_some();
    if scan.rows_max == 0 || is_behind_the_only_row || to.is_some_and(|to| to <= low) {
        return Ok(None);
    }
    let lower_shape = match lower {
        Some(after) if !after.is_empty() => Some(Lower::After(after.len())),
        _ if !from.is_empty() => Some(Lower::From(from.len())),
        _ => None,
    };
    let shape = Bounds { from: lower_shape, to: to.map(<[_]>::len), reverse: scan.reverse };
    Ok(Some((shape, low.iter().chain(to.unwrap_or_default()))))
}
