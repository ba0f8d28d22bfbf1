//! Connections as they come in, with their TLS handshake behind them. A slow or
//! broken handshake holds up nobody.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use exchequer_runtime::Metric;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, unfold};
use futures::{FutureExt as _, Stream, StreamExt as _};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::conn::Conn;
use super::live::Live;

/// Handshakes at once; further connections wait in the system's queue.
const HANDSHAKES_MAX: usize = 512;
/// A client that has not shaken hands by then is let go.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// After a connection that could not be accepted, for want of file handles perhaps.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

struct Accept {
    listener: TcpListener,
    tls: Option<Arc<Live>>,
    handshakes: FuturesUnordered<BoxFuture<'static, Option<Conn>>>,
}

/// Connections of `listener`, with TLS when `tls` is there.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<Live>>,
) -> impl Stream<Item = io::Result<Conn>> {
    let accept = Accept { listener, tls, handshakes: FuturesUnordered::new() };
    unfold(accept, |mut accept| async move {
        let conn = accept.next().await;
        Some((Ok(conn), accept))
    })
}

impl Accept {
    async fn next(&mut self) -> Conn {
        loop {
            tokio::select! {
                Some(ended) = self.handshakes.next(), if !self.handshakes.is_empty() => {
                    if let Some(conn) = ended {
                        return conn;
                    }
                }
                accepted = self.listener.accept(), if self.handshakes.len() < HANDSHAKES_MAX => {
                    match accepted {
                        Ok((stream, address)) => {
                            if let Some(conn) = self.begin(stream, address) {
                                return conn;
                            }
                        }
                        Err(error) => {
                            tracing::warn!(%error, "a connection was not accepted");
                            tokio::time::sleep(ACCEPT_RETRY).await;
                        }
                    }
                }
            }
        }
    }

    /// A connection without TLS is ready at once.
    fn begin(&self, stream: TcpStream, address: SocketAddr) -> Option<Conn> {
        if let Err(error) = stream.set_nodelay(true) {
            // The client has gone again.
            tracing::debug!(%error, "a connection is slower than it could be");
        }
        let Some(tls) = &self.tls else { return Some(Conn::plain(stream, address)) };
        self.handshakes.push(shake_hands(stream, address, tls.config()).boxed());
        None
    }
}

async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    config: Arc<ServerConfig>,
) -> Option<Conn> {
    let handshake = TlsAcceptor::from(config).accept(stream);
    let error = match tokio::time::timeout(HANDSHAKE_MAX, handshake).await {
        Ok(Ok(stream)) => return Some(Conn::tls(stream, address)),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the client was too slow".to_owned(),
    };
    Metric::TlsHandshakesFailed.counter(&[]).increment(1);
    tracing::debug!(%address, error, "a TLS handshake failed");
    None
}
