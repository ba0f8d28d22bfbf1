//! The text of tokens and keys: a prefix that leak scanners can look for, a secret,
//! and a checksum, so that a text that was cut off or mistyped is told from one
//! that is not known. Only the hash is ever kept.

use core::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};

/// What a token is minted from.
pub const ENTROPY_BYTES: usize = 32;
/// All tokens have this many characters.
pub const TOKEN_CHARS: usize = PREFIX_CHARS + SECRET_CHARS + CHECKSUM_CHARS;

/// `exq_svc_`: what every token begins with, up to its kind.
const BRAND: &str = "exq_";
const KIND_CHARS: usize = 3;
const PREFIX_CHARS: usize = BRAND.len() + KIND_CHARS + 1;
/// 30 of 62 characters are 178 bits.
const SECRET_CHARS: usize = 30;
const CHECKSUM_CHARS: usize = 6;
/// Shown beside a credential's name, so that its owner finds it again.
const HINT_CHARS: usize = 4;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Bytes from here on would make the first characters of the alphabet more likely.
const UNBIASED_BELOW: u8 = 248;
const MINT_CONTEXT: &str = "exchequer 2026-11 token secret v1";

/// What a token may be used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A service token: `svc`.
    Service,
    /// A personal access token: `pat`.
    Personal,
    /// A server-side SDK key: `srv`.
    ServerKey,
    /// A client-side SDK key: `cli`. It is public.
    ClientKey,
}

impl TokenKind {
    pub const ALL: [Self; 4] = [Self::Service, Self::Personal, Self::ServerKey, Self::ClientKey];

    /// The kind as it stands in the token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "svc",
            Self::Personal => "pat",
            Self::ServerKey => "srv",
            Self::ClientKey => "cli",
        }
    }
}

/// BLAKE3 of a token's whole text: what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Of any text, whether it is a token or not.
    pub fn of(text: &str) -> Self {
        Self(*blake3::hash(text.as_bytes()).as_bytes())
    }
}

/// A new token. The text is for its owner, once; the rest may be kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    pub text: String,
    pub hash: TokenHash,
    /// The last 4 characters of the secret.
    pub hint: String,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("hint", &self.hint).finish_non_exhaustive()
    }
}

/// Why a text is no token of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("is no token of Exchequer: one begins with exq_")]
    Foreign,
    #[error("is cut off or mistyped: a token has {TOKEN_CHARS} characters, all of them needed")]
    Damaged,
}

/// The operating system gives no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no randomness")]
pub struct NoEntropy;

/// Randomness of the operating system, to mint one token from.
pub fn entropy() -> Result<[u8; ENTROPY_BYTES], NoEntropy> {
    let mut bytes = [0; ENTROPY_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoEntropy)?;
    Ok(bytes)
}

/// The token of this kind that follows from `entropy`, which must be used once.
pub fn mint(kind: TokenKind, entropy: &[u8; ENTROPY_BYTES]) -> Minted {
    let mut text = format!("{BRAND}{}_", kind.as_str());
    let mut bytes = blake3::Hasher::new_derive_key(MINT_CONTEXT).update(entropy).finalize_xof();
    while text.len() < PREFIX_CHARS + SECRET_CHARS {
        let mut byte = [0];
        bytes.fill(&mut byte);
        if byte[0] < UNBIASED_BELOW {
            text.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
        }
    }
    let hint = text[text.len() - HINT_CHARS..].to_owned();
    let checksum = checksum(text.as_bytes());
    text.extend(checksum.map(char::from));
    Minted { hash: TokenHash::of(&text), hint, text }
}

