//! Credentials as callers present them, on a directory that the test changes.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use exchequer_access::{AddressRange, Principal};
use exchequer_domain_access::{
    Credential, CredentialKind, Ended, EndedBy, Expiry, Previous, Secret,
};
use exchequer_projection_access::{Holder, Snapshot};
use exchequer_runtime::{Runtime, TokioRuntime};
use exchequer_types::{ActorId, Hash, Slug, TenantId, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue};

use super::*;
use crate::guard::{Caller, Proof};

const KEY: [u8; 32] = [7; 32];

/// Credentials of the tenant `acme`, and how often they were looked up.
#[derive(Debug, Default)]
struct Desk {
    hashes: Mutex<BTreeMap<[u8; 32], Holder>>,
    snapshot: Mutex<Arc<Snapshot>>,
    asked: AtomicU32,
    is_down: Mutex<bool>,
}

impl Desk {
    fn put(&self, credential: Credential) {
        let mut hashes = self.hashes.lock().unwrap();
        let secrets = [Some(&credential.secret), credential.previous.as_ref().map(|it| &it.secret)];
        for secret in secrets.into_iter().flatten() {
            let holder = Holder { tenant: acme(), credential: credential.id.clone() };
            hashes.insert(secret.hash.0, holder);
        }
        let mut snapshot = self.snapshot.lock().unwrap();
        let mut next = snapshot.as_ref().clone();
        let mut all = next.state.credentials.as_ref().clone();
        all.insert(credential.id.clone(), Arc::new(credential));
        next.state.credentials = Arc::new(all);
        *snapshot = Arc::new(next);
    }
}

impl Directory for Desk {
    fn holder<'a>(
        &'a self,
        hash: &'a TokenHash,
    ) -> BoxFuture<'a, Result<Option<Holder>, Unavailable>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = self.hashes.lock().unwrap().get(&hash.0).cloned();
        let down = *self.is_down.lock().unwrap();
        core::future::ready(if down { Err(Unavailable) } else { Ok(found) }).boxed()
    }

    fn access<'a>(&'a self, _: &'a TenantId) -> BoxFuture<'a, Result<Arc<Snapshot>, Unavailable>> {
        core::future::ready(Ok(Arc::clone(&self.snapshot.lock().unwrap()))).boxed()
    }
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn secret(minted: &Minted) -> Secret {
    Secret { hash: Hash(minted.hash.0), hint: minted.hint.clone() }
}

fn minted(number: u8, kind: TokenKind) -> Minted {
    token::mint(kind, &[number; 32])
}

fn credential(id: &str, minted: &Minted, kind: CredentialKind) -> Credential {
    Credential {
        id: id.to_owned(),
        kind,
        name: "deploys".to_owned(),
        secret: secret(minted),
        previous: None,
        expiry: None,
        addresses: Vec::new(),
        requests_per_minute: None,
        created_at: Timestamp::MIN,
        rotated_at: None,
        ended: None,
    }
}

fn bearer(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {text}").parse().unwrap());
    headers
}

fn peer(address: &str) -> Peer {
    Peer { address: address.parse().unwrap(), certificate: None }
}

struct World {
    desk: Arc<Desk>,
    runtime: TokioRuntime,
    authenticator: Authenticator,
}

impl World {
    fn new() -> Self {
        Self::behind(&[])
    }

    fn behind(proxies: &[&str]) -> Self {
        let desk = Arc::new(Desk::default());
        let runtime = TokioRuntime::default();
        let clock: Arc<dyn Runtime> = Arc::new(runtime.clone());
        let trust = Trust {
            proof: Some(ProofKey::new(&KEY)),
            issuers: Issuers::new(Vec::new(), Arc::clone(&clock)),
            certificates: true,
            proxies: proxies.iter().map(|it| AddressRange::parse(it).unwrap()).collect(),
        };
        let authenticator = Authenticator::new(Arc::<Desk>::clone(&desk), trust, clock);
        Self { desk, runtime, authenticator }
    }

    fn now(&self) -> Timestamp {
        self.runtime.now()
    }

    fn in_seconds(&self, seconds: u64) -> Timestamp {
        self.now().saturating_add(Duration::from_secs(seconds))
    }

    async fn call(&self, text: &str) -> Result<Caller, NotAuthenticated> {
        self.authenticator.authenticate(&bearer(text), &peer("192.0.2.7")).await
    }

    async fn refused(&self, text: &str) -> &'static str {
        self.call(text).await.unwrap_err().code()
    }
}

