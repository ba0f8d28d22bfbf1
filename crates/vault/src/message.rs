//! One encrypted message, the same on every level of keys: XChaCha20-Poly1305
//! under a key of its own, which is derived together with a commitment to the
//! key, the nonce and the place. Poly1305 alone does not commit: two keys could
//! be made to open one ciphertext. The cure is that of Albertini, Duong, Gueron,
//! Kölbl, Luykx and Schmieg, "How to Abuse and Fix Authenticated Encryption
//! Without Key Commitment" (USENIX Security 2022): derive both, store one.

use blake3::Hasher;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{Entropy, VaultError};

/// The largest text that is encrypted.
pub const CLEAR_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a ciphertext has more than its text.
pub const EXTRA_BYTES: usize = 1 + NONCE_BYTES + COMMITMENT_BYTES + TAG_BYTES;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const COMMITMENT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + NONCE_BYTES + COMMITMENT_BYTES;
/// Of BLAKE3's key derivation.
const CONTEXT: &str = "exchequer 2026-11 vault message v1";

/// A key of any level. Overwritten when it is dropped, and never shown.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new one.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(bytes.as_mut());
        Self(bytes)
    }

    /// The key in `bytes`, which must be 32 long.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::new)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Encrypts `clear` for the place that `place` names. Another text each time.
pub fn seal(
    key: &Key,
    place: &[u8],
    clear: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, VaultError> {
    if clear.len() > CLEAR_BYTES_MAX {
        let (bytes, bytes_max) = (clear.len(), CLEAR_BYTES_MAX);
        return Err(VaultError::TooLarge { bytes, bytes_max });
    }
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce);
    let derived = Derived::new(key, &nonce, place);
    let payload = Payload { msg: clear, aad: place };
    let sealed = derived.cipher()?.encrypt(XNonce::from_slice(&nonce), payload);
    let sealed = sealed.map_err(|_| VaultError::Misfit)?;
    let mut text = Vec::with_capacity(HEAD_BYTES + sealed.len());
    text.push(VERSION);
    text.extend_from_slice(&nonce);
    text.extend_from_slice(derived.commitment());
    text.extend_from_slice(&sealed);
    Ok(text)
}

/// Decrypts what `seal` made of the same key and place.
pub fn open(key: &Key, place: &[u8], text: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (head, sealed) = text.split_at_checked(HEAD_BYTES).ok_or(VaultError::Misfit)?;
    let (version, head) = head.split_first().ok_or(VaultError::Misfit)?;
    let (nonce, commitment) = head.split_at_checked(NONCE_BYTES).ok_or(VaultError::Misfit)?;
    let nonce: &[u8; NONCE_BYTES] = nonce.try_into().map_err(|_| VaultError::Misfit)?;
    let derived = Derived::new(key, nonce, place);
    if *version != VERSION || !derived.commits(commitment) {
        return Err(VaultError::Misfit);
    }
    let payload = Payload { msg: sealed, aad: place };
    let clear = derived.cipher()?.decrypt(XNonce::from_slice(nonce), payload);
    clear.map(Zeroizing::new).map_err(|_| VaultError::Misfit)
}

/// The message's own key, and the commitment.
struct Derived([u8; 64]);

impl Derived {
    fn new(key: &Key, nonce: &[u8; NONCE_BYTES], place: &[u8]) -> Self {
        let mut hasher = Hasher::new_derive_key(CONTEXT);
        hasher.update(key.bytes()).update(nonce).update(place);
        let mut derived = Self([0; 64]);
        hasher.finalize_xof().fill(&mut derived.0);
        derived
    }

    fn cipher(&self) -> Result<XChaCha20Poly1305, VaultError> {
        XChaCha20Poly1305::new_from_slice(&self.0[..32]).map_err(|_| VaultError::Misfit)
    }

    fn commitment(&self) -> &[u8] {
        &self.0[32..]
    }

    /// In constant time.
    fn commits(&self, commitment: &[u8]) -> bool {
        let hash = |bytes: &[u8]| bytes.try_into().ok().map(blake3::Hash::from_bytes);
        hash(self.commitment()).is_some_and(|own| hash(commitment) == Some(own))
    }
}

impl Drop for Derived {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Parts of a place, each with its length before it, so that no two lists of
/// parts are the same bytes.
pub(crate) fn place(parts: &[&[u8]]) -> Vec<u8> {
    let bytes = parts.iter().map(|part| 4 + part.len()).sum();
    let mut place = Vec::with_capacity(bytes);
    for part in parts {
        place.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        place.extend_from_slice(part);
    }
    place
}
