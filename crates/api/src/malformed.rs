//! What the gRPC library refuses before a service sees it, as errors of ours: it
//! calls a malformed message an internal error, and names no code.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tonic::{Code, Status};

use crate::REQUEST_BYTES_MAX;
use crate::status::{METHOD_UNKNOWN, REQUEST_MALFORMED, REQUEST_TOO_LARGE, Refusal};

/// What no route is for: a method that there is not, or no gRPC at all.
pub(crate) async fn unknown(request: Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return method_unknown().status().into_http();
    }
    (StatusCode::NOT_FOUND, "no such path: this port speaks gRPC, see /readyz and /metrics\n")
        .into_response()
}

fn method_unknown() -> Refusal {
    Refusal::new(METHOD_UNKNOWN, "no such method, or a compression that is not spoken here")
}

/// Every error of ours carries details; one without is the library's.
pub(crate) async fn name(response: Response) -> Response {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    if !status.details().is_empty() {
        return response;
    }
    let refusal = match status.code() {
        // Of a message that does not decode, and of invalid UTF-8 in it.
        Code::Internal => {
            Refusal::new(REQUEST_MALFORMED, "the request is not a message of this method")
        }
        Code::OutOfRange | Code::ResourceExhausted => {
            let message = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
            Refusal::new(REQUEST_TOO_LARGE, message)
        }
        Code::Unimplemented => method_unknown(),
        _ => return response,
    };
    refusal.status().into_http()
}
