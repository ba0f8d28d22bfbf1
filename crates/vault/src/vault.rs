//! Encrypts and reads fields: the master key wraps tenants' keys, a tenant's key
//! wraps those of its persons, a person's key encrypts what is said of them.
//! Unwrapped keys are cached, and dropped when they are erased.

use core::fmt;
use core::hash::Hash;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exchequer_types::{KeyId, Protected, TenantId, Timestamp};
use zeroize::Zeroizing;

use crate::cache::Cache;
use crate::message::{Key, open, place, seal};
use crate::{
    Entropy, Found, KeyStore, Kms, Row, SubjectHash, SubjectKeyRow, TenantKeyRow, VaultError,
};

/// Tells the time; what is made when is compared with the journal's own time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Unwrapped keys that are held: a person's take about 150 bytes.
const TENANTS_CACHED_MAX: usize = 16_384;
const KEYS_CACHED_MAX: usize = 131_072;
/// Latest erasures that are remembered.
const ERASURES_CACHED_MAX: usize = 16_384;
/// Keys are made side by side, but for one person one after the other.
const SHARDS: usize = 64;
/// Of BLAKE3's key derivation.
const SUBJECT_CONTEXT: &str = "exchequer 2026-11 vault subject v1";
/// Who a tenant's secrets belong to. No actor can be called so.
const TENANT_SUBJECT: &str = " tenant";

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The master key that is current now.
    pub master: String,
    /// Tenants' keys that were wrapped anew.
    pub tenants: usize,
}

/// Encrypts and reads fields. Cloning shares it.
#[derive(Clone)]
pub struct Vault {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn KeyStore>,
    kms: Arc<dyn Kms>,
    entropy: Arc<dyn Entropy>,
    clock: Clock,
    tenants: Mutex<Cache<TenantId, Arc<TenantKey>>>,
    /// By tenant and subject.
    subjects: Mutex<Cache<String, Arc<SubjectKey>>>,
    keys: Mutex<Cache<KeyId, Arc<SubjectKey>>>,
    making: Vec<tokio::sync::Mutex<()>>,
    /// How often something was taken out of the caches: what was read before is kept no more.
    forgotten: AtomicU64,
    /// By tenant and subject: until when what was made is erased, as the journal tells. What is
    /// made later is made behind it, whatever the clock says: others erase by that.
    erased_until: Mutex<Cache<String, Timestamp>>,
}

struct TenantKey {
    key: Key,
    /// By which its subjects are hashed.
    subjects: Key,
}

/// Of BLAKE3's key derivation.
const TAG_CONTEXT: &str = "exchequer 2026-11 vault tag v1";

