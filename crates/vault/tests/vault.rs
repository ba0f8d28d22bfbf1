//! What a vault promises: only who asks for the right person's field in the right
//! tenant reads it, and nobody once the key is erased.

#![expect(clippy::unwrap_used, reason = "a test's own checks")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use exchequer_types::{KeyId, Protected, TenantId, Timestamp};
use exchequer_vault::{
    CLEAR_BYTES_MAX, Clock, EXTRA_BYTES, Finding, Found, Key, KeyStore, Kms, Mark, MasterKeys,
    MemoryKeys, Row, SeededEntropy, SubjectHash, SubjectKeyRow, TenantKeyRow, Vault, VaultError,
    open, seal,
};
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::join;
use proptest::prelude::*;

struct World {
    store: Arc<MemoryKeys>,
    kms: Arc<MasterKeys>,
    now: Arc<AtomicI64>,
}

impl World {
    fn new() -> Self {
        let entropy = Arc::new(SeededEntropy::new(1));
        let master = [(1, Key::new([7; 32]))].into();
        let kms = Arc::new(MasterKeys::new(master, entropy).unwrap());
        Self { store: Arc::default(), kms, now: Arc::new(AtomicI64::new(1)) }
    }

    /// A vault that has nothing cached, as after a restart or in another process.
    fn vault(&self, seed: u64) -> Vault {
        self.vault_held_back(seed, None)
    }

    /// The same; what it finds first comes back when it is told so.
    fn vault_held_back(&self, seed: u64, held_back: Option<oneshot::Receiver<()>>) -> Vault {
        let now = Arc::clone(&self.now);
        let clock: Clock =
            Arc::new(move || Timestamp::saturating_from_micros(now.load(Ordering::Relaxed)));
        let (shared, erased) = (Arc::clone(&self.store), Mutex::default());
        let held_back = Mutex::new(held_back);
        let store: Arc<dyn KeyStore> = Arc::new(Process { shared, erased, held_back });
        let kms: Arc<dyn Kms> = Arc::<MasterKeys>::clone(&self.kms);
        Vault::new(store, kms, Arc::new(SeededEntropy::new(seed)), clock)
    }
}

/// A store that processes share, as one of them sees it: it remembers only what it erased
/// itself.
#[derive(Debug)]
struct Process {
    shared: Arc<MemoryKeys>,
    erased: Mutex<BTreeSet<KeyId>>,
    /// What is found of a key comes back when it says so.
    held_back: Mutex<Option<oneshot::Receiver<()>>>,
}

impl KeyStore for Process {
    fn insert(&self, row: Row) -> Finding<'_, ()> {
        KeyStore::insert(self.shared.as_ref(), row)
    }

    fn tenant<'a>(&'a self, tenant: &'a TenantId) -> Finding<'a, Option<TenantKeyRow>> {
        KeyStore::tenant(self.shared.as_ref(), tenant)
    }

    fn tenants(&self) -> Finding<'_, Vec<TenantKeyRow>> {
        KeyStore::tenants(self.shared.as_ref())
    }

    fn find(&self, key: KeyId) -> Finding<'_, Found> {
        let found = KeyStore::find(self.shared.as_ref(), key);
        let held_back = self.held_back.lock().unwrap().take();
        Box::pin(async move {
            let found = found.await;
            if let Some(held_back) = held_back {
                held_back.await.unwrap();
            }
            found
        })
    }

    fn of_subject<'a>(
        &'a self,
        tenant: &'a TenantId,
        subject: SubjectHash,
    ) -> Finding<'a, Vec<SubjectKeyRow>> {
        KeyStore::of_subject(self.shared.as_ref(), tenant, subject)
    }

    fn is_erased(&self, key: KeyId) -> bool {
        self.erased.lock().unwrap().contains(&key)
    }

    fn erase(&self, keys: &[KeyId]) -> Finding<'_, ()> {
        self.erased.lock().unwrap().extend(keys);
        KeyStore::erase(self.shared.as_ref(), keys)
    }

    fn marks(&self) -> Vec<Mark> {
        self.shared.marks()
    }

    fn save_marks(&self, marks: Vec<Mark>) -> Finding<'_, ()> {
        self.shared.save_marks(marks)
    }
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

