//! A credential gets a new secret; the one before it may overlap.

use core::time::Duration;

use exchequer_kernel::Ctx;

use super::update_credential::check_giver;
use super::{check_secret, expiry};
use crate::rejection::OVERLAP_SECONDS_MAX;
use crate::{Event, Rejection, Secret, State};

/// The new secret is accepted at once, the one before it for `overlap_seconds` more. A
/// third one that still overlapped is not accepted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotateCredential {
    pub id: String,
    pub secret: Secret,
    pub overlap_seconds: u64,
}

impl RotateCredential {
    /// Whoever gets the secret gets what the credential has.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let credential = state.open_credential(&self.id);
        let credential = credential.ok_or(Rejection::CredentialNotFound { field: "id" })?;
        if self.overlap_seconds > OVERLAP_SECONDS_MAX {
            return Err(Rejection::OverlapInvalid);
        }
        check_secret(state, &self.secret)?;
        check_giver(state, credential, ctx)?;
        let until = ctx.recorded_at.saturating_add(Duration::from_secs(self.overlap_seconds));
        let overlaps = self.overlap_seconds > 0;
        let current = (!overlaps).then_some(credential.secret.hash);
        let older = credential.previous.as_ref();
        Ok(vec![Event::CredentialRotated {
            id: self.id.clone(),
            secret: self.secret.clone(),
            overlap: expiry(overlaps.then_some(until), 0, ctx),
            timer: older.map(|it| it.until.timer.clone()),
            dropped: older.map(|it| it.secret.hash).into_iter().chain(current).collect(),
        }])
    }
}
