//! Unpacks compressed requests, up to a bound of what comes out: a bomb is refused as soon
//! as it passes the bound, without being unpacked to its end.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;
use tonic::Status;
use zstd::stream::read::Decoder;

use super::gate::REQUEST_BYTES_MAX;
use crate::status::{CONTENT_ENCODING_UNKNOWN, REQUEST_MALFORMED, REQUEST_TOO_LARGE, Refusal};

/// Unpacked between two turns of other tasks.
const TURN_BYTES: usize = 256 * 1024;
/// The largest window of zstd that is taken, as a power of two: 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// What the header `content-encoding` says.
    pub(crate) fn parse(header: Option<&[u8]>) -> Result<Self, Status> {
        let Some(header) = header else { return Ok(Self::Identity) };
        let known = [
            ("identity", Self::Identity),
            ("", Self::Identity),
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("zstd", Self::Zstd),
        ];
        let word = header.trim_ascii();
        let found = known.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, it)| *it).ok_or_else(|| {
            let message = "must be gzip, zstd or identity, and one alone";
            Refusal::new(CONTENT_ENCODING_UNKNOWN, message).field("content-encoding").status()
        })
    }

    /// The body as it was before it was packed.
    pub(crate) async fn unpack(self, body: Bytes) -> Result<Bytes, Status> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => read_all(MultiGzDecoder::new(body.reader())).await,
            Self::Zstd => {
                let decoder = Decoder::with_buffer(body.reader());
                let mut decoder = decoder.map_err(|error| malformed(&error))?;
                decoder.window_log_max(WINDOW_LOG_MAX).map_err(|error| malformed(&error))?;
                read_all(decoder).await
            }
        }
    }
}

async fn read_all(mut source: impl Read + Send) -> Result<Bytes, Status> {
    let mut out = Vec::new();
    loop {
        let before = out.len();
        let limit = (TURN_BYTES as u64).min((REQUEST_BYTES_MAX + 1 - before) as u64);
        let mut turn = source.by_ref().take(limit);
        turn.read_to_end(&mut out).map_err(|error| malformed(&error))?;
        if out.len() > REQUEST_BYTES_MAX {
            let message = format!("the request has more than {REQUEST_BYTES_MAX} bytes unpacked");
            return Err(Refusal::new(REQUEST_TOO_LARGE, message).status());
        }
        if out.len() == before {
            return Ok(out.into());
        }
        tokio::task::yield_now().await;
    }
}

fn malformed(error: &io::Error) -> Status {
    let message = format!("the body is not packed as content-encoding says: {error}");
    Refusal::new(REQUEST_MALFORMED, message).field("content-encoding").status()
}
