//! JWTs as issuers and attackers make them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_types::TenantId;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use std::sync::Arc;

use super::*;

mod rotation;

const ISSUER: &str = "https://id.example.com/";
const AUDIENCE: &str = "exchequer";
const RSA: &[u8] = include_bytes!("../rsa_for_tests.pk8");

/// An issuer's key pair.
enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

fn rsa() -> Pair {
    Pair::Rsa(RsaKeyPair::from_pkcs8(RSA).unwrap())
}

fn p256() -> Pair {
    let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
    Pair::P256(EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap())
}

fn ed() -> Pair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Pair::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
}

impl Pair {
    /// As it is published, with the id `kid`.
    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } =
                    RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "kid": kid, "use": "sig", "n": b64(&n), "e": b64(&e)})
            }
            Self::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(x), "y": b64(y)})
            }
            Self::Ed(pair) => {
                let x = b64(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let how: &dyn ring::signature::RsaEncoding = match algorithm {
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut mark = vec![0; pair.public().modulus_len()];
                pair.sign(how, &random, message, &mut mark).unwrap();
                mark
            }
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    fn token(&self, algorithm: &str, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": kid});
        let signed = signed_part(&header, claims);
        format!("{signed}.{}", b64(&self.sign(algorithm, signed.as_bytes())))
    }
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn signed_part(header: &Value, claims: &Value) -> String {
    format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()))
}

/// Keys that the test changes, and how often they were fetched.
#[derive(Debug, Default)]
struct Published {
    set: Mutex<Option<Value>>,
    fetches: AtomicU32,
}

impl Published {
    fn publish(&self, keys: &[Value]) {
        *self.set.lock().unwrap() = Some(json!({ "keys": keys }));
    }

    fn go_away(&self) {
        *self.set.lock().unwrap() = None;
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl FetchKeys for Published {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, FetchError>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let set = self.set.lock().unwrap().as_ref().map(|it| it.to_string().into_bytes());
        core::future::ready(set.ok_or_else(|| FetchError("gone".to_owned()))).boxed()
    }
}

struct World {
    published: Arc<Published>,
    runtime: TokioRuntime,
    issuers: Issuers,
}

fn issuer(keys: Arc<dyn FetchKeys>, algorithms: &[Algorithm]) -> Issuer {
    Issuer {
        name: "staff".to_owned(),
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        algorithms: algorithms.to_vec(),
        subject_claim: "sub".to_owned(),
        home: TenantId::platform(),
        keys,
    }
}

impl World {
    fn new(keys: &[Value]) -> Self {
        Self::accepting(keys, &[Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa])
    }

    fn accepting(keys: &[Value], algorithms: &[Algorithm]) -> Self {
        let published = Arc::new(Published::default());
        published.publish(keys);
        let runtime = TokioRuntime::default();
        let trusted = issuer(Arc::<Published>::clone(&published), algorithms);
        let issuers = Issuers::new(vec![trusted], Arc::new(runtime.clone()));
        Self { published, runtime, issuers }
    }

    fn seconds(&self) -> i64 {
        self.runtime.now().micros() / 1_000_000
    }

