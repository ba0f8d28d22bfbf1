//! A single-threaded executor on a virtual clock. Tasks belong to processes,
//! which can be paused, or killed at any of their await points. Which of the
//! ready tasks goes next is the seed's choice, so a seed is one interleaving.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use exchequer_runtime::{Runtime, TaskError, TaskKind};
use exchequer_types::Timestamp;
use futures::future::BoxFuture;

use crate::rng::Rng;

/// One incarnation of a process. 0 is the network and the people outside.
pub(crate) type Proc = u32;
pub(crate) const OUTSIDE: Proc = 0;
type TaskId = u64;
/// The virtual clock begins here: 2026-01-01.
pub(crate) const EPOCH_MICROS: i64 = 1_767_225_600_000_000;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A task that ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) proc: Proc,
    pub(crate) kind: TaskKind,
    pub(crate) error: Option<String>,
}

struct Task {
    proc: Proc,
    kind: Option<TaskKind>,
    future: BoxFuture<'static, Result<(), TaskError>>,
}

#[derive(Default)]
struct Ready(Mutex<BTreeSet<TaskId>>);

struct TaskWaker {
    task: TaskId,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        lock(&self.ready.0).insert(self.task);
    }
}

struct Inner {
    now: u64,
    rng: Rng,
    timers: BTreeMap<(u64, u64), Waker>,
    serial: u64,
    spawned: Vec<(TaskId, Task)>,
    ended: Vec<Ended>,
    kills: Vec<Proc>,
    killed: Vec<Proc>,
    dead: BTreeSet<Proc>,
    paused: BTreeSet<Proc>,
    running: Proc,
    trace: blake3::Hasher,
    lines: Option<Vec<String>>,
}

/// The virtual world's clock, randomness, tasks and trace. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Sim {
    inner: Arc<Mutex<Inner>>,
    ready: Arc<Ready>,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sim(..)")
    }
}

impl Sim {
    pub(crate) fn new(seed: u64, keep_lines: bool) -> Self {
        let inner = Inner {
            now: 0,
            rng: Rng::new(seed),
            timers: BTreeMap::new(),
            serial: 0,
            spawned: Vec::new(),
            ended: Vec::new(),
            kills: Vec::new(),
            killed: Vec::new(),
            dead: BTreeSet::new(),
            paused: BTreeSet::new(),
            running: OUTSIDE,
            trace: blake3::Hasher::new(),
            lines: keep_lines.then(Vec::new),
        };
        Self { inner: Arc::new(Mutex::new(inner)), ready: Arc::default() }
    }

    /// Virtual microseconds since the start.
    pub(crate) fn micros(&self) -> u64 {
        lock(&self.inner).now
    }

    /// The true time, which no process need agree with.
    pub(crate) fn now(&self) -> Timestamp {
        self.now_skewed(0)
    }

    pub(crate) fn now_skewed(&self, skew_micros: i64) -> Timestamp {
        let now = self.micros() as i64;
        Timestamp::saturating_from_micros(EPOCH_MICROS + now + skew_micros)
    }

    /// Lets `micros` pass at once, for everyone.
    pub(crate) fn leap(&self, micros: u64) {
        lock(&self.inner).now += micros;
    }

    /// Asks the seed.
    pub(crate) fn rng<T>(&self, ask: impl FnOnce(&mut Rng) -> T) -> T {
        ask(&mut lock(&self.inner).rng)
    }

    pub(crate) fn chance(&self, permille: u64) -> bool {
        permille > 0 && self.rng(|rng| rng.chance(permille))
    }

    pub(crate) fn within(&self, from: u64, to: u64) -> u64 {
        self.rng(|rng| rng.within(from, to))
    }

    /// The process whose task is being polled.
    pub(crate) fn running(&self) -> Proc {
        lock(&self.inner).running
    }

    /// Notes what happened; equal seeds note equal things.
    pub(crate) fn note(&self, text: impl FnOnce() -> String) {
        let mut inner = lock(&self.inner);
        let line = format!("{:>12} p{} {}", inner.now, inner.running, text());
        inner.trace.update(line.as_bytes());
        inner.trace.update(b"\n");
        if let Some(lines) = &mut inner.lines {
            lines.push(line);
        }
    }

