//! What is said of a person, or is a secret, as the log keeps it: a ciphertext
//! that names its key. Nothing here can read it.

use core::fmt;

use crate::Json;
use crate::hash::hex;

/// Names the key of one person of one tenant, for good: random, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyId(pub [u8; 16]);

impl KeyId {
    /// The id in `bytes`, which must be 16 long.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The id in 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut id, digits) = ([0; 16], text.as_bytes());
        if digits.len() != 32 {
            return None;
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? * 16 + digit(pair[1])?;
        }
        Some(Self(id))
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// An encrypted field: unreadable for ever once its key is erased.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protected {
    pub key: KeyId,
    /// As `docs/reference/personal-data.md` lays it out.
    pub text: Vec<u8>,
}

impl Protected {
    /// As audit entries have it: `{"key": hexadecimal, "text": base64}`.
    pub fn to_json(&self) -> Json {
        Json::object([
            ("key", Json::Text(self.key.to_string())),
            ("text", Json::Text(to_base64(&self.text))),
        ])
    }

    /// Reads the members of [`Protected::to_json`].
    pub fn from_texts(key: &str, text: &str) -> Option<Self> {
        Some(Self { key: KeyId::parse(key)?, text: from_base64(text)? })
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4, with padding.
fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| chunk.get(at).copied().unwrap_or(0);
        let (one, two, three) = (byte(0), byte(1), byte(2));
        let sixes = [one >> 2, (one & 3) << 4 | two >> 4, (two & 15) << 2 | three >> 6, three & 63];
        for (at, six) in sixes.into_iter().enumerate() {
            let digit = ALPHABET[usize::from(six)];
            out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// None for what `to_base64` does not write.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text.as_bytes().chunks(4) {
        let [one, two, three, four] = chunk.try_into().ok()?;
        let six = |byte: u8| {
            let at = ALPHABET.iter().position(|it| *it == byte)?;
            u8::try_from(at).ok()
        };
        let (one, two) = (six(one)?, six(two)?);
        out.push(one << 2 | two >> 4);
        if three != b'=' {
            let three = six(three)?;
            out.push(two << 4 | three >> 2);
            if four != b'=' {
                out.push(three << 6 | six(four)?);
            }
        }
    }
    // Padding inside, or bits beyond the end, are not ours.
    (to_base64(&out) == text).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = KeyId([0xa7; 16]);
        assert_eq!(KeyId::parse(&id.to_string()), Some(id));
        for bad in
            ["", "a7", "A7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7", "g7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7"]
        {
            assert_eq!(KeyId::parse(bad), None, "{bad}");
        }
        assert_eq!(KeyId::from_slice(&[1; 15]), None);
    }

    #[test]
    fn an_entry_has_it_as_text() {
        // RFC 4648, section 10.
        let known = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, base64) in known.into_iter().enumerate() {
            let text = b"foobar"[..length].to_vec();
            let it = Protected { key: KeyId([1; 16]), text };
            let key = it.key.to_string();
            let json = format!("{{\"key\":\"{key}\",\"text\":\"{base64}\"}}");
            assert_eq!(it.to_json().canonical(), json);
            assert_eq!(Protected::from_texts(&key, base64), Some(it));
        }
        for bad in ["Z", "Zg", "Zg=", "Zh==", "Z===", "Zg==Zg==", "Zm9v\n", "Zm9-"] {
            assert_eq!(Protected::from_texts(&"01".repeat(16), bad), None, "{bad:?}");
        }
    }
}
