//! Public keys of an issuer, as it publishes them (RFC 7517). The type of the key
//! decides which algorithms it is good for, so that no token can choose to have its
//! signature checked by another one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;

/// Keys of one issuer that are looked at.
const KEYS_MAX: usize = 100;
const RSA_BITS_MIN: usize = 2_048;
const RSA_BITS_MAX: usize = 8_192;

/// A way of signing that can be accepted. There is none without a key, and none with
/// a secret that the issuer would have to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// As `alg` names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

/// One public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// The only algorithm it is for, when the issuer says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A published set that cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no set of keys in JSON")]
pub(super) struct NoKeySet;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a published set that signatures can be checked with. Others are passed
/// over: they are for something else.
pub(super) fn keys(json: &[u8]) -> Result<Vec<Key>, NoKeySet> {
    let set: Set = serde_json::from_slice(json).map_err(|_| NoKeySet)?;
    let read = |value| Key::read(serde_json::from_value(value).ok()?);
    Ok(set.keys.into_iter().take(KEYS_MAX).filter_map(read).collect())
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        let is_for_signatures = jwk.r#use.as_deref().is_none_or(|it| it == "sig")
            && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !is_for_signatures {
            return None;
        }
        let algorithm = match jwk.alg.as_deref() {
            None => None,
            // Of an algorithm that we don't have: of no use.
            Some(word) => Some(Algorithm::parse(word)?),
        };
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => rsa(bytes(jwk.n)?, bytes(jwk.e)?)?,
            ("EC", Some("P-256")) => Material::P256(point(bytes(jwk.x)?, bytes(jwk.y)?, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(bytes(jwk.x)?, bytes(jwk.y)?, 48)?),
            ("OKP", Some("Ed25519")) => {
                Material::Ed25519(bytes(jwk.x).filter(|it| it.len() == 32)?)
            }
            _ => return None,
        };
        let key = Self { id: jwk.kid, algorithm, material };
        algorithm.is_none_or(|it| key.is_of(it)).then_some(key)
    }

    /// May a signature by `algorithm` be checked with it?
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.is_of(algorithm)
    }

    fn is_of(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match self.material {
            Material::Rsa { .. } => {
                matches!(algorithm, A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512)
            }
            Material::P256(_) => algorithm == A::Es256,
            Material::P384(_) => algorithm == A::Es384,
            Material::Ed25519(_) => algorithm == A::EdDsa,
        }
    }

    /// Is `mark` this key's signature of `message`?
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], mark: &[u8]) -> bool {
        use Algorithm as A;
        if !self.fits(algorithm) {
            return false;
        }
        let verified = match &self.material {
            Material::Rsa { modulus: n, exponent: e } => {
                let parameters = match algorithm {
                    A::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    A::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    A::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    A::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    A::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => &signature::RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, mark)
            }
            Material::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, mark)
            }
            Material::P384(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                    .verify(message, mark)
            }
            Material::Ed25519(key) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, mark)
            }
        };
        verified.is_ok()
    }
}

fn bytes(part: Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part?).ok()
}

fn rsa(mut modulus: Vec<u8>, mut exponent: Vec<u8>) -> Option<Material> {
    for number in [&mut modulus, &mut exponent] {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        number.drain(..zeros);
    }
    let bits = modulus.len() * 8;
    let is_usable = (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) && !exponent.is_empty();
    is_usable.then_some(Material::Rsa { modulus, exponent })
}

fn point(x: Vec<u8>, y: Vec<u8>, bytes: usize) -> Option<Vec<u8>> {
    let is_whole = x.len() == bytes && y.len() == bytes;
    is_whole.then(|| [vec![4], x, y].concat())
}
