//! ScyllaDB or Cassandra: where the views and states of a cluster are.

use std::net::IpAddr;
use std::path::PathBuf;

use super::pems::Pems;
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
        /// Whether nodes are spoken to by TLS.
        tls: bool = false, "", anything;
        /// Authorities that vouch for the nodes, as PEM, instead of the system's.
        ca_file: Option<PathBuf> = None, "path", anything;
        /// The certificate to present to the nodes, as PEM, where they ask for one.
        cert_file: Option<PathBuf> = None, "path", anything;
        /// That certificate's key as PEM, without a password.
        key_file: Option<PathBuf> = None, "path", anything;
        /// The name that the certificate of every node is for. Without it, each is for the
        /// address under which its node is reached.
        certificate_name: Option<String> = None, "name", anything;
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
        let Self { tls, ca_file, cert_file, key_file, .. } = self;
        Pems { table: "scylla", tls: *tls, ca_file, cert_file, key_file }.check(reader);
        if self.certificate_name.as_deref() == Some("") {
            let cure = "name what the certificates are for, or leave it out";
            reader.wrong("scylla.certificate_name", "is empty", cure);
        }
        if self.certificate_name.is_some() && !tls {
            let what = "is given, and scylla.tls is false";
            reader.wrong("scylla.certificate_name", what, "set scylla.tls = true");
        }
        if self.password.expose().is_some() && !tls && !self.nodes.iter().all(|it| is_loopback(it))
        {
            let what = "the password would be shown to whoever listens on the network";
            reader.wrong("scylla.tls", what, "set scylla.tls = true");
        }
    }
}

/// Is the node on this machine, as far as its address tells?
fn is_loopback(node: &str) -> bool {
    let host = node.rsplit_once(':').map_or(node, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|host: IpAddr| host.is_loopback())
}

#[cfg(feature = "cluster")]
mod of_adapter {
    use core::time::Duration;

    use exchequer_readstore_scylla::{Credentials, Replication, Settings, Tls};

    use super::Scylla;

    impl Scylla {
        /// As the adapter takes them. The files were there when the settings were checked.
        pub(crate) fn settings(&self) -> std::io::Result<Settings> {
            let password = self.password.expose().map(str::to_owned);
            let speculative = self.speculative_after_ms;
            let tls = self.tls.then(|| self.tls()).transpose()?;
            Ok(Settings {
                local_datacenter: self.datacenter.clone(),
                credentials: password
                    .map(|password| Credentials { user: self.user.clone(), password }),
                tls,
                request_timeout: Duration::from_millis(self.request_timeout_ms),
                connect_timeout: Duration::from_millis(self.connect_timeout_ms),
                speculative_after: (speculative > 0).then(|| Duration::from_millis(speculative)),
                reads_at_once_max: self.reads_at_once_max,
                writes_at_once_max: self.writes_at_once_max,
                ..Settings::new(self.nodes.clone(), self.keyspace.clone())
            })
        }

        fn tls(&self) -> std::io::Result<Tls> {
            let read = |file: &Option<std::path::PathBuf>| {
                file.as_deref().map(std::fs::read_to_string).transpose()
            };
            Ok(Tls {
                ca_pem: read(&self.ca_file)?,
                client_pem: read(&self.cert_file)?.zip(read(&self.key_file)?),
                certificate_name: self.certificate_name.clone(),
            })
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
            assert!(Scylla::default().settings().unwrap() == its);
        }
    }
}
