//! Sends commands: through the gateway, to the wrong partition, as a stranger, and
//! with a power failure behind them.

use exchequer_codec::seal;
use exchequer_engine::{Answer, EngineError, Submission, SubmitError};
use exchequer_journal::Lane;
use exchequer_projection_dead_letters as dead_letters;
use exchequer_proto::journal::v1 as pb;
use exchequer_types::{Identity, PartitionId, StreamId, partition_of};
use futures::FutureExt as _;
use prost::Message as _;

use super::{PATIENCE, Pending, Runner};
use crate::commands;
use crate::script::{Columns, Line, ScriptError};
use crate::world::{Asked, key};

impl Runner {
    /// Begins what can go on beside others: a command, a rebuild, a replay.
    pub(super) fn begin(&mut self, line: &Line) -> Result<(), ScriptError> {
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
        let mut read = commands::read(line, &mut columns, self.world(line)?, number)?.into_iter();
        let first = read.next();
        let mut submission =
            first.ok_or_else(|| line.error(format!("there is no command {}", line.verb())))?;
        columns.end()?;
        self.sent += 1;
        // What one line says in several commands must be accepted one after another.
        for next in read.filter(|_| line.expected.is_none()) {
            self.submit(line, submission)?;
            self.world(line)?.executor.settle();
            self.collect()?;
            submission = next;
        }
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
            self.submit(line, submission)?;
        }
        match crash.as_deref() {
            None => Ok(()),
            Some(when) => self.crash_with_command(line, when),
        }
    }

    fn submit(&mut self, line: &Line, submission: Submission) -> Result<(), ScriptError> {
        let world = self.world(line)?;
        let gateway = world.platform().map_err(|error| line.error(error))?.gateway.clone();
        let asked = world.ask(async move { gateway.submit(submission, PATIENCE).await });
        self.wait_for(line, asked);
        Ok(())
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
    fn misroute(&mut self, line: &Line, submission: &Submission) -> Result<(), ScriptError> {
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
        let mut envelope = pb::SealedCommand::decode(letter.record)
            .and_then(|sealed| pb::Envelope::decode(sealed.envelope))
            .map_err(|error| line.error(error.to_string()))?;
        let stream =
            StreamId::parse(&envelope.stream).map_err(|error| line.error(error.to_string()))?;
        let own = self.own_partition(line, &stream)?;
        envelope.replay_of = letter.id.to_string();
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
        self.pending.push(Pending {
            line: line.number,
            verb: line.verb().to_owned(),
            expected: line.expected.clone(),
            asked,
        });
    }

    fn own_partition(&self, line: &Line, stream: &StreamId) -> Result<PartitionId, ScriptError> {
        let platform = self.world(line)?.platform().map_err(|error| line.error(error))?;
        Ok(partition_of(stream.to_string().as_bytes(), platform.tail.partitions()))
    }
}
