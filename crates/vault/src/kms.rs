//! Port of the key service: who holds the master key wraps and unwraps tenants'
//! keys, and nothing else. A service outside, such as a cloud's or a hardware
//! module's, never gives its key out; the default holds keys from a file.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use exchequer_types::TenantId;
use futures::future::{BoxFuture, ready};

use crate::message::{self, Key, place};
use crate::{Entropy, VaultError};

/// A tenant's key as the service gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Which master key wraps it.
    pub master: String,
    pub text: Vec<u8>,
}

/// Wraps by a master key.
pub trait Kms: Send + Sync + core::fmt::Debug {
    /// Which master key new keys are wrapped by.
    fn current(&self) -> String;

    /// Wraps a tenant's key under the current master key.
    fn wrap<'a>(
        &'a self,
        tenant: &'a TenantId,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Wrapped, VaultError>>;

    /// Unwraps what any of its master keys has wrapped for that tenant.
    fn unwrap<'a>(
        &'a self,
        tenant: &'a TenantId,
        master: &'a str,
        text: &'a [u8],
    ) -> BoxFuture<'a, Result<Key, VaultError>>;

    /// Makes a new master key the current one, or takes up one that was made
    /// outside since; gives its name.
    fn rotate(&self) -> BoxFuture<'_, Result<String, VaultError>>;
}

/// Master keys held in memory, by version; the highest is current.
#[derive(Debug)]
pub struct MasterKeys {
    keys: RwLock<BTreeMap<u32, Key>>,
    entropy: Arc<dyn Entropy>,
}

impl MasterKeys {
    /// Of at least one version; None without any.
    pub fn new(keys: BTreeMap<u32, Key>, entropy: Arc<dyn Entropy>) -> Option<Self> {
        (!keys.is_empty()).then(|| Self { keys: RwLock::new(keys), entropy })
    }

    /// Takes the place of all keys, when there is at least one.
    pub fn replace(&self, keys: BTreeMap<u32, Key>) {
        if !keys.is_empty() {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
    }

    /// A copy of all keys, by version.
    pub fn all(&self) -> BTreeMap<u32, Key> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The version that is current.
    pub fn version(&self) -> u32 {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.last_key_value().map_or(0, |(version, _)| *version)
    }

    fn key(&self, master: &str) -> Result<Key, VaultError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = master.parse().ok().and_then(|version: u32| keys.get(&version).cloned());
        key.ok_or_else(|| VaultError::MasterUnknown(master.to_owned()))
    }
}

impl Kms for MasterKeys {
    fn current(&self) -> String {
        self.version().to_string()
    }

    fn wrap<'a>(
        &'a self,
        tenant: &'a TenantId,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Wrapped, VaultError>> {
        let master = self.current();
        let wrapped = self.key(&master).and_then(|own| {
            let place = place(&[b"tenant key", tenant.as_str().as_bytes()]);
            message::seal(&own, &place, key.bytes(), self.entropy.as_ref())
        });
        Box::pin(ready(wrapped.map(|text| Wrapped { master, text })))
    }

    fn unwrap<'a>(
        &'a self,
        tenant: &'a TenantId,
        master: &'a str,
        text: &'a [u8],
    ) -> BoxFuture<'a, Result<Key, VaultError>> {
        let key = self.key(master).and_then(|own| {
            let place = place(&[b"tenant key", tenant.as_str().as_bytes()]);
            let clear = message::open(&own, &place, text)?;
            Key::from_slice(&clear).ok_or(VaultError::Misfit)
        });
        Box::pin(ready(key))
    }

    fn rotate(&self) -> BoxFuture<'_, Result<String, VaultError>> {
        let key = Key::random(self.entropy.as_ref());
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let next = keys.last_key_value().map_or(1, |(version, _)| version.saturating_add(1));
        keys.insert(next, key);
        Box::pin(ready(Ok(next.to_string())))
    }
}