const NAME: &str = "access.member.name";

// REQ: EDG-06
#[test]
fn a_field_is_read_in_its_place_alone() {
    let world = World::new();
    let vault = world.vault(2);
    let (acme, other) = (tenant("acme"), tenant("other"));
    let name = block_on(vault.protect(&acme, "u-1", NAME, "Ada Lovelace")).unwrap();
    assert!(!name.text.windows(3).any(|it| it == b"Ada"));
    let read = |tenant, field| block_on(vault.reveal(tenant, field, &name));
    assert_eq!(read(&acme, NAME), Ok(Some("Ada Lovelace".to_owned())));
    assert_eq!(read(&acme, "access.member.email"), Err(VaultError::Misfit));
    assert_eq!(read(&other, NAME), Err(VaultError::Misfit));
    // Under the key of another person of the same tenant.
    let friend = block_on(vault.protect(&acme, "u-2", NAME, "Charles")).unwrap();
    let swapped = Protected { key: friend.key, ..name.clone() };
    assert_eq!(block_on(vault.reveal(&acme, NAME, &swapped)), Err(VaultError::Misfit));
    // One person, one key in a tenant, and another text each time.
    let again = block_on(vault.protect(&acme, "u-1", NAME, "Ada Lovelace")).unwrap();
    assert!(again.key == name.key && again.text != name.text && friend.key != name.key);
    let elsewhere = block_on(vault.protect(&other, "u-1", NAME, "Ada Lovelace")).unwrap();
    assert_ne!(elsewhere.key, name.key);
}

// REQ: EDG-06
#[test]
fn keys_outlive_the_vault_and_nothing_else_reads() {
    let world = World::new();
    let acme = tenant("acme");
    let secret =
        block_on(world.vault(2).protect_secret(&acme, "webhooks.secret", "whsec")).unwrap();
    let read = block_on(world.vault(3).reveal(&acme, "webhooks.secret", &secret));
    assert_eq!(read, Ok(Some("whsec".to_owned())));
    let stolen = World { store: Arc::clone(&world.store), ..World::new() };
    let kms = MasterKeys::new([(1, Key::new([8; 32]))].into(), Arc::new(SeededEntropy::new(4)));
    let stolen = World { kms: Arc::new(kms.unwrap()), ..stolen };
    let read = block_on(stolen.vault(3).reveal(&acme, "webhooks.secret", &secret));
    assert_eq!(read, Err(VaultError::Misfit), "rows without their master key are noise");
}

// REQ: IAM-18
#[test]
fn a_person_is_erased_and_may_come_back_as_another() {
    let world = World::new();
    let vault = world.vault(2);
    let acme = tenant("acme");
    let before = block_on(vault.protect(&acme, "u-1", NAME, "Ada")).unwrap();
    let friend = block_on(vault.protect(&acme, "u-2", NAME, "Charles")).unwrap();
    assert_eq!(block_on(vault.keys_of(&acme, "u-1")), Ok(vec![before.key]));
    let durable = vault.erase(&[before.key]);
    assert_eq!(block_on(vault.reveal(&acme, NAME, &before)), Ok(None), "from the call on");
    block_on(durable).unwrap();
    assert_eq!(block_on(vault.keys_of(&acme, "u-1")), Ok(vec![]));
    assert_eq!(
        block_on(vault.reveal(&acme, NAME, &friend)),
        Ok(Some("Charles".to_owned())),
        "others are not touched"
    );
    let after = block_on(vault.protect(&acme, "u-1", NAME, "Ada again")).unwrap();
    assert_ne!(after.key, before.key);
    assert_eq!(block_on(vault.reveal(&acme, NAME, &before)), Ok(None));
    assert_eq!(block_on(vault.reveal(&acme, NAME, &after)), Ok(Some("Ada again".to_owned())));
}

