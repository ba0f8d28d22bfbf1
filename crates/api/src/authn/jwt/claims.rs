//! What a JWT whose signature holds says: for whom it is, whom it names, and when it
//! holds. A claim of another type than expected is refused, never read around.

use core::time::Duration;

use exchequer_types::{ActorId, Timestamp};
use serde_json::{Map, Value};

use super::{Issuer, JwtError};

/// From when it was issued, or from now, to its expiry: nobody can revoke it meanwhile.
const HOLDS_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks may differ by so much.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);

/// Whom the claims name.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) actor: ActorId,
    /// The first instant at which it is not accepted any more.
    pub(super) until: Timestamp,
}

/// The issuer that a JWT says it is of.
pub(super) fn issuer(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("iss")?.as_str()
}

/// Checks `claims` of `issuer` at `now`.
pub(super) fn check(
    claims: &Map<String, Value>,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<Claimed, JwtError> {
    if !is_for(claims.get("aud"), &issuer.audience) {
        return Err(JwtError::AudienceWrong);
    }
    let expires_at = time(claims, "exp")?.ok_or(JwtError::TimesInvalid)?;
    let until = expires_at.saturating_add(LEEWAY);
    if until <= now {
        return Err(JwtError::Expired);
    }
    let issued_at = time(claims, "iat")?.map_or(now, |at| at.min(now));
    if expires_at > issued_at.saturating_add(HOLDS_MAX).saturating_add(LEEWAY) {
        return Err(JwtError::TooLong);
    }
    for begins in ["nbf", "iat"] {
        let begins = time(claims, begins)?;
        if begins.is_some_and(|at| at > now.saturating_add(LEEWAY)) {
            return Err(JwtError::NotYet);
        }
    }
    let subject = claims.get(&issuer.subject_claim).and_then(Value::as_str);
    let subject = subject.filter(|it| !it.is_empty()).ok_or(JwtError::SubjectInvalid)?;
    let actor = ActorId::parse(format!("{}:{subject}", issuer.name));
    Ok(Claimed { actor: actor.map_err(|_| JwtError::SubjectInvalid)?, until })
}

/// `aud` is one text or a list of them.
fn is_for(audience: Option<&Value>, ours: &str) -> bool {
    match audience {
        Some(Value::String(one)) => one == ours,
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(ours)),
        _ => false,
    }
}

/// Seconds since 1970, which may have a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, JwtError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(seconds) = value else { return Err(JwtError::TimesInvalid) };
    let micros = match seconds.as_i64() {
        Some(seconds) => seconds.saturating_mul(1_000_000),
        // What is out of range ends up at the ends of time.
        None => (seconds.as_f64().ok_or(JwtError::TimesInvalid)? * 1e6) as i64,
    };
    Ok(Some(Timestamp::saturating_from_micros(micros)))
}
