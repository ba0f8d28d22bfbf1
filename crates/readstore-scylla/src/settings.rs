//! Where the store is, and the bounds of how it is used.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Longest name of a keyspace that every store takes.
const KEYSPACE_CHARS_MAX: usize = 48;

/// How the store is reached. `new` gives what suits a small cluster in one data centre.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host:port` of some nodes; the others are learnt from them.
    pub contact_points: Vec<String>,
    /// `[a-z][a-z0-9_]*`, at most 48 characters.
    pub keyspace: String,
    /// The data centre whose nodes are asked, and whose quorum is meant. None: that of the
    /// nodes which answer, for a cluster with one.
    pub local_datacenter: Option<String>,
    pub credentials: Option<Credentials>,
    /// None: nodes are spoken to in clear.
    pub tls: Option<Tls>,
    /// Of one statement, with the driver's own retries.
    pub request_timeout: Duration,
    pub connect_timeout: Duration,
    /// A statement that is not answered by then is sent to another node as well. None: never.
    pub speculative_after: Option<Duration>,
    /// Reads on their way at the same time; further ones wait.
    pub reads_at_once_max: usize,
    /// Statements and batches that write, on their way at the same time; further ones wait.
    pub writes_at_once_max: usize,
}

/// Of the store's own users.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

/// How nodes are spoken to by TLS.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM of the authorities that may have signed the nodes' certificates; the system's if none.
    pub ca_pem: Option<String>,
    /// PEM of this client's certificate chain and of its key.
    pub client_pem: Option<(String, String)>,
    /// The name that the certificate of every node is for. None: each is for the address under
    /// which the node is reached.
    pub certificate_name: Option<String>,
}

impl Settings {
    pub fn new(contact_points: Vec<String>, keyspace: impl Into<String>) -> Self {
        Self {
            contact_points,
            keyspace: keyspace.into(),
            local_datacenter: None,
            credentials: None,
            tls: None,
            request_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            speculative_after: Some(Duration::from_millis(250)),
            reads_at_once_max: 128,
            writes_at_once_max: 64,
        }
    }

    /// Is the keyspace's name one that every store takes as it is?
    pub(crate) fn has_usable_keyspace(&self) -> bool {
        let name = self.keyspace.as_bytes();
        let is_word = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        name.first().is_some_and(u8::is_ascii_lowercase)
            && name.iter().all(is_word)
            && name.len() <= KEYSPACE_CHARS_MAX
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("contact_points", &self.contact_points)
            .field("keyspace", &self.keyspace)
            .field("local_datacenter", &self.local_datacenter)
            .field("credentials", &self.credentials)
            .field("tls", &self.tls)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("has_authorities", &self.ca_pem.is_some())
            .field("has_certificate", &self.client_pem.is_some())
            .field("certificate_name", &self.certificate_name)
            .finish()
    }
}

/// On how many nodes each row lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// On so many in each data centre that the cluster has when the keyspace is created.
    EachDatacenter(u8),
    /// By name of the data centre.
    Datacenters(BTreeMap<String, u8>),
}

impl Replication {
    /// As the store's `replication` option says it.
    pub(crate) fn options(&self) -> BTreeMap<String, String> {
        let class = ("class".to_owned(), "NetworkTopologyStrategy".to_owned());
        let factors: Vec<_> = match self {
            Self::EachDatacenter(factor) => {
                vec![("replication_factor".to_owned(), factor.to_string())]
            }
            Self::Datacenters(factors) => {
                factors.iter().map(|(name, factor)| (name.clone(), factor.to_string())).collect()
            }
        };
        std::iter::once(class).chain(factors).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: KER-13
    #[test]
    fn a_password_and_a_key_are_not_printed() {
        let credentials = Credentials { user: "u".to_owned(), password: "secret-word".to_owned() };
        let settings = Settings {
            credentials: Some(credentials),
            tls: Some(Tls {
                client_pem: Some(("a certificate".to_owned(), "secret-word".to_owned())),
                ..Tls::default()
            }),
            ..Settings::new(vec!["127.0.0.1:9042".to_owned()], "exchequer")
        };
        assert!(!format!("{settings:?}").contains("secret-word"));
    }

    #[test]
    fn keyspaces_are_plain_words() {
        let usable = |name: &str| Settings::new(Vec::new(), name).has_usable_keyspace();
        assert!(usable("exchequer_2"));
        for name in ["", "2a", "A", "a-b", "a\"b", "_a", &"a".repeat(49)] {
            assert!(!usable(name), "{name}");
        }
    }
}