fn expiry(at: Timestamp) -> Expiry {
    Expiry { at, timer: "tma_1".to_owned() }
}

// REQ: IAM-12
#[tokio::test]
async fn a_token_acts_as_itself_and_a_personal_one_as_its_owner() {
    let world = World::new();
    let owner = ActorId::parse("u-17").unwrap();
    let (project, environment) = (Slug::parse("shop").unwrap(), Slug::parse("live").unwrap());
    for (number, kind, token, actor) in [
        (1, CredentialKind::Service, TokenKind::Service, "key:c1"),
        (2, CredentialKind::Personal { owner: owner.clone() }, TokenKind::Personal, "u-17"),
        (
            3,
            CredentialKind::ServerSdk {
                project: project.clone(),
                environment: environment.clone(),
            },
            TokenKind::ServerKey,
            "key:c3",
        ),
        (
            4,
            CredentialKind::ClientSdk {
                project: project.clone(),
                environment: environment.clone(),
            },
            TokenKind::ClientKey,
            "key:c4",
        ),
    ] {
        let id = format!("c{number}");
        let it = minted(number, token);
        world.desk.put(credential(&id, &it, kind));
        let caller = world.call(&it.text).await.unwrap();
        assert_eq!(caller.actor.as_str(), actor);
        assert_eq!(caller.home, acme());
        let expected = match actor {
            "u-17" => Principal::Member(owner.clone()),
            _ => Principal::Credential(id),
        };
        assert_eq!(caller.principal, expected);
        assert_eq!(caller.credential().unwrap().kind, token);
    }
}

// REQ: IAM-12
#[tokio::test]
async fn a_known_token_is_looked_up_once_and_an_unknown_one_once_a_second() {
    let world = World::new();
    let it = minted(1, TokenKind::Service);
    world.desk.put(credential("c1", &it, CredentialKind::Service));
    for _ in 0..5 {
        world.call(&it.text).await.unwrap();
    }
    assert_eq!(world.desk.asked.load(Ordering::SeqCst), 1);
    let foreign = minted(2, TokenKind::Service);
    for _ in 0..5 {
        assert_eq!(world.refused(&foreign.text).await, "CREDENTIAL_INVALID");
    }
    assert_eq!(world.desk.asked.load(Ordering::SeqCst), 2);
    // It may have been made at another gateway a moment ago.
    world.desk.put(credential("c2", &foreign, CredentialKind::Service));
    world.runtime.travel(Duration::from_secs(1));
    world.call(&foreign.text).await.unwrap();
}

// REQ: IAM-12
#[tokio::test]
async fn texts_that_are_no_tokens_are_refused_without_a_look_up() {
    let world = World::new();
    let it = minted(1, TokenKind::Service);
    world.desk.put(credential("c1", &it, CredentialKind::Service));
    let cut = &it.text[..43];
    let foreign = deployment_proof(&[8; 32], world.now());
    let long = "x".repeat(100_000);
    for bad in [cut, "x", "exq_svc_", "exq_dep_", "a.b.c", &foreign, &long, "exq_dep_1_2"] {
        assert_eq!(world.refused(bad).await, "CREDENTIAL_INVALID", "{}", &bad[..bad.len().min(50)]);
    }
    assert_eq!(world.desk.asked.load(Ordering::SeqCst), 0);
    for wrong in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", &it.text] {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", wrong.parse().unwrap());
        let refused = world.authenticator.authenticate(&headers, &peer("192.0.2.7")).await;
        assert_eq!(refused.unwrap_err(), NotAuthenticated::Malformed, "{wrong}");
    }
    let mut twice = bearer(&it.text);
    twice.append("authorization", format!("Bearer {}", it.text).parse().unwrap());
    let refused = world.authenticator.authenticate(&twice, &peer("192.0.2.7")).await;
    assert_eq!(refused.unwrap_err(), NotAuthenticated::Malformed);
    let mut raw = HeaderMap::new();
    raw.insert("authorization", HeaderValue::from_bytes(b"Bearer \xff").unwrap());
    let refused = world.authenticator.authenticate(&raw, &peer("192.0.2.7")).await;
    assert_eq!(refused.unwrap_err(), NotAuthenticated::Malformed);
    let nothing = world.authenticator.authenticate(&HeaderMap::new(), &peer("192.0.2.7")).await;
    assert_eq!(nothing.unwrap_err().code(), "CREDENTIAL_MISSING");
}

