//! A warning that repeats is logged once a minute: while a server is away, whatever needs it
//! tries again with growing pauses, and each try would say the same.

use core::fmt::{Debug, Write as _};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

const REPEAT_AFTER: Duration = Duration::from_secs(60);
/// Warnings remembered at once; above it all are forgotten.
const WARNINGS_MAX: usize = 1_024;
/// Where a client library logs. Its lines differ by addresses and counts alone, and are one
/// for each place in its source.
const LIBRARIES: &[&str] = &["scylla"];

/// Lets each warning and each error through that was not logged within the last minute.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    logged: Mutex<BTreeMap<String, Instant>>,
}

impl Repeats {
    fn is_news(&self, line: String, now: Instant) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.get(&line).is_some_and(|at| now.duration_since(*at) < REPEAT_AFTER) {
            return false;
        }
        if logged.len() >= WARNINGS_MAX {
            logged.clear();
        }
        logged.insert(line, now);
        true
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return true;
        }
        let library = metadata.target().split("::").next().unwrap_or_default();
        // The name has the place in the source.
        let mut line = Line(format!("{} {}", metadata.target(), metadata.name()));
        if !LIBRARIES.contains(&library) {
            event.record(&mut line);
        }
        self.is_news(line.0, Instant::now())
    }
}

/// All that an event says.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A string takes everything.
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Counts what comes through.
    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines are left of what `work` logs.
    fn lines(work: impl Fn()) -> usize {
        let count = Count::default();
        let logs = tracing_subscriber::registry().with(count.clone()).with(Repeats::default());
        tracing::subscriber::with_default(logs, work);
        count.0.load(Ordering::Relaxed)
    }

    // REQ: KER-07
    #[test]
    fn a_warning_that_repeats_is_logged_once() {
        let repeated = || (0..5).for_each(|_| tracing::warn!(partition = 3, "cannot read"));
        assert_eq!(lines(repeated), 1);
        let others = || (0..5).for_each(|partition| tracing::warn!(partition, "cannot read"));
        assert_eq!(lines(others), 5, "each partition is told");
        let info = || (0..5).for_each(|_| tracing::info!("taken over"));
        assert_eq!(lines(info), 5);
    }

    // REQ: KER-07
    #[test]
    fn a_library_says_each_thing_once_whatever_it_counts() {
        let work = || {
            for port in 0..5 {
                tracing::warn!(target: "scylla::cluster", port, "no connection");
                tracing::error!(target: "scylla::network", port, "connection is broken");
                tracing::warn!(target: "scyllax", port, "of somebody else");
            }
        };
        assert_eq!(lines(work), 2 + 5);
    }

    // REQ: KER-07
    #[test]
    fn after_a_minute_it_is_told_again() {
        let (repeats, begun) = (Repeats::default(), Instant::now());
        let is_news = |after| repeats.is_news("a line".to_owned(), begun + after);
        assert!(is_news(Duration::ZERO) && !is_news(Duration::from_secs(59)));
        assert!(is_news(REPEAT_AFTER) && !is_news(REPEAT_AFTER));
    }
}
