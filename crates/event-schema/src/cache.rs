//! Compiled schemas, by the hash of their text, so that each is compiled once however
//! many versions, types and requests name it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::rejection::Rejection;
use crate::schema::Schema;

/// Schemas that are kept.
pub const SCHEMAS_MAX: usize = 1_024;

/// Shared by all requests.
#[derive(Debug, Default)]
pub struct Cache {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// With the round in which each was asked for last.
    by_hash: HashMap<[u8; 32], (Arc<Schema>, u64)>,
    round: u64,
}

impl Cache {
    /// The schema of `text`. One that cannot be compiled is not remembered.
    pub fn schema(&self, text: &str) -> Result<Arc<Schema>, Rejection> {
        let hash = *blake3::hash(text.as_bytes()).as_bytes();
        if let Some(schema) = self.kept().get(&hash) {
            return Ok(schema);
        }
        // Compiled by several at once at worst.
        let schema = Arc::new(Schema::compile(text)?);
        self.kept().put(hash, &schema);
        Ok(schema)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn get(&mut self, hash: &[u8; 32]) -> Option<Arc<Schema>> {
        self.round += 1;
        let (schema, last) = self.by_hash.get_mut(hash)?;
        *last = self.round;
        Some(Arc::clone(schema))
    }

    fn put(&mut self, hash: [u8; 32], schema: &Arc<Schema>) {
        if self.by_hash.len() >= SCHEMAS_MAX {
            // The half that was not asked for the longest.
            let mut rounds: Vec<u64> = self.by_hash.values().map(|it| it.1).collect();
            rounds.sort_unstable();
            let middle = rounds.get(rounds.len() / 2).copied().unwrap_or_default();
            self.by_hash.retain(|_, it| it.1 > middle);
        }
        self.by_hash.insert(hash, (Arc::clone(schema), self.round));
    }
}
