//! A grant as JSON text. What is absent is not written.

use exchequer_domain_entitlements::{Amount, Ended, EndedBy, Expiry, Grant, GrantKind};
use exchequer_types::{Slug, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantText {
    id: String,
    feature: String,
    /// on, unlimited or a number.
    amount: String,
    kind: String,
    reason: String,
    /// Microseconds since the Unix epoch, as all instants.
    granted_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_reason: Option<String>,
}

impl GrantText {
    pub(super) fn of(grant: &Grant) -> Self {
        let (expiry, ended) = (grant.expiry.as_ref(), grant.ended.as_ref());
        Self {
            id: grant.id.clone(),
            feature: grant.feature.to_string(),
            amount: grant.amount.to_string(),
            kind: grant.kind.word().to_owned(),
            reason: grant.reason.clone(),
            granted_at: grant.granted_at.micros(),
            expires_at: expiry.map(|expiry| expiry.at.micros()),
            timer: expiry.map(|expiry| expiry.timer.clone()),
            ended_at: ended.map(|ended| ended.at.micros()),
            ended_by: ended.map(|ended| ended.by.word().to_owned()),
            ended_reason: ended.and_then(|ended| match &ended.by {
                EndedBy::Revocation { reason } => Some(reason.clone()),
                EndedBy::Expiry | EndedBy::Closing => None,
            }),
        }
    }

    /// None when it cannot be what was written.
    pub(super) fn grant(self) -> Option<Grant> {
        let instant = |micros| Timestamp::from_micros(micros).ok();
        let expiry = match (self.expires_at, self.timer) {
            (Some(at), Some(timer)) => Some(Expiry { at: instant(at)?, timer }),
            (None, None) => None,
            _ => return None,
        };
        let ended = match (self.ended_at, self.ended_by.as_deref(), self.ended_reason) {
            (None, None, None) => None,
            (Some(at), Some(by), reason) => {
                let by = match (by, reason) {
                    ("expiry", None) => EndedBy::Expiry,
                    ("closing", None) => EndedBy::Closing,
                    ("revocation", Some(reason)) => EndedBy::Revocation { reason },
                    _ => return None,
                };
                Some(Ended { at: instant(at)?, by })
            }
            _ => return None,
        };
        Some(Grant {
            id: self.id,
            feature: Slug::parse(self.feature).ok()?,
            amount: match self.amount.as_str() {
                "on" => Amount::On,
                "unlimited" => Amount::Unlimited,
                units => Amount::Units(units.parse().ok()?),
            },
            kind: GrantKind::ALL.into_iter().find(|kind| kind.word() == self.kind)?,
            reason: self.reason,
            expiry,
            granted_at: instant(self.granted_at)?,
            ended,
        })
    }
}
