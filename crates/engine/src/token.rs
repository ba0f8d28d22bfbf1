//! Consistency tokens: what a reply has seen of the journal, for a query that
//! must see it too. Opaque to clients: base32 of version, then partition and
//! offset as fixed-width integers.

use exchequer_types::{Offset, PartitionId};

const VERSION: u8 = 1;
/// Of a token that names places in the usage log.
const USAGE_VERSION: u8 = 2;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const ENTRY_BYTES: usize = 12;
/// A token names at most this many partitions.
const ENTRIES_MAX: usize = 64;

type Entries = Vec<(PartitionId, Offset)>;

/// For each partition it names, the next offset that a view must have reached.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Token(pub Entries);

/// The same of the usage log: for each partition it names, the next offset that its meter
/// must have judged.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct UsageToken(pub Entries);

/// The text is no token of this deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a consistency token: send back what a reply's metadata carried")]
pub struct TokenError;

impl Token {
    /// One commit of one partition.
    pub fn behind(partition: PartitionId, offset: Offset) -> Self {
        Self(vec![(partition, offset + 1)])
    }

    /// The next offset that it asks for of `partition`; 0 when it names it not.
    pub fn offset(&self, partition: PartitionId) -> Offset {
        offset(&self.0, partition)
    }

    /// As it travels.
    pub fn encode(&self) -> String {
        encode(VERSION, &self.0)
    }

    /// Reads a token of a deployment with `partitions` partitions.
    pub fn decode(text: &str, partitions: u32) -> Result<Self, TokenError> {
        decode(VERSION, text, partitions).map(Self)
    }
}

impl UsageToken {
    /// The next offset that it asks for of `partition`; 0 when it names it not.
    pub fn offset(&self, partition: PartitionId) -> Offset {
        offset(&self.0, partition)
    }

    /// As it travels.
    pub fn encode(&self) -> String {
        encode(USAGE_VERSION, &self.0)
    }

    /// Reads a token of a deployment with `partitions` partitions.
    pub fn decode(text: &str, partitions: u32) -> Result<Self, TokenError> {
        decode(USAGE_VERSION, text, partitions).map(Self)
    }
}

fn offset(entries: &Entries, partition: PartitionId) -> Offset {
    let named = entries.iter().filter(|(named, _)| *named == partition);
    named.map(|(_, offset)| *offset).max().unwrap_or(0)
}

fn encode(version: u8, entries: &Entries) -> String {
    let mut bytes = vec![version];
    for (partition, offset) in entries {
        bytes.extend_from_slice(&partition.0.to_be_bytes());
        bytes.extend_from_slice(&offset.to_be_bytes());
    }
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(ALPHABET[(held >> bits) as usize & 31]));
        }
    }
    if bits > 0 {
        out.push(char::from(ALPHABET[(held << (5 - bits)) as usize & 31]));
    }
    out
}

fn decode(version: u8, text: &str, partitions: u32) -> Result<Entries, TokenError> {
    if text.len() > (1 + ENTRIES_MAX * ENTRY_BYTES) * 8 / 5 + 1 {
        return Err(TokenError);
    }
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|it| *it == byte).ok_or(TokenError)?;
        held = (held << 5) | digit as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    let entries = match bytes.split_first() {
        Some((found, rest)) if *found == version && rest.len() % ENTRY_BYTES == 0 => rest,
        _ => return Err(TokenError),
    };
    let entries: Entries = entries.chunks_exact(ENTRY_BYTES).map(entry).collect();
    let known = entries.iter().all(|(partition, _)| partition.0 < partitions);
    if known { Ok(entries) } else { Err(TokenError) }
}

fn entry(bytes: &[u8]) -> (PartitionId, Offset) {
    let (mut partition, mut offset) = ([0; 4], [0; 8]);
    partition.copy_from_slice(&bytes[..4]);
    offset.copy_from_slice(&bytes[4..]);
    (PartitionId(u32::from_be_bytes(partition)), Offset::from_be_bytes(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let token = Token(vec![(PartitionId(3), 77), (PartitionId(15), 1 << 40)]);
        assert_eq!(Token::decode(&token.encode(), 16), Ok(token.clone()));
        assert_eq!(Token::decode(&token.encode(), 8), Err(TokenError));
        for bad in ["", "a", "?!", "aaaa", &"a".repeat(10_000)] {
            assert_eq!(Token::decode(bad, 16), Err(TokenError), "{bad}");
        }
        let usage = UsageToken(token.0.clone());
        assert_eq!(UsageToken::decode(&usage.encode(), 16), Ok(usage.clone()));
        // One is not taken for the other.
        assert_eq!(Token::decode(&usage.encode(), 16), Err(TokenError));
        assert_eq!(UsageToken::decode(&token.encode(), 16), Err(TokenError));
    }
}
