//! The key store that gateways share: the port's suite, and two gateways at the same time.

use std::sync::Arc;

use exchequer_readstore_scylla::{
    OpenError, Replication, ScyllaKeys, Settings, check_deployment, keys_settings, migrate_keys,
};
use exchequer_types::{KeyId, TenantId, Timestamp};
use exchequer_vault::conformance::{self, Reopen};
use exchequer_vault::{Found, KeyStore, Row, SubjectKeyRow, TenantKeyRow, VaultError};
use futures::future::BoxFuture;

use crate::support::{server, settings};

const FINGERPRINT: [u8; 32] = [7; 32];

/// A new keyspace.
async fn made(name: &str) -> Settings {
    let settings = keys_settings(&settings(server(), name));
    let done = migrate_keys(&settings, &Replication::EachDatacenter(1), &FINGERPRINT).await;
    assert!(done.unwrap().created_keyspace);
    settings
}

async fn open(settings: &Settings) -> ScyllaKeys {
    ScyllaKeys::open(settings, &FINGERPRINT).await.unwrap()
}

#[derive(Default)]
struct Shared {
    settings: Option<Settings>,
}

impl Reopen for Shared {
    fn create(&mut self, _keys_max: usize) -> BoxFuture<'_, Arc<dyn KeyStore>> {
        Box::pin(async {
            let settings = made("keys").await;
            let keys: Arc<dyn KeyStore> = Arc::new(open(&settings).await);
            self.settings = Some(settings);
            keys
        })
    }

    fn reopen(&mut self) -> BoxFuture<'_, Option<Arc<dyn KeyStore>>> {
        Box::pin(async {
            let keys: Arc<dyn KeyStore> = Arc::new(open(self.settings.as_ref()?).await);
            Some(keys)
        })
    }

    /// Nothing of it is in memory.
    fn is_bounded(&self) -> bool {
        false
    }
}

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn of_tenant(byte: u8) -> Row {
    let (tenant, wrapped) = (tenant(), vec![byte; 105]);
    Row::Tenant(TenantKeyRow { tenant, master: "1".to_owned(), wrapped })
}

fn of_person(key: u8) -> SubjectKeyRow {
    SubjectKeyRow {
        key: KeyId([key; 16]),
        tenant: tenant(),
        subject: [9; 16],
        created_at: Timestamp::saturating_from_micros(i64::from(key)),
        wrapped: vec![key; 105],
    }
}

// REQ: EDG-06
#[tokio::test]
async fn it_conforms() {
    conformance::run(&mut Shared::default()).await;
}

// REQ: EDG-06
#[tokio::test]
async fn gateways_see_each_other_and_a_tenant_has_one_key() {
    let settings = made("two_gateways").await;
    let (one, other) = (open(&settings).await, open(&settings).await);
    let (first, second) = tokio::join!(one.insert(of_tenant(1)), other.insert(of_tenant(2)));
    let taken = Err(VaultError::Overtaken(tenant()));
    let expected = match (&first, &second) {
        (Ok(()), refused) if *refused == taken => 1,
        (refused, Ok(())) if *refused == taken => 2,
        both => panic!("{both:?}"),
    };
    for keys in [&one, &other] {
        let found = keys.tenant(&tenant()).await.unwrap().unwrap();
        assert_eq!(found.wrapped, vec![expected; 105]);
    }
    // Each makes a key for the same person: both are that person's.
    one.insert(Row::Subject(of_person(1))).await.unwrap();
    other.insert(Row::Subject(of_person(2))).await.unwrap();
    for keys in [&one, &other] {
        let found = keys.of_subject(&tenant(), [9; 16]).await.unwrap();
        assert_eq!(found, [of_person(1), of_person(2)]);
    }
    one.erase(&[KeyId([2; 16])]).await.unwrap();
    assert_eq!(other.find(KeyId([2; 16])).await, Ok(Found::Erased));
    assert_eq!(other.of_subject(&tenant(), [9; 16]).await.unwrap(), [of_person(1)]);
}

// REQ: KER-07
#[tokio::test]
async fn another_deployments_key_is_found_out() {
    let planned = keys_settings(&settings(server(), "fingerprint"));
    let refused = check_deployment(&planned, &FINGERPRINT).await;
    assert!(matches!(refused, Err(OpenError::NoKeyspace { .. })), "{refused:?}");
    let settings = made("fingerprint").await;
    check_deployment(&settings, &FINGERPRINT).await.unwrap();
    let replication = Replication::EachDatacenter(1);
    for refused in [
        check_deployment(&settings, &[8; 32]).await,
        migrate_keys(&settings, &replication, &[8; 32]).await.map(|_| ()),
        ScyllaKeys::open(&settings, &[8; 32]).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(OpenError::OtherDeployment { .. })), "{refused:?}");
    }
    let again = migrate_keys(&settings, &replication, &FINGERPRINT).await.unwrap();
    assert!(!again.created_keyspace && again.applied.is_empty());
}
