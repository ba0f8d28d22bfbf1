//! What flags answer, and how a rollout spreads over many visitors.

use crate::script::{Columns, Line, ScriptError};
use crate::world::World;

/// Who was shown what, by flag.
#[derive(Debug, Default)]
pub(crate) struct Rollouts;

impl Rollouts {
    pub(crate) fn show(
        &mut self,
        _: &World,
        line: &Line,
        _: &mut Columns<'_>,
    ) -> Result<String, ScriptError> {
        Err(line.error("later"))
    }
}

pub(crate) fn evaluate(_: &World, line: &Line, _: &mut Columns<'_>) -> Result<String, ScriptError> {
    Err(line.error("later"))
}
