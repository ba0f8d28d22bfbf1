//! A partition that another process meters: how far it is there, and what became of its events,
//! as far as that process has written it to the store.

use core::time::Duration;

use exchequer_codec::usage::revisions_from_proto;
use exchequer_projection_usage::checkpoint;
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Identity, Offset, PartitionId};
use futures::future::{Either, join, select};
use prost::Message as _;
use tokio::sync::mpsc;
use tracing::warn;

use super::handle::{Asked, FirstRecord};
use super::state::Tally;
use super::{Context, correcting, resume};
use crate::EngineError;
use crate::tail::unavailable;

/// How often it is read how far the other one is, and asked again what could not be told while
/// it wrote.
const INTERVAL: Duration = Duration::from_millis(100);

/// For ever.
pub(super) async fn follow(
    context: &Context,
    partition: PartitionId,
    asked: &mut mpsc::Receiver<Asked>,
) {
    let answering = async {
        while let Some(it) = asked.recv().await {
            answer(context, partition, it).await;
        }
    };
    join(progress(context, partition), answering).await;
}

async fn progress(context: &Context, partition: PartitionId) {
    loop {
        if let Err(error) = progress_once(context, partition).await {
            warn!(partition = partition.0, %error, "cannot read how far usage is");
            let fault = unavailable(error.to_string());
            context.meters.update(partition, |it| it.fault = Some(fault));
        }
        context.ports.runtime.sleep(INTERVAL).await;
    }
}

async fn progress_once(context: &Context, partition: PartitionId) -> Result<(), EngineError> {
    let found = checkpoint(context.ports.store.as_ref(), partition).await?.unwrap_or_default();
    let known = context.meters.state(partition);
    let news = (found.seal, found.offset, found.through);
    let is_known = known.followed && known.fault.is_none();
    if is_known && (known.seq, known.next, known.through) == news {
        return Ok(());
    }
    let meter = pb::MeterCheckpoint::decode(found.meter);
    let meter = meter.map_err(exchequer_codec::DecodeError::from)?;
    let revisions = revisions_from_proto(&meter)?;
    context.meters.follow_backfills(partition, revisions.backfills);
    context.meters.update(partition, |it| {
        it.followed = true;
        it.fault = None;
        it.tally = Tally::of(&meter);
        (it.seq, it.next, it.through) = news;
    });
    Ok(())
}

/// Until there is an answer, or nobody waits for it any more: whoever meters may write what is
/// being read.
async fn answer(context: &Context, partition: PartitionId, mut it: Asked) {
    let name = (it.identity, it.at);
    loop {
        let found = {
            let telling = core::pin::pin!(tell(context, partition, name));
            match select(telling, core::pin::pin!(it.reply.closed())).await {
                Either::Left((found, _)) => found,
                Either::Right(_) => return,
            }
        };
        match found {
            Err(error) if error.is_retryable() => context.ports.runtime.sleep(INTERVAL).await,
            found => return it.answer(found),
        }
    }
}

/// All that is needed is read anew for one question, and few are asked.
async fn tell(
    context: &Context,
    partition: PartitionId,
    name: (Identity, Option<Offset>),
) -> Result<Option<FirstRecord>, EngineError> {
    let _permit = context.meters.may_look().await;
    let (mut state, _, _) = resume::read(context, partition, 0).await?;
    correcting::first_record(context, &mut state, name).await
}
