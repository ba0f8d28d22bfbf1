//! Rows in memory: the key store of tests and simulations, and what adapters
//! answer reads from.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use exchequer_types::{KeyId, PartitionId, TenantId};
use futures::future::ready;

use crate::store::Finding;
use crate::{Found, KeyStore, Mark, Row, SubjectHash, SubjectKeyRow, TenantKeyRow, VaultError};

/// Persons' keys that are held when nothing else is said: about 250 bytes each.
const KEYS_MAX: usize = 2_000_000;

/// A key store in memory. Nothing of it is durable.
#[derive(Debug)]
pub struct MemoryKeys {
    keys_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    tenants: BTreeMap<TenantId, TenantKeyRow>,
    /// None: erased.
    keys: HashMap<KeyId, Option<SubjectKeyRow>>,
    live: usize,
    subjects: HashMap<(TenantId, SubjectHash), Vec<KeyId>>,
    marks: BTreeMap<PartitionId, Vec<u8>>,
}

impl Default for MemoryKeys {
    fn default() -> Self {
        Self::bounded(KEYS_MAX)
    }
}

impl MemoryKeys {
    /// Holds at most `keys_max` persons' keys.
    pub fn bounded(keys_max: usize) -> Self {
        Self { keys_max, held: Mutex::default() }
    }

    /// May this row be inserted?
    pub fn check(&self, row: &Row) -> Result<(), VaultError> {
        let Row::Subject(row) = row else { return Ok(()) };
        let held = self.lock();
        if held.keys.contains_key(&row.key) {
            return Err(VaultError::Exists(row.key));
        }
        if held.live >= self.keys_max {
            return Err(VaultError::Full { keys_max: self.keys_max });
        }
        Ok(())
    }

    /// Takes over a row that is durable.
    pub fn insert_now(&self, row: Row) -> Result<(), VaultError> {
        self.check(&row)?;
        let mut held = self.lock();
        match row {
            Row::Tenant(row) | Row::Rewrap(row) => {
                held.tenants.insert(row.tenant.clone(), row);
            }
            Row::Subject(row) => {
                let subject = (row.tenant.clone(), row.subject);
                held.subjects.entry(subject).or_default().push(row.key);
                held.keys.insert(row.key, Some(row));
                held.live += 1;
            }
        }
        Ok(())
    }

    /// Forgets keys; gives those that were not erased yet.
    pub fn erase_now(&self, keys: &[KeyId]) -> Vec<KeyId> {
        let mut held = self.lock();
        let mut new = Vec::new();
        for key in keys {
            let Some(before) = held.keys.insert(*key, None) else {
                new.push(*key);
                continue;
            };
            let Some(row) = before else { continue };
            new.push(*key);
            held.live -= 1;
            let subject = (row.tenant, row.subject);
            if let Some(of_subject) = held.subjects.get_mut(&subject) {
                of_subject.retain(|it| it != key);
                if of_subject.is_empty() {
                    held.subjects.remove(&subject);
                }
            }
        }
        new
    }

    /// Takes over marks that are durable.
    pub fn mark_now(&self, marks: Vec<Mark>) {
        let marks = marks.into_iter().map(|mark| (mark.partition, mark.head));
        self.lock().marks.extend(marks);
    }

    /// Everything that counts, in an order in which it can be inserted again:
    /// tenants, live keys, and the ids of erased ones. Ascending, so that the same
    /// contents give the same list.
    pub fn contents(&self) -> (Vec<Row>, Vec<KeyId>) {
        let held = self.lock();
        let mut rows: Vec<Row> = held.tenants.values().cloned().map(Row::Tenant).collect();
        let mut live: Vec<&SubjectKeyRow> = held.keys.values().flatten().collect();
        live.sort_unstable_by_key(|row| (row.created_at, row.key));
        rows.extend(live.into_iter().cloned().map(Row::Subject));
        let erased = held.keys.iter().filter(|(_, row)| row.is_none());
        let mut erased: Vec<KeyId> = erased.map(|(key, _)| *key).collect();
        erased.sort_unstable();
        (rows, erased)
    }

    /// The newest row of a tenant's key, at once.
    pub fn tenant(&self, tenant: &TenantId) -> Option<TenantKeyRow> {
        self.lock().tenants.get(tenant).cloned()
    }

    /// The newest row of every tenant, at once.
    pub fn tenants(&self) -> Vec<TenantKeyRow> {
        self.lock().tenants.values().cloned().collect()
    }

    /// What became of a key, at once.
    pub fn find(&self, key: KeyId) -> Found {
        match self.lock().keys.get(&key) {
            Some(Some(row)) => Found::Live(row.clone()),
            Some(None) => Found::Erased,
            None => Found::Unknown,
        }
    }

    /// The live keys of a person, oldest first, at once.
    pub fn of_subject(&self, tenant: &TenantId, subject: SubjectHash) -> Vec<SubjectKeyRow> {
        let held = self.lock();
        let keys = held.subjects.get(&(tenant.clone(), subject)).into_iter().flatten();
        keys.filter_map(|key| held.keys.get(key).cloned().flatten()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for MemoryKeys {
    fn insert(&self, row: Row) -> Finding<'_, ()> {
        Box::pin(ready(self.insert_now(row)))
    }

    fn tenant<'a>(&'a self, tenant: &'a TenantId) -> Finding<'a, Option<TenantKeyRow>> {
        Box::pin(ready(Ok(Self::tenant(self, tenant))))
    }

    fn tenants(&self) -> Finding<'_, Vec<TenantKeyRow>> {
        Box::pin(ready(Ok(Self::tenants(self))))
    }

    fn find(&self, key: KeyId) -> Finding<'_, Found> {
        Box::pin(ready(Ok(Self::find(self, key))))
    }

    fn of_subject<'a>(
        &'a self,
        tenant: &'a TenantId,
        subject: SubjectHash,
    ) -> Finding<'a, Vec<SubjectKeyRow>> {
        Box::pin(ready(Ok(Self::of_subject(self, tenant, subject))))
    }

    fn is_erased(&self, key: KeyId) -> bool {
        matches!(self.lock().keys.get(&key), Some(None))
    }

    fn erase(&self, keys: &[KeyId]) -> Finding<'_, ()> {
        self.erase_now(keys);
        Box::pin(ready(Ok(())))
    }

    fn marks(&self) -> Vec<Mark> {
        let marks = self.lock().marks.clone();
        marks.into_iter().map(|(partition, head)| Mark { partition, head }).collect()
    }

    fn save_marks(&self, marks: Vec<Mark>) -> Finding<'_, ()> {
        self.mark_now(marks);
        Box::pin(ready(Ok(())))
    }
}
