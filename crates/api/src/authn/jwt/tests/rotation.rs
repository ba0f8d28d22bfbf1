//! Where keys come from, and how they change: a list that the test holds, a file, and a
//! local server.

use std::io::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

// REQ: IAM-12
#[tokio::test]
async fn a_rotated_key_is_found_and_the_old_one_stays_for_a_while() {
    let (old, new) = (p256(), p256());
    let world = World::new(&[old.jwk("1")]);
    let long = json!({"exp": world.seconds() + 86_400});
    let claims = world.claims(long);
    world.verify(&old.token("ES256", "1", &claims)).await.unwrap();
    world.published.publish(&[new.jwk("2")]);
    // Just fetched: not again so soon, whoever asks for whatever.
    let refused = world.verify(&new.token("ES256", "2", &claims)).await;
    assert_eq!(refused.unwrap_err(), JwtError::KeyUnknown);
    assert_eq!(world.published.fetches(), 1);
    world.runtime.travel(key_ring::FETCH_INTERVAL_MIN);
    world.verify(&new.token("ES256", "2", &claims)).await.unwrap();
    assert_eq!(world.published.fetches(), 2);
    // What the old key signed holds on, until it is forgotten.
    let again = |kind: &str| world.claims(json!({"exp": world.seconds() + 86_400, "jti": kind}));
    world.verify(&old.token("ES256", "1", &again("soon"))).await.unwrap();
    world.runtime.travel(key_ring::WITHDRAWN_KEPT);
    let refused = world.verify(&old.token("ES256", "1", &claims)).await;
    assert_eq!(refused.unwrap_err(), JwtError::KeyUnknown, "also one that was accepted before");
    world.verify(&new.token("ES256", "2", &claims)).await.unwrap();
}

// REQ: IAM-12
#[tokio::test]
async fn keys_are_refreshed_in_the_background_and_kept_when_that_fails() {
    let key = ed();
    let world = World::new(&[key.jwk("e")]);
    let token = |world: &World, jti: u32| {
        let claims = world.claims(json!({"exp": world.seconds() + 86_400, "jti": jti}));
        key.token("EdDSA", "e", &claims)
    };
    world.verify(&token(&world, 1)).await.unwrap();
    world.published.go_away();
    world.runtime.travel(key_ring::REFRESH_AFTER);
    world.verify(&token(&world, 2)).await.unwrap();
    while world.published.fetches() < 2 {
        tokio::task::yield_now().await;
    }
    world.verify(&token(&world, 3)).await.unwrap();
    // An issuer that was never reached is another matter: it may be tried again.
    let nowhere = World::new(&[]);
    nowhere.published.go_away();
    assert_eq!(nowhere.verify(&token(&nowhere, 4)).await.unwrap_err(), JwtError::KeysUnavailable);
    nowhere.published.publish(&[key.jwk("e")]);
    nowhere.runtime.travel(key_ring::FETCH_INTERVAL_MIN);
    nowhere.verify(&token(&nowhere, 5)).await.unwrap();
}

// REQ: IAM-12
#[tokio::test]
async fn a_token_without_a_key_id_means_the_only_key_that_fits() {
    let (one, two, rsa) = (p256(), p256(), rsa());
    let world = World::new(&[one.jwk("1"), rsa.jwk("r")]);
    let signed = signed_part(&json!({"alg": "ES256"}), &world.claims(json!({})));
    let token = format!("{signed}.{}", b64(&one.sign("ES256", signed.as_bytes())));
    world.verify(&token).await.unwrap();
    let world = World::new(&[one.jwk("1"), two.jwk("2")]);
    assert_eq!(world.verify(&token).await.unwrap_err(), JwtError::KeyUnknown);
}

