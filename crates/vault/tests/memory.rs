//! The key store in memory passes the port's suite.

use std::sync::Arc;

use exchequer_vault::conformance::{self, Reopen};
use exchequer_vault::{KeyStore, MemoryKeys};

struct Memory;

impl Reopen for Memory {
    fn create(&mut self, keys_max: usize) -> Arc<dyn KeyStore> {
        Arc::new(MemoryKeys::bounded(keys_max))
    }

    fn reopen(&mut self) -> Option<Arc<dyn KeyStore>> {
        None
    }
}

#[test]
fn it_conforms() {
    futures::executor::block_on(conformance::run(&mut Memory));
}
