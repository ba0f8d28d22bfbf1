//! Asks the platform, and prints what it says.

use core::fmt::Write as _;

use super::{PATIENCE, Runner};
use crate::commands;
use crate::script::{Columns, Line, ScriptError};
use crate::show;

impl Runner {
    pub(super) fn show(
        &mut self,
        line: &Line,
        mut columns: Columns<'_>,
    ) -> Result<(), ScriptError> {
        let is_question = line.verb() == "evaluate";
        let what = if is_question { Some(line.verb().to_owned()) } else { columns.bare() };
        let what = what.unwrap_or_default();
        let shown = match what.as_str() {
            "answer" => match &self.last {
                Some((verb, Ok(answer))) => show::answer(self.world(line)?, verb, answer),
                Some((_, Err(error))) => Ok(format!("{error}\n")),
                None => Ok("none\n".to_owned()),
            }
            .map_err(|error| line.error(error))?,
            "evaluate" => show::evaluate(self.world(line)?, line, &mut columns)?,
            "rollout" => {
                let mut rollouts = core::mem::take(&mut self.rollouts);
                let shown = rollouts.show(self.world(line)?, line, &mut columns);
                self.rollouts = rollouts;
                shown?
            }
            "outcome" => self.outcome(line, &mut columns)?,
            what => show::show(self.world(line)?, line, what, &mut columns)?,
        };
        columns.end()?;
        let now = self.world(line)?.now();
        let gap = if self.out.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.out, "{gap}{now}  {}", line.text);
        for row in shown.lines() {
            let _ = writeln!(self.out, "  {row}");
        }
        Ok(())
    }

    /// Asks the platform for the outcome of a command, as a caller can.
    fn outcome(&mut self, line: &Line, columns: &mut Columns<'_>) -> Result<String, ScriptError> {
        self.sent += 1;
        let (tenant, id) = (columns.text("tenant")?, columns.text("command")?);
        let issuer = columns.text_or("issuer", "api");
        let lookup = commands::lookup(&tenant, &issuer, &id, self.sent);
        let lookup = lookup.ok_or_else(|| line.error("no such identity"))?;
        let world = self.world(line)?;
        let gateway = world.platform().map_err(|error| line.error(error))?.gateway.clone();
        let asked = world.ask(async move { gateway.submit(lookup, PATIENCE).await });
        world.executor.settle();
        match asked.take() {
            Some(Ok(answer)) => show::answer(world, "", &answer).map_err(|error| line.error(error)),
            Some(Err(error)) => Err(line.error(error.to_string())),
            None => Err(line.error("no answer")),
        }
    }
}