/// Answers each request with the next of `answers`, then with the last again.
async fn serve(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let runtime = TokioRuntime::default();
    let kind = exchequer_runtime::TaskKind { name: "test", on_end: exchequer_runtime::OnEnd::Fine };
    let serving = async move {
        let mut turn = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let answer = &answers[turn.min(answers.len() - 1)];
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
            turn += 1;
        }
        Ok(())
    };
    exchequer_runtime::Runtime::spawn(&runtime, kind, Box::pin(serving));
    url
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write!(out, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len())
        .unwrap();
    write!(out, "location: http://127.0.0.1:1/\r\n\r\n{body}").unwrap();
    out
}

// REQ: IAM-12
#[tokio::test]
async fn keys_rotate_at_a_url() {
    let (old, new) = (p256(), ed());
    let set = |keys: &[Value]| answer("200 OK", &json!({ "keys": keys }).to_string());
    let url = serve(vec![set(&[old.jwk("1")]), set(&[new.jwk("2")])]).await;
    let keys = Arc::new(HttpKeys::new(&url, None).unwrap());
    let runtime = TokioRuntime::default();
    let trusted = issuer(keys, &[Algorithm::Es256, Algorithm::EdDsa]);
    let issuers = Issuers::new(vec![trusted], Arc::new(runtime.clone()));
    let world = World { published: Arc::default(), runtime, issuers };
    let claims = world.claims(json!({"exp": world.seconds() + 3_600}));
    world.verify(&old.token("ES256", "1", &claims)).await.unwrap();
    world.runtime.travel(key_ring::FETCH_INTERVAL_MIN);
    world.verify(&new.token("EdDSA", "2", &claims)).await.unwrap();
    world.verify(&old.token("ES256", "1", &claims)).await.unwrap();
}

// REQ: IAM-12
#[tokio::test]
async fn answers_that_are_no_keys_are_failures() {
    for bad in [
        answer("500 Internal Server Error", "{}"),
        answer("302 Found", ""),
        answer("200 OK", &"x".repeat(300 * 1024)),
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{".to_vec(),
        b"hello".to_vec(),
        Vec::new(),
    ] {
        let keys = HttpKeys::new(&serve(vec![bad.clone()]).await, None).unwrap();
        assert!(
            keys.fetch().await.is_err(),
            "{}",
            String::from_utf8_lossy(&bad[..bad.len().min(40)])
        );
    }
    let unreachable = HttpKeys::new("http://127.0.0.1:1/keys", None).unwrap();
    assert!(unreachable.fetch().await.is_err());
}

// REQ: IAM-12
#[test]
fn keys_come_by_https_or_from_this_machine() {
    for good in ["https://id.example.com/keys", "http://localhost:8080/", "http://[::1]:80/k"] {
        HttpKeys::new(good, None).unwrap();
    }
    for (bad, error) in [
        ("http://id.example.com/keys", UrlError::NotSecure),
        ("http://127.0.0.1.example.com/", UrlError::NotSecure),
        ("ftp://id.example.com/", UrlError::NotSecure),
        ("id.example.com/keys", UrlError::Malformed),
        ("/keys", UrlError::Malformed),
        ("", UrlError::Malformed),
    ] {
        assert_eq!(HttpKeys::new(bad, None).unwrap_err(), error, "{bad}");
    }
}

// REQ: IAM-12
#[tokio::test]
async fn keys_can_lie_in_a_file() {
    let key = ed();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    std::fs::write(&path, json!({"keys": [key.jwk("e")]}).to_string()).unwrap();
    let runtime = TokioRuntime::default();
    let trusted = issuer(Arc::new(FileKeys { path: path.clone() }), &[Algorithm::EdDsa]);
    let issuers = Issuers::new(vec![trusted], Arc::new(runtime.clone()));
    let world = World { published: Arc::default(), runtime, issuers };
    world.verify(&key.token("EdDSA", "e", &world.claims(json!({})))).await.unwrap();
    let missing = FileKeys { path: dir.path().join("nowhere.json") };
    assert!(missing.fetch().await.is_err());
}
