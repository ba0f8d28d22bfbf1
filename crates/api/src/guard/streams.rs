//! How many streams each caller has open, and no more than a bound: a stream costs nothing
//! of its caller's rate once it is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use exchequer_runtime::Metric;
use tonic::Status;

use crate::status::{RATE_LIMITED, Refusal};

/// Of one credential, at once, in one process.
pub(crate) const STREAMS_MAX: usize = 100;

/// Open streams by whose they are.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<HashMap<u64, usize>>);

/// A stream that counts until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    streams: Arc<Streams>,
    whose: u64,
}

impl Streams {
    /// One more stream of `whose`, or why not.
    pub(super) fn open(self: &Arc<Self>, whose: u64) -> Result<Open, Status> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(whose).or_default();
        if *count >= STREAMS_MAX {
            Metric::CallsRateLimited.counter(&[]).increment(1);
            let message = format!("more than {STREAMS_MAX} streams at once: end one first");
            return Err(Refusal::new(RATE_LIMITED, message).status());
        }
        *count += 1;
        Ok(Open { streams: Arc::clone(self), whose })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: USE-09
    #[test]
    fn a_caller_has_so_many_streams_and_gets_back_those_that_end() {
        let streams = Arc::new(Streams::default());
        let mut open: Vec<Open> = (0..STREAMS_MAX).map(|_| streams.open(1).unwrap()).collect();
        assert_eq!(streams.open(1).unwrap_err().code(), tonic::Code::ResourceExhausted);
        // Others are not touched by it.
        let other = streams.open(2).unwrap();
        open.pop();
        open.push(streams.open(1).unwrap());
        assert!(streams.open(1).is_err());
        drop((open, other));
        assert!(streams.0.lock().unwrap().is_empty(), "nothing is kept of who has none");
    }
}
