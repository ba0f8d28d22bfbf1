//! Bodies of streams that end when their caller may not read them any more: its
//! credential is gone, or its permission.

use core::pin::Pin;
use core::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use tonic::Status;

/// A reply's body, until `end` says why it is over.
pub(crate) struct Ending {
    inner: Option<Body>,
    end: BoxFuture<'static, Status>,
}

impl Ending {
    pub(crate) fn new(inner: Body, end: BoxFuture<'static, Status>) -> Self {
        Self { inner: Some(inner), end }
    }
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.inner.is_none() {
            return Poll::Ready(None);
        }
        // The end first, so that a stream that always has something ends too.
        if let Poll::Ready(status) = self.end.as_mut().poll(context) {
            self.inner = None;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))));
        }
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) {
            self.inner = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        // Details that are no header: the code alone.
        let _ = Status::new(status.code(), "refused").add_header(&mut headers);
    }
    headers
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _, stream};
    use tonic::Code;

    use super::*;

    async fn frames(mut body: Ending) -> Vec<Frame<Bytes>> {
        let mut frames = Vec::new();
        while let Some(frame) =
            core::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            frames.push(frame.unwrap());
        }
        frames
    }

    fn endless() -> Body {
        let entries = stream::repeat(Bytes::from_static(b"entry"));
        Body::from_stream(entries.map(Ok::<_, axum::Error>))
    }

    // REQ: IAM-13
    #[tokio::test]
    async fn a_stream_that_always_has_something_ends_with_the_reason() {
        let mut polled = 0;
        let end = core::future::poll_fn(move |_| {
            polled += 1;
            if polled > 3 { Poll::Ready(Status::unauthenticated("gone")) } else { Poll::Pending }
        });
        let frames = frames(Ending::new(endless(), end.boxed())).await;
        assert_eq!(frames.len(), 4);
        let status = Status::from_header_map(frames[3].trailers_ref().unwrap()).unwrap();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "gone"));
    }

    #[tokio::test]
    async fn a_stream_that_ends_by_itself_is_left_alone() {
        let body = Body::from_stream(
            stream::iter([Ok::<_, axum::Error>(Bytes::from_static(b"entry"))])
                .chain(stream::empty()),
        );
        let frames = frames(Ending::new(body, core::future::pending().boxed())).await;
        assert_eq!(frames.len(), 1);
    }
}
