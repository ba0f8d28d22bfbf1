//! What becomes known of a call while it is answered, for its line in the access log.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Filled by whoever gets to know something; the first word stays.
#[derive(Debug, Default)]
pub(crate) struct Note {
    tenant: OnceLock<String>,
    actor: OnceLock<String>,
    credential: OnceLock<String>,
    /// Bytes of the request's body.
    received: AtomicU64,
}

impl Note {
    /// The tenant that the request names.
    pub(crate) fn set_tenant(&self, tenant: &str) {
        self.tenant.get_or_init(|| tenant.to_owned());
    }

    /// Who acts.
    pub(crate) fn set_actor(&self, actor: &str) {
        self.actor.get_or_init(|| actor.to_owned());
    }

    /// The id of the credential, never the credential.
    pub(crate) fn set_credential(&self, id: &str) {
        self.credential.get_or_init(|| id.to_owned());
    }

    /// More of the request's body has come.
    pub(crate) fn receive(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        self.tenant.get().map(String::as_str)
    }

    pub(super) fn actor(&self) -> Option<&str> {
        self.actor.get().map(String::as_str)
    }

    pub(super) fn credential(&self) -> Option<&str> {
        self.credential.get().map(String::as_str)
    }
}
