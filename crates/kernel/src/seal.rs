//! The deployment's key: a MAC over every command, so that only gateways put
//! commands on the log, the digest by which two bodies are the same, and a MAC over
//! records of usage that only gateways and meters may write.
//!
//! All are BLAKE3 in keyed mode, under keys derived from the deployment's key
//! by BLAKE3's key derivation with the contexts below.

use core::fmt;

use exchequer_types::{LogId, Offset, PartitionId, Timestamp};

const MAC_CONTEXT: &str = "exchequer 2026-11 command mac v1";
const DIGEST_CONTEXT: &str = "exchequer 2026-11 command body digest v1";
const USAGE_CONTEXT: &str = "exchequer 2026-11 usage record mac v1";

/// The deployment's key.
#[derive(Clone)]
pub struct SealKey {
    mac: [u8; 32],
    digest: [u8; 32],
    usage: [u8; 32],
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// Where a command that had been on the wrong partition was first received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarding {
    pub partition: PartitionId,
    pub log: LogId,
    pub offset: Offset,
    pub received_at: Timestamp,
}

impl SealKey {
    /// Derives all keys from the deployment's.
    pub fn new(deployment_key: &[u8; 32]) -> Self {
        Self {
            mac: blake3::derive_key(MAC_CONTEXT, deployment_key),
            digest: blake3::derive_key(DIGEST_CONTEXT, deployment_key),
            usage: blake3::derive_key(USAGE_CONTEXT, deployment_key),
        }
    }

    /// MAC of an envelope's exact bytes and, when forwarded, of where it was.
    pub fn mac(&self, envelope: &[u8], forwarding: Option<&Forwarding>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.mac);
        hasher.update(envelope);
        match forwarding {
            None => hasher.update(&[0]),
            Some(at) => hasher
                .update(&at.partition.0.to_le_bytes())
                .update(&at.log.0)
                .update(&at.offset.to_le_bytes())
                .update(&at.received_at.micros().to_le_bytes())
                .update(&[1]),
        };
        *hasher.finalize().as_bytes()
    }

    /// Is `mac` that of these bytes? In constant time.
    pub fn verifies(&self, envelope: &[u8], forwarding: Option<&Forwarding>, mac: &[u8]) -> bool {
        let expected = blake3::Hash::from_bytes(self.mac(envelope, forwarding));
        <[u8; 32]>::try_from(mac).is_ok_and(|mac| expected == blake3::Hash::from_bytes(mac))
    }

    /// MAC of a record of usage: of its bytes before the MAC.
    pub fn usage_mac(&self, record: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.usage, record).as_bytes()
    }

    /// Is `mac` that of these bytes? In constant time.
    pub fn verifies_usage(&self, record: &[u8], mac: &[u8; 32]) -> bool {
        blake3::keyed_hash(&self.usage, record) == blake3::Hash::from_bytes(*mac)
    }

    /// Digest of a command's body: what must be equal for a retry to be one.
    pub fn body_digest(&self, parts: [&[u8]; 4], validate_only: bool) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new_keyed(&self.digest);
        for part in parts {
            hasher.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(&[u8::from(validate_only)]);
        let mut digest = [0; 8];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_covers_the_envelope_and_its_forwarding() {
        let key = SealKey::new(&[7; 32]);
        let at = Forwarding {
            partition: PartitionId(3),
            log: LogId([9; 16]),
            offset: 12,
            received_at: Timestamp::MIN,
        };
        let mac = key.mac(b"envelope", None);
        assert!(key.verifies(b"envelope", None, &mac));
        assert!(!key.verifies(b"envelopf", None, &mac));
        assert!(!key.verifies(b"envelope", Some(&at), &mac));
        assert!(!key.verifies(b"envelope", None, &mac[..31]));
        assert!(!SealKey::new(&[8; 32]).verifies(b"envelope", None, &mac));
    }
}
