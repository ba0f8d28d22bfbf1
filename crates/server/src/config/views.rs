//! The embedded read store.

use super::section::{anything, section};

section! {
    /// The embedded read store.
    Views "views" {
        /// Blocks of files kept in memory.
        cache_bytes_max: u64 = 33_554_432, "bytes", anything;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_store() {
        let its = exchequer_readstore_local::Settings::default();
        assert_eq!(Views::default().cache_bytes_max, its.cache_bytes_max);
    }
}
