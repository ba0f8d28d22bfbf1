//! The deployment's own proof: whoever can read the deployment's key may act as the
//! deployment, from the machine it runs on. For the program's own tools and for
//! whoever has lost all tokens.

use core::time::Duration;

use exchequer_types::Timestamp;

/// What a proof begins with.
pub(crate) const PREFIX: &str = "exq_dep_";
/// A proof holds this long before and after the instant it names.
pub const PROOF_VALID: Duration = Duration::from_secs(60);

const CONTEXT: &str = "exchequer 2026-11 deployment proof v1";
const MAC_CHARS: usize = 64;
/// Seconds of the years to come have so many digits.
const SECONDS_CHARS_MAX: usize = 12;

/// Makes and checks proofs: derived from the deployment's key.
#[derive(Clone)]
pub struct ProofKey([u8; 32]);

impl core::fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ProofKey(..)")
    }
}

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProofError {
    /// Not of this deployment's key, or not whole.
    Invalid,
    /// Of this deployment, and too old or from the future.
    Expired,
}

impl ProofKey {
    pub fn new(deployment_key: &[u8; 32]) -> Self {
        Self(blake3::derive_key(CONTEXT, deployment_key))
    }

    /// The proof that holds around `now`, for the header `authorization`, after `Bearer `.
    pub fn prove(&self, now: Timestamp) -> String {
        let said = format!("{PREFIX}{}", now.micros() / 1_000_000);
        let mac = blake3::keyed_hash(&self.0, said.as_bytes());
        format!("{said}_{}", mac.to_hex())
    }

    pub(crate) fn check(&self, text: &str, now: Timestamp) -> Result<(), ProofError> {
        let (said, mac) = text.rsplit_once('_').ok_or(ProofError::Invalid)?;
        let seconds = said.strip_prefix(PREFIX).ok_or(ProofError::Invalid)?;
        if mac.len() != MAC_CHARS || seconds.len() > SECONDS_CHARS_MAX {
            return Err(ProofError::Invalid);
        }
        let mac = blake3::Hash::from_hex(mac).map_err(|_| ProofError::Invalid)?;
        // Equality of these is in constant time.
        if blake3::keyed_hash(&self.0, said.as_bytes()) != mac {
            return Err(ProofError::Invalid);
        }
        let seconds: i64 = seconds.parse().map_err(|_| ProofError::Invalid)?;
        let apart = (now.micros() / 1_000_000).abs_diff(seconds);
        if apart > PROOF_VALID.as_secs() { Err(ProofError::Expired) } else { Ok(()) }
    }
}

/// The proof of `deployment_key` that holds around `now`: what comes after `Bearer `
/// in the header `authorization`. It acts as the deployment, from loopback alone.
pub fn deployment_proof(deployment_key: &[u8; 32], now: Timestamp) -> String {
    ProofKey::new(deployment_key).prove(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::saturating_from_micros(seconds * 1_000_000)
    }

    // REQ: IAM-12
    #[test]
    fn a_proof_holds_a_minute_either_way() {
        let key = ProofKey::new(&[1; 32]);
        let proof = deployment_proof(&[1; 32], at(NOW));
        for (later, expected) in [
            (0, Ok(())),
            (60, Ok(())),
            (-60, Ok(())),
            (61, Err(ProofError::Expired)),
            (-61, Err(ProofError::Expired)),
        ] {
            assert_eq!(key.check(&proof, at(NOW + later)), expected, "{later}");
        }
    }

    // REQ: IAM-12
    #[test]
    fn a_proof_of_another_deployment_or_a_changed_one_is_refused() {
        let key = ProofKey::new(&[1; 32]);
        let foreign = deployment_proof(&[2; 32], at(NOW));
        let own = deployment_proof(&[1; 32], at(NOW));
        let moved = own.replace(&NOW.to_string(), &(NOW + 1).to_string());
        for bad in
            [foreign.as_str(), &moved, &own[..own.len() - 1], "exq_dep_", "exq_dep__", "", "_"]
        {
            assert_eq!(key.check(bad, at(NOW)), Err(ProofError::Invalid), "{bad}");
        }
    }
}
