//! Serving until the process is asked to end, and then ending without a failed call:
//! first it only says that it is not ready, so that balancers send new work elsewhere;
//! then connections are told to go and requests under way end.

use core::future::Future;
use core::time::Duration;

use exchequer_engine::Platform;
use exchequer_runtime::TokioRuntime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tonic::transport::Error;

use crate::RunError;
use crate::config::Shutdown;

/// What is told of the end.
pub(crate) struct Ending<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) runtime: &'a TokioRuntime,
    /// Streams end, the port closes, and connections are told to go, when it says true.
    pub(crate) stopping: &'a watch::Sender<bool>,
    pub(crate) shutdown: &'a Shutdown,
}

/// Why serving ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// By whoever runs it: others may be sent elsewhere first.
    Terminate,
    /// By a person who waits for it.
    Interrupt,
    /// A part of it has ended that it can't go on without.
    Broken,
}

/// Serves until a signal, then until requests under way have ended. `announce` never
/// ends.
pub(crate) async fn until_asked(
    served: impl Future<Output = Result<(), Error>>,
    announce: impl Future<Output = ()>,
    ending: Ending<'_>,
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let mut served = core::pin::pin!(served);
    let asked = tokio::select! {
        result = &mut served => return Ok(result?),
        () = announce => Asked::Terminate,
        _ = terminate.recv() => Asked::Terminate,
        _ = interrupt.recv() => Asked::Interrupt,
        () = ending.runtime.shutting_down() => Asked::Broken,
    };
    ending.platform.drain();
    let delay = Duration::from_millis(ending.shutdown.drain_delay_ms);
    if asked == Asked::Terminate && !delay.is_zero() {
        tracing::info!(delay_ms = ending.shutdown.drain_delay_ms, "draining");
        tokio::select! {
            result = &mut served => result?,
            () = tokio::time::sleep(delay) => {}
            () = either(&mut terminate, &mut interrupt) => {}
            () = ending.runtime.shutting_down() => {}
        }
    }
    tracing::info!(?asked, "stopping");
    ending.stopping.send_replace(true);
    tokio::select! {
        result = &mut served => result?,
        () = tokio::time::sleep(Duration::from_millis(ending.shutdown.grace_ms)) => {
            tracing::warn!("requests were cut off");
        }
        () = either(&mut terminate, &mut interrupt) => std::process::exit(1),
    }
    if asked == Asked::Broken { Err(RunError::Stopped) } else { Ok(()) }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
