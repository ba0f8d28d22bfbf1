//! Who is erased stays erased: at once, after a restart, and whatever backup of the
//! keys or of the journal is put back.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use exchequer_codec::decode_record;
use exchequer_domain_access as access;
use exchequer_domain_audit as audit;
use exchequer_engine::{Answer, Parts, Platform, Ports, Settings, Submission};
use exchequer_journal::{MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_kernel::{Head, SealKey, Status, Verdict, fold};
use exchequer_readstore::MemoryStore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_tenant::Command;
use exchequer_types::{
    ActorId, CommandId, Issuer, KeyId, PLATFORM, PartitionId, Protected, StreamId, TenantId,
};
use exchequer_vault::{Entropy as _, Key, KeyStore, MasterKeys, MemoryKeys, SeededEntropy, Vault};

const PATIENCE: Duration = Duration::from_secs(20);
const PARTITIONS: u32 = 3;
const NAME: &str = "audit.entry.name";

struct World {
    journal: Arc<MemoryJournal>,
    starts: u8,
}

struct Running {
    platform: Platform,
    vault: Vault,
    runtime: TokioRuntime,
}

impl World {
    fn new() -> Self {
        Self { journal: Arc::new(MemoryJournal::new(PARTITIONS)), starts: 0 }
    }

    /// A process on the journal as it is, with these keys and no views.
    async fn start(&mut self, keys: &Arc<MemoryKeys>) -> Running {
        self.starts += 1;
        let runtime = TokioRuntime::default();
        let (clock, wall) = (runtime.clone(), runtime.clone());
        let limits = MemoryInputLimits::default();
        let now = Arc::new(move || clock.now());
        let inputs = MemoryInput::new(PARTITIONS, [self.starts; 16], limits, now);
        let ports = Ports {
            journal: Arc::<MemoryJournal>::clone(&self.journal),
            inputs: Arc::new(inputs),
            store: Arc::new(MemoryStore::new(true)),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[3; 32]),
            settings: Arc::new(Settings::default()),
            usage: None,
        };
        let entropy = Arc::new(SeededEntropy::new(u64::from(self.starts)));
        let master = BTreeMap::from([(1, Key::new([9; 32]))]);
        let kms = Arc::new(MasterKeys::new(master, entropy.clone()).unwrap());
        let store: Arc<dyn KeyStore> = Arc::<MemoryKeys>::clone(keys);
        let vault = Vault::new(store, kms, entropy, Arc::new(move || wall.now()));
        let platform = Platform::start(ports, Parts::default()).await.unwrap();
        let platform = platform.with_vault(vault.clone()).await.unwrap();
        Running { platform, vault, runtime }
    }
}

impl Running {
    async fn submit(&self, submission: Submission) -> Answer {
        self.platform.gateway.submit(submission, PATIENCE).await.unwrap()
    }

    async fn protect(&self, subject: &str, text: &str) -> Protected {
        self.vault.protect(&TenantId::platform(), subject, NAME, text).await.unwrap()
    }

    async fn reveal(&self, protected: &Protected) -> Option<String> {
        self.vault.reveal(&TenantId::platform(), NAME, protected).await.unwrap()
    }

    /// An entry that says `name` of somebody.
    async fn told(&self, id: &str, name: &Protected) -> Answer {
        let draft = audit::Draft {
            action: "person.seen".to_owned(),
            actor: "u-1".to_owned(),
            resource_type: "person".to_owned(),
            resource_id: "1".to_owned(),
            personal: BTreeMap::from([("name".to_owned(), name.clone())]),
            ..audit::Draft::default()
        };
        let entries = vec![draft];
        let append = Command::Audit(audit::Command::Append(audit::Append { entries }));
        // The root has to be there: a refusal keeps its id, and is not asked for again.
        for attempt in 0..1_000 {
            let answer = self.submit(submission(&format!("{id}-{attempt}"), append.clone())).await;
            if answer.outcome.code != "TENANT_NOT_FOUND" {
                return answer;
            }
            self.runtime.sleep(Duration::from_millis(5)).await;
        }
        panic!("the root never came");
    }

    async fn stop(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
    }
}

fn submission(id: &str, command: Command) -> Submission {
    Submission::new(
        StreamId::parse(PLATFORM).unwrap(),
        Issuer::parse("api").unwrap(),
        CommandId::parse(id).unwrap(),
        ActorId::parse("u-1").unwrap(),
        command,
    )
}

fn erase(subject: &str, keys: impl IntoIterator<Item = KeyId>) -> Command {
    let subject = ActorId::parse(subject).unwrap();
    let keys: BTreeSet<KeyId> = keys.into_iter().collect();
    Command::Access(access::Command::ErasePerson(access::ErasePerson { subject, keys }))
}

/// The keys as they are now, as their backup has them.
fn backup(keys: &MemoryKeys) -> Arc<MemoryKeys> {
    let copy = MemoryKeys::default();
    let (rows, erased) = keys.contents();
    for row in rows {
        copy.insert_now(row).unwrap();
    }
    copy.erase_now(&erased);
    copy.mark_now(keys.marks());
    Arc::new(copy)
}

