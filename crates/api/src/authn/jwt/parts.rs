//! A JWT taken apart. Nothing in it is to be believed before its signature holds,
//! except as a question: whose is it, and by which key?

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::JwtError;

/// A longer text is no JWT that we read.
pub(super) const JWT_CHARS_MAX: usize = 8 * 1024;

/// The parts of a JWT.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) algorithm: String,
    pub(super) key_id: Option<String>,
    pub(super) claims: Map<String, Value>,
    /// What is signed.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// Takes `text` apart.
pub(super) fn parts(text: &str) -> Result<Parts<'_>, JwtError> {
    if text.len() > JWT_CHARS_MAX {
        return Err(JwtError::Malformed);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(JwtError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(JwtError::Malformed)?;
    if claims.contains('.') {
        return Err(JwtError::Malformed);
    }
    let header: Header = json(header)?;
    if header.crit.is_some() {
        return Err(JwtError::Critical);
    }
    Ok(Parts {
        algorithm: header.alg,
        key_id: header.kid,
        claims: json(claims)?,
        signed: signed.as_bytes(),
        signature: decode(signature)?,
    })
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, JwtError> {
    serde_json::from_slice(&decode(part)?).map_err(|_| JwtError::Malformed)
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed)
}