// REQ: IAM-18
#[test]
fn an_erasure_takes_what_was_made_while_it_was_decided() {
    let world = World::new();
    let vault = world.vault(2);
    let acme = tenant("acme");
    world.now.store(10, Ordering::Relaxed);
    let raced = block_on(vault.protect(&acme, "u-1", NAME, "Ada")).unwrap();
    let at = |micros| Timestamp::saturating_from_micros(micros);
    // Decided before: it names another key, and this one was made later.
    block_on(vault.erase_person(&acme, "u-1", &[], at(9))).unwrap();
    assert_eq!(block_on(vault.reveal(&acme, NAME, &raced)), Ok(Some("Ada".to_owned())));
    block_on(vault.erase_person(&acme, "u-1", &[], at(10))).unwrap();
    assert_eq!(block_on(vault.reveal(&acme, NAME, &raced)), Ok(None));
    // Applied once more, as at a restart: who came back since stays.
    world.now.store(11, Ordering::Relaxed);
    let after = block_on(vault.protect(&acme, "u-1", NAME, "Ada again")).unwrap();
    block_on(vault.erase_person(&acme, "u-1", &[raced.key], at(10))).unwrap();
    assert_eq!(block_on(vault.reveal(&acme, NAME, &after)), Ok(Some("Ada again".to_owned())));
}

// REQ: EDG-06
#[test]
fn an_erasure_takes_what_another_process_made_and_a_third_one_wiped() {
    let world = World::new();
    let acme = tenant("acme");
    let [gateway, reader, first] = [2, 3, 4].map(|seed| world.vault(seed));
    world.now.store(10, Ordering::Relaxed);
    let name = block_on(gateway.protect(&acme, "u-1", NAME, "Ada")).unwrap();
    let read = |vault: &Vault| block_on(vault.reveal(&acme, NAME, &name)).unwrap();
    assert_eq!(read(&reader).as_deref(), Some("Ada"));
    // The erasure does not name the key, which was made while it was decided.
    let at = Timestamp::saturating_from_micros(20);
    block_on(first.erase_person(&acme, "u-1", &[], at)).unwrap();
    for vault in [&gateway, &reader] {
        block_on(vault.erase_person(&acme, "u-1", &[], at)).unwrap();
        assert_eq!(read(vault), None);
    }
    world.now.store(30, Ordering::Relaxed);
    let back = block_on(gateway.protect(&acme, "u-1", NAME, "Ada")).unwrap();
    assert_ne!(back.key, name.key);
    block_on(gateway.erase_person(&acme, "u-1", &[], at)).unwrap();
    assert_eq!(block_on(reader.reveal(&acme, NAME, &back)).unwrap().as_deref(), Some("Ada"));
}

// REQ: EDG-06
#[test]
fn a_key_that_was_read_before_an_erasure_is_not_kept_behind_it() {
    let world = World::new();
    let acme = tenant("acme");
    let (go_on, held_back) = oneshot::channel();
    let (maker, reader) = (world.vault(2), world.vault_held_back(3, Some(held_back)));
    world.now.store(10, Ordering::Relaxed);
    let name = block_on(maker.protect(&acme, "u-1", NAME, "Ada")).unwrap();
    let at = Timestamp::saturating_from_micros(20);
    let erased = async {
        maker.erase_person(&acme, "u-1", &[], at).await.unwrap();
        reader.erase_person(&acme, "u-1", &[], at).await.unwrap();
        go_on.send(()).unwrap();
    };
    // Asked before the erasure, and answered behind it.
    block_on(join(reader.reveal(&acme, NAME, &name), erased)).0.unwrap();
    assert_eq!(block_on(reader.reveal(&acme, NAME, &name)).unwrap(), None);
}