// REQ: IAM-13
#[tokio::test]
async fn a_revoked_or_expired_credential_is_refused_at_the_next_call() {
    let world = World::new();
    let it = minted(1, TokenKind::Service);
    let live = credential("c1", &it, CredentialKind::Service);
    for (by, code) in [
        (EndedBy::Revocation, "CREDENTIAL_REVOKED"),
        (EndedBy::OwnerRemoved, "CREDENTIAL_REVOKED"),
        (EndedBy::Closing, "CREDENTIAL_REVOKED"),
        (EndedBy::Expiry, "CREDENTIAL_EXPIRED"),
    ] {
        world.desk.put(live.clone());
        let caller = world.call(&it.text).await.unwrap();
        world.authenticator.still_holds(&caller).await.unwrap();
        let ended = Some(Ended { at: world.now(), by });
        world.desk.put(Credential { ended, ..live.clone() });
        assert_eq!(world.refused(&it.text).await, code);
        // A stream that was let in before learns it too.
        let over = world.authenticator.still_holds(&caller).await;
        assert_eq!(over.unwrap_err().code(), code);
    }
    // Expired by a second, before anybody has noticed.
    let expiry = Some(expiry(world.in_seconds(60)));
    world.desk.put(Credential { expiry, ..live });
    let caller = world.call(&it.text).await.unwrap();
    world.runtime.travel(Duration::from_secs(60));
    assert_eq!(world.refused(&it.text).await, "CREDENTIAL_EXPIRED");
    let over = world.authenticator.still_holds(&caller).await;
    assert_eq!(over.unwrap_err(), NotAuthenticated::Expired);
}

// REQ: IAM-13
#[tokio::test]
async fn after_a_rotation_both_secrets_hold_until_the_overlap_has_passed() {
    let world = World::new();
    let (old, new) = (minted(1, TokenKind::Service), minted(2, TokenKind::Service));
    world.desk.put(credential("c1", &old, CredentialKind::Service));
    let before = world.call(&old.text).await.unwrap();
    let until = expiry(world.in_seconds(3_600));
    let previous = Some(Previous { secret: secret(&old), until });
    let rotated = Credential { previous, ..credential("c1", &new, CredentialKind::Service) };
    world.desk.put(rotated);
    let by_old = world.call(&old.text).await.unwrap();
    let by_new = world.call(&new.text).await.unwrap();
    assert_eq!((&by_old.actor, by_new.expires_at()), (&by_new.actor, None));
    assert_eq!((&before.actor, before.expires_at()), (&by_old.actor, None));
    world.runtime.travel(Duration::from_secs(3_600));
    assert_eq!(world.refused(&old.text).await, "CREDENTIAL_EXPIRED");
    world.call(&new.text).await.unwrap();
    // The timer has come: nothing is kept of the old secret.
    world.desk.put(credential("c1", &new, CredentialKind::Service));
    assert_eq!(world.refused(&old.text).await, "CREDENTIAL_EXPIRED");
    world.call(&new.text).await.unwrap();
}

// REQ: IAM-13
#[tokio::test]
async fn addresses_count_as_the_nearest_untrusted_hop() {
    let it = minted(1, TokenKind::Service);
    let listed = |list: &[&str]| Credential {
        addresses: list.iter().map(|it| AddressRange::parse(it).unwrap()).collect(),
        ..credential("c1", &it, CredentialKind::Service)
    };
    let world = World::behind(&["10.0.0.0/8"]);
    world.desk.put(listed(&["192.0.2.0/24", "2001:db8::/32"]));
    for (from, forwarded, expected) in [
        ("192.0.2.9", None, Some("192.0.2.9")),
        ("::ffff:192.0.2.9", None, Some("192.0.2.9")),
        ("2001:db8::1", None, Some("2001:db8::1")),
        ("198.51.100.1", None, None),
        // What somebody who is no proxy says is not believed.
        ("198.51.100.1", Some("192.0.2.9"), None),
        ("10.0.0.1", Some("192.0.2.9"), Some("192.0.2.9")),
        ("10.0.0.1", Some("192.0.2.9, 10.0.0.2"), Some("192.0.2.9")),
        ("10.0.0.1", Some("192.0.2.9, 198.51.100.1"), None),
        ("10.0.0.1", Some("192.0.2.9, unknown"), None),
        ("10.0.0.1", None, None),
    ] {
        let mut headers = bearer(&it.text);
        if let Some(forwarded) = forwarded {
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        }
        let found = world.authenticator.authenticate(&headers, &peer(from)).await;
        match expected {
            Some(address) => {
                assert_eq!(found.unwrap().address, address.parse::<IpAddr>().unwrap(), "{from}");
            }
            None => assert_eq!(found.unwrap_err().code(), "ADDRESS_NOT_ALLOWED", "{from}"),
        }
    }
}

