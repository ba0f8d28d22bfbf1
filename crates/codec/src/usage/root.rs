//! The root of a seal: one hash over all records of a range and what became of each.

use core::fmt;

use exchequer_metering::Fate;
use exchequer_types::Hash;

use super::fate::fate_to_proto;

const CONTEXT: &str = "exchequer usage seal root v1";
/// Hashed at once, which is much faster than piece by piece.
const BUFFER_BYTES: usize = 16 * 1024;
const ENTRY_BYTES: usize = 33;

/// BLAKE3, in its key derivation mode, over the hash of each record's bytes and its fate
/// as one byte, in the order of their offsets.
#[derive(Clone)]
pub struct Root {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Default for Root {
    fn default() -> Self {
        Self { hasher: blake3::Hasher::new_derive_key(CONTEXT), buffer: Vec::new() }
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").finish_non_exhaustive()
    }
}

impl Root {
    pub fn add(&mut self, record: &Hash, fate: Fate) {
        self.push(record, fate_to_proto(fate) as u8);
    }

    /// In the root of a revision: does the record add something by it?
    pub fn add_revised(&mut self, record: &Hash, adds: bool) {
        self.push(record, u8::from(adds));
    }

    fn push(&mut self, record: &Hash, last: u8) {
        if self.buffer.len() + ENTRY_BYTES > BUFFER_BYTES {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(&record.0);
        self.buffer.push(last);
    }

    pub fn finish(mut self) -> Hash {
        Hash(*self.hasher.update(&self.buffer).finalize().as_bytes())
    }
}
