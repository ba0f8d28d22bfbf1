//! The message's format, written a second time from its description, and what the
//! commitment is there for: a text that the cipher alone would open is refused
//! when the key is not the one it was made with.

#![expect(clippy::unwrap_used, reason = "a test's own checks")]

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use exchequer_vault::{Key, SeededEntropy, VaultError, open, seal};

const PLACE: &[u8] = b"place";

/// The message's own key and the commitment, for a key and a nonce.
fn derive(key: [u8; 32], nonce: &[u8], place: &[u8]) -> ([u8; 32], [u8; 32]) {
    let mut hasher = blake3::Hasher::new_derive_key("exchequer 2026-11 vault message v1");
    hasher.update(&[&key[..], nonce, place].concat());
    let mut both = [0; 64];
    hasher.finalize_xof().fill(&mut both);
    (both[..32].try_into().unwrap(), both[32..].try_into().unwrap())
}

fn encrypt(own: [u8; 32], nonce: &[u8], clear: &[u8]) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new_from_slice(&own).unwrap();
    cipher.encrypt(XNonce::from_slice(nonce), Payload { msg: clear, aad: PLACE }).unwrap()
}

fn text(nonce: &[u8], commitment: &[u8], sealed: &[u8]) -> Vec<u8> {
    [&[1], nonce, commitment, sealed].concat()
}

// REQ: EDG-06
#[test]
fn the_format_is_the_one_described() {
    let key = [3; 32];
    let sealed = seal(&Key::new(key), PLACE, b"clear", &SeededEntropy::new(1)).unwrap();
    assert_eq!(sealed[0], 1);
    let nonce = &sealed[1..25];
    let (own, commitment) = derive(key, nonce, PLACE);
    assert_eq!(sealed, text(nonce, &commitment, &encrypt(own, nonce, b"clear")));
}

// REQ: EDG-06
#[test]
fn no_text_opens_under_two_keys() {
    let (one, two, nonce) = ([1; 32], [2; 32], [5; 24]);
    let (own_one, commits_one) = derive(one, &nonce, PLACE);
    let (own_two, commits_two) = derive(two, &nonce, PLACE);
    assert_ne!(commits_one, commits_two);
    // Valid for the cipher under the second key, and committed to the first: neither
    // reads it, where the cipher alone would give the second its text.
    let mixed = text(&nonce, &commits_one, &encrypt(own_two, &nonce, b"two"));
    for key in [one, two] {
        assert_eq!(open(&Key::new(key), PLACE, &mixed).unwrap_err(), VaultError::Misfit);
    }
    let cipher = XChaCha20Poly1305::new_from_slice(&own_two).unwrap();
    let payload = Payload { msg: &mixed[57..], aad: PLACE };
    assert_eq!(cipher.decrypt(XNonce::from_slice(&nonce), payload).unwrap(), b"two");
    // Each one's own opens under it alone.
    for (key, other, own, commits) in
        [(one, two, own_one, commits_one), (two, one, own_two, commits_two)]
    {
        let honest = text(&nonce, &commits, &encrypt(own, &nonce, b"text"));
        assert_eq!(&**open(&Key::new(key), PLACE, &honest).unwrap(), b"text");
        assert!(open(&Key::new(other), PLACE, &honest).is_err());
    }
    // Another version is not guessed at.
    let mut newer = text(&nonce, &commits_one, &encrypt(own_one, &nonce, b"one"));
    newer[0] = 2;
    assert!(open(&Key::new(one), PLACE, &newer).is_err());
}
