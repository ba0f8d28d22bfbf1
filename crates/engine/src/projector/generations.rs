//! Which generation of a view is in use and which is being built, as the store tells all
//! processes.

use exchequer_readstore::{Batch, Key, Value, Write};

use crate::tables::VIEWS;
use crate::view::View;
use crate::{EngineError, Ports};

/// A view's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generations {
    pub(super) active: u64,
    /// The same as `active` when none is being built.
    pub(super) latest: u64,
    /// The version of the fold that made `active`, and of the one that makes `latest`.
    pub(super) fold: u64,
    pub(super) latest_fold: u64,
}

impl Generations {
    /// None before the first.
    pub(super) async fn read(ports: &Ports, view: &dyn View) -> Result<Option<Self>, EngineError> {
        let row = ports.store.get(&VIEWS, 0, key(view)).await?;
        Ok(row.map(|row| {
            let uint = |at: usize| row.values.get(at).map_or(0, Value::as_uint);
            let (active, latest, fold) = (uint(0), uint(1), uint(2));
            // Rows that were written before it was told: a rebuild of the same fold.
            let latest_fold = if uint(3) == 0 { fold } else { uint(3) };
            Self { active, latest, fold, latest_fold }
        }))
    }

    pub(super) async fn write(self, ports: &Ports, view: &dyn View) -> Result<(), EngineError> {
        let columns = [self.active, self.latest, self.fold, self.latest_fold];
        let write = Write {
            table: &VIEWS,
            generation: 0,
            key: key(view),
            values: Some(columns.map(Value::uint).to_vec()),
            // Each step has a higher sum than the one before.
            timestamp: self.active + self.latest,
        };
        ports.store.write(Batch { rows: vec![write], last: Vec::new() }).await?;
        Ok(())
    }

    /// Is a generation being built by the fold of this version? What another version makes of
    /// the journal must not be mixed with it.
    pub(super) fn is_built_by(&self, version: u64) -> bool {
        self.latest > self.active && self.latest_fold == version
    }
}

fn key(view: &dyn View) -> Key {
    Key { partition: vec![Value::text(view.name())], clustering: Vec::new() }
}
