//! Waiting for another process, which can only be asked again and again.

use std::time::{Duration, Instant};

use crate::Error;

const PAUSE: Duration = Duration::from_millis(25);

/// Asks until `found` has an answer; after `longest` the error says that `what` did not come.
pub fn wait_until<T>(
    what: &str,
    longest: Duration,
    mut found: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = found()? {
            return Ok(answer);
        }
        if begun.elapsed() > longest {
            return Err(Error::new(format!("{what} did not come within {} s", longest.as_secs())));
        }
        std::thread::sleep(PAUSE);
    }
}