    /// Claims that hold for five minutes, with `change` laid over them.
    fn claims(&self, change: Value) -> Value {
        let now = self.seconds();
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "u-17", "exp": now + 300, "nbf": now, "iat": now,
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    async fn verify(&self, token: &str) -> Result<String, JwtError> {
        self.issuers.verify(token).await.map(|(it, _)| it.actor.as_str().to_owned())
    }
}

// REQ: IAM-12
#[tokio::test]
async fn tokens_by_keys_of_each_type_are_accepted() {
    let (rsa, p256, ed) = (rsa(), p256(), ed());
    let world = World::new(&[rsa.jwk("r"), p256.jwk("p"), ed.jwk("e")]);
    let claims = world.claims(json!({}));
    for token in [
        rsa.token("RS256", "r", &claims),
        p256.token("ES256", "p", &claims),
        ed.token("EdDSA", "e", &claims),
    ] {
        assert_eq!(world.verify(&token).await.unwrap(), "staff:u-17");
        assert_eq!(world.verify(&token).await.unwrap(), "staff:u-17");
    }
    assert_eq!(world.published.fetches(), 1, "fetched when needed, and kept");
}

// REQ: IAM-12
#[tokio::test]
async fn an_algorithm_that_the_issuer_does_not_use_is_refused() {
    let rsa = rsa();
    let all = [Algorithm::Rs256, Algorithm::Rs512, Algorithm::Ps256];
    let world = World::accepting(&[rsa.jwk("r")], &all);
    let claims = world.claims(json!({}));
    for algorithm in ["RS256", "RS512", "PS256"] {
        world.verify(&rsa.token(algorithm, "r", &claims)).await.unwrap();
    }
    let world = World::accepting(&[rsa.jwk("r")], &all[..1]);
    for algorithm in ["RS512", "PS256"] {
        let refused = world.verify(&rsa.token(algorithm, "r", &claims)).await;
        assert_eq!(refused.unwrap_err(), JwtError::AlgorithmRefused, "{algorithm}");
    }
}

// REQ: IAM-12
#[tokio::test]
async fn none_and_secrets_made_of_public_keys_are_refused() {
    let rsa = rsa();
    let world = World::accepting(&[rsa.jwk("r")], &Algorithm::ALL);
    let claims = world.claims(json!({}));
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let signed = signed_part(&json!({"alg": none, "kid": "r"}), &claims);
        for token in [format!("{signed}."), format!("{signed}.AAAA")] {
            assert_eq!(world.verify(&token).await.unwrap_err(), JwtError::AlgorithmRefused);
        }
    }
    // The public key, in every form in which it is known, as the secret of an HMAC.
    let Pair::Rsa(pair) = &rsa else { unreachable!() };
    let public = pair.public().as_ref().to_vec();
    let jwk = rsa.jwk("r");
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for (word, kind) in [
        ("HS256", ring::hmac::HMAC_SHA256),
        ("HS384", ring::hmac::HMAC_SHA384),
        ("HS512", ring::hmac::HMAC_SHA512),
    ] {
        for secret in [public.clone(), modulus.clone(), jwk.to_string().into_bytes()] {
            let signed = signed_part(&json!({"alg": word, "kid": "r"}), &claims);
            let mark = ring::hmac::sign(&ring::hmac::Key::new(kind, &secret), signed.as_bytes());
            let token = format!("{signed}.{}", b64(mark.as_ref()));
            assert_eq!(world.verify(&token).await.unwrap_err(), JwtError::AlgorithmRefused);
            // And the same mark under the name of the key's own algorithm.
            let signed = signed_part(&json!({"alg": "RS256", "kid": "r"}), &claims);
            let mark = ring::hmac::sign(&ring::hmac::Key::new(kind, &secret), signed.as_bytes());
            let token = format!("{signed}.{}", b64(mark.as_ref()));
            assert_eq!(world.verify(&token).await.unwrap_err(), JwtError::SignatureInvalid);
        }
    }
}

// REQ: IAM-12
#[tokio::test]
async fn the_type_of_the_key_decides_not_the_token() {
    let (rsa, p256, ed) = (rsa(), p256(), ed());
    let keys = [rsa.jwk("r"), p256.jwk("p"), ed.jwk("e")];
    let world = World::accepting(&keys, &Algorithm::ALL);
    let claims = world.claims(json!({}));
    // Signed by one key, said to be by another.
    for token in [
        rsa.token("RS256", "p", &claims),
        p256.token("ES256", "r", &claims),
        ed.token("EdDSA", "p", &claims),
        ed.token("ES384", "p", &claims),
    ] {
        assert_eq!(world.verify(&token).await.unwrap_err(), JwtError::KeyUnknown);
    }
    // A key that says what it is for is for nothing else.
    let mut only = rsa.jwk("r");
    only["alg"] = json!("RS256");
    let world = World::accepting(&[only], &Algorithm::ALL);
    world.verify(&rsa.token("RS256", "r", &claims)).await.unwrap();
    let refused = world.verify(&rsa.token("PS256", "r", &claims)).await;
    assert_eq!(refused.unwrap_err(), JwtError::KeyUnknown);
}

// REQ: IAM-12
#[test]
fn a_key_checks_no_signature_under_a_name_that_is_not_its_own() {
    let pair = rsa();
    let set = json!({"keys": [pair.jwk("r")]}).to_string();
    let key = &key::keys(set.as_bytes()).unwrap()[0];
    let mark = pair.sign("RS256", b"said");
    for algorithm in Algorithm::ALL {
        let verified = key.verifies(algorithm, b"said", &mark);
        assert_eq!(verified, algorithm == Algorithm::Rs256, "{algorithm:?}");
    }
}

// REQ: IAM-12
#[tokio::test]
async fn keys_for_something_else_are_passed_over() {
    let rsa = rsa();
    let changed = |name: &str, value: Value| {
        let mut jwk = rsa.jwk("r");
        jwk[name] = value;
        jwk
    };
    for set in [
        changed("use", json!("enc")),
        changed("key_ops", json!(["sign"])),
        changed("alg", json!("RSA-OAEP")),
        changed("alg", json!("ES256")),
        changed("n", json!("AQAB")),
        changed("n", json!("not base64!")),
        changed("kty", json!("oct")),
        json!({"kty": "oct", "kid": "r", "k": "c2VjcmV0"}),
        json!("no key at all"),
    ] {
        let world = World::accepting(core::slice::from_ref(&set), &Algorithm::ALL);
        let token = rsa.token("RS256", "r", &world.claims(json!({})));
        assert_eq!(world.verify(&token).await.unwrap_err(), JwtError::KeyUnknown, "{set}");
    }
}

// REQ: IAM-12
#[tokio::test]
async fn audience_issuer_and_subject_must_be_right() {
    let key = p256();
    let world = World::new(&[key.jwk("p")]);
    let cases = [
        (json!({"aud": "another"}), Err(JwtError::AudienceWrong)),
        (json!({"aud": ["another", "third"]}), Err(JwtError::AudienceWrong)),
        (json!({"aud": null}), Err(JwtError::AudienceWrong)),
        (json!({"aud": {"exchequer": 1}}), Err(JwtError::AudienceWrong)),
        (json!({"aud": ["another", "exchequer"]}), Ok("staff:u-17")),
        (json!({"iss": "https://id.example.com"}), Err(JwtError::IssuerUnknown)),
        (json!({"iss": [ISSUER]}), Err(JwtError::IssuerUnknown)),
        (json!({"iss": null}), Err(JwtError::IssuerUnknown)),
        (json!({"sub": ""}), Err(JwtError::SubjectInvalid)),
        (json!({"sub": 17}), Err(JwtError::SubjectInvalid)),
        (json!({"sub": null}), Err(JwtError::SubjectInvalid)),
        (json!({"sub": "with space"}), Err(JwtError::SubjectInvalid)),
        (json!({"sub": "x".repeat(123)}), Err(JwtError::SubjectInvalid)),
        (json!({"sub": "auth0|abc"}), Ok("staff:auth0|abc")),
    ];
    for (change, expected) in cases {
        let token = key.token("ES256", "p", &world.claims(change.clone()));
        let found = world.verify(&token).await;
        assert_eq!(found.as_deref(), expected.as_ref().map(|it| *it), "{change}");
    }
}

// REQ: IAM-12
#[tokio::test]
async fn times_count_with_a_minute_of_leeway() {
    let key = ed();
    let world = World::new(&[key.jwk("e")]);
    let now = world.seconds();
    let cases = [
        // A second of this test's own may pass.
        (json!({"exp": now - 55}), None),
        (json!({"exp": now - 61}), Some(JwtError::Expired)),
        (json!({"exp": now + 1, "nbf": now + 60, "iat": now + 60}), None),
        (json!({"nbf": now + 65}), Some(JwtError::NotYet)),
        (json!({"iat": now + 65}), Some(JwtError::NotYet)),
        (json!({"exp": null}), Some(JwtError::TimesInvalid)),
        (json!({"exp": "4102444800"}), Some(JwtError::TimesInvalid)),
        (json!({"nbf": "soon"}), Some(JwtError::TimesInvalid)),
        (json!({"exp": -1}), Some(JwtError::Expired)),
        (json!({"exp": 1e300}), Some(JwtError::TooLong)),
        (json!({"exp": now + 24 * 3_600 + 55}), None),
        (json!({"exp": now + 24 * 3_600 + 61}), Some(JwtError::TooLong)),
        // Not nearer its end either.
        (json!({"exp": now + 60, "iat": now - 24 * 3_600 - 10}), Some(JwtError::TooLong)),
        (json!({"exp": -1e300}), Some(JwtError::Expired)),
        (json!({"exp": now as f64 + 30.5}), None),
    ];
    for (change, expected) in cases {
        let token = key.token("EdDSA", "e", &world.claims(change.clone()));
        assert_eq!(world.verify(&token).await.err(), expected, "{change}");
    }
    let mut claims = world.claims(json!({}));
    claims.as_object_mut().unwrap().remove("exp");
    let token = key.token("EdDSA", "e", &claims);
    assert_eq!(world.verify(&token).await.unwrap_err(), JwtError::TimesInvalid);
}

// REQ: IAM-12
#[tokio::test]
async fn a_remembered_token_expires_too() {
    let key = ed();
    let world = World::new(&[key.jwk("e")]);
    let token = key.token("EdDSA", "e", &world.claims(json!({"exp": world.seconds() + 10})));
    world.verify(&token).await.unwrap();
    world.runtime.travel(Duration::from_secs(65));
    world.verify(&token).await.unwrap();
    world.runtime.travel(Duration::from_secs(6));
    assert_eq!(world.verify(&token).await.unwrap_err(), JwtError::Expired);
}

// REQ: IAM-12
#[tokio::test]
async fn what_is_no_jwt_is_refused_without_a_fetch() {
    let key = ed();
    let world = World::new(&[key.jwk("e")]);
    let token = key.token("EdDSA", "e", &world.claims(json!({})));
    let (signed, mark) = token.rsplit_once('.').unwrap();
    let critical = json!({"alg": "EdDSA", "kid": "e", "crit": ["b64"], "b64": false});
    let critical = signed_part(&critical, &world.claims(json!({})));
    let twice = format!("{}.{}", b64(br#"{"alg":"none","alg":"EdDSA"}"#), b64(b"{}"));
    for bad in [
        ".",
        "..",
        "...",
        "a.b.c",
        "a.b",
        signed,
        &token[1..],
        &format!("{token}.x"),
        &format!("{twice}.{mark}"),
        &format!("{token}="),
        &format!("{signed}.{}", "A".repeat(9_000)),
    ] {
        let refused = world.verify(bad).await.unwrap_err();
        assert_eq!(refused, JwtError::Malformed, "{bad}");
    }
    let refused = world.verify(&format!("{critical}.{mark}")).await;
    assert_eq!(refused.unwrap_err(), JwtError::Critical);
    assert_eq!(world.published.fetches(), 0);
    // One changed bit of the claims, and of the signature.
    let mut other = world.claims(json!({"sub": "u-18"}));
    other["extra"] = json!(1);
    let forged = format!("{}.{mark}", signed_part(&json!({"alg": "EdDSA", "kid": "e"}), &other));
    assert_eq!(world.verify(&forged).await.unwrap_err(), JwtError::SignatureInvalid);
    let forged = format!("{signed}.{}", b64(&[0; 64]));
    assert_eq!(world.verify(&forged).await.unwrap_err(), JwtError::SignatureInvalid);
}
