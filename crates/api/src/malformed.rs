//! What the gRPC library refuses before a service sees it, as errors of ours: it
//! calls a malformed message an internal error, and names no code.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use exchequer_proto::DESCRIPTORS;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};

use crate::REQUEST_BYTES_MAX;
use crate::status::{
    COMPRESSION_UNKNOWN, METHOD_UNKNOWN, REQUEST_MALFORMED, REQUEST_TOO_DEEP, REQUEST_TOO_LARGE,
    Refusal,
};

/// How the library's messages about malformed requests begin.
const DECODING: &str = "failed to decode Protobuf message: ";
/// How its message about a compressed request begins.
const COMPRESSED: &str = "Content is compressed with ";
/// What the library says of messages that stand too deep in each other.
const TOO_DEEP: &str = "recursion limit reached";

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
    Refusal::new(METHOD_UNKNOWN, "there is no such method here: reflection lists those there are")
}

/// A request that is packed in any way.
pub(crate) fn compressed() -> Refusal {
    Refusal::new(COMPRESSION_UNKNOWN, "requests are not taken compressed: send without")
}

/// Every error of ours carries details; one without is the library's.
pub(crate) fn name(response: Response) -> Response {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    if !status.details().is_empty() {
        return response;
    }
    let refusal = match status.code() {
        // Of a message that does not decode, and of invalid UTF-8 in it.
        Code::Internal => malformed(status.message()),
        Code::OutOfRange | Code::ResourceExhausted => {
            let message = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
            Refusal::new(REQUEST_TOO_LARGE, message)
        }
        Code::Unimplemented if status.message().starts_with(COMPRESSED) => compressed(),
        Code::Unimplemented => method_unknown(),
        _ => return response,
    };
    refusal.status().into_http()
}

/// The library's message has `Message.field: ` for each field on the way, the
/// innermost first; the rest of it is not passed on.
fn malformed(message: &str) -> Refusal {
    let parts = message.strip_prefix(DECODING).unwrap_or_default().split(": ");
    let mut parts: Vec<(&str, &str)> = parts.map_while(field).collect();
    parts.reverse();
    // The library names the `oneof` where a field of it is meant: which, nobody knows.
    let known = parts.iter().take_while(|(message, field)| !is_oneof(message, field));
    let mut path: Vec<&str> = known.map(|(_, field)| *field).collect();
    let refusal = if message.starts_with(DECODING) && message.ends_with(TOO_DEEP) {
        path.truncate(before_again(&path));
        let message = "messages stand more than 100 deep in each other: flatten what is sent";
        Refusal::new(REQUEST_TOO_DEEP, message)
    } else {
        Refusal::new(REQUEST_MALFORMED, "the request is not a message of this method")
    };
    if path.is_empty() { refusal } else { refusal.field(path.join(".")) }
}

/// How many fields stand before the first that comes again: what nests.
fn before_again(path: &[&str]) -> usize {
    let is_again = |(index, field): (usize, &&str)| path.iter().take(index).any(|it| it == field);
    path.iter().enumerate().position(is_again).unwrap_or(path.len())
}

/// Is it the name of a `oneof` of a message of the contract?
fn is_oneof(message: &str, name: &str) -> bool {
    static ONEOFS: OnceLock<BTreeSet<(String, String)>> = OnceLock::new();
    let all = ONEOFS.get_or_init(|| {
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
        let mut left: Vec<_> = set.file.into_iter().flat_map(|it| it.message_type).collect();
        let mut all = BTreeSet::new();
        while let Some(message) = left.pop() {
            let names = message.oneof_decl.iter().map(|it| it.name().to_owned());
            all.extend(names.map(|name| (message.name().to_owned(), name)));
            left.extend(message.nested_type);
        }
        all
    });
    all.contains(&(message.to_owned(), name.to_owned()))
}

/// A message and a field of it, as `Tenant.name`.
fn field(part: &str) -> Option<(&str, &str)> {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
    };
    let (message, field) = part.split_once('.')?;
    (is_name(message) && is_name(field)).then_some((message, field))
}

#[cfg(test)]
mod tests {
    use exchequer_proto::tenants::v1 as pb;
    use tonic_types::StatusExt as _;

    use super::*;

    // REQ: KER-13
    #[test]
    fn the_field_that_does_not_decode_is_named() {
        // CreateTenantRequest.settings[0].key is no UTF-8.
        let bytes: &[u8] = &[0x22, 4, 0x0a, 2, 0xff, 0xfe];
        let error = pb::CreateTenantRequest::decode(bytes).unwrap_err();
        let status = malformed(&error.to_string()).status();
        let named = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(named[0].field, "settings.key");
        assert!(!status.message().contains("UTF-8"), "{}", status.message());
    }

    // REQ: FLG-04
    #[test]
    fn what_nests_too_deep_is_told_from_what_is_malformed() {
        let list = |value| prost_types::ListValue { values: vec![value] };
        let value = (0..200).fold(prost_types::Value::default(), |value, _| prost_types::Value {
            kind: Some(prost_types::value::Kind::ListValue(list(value))),
        });
        let error = prost_types::Value::decode(&value.encode_to_vec()[..]).unwrap_err();
        let refusal = malformed(&error.to_string());
        let status = refusal.status();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_error_info().unwrap().reason, REQUEST_TOO_DEEP);
        // It is the value itself that nests: there is no path to it.
        assert!(status.get_details_bad_request().is_none());
        // Our own `oneof`s too.
        let of_flag = "Condition.kind: Condition.kind: Rule.condition: recursion limit reached";
        let status = malformed(&format!("{DECODING}{of_flag}")).status();
        let named = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(named[0].field, "condition");
        // Not the client's text, but the library's, decides.
        let status = malformed("recursion limit reached").status();
        assert_eq!(status.get_details_error_info().unwrap().reason, REQUEST_MALFORMED);
    }
}