struct SubjectKey {
    id: KeyId,
    tenant: TenantId,
    subject: SubjectHash,
    created_at: Timestamp,
    key: Key,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("store", &self.shared.store).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vault {
    pub fn new(
        store: Arc<dyn KeyStore>,
        kms: Arc<dyn Kms>,
        entropy: Arc<dyn Entropy>,
        clock: Clock,
    ) -> Self {
        let shared = Shared {
            store,
            kms,
            entropy,
            clock,
            tenants: Mutex::new(Cache::new(TENANTS_CACHED_MAX)),
            subjects: Mutex::new(Cache::new(KEYS_CACHED_MAX)),
            keys: Mutex::new(Cache::new(KEYS_CACHED_MAX)),
            making: (0..SHARDS).map(|_| tokio::sync::Mutex::default()).collect(),
            forgotten: AtomicU64::new(0),
            erased_until: Mutex::new(Cache::new(ERASURES_CACHED_MAX)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Where the keys are.
    pub fn store(&self) -> &Arc<dyn KeyStore> {
        &self.shared.store
    }

    /// Which master key new keys are wrapped by.
    pub fn master(&self) -> String {
        self.shared.kms.current()
    }

    /// Encrypts what `field` says of the person `subject`, an actor's id or another
    /// opaque one, in `tenant`. The person's key is made, and durable, before this
    /// resolves. `field` names the place for good, as "access.member.name": a text
    /// opens nowhere else. At most [`crate::CLEAR_BYTES_MAX`] bytes.
    pub async fn protect(
        &self,
        tenant: &TenantId,
        subject: &str,
        field: &str,
        clear: &str,
    ) -> Result<Protected, VaultError> {
        self.protect_bytes(tenant, subject, field, clear.as_bytes()).await
    }

    /// As [`Vault::protect`], for what is no text.
    pub async fn protect_bytes(
        &self,
        tenant: &TenantId,
        subject: &str,
        field: &str,
        clear: &[u8],
    ) -> Result<Protected, VaultError> {
        let key = self.subject_key(tenant, subject).await?;
        let place = field_place(tenant, key.id, field);
        let text = seal(&key.key, &place, clear, self.shared.entropy.as_ref())?;
        Ok(Protected { key: key.id, text })
    }

    /// Encrypts a secret of the tenant itself.
    pub async fn protect_secret(
        &self,
        tenant: &TenantId,
        field: &str,
        clear: &str,
    ) -> Result<Protected, VaultError> {
        self.protect(tenant, TENANT_SUBJECT, field, clear).await
    }

    /// Stands for `clear` where the same text must be known again, and nothing else: 16
    /// bytes of BLAKE3 under a key derived from the person's. Nobody can try texts
    /// against it once the person's key is erased.
    pub async fn tag(
        &self,
        tenant: &TenantId,
        subject: &str,
        field: &str,
        clear: &str,
    ) -> Result<[u8; 16], VaultError> {
        let key = self.subject_key(tenant, subject).await?;
        let place = field_place(tenant, key.id, field);
        let tagging = Zeroizing::new(blake3::derive_key(TAG_CONTEXT, key.key.bytes()));
        let mut hasher = blake3::Hasher::new_keyed(&tagging);
        hasher.update(&u64::try_from(place.len()).unwrap_or(u64::MAX).to_le_bytes());
        let hash = *hasher.update(&place).update(clear.as_bytes()).finalize().as_bytes();
        Ok(core::array::from_fn(|at| hash[at]))
    }

    /// Reads what was encrypted for the same tenant and field. None when the key is
    /// erased, or was lost with a key store that was restored from an older backup.
    pub async fn reveal(
        &self,
        tenant: &TenantId,
        field: &str,
        protected: &Protected,
    ) -> Result<Option<String>, VaultError> {
        let Some(clear) = self.reveal_bytes(tenant, field, protected).await? else {
            return Ok(None);
        };
        let clear = core::str::from_utf8(&clear).map_err(|_| VaultError::Misfit)?;
        Ok(Some(clear.to_owned()))
    }

    /// As [`Vault::reveal`], for what is no text.
    pub async fn reveal_bytes(
        &self,
        tenant: &TenantId,
        field: &str,
        protected: &Protected,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        if self.shared.store.is_erased(protected.key) {
            return Ok(None);
        }
        let since = self.forgotten();
        let cached = lock(&self.shared.keys).get(&protected.key);
        let key = match cached {
            Some(key) => key,
            None => match self.shared.store.find(protected.key).await? {
                Found::Live(row) => self.unwrap(row, since).await?,
                Found::Erased | Found::Unknown => return Ok(None),
            },
        };
        if key.tenant != *tenant {
            return Err(VaultError::Misfit);
        }
        open(&key.key, &field_place(tenant, key.id, field), &protected.text).map(Some)
    }

    /// Ids of all keys that a person has in `tenant`, oldest first: what an erasure
    /// of that person names.
    pub async fn keys_of(
        &self,
        tenant: &TenantId,
        subject: &str,
    ) -> Result<Vec<KeyId>, VaultError> {
        let rows = self.rows_of(tenant, subject).await?;
        Ok(rows.into_iter().map(|row| row.key).collect())
    }

    /// Erases keys: nothing under them is read from the moment of the call on.
    /// Resolves when that is durable.
    pub fn erase(
        &self,
        keys: &[KeyId],
    ) -> impl Future<Output = Result<(), VaultError>> + Send + '_ {
        let erased: BTreeSet<KeyId> = keys.iter().copied().collect();
        let durable = self.shared.store.erase(keys);
        self.forget(|key| erased.contains(&key.id));
        durable
    }

    /// What is made for the person from now on is made behind `at`, when an erasure was decided
    /// that is still to be applied: others erase what was made until then.
    pub fn note_erasure(&self, tenant: &TenantId, subject: &str, at: Timestamp) {
        let name = cached_name(tenant, subject);
        let mut erased_until = lock(&self.shared.erased_until);
        let until = erased_until.get(name.as_str()).map_or(at, |until| until.max(at));
        erased_until.insert(name, until);
    }

    /// Applies an erasure that the journal tells of: `keys`, and whatever else was
    /// made for the person until `at`, while the erasure was being decided.
    pub async fn erase_person(
        &self,
        tenant: &TenantId,
        subject: &str,
        keys: &[KeyId],
        at: Timestamp,
    ) -> Result<(), VaultError> {
        self.note_erasure(tenant, subject, at);
        let Some(tenant_key) = self.known_tenant_key(tenant).await? else {
            return self.erase(keys).await;
        };
        // No key is half made meanwhile.
        let _making = self.shared.making[shard(subject)].lock().await;
        let hash = tenant_key.hash(subject);
        let rows = self.shared.store.of_subject(tenant, hash).await?;
        let until = rows.into_iter().filter(|row| row.created_at <= at).map(|row| row.key);
        let all: Vec<KeyId> = keys.iter().copied().chain(until).collect();
        self.erase(&all).await?;
        // Another process may have erased rows before they were looked for here.
        self.forget(|key| key.tenant == *tenant && key.subject == hash && key.created_at <= at);
        Ok(())
    }

    /// Are the master keys those that wrapped the tenants' keys? One row of each
    /// version tells.
    pub async fn check(&self) -> Result<(), VaultError> {
        let mut checked = BTreeSet::new();
        for row in self.shared.store.tenants().await? {
            if checked.contains(&row.master) {
                continue;
            }
            let key = self.shared.kms.unwrap(&row.tenant, &row.master, &row.wrapped).await;
            key.map_err(|error| match error {
                VaultError::Misfit => VaultError::MasterWrong(row.master.clone()),
                error => error,
            })?;
            checked.insert(row.master);
        }
        Ok(())
    }

    /// Wraps every tenant's key that an older master key wraps under the current
    /// one. Reading and writing goes on meanwhile.
    pub async fn rewrap(&self) -> Result<usize, VaultError> {
        let (mut tenants, kms) = (0, &self.shared.kms);
        let current = kms.current();
        for row in self.shared.store.tenants().await? {
            if row.master == current {
                continue;
            }
            let _making = self.shared.making[shard(row.tenant.as_str())].lock().await;
            let key = kms.unwrap(&row.tenant, &row.master, &row.wrapped).await?;
            let wrapped = kms.wrap(&row.tenant, &key).await?;
            let TenantKeyRow { tenant, .. } = row;
            let row = TenantKeyRow { tenant, master: wrapped.master, wrapped: wrapped.text };
            self.shared.store.insert(Row::Rewrap(row)).await?;
            tenants += 1;
        }
        Ok(tenants)
    }

    /// Makes a new master key the current one, and wraps all tenants' keys anew.
    pub async fn rotate(&self) -> Result<Rotated, VaultError> {
        // Under a wrong one, what is new would be lost with the right one's return.
        self.check().await?;
        let master = self.shared.kms.rotate().await?;
        Ok(Rotated { master, tenants: self.rewrap().await? })
    }

    async fn rows_of(
        &self,
        tenant: &TenantId,
        subject: &str,
    ) -> Result<Vec<SubjectKeyRow>, VaultError> {
        let Some(key) = self.known_tenant_key(tenant).await? else { return Ok(Vec::new()) };
        self.shared.store.of_subject(tenant, key.hash(subject)).await
    }

    /// The key under which the person's fields are encrypted now.
    async fn subject_key(
        &self,
        tenant: &TenantId,
        subject: &str,
    ) -> Result<Arc<SubjectKey>, VaultError> {
        let name = cached_name(tenant, subject);
        let cached = lock(&self.shared.subjects).get(name.as_str());
        if let Some(key) = cached.filter(|key| !self.shared.store.is_erased(key.id)) {
            return Ok(key);
        }
        let tenant_key = self.tenant_key(tenant).await?;
        let _making = self.shared.making[shard(subject)].lock().await;
        let since = self.forgotten();
        let hash = tenant_key.hash(subject);
        let key = match self.shared.store.of_subject(tenant, hash).await?.pop() {
            Some(row) => self.unwrap(row, since).await?,
            None => self.make((tenant, &tenant_key, hash), self.made_at(&name), since).await?,
        };
        self.cache(&self.shared.subjects, name, &key, since);
        Ok(key)
    }

    /// When a key of this name is made: behind every erasure that is known of it.
    fn made_at(&self, name: &str) -> Timestamp {
        let until = lock(&self.shared.erased_until).get(name);
        let now = (self.shared.clock)();
        until.map_or(now, |until| until.saturating_add(Duration::from_micros(1)).max(now))
    }

    async fn make(
        &self,
        (tenant, tenant_key, subject): (&TenantId, &TenantKey, SubjectHash),
        created_at: Timestamp,
        since: u64,
    ) -> Result<Arc<SubjectKey>, VaultError> {
        let entropy = self.shared.entropy.as_ref();
        let mut id = KeyId::default();
        entropy.fill(&mut id.0);
        let key = Key::random(entropy);
        let place = key_place(tenant, id);
        let row = SubjectKeyRow {
            key: id,
            tenant: tenant.clone(),
            subject,
            created_at,
            wrapped: seal(&tenant_key.key, &place, key.bytes(), entropy)?,
        };
        self.shared.store.insert(Row::Subject(row)).await?;
        let tenant = tenant.clone();
        Ok(self.keep(SubjectKey { id, tenant, subject, created_at, key }, since))
    }

    async fn unwrap(&self, row: SubjectKeyRow, since: u64) -> Result<Arc<SubjectKey>, VaultError> {
        // A person's key without its tenant's: half of a restored store.
        let tenant_key = self.known_tenant_key(&row.tenant).await?.ok_or(VaultError::Misfit)?;
        let clear = open(&tenant_key.key, &key_place(&row.tenant, row.key), &row.wrapped)?;
        let key = Key::from_slice(&clear).ok_or(VaultError::Misfit)?;
        let SubjectKeyRow { key: id, tenant, subject, created_at, .. } = row;
        Ok(self.keep(SubjectKey { id, tenant, subject, created_at, key }, since))
    }

    fn keep(&self, key: SubjectKey, since: u64) -> Arc<SubjectKey> {
        let key = Arc::new(key);
        self.cache(&self.shared.keys, key.id, &key, since);
        key
    }

    fn forgotten(&self) -> u64 {
        self.shared.forgotten.load(Ordering::SeqCst)
    }

    /// Caches a key that was looked for when [`Self::forgotten`] was `since`, unless it may
    /// be one of those that were forgotten since.
    fn cache<K: Hash + Eq + Clone>(
        &self,
        cache: &Mutex<Cache<K, Arc<SubjectKey>>>,
        name: K,
        key: &Arc<SubjectKey>,
        since: u64,
    ) {
        let mut cache = lock(cache);
        if self.forgotten() == since {
            cache.insert(name, Arc::clone(key));
        }
    }

    fn forget(&self, is_gone: impl Fn(&SubjectKey) -> bool) {
        self.shared.forgotten.fetch_add(1, Ordering::SeqCst);
        lock(&self.shared.subjects).retain(|key| !is_gone(key));
        lock(&self.shared.keys).retain(|key| !is_gone(key));
    }

    async fn tenant_key(&self, tenant: &TenantId) -> Result<Arc<TenantKey>, VaultError> {
        if let Some(key) = self.known_tenant_key(tenant).await? {
            return Ok(key);
        }
        let _making = self.shared.making[shard(tenant.as_str())].lock().await;
        if let Some(key) = self.known_tenant_key(tenant).await? {
            return Ok(key);
        }
        let key = Key::random(self.shared.entropy.as_ref());
        let wrapped = self.shared.kms.wrap(tenant, &key).await?;
        let row =
            TenantKeyRow { tenant: tenant.clone(), master: wrapped.master, wrapped: wrapped.text };
        match self.shared.store.insert(Row::Tenant(row)).await {
            Ok(()) => Ok(self.keep_tenant(tenant, key)),
            // Nothing was encrypted under ours yet.
            Err(VaultError::Overtaken(_)) => {
                let theirs = self.known_tenant_key(tenant).await?;
                theirs.ok_or_else(|| VaultError::Overtaken(tenant.clone()))
            }
            Err(error) => Err(error),
        }
    }

    async fn known_tenant_key(
        &self,
        tenant: &TenantId,
    ) -> Result<Option<Arc<TenantKey>>, VaultError> {
        let cached = lock(&self.shared.tenants).get(tenant);
        if let Some(key) = cached {
            return Ok(Some(key));
        }
        let Some(row) = self.shared.store.tenant(tenant).await? else { return Ok(None) };
        let key = self.shared.kms.unwrap(tenant, &row.master, &row.wrapped).await?;
        Ok(Some(self.keep_tenant(tenant, key)))
    }

    fn keep_tenant(&self, tenant: &TenantId, key: Key) -> Arc<TenantKey> {
        let subjects = Key::new(blake3::derive_key(SUBJECT_CONTEXT, key.bytes()));
        let key = Arc::new(TenantKey { key, subjects });
        lock(&self.shared.tenants).insert(tenant.clone(), Arc::clone(&key));
        key
    }
}

impl TenantKey {
    fn hash(&self, subject: &str) -> SubjectHash {
        let hash = blake3::keyed_hash(self.subjects.bytes(), subject.as_bytes());
        let mut short = SubjectHash::default();
        short.copy_from_slice(&hash.as_bytes()[..16]);
        short
    }
}

fn cached_name(tenant: &TenantId, subject: &str) -> String {
    format!("{tenant} {subject}")
}

fn field_place(tenant: &TenantId, key: KeyId, field: &str) -> Vec<u8> {
    place(&[b"field", tenant.as_str().as_bytes(), &key.0, field.as_bytes()])
}

fn key_place(tenant: &TenantId, key: KeyId) -> Vec<u8> {
    place(&[b"subject key", tenant.as_str().as_bytes(), &key.0])
}

fn shard(text: &str) -> usize {
    text.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)))
        % SHARDS
}