// REQ: IAM-12
#[tokio::test]
async fn the_deployment_proves_itself_from_its_own_machine_alone() {
    let world = World::behind(&["127.0.0.2"]);
    let proof = bearer(&deployment_proof(&KEY, world.now()));
    for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        let caller = world.authenticator.authenticate(&proof, &peer(here)).await.unwrap();
        assert!(caller.is_deployment());
        assert_eq!((caller.actor.as_str(), &caller.home), ("deployment", &TenantId::platform()));
    }
    let refused = world.authenticator.authenticate(&proof, &peer("192.0.2.7")).await;
    assert_eq!(refused.unwrap_err(), NotAuthenticated::ProofFromAfar);
    let mut forwarded = proof.clone();
    forwarded.insert("x-forwarded-for", "192.0.2.7".parse().unwrap());
    let refused = world.authenticator.authenticate(&forwarded, &peer("127.0.0.2")).await;
    assert_eq!(refused.unwrap_err(), NotAuthenticated::ProofFromAfar);
    world.runtime.travel(PROOF_VALID + Duration::from_secs(1));
    let refused = world.authenticator.authenticate(&proof, &peer("127.0.0.1")).await;
    assert_eq!(refused.unwrap_err(), NotAuthenticated::Expired);
}

// REQ: EDG-06
#[tokio::test]
async fn a_client_certificate_is_a_credential_where_no_other_is_presented() {
    let world = World::new();
    let with = |subject: &str, expires_at| Peer {
        certificate: Some(Arc::new(PeerCertificate { subject: subject.to_owned(), expires_at })),
        ..peer("192.0.2.7")
    };
    let nothing = HeaderMap::new();
    let known = with("CN=gateway", world.in_seconds(60));
    let caller = world.authenticator.authenticate(&nothing, &known).await.unwrap();
    assert_eq!(caller.actor.as_str(), "cert:CN=gateway");
    assert!(matches!(caller.proof, Proof::Certificate { .. }));
    // What is presented in the header counts, also when it does not hold.
    let refused = world.authenticator.authenticate(&bearer("exq_svc_x"), &known).await;
    assert_eq!(refused.unwrap_err().code(), "CREDENTIAL_INVALID");
    let nameless = with("", world.in_seconds(60));
    let refused = world.authenticator.authenticate(&nothing, &nameless).await;
    assert_eq!(refused.unwrap_err(), NotAuthenticated::CertificateNameless);
    // A connection may outlive its certificate.
    world.runtime.travel(Duration::from_secs(60));
    let refused = world.authenticator.authenticate(&nothing, &known).await;
    assert_eq!(refused.unwrap_err(), NotAuthenticated::Expired);
    assert_eq!(
        world.authenticator.still_holds(&caller).await.unwrap_err(),
        NotAuthenticated::Expired
    );
}

// REQ: IAM-12
#[tokio::test]
async fn what_cannot_be_checked_now_is_to_be_tried_again() {
    let world = World::new();
    let it = minted(1, TokenKind::Service);
    world.desk.put(credential("c1", &it, CredentialKind::Service));
    *world.desk.is_down.lock().unwrap() = true;
    let refused = world.call(&it.text).await.unwrap_err();
    assert_eq!(refused.code(), "CREDENTIAL_UNVERIFIED");
    assert!(refused.retry().is_some());
    *world.desk.is_down.lock().unwrap() = false;
    world.call(&it.text).await.unwrap();
}

// REQ: IAM-13
#[tokio::test]
async fn a_user_agent_is_kept_up_to_a_bound() {
    let world = World::new();
    let it = minted(1, TokenKind::Service);
    world.desk.put(credential("c1", &it, CredentialKind::Service));
    for (given, kept) in [("grpc-go/1.2".to_owned(), 11), ("x".repeat(9_000), 256)] {
        let mut headers = bearer(&it.text);
        headers.insert("user-agent", given.parse().unwrap());
        let caller = world.authenticator.authenticate(&headers, &peer("192.0.2.7")).await;
        assert_eq!(caller.unwrap().agent().len(), kept);
    }
}
