//! Ids given by callers, checked where they come in, and ids made by us.

use core::fmt;

use crate::Timestamp;

/// The root tenant.
pub const PLATFORM: &str = "platform";
pub const TENANT_ID_CHARS_MAX: usize = 63;
pub const COMMAND_ID_CHARS_MAX: usize = 128;

/// Why an id was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    Empty,
    TooLong {
        chars_max: usize,
    },
    /// What the id may consist of.
    Characters {
        allowed: &'static str,
    },
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { chars_max } => write!(f, "must have at most {chars_max} characters"),
            Self::Characters { allowed } => write!(f, "must match {allowed}"),
        }
    }
}

impl core::error::Error for IdError {}

macro_rules! checked_id {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks `text`.
            pub fn parse(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                Self::check(&text)?;
                Ok(Self(text))
            }

            /// Can `text` be one?
            pub fn check(text: &str) -> Result<(), IdError> {
                $check(text)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_id!(
    /// A tenant: `[a-z0-9][a-z0-9-]{0,62}`.
    TenantId,
    check_slug
);
checked_id!(
    /// An id given by callers within a tenant, of a catalog, plan, price, feature, project,
    /// environment, flag or variant: `[a-z0-9][a-z0-9-]{0,62}`, immutable.
    Slug,
    check_slug
);
checked_id!(
    /// A command's id within its tenant and issuer: 1-128 visible ASCII characters.
    CommandId,
    check_visible
);
checked_id!(
    /// Who acts: an opaque id of 1-128 visible ASCII characters, never a name or address.
    ActorId,
    check_visible
);
checked_id!(
    /// Who issues commands: `api` for clients, else a process or timer.
    Issuer,
    check_issuer
);

impl TenantId {
    /// The root of the tree.
    pub fn platform() -> Self {
        Self(PLATFORM.to_owned())
    }
}

fn check_slug(text: &str) -> Result<(), IdError> {
    let first_ok = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match text.as_bytes() {
        [] => Err(IdError::Empty),
        bytes if bytes.len() > TENANT_ID_CHARS_MAX => {
            Err(IdError::TooLong { chars_max: TENANT_ID_CHARS_MAX })
        }
        [first, rest @ ..]
            if first_ok(*first) && rest.iter().all(|byte| first_ok(*byte) || *byte == b'-') =>
        {
            Ok(())
        }
        _ => Err(IdError::Characters { allowed: "[a-z0-9][a-z0-9-]{0,62}" }),
    }
}

fn check_visible(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        Err(IdError::Empty)
    } else if text.len() > COMMAND_ID_CHARS_MAX {
        Err(IdError::TooLong { chars_max: COMMAND_ID_CHARS_MAX })
    } else if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(IdError::Characters { allowed: "[!-~]{1,128}" })
    }
}

fn check_issuer(text: &str) -> Result<(), IdError> {
    check_slug(text)
}

/// A command's identity `(stream, issuer, id)`, as 16 bytes: the first half of
/// BLAKE3 over the three parts, each led by its length as u32 little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub [u8; 16]);

impl Identity {
    pub fn of(stream: &str, issuer: &str, id: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [stream, issuer, id] {
            hasher.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut half = [0; 16];
        half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(half)
    }
}

/// An id made by us: `prefix` and 26 base32 characters (RFC 4648, lower case)
/// of BLAKE3 over the command's identity, the log's time in microseconds
/// as i64 and `index` as u32, both little endian. Deciding a command twice makes the
/// same ids; an identity that is used again behind its window makes others.
pub fn minted_id(prefix: &str, identity: Identity, now: Timestamp, index: u32) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hasher = blake3::Hasher::new();
    hasher.update(&identity.0);
    hasher.update(&now.micros().to_le_bytes());
    hasher.update(&index.to_le_bytes());
    let hash = hasher.finalize();
    let mut out = String::with_capacity(prefix.len() + 26);
    out.push_str(prefix);
    let mut bits = 0_u32;
    let mut held = 0_u32;
    for byte in &hash.as_bytes()[..17] {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 && out.len() < prefix.len() + 26 {
            bits -= 5;
            let digit = usize::try_from((held >> bits) & 31).unwrap_or(0);
            out.push(char::from(ALPHABET[digit]));
        }
        held &= (1 << bits) - 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_ids_are_slugs() {
        for good in ["a", "0", "acme-corp", &"x".repeat(63)] {
            assert!(TenantId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a_b", "a b", "é", &"x".repeat(64), &"x".repeat(10_000)] {
            assert!(TenantId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn minted_ids_are_stable_and_distinct() {
        let identity = Identity::of("acme", "api", "c-1");
        let now = Timestamp::saturating_from_micros(1);
        let id = minted_id("tmr_", identity, now, 0);
        assert_eq!(id.len(), 30);
        assert_eq!(id, minted_id("tmr_", identity, now, 0));
        assert_ne!(id, minted_id("tmr_", identity, now, 1));
        assert_ne!(id, minted_id("tmr_", identity, Timestamp::MIN, 0));
        assert_ne!(Identity::of("a", "bc", "d"), Identity::of("ab", "c", "d"));
    }
}
