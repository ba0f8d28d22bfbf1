//! Plays a script, line by line: after each line the platform goes on until
//! nothing more can, so that what is shown is exact.

use core::fmt::Write as _;
use core::time::Duration;
use std::collections::BTreeMap;

use exchequer_codec::seal;
use exchequer_engine::{Answer, EngineError, SubmitError};
use exchequer_journal::Lane;
use exchequer_kernel::mutation;
use exchequer_projection_dead_letters as dead_letters;
use exchequer_proto::journal::v1 as pb;
use exchequer_types::{Identity, PartitionId, StreamId, partition_of};
use futures::FutureExt as _;
use prost::Message as _;

use crate::commands;
use crate::script::{Columns, Line, ScriptError, instant, parse};
use crate::show;
use crate::world::{Asked, Setup, World, key};

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
    last: Option<Result<Answer, SubmitError>>,
}

/// A command that is not answered yet.
struct Pending {
    line: usize,
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
            "show" => self.show(line, columns)?,
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

    /// Begins what can go on beside others: a command, a rebuild, a replay.
    fn begin(&mut self, line: &Line) -> Result<(), ScriptError> {
        let mut columns = line.columns()?;
        match line.verb() {
            "rebuild" => {
                let view = columns.text("view")?;
                columns.end()?;
                let world = self.world(line)?;
                let platform = world.platform().map_err(|error| line.error(error))?.clone();
                let asked = world.ask(async move { platform.rebuild(&view).await });
                drop::<Asked<Result<Option<u64>, EngineError>>>(asked);
                Ok(())
            }
            "replay_dead_letter" => {
                let id = columns.text("id")?;
                columns.end()?;
                self.replay(line, &id)
            }
            _ => self.command(line, columns),
        }
    }

    fn command(&mut self, line: &Line, mut columns: Columns<'_>) -> Result<(), ScriptError> {
        let repeat = columns.number("repeat")?.unwrap_or(1);
        let partition = columns.optional("partition");
        let stranger = columns.optional("sealed_with");
        let crash = columns.optional("crash");
        let number = self.sent + 1;
        let read = commands::read(line, &mut columns, number)?;
        let submission =
            read.ok_or_else(|| line.error(format!("there is no command {}", line.verb())))?;
        columns.end()?;
        self.sent += 1;
        if let Some(name) = stranger {
            let world = self.world(line)?;
            let sealed = commands::sealed(&submission, &key(&name), world.now());
            let own = self.own_partition(line, &submission.stream)?;
            return world.put(own, sealed).map_err(|error| line.error(error));
        }
        if partition.as_deref() == Some("wrong") {
            return self.misroute(line, &submission);
        }
        for copy in 1..=repeat {
            let mut submission = submission.clone();
            if repeat > 1 {
                let id = format!("{}-{copy}", submission.id);
                submission.id = exchequer_types::CommandId::parse(id)
                    .map_err(|error| line.error(error.to_string()))?;
            }
            let world = self.world(line)?;
            let gateway = world.platform().map_err(|error| line.error(error))?.gateway.clone();
            let asked = world.ask(async move { gateway.submit(submission, PATIENCE).await });
            self.wait_for(line, asked);
        }
        match crash.as_deref() {
            None => Ok(()),
            Some(when) => self.crash_with_command(line, when),
        }
    }

    /// The platform ends after the command is on the input log, or after its
    /// commit is in the journal; its caller hears nothing.
    fn crash_with_command(&mut self, line: &Line, when: &str) -> Result<(), ScriptError> {
        self.pending.pop();
        let world = self.world(line)?;
        match when {
            // Of the tasks that can go on, the caller's is the only one.
            "before_decision" => world.executor.run_until(|| true),
            "before_answer" => {
                let before = world.records();
                world.executor.run_until(|| world.records() > before);
            }
            _ => return Err(line.error("crash=before_decision or crash=before_answer")),
        }
        self.power(line, None)
    }

    /// Submits to the partition behind the command's own.
    fn misroute(
        &mut self,
        line: &Line,
        submission: &exchequer_engine::Submission,
    ) -> Result<(), ScriptError> {
        let own = self.own_partition(line, &submission.stream)?;
        let world = self.world(line)?;
        let platform = world.platform().map_err(|error| line.error(error))?;
        let wrong = PartitionId((own.0 + 1) % platform.tail.partitions());
        let sealed = commands::sealed(submission, &platform.ports.key, world.now());
        self.submit_sealed(line, wrong, submission.stream.clone(), sealed)
    }

    fn replay(&mut self, line: &Line, id: &str) -> Result<(), ScriptError> {
        let world = self.world(line)?;
        let platform = world.platform().map_err(|error| line.error(error))?;
        let id = id
            .parse()
            .map_err(|error: dead_letters::LetterIdError| line.error(error.to_string()))?;
        let generation = platform.view("dead-letters").map_or(0, |it| it.active().number);
        let found = dead_letters::get(world.store.as_ref(), generation, id).now_or_never();
        let found = found.and_then(Result::ok).flatten();
        let letter = found.ok_or_else(|| line.error("there is no such dead letter"))?;
        let envelope = pb::SealedCommand::decode(letter.record)
            .and_then(|sealed| pb::Envelope::decode(sealed.envelope))
            .map_err(|error| line.error(error.to_string()))?;
        let stream =
            StreamId::parse(&envelope.stream).map_err(|error| line.error(error.to_string()))?;
        let own = self.own_partition(line, &stream)?;
        // Who replays it vouches for it.
        let sealed = seal(&platform.ports.key, envelope);
        self.submit_sealed(line, own, stream, sealed)
    }

    fn submit_sealed(
        &mut self,
        line: &Line,
        partition: PartitionId,
        stream: StreamId,
        sealed: bytes::Bytes,
    ) -> Result<(), ScriptError> {
        let envelope = pb::SealedCommand::decode(sealed.clone())
            .and_then(|sealed| pb::Envelope::decode(sealed.envelope))
            .map_err(|error| line.error(error.to_string()))?;
        let identity = Identity::of(&envelope.stream, &envelope.issuer, &envelope.id);
        let world = self.world(line)?;
        let gateway = world.platform().map_err(|error| line.error(error))?.gateway.clone();
        let asked = world.ask(async move {
            gateway
                .submit_sealed(Lane::Commands, partition, stream, identity, sealed, PATIENCE)
                .await
        });
        self.wait_for(line, asked);
        Ok(())
    }

    fn wait_for(&mut self, line: &Line, asked: Asked<Result<Answer, SubmitError>>) {
        self.pending.push(Pending { line: line.number, expected: line.expected.clone(), asked });
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
                _ => self.last = Some(answered),
            }
        }
        Ok(())
    }

    fn show(&mut self, line: &Line, mut columns: Columns<'_>) -> Result<(), ScriptError> {
        let what = columns.bare().unwrap_or_default();
        let shown = match what.as_str() {
            "answer" => match &self.last {
                Some(Ok(answer)) => show::answer(self.world(line)?, answer),
                Some(Err(error)) => Ok(format!("{error}\n")),
                None => Ok("none\n".to_owned()),
            }
            .map_err(|error| line.error(error))?,
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
            Some(Ok(answer)) => show::answer(world, &answer).map_err(|error| line.error(error)),
            Some(Err(error)) => Err(line.error(error.to_string())),
            None => Err(line.error("no answer")),
        }
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

    fn own_partition(&self, line: &Line, stream: &StreamId) -> Result<PartitionId, ScriptError> {
        let platform = self.world(line)?.platform().map_err(|error| line.error(error))?;
        Ok(partition_of(stream.to_string().as_bytes(), platform.tail.partitions()))
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
