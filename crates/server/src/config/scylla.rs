//! ScyllaDB or Cassandra: where the views and states of a cluster are.

use super::reader::Reader;
use super::section::{anything, at_least, section, within};
use super::value::Secret;

section! {
    /// ScyllaDB or Apache Cassandra, for `views.backend = "scylla"`: where the views, the
    /// deciders' states and the keys of persons of a cluster are.
    Scylla "scylla" {
        /// Some nodes, each as `host:port`; the others are learnt from them.
        nodes: Vec<String> = Vec::new(), "addresses", anything;
        /// The keyspace of everything that follows from the journal.
        keyspace: String = "exchequer".to_owned(), "name", keyspace;
        /// Copies of each row in each data centre, as `exchequer admin migrate` makes keyspaces
        /// and finds them.
        replication_factor: u8 = 3, "copies", within(1, 9);
        /// The data centre whose nodes are asked. Without it, that of the nodes that answer.
        datacenter: Option<String> = None, "name", anything;
        /// Who signs in, where the nodes ask for it.
        user: String = String::new() => "\"\"", "text", anything;
        /// The password of that user.
        password: Secret = Secret::default(), "text", anything;
        /// Of one statement, with everything that is tried again.
        request_timeout_ms: u64 = 5_000, "milliseconds", within(100, 300_000);
        /// Of one connection.
        connect_timeout_ms: u64 = 5_000, "milliseconds", within(100, 300_000);
        /// A statement that is not answered by then is sent to another node too; 0 for never.
        speculative_after_ms: u64 = 250, "milliseconds", anything;
        /// Reads on their way at once; others wait.
        reads_at_once_max: usize = 128, "statements", at_least(1);
        /// Writes on their way at once; others wait.
        writes_at_once_max: usize = 64, "statements", at_least(1);
    }
}

/// Some stores add to a name, for the keys' keyspace.
const KEYSPACE_CHARS_MAX: usize = 40;

fn keyspace(name: &String) -> Option<String> {
    let is_word = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let is_usable = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && name.bytes().all(is_word)
        && name.len() <= KEYSPACE_CHARS_MAX;
    (!is_usable).then(|| {
        format!("a small letter, then small letters, digits and '_', at most {KEYSPACE_CHARS_MAX}")
    })
}

impl Scylla {
    /// What is wrong with them in a process that uses them.
    pub(super) fn check(&self, reader: &mut Reader) {
        if self.nodes.is_empty() {
            let cure = "name some nodes, such as [\"store-1:9042\", \"store-2:9042\"]";
            reader.wrong("scylla.nodes", "is missing", cure);
        }
        if self.user.is_empty() != self.password.expose().is_none() {
            let cure = "set scylla.user, and scylla.password or scylla.password_file, or neither";
            reader.wrong("scylla.user", "user and password belong together", cure);
        }
    }
}

#[cfg(feature = "cluster")]
mod of_adapter {
    use core::time::Duration;

    use exchequer_readstore_scylla::{Credentials, Replication, Settings};

    use super::Scylla;

    impl Scylla {
        /// As the adapter takes them.
        pub(crate) fn settings(&self) -> Settings {
            let password = self.password.expose().map(str::to_owned);
            let speculative = self.speculative_after_ms;
            Settings {
                local_datacenter: self.datacenter.clone(),
                credentials: password
                    .map(|password| Credentials { user: self.user.clone(), password }),
                request_timeout: Duration::from_millis(self.request_timeout_ms),
                connect_timeout: Duration::from_millis(self.connect_timeout_ms),
                speculative_after: (speculative > 0).then(|| Duration::from_millis(speculative)),
                reads_at_once_max: self.reads_at_once_max,
                writes_at_once_max: self.writes_at_once_max,
                ..Settings::new(self.nodes.clone(), self.keyspace.clone())
            }
        }

        pub(crate) fn replication(&self) -> Replication {
            Replication::EachDatacenter(self.replication_factor)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn defaults_are_those_of_the_adapter() {
            let its = Settings::new(Vec::new(), "exchequer");
            assert!(Scylla::default().settings() == its);
        }
    }
}