/// The journal's first records, as an older backup of it has them.
async fn older(journal: &MemoryJournal, records: usize) -> Arc<MemoryJournal> {
    use exchequer_journal::Journal as _;
    let copy = MemoryJournal::new(PARTITIONS);
    for partition in (0..PARTITIONS).map(PartitionId) {
        for record in journal.records(partition).into_iter().take(records) {
            copy.append(partition, record).await.unwrap();
        }
    }
    Arc::new(copy)
}

// REQ: IAM-18
#[tokio::test(flavor = "multi_thread")]
async fn an_older_backup_of_the_keys_brings_nobody_back() {
    let (mut world, keys) = (World::new(), Arc::new(MemoryKeys::default()));
    let running = world.start(&keys).await;
    let ada = running.protect("p-1", "Ada").await;
    let charles = running.protect("p-2", "Charles").await;
    assert_eq!(running.told("a-1", &ada).await.status(), Some(Status::Accepted));
    assert_eq!(running.told("a-2", &charles).await.status(), Some(Status::Accepted));
    let before = backup(&keys);
    let erased = running.submit(submission("e-1", erase("p-1", [ada.key]))).await;
    assert_eq!(erased.status(), Some(Status::Accepted), "{:?}", erased.outcome);
    assert_eq!(running.reveal(&ada).await, None, "before anybody is answered");
    assert_eq!(running.reveal(&charles).await.as_deref(), Some("Charles"));
    // Nothing is taken under the key any more.
    let refused = running.told("a-3", &ada).await;
    assert_eq!(refused.outcome.code, "PERSON_ERASED");
    running.stop().await;

    assert!(!before.is_erased(ada.key));
    let restored = world.start(&before).await;
    assert!(before.is_erased(ada.key), "before anything is served");
    assert_eq!(restored.reveal(&ada).await, None);
    assert_eq!(restored.reveal(&charles).await.as_deref(), Some("Charles"));
    restored.stop().await;
    // Every reader still comes to the same chain.
    for partition in (0..PARTITIONS).map(PartitionId) {
        let mut head = Head::default();
        for bytes in world.journal.records(partition) {
            let (record, hash, _) = decode_record(partition, &bytes);
            assert_eq!(fold(&mut head, &record, &hash), Verdict::Accepted);
        }
    }
}

// REQ: IAM-18
#[tokio::test(flavor = "multi_thread")]
async fn where_a_call_came_from_is_not_taken_under_an_erased_key() {
    let (mut world, keys) = (World::new(), Arc::new(MemoryKeys::default()));
    let running = world.start(&keys).await;
    let (ada, origin) = (running.protect("p-1", "Ada").await, running.protect("u-9", "here").await);
    running.told("a-1", &ada).await;
    running.submit(submission("e-1", erase("u-9", [origin.key]))).await;
    let release = Command::Release { reason: "no".to_owned() };
    let from = Submission { origin: Some(origin), ..submission("r-1", release) };
    assert_eq!(running.submit(from).await.outcome.code, "PERSON_ERASED");
    running.stop().await;
}

// REQ: IAM-18
#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_while_the_erasure_was_decided_goes_too() {
    let (mut world, keys) = (World::new(), Arc::new(MemoryKeys::default()));
    let running = world.start(&keys).await;
    let friend = running.protect("p-2", "Charles").await;
    running.told("a-1", &friend).await;
    // Another gateway made a key that this erasure does not name.
    let raced = running.protect("p-1", "Ada").await;
    let mut named = KeyId::default();
    SeededEntropy::new(5).fill(&mut named.0);
    let erased = running.submit(submission("e-1", erase("p-1", [named]))).await;
    assert_eq!(erased.status(), Some(Status::Accepted));
    let gone = async {
        while running.reveal(&raced).await.is_some() {
            running.runtime.sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(running.reveal(&friend).await.as_deref(), Some("Charles"));
    // Who comes back has another key, also after the next start.
    let back = running.protect("p-1", "Ada again").await;
    assert_ne!(back.key, raced.key);
    running.stop().await;
    let again = world.start(&keys).await;
    assert_eq!(again.reveal(&back).await.as_deref(), Some("Ada again"));
    assert_eq!(again.reveal(&raced).await, None);
    again.stop().await;
}

// REQ: IAM-18, KER-15
#[tokio::test(flavor = "multi_thread")]
async fn an_older_journal_leaves_the_erased_erased() {
    let (mut world, keys) = (World::new(), Arc::new(MemoryKeys::default()));
    let running = world.start(&keys).await;
    let ada = running.protect("p-1", "Ada").await;
    running.told("a-1", &ada).await;
    running.submit(submission("e-1", erase("p-1", [ada.key]))).await;
    running.stop().await;
    // The next start remembers how far the journal was read.
    world.start(&keys).await.stop().await;
    assert!(!keys.marks().is_empty());
    world.journal = older(&world.journal, 2).await;
    let restored = world.start(&keys).await;
    assert_eq!(restored.reveal(&ada).await, None);
    restored.stop().await;
    // And a journal that was never seen is read from its beginning.
    world.journal = Arc::new(MemoryJournal::new(PARTITIONS));
    let fresh = world.start(&keys).await;
    assert_eq!(fresh.reveal(&ada).await, None);
    fresh.stop().await;
}
