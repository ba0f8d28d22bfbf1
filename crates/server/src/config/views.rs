//! The views: where they are, and the bounds of the embedded store.

use super::section::{anything, one_of, section};

section! {
    /// The views: where they are, and the bounds of the embedded store.
    Views "views" {
        /// Where views and states are: in the data folder, or on a cluster's nodes.
        backend: String = "embedded".to_owned(), "word", one_of(&["embedded", "scylla"]);
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
