//! Waiting for what another process does: asked again until it is there, failing
//! at a deadline. The only place where anything here sleeps.

use core::time::Duration;
use std::time::Instant;

use crate::{Failure, Res};

/// How long anything may take before a test says that it does not happen.
pub const PATIENCE: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(10);

/// Until when something is asked for again.
#[derive(Debug)]
pub struct Deadline<'a> {
    what: &'a str,
    at: Instant,
}

impl<'a> Deadline<'a> {
    /// `what` is missed: it stands in the error.
    pub fn new(what: &'a str) -> Self {
        Self { what, at: Instant::now() + PATIENCE }
    }

    fn check(&self) -> Res<()> {
        if Instant::now() > self.at { Err(overdue(self.what)) } else { Ok(()) }
    }

    /// Waits a little before it is asked again; fails when it is too late.
    pub async fn step(&self) -> Res<()> {
        self.check()?;
        tokio::time::sleep(STEP).await;
        Ok(())
    }
}

/// Asks `found` until it gives something; `what` stands in the error.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Res<Option<T>>) -> Res<T> {
    let deadline = Deadline::new(what);
    loop {
        if let Some(found) = found()? {
            return Ok(found);
        }
        deadline.check()?;
        std::thread::sleep(STEP);
    }
}

/// Asks `found` until it gives something; `what` stands in the error.
pub async fn until_async<T>(what: &str, mut found: impl AsyncFnMut() -> Res<Option<T>>) -> Res<T> {
    let deadline = Deadline::new(what);
    loop {
        if let Some(found) = found().await? {
            return Ok(found);
        }
        deadline.step().await?;
    }
}

/// Fails when `done` takes too long.
pub async fn within<T>(what: &str, done: impl Future<Output = T>) -> Res<T> {
    tokio::time::timeout(PATIENCE, done).await.map_err(|_| overdue(what))
}

/// Lets time pass: the moment of a kill is no event that could be waited for.
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// The same, while other tasks go on.
pub async fn pass_async(time: Duration) {
    tokio::time::sleep(time).await;
}

fn overdue(what: &str) -> Failure {
    format!("waited {} s in vain: {what}", PATIENCE.as_secs()).into()
}
