//! What is done once for all who ask for it. Whoever waits drives it: one who asked first and
//! is not polled for a while holds nobody up.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use exchequer_readstore::Fault;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

type Work<V> = Shared<BoxFuture<'static, Result<V, Fault>>>;

/// By key, begun or done. What failed is begun anew by whoever asks next.
#[derive(Debug)]
pub(crate) struct Works<K, V>(RwLock<HashMap<K, Work<V>>>)
where
    V: Clone;

impl<K, V: Clone> Default for Works<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Works<K, V> {
    /// What `make` comes to, which is asked only where nobody has begun it.
    pub(crate) async fn get(
        &self,
        key: &K,
        make: impl FnOnce() -> BoxFuture<'static, Result<V, Fault>>,
    ) -> Result<V, Fault> {
        let begun = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        let work = begun.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            all.entry(key.clone()).or_insert_with(|| make().shared()).clone()
        });
        let done = work.clone().await;
        if done.is_err() {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if all.get(key).is_some_and(|it| it.ptr_eq(&work)) {
                all.remove(key);
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    // REQ: KER-07
    #[tokio::test]
    async fn who_asked_first_and_is_not_polled_holds_nobody_up() {
        let works = Works::default();
        let (done, waits) = oneshot::channel();
        let mut first = Box::pin(works.get(&1, || waits.map(|it| Ok(it.unwrap())).boxed()));
        assert!(first.as_mut().now_or_never().is_none());
        done.send("made").unwrap();
        let second = works.get(&1, || panic!("it is begun already"));
        let second = second.now_or_never().expect("nothing is waited for");
        assert_eq!(second.unwrap(), "made");
        assert_eq!(first.await.unwrap(), "made");
    }

    // REQ: KER-13
    #[tokio::test]
    async fn what_failed_is_begun_anew() {
        let (works, begun) = (Works::default(), AtomicU32::new(0));
        let ask = || {
            works.get(&1, || {
                let n = begun.fetch_add(1, Ordering::SeqCst);
                async move { if n == 0 { Err(Fault::retryable("not yet")) } else { Ok(n) } }.boxed()
            })
        };
        assert!(ask().await.is_err());
        assert_eq!((ask().await.unwrap(), ask().await.unwrap()), (1, 1));
    }
}
