//! Plays a script, line by line: after each line the platform goes on until
//! nothing more can, so that what is shown is exact.

mod ask;
mod send;

use core::time::Duration;
use std::collections::BTreeMap;

use exchequer_engine::{Answer, SubmitError};
use exchequer_kernel::mutation;

use crate::script::{Line, ScriptError, instant, parse};
use crate::show::Rollouts;
use crate::world::{Asked, Setup, World};

/// How long a caller of a script waits for an answer, in virtual time.
const PATIENCE: Duration = Duration::from_secs(30);
/// State is written behind within this long.
const FLUSHED: Duration = Duration::from_secs(1);

/// Plays `script` and gives what it prints, or where it went otherwise than it says.
pub fn run(script: &str) -> Result<String, ScriptError> {
    let lines = parse(script)?;
    mutation::poison(None);
    let mut runner = Runner::default();
    let played = lines.iter().try_for_each(|line| runner.top(line));
    let last = lines.last().map_or(1, |line| line.number);
    let ended = played.and_then(|()| runner.end(last));
    mutation::poison(None);
    ended?;
    Ok(runner.out)
}

#[derive(Default)]
struct Runner {
    setup: BTreeMap<String, u64>,
    world: Option<World>,
    out: String,
    /// Commands and questions sent, which numbers their ids.
    sent: u32,
    pending: Vec<Pending>,
    /// The verb of the last command that was answered, and its answer.
    last: Option<(String, Result<Answer, SubmitError>)>,
    rollouts: Rollouts,
}

/// A command that is not answered yet.
struct Pending {
    line: usize,
    verb: String,
    expected: Option<String>,
    asked: Asked<Result<Answer, SubmitError>>,
}

impl Runner {
    fn top(&mut self, line: &Line) -> Result<(), ScriptError> {
        match line.verb() {
            "with" => self.with(line),
            "at" => {
                self.at(line)?;
                line.below.iter().try_for_each(|line| self.play(line))
            }
            verb => {
                Err(line.error(format!("{verb} stands below an instant: at 2026-01-01T00:00Z")))
            }
        }
    }

    fn with(&mut self, line: &Line) -> Result<(), ScriptError> {
        if self.world.is_some() {
            return Err(line.error("with stands at the head"));
        }
        for (key, value) in line.columns()?.all_of("") {
            let value = value.parse().map_err(|_| line.error(format!("{value} is no number")))?;
            self.setup.insert(key, value);
        }
        Ok(())
    }

    fn at(&mut self, line: &Line) -> Result<(), ScriptError> {
        let mut columns = line.columns()?;
        let at = columns.bare().and_then(|it| instant(&it));
        let at = at.ok_or_else(|| line.error("at needs an instant such as 2026-01-31T12:00Z"))?;
        columns.end()?;
        let Some(world) = &self.world else {
            let setup = Setup::read(&mut self.setup);
            if let Some(key) = self.setup.keys().next() {
                return Err(line.error(format!("with has no {key}=")));
            }
            self.world = Some(World::new(setup, at).map_err(|message| line.error(message))?);
            return Ok(());
        };
        if at < world.now() {
            return Err(line.error(format!("it is {} already", world.now())));
        }
        world.executor.advance(at);
        self.collect()
    }

    fn play(&mut self, line: &Line) -> Result<(), ScriptError> {
        let mut columns = line.columns()?;
        match line.verb() {
            "together" => {
                columns.end()?;
                line.below.iter().try_for_each(|line| self.begin(line))?;
            }
            "show" | "evaluate" => self.show(line, columns)?,
            "pause" | "resume" => {
                let kind = columns.bare().unwrap_or_default();
                if !["clock", "decider", "projector", "reactor"].contains(&kind.as_str()) {
                    return Err(
                        line.error("pause and resume: clock, decider, projector or reactor")
                    );
                }
                columns.end()?;
                self.world(line)?.executor.pause(&kind, line.verb() == "pause");
            }
            "crash" | "restart" | "stop" | "start" => {
                let key = columns.optional("key");
                columns.end()?;
                self.power(line, key.as_deref())?;
            }
            "poison" => {
                mutation::poison(Some(&columns.text("command")?));
                columns.end()?;
            }
            "mend" => {
                columns.end()?;
                mutation::poison(None);
            }
            _ => self.begin(line)?,
        }
        self.world(line)?.executor.settle();
        self.collect()
    }

    fn power(&mut self, line: &Line, key: Option<&str>) -> Result<(), ScriptError> {
        if ["restart", "stop"].contains(&line.verb()) {
            let world = self.world(line)?;
            world.executor.advance(world.now().saturating_add(FLUSHED));
            self.collect()?;
        }
        if let Some(pending) = self.pending.first() {
            return Err(line.error(format!("line {} is not answered yet", pending.line)));
        }
        let world = self.world_mut(line)?;
        if line.verb() == "stop" {
            world.stop();
            return Ok(());
        }
        world.start_anew(key).map_err(|error| line.error(error))
    }

    /// Compares answers that have come with what the script expects.
    fn collect(&mut self) -> Result<(), ScriptError> {
        for pending in core::mem::take(&mut self.pending) {
            let Some(answered) = pending.asked.take() else {
                self.pending.push(pending);
                continue;
            };
            let (code, message) = refusal(&answered);
            let error = |message| Err(ScriptError { line: pending.line, message });
            match (pending.expected, code) {
                (None, Some(code)) => return error(format!("refused with {code}: {message}")),
                (Some(expected), None) => {
                    return error(format!("accepted, not refused with {expected}"));
                }
                (Some(expected), Some(code)) if code != expected => {
                    return error(format!("refused with {code}, not {expected}: {message}"));
                }
                _ => self.last = Some((pending.verb, answered)),
            }
        }
        Ok(())
    }

    fn end(&mut self, last: usize) -> Result<(), ScriptError> {
        let Some(world) = &self.world else {
            return Err(ScriptError { line: 1, message: "the script has no instant".to_owned() });
        };
        if let Some(pending) = self.pending.first() {
            return Err(ScriptError { line: pending.line, message: "never answered".to_owned() });
        }
        for kind in ["clock", "decider", "projector", "reactor"] {
            world.executor.pause(kind, false);
        }
        world.executor.settle();
        world.check().map_err(|message| ScriptError { line: last, message })
    }

    fn world(&self, line: &Line) -> Result<&World, ScriptError> {
        self.world.as_ref().ok_or_else(|| line.error("begin with an instant"))
    }

    fn world_mut(&mut self, line: &Line) -> Result<&mut World, ScriptError> {
        self.world.as_mut().ok_or_else(|| line.error("begin with an instant"))
    }
}

/// The code with which a command was refused, if it was, and the words for it.
fn refusal(answered: &Result<Answer, SubmitError>) -> (Option<String>, String) {
    match answered {
        Ok(answer) if answer.outcome.code.is_empty() => (None, String::new()),
        Ok(answer) => (Some(answer.outcome.code.clone()), answer.outcome.message.clone()),
        Err(error) => {
            let code = match error {
                SubmitError::TenantOverloaded { .. } => "TENANT_OVERLOADED",
                SubmitError::Overloaded => "OVERLOADED",
                SubmitError::TooLarge { .. } => "COMMAND_TOO_LARGE",
                SubmitError::Full => "STORAGE_FULL",
                SubmitError::Deadline => "DEADLINE_EXCEEDED",
                SubmitError::Unavailable(_) => "UNAVAILABLE",
            };
            (Some(code.to_owned()), error.to_string())
        }
    }
}
