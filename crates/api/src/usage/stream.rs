//! One stream of requests with events. At most a few requests are under way, and what
//! goes further is not read; a stream on which nothing moves ends. So a stream holds a
//! bounded amount of memory for a bounded time, whatever its client does.

use core::time::Duration;
use std::collections::VecDeque;

use exchequer_proto::usage::v1 as pb;
use exchequer_runtime::{OnEnd, TaskKind};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::gate::{Gate, Sender};
use super::ingest::{PATIENCE, take};
use crate::status::{self, RATE_LIMITED, Refusal, STREAM_STALLED};

const KIND: TaskKind = TaskKind { name: "usage-stream", on_end: OnEnd::Fine };
/// Requests of one stream whose events have no verdicts yet.
const UNDER_WAY_MAX: usize = 8;
/// All of them together; one more is read while they have less.
const UNDER_WAY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Replies that wait for their client.
const REPLIES_MAX: usize = 4;
/// A stream on which nothing comes, or from which nothing is read, ends after this long.
pub(crate) const STALLED: Duration = Duration::from_secs(60);

type Reply = Result<pb::StreamEventsResponse, Status>;

struct Flow {
    gate: Gate,
    sender: Sender,
    replies: mpsc::Sender<Reply>,
    under_way: FuturesOrdered<BoxFuture<'static, Reply>>,
    /// Bytes of each.
    sizes: VecDeque<usize>,
    /// Of the next request.
    number: u64,
}

/// What happens next on a stream.
enum Next {
    Reply(Reply),
    Request(Result<Option<pb::StreamEventsRequest>, Status>),
    Stopping,
    Stalled,
    Gone,
}

pub(crate) fn start(
    gate: Gate,
    sender: Sender,
    requests: Streaming<pb::StreamEventsRequest>,
    stopping: watch::Receiver<bool>,
) -> ReceiverStream<Reply> {
    let (replies, receiver) = mpsc::channel(REPLIES_MAX);
    let runtime = gate.runtime().clone();
    let flow = Flow {
        gate,
        sender,
        replies,
        under_way: FuturesOrdered::new(),
        sizes: VecDeque::new(),
        number: 0,
    };
    let task = async move {
        flow.run(requests, stopping).await;
        Ok(())
    };
    runtime.spawn(KIND, task.boxed());
    ReceiverStream::new(receiver)
}

impl Flow {
    async fn run(
        mut self,
        mut requests: Streaming<pb::StreamEventsRequest>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let mut is_open = true;
        while is_open || !self.under_way.is_empty() {
            let next = self.next(&mut requests, &mut stopping, is_open).await;
            let goes_on = match next {
                Next::Reply(Ok(reply)) => self.send(Ok(reply)).await,
                Next::Request(Ok(Some(request))) => {
                    self.begin(request);
                    true
                }
                Next::Request(Ok(None)) => {
                    is_open = false;
                    true
                }
                // What is under way is judged first.
                Next::Stopping => {
                    self.finish().await;
                    self.send(Err(status::shutting_down())).await;
                    false
                }
                Next::Request(Err(failed)) => {
                    self.finish().await;
                    self.send(Err(failed)).await;
                    false
                }
                Next::Reply(Err(failed)) => {
                    self.send(Err(failed)).await;
                    false
                }
                Next::Stalled => {
                    self.send(Err(stalled())).await;
                    false
                }
                Next::Gone => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    async fn next(
        &mut self,
        requests: &mut Streaming<pb::StreamEventsRequest>,
        stopping: &mut watch::Receiver<bool>,
        is_open: bool,
    ) -> Next {
        let bytes: usize = self.sizes.iter().sum();
        let has_room =
            is_open && self.under_way.len() < UNDER_WAY_MAX && bytes < UNDER_WAY_BYTES_MAX;
        let is_idle = self.under_way.is_empty();
        tokio::select! {
            biased;
            () = self.replies.closed() => Next::Gone,
            Some(reply) = self.under_way.next(), if !is_idle => Next::Reply(reply),
            () = stopped(stopping), if is_open => Next::Stopping,
            request = requests.message(), if has_room => Next::Request(request),
            () = self.gate.runtime().sleep(STALLED), if is_idle => Next::Stalled,
        }
    }

    fn begin(&mut self, request: pb::StreamEventsRequest) {
        let (gate, sender, number) = (self.gate.clone(), self.sender.clone(), self.number);
        let bytes = request.encoded_len();
        self.sizes.push_back(bytes);
        self.number += 1;
        let reply = async move {
            // The stream itself was the first request of its caller's rate.
            if number > 0 {
                wait_for_rate(&gate, &sender).await?;
            }
            let _taken = gate.room.wait(bytes).await?;
            let verdicts = take(&gate, &sender, &request.events, PATIENCE).await?;
            Ok(pb::StreamEventsResponse {
                number,
                verdicts: verdicts.messages(),
                accepted: verdicts.accepted(),
                refused: verdicts.refused(),
                consistency_token: verdicts.token(),
            })
        };
        self.under_way.push_back(reply.boxed());
    }

    /// Replies to all that is under way.
    async fn finish(&mut self) {
        while let Some(reply) = self.under_way.next().await {
            let failed = reply.is_err();
            if !self.send(reply).await || failed {
                return;
            }
        }
    }

    /// Does the client still read?
    async fn send(&mut self, reply: Reply) -> bool {
        if reply.is_ok() {
            self.sizes.pop_front();
        }
        tokio::select! {
            sent = self.replies.send(reply) => sent.is_ok(),
            () = self.gate.runtime().sleep(STALLED) => false,
        }
    }
}

/// A stream is slowed down to its caller's rate.
async fn wait_for_rate(gate: &Gate, sender: &Sender) -> Result<(), Status> {
    let (Some(caller), Some(items)) = (&sender.caller, &sender.items) else { return Ok(()) };
    let mut waited = Duration::ZERO;
    while let Err(wait) = items.take(caller).await {
        if waited > STALLED {
            let message = "the stream's requests are more than its caller's rate allows";
            return Err(Refusal::new(RATE_LIMITED, message).retry(wait).status());
        }
        gate.runtime().sleep(wait).await;
        waited += wait;
    }
    Ok(())
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

fn stalled() -> Status {
    let message = format!("nothing came for {} s: begin another stream", STALLED.as_secs());
    Refusal::new(STREAM_STALLED, message).status()
}
