//! A single-threaded executor with a virtual clock. Tasks are polled in rounds,
//! in the order in which they were spawned, so that the order in which they were
//! woken does not matter and a script always ends the same.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use exchequer_runtime::{OnEnd, Runtime, TaskError, TaskKind};
use exchequer_types::Timestamp;
use futures::future::BoxFuture;

/// Far more than any script needs: a task that wakes itself for ever ends here.
const POLLS_MAX: u64 = 50_000_000;

/// The runtime of a script. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Executor {
    inner: Arc<Mutex<Inner>>,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

struct Inner {
    now: Timestamp,
    /// Numbers tasks, sleeps and nonces.
    next: u64,
    tasks: BTreeMap<u64, Task>,
    sleeping: BTreeMap<(Timestamp, u64), Waker>,
    /// Kinds of tasks that are held up.
    paused: BTreeSet<String>,
    failures: Vec<String>,
}

struct Task {
    kind: TaskKind,
    waker: Waker,
    future: BoxFuture<'static, Result<(), TaskError>>,
}

struct Woken {
    task: u64,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        lock(&self.ready).insert(self.task);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl core::fmt::Debug for Executor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Executor(..)")
    }
}

impl Executor {
    pub(crate) fn starting_at(now: Timestamp) -> Self {
        let inner = Inner {
            now,
            next: 0,
            tasks: BTreeMap::new(),
            sleeping: BTreeMap::new(),
            paused: BTreeSet::new(),
            failures: Vec::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), ready: Arc::default() }
    }

    /// Polls until nothing more can go on, or `enough` says so.
    pub(crate) fn run_until(&self, enough: impl Fn() -> bool) {
        let mut polls = 0;
        loop {
            let round = self.round();
            if round.is_empty() {
                return;
            }
            for task in round {
                self.poll(task);
                polls += 1;
                assert!(polls < POLLS_MAX, "the platform does not come to rest");
                if enough() {
                    return;
                }
            }
        }
    }

    /// Polls until nothing more can go on.
    pub(crate) fn settle(&self) {
        self.run_until(|| false);
    }

    /// Lets time pass up to `to`, stopping at each instant that somebody waits for.
    pub(crate) fn advance(&self, to: Timestamp) {
        self.settle();
        loop {
            let due = {
                let mut inner = lock(&self.inner);
                let first = inner.sleeping.keys().next().map(|(at, _)| *at);
                let at = first.filter(|at| *at < to).unwrap_or(to).max(inner.now);
                inner.now = at;
                let later = inner.sleeping.split_off(&(at, u64::MAX));
                core::mem::replace(&mut inner.sleeping, later)
            };
            due.into_values().for_each(Waker::wake);
            self.settle();
            if self.now() >= to {
                return;
            }
        }
    }

    /// Holds up all tasks of a kind, or lets them go on.
    pub(crate) fn pause(&self, kind: &str, paused: bool) {
        let mut inner = lock(&self.inner);
        if paused {
            inner.paused.insert(kind.to_owned());
        } else {
            inner.paused.remove(kind);
        }
    }

    /// Ends every task where it stands.
    pub(crate) fn clear(&self) {
        // Dropped without the lock: what a task holds may ask this executor.
        let tasks = core::mem::take(&mut lock(&self.inner).tasks);
        drop(tasks);
        lock(&self.ready).clear();
        lock(&self.inner).paused.clear();
    }

    /// Tasks that ended although the platform can't go on without them, and why.
    pub(crate) fn failures(&self) -> Vec<String> {
        lock(&self.inner).failures.clone()
    }

    fn round(&self) -> Vec<u64> {
        let mut ready = lock(&self.ready);
        let inner = lock(&self.inner);
        let is_held = |task: &u64| {
            inner.tasks.get(task).is_some_and(|task| inner.paused.contains(task.kind.name))
        };
        let (held, round): (BTreeSet<u64>, BTreeSet<u64>) =
            core::mem::take(&mut *ready).into_iter().partition(is_held);
        *ready = held;
        round.into_iter().collect()
    }

    fn poll(&self, number: u64) {
        let Some(mut task) = lock(&self.inner).tasks.remove(&number) else { return };
        let ended = task.future.as_mut().poll(&mut Context::from_waker(&task.waker));
        let mut inner = lock(&self.inner);
        match ended {
            Poll::Pending => drop(inner.tasks.insert(number, task)),
            Poll::Ready(Ok(())) if task.kind.on_end == OnEnd::Fine => {}
            Poll::Ready(Ok(())) => inner.failures.push(format!("{} ended", task.kind.name)),
            Poll::Ready(Err(error)) => {
                inner.failures.push(format!("{}: {error}", task.kind.name));
            }
        }
    }

    fn number(&self) -> u64 {
        let mut inner = lock(&self.inner);
        inner.next += 1;
        inner.next
    }
}

impl Runtime for Executor {
    fn now(&self) -> Timestamp {
        lock(&self.inner).now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now().saturating_add(duration))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { executor: self.clone(), key: (at, self.number()) })
    }

    fn spawn(&self, kind: TaskKind, task: BoxFuture<'static, Result<(), TaskError>>) {
        let number = self.number();
        let waker = Waker::from(Arc::new(Woken { task: number, ready: Arc::clone(&self.ready) }));
        lock(&self.inner).tasks.insert(number, Task { kind, waker, future: task });
        lock(&self.ready).insert(number);
    }

    fn nonce(&self) -> [u8; 16] {
        // Spread, so that back-offs drawn from single bytes differ.
        u128::from(self.number())
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            .to_le_bytes()
    }
}

struct Sleep {
    executor: Executor,
    key: (Timestamp, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = lock(&self.executor.inner);
        if inner.now >= self.key.0 {
            return Poll::Ready(());
        }
        inner.sleeping.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        lock(&self.executor.inner).sleeping.remove(&self.key);
    }
}
