//! The one writer of a partition of usage. It claims, resumes, judges batch after batch
//! with one seal in flight, and folds what the accepted seals say into figures, the index
//! of identities and fates, which are written behind together with its checkpoint. Whatever
//! goes wrong, it drops what it judged ahead, reads the seals, and claims anew.

mod adopting;
mod correcting;
mod definitions;
mod folding;
mod following;
mod handle;
mod judging;
mod leader;
mod letters;
mod live;
mod names;
mod recounting;
mod resume;
mod revising;
mod state;

use std::sync::Arc;

use bytes::Bytes;
use exchequer_codec::usage::encode_claim;
use exchequer_journal::{Fault, FaultKind, Outlet};
use exchequer_kernel::{Head, Verdict};
use exchequer_proto::usage::v1 as pb;
use exchequer_runtime::{Metric, TaskError};
use exchequer_types::{Offset, PartitionId};
use futures::future::{Either, select};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

pub use definitions::{
    ChangeList, Changed, DefinitionsSource, MemoryDefinitions, MeterSet, Position, TenantTerms,
};
pub use handle::{FirstRecord, MeterState, Meters};
pub(crate) use live::LiveDefinitions;
pub use state::Tally;

use crate::decider::FEATURE_LEVEL;
use crate::failures::METER;
use crate::sharing::{Claiming, OwnPartition};
use crate::tail::unavailable;
use crate::{EngineError, Failures, Ports};
use leader::Leader;
use state::Metering;

/// The longest wait before a claim is tried again, as a multiple of the first.
const CLAIM_RETRY_FACTOR_MAX: u32 = 30;

/// What a meter works with.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) ports: Ports,
    pub(crate) meters: Meters,
    pub(crate) failures: Arc<Failures>,
    /// Where records go that cannot be counted as they are.
    pub(crate) letters: Option<Arc<dyn Outlet>>,
}

impl Context {
    fn partitions(&self) -> u32 {
        self.meters.partitions()
    }

    /// Does the partition hold its share of what is kept in memory?
    fn is_full(&self, state: &Metering) -> bool {
        let settings = &self.ports.settings.usage;
        let cells = self.meters.live.source(state.partition).map_or(0, |source| source.bytes());
        cells >= settings.cells_bytes_max / self.partitions() as usize
            || state.identities.recent_len() >= settings.identity_entries_max
    }

    /// The partition is not metered, for now or for ever.
    fn stuck(&self, partition: PartitionId, error: &EngineError) {
        self.failures.stuck(partition, METER, error.to_string(), self.ports.runtime.now());
    }

    /// The fold has passed another record of the seals.
    fn progressed(&self, state: &Metering, head: &Head) {
        self.meters.tell_backfills(state.partition, &state.revisions);
        self.meters.update(state.partition, |it| {
            it.seq = head.seq;
            it.next = state.next;
            it.through = state.through;
            it.tally = state.tally;
        });
    }
}

fn count(partition: PartitionId, verdict: Verdict, next: Offset) {
    match verdict {
        Verdict::Accepted => {}
        Verdict::Ignorable(_) => {
            Metric::RecordsIgnored.counter(&[&partition.to_string()]).increment(1);
        }
        Verdict::Break(_) => {
            Metric::ChainBreaks.counter(&[&partition.to_string()]).increment(1);
            let offset = next.saturating_sub(1);
            error!(partition = partition.0, offset, %verdict, "chain of seals breaks");
        }
    }
}

/// Meters a partition whenever it is this process's own, and tells else how far it is and what
/// became of its events, until the process ends.
pub(crate) async fn share(context: Context, mut own: OwnPartition) -> Result<(), TaskError> {
    let partition = own.partition();
    let Some(mut asked) = context.meters.take_asked(partition) else {
        return Err(TaskError(format!("usage partition {partition} has two meters here")));
    };
    loop {
        {
            let following = core::pin::pin!(following::follow(&context, partition, &mut asked));
            // Asked first: where it is the process's own at once, nothing is followed.
            select(core::pin::pin!(own.gained()), following).await;
        }
        context.meters.update(partition, |it| it.followed = false);
        let claiming = own.claiming();
        let has_stopped = {
            let metering = core::pin::pin!(run(&context, (&claiming, partition), &mut asked));
            matches!(select(core::pin::pin!(own.lost()), metering).await, Either::Right(_))
        };
        if has_stopped {
            // Whoever gets the partition next must not wait for this process.
            let refusing = core::pin::pin!(refuse(&mut asked));
            select(core::pin::pin!(own.lost()), refusing).await;
        }
        info!(partition = partition.0, "usage given up");
        context.meters.live.forget(partition);
        context.failures.given_up(partition, METER);
        context.meters.update(partition, |it| {
            it.leading = false;
            it.fault = None;
        });
        Metric::MeterLeading.gauge(&[&partition.to_string()]).set(0.0);
        own.release();
    }
}

