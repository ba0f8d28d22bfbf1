//! The events of `usage` by HTTP: batches on connections that are used again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Failure;
use crate::server::Server;
use crate::usage_events::{Template, number};

const BATCH: u64 = 1_000;
const CONNECTIONS: usize = 8;
/// A request that is refused for a moment is sent again so often.
const TRIES_MAX: usize = 200;
pub(crate) const TOKEN: &str = "x-exchequer-usage-consistency";

/// Sends the events of these places; at `pace` events a second where one is given.
/// Returns how many requests were refused for a moment and sent again.
pub(crate) async fn send(
    server: &Server,
    places: core::ops::Range<u64>,
    pace: Option<u64>,
    template: &Template,
) -> Result<u64, Failure> {
    let next = Arc::new(AtomicU64::new(places.start));
    let began = Instant::now();
    let tasks = (0..CONNECTIONS).map(|_| {
        let (next, places) = (Arc::clone(&next), places.clone());
        let connection = Connection::open(server, template.clone(), BATCH as usize);
        #[expect(clippy::disallowed_methods, reason = "senders are no part of the platform")]
        tokio::spawn(async move {
            let mut connection = connection.await?;
            loop {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                if from >= places.end {
                    return Ok::<u64, Failure>(connection.sent_again);
                }
                if let Some(pace) = pace {
                    let due = Duration::from_secs_f64((from - places.start) as f64 / pace as f64);
                    tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
                }
                connection.post(from..(from + BATCH).min(places.end)).await?;
            }
        })
    });
    let mut sent_again = 0;
    for task in futures::future::join_all(tasks).await {
        sent_again += task??;
    }
    Ok(sent_again)
}

/// One HTTP/1.1 connection that is used again and again.
pub(crate) struct Connection {
    stream: TcpStream,
    template: Template,
    head: String,
    /// A list of as many events as a batch has.
    body: Vec<u8>,
    reply: Vec<u8>,
    sent_again: u64,
}

impl Connection {
    pub(crate) fn open(
        server: &Server,
        template: Template,
        batch: usize,
    ) -> impl Future<Output = Result<Self, Failure>> + use<> {
        let address = server.address.clone();
        let bearer = server.bearer.to_str().map(str::to_owned);
        async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let head = format!(
                "POST /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: {}\r\n\
                 content-type: application/cloudevents-batch+json\r\ncontent-length: ",
                bearer?
            );
            let body = [b"[", &*template.repeat(batch, b"", b","), b"]"].concat();
            Ok(Self { stream, template, head, body, reply: Vec::new(), sent_again: 0 })
        }
    }

    /// Posts the events of these places; the token of their acceptance.
    async fn post(&mut self, places: core::ops::Range<u64>) -> Result<String, Failure> {
        let each = self.template.len() + 1;
        let count = (places.end - places.start) as usize;
        for (event, n) in self.body[1..].chunks_mut(each).zip(places) {
            self.template.write(event, number(n));
        }
        self.exchange(count).await
    }

    /// Posts the one event of this number, for the tenant that is probed.
    pub(crate) async fn post_probe(&mut self, number: u64) -> Result<String, Failure> {
        self.template.write_probe(&mut self.body[1..], number);
        self.exchange(1).await
    }

    /// Sends the first `count` events of the body, until they are taken.
    async fn exchange(&mut self, count: usize) -> Result<String, Failure> {
        let end = count * (self.template.len() + 1);
        let stood = core::mem::replace(&mut self.body[end], b']');
        for _ in 0..TRIES_MAX {
            let (is_ok, token) = self.request(end + 1).await?;
            if is_ok {
                self.body[end] = stood;
                self.check(count)?;
                return Ok(token);
            }
            self.sent_again += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(String::from_utf8_lossy(&self.reply).into_owned().into())
    }

    /// Is there a verdict for each event, and has none been refused?
    fn check(&self, count: usize) -> Result<(), Failure> {
        let totals = format!("\"accepted\":{count},\"refused\":0}}");
        let verdicts = self.reply.split(|byte| *byte == b'{').count() - 2;
        if verdicts == count && self.reply.ends_with(totals.as_bytes()) {
            return Ok(());
        }
        let reply = String::from_utf8_lossy(&self.reply[..self.reply.len().min(2_000)]);
        Err(format!("{verdicts} verdicts on {count} events: {reply}").into())
    }

    /// Whether it was taken, and its token. The reply's body stays in `reply`.
    async fn request(&mut self, bytes: usize) -> Result<(bool, String), Failure> {
        let head = format!("{}{bytes}\r\n\r\n", self.head);
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(&self.body[..bytes]).await?;
        self.reply.clear();
        let (status, token, head_bytes, length) = loop {
            self.read().await?;
            let searched = &self.reply[..self.reply.len().min(4_096)];
            let Some(at) = searched.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
            let plain = String::from_utf8_lossy(&self.reply[..at]).into_owned();
            let lower = plain.to_ascii_lowercase();
            let length = field(&lower, &plain, "content-length").ok_or("no content-length")?;
            let status = plain.split(' ').nth(1).unwrap_or_default().to_owned();
            let token = field(&lower, &plain, TOKEN).unwrap_or_default();
            break (status, token, at + 4, length.parse::<usize>()?);
        };
        while self.reply.len() < head_bytes + length {
            self.read().await?;
        }
        self.reply.drain(..head_bytes);
        match status.as_str() {
            "200" => Ok((true, token)),
            "429" | "503" => Ok((false, token)),
            _ => Err(format!("{status}: {}", String::from_utf8_lossy(&self.reply)).into()),
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        self.reply.reserve(64 * 1024);
        if self.stream.read_buf(&mut self.reply).await? == 0 {
            return Err("the server closed the connection".into());
        }
        Ok(())
    }
}

/// The value of a header, whose name is looked for in lower case.
fn field(lower: &str, plain: &str, name: &str) -> Option<String> {
    let at = lower.find(&format!("\r\n{name}: "))? + name.len() + 4;
    plain.get(at..)?.lines().next().map(str::to_owned)
}
