//! Bodies of replies, which are counted as they pass, and whose end is the call's.

use core::pin::Pin;
use core::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

use super::record::Record;

type Polled = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

/// A reply's body. The call is over when it has been read, or when nobody reads it
/// any more.
#[derive(Debug)]
pub struct Watched {
    inner: Body,
    /// None: nobody wants to know.
    record: Option<Record>,
}

impl Watched {
    pub(super) fn new(inner: Body, record: Option<Record>) -> Self {
        Self { inner, record }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let (Poll::Ready(Some(Ok(frame))), Some(record)) = (&polled, &mut self.record) {
            if let Some(data) = frame.data_ref() {
                record.sent += data.len() as u64;
            } else if let Some(trailers) = frame.trailers_ref() {
                record.trailed(trailers);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
