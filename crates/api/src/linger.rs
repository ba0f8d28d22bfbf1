//! An answer that is there before the request has been read, such as a refusal of a body
//! that is too large. HTTP/1 has one stream for both: whoever is still sending finds the
//! connection closed and never reads why. So what is left of the request is read and
//! dropped first, within bounds. HTTP/2 needs none of this.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{Version, header};
use axum::response::Response;
use bytes::Bytes;
use exchequer_runtime::Runtime;
use futures::channel::oneshot;
use futures::future::select;
use http_body::{Frame, SizeHint};

/// Of the rest of a request, read for an answer's sake.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// As long as an answer waits for the rest of its request.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// What `answer` answers, once nothing more of the request comes.
pub(crate) async fn linger<F>(
    runtime: &dyn Runtime,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    // Who asks first whether to send is told no by the answer itself.
    let asks = request.headers().contains_key(header::EXPECT);
    if request.version() >= Version::HTTP_2 || asks || request.body().is_end_stream() {
        return answer(request).await;
    }
    let (back, mut rest) = oneshot::channel();
    let lent = |body| Body::new(Lent { body: Some(body), back: Some(back) });
    let response = answer(request.map(lent)).await;
    if let Ok(Some(rest)) = rest.try_recv() {
        select(Box::pin(drop_all(rest)), runtime.sleep(LINGER_MAX)).await;
    }
    response
}

async fn drop_all(mut body: Body) {
    let mut left = LINGER_BYTES_MAX;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let Some(still) = left.checked_sub(bytes) else { return };
        left = still;
    }
}

/// A request's body, which comes back when its reader drops it before its end.
struct Lent {
    body: Option<Body>,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            // When nobody takes it, the answer is gone as well.
            let _gone = back.send(body);
        }
    }
}
