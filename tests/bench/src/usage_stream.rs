//! The events of `usage` by gRPC: one stream for each connection. Messages are bytes here,
//! so that the cost of a client in Rust is not measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures::stream;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use crate::Failure;
use crate::server::{Server, with};
use crate::usage_events::{Template, number};

const STREAMS: usize = 4;
const BATCH: u64 = 1_000;
const PATH: &str = "/exchequer.usage.v1.IngestService/StreamEvents";
/// Fields of the reply.
const VERDICT: u64 = 2;
const REFUSED: u64 = 4;

/// Sends the events of these places, and reads all verdicts.
pub(crate) async fn send(
    server: &Server,
    places: core::ops::Range<u64>,
    template: &Template,
) -> Result<(), Failure> {
    let next = Arc::new(AtomicU64::new(places.start));
    let verdicts = Arc::new(AtomicU64::new(0));
    let tasks = (0..STREAMS).map(|_| {
        let (next, end, verdicts) = (Arc::clone(&next), places.end, Arc::clone(&verdicts));
        let sender = Sender::new(template.clone());
        let bearer = server.bearer.clone();
        let address = format!("http://{}", server.address);
        #[expect(clippy::disallowed_methods, reason = "senders are no part of the platform")]
        tokio::spawn(async move {
            let channel = Channel::from_shared(address)?
                .initial_stream_window_size(1 << 20)
                .initial_connection_window_size(1 << 20)
                .connect()
                .await?;
            let requests = stream::unfold((next, sender), move |(next, mut sender)| async move {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                let places = from..(from + BATCH).min(end);
                (from < end).then(|| (sender.message(places), (next, sender)))
            });
            let mut client = Grpc::new(channel).max_decoding_message_size(usize::MAX);
            client.ready().await?;
            let path = PathAndQuery::from_static(PATH);
            let replies = client.streaming(with(&bearer, requests), path, Raw).await?;
            let mut replies = replies.into_inner();
            while let Some(reply) = replies.message().await? {
                let (told, refused) = read(&reply).ok_or("the reply is malformed")?;
                if refused > 0 {
                    let reply =
                        String::from_utf8_lossy(&reply[..reply.len().min(500)]).into_owned();
                    return Err(format!("{refused} events were refused: {reply}").into());
                }
                verdicts.fetch_add(told, Ordering::Relaxed);
            }
            Ok::<(), Failure>(())
        })
    });
    for task in futures::future::join_all(tasks).await {
        task??;
    }
    let (sent, told) = (places.end - places.start, verdicts.load(Ordering::Relaxed));
    if sent == told { Ok(()) } else { Err(format!("{told} verdicts on {sent} events").into()) }
}

struct Sender {
    template: Template,
    body: Vec<u8>,
    /// Of an event in the body, before its own bytes.
    before: usize,
}

impl Sender {
    fn new(template: Template) -> Self {
        // Field 1, and a length of two bytes.
        let length = template.len();
        let before = [0x0a, length as u8 | 0x80, (length >> 7) as u8];
        let body = template.repeat(BATCH as usize, &before, b"");
        Self { template, body, before: before.len() }
    }

    fn message(&mut self, places: core::ops::Range<u64>) -> Bytes {
        let each = self.before + self.template.len();
        let count = (places.end - places.start) as usize;
        for (event, n) in self.body.chunks_mut(each).zip(places) {
            self.template.write(&mut event[self.before..], number(n));
        }
        Bytes::copy_from_slice(&self.body[..count * each])
    }
}

/// How many verdicts a reply has, and how many events it says were refused.
fn read(reply: &[u8]) -> Option<(u64, u64)> {
    let (mut verdicts, mut refused, mut at) = (0, 0, 0);
    while at < reply.len() {
        let tag = varint(reply, &mut at)?;
        let value = varint(reply, &mut at)?;
        verdicts += u64::from(tag >> 3 == VERDICT);
        if tag >> 3 == REFUSED {
            refused = value;
        }
        // All other fields are numbers or have a length.
        at += if tag & 7 == 2 { value as usize } else { 0 };
    }
    Some((verdicts, refused))
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Messages as their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}