/// The kind of a token whose form and checksum are right. Whether it is known is
/// another question.
pub fn parse(text: &str) -> Result<TokenKind, TokenError> {
    let rest = text.strip_prefix(BRAND).ok_or(TokenError::Foreign)?;
    let kinds = TokenKind::ALL.into_iter();
    let kind = kinds.into_iter().find(|kind| rest.starts_with(kind.as_str()));
    let kind = kind.ok_or(TokenError::Damaged)?;
    let bytes = text.as_bytes();
    if bytes.len() != TOKEN_CHARS || bytes[PREFIX_CHARS - 1] != b'_' {
        return Err(TokenError::Damaged);
    }
    let (said, checksum_said) = bytes.split_at(PREFIX_CHARS + SECRET_CHARS);
    let is_written_right = said[PREFIX_CHARS..].iter().all(u8::is_ascii_alphanumeric);
    if !is_written_right || checksum_said != checksum(said) {
        return Err(TokenError::Damaged);
    }
    Ok(kind)
}

/// CRC-32 in six digits of base 62, the most significant first.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_CHARS] {
    let mut rest = crc32(bytes);
    let mut digits = [0; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest as usize % ALPHABET.len()];
        rest /= ALPHABET.len() as u32;
    }
    digits
}

/// CRC-32 as zlib computes it, so that any scanner can.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

const CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> impl Strategy<Value = TokenKind> {
        proptest::sample::select(TokenKind::ALL.to_vec())
    }

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    // REQ: IAM-12
    #[test]
    fn a_token_looks_as_scanners_expect_it() {
        let minted = mint(TokenKind::Service, &[7; 32]);
        assert!(minted.text.starts_with("exq_svc_"));
        assert_eq!(minted.text.len(), 44);
        assert_eq!(&minted.text[34..38], minted.hint);
        assert_eq!(minted.hash, TokenHash::of(&minted.text));
        assert!(!format!("{minted:?}").contains(&minted.text[8..34]));
    }

    // REQ: IAM-12
    #[test]
    fn texts_of_others_are_told_from_damaged_ones() {
        for foreign in
            ["", "x", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "EXQ_svc_", "eyJhbGciOi"]
        {
            assert_eq!(parse(foreign), Err(TokenError::Foreign), "{foreign}");
        }
        for damaged in ["exq_", "exq_svc", "exq_svc_", "exq_abc_0000", "exq_svc_é"] {
            assert_eq!(parse(damaged), Err(TokenError::Damaged), "{damaged}");
        }
    }

    // REQ: IAM-12
    #[test]
    fn entropy_is_not_given_twice() {
        assert_ne!(entropy().unwrap(), entropy().unwrap());
    }

    proptest! {
        // REQ: IAM-12
        #[test]
        fn a_minted_token_reads_back(kind in kinds(), entropy: [u8; 32]) {
            let minted = mint(kind, &entropy);
            prop_assert_eq!(parse(&minted.text), Ok(kind));
            prop_assert_eq!(&mint(kind, &entropy), &minted);
        }

        // REQ: IAM-12
        #[test]
        fn another_entropy_is_another_secret(kind in kinds(), one: [u8; 32], other: [u8; 32]) {
            prop_assume!(one != other);
            prop_assert_ne!(mint(kind, &one).hash, mint(kind, &other).hash);
        }

        // REQ: IAM-12
        #[test]
        fn a_token_cut_off_anywhere_is_refused(entropy: [u8; 32], kept in 0..TOKEN_CHARS) {
            let text = mint(TokenKind::Personal, &entropy).text;
            prop_assert!(parse(&text[..kept]).is_err());
        }

        // REQ: IAM-12
        #[test]
        fn one_wrong_character_is_noticed(
            entropy: [u8; 32], at in PREFIX_CHARS..TOKEN_CHARS, other in 0..ALPHABET.len(),
        ) {
            let mut bytes = mint(TokenKind::ServerKey, &entropy).text.into_bytes();
            prop_assume!(bytes[at] != ALPHABET[other]);
            bytes[at] = ALPHABET[other];
            let text = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(parse(&text), Err(TokenError::Damaged));
        }

        // REQ: IAM-12
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,60}", tail in "(exq_(svc|pat)_)?[0-9A-Za-z]{0,50}") {
            let _ = parse(&text);
            prop_assert!(parse(&tail).is_err());
        }
    }
}
