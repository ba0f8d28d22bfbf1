//! Spans of what becomes of a command behind the gateway: its decision, the append of
//! the record that holds it, the rows folded from it, the commands that follow from
//! it. The context comes from the command's envelope, so it is one trace however many
//! processes have a part in it. Without a tracer nothing of this is looked at.

use std::sync::Arc;

use exchequer_codec::{status_of, status_word};
use exchequer_proto::journal::v1 as pb;
use exchequer_runtime::Runtime;
use exchequer_runtime::trace::{Attribute, Span, SpanKind, TraceContext};
use exchequer_types::{Offset, PartitionId, Timestamp};

use crate::TailItem;

/// An input of a commit that is traced, and the step that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedInput {
    /// Index in the commit.
    pub input: u32,
    pub context: TraceContext,
}

/// A traced input that was decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TracedDecision {
    pub(crate) traced: TracedInput,
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
}

/// An accepted commit, as its spans tell of it.
pub(crate) struct Appended<'a> {
    pub(crate) partition: PartitionId,
    pub(crate) offset: Offset,
    pub(crate) commit: &'a pb::Commit,
    pub(crate) bytes: usize,
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
}

/// A commit that a view folds.
#[derive(Debug)]
pub(crate) struct Folding {
    traced: Arc<[TracedInput]>,
    began: Timestamp,
    partition: PartitionId,
    offset: Offset,
}

/// What an envelope says of its trace; None when it is not traced, or nothing is here.
pub(crate) fn context(runtime: &dyn Runtime, trace_parent: Option<&str>) -> Option<TraceContext> {
    let trace_parent = trace_parent?;
    runtime.tracer()?;
    TraceContext::parse(trace_parent).filter(|context| context.sampled)
}

/// The traced inputs of a commit that was read, None when there are none.
pub(crate) fn traced_inputs(
    runtime: &dyn Runtime,
    commit: &pb::Commit,
) -> Option<Arc<[TracedInput]>> {
    use prost::Message as _;
    runtime.tracer()?;
    let inputs = (0_u32..).zip(&commit.inputs);
    let traced = inputs.filter_map(|(input, it)| {
        let sealed = pb::SealedCommand::decode(it.command.clone()).ok()?;
        let envelope = pb::Envelope::decode(sealed.envelope).ok()?;
        let context = context(runtime, Some(&envelope.trace_parent))?;
        Some(TracedInput { input, context })
    });
    some(traced.collect())
}

/// For readers, None when nothing is traced.
pub(crate) fn inputs_of(decisions: &[TracedDecision]) -> Option<Arc<[TracedInput]>> {
    some(decisions.iter().map(|decision| decision.traced).collect())
}

fn some(traced: Vec<TracedInput>) -> Option<Arc<[TracedInput]>> {
    if traced.is_empty() { None } else { Some(traced.into()) }
}

/// Reports the decisions of an accepted commit, each with the append that made it count.
pub(crate) fn decided(runtime: &dyn Runtime, decisions: &[TracedDecision], at: &Appended<'_>) {
    let Some(tracer) = runtime.tracer() else { return };
    for decision in decisions {
        let TracedInput { input, context } = decision.traced;
        let Some(outcome) = at.commit.outcomes.get(input as usize) else { continue };
        let word = status_of(outcome).map_or("unknown", status_word);
        let mut attributes = place(at.partition, at.offset);
        attributes.push(("exchequer.input", input.into()));
        attributes.push(("exchequer.outcome", word.into()));
        if !outcome.code.is_empty() {
            attributes.push(("exchequer.code", outcome.code.as_str().into()));
        }
        let decide = context.child(runtime);
        tracer.record(Span {
            name: "decide".to_owned(),
            kind: SpanKind::Consumer,
            context: decide,
            parent: Some(context.span),
            began: decision.began,
            ended: decision.ended,
            attributes,
            failure: None,
        });
        let mut attributes = place(at.partition, at.offset);
        attributes.push(("exchequer.commit.seq", at.commit.seq.into()));
        attributes.push(("exchequer.commit.inputs", (at.commit.inputs.len() as u64).into()));
        attributes.push(("exchequer.commit.bytes", (at.bytes as u64).into()));
        tracer.record(Span {
            name: "append journal".to_owned(),
            kind: SpanKind::Internal,
            context: decide.child(runtime),
            parent: Some(decide.span),
            began: at.began,
            ended: at.ended,
            attributes,
            failure: None,
        });
    }
}

/// A view begins to fold `item`; None when nothing of it is traced.
pub(crate) fn folding(runtime: &dyn Runtime, item: &TailItem) -> Option<Folding> {
    let traced = Arc::clone(item.traced.as_ref()?);
    let (partition, offset) = (item.entry.partition, item.entry.offset);
    Some(Folding { traced, began: runtime.now(), partition, offset })
}

/// The rows of `folded` can be read.
pub(crate) fn folded(runtime: &dyn Runtime, view: &str, generation: u64, folded: Vec<Folding>) {
    let Some(tracer) = runtime.tracer() else { return };
    let ended = runtime.now();
    for folding in folded {
        for traced in folding.traced.iter() {
            let mut attributes = place(folding.partition, folding.offset);
            attributes.push(("exchequer.input", traced.input.into()));
            attributes.push(("exchequer.view", view.into()));
            attributes.push(("exchequer.view.generation", generation.into()));
            tracer.record(Span {
                name: format!("project {view}"),
                kind: SpanKind::Consumer,
                context: traced.context.child(runtime),
                parent: Some(traced.context.span),
                began: folding.began,
                ended,
                attributes,
                failure: None,
            });
        }
    }
}

/// A process has seen to a command that follows from a traced one. `context` is the
/// step itself, which stands in the envelope of what it submitted.
pub(crate) fn reacted(
    runtime: &dyn Runtime,
    name: &str,
    cause: TraceContext,
    context: TraceContext,
    began: Timestamp,
    failure: Option<&str>,
) {
    let Some(tracer) = runtime.tracer() else { return };
    tracer.record(Span {
        name: format!("react {name}"),
        kind: SpanKind::Consumer,
        context,
        parent: Some(cause.span),
        began,
        ended: runtime.now(),
        attributes: vec![("exchequer.consumer", name.into())],
        failure: failure.map(str::to_owned),
    });
}

fn place(partition: PartitionId, offset: Offset) -> Vec<(&'static str, Attribute)> {
    vec![("exchequer.partition", partition.0.into()), ("exchequer.offset", offset.into())]
}
