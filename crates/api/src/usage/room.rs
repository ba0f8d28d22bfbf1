//! How much of what is sent is held in memory at once, over all requests: what there is
//! no room for is refused before anything of it is written.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::status::{OVERLOADED, Refusal};
use core::time::Duration;

const RETRY: Duration = Duration::from_millis(200);

/// Bytes that are free. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
}

/// Bytes that are taken until this goes.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS))) }
    }

    /// Takes `bytes` more, or refuses the request.
    pub(crate) fn take(&self, taken: &mut Taken, bytes: usize) -> Result<(), Status> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.free).try_acquire_many_owned(bytes);
        taken.add(more.map_err(|_| full())?);
        Ok(())
    }

    /// Waits until `bytes` are free.
    pub(crate) async fn wait(&self, bytes: usize) -> Result<Taken, Status> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.free).acquire_many_owned(bytes).await;
        Ok(Taken { permit: Some(permit.map_err(|_| full())?) })
    }
}

impl Taken {
    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
    }
}

/// More is sent than is taken.
pub(crate) fn full() -> Status {
    let message = "too many events are being taken: nothing of this request was, send it again \
                   when RetryInfo says";
    Refusal::new(OVERLOADED, message).retry(RETRY).status()
}
