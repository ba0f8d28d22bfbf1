//! What every answer has, whoever made it: the request id, as a header and, of an error,
//! as `google.rpc.RequestInfo`; and the name of the resource that an error is about, as
//! the request has it. A panic is answered as an internal error.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use exchequer_proto::DESCRIPTORS;
use exchequer_runtime::Runtime;
use futures::FutureExt as _;
use http_body::{Frame, SizeHint};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::call::REQUEST_ID;
use crate::edge::hex;
use crate::mask::{Parts, fields_of};
use crate::observe::Note;
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

/// What `answer` answers, completed. Stands outside of all that may refuse.
pub(crate) async fn complete<F>(
    runtime: &dyn Runtime,
    mut request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    // Whoever observes the calls has named it already.
    let known = request.extensions().get::<RequestId>().cloned();
    let id = known.unwrap_or_else(|| RequestId::new(runtime));
    request.extensions_mut().insert(id.clone());
    let path = request.uri().path().to_owned();
    let kept = Kept::default();
    let keep = kept.clone();
    let note = request.extensions().get::<Arc<Note>>().cloned();
    let request = request.map(|inner| Body::new(Keeping { inner, kept: keep, note }));
    let answered = AssertUnwindSafe(answer(request)).catch_unwind().await;
    let mut response =
        answered.unwrap_or_else(|_| status::internal("call", "a panic ended it").into_http());
    let headers = response.headers_mut();
    if let Some(failed) = Status::from_header_map(headers)
        && failed.code() != Code::Ok
    {
        tracing::debug!(request_id = %id.0, path, code = ?failed.code(), message = failed.message(), "refused");
        let asked = methods().get(&path);
        let named = |field: Option<&str>| name_in(&asked?.input, field, &kept.message());
        let kind = asked.map(|it| it.resource.as_str()).unwrap_or_default();
        write(headers, &with_request(&failed, &id, kind, named));
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// `failed` with the request's id, and with the name of what it is about: `kind` is what
/// the method changes, and `named` gives the value of a field of the request, or of the one
/// that addresses the resource.
pub(crate) fn with_request(
    failed: &Status,
    id: &RequestId,
    kind: &str,
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
        details.set_resource_info(kind, name, "", failed.message());
    }
    Status::with_error_details(failed.code(), failed.message(), details)
}

/// The status in place of the one that the headers have.
fn write(headers: &mut HeaderMap, status: &Status) {
    // Ours fits a header; otherwise the one that is there stays.
    let _ = status.add_header(headers);
}

/// A request's body, of which the first bytes are kept, and all are counted.
struct Keeping {
    inner: Body,
    kept: Kept,
    note: Option<Arc<Note>>,
}

impl HttpBody for Keeping {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.kept.take(data);
            if let Some(note) = &self.note {
                note.receive(data.len());
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

/// The value that a request of the type called `kind` has at `field`, or at the field that
/// addresses what it is about.
pub(crate) fn name_in(kind: &str, field: Option<&str>, message: &[u8]) -> Option<String> {
    match field {
        Some(field) => text_at(kind, field, message),
        None => ADDRESSES.iter().find_map(|it| text_at(kind, it, message)),
    }
}

/// The text or number at a path such as `requests[2].key`; None when it is empty or
/// something else.
fn text_at(kind: &str, path: &str, message: &[u8]) -> Option<String> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(it, rest)| (it, Some(rest)));
    let (name, index) = match first.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse().ok()?),
        None => (first, 0),
    };
    let field = fields_of(kind)?.get(name)?;
    let mut found = Parts(message).filter(|it| it.number == field.number);
    let part = found.nth(index)?;
    match (rest, &field.message) {
        (Some(rest), Some(inner)) => text_at(inner, rest, part.body?),
        (None, None) if field.is_text => {
            let text = String::from_utf8(part.body?.to_vec()).ok()?;
            Some(text).filter(|it| !it.is_empty())
        }
        (None, None) if field.is_count => Some(part.varint?.to_string()),
        _ => None,
    }
}

/// A method as errors tell of it.
struct Asked {
    /// The full name of its request.
    input: String,
    /// What it changes, such as `flag` or `catalog version`.
    resource: String,
}

/// What the method changes that takes a request of the type called `input`.
pub(crate) fn changed_by(input: &str) -> &'static str {
    let found = methods().values().find(|it| it.input == input);
    found.map(|it| it.resource.as_str()).unwrap_or_default()
}

/// Each method by its path.
fn methods() -> &'static BTreeMap<String, Asked> {
    static METHODS: OnceLock<BTreeMap<String, Asked>> = OnceLock::new();
    METHODS.get_or_init(|| {
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
        let mut methods = BTreeMap::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let input = method.input_type().trim_start_matches('.').to_owned();
                    let resource = resource(method.name(), method.output_type());
                    methods.insert(path, Asked { input, resource });
                }
            }
        }
        methods
    })
}

/// The words of what a method gives; of a reply made for it alone, those behind its verb.
fn resource(method: &str, output: &str) -> String {
    let output = output.rsplit('.').next().unwrap_or_default();
    if output.ends_with("Response") {
        return words(method).into_iter().skip(1).collect::<Vec<_>>().join(" ");
    }
    words(output.trim_end_matches("Reply")).join(" ")
}

/// `CatalogVersion` as `catalog` and `version`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for char in name.chars() {
        match words.last_mut() {
            Some(word) if !char.is_ascii_uppercase() => word.push(char),
            _ => words.push(char.to_ascii_lowercase().to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: EDG-02
    #[test]
    fn a_method_says_what_it_changes() {
        for (method, output, expected) in [
            ("ToggleFlag", ".exchequer.flags.v1.Flag", "flag"),
            ("PublishCatalog", ".exchequer.catalog.v1.CatalogVersion", "catalog version"),
            ("PauseSubscription", ".exchequer.subscriptions.v1.SubscriptionReply", "subscription"),
            ("RotateCredential", ".a.RotateCredentialResponse", "credential"),
        ] {
            assert_eq!(resource(method, output), expected);
        }
        let asked = &methods()["/exchequer.flags.v1.FlagService/ToggleFlag"];
        assert_eq!(asked.input, "exchequer.flags.v1.ToggleFlagRequest");
    }

    // REQ: EDG-02
    #[test]
    fn names_are_texts_or_numbers() {
        use exchequer_proto::catalog::v1 as pb;
        let ask = pb::RetireVersionRequest { version: 300, ..<_>::default() };
        let (kind, bytes) = ("exchequer.catalog.v1.RetireVersionRequest", ask.encode_to_vec());
        assert_eq!(name_in(kind, Some("version"), &bytes).as_deref(), Some("300"));
        assert_eq!(name_in(kind, Some("catalog"), &bytes), None);
    }
}
