//! What stands around every call, outside of all refusals: its id, its line in the
//! access log, its span. A line says who did what and how it ended, never what was
//! sent: no headers, bodies or tokens, and addresses only where an operator asks.

mod body;
mod note;
mod observed;
mod record;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use exchequer_access::AddressRange;
use exchequer_runtime::Runtime;
use exchequer_runtime::trace::TraceContext;

use crate::answers::RequestId;
use crate::authn::Peer;
use crate::guard;
use crate::usage::EVENTS_PATH;
pub(crate) use note::Note;
pub use observed::{Observed, Refuse};
use record::Record;

/// The target of the access log's lines, among those of the log.
pub const ACCESS_LOG: &str = "exchequer::access";
/// What is asked every few seconds, and nobody wants to read about.
const PAGES: [&str; 3] = ["/healthz", "/metrics", "/readyz"];
/// The W3C header of the trace that a call belongs to.
const TRACE_PARENT: &str = "traceparent";

/// Which calls have a line in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    All,
    /// Those that did not end with OK.
    Failures,
    Off,
}

/// What is to be seen of calls.
#[derive(Clone, Debug)]
pub struct Observe {
    pub runtime: Arc<dyn Runtime>,
    pub log: AccessLog,
    /// Does a line tell the client's address?
    pub log_addresses: bool,
    /// What these say in `x-forwarded-for` is believed, as for credentials.
    pub proxies: Vec<AddressRange>,
}

impl Observe {
    /// Everything that `router` answers is observed, but for pages. What `refuse` answers
    /// does not come that far.
    pub fn around(self, router: Router, refuse: Refuse) -> Observed {
        Observed::new(Arc::new(self), router, refuse)
    }

    /// A call begins.
    fn begin(self: &Arc<Self>, parts: &mut Parts) -> Record {
        let runtime = self.runtime.as_ref();
        let (note, id) = (Arc::new(Note::default()), RequestId::new(runtime));
        parts.extensions.insert(id.clone());
        let came_with = trace_parent(&parts.headers);
        let step = step(runtime, came_with);
        if let Some(step) = step {
            parts.extensions.insert(step);
        }
        parts.extensions.insert(Arc::clone(&note));
        Record {
            began: runtime.now(),
            path: known(parts.uri.path()),
            trace: step.or(came_with).map(|it| it.trace_id()),
            parent: came_with.map(|it| it.span),
            step,
            address: self.log_addresses.then(|| self.address(parts)).flatten(),
            id,
            note,
            observe: Arc::clone(self),
            ended: None,
            sent: 0,
        }
    }

    /// The client's, as lists of allowed addresses see it.
    fn address(&self, parts: &Parts) -> Option<String> {
        let peer = parts.extensions.get::<Peer>()?;
        Some(peer.nearest(&parts.headers, &self.proxies).to_string())
    }
}

/// A path that is answered here. What is none may be anything, a token too.
fn known(path: &str) -> Cow<'static, str> {
    let methods = exchequer_proto::METHODS;
    if let Ok(at) = methods.binary_search_by(|it| it.path.cmp(path)) {
        return Cow::Borrowed(methods[at].path);
    }
    let is_answered = path == EVENTS_PATH || guard::OPEN.iter().any(|it| path.starts_with(it));
    if is_answered { Cow::Owned(path.to_owned()) } else { Cow::Borrowed("unknown") }
}

fn trace_parent(headers: &HeaderMap) -> Option<TraceContext> {
    TraceContext::parse(headers.get(TRACE_PARENT)?.to_str().ok()?)
}

/// The call's own step, when it is traced: its caller decides, and for a call that
/// comes without a trace, the sampler.
fn step(runtime: &dyn Runtime, came_with: Option<TraceContext>) -> Option<TraceContext> {
    let tracer = runtime.tracer()?;
    if let Some(context) = came_with {
        return context.sampled.then(|| context.child(runtime));
    }
    let root = TraceContext::root(runtime);
    tracer.samples(&root.trace).then_some(TraceContext { sampled: true, ..root })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use exchequer_runtime::TokioRuntime;

    use super::*;

    // REQ: IAM-13
    #[test]
    fn the_address_is_the_clients_and_not_the_proxys() {
        let observe = Observe {
            runtime: Arc::new(TokioRuntime::default()),
            log: AccessLog::All,
            log_addresses: true,
            proxies: vec![AddressRange::parse("10.0.0.0/8").unwrap()],
        };
        for (peer, expected) in [("10.1.2.3", "203.0.113.7"), ("192.0.2.1", "192.0.2.1")] {
            let request = Request::builder().header("x-forwarded-for", "203.0.113.7");
            let (mut parts, _) = request.body(Body::empty()).unwrap().into_parts();
            let address = peer.parse().unwrap();
            parts.extensions.insert(Peer { address, certificate: None });
            assert_eq!(observe.address(&parts).as_deref(), Some(expected));
        }
    }
}
