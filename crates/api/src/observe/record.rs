//! One call from its first byte to its last: the line and the span that it leaves
//! behind when it is over, however that comes about.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use exchequer_runtime::trace::{Attribute, Span, SpanKind, TraceContext};
use exchequer_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{ACCESS_LOG, AccessLog, Note, Observe};
use crate::answers::RequestId;

const GRPC_STATUS: &str = "grpc-status";

#[derive(Debug)]
pub(super) struct Record {
    pub(super) observe: Arc<Observe>,
    pub(super) id: RequestId,
    pub(super) note: Arc<Note>,
    pub(super) began: Timestamp,
    pub(super) path: Cow<'static, str>,
    /// The trace that the call belongs to, whether it is followed here or not.
    pub(super) trace: Option<String>,
    pub(super) step: Option<TraceContext>,
    /// The step of the caller.
    pub(super) parent: Option<[u8; 8]>,
    pub(super) address: Option<String>,
    /// None while it is not known: a caller that goes before, goes without.
    pub(super) ended: Option<Ended>,
    pub(super) sent: u64,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The gRPC code, or the HTTP status of what is no gRPC.
    code: i32,
    word: Cow<'static, str>,
    reason: Option<String>,
    is_ok: bool,
    is_fault: bool,
}

impl Record {
    /// The head of the reply is there; of a refusal it is all.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.ended = Some(Ended::of(&status));
        } else if status != StatusCode::OK {
            self.ended = Some(Ended::of_http(status));
        }
    }

    /// The tail of a reply tells how it ended.
    pub(super) fn trailed(&mut self, trailers: &HeaderMap) {
        // Most calls end so, and a status is long to read.
        if trailers.get(GRPC_STATUS).is_some_and(|it| it == "0") {
            self.ended = Some(Ended::of(&Status::ok("")));
        } else if let Some(status) = Status::from_header_map(trailers) {
            self.ended = Some(Ended::of(&status));
        }
    }

    fn log(&self, ended: &Ended, ended_at: Timestamp) {
        let is_wanted = match self.observe.log {
            AccessLog::All => true,
            AccessLog::Failures => !ended.is_ok,
            AccessLog::Off => false,
        };
        if !is_wanted {
            return;
        }
        tracing::info!(
            target: ACCESS_LOG,
            method = &*self.path,
            tenant = self.note.tenant(),
            actor = self.note.actor(),
            credential = self.note.credential(),
            code = &*ended.word,
            reason = ended.reason.as_deref(),
            ms = ended_at.since(self.began).as_micros() as f64 / 1_000.0,
            bytes_in = self.note.received(),
            bytes_out = self.sent,
            request_id = &*self.id.0,
            trace_id = self.trace.as_deref(),
            address = self.address.as_deref(),
            "call"
        );
    }

    fn span(&self, ended: &Ended, ended_at: Timestamp) {
        let (Some(context), Some(tracer)) = (self.step, self.observe.runtime.tracer()) else {
            return;
        };
        let name = self.path.trim_start_matches('/');
        let (service, method) = name.split_once('/').unwrap_or(("", name));
        let mut attributes: Vec<(&'static str, Attribute)> = vec![
            ("rpc.system", "grpc".into()),
            ("rpc.service", service.into()),
            ("rpc.method", method.into()),
            ("rpc.grpc.status_code", Attribute::Number(ended.code.into())),
            ("exchequer.request_id", (&*self.id.0).into()),
        ];
        let known =
            [("exchequer.tenant", self.note.tenant()), ("error.type", ended.reason.as_deref())];
        attributes.extend(known.into_iter().filter_map(|(name, it)| Some((name, it?.into()))));
        tracer.record(Span {
            name: name.to_owned(),
            kind: SpanKind::Server,
            context,
            parent: self.parent,
            began: self.began,
            ended: ended_at,
            attributes,
            failure: ended
                .is_fault
                .then(|| ended.reason.clone().unwrap_or_else(|| ended.word.clone().into_owned())),
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let ended = self.ended.take().unwrap_or_else(Ended::gone);
        let ended_at = self.observe.runtime.now();
        self.log(&ended, ended_at);
        self.span(&ended, ended_at);
    }
}

impl Ended {
    fn of(status: &Status) -> Self {
        let code = status.code();
        let is_ok = code == Code::Ok;
        // An OK carries no details, and most calls are.
        let reason = if is_ok { None } else { status.get_details_error_info() };
        Self {
            code: code.into(),
            word: Cow::Borrowed(word(code)),
            reason: reason.map(|info| info.reason),
            is_ok,
            is_fault: matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            ),
        }
    }

    fn of_http(status: StatusCode) -> Self {
        Self {
            code: status.as_u16().into(),
            word: Cow::Owned(format!("HTTP_{}", status.as_u16())),
            reason: None,
            is_ok: status.is_success(),
            is_fault: status.is_server_error(),
        }
    }

    /// The caller went before the end.
    fn gone() -> Self {
        let code = Code::Cancelled;
        Self {
            code: code.into(),
            word: Cow::Borrowed(word(code)),
            reason: None,
            is_ok: false,
            is_fault: false,
        }
    }
}

/// As the gRPC specification writes it.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
