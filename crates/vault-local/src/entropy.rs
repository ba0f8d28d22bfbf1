//! Randomness from the operating system.

use exchequer_vault::Entropy;

/// The operating system's own generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            // A guessable key would be worse than none, and nobody could tell.
            panic!("the operating system gives no randomness: {error}");
        }
    }
}