// REQ: EDG-06
#[test]
fn what_is_made_behind_an_erasure_stays_though_the_clock_is_behind() {
    let world = World::new();
    let acme = tenant("acme");
    let [gateway, other] = [2, 3].map(|seed| world.vault(seed));
    let at = Timestamp::saturating_from_micros(20);
    world.now.store(5, Ordering::Relaxed);
    let first = block_on(gateway.protect(&acme, "u-1", NAME, "Ada")).unwrap();
    // As soon as the journal tells of it, and long before it is applied.
    gateway.note_erasure(&acme, "u-1", at);
    drop(gateway.erase(&[first.key]));
    let back = block_on(gateway.protect(&acme, "u-1", NAME, "Ada")).unwrap();
    for vault in [&other, &gateway] {
        block_on(vault.erase_person(&acme, "u-1", &[first.key], at)).unwrap();
    }
    let read = block_on(world.vault(4).reveal(&acme, NAME, &back)).unwrap();
    assert_eq!(read.as_deref(), Some("Ada"));
}

// REQ: EDG-06
#[test]
fn master_keys_rotate_under_what_is_read() {
    let world = World::new();
    let vault = world.vault(2);
    let ids = ["a", "b", "c"].map(tenant);
    let write = |id| block_on(vault.protect(id, "u-1", NAME, "Ada")).unwrap();
    let texts = ids.each_ref().map(write);
    let rotated = block_on(vault.rotate()).unwrap();
    assert_eq!((rotated.master.as_str(), rotated.tenants), ("2", 3));
    assert!(world.store.tenants().iter().all(|row| row.master == "2"));
    assert_eq!(block_on(vault.rewrap()), Ok(0), "nothing is left of the old one");
    let row = world.store.tenant(&ids[0]).unwrap();
    let key = block_on(world.kms.unwrap(&ids[0], "3", &row.wrapped));
    assert_eq!(key.unwrap_err(), VaultError::MasterUnknown("3".to_owned()));
    // The old master key may go: nothing needs it.
    let (entropy, keys) = (Arc::new(SeededEntropy::new(9)), world.kms.all());
    let newest = keys.into_iter().filter(|(version, _)| *version == 2).collect();
    let kms = Arc::new(MasterKeys::new(newest, entropy).unwrap());
    let world = World { kms, ..world };
    for (id, text) in ids.iter().zip(&texts) {
        let fresh = world.vault(3);
        assert_eq!(block_on(fresh.reveal(id, NAME, text)), Ok(Some("Ada".to_owned())));
        assert_eq!(block_on(fresh.protect(id, "u-1", NAME, "Ada")).unwrap().key, text.key);
    }
}

// REQ: EDG-06
#[test]
fn a_wrong_master_key_is_named_before_it_wraps_anything() {
    let world = World::new();
    let vault = world.vault(2);
    assert_eq!(block_on(vault.check()), Ok(()), "no tenant yet");
    block_on(vault.protect(&tenant("acme"), "u-1", NAME, "Ada")).unwrap();
    block_on(vault.rotate()).unwrap();
    block_on(vault.protect(&tenant("other"), "u-1", NAME, "Eve")).unwrap();
    assert_eq!(block_on(vault.check()), Ok(()));
    let before = world.store.tenants();
    let with = |version: u32| {
        let keys = [(version, Key::new([8; 32]))].into();
        let kms = Arc::new(MasterKeys::new(keys, Arc::new(SeededEntropy::new(9))).unwrap());
        World { store: Arc::clone(&world.store), kms, now: Arc::clone(&world.now) }
    };
    let wrong = with(2);
    let refused = block_on(wrong.vault(3).check()).unwrap_err();
    assert_eq!(refused, VaultError::MasterWrong("2".to_owned()));
    let text = "master key 2 is not the one that wrapped the tenants' keys: put the right one back";
    assert_eq!(refused.to_string(), text);
    assert_eq!(block_on(wrong.vault(3).rotate()), Err(refused));
    assert_eq!(wrong.kms.current(), "2", "no new one was made");
    let unknown = Err(VaultError::MasterUnknown("2".to_owned()));
    assert_eq!(block_on(with(3).vault(3).check()), unknown);
    assert_eq!(world.store.tenants(), before);
}

