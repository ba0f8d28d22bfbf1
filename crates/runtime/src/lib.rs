//! What long-running code needs from the outside world, as a port: the time,
//! waiting, tasks that are declared with what their end means, and randomness.
//! Also the one list of metric families, and what a trace is made of.

mod metric;
pub mod metrics;
mod tokio_runtime;
pub mod trace;
mod wall;

pub use ::metrics::Counter;
pub use metric::{Family, Metric, MetricKind};
pub use tokio_runtime::TokioRuntime;

use core::time::Duration;

use exchequer_types::Timestamp;
use futures::future::BoxFuture;

/// What it means when a task ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEnd {
    /// Its work is done.
    Fine,
    /// The process can't go on without it: shut down.
    ShutDown,
}

/// A kind of task: its name in logs, and what its end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskKind {
    pub name: &'static str,
    pub on_end: OnEnd,
}

/// Why a task gave up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TaskError(pub String);

/// The outside world. Production has one implementation on tokio; the
/// simulation has another, single-threaded and driven by a seed.
pub trait Runtime: Send + Sync + core::fmt::Debug {
    /// The wall clock, never going back.
    fn now(&self) -> Timestamp;

    /// Resolves when `duration` has passed.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Resolves when the wall clock has reached `at`.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()>;

    /// Runs `task` beside the caller until it ends or the process shuts down.
    fn spawn(&self, kind: TaskKind, task: BoxFuture<'static, Result<(), TaskError>>);

    /// 16 bytes nobody can guess.
    fn nonce(&self) -> [u8; 16];

    /// Where spans go; None while nothing is traced.
    fn tracer(&self) -> Option<&dyn trace::Tracer> {
        None
    }
}
