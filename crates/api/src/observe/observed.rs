//! A router with what is to be seen of each of its calls. It is a service by itself and no
//! layer of the router: a layer there makes a copy of all that is inside of it for each call.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::http::Request;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use futures::future::{Either, Ready, ready};
use tonic::body::Body;
use tonic::codegen::Service;

use super::body::Watched;
use super::record::Record;
use super::{Observe, PAGES};

/// What a request is answered with that is not let in.
pub type Refuse = fn(&Parts) -> Option<Response>;

/// For each connection there is one.
#[derive(Clone, Debug)]
pub struct Observed {
    observe: Arc<Observe>,
    router: Router,
    refuse: Refuse,
}

/// An answer on its way.
pub struct Answering {
    answer: RouteFuture<Infallible>,
    record: Option<Record>,
}

impl core::fmt::Debug for Answering {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Answering").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Observed {
    pub(super) fn new(observe: Arc<Observe>, router: Router, refuse: Refuse) -> Self {
        Self { observe, router: router.with_state(()), refuse }
    }
}

impl Service<Request<Body>> for Observed {
    type Response = Response<Watched>;
    type Error = Infallible;
    type Future = Either<Ready<Result<Self::Response, Infallible>>, Answering>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // As the router is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        if let Some(refused) = (self.refuse)(&parts) {
            return Either::Left(ready(Ok(refused.map(|body| Watched::new(body, None)))));
        }
        let is_page = PAGES.contains(&parts.uri.path());
        let record = (!is_page).then(|| self.observe.begin(&mut parts));
        let answer = self.router.call(Request::from_parts(parts, body));
        Either::Right(Answering { answer, record })
    }
}

impl Future for Answering {
    type Output = Result<Response<Watched>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map_ok(|response| {
            let mut record = self.record.take();
            if let Some(record) = &mut record {
                record.answered(response.status(), response.headers());
            }
            response.map(|body| Watched::new(body, record))
        })
    }
}