/// Leaves questions without an answer, for ever: nobody here can give one.
async fn refuse(asked: &mut mpsc::Receiver<handle::Asked>) {
    while let Some(it) = asked.recv().await {
        drop(it.reply);
    }
    core::future::pending::<()>().await;
}

/// Meters `partition` until the process ends. A seal that was not made of its records by
/// these rules stops the partition here, and nothing else.
async fn run(
    context: &Context,
    (claiming, partition): (&Claiming, PartitionId),
    asked: &mut mpsc::Receiver<handle::Asked>,
) {
    let ports = &context.ports;
    let mut failures = 0_u32;
    loop {
        let fault = match lead(context, (claiming, partition), (&mut failures, asked)).await {
            Ok(reason) => {
                info!(partition = partition.0, reason, "claiming usage anew");
                None
            }
            Err(error) if error.is_retryable() => {
                warn!(partition = partition.0, %error, "cannot meter for now");
                context.stuck(partition, &error);
                if let EngineError::Split { at } = error {
                    context.meters.update(partition, |it| it.split = Some(at));
                }
                Some(match error {
                    EngineError::Journal(fault) => fault,
                    error => unavailable(error.to_string()),
                })
            }
            Err(error) => {
                error!(partition = partition.0, %error, "usage is not metered any more");
                context.stuck(partition, &error);
                let fault = Fault::new(FaultKind::Stopped, error.to_string());
                context.meters.update(partition, |it| {
                    it.leading = false;
                    it.fault = Some(fault);
                });
                Metric::MeterLeading.gauge(&[&partition.to_string()]).set(0.0);
                return;
            }
        };
        context.meters.update(partition, |it| {
            it.leading = false;
            it.fault = fault;
        });
        failures += 1;
        Metric::MeterLeading.gauge(&[&partition.to_string()]).set(0.0);
        let nonce = ports.runtime.nonce()[0];
        let wait = ports.settings.claim_retry * failures.min(CLAIM_RETRY_FACTOR_MAX);
        ports.runtime.sleep(wait.mul_f64(0.5 + f64::from(nonce) / 256.0)).await;
    }
}

/// Claims and meters until the claim is lost; says why it was.
async fn lead(
    context: &Context,
    (claiming, partition): (&Claiming, PartitionId),
    (failures, asked): (&mut u32, &mut mpsc::Receiver<handle::Asked>),
) -> Result<&'static str, EngineError> {
    context.meters.ports.seals.prepare(partition);
    let (mut head, next) = resume::head(context, partition).await?;
    if !claiming.is_confirmed(next).await? {
        return Ok("the partition is another member's");
    }
    let owner = context.ports.runtime.nonce();
    let epoch = head.epoch() + 1;
    let claim = pb::SealClaim {
        epoch,
        owner: Bytes::copy_from_slice(&owner),
        feature_level: FEATURE_LEVEL,
    };
    context.meters.ports.seals.append(partition, encode_claim(partition, claim)).await?;
    resume::pass(context, partition, &mut head).await?;
    if !head.is_held_by(epoch, &owner) {
        return Ok("another meter's claim came first");
    }
    // Behind the claim, for whoever led before may have written until then, and deleted
    // what an earlier checkpoint names.
    let (mut state, mut head) = resume::load(context, partition, epoch).await?;
    resume::catch_up(context, &mut state, &mut head).await?;
    if !head.is_held_by(epoch, &owner) {
        return Ok("another meter's claim came soon after");
    }
    let end = context.meters.ports.log.end(partition).await?;
    context.progressed(&state, &head);
    context.failures.resumed(partition, METER, context.ports.runtime.now());
    context.meters.update(partition, |it| {
        it.leading = true;
        it.fault = None;
        it.led_from.get_or_insert(end);
    });
    Metric::MeterLeading.gauge(&[&partition.to_string()]).set(1.0);
    Leader::new(context, state, head, (epoch, owner), (failures, asked)).run().await
}
