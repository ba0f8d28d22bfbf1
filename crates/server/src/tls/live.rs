//! What connections are accepted with now: files are looked at every few seconds,
//! and what they hold replaces it when it is whole. A broken file changes nothing
//! but the log and a metric.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use exchequer_runtime::{Metric, OnEnd, Runtime, TaskKind};
use rustls::ServerConfig;

use super::files::{Accepting, Contents, Files, TlsError};

/// Files are looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const WATCH: TaskKind = TaskKind { name: "tls-certificates", on_end: OnEnd::Fine };

/// The configuration in force.
pub(crate) struct Live {
    files: Files,
    accepting: RwLock<Accepting>,
    /// What was tried last, good or not.
    tried: Mutex<Contents>,
    /// The last trouble, so that it is told once.
    trouble: Mutex<Option<String>>,
}

/// What a look at the files has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// Nothing is new.
    Same,
    Renewed,
    /// Files cannot be read, or do not make a configuration: the old one holds on.
    Refused,
}

impl core::fmt::Debug for Live {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Live").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Live {
    /// Reads the files for the first time: here anything wrong is an error.
    pub(crate) fn open(files: Files) -> Result<Arc<Self>, TlsError> {
        let contents = files.read()?;
        let accepting = files.accept_with(&contents)?;
        tell_expiry(&accepting);
        Ok(Arc::new(Self {
            files,
            accepting: RwLock::new(accepting),
            tried: Mutex::new(contents),
            trouble: Mutex::default(),
        }))
    }

    /// For the next connection.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let accepting = self.accepting.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&accepting.config)
    }

    /// Looks at the files, and takes over what is new and whole.
    pub(super) fn look(&self) -> Looked {
        let contents = match self.files.read() {
            Ok(contents) => contents,
            Err(error) => return self.refuse(&error),
        };
        let is_tried = {
            let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
            let same = *tried == contents;
            tried.clone_from(&contents);
            same
        };
        if is_tried {
            return Looked::Same;
        }
        match self.files.accept_with(&contents) {
            Ok(accepting) => {
                tell_expiry(&accepting);
                *self.accepting.write().unwrap_or_else(PoisonError::into_inner) = accepting;
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Metric::TlsReloads.counter(&["renewed"]).increment(1);
                tracing::info!(
                    certificates = %self.files.certificates.display(),
                    "new connections use the new certificates"
                );
                Looked::Renewed
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&self, error: &TlsError) -> Looked {
        let said = error.to_string();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref() != Some(&said) {
            let cause = core::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(error = %said, cause, "the old certificates stay in use");
            Metric::TlsReloads.counter(&["refused"]).increment(1);
            *trouble = Some(said);
        }
        Looked::Refused
    }
}

/// Looks at the files every few seconds for as long as the process runs.
pub(crate) fn watch(live: &Arc<Live>, runtime: &Arc<dyn Runtime>) {
    let (live, clock) = (Arc::clone(live), Arc::clone(runtime));
    runtime.spawn(
        WATCH,
        Box::pin(async move {
            loop {
                clock.sleep(LOOK_INTERVAL).await;
                live.look();
            }
        }),
    );
}

fn tell_expiry(accepting: &Accepting) {
    if let Some(at) = accepting.expires_at {
        Metric::TlsCertificateExpiry.gauge(&[]).set((at.micros() / 1_000_000) as f64);
    }
}
