//! The first message of a request, read before the service sees the request, and the
//! body as it was before.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tonic::Status;

use crate::REQUEST_BYTES_MAX;
use crate::malformed::compressed;
use crate::status::{REQUEST_MALFORMED, REQUEST_TOO_LARGE, Refusal};

/// Of a gRPC message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;

/// The first message of `body`, and a body that begins with the same bytes.
pub(super) async fn first_message(mut body: Body) -> Result<(Bytes, Body), Status> {
    let mut read = BytesMut::new();
    loop {
        let next = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let data = match next {
            None | Some(Err(_)) => return Err(malformed()),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        // Most requests come in one piece, which is not copied.
        if read.is_empty()
            && let Some(message) = message_in(&data)?
        {
            return Ok((message, again(data, body)));
        }
        read.extend_from_slice(&data);
        let so_far = read.split().freeze();
        if let Some(message) = message_in(&so_far)? {
            return Ok((message, again(so_far, body)));
        }
        read = so_far.try_into_mut().unwrap_or_else(|bytes| BytesMut::from(bytes.as_ref()));
    }
}

/// The first message, when all of it is there.
fn message_in(bytes: &Bytes) -> Result<Option<Bytes>, Status> {
    let mut rest = bytes.clone();
    if rest.len() < FRAME_BYTES {
        return Ok(None);
    }
    if rest.get_u8() != 0 {
        return Err(compressed().status());
    }
    let length = rest.get_u32() as usize;
    if length > REQUEST_BYTES_MAX {
        let message = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
        return Err(Refusal::new(REQUEST_TOO_LARGE, message).status());
    }
    Ok((rest.len() >= length).then(|| rest.split_to(length)))
}

fn again(read: Bytes, rest: Body) -> Body {
    if rest.is_end_stream() {
        return Body::from(read);
    }
    Body::new(Again { read: Some(read), rest })
}

/// What was read already, and then the rest.
struct Again {
    read: Option<Bytes>,
    rest: Body,
}

impl HttpBody for Again {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.read.take() {
            Some(read) => Poll::Ready(Some(Ok(Frame::data(read)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

pub(super) fn malformed() -> Status {
    Refusal::new(REQUEST_MALFORMED, "the request is not a message of this method").status()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures::stream;
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::status::COMPRESSION_UNKNOWN;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((message.len() as u32).to_be_bytes());
        bytes.extend(message);
        bytes
    }

    fn reason(refused: Status) -> String {
        refused.get_details_error_info().unwrap().reason
    }

    fn in_pieces(bytes: &[u8], piece: usize) -> Body {
        let pieces: Vec<_> = bytes
            .chunks(piece)
            .map(|it| Ok::<_, axum::Error>(Bytes::copy_from_slice(it)))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_is_given_back_whole_however_it_comes() {
        let bytes = [framed(b"first"), framed(b"second")].concat();
        for piece in 1..=bytes.len() {
            let (message, body) = first_message(in_pieces(&bytes, piece)).await.unwrap();
            assert_eq!(message.as_ref(), b"first", "{piece}");
            assert_eq!(to_bytes(body, 1_000).await.unwrap().as_ref(), bytes, "{piece}");
        }
        let (message, _) = first_message(Body::from(framed(b""))).await.unwrap();
        assert!(message.is_empty());
    }

    #[tokio::test]
    async fn a_body_without_a_whole_message_is_refused() {
        let code = |bytes: Vec<u8>| async move {
            reason(first_message(in_pieces(&bytes, 3)).await.unwrap_err())
        };
        assert_eq!(code(framed(b"cut off")[..8].to_vec()).await, REQUEST_MALFORMED);
        assert_eq!(code(vec![0, 0]).await, REQUEST_MALFORMED);
        assert_eq!(code(vec![1, 0, 0, 0, 1, 7]).await, COMPRESSION_UNKNOWN);
        assert_eq!(code(vec![0, 0xff, 0xff, 0xff, 0xff, 7]).await, REQUEST_TOO_LARGE);
        let none = first_message(Body::empty()).await.unwrap_err();
        assert_eq!(reason(none), REQUEST_MALFORMED);
    }
}