    /// Adds lines for people, when they are kept; they are no part of the trace.
    pub(crate) fn append_lines(&self, lines: impl FnOnce() -> Vec<String>) {
        if let Some(kept) = &mut lock(&self.inner).lines {
            kept.extend(lines());
        }
    }

    pub(crate) fn trace_hash(&self) -> String {
        lock(&self.inner).trace.finalize().to_hex().to_string()
    }

    pub(crate) fn take_lines(&self) -> Vec<String> {
        lock(&self.inner).lines.take().unwrap_or_default()
    }

    pub(crate) fn spawn_on<F>(&self, proc: Proc, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_task(
            proc,
            None,
            Box::pin(async move {
                task.await;
                Ok(())
            }),
        );
    }

    fn spawn_task(
        &self,
        proc: Proc,
        kind: Option<TaskKind>,
        future: BoxFuture<'static, Result<(), TaskError>>,
    ) {
        let mut inner = lock(&self.inner);
        if inner.dead.contains(&proc) {
            drop(inner);
            return;
        }
        inner.serial += 1;
        let id = inner.serial;
        inner.spawned.push((id, Task { proc, kind, future }));
        drop(inner);
        lock(&self.ready.0).insert(id);
    }

    /// Drops every task of `proc` before anything else runs.
    pub(crate) fn kill(&self, proc: Proc) {
        let mut inner = lock(&self.inner);
        inner.kills.push(proc);
        inner.killed.push(proc);
        inner.dead.insert(proc);
    }

    pub(crate) fn pause(&self, proc: Proc, paused: bool) {
        let mut inner = lock(&self.inner);
        if paused {
            inner.paused.insert(proc);
        } else {
            inner.paused.remove(&proc);
        }
    }

    /// Processes that were killed since this was last asked.
    pub(crate) fn take_killed(&self) -> Vec<Proc> {
        core::mem::take(&mut lock(&self.inner).killed)
    }

    pub(crate) fn take_ended(&self) -> Vec<Ended> {
        core::mem::take(&mut lock(&self.inner).ended)
    }

    pub(crate) fn sleep(&self, micros: u64) -> Sleep {
        let until = self.micros() + micros.max(1);
        Sleep { sim: self.clone(), until, serial: None }
    }
}

/// Resolves when the virtual clock has come to an instant.
pub(crate) struct Sleep {
    sim: Sim,
    until: u64,
    serial: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = lock(&self.sim.inner);
        if inner.now >= self.until {
            return Poll::Ready(());
        }
        let serial = self.serial.unwrap_or(inner.serial + 1);
        inner.serial = inner.serial.max(serial);
        inner.timers.insert((self.until, serial), cx.waker().clone());
        drop(inner);
        self.serial = Some(serial);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(serial) = self.serial {
            let timer = lock(&self.sim.inner).timers.remove(&(self.until, serial));
            drop(timer);
        }
    }
}

/// Holds the tasks and runs them.
pub(crate) struct Executor {
    sim: Sim,
    tasks: BTreeMap<TaskId, Task>,
    /// Tasks that were woken while their process is paused.
    frozen: BTreeSet<TaskId>,
    pub(crate) polls: u64,
}

/// Why the executor stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Done,
    /// Nothing is ready, and nobody sleeps.
    Stuck,
    PollsMax,
}

impl Executor {
    pub(crate) fn new(sim: Sim) -> Self {
        Self { sim, tasks: BTreeMap::new(), frozen: BTreeSet::new(), polls: 0 }
    }

    /// Runs until `done` says so.
    pub(crate) fn run(&mut self, polls_max: u64, done: impl Fn() -> bool) -> Stop {
        loop {
            self.take_over();
            if done() {
                return Stop::Done;
            }
            if self.polls >= polls_max {
                return Stop::PollsMax;
            }
            self.fire_timers();
            match self.choose() {
                Some(task) => self.poll(task),
                None if self.advance() => {}
                None => return Stop::Stuck,
            }
        }
    }

