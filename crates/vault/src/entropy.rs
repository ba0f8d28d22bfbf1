//! Where keys and nonces come from.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes nobody can guess.
pub trait Entropy: Send + Sync + core::fmt::Debug {
    fn fill(&self, bytes: &mut [u8]);
}

/// The same bytes for the same seed: for tests and simulations alone.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: [u8; 32],
    drawn: AtomicU64,
}

impl SeededEntropy {
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self { seed: bytes, drawn: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(&number.to_le_bytes());
        hasher.finalize_xof().fill(bytes);
    }
}
