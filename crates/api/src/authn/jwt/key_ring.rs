//! The keys of one issuer: fetched when first needed, again from time to time in the
//! background, and at once, but not too often, when a token names one that is not
//! there. A key that the issuer has withdrawn holds on for a while.

use core::time::Duration;
use std::sync::{Arc, PoisonError, RwLock};

use exchequer_runtime::{Metric, OnEnd, Runtime, TaskKind};
use exchequer_types::Timestamp;
use futures::future::{Either, select};
use tokio::sync::watch;

use super::JwtError;
use super::fetch::{FetchError, FetchKeys};
use super::key::{Algorithm, Key, keys};

/// Keys of this age are fetched again in the background.
pub(super) const REFRESH_AFTER: Duration = Duration::from_secs(5 * 60);
/// Between two fetches there is at least this much.
pub(super) const FETCH_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// Tokens signed shortly before a rotation stay good.
pub(super) const WITHDRAWN_KEPT: Duration = Duration::from_secs(10 * 60);
/// A call waits this long for keys.
const PATIENCE: Duration = Duration::from_secs(5);
const FETCH: TaskKind = TaskKind { name: "issuer-keys", on_end: OnEnd::Fine };

#[derive(Debug)]
pub(super) struct KeyRing {
    /// For the log and metrics.
    name: String,
    source: Arc<dyn FetchKeys>,
    runtime: Arc<dyn Runtime>,
    held: RwLock<Held>,
    /// Counts fetches that have ended.
    fetches: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Held {
    keys: Vec<(Arc<Key>, Standing)>,
    /// When a fetch last began. None: never.
    tried_at: Option<Timestamp>,
    fetched_at: Option<Timestamp>,
    is_fetching: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Published,
    /// Not published any more; forgotten then.
    WithdrawnUntil(Timestamp),
}

impl KeyRing {
    pub(super) fn new(
        name: String,
        source: Arc<dyn FetchKeys>,
        runtime: Arc<dyn Runtime>,
    ) -> Arc<Self> {
        let (held, fetches) = (RwLock::default(), watch::Sender::new(0));
        Arc::new(Self { name, source, runtime, held, fetches })
    }

    /// The key that a token names, or the only one that it can mean.
    pub(super) async fn key(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Key>, JwtError> {
        let now = self.runtime.now();
        if let Some(key) = self.find(id, algorithm, now) {
            let is_old = |at: Timestamp| now.since(at) >= REFRESH_AFTER;
            if self.read(|held| held.fetched_at.is_none_or(is_old)) {
                self.fetch_in_background(now);
            }
            return Ok(key);
        }
        let mut ended = self.fetches.subscribe();
        ended.borrow_and_update();
        if self.fetch_in_background(now) {
            // The sender is ours, so it does not end.
            let fetched = core::pin::pin!(ended.changed());
            if let Either::Right(_) = select(fetched, self.runtime.sleep(PATIENCE)).await {
                return Err(JwtError::KeysUnavailable);
            }
        }
        let found = self.find(id, algorithm, now);
        let is_told = self.read(|held| held.fetched_at.is_some());
        found.ok_or(if is_told { JwtError::KeyUnknown } else { JwtError::KeysUnavailable })
    }

    fn find(&self, id: Option<&str>, algorithm: Algorithm, now: Timestamp) -> Option<Arc<Key>> {
        self.read(|held| {
            let holds = |standing: &Standing| match standing {
                Standing::Published => true,
                Standing::WithdrawnUntil(at) => now < *at,
            };
            let mut fitting = held.keys.iter().filter(|(key, standing)| {
                holds(standing)
                    && key.fits(algorithm)
                    && id.is_none_or(|id| key.id.as_deref() == Some(id))
            });
            let first = fitting.next()?;
            // Without an id, only a key that is alone can be meant.
            (id.is_some() || fitting.next().is_none()).then(|| Arc::clone(&first.0))
        })
    }

    /// Is one under way now? None begins too soon after another.
    fn fetch_in_background(self: &Arc<Self>, now: Timestamp) -> bool {
        {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            if held.is_fetching {
                return true;
            }
            if held.tried_at.is_some_and(|at| now.since(at) < FETCH_INTERVAL_MIN) {
                return false;
            }
            held.tried_at = Some(now);
            held.is_fetching = true;
        }
        let ring = Arc::clone(self);
        self.runtime.spawn(
            FETCH,
            Box::pin(async move {
                let fetched = ring.source.fetch().await;
                ring.settle(fetched);
                Ok(())
            }),
        );
        true
    }

    fn settle(&self, fetched: Result<Vec<u8>, FetchError>) {
        let read =
            fetched.and_then(|json| keys(&json).map_err(|error| FetchError(error.to_string())));
        let now = self.runtime.now();
        {
            let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
            held.is_fetching = false;
            match read {
                Ok(keys) => {
                    held.take_over(keys, now);
                    Metric::IssuerKeyFetches.counter(&[&self.name, "fetched"]).increment(1);
                }
                Err(error) => {
                    tracing::warn!(issuer = self.name, %error, "keys were not fetched");
                    Metric::IssuerKeyFetches.counter(&[&self.name, "failed"]).increment(1);
                }
            }
        }
        self.fetches.send_modify(|count| *count += 1);
    }

    fn read<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        look(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn take_over(&mut self, published: Vec<Key>, now: Timestamp) {
        let until = now.saturating_add(WITHDRAWN_KEPT);
        let before = core::mem::take(&mut self.keys);
        let withdrawn = before.into_iter().filter(|(key, _)| !published.contains(key));
        let withdrawn = withdrawn.filter_map(|(key, standing)| match standing {
            Standing::Published => Some((key, Standing::WithdrawnUntil(until))),
            Standing::WithdrawnUntil(at) => (now < at).then_some((key, standing)),
        });
        let withdrawn: Vec<_> = withdrawn.collect();
        let published = published.into_iter().map(|key| (Arc::new(key), Standing::Published));
        self.keys = published.chain(withdrawn).collect();
        self.fetched_at = Some(now);
    }
}
