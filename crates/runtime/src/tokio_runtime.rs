//! The outside world on tokio.

use core::time::Duration;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use exchequer_types::Timestamp;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};

use crate::trace::Tracer;
use crate::wall::Wall;
use crate::{Metric, OnEnd, Runtime, TaskError, TaskKind};

/// Longest single wait, so that a wall clock that is set forward is noticed.
const SLEEP_STEP: Duration = Duration::from_secs(30);

/// Tasks, time and randomness of the process. Cloning shares it.
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wall: Wall,
    /// How far ahead of the wall clock this process lives, in microseconds.
    ahead: AtomicI64,
    travelled: Notify,
    shutdown: watch::Sender<bool>,
    running: AtomicU64,
    idle: Notify,
    tracer: OnceLock<Arc<dyn Tracer>>,
}

impl Default for TokioRuntime {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                wall: Wall::default(),
                ahead: AtomicI64::new(0),
                travelled: Notify::new(),
                shutdown: watch::Sender::new(false),
                running: AtomicU64::new(0),
                idle: Notify::new(),
                tracer: OnceLock::new(),
            }),
        }
    }
}

impl TokioRuntime {
    /// Moves this process's time forward. For tests and demonstrations.
    pub fn travel(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.shared.ahead.fetch_add(micros, Ordering::SeqCst);
        self.shared.travelled.notify_waiters();
    }

    /// Gives spans to `tracer` from now on. The first one stays.
    pub fn trace_with(&self, tracer: Arc<dyn Tracer>) {
        // A second one would be of the same process.
        let _ = self.shared.tracer.set(tracer);
    }

    /// Asks every task to end.
    pub fn shut_down(&self) {
        self.shared.shutdown.send_replace(true);
    }

    /// Resolves when the process is to end, by request or because a task that it
    /// can't go on without has ended.
    pub async fn shutting_down(&self) {
        let mut asked = self.shared.shutdown.subscribe();
        // The sender lives as long as `self`.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// Resolves when no task runs any more.
    pub async fn stopped(&self) {
        loop {
            let idle = self.shared.idle.notified();
            if self.shared.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Shared {
    fn ended(&self, kind: TaskKind, result: Result<(), TaskError>) {
        let asked = *self.shutdown.borrow();
        if let Err(error) = result {
            Metric::TasksFailed.counter(&[kind.name]).increment(1);
            tracing::error!(task = kind.name, error = %error, "task failed");
        }
        if kind.on_end == OnEnd::ShutDown && !asked {
            tracing::error!(task = kind.name, "shutting down: the process can't go on without it");
            self.shutdown.send_replace(true);
        }
        if self.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.idle.notify_waiters();
        }
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Timestamp {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        let now = wall.saturating_add(self.shared.ahead.load(Ordering::SeqCst));
        Timestamp::saturating_from_micros(self.shared.wall.tell(now, Instant::now()))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let it = self.clone();
        async move {
            loop {
                let travelled = it.shared.travelled.notified();
                let left = at.since(it.now());
                if left.is_zero() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(left.min(SLEEP_STEP)) => {}
                    () = travelled => {}
                }
            }
        }
        .boxed()
    }

    fn spawn(&self, kind: TaskKind, task: BoxFuture<'static, Result<(), TaskError>>) {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        let it = self.clone();
        #[expect(clippy::disallowed_methods, reason = "this is the place it is allowed in")]
        tokio::spawn(async move {
            let guarded = std::panic::AssertUnwindSafe(task).catch_unwind();
            let result = tokio::select! {
                biased;
                () = it.shutting_down() => Ok(()),
                result = guarded => {
                    result.unwrap_or_else(|_| Err(TaskError("panicked".to_owned())))
                }
            };
            it.shared.ended(kind, result);
        });
    }

    fn nonce(&self) -> [u8; 16] {
        use std::hash::{BuildHasher as _, Hasher as _};
        // Each RandomState is keyed by the operating system's randomness.
        let half = |salt: u64| {
            let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
            hasher.write_u64(salt);
            hasher.write_i64(self.now().micros());
            hasher.finish()
        };
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&half(1).to_le_bytes());
        nonce[8..].copy_from_slice(&half(2).to_le_bytes());
        nonce
    }

    fn tracer(&self) -> Option<&dyn Tracer> {
        self.shared.tracer.get().map(Arc::as_ref)
    }
}