    /// New tasks come in, killed processes go.
    fn take_over(&mut self) {
        loop {
            let (spawned, kills) = {
                let mut inner = lock(&self.sim.inner);
                (core::mem::take(&mut inner.spawned), core::mem::take(&mut inner.kills))
            };
            if spawned.is_empty() && kills.is_empty() {
                return;
            }
            self.tasks.extend(spawned);
            if !kills.is_empty() {
                let is_gone = |task: &Task| kills.contains(&task.proc);
                let ids: Vec<TaskId> = self
                    .tasks
                    .iter()
                    .filter(|(_, task)| is_gone(task))
                    .map(|(id, _)| *id)
                    .collect();
                let gone: Vec<(TaskId, Task)> =
                    ids.iter().filter_map(|id| Some((*id, self.tasks.remove(id)?))).collect();
                let mut ready = lock(&self.sim.ready.0);
                for (id, _) in &gone {
                    ready.remove(id);
                    self.frozen.remove(id);
                }
                drop(ready);
                // Destructors may wake others.
                drop(gone);
            }
        }
    }

    fn choose(&mut self) -> Option<TaskId> {
        let mut ready = lock(&self.sim.ready.0);
        let mut inner = lock(&self.sim.inner);
        if inner.paused.is_empty() {
            ready.append(&mut self.frozen);
        } else {
            let is_paused = |id: &TaskId| {
                self.tasks.get(id).is_some_and(|task| inner.paused.contains(&task.proc))
            };
            let thawed: Vec<_> = self.frozen.iter().copied().filter(|id| !is_paused(id)).collect();
            let stopped: Vec<_> = ready.iter().copied().filter(is_paused).collect();
            for id in thawed {
                self.frozen.remove(&id);
                ready.insert(id);
            }
            for id in stopped {
                ready.remove(&id);
                self.frozen.insert(id);
            }
        }
        let count = ready.len();
        if count == 0 {
            return None;
        }
        let index = if count == 1 { 0 } else { inner.rng.below(count as u64) as usize };
        let id = ready.iter().nth(index).copied()?;
        ready.remove(&id);
        Some(id)
    }

    fn poll(&mut self, id: TaskId) {
        let Some(mut task) = self.tasks.remove(&id) else { return };
        {
            let mut inner = lock(&self.sim.inner);
            inner.running = task.proc;
            inner.now += 1;
        }
        self.polls += 1;
        let waker =
            Waker::from(Arc::new(TaskWaker { task: id, ready: Arc::clone(&self.sim.ready) }));
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut inner = lock(&self.sim.inner);
        inner.running = OUTSIDE;
        match polled {
            Poll::Pending => {
                drop(inner);
                self.tasks.insert(id, task);
            }
            Poll::Ready(result) => {
                if let Some(kind) = task.kind {
                    let error = result.err().map(|error| error.0);
                    inner.ended.push(Ended { proc: task.proc, kind, error });
                }
                drop(inner);
                drop(task);
                lock(&self.sim.ready.0).remove(&id);
            }
        }
    }

    /// Wakes whoever waits for an instant that has come.
    fn fire_timers(&mut self) {
        let due = {
            let mut inner = lock(&self.sim.inner);
            let now = inner.now;
            let behind = inner.timers.split_off(&(now + 1, 0));
            core::mem::replace(&mut inner.timers, behind)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Goes to the next instant for which somebody waits.
    fn advance(&mut self) -> bool {
        let mut inner = lock(&self.sim.inner);
        let Some((at, _)) = inner.timers.keys().next().copied() else { return false };
        inner.now = inner.now.max(at);
        true
    }
}

/// A process's view of the world: its own clock, its own tasks.
#[derive(Debug)]
pub(crate) struct SimRuntime {
    pub(crate) sim: Sim,
    pub(crate) proc: Proc,
    /// How far its clock is ahead of the true time.
    pub(crate) skew_micros: i64,
}

impl Runtime for SimRuntime {
    fn now(&self) -> Timestamp {
        self.sim.now_skewed(self.skew_micros)
    }

    fn sleep(&self, duration: core::time::Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.sim.sleep(duration.as_micros() as u64))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        self.sleep(at.since(self.now()))
    }

    fn spawn(&self, kind: TaskKind, task: BoxFuture<'static, Result<(), TaskError>>) {
        self.sim.spawn_task(self.proc, Some(kind), task);
    }

    fn nonce(&self) -> [u8; 16] {
        let (high, low) = self.sim.rng(|rng| (rng.next(), rng.next()));
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&high.to_le_bytes());
        nonce[8..].copy_from_slice(&low.to_le_bytes());
        nonce
    }
}
