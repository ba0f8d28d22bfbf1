//! What every answer has, whoever made it: the request id, as a header and, of an error,
//! as `google.rpc.RequestInfo`; and the name of the resource that an error is about, as
//! the request has it. A panic is answered as an internal error.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use exchequer_proto::DESCRIPTORS;
use exchequer_runtime::Runtime;
use futures::{FutureExt as _, StreamExt as _};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::call::REQUEST_ID;
use crate::edge::hex;
use crate::mask::{Parts, fields_of};
use crate::status::{self, VERSION_CONFLICT};

/// Of a request's first bytes, which are kept until it is answered.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// Of a gRPC message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;
/// Fields that say which resource a request is about, the innermost first.
const ADDRESSES: [&str; 4] = ["key", "id", "catalog", "tenant"];

/// Names a call in logs and answers. In the extensions of every request.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>);

impl RequestId {
    pub(crate) fn new(runtime: &dyn Runtime) -> Self {
        Self(hex(&runtime.nonce()).into())
    }
}

/// The middleware, outside of everything else.
pub(crate) async fn complete(
    State(runtime): State<Arc<dyn Runtime>>,
    mut request: Request,
    next: Next,
) -> Response {
    // Whoever observes the calls has named it already.
    let known = request.extensions().get::<RequestId>().cloned();
    let id = known.unwrap_or_else(|| RequestId::new(runtime.as_ref()));
    request.extensions_mut().insert(id.clone());
    let path = request.uri().path().to_owned();
    let kept = Kept::default();
    let keep = kept.clone();
    let request = request.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |part| {
            if let Ok(part) = part {
                keep.take(part);
            }
        }))
    });
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response =
        answered.unwrap_or_else(|_| status::internal("call", "a panic ended it").into_http());
    let headers = response.headers_mut();
    if let Some(failed) = Status::from_header_map(headers)
        && failed.code() != Code::Ok
    {
        tracing::debug!(request_id = %id.0, path, code = ?failed.code(), message = failed.message(), "refused");
        let named = |field: Option<&str>| name_of(&path, field, &kept.message());
        write(headers, &with_request(&failed, &id, named));
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// `failed` with the request's id, and with the name of what it is about: `named` gives
/// the value of a field of the request, or of the one that addresses the resource.
pub(crate) fn with_request(
    failed: &Status,
    id: &RequestId,
    named: impl Fn(Option<&str>) -> Option<String>,
) -> Status {
    let mut details = failed.get_error_details();
    details.set_request_info(id.0.to_string(), "");
    let info = details.error_info();
    let reason = info.map(|it| it.reason.clone()).unwrap_or_default();
    let field = info.and_then(|it| it.metadata.get("field").cloned());
    if let Some(resource) = details.resource_info().cloned() {
        let name = named(field.as_deref()).unwrap_or_default();
        details.set_resource_info(resource.resource_type, name, "", resource.description);
    } else if reason == VERSION_CONFLICT {
        let name = named(None).unwrap_or_default();
        details.set_resource_info("", name, "", failed.message());
    }
    Status::with_error_details(failed.code(), failed.message(), details)
}

/// The status in place of the one that the headers have.
fn write(headers: &mut HeaderMap, status: &Status) {
    // Ours fits a header; otherwise the one that is there stays.
    let _ = status.add_header(headers);
}

/// The first bytes of a request.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<Bytes>>>);

impl Kept {
    fn take(&self, part: &Bytes) {
        if let Ok(mut parts) = self.0.lock()
            && parts.iter().map(Bytes::len).sum::<usize>() < KEPT_BYTES_MAX
        {
            parts.push(part.clone());
        }
    }

    /// The request's first message, as far as it was kept.
    fn message(&self) -> Bytes {
        let mut whole = BytesMut::new();
        if let Ok(parts) = self.0.lock() {
            parts.iter().for_each(|part| whole.extend_from_slice(part));
        }
        whole.split_off(FRAME_BYTES.min(whole.len())).freeze()
    }
}

/// The value that the request has at `field`, or at the field that addresses what it is
/// about.
fn name_of(path: &str, field: Option<&str>, message: &[u8]) -> Option<String> {
    name_in(inputs().get(path)?, field, message)
}

/// [`name_of`] a message of the type called `kind`.
pub(crate) fn name_in(kind: &str, field: Option<&str>, message: &[u8]) -> Option<String> {
    match field {
        Some(field) => text_at(kind, field, message),
        None => ADDRESSES.iter().find_map(|it| text_at(kind, it, message)),
    }
}

/// The text at a path such as `requests[2].key`; None when it is empty or no text.
fn text_at(kind: &str, path: &str, message: &[u8]) -> Option<String> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(it, rest)| (it, Some(rest)));
    let (name, index) = match first.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse().ok()?),
        None => (first, 0),
    };
    let field = fields_of(kind)?.get(name)?;
    let mut found = Parts(message).filter(|it| it.number == field.number);
    let body = found.nth(index)?.body?;
    match (rest, &field.message) {
        (Some(rest), Some(inner)) => text_at(inner, rest, body),
        (None, None) if field.is_text => {
            let text = String::from_utf8(body.to_vec()).ok()?;
            Some(text).filter(|it| !it.is_empty())
        }
        _ => None,
    }
}

/// The full name of each method's request, by the method's path.
fn inputs() -> &'static BTreeMap<String, String> {
    static INPUTS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    INPUTS.get_or_init(|| {
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
        let mut inputs = BTreeMap::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let input = method.input_type().trim_start_matches('.').to_owned();
                    inputs.insert(path, input);
                }
            }
        }
        inputs
    })
}