// REQ: EDG-06
#[test]
fn each_version_in_use_is_checked() {
    let world = World::new();
    block_on(world.vault(2).protect(&tenant("acme"), "u-1", NAME, "Ada")).unwrap();
    block_on(world.kms.rotate()).unwrap();
    block_on(world.vault(4).protect(&tenant("other"), "u-1", NAME, "Eve")).unwrap();
    let mut keys = world.kms.all();
    keys.insert(1, Key::new([8; 32]));
    let kms = Arc::new(MasterKeys::new(keys, Arc::new(SeededEntropy::new(9))).unwrap());
    let wrong = World { kms, ..world };
    let refused = block_on(wrong.vault(3).check());
    assert_eq!(refused, Err(VaultError::MasterWrong("1".to_owned())));
}

#[test]
fn rows_of_two_tenants_are_not_exchanged() {
    let world = World::new();
    let vault = world.vault(2);
    let (acme, other) = (tenant("acme"), tenant("other"));
    block_on(vault.protect(&acme, "u-1", NAME, "Ada")).unwrap();
    let text = block_on(vault.protect(&other, "u-1", NAME, "Eve")).unwrap();
    // Whoever writes into the key store gives one tenant the other's key.
    let row = world.store.tenant(&acme).unwrap();
    let forged = exchequer_vault::TenantKeyRow { tenant: other.clone(), ..row };
    world.store.insert_now(Row::Tenant(forged)).unwrap();
    let read = block_on(world.vault(3).reveal(&other, NAME, &text));
    assert_eq!(read, Err(VaultError::Misfit));
}

#[test]
fn a_text_has_its_bound() {
    let (key, entropy) = (Key::new([1; 32]), SeededEntropy::new(1));
    let most = vec![b'x'; CLEAR_BYTES_MAX];
    let text = seal(&key, b"p", &most, &entropy).unwrap();
    assert_eq!(text.len(), CLEAR_BYTES_MAX + EXTRA_BYTES);
    let refused = seal(&key, b"p", &[&most[..], b"x"].concat(), &entropy).unwrap_err();
    assert!(matches!(refused, VaultError::TooLarge { bytes: 65_537, .. }));
    assert_eq!(format!("{key:?}"), "Key(..)");
}

proptest! {
    // REQ: EDG-06
    #[test]
    fn what_is_sealed_opens_and_nothing_else(
        key in any::<[u8; 32]>(),
        other in any::<[u8; 32]>(),
        place in proptest::collection::vec(any::<u8>(), 0..64),
        clear in proptest::collection::vec(any::<u8>(), 0..512),
        seed in any::<u64>(),
        at in any::<proptest::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (own, entropy) = (Key::new(key), SeededEntropy::new(seed));
        let text = seal(&own, &place, &clear, &entropy).unwrap();
        prop_assert_eq!(text.len(), clear.len() + EXTRA_BYTES);
        let read = open(&own, &place, &text).unwrap();
        prop_assert_eq!(&**read, &clear[..]);
        if other != key {
            let read = open(&Key::new(other), &place, &text);
            prop_assert_eq!(read.unwrap_err(), VaultError::Misfit);
        }
        let elsewhere = [&place[..], b"x"].concat();
        prop_assert_eq!(open(&own, &elsewhere, &text).unwrap_err(), VaultError::Misfit);
        let mut flipped = text.clone();
        let at = at.index(flipped.len());
        flipped[at] ^= 1 << bit;
        prop_assert_eq!(open(&own, &place, &flipped).unwrap_err(), VaultError::Misfit);
        let cut = at.min(text.len() - 1);
        prop_assert_eq!(open(&own, &place, &text[..cut]).unwrap_err(), VaultError::Misfit);
    }

    #[test]
    fn any_bytes_are_refused_quietly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(open(&Key::new([1; 32]), b"p", &bytes).unwrap_err(), VaultError::Misfit);
    }
}
