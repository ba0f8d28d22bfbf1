//! What stands around every call. It is one layer: each further one would make a copy of
//! all that is inside of it, for each call.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use exchequer_runtime::Runtime;

use crate::guard::{Guard, guard};
use crate::{answers, linger, malformed, quotas_http, usage};

#[derive(Clone)]
struct Around {
    runtime: Arc<dyn Runtime>,
    /// None: calls act as who they say they are.
    guard: Option<Arc<Guard>>,
}

/// All that `services` answers, and beside it what is answered by HTTP in its own form.
pub(crate) fn around(services: Router, runtime: Arc<dyn Runtime>, guard: Option<Guard>) -> Router {
    let around = Around { runtime: Arc::clone(&runtime), guard: guard.map(Arc::new) };
    quotas_http::beside(services.layer(from_fn_with_state(around, call)), runtime)
}

async fn call(State(around): State<Around>, request: Request, next: Next) -> Response {
    let runtime = around.runtime.as_ref();
    let named = |request| async { malformed::name(next.run(request).await) };
    let guarded = |request| async {
        match &around.guard {
            Some(it) => guard(it, request, named).await,
            None => named(request).await,
        }
    };
    let completed = |request| answers::complete(runtime, request, guarded);
    let told = |request| usage::as_json(request, completed);
    linger::linger(runtime, request, told).await
}
