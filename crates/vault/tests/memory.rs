//! The key store in memory passes the port's suite.

use std::sync::Arc;

use exchequer_vault::conformance::{self, Reopen};
use exchequer_vault::{KeyStore, MemoryKeys};
use futures::future::{BoxFuture, ready};

struct Memory;

impl Reopen for Memory {
    fn create(&mut self, keys_max: usize) -> BoxFuture<'_, Arc<dyn KeyStore>> {
        let keys: Arc<dyn KeyStore> = Arc::new(MemoryKeys::bounded(keys_max));
        Box::pin(ready(keys))
    }

    fn reopen(&mut self) -> BoxFuture<'_, Option<Arc<dyn KeyStore>>> {
        Box::pin(ready(None))
    }
}

#[test]
fn it_conforms() {
    futures::executor::block_on(conformance::run(&mut Memory));
}
