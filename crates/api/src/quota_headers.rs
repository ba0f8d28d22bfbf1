//! What replies and refusals say of a quota in their metadata: its limit, what is left of it,
//! and in how many seconds counting begins anew.

use core::time::Duration;

use exchequer_domain_quotas::codes;
use exchequer_proto::quotas::v1 as pb;
use exchequer_types::Timestamp;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use crate::call::Call;

const LIMIT: &str = "x-quota-limit";
const REMAINING: &str = "x-quota-remaining";
const RESET: &str = "x-quota-reset";
/// Instead of a number of units.
const UNLIMITED: &str = "unlimited";
/// Of refusals, for whoever answers over HTTP: time mends it, another plan does, nothing does.
const TOO_MANY: &str = "429";
const PAYMENT_REQUIRED: &str = "402";
const FORBIDDEN: &str = "403";

/// A reply, and what its metadata says.
pub(crate) type Answer<T> = Result<(T, Option<Words>), Status>;

/// A message that tells of one quota.
pub(crate) trait OfQuota {
    fn quota(&self) -> Option<&pb::Quota>;
}

impl OfQuota for pb::Reservation {
    fn quota(&self) -> Option<&pb::Quota> {
        self.quota.as_ref()
    }
}

impl OfQuota for pb::Quota {
    fn quota(&self) -> Option<&pb::Quota> {
        Some(self)
    }
}

/// What the metadata says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    limit: String,
    remaining: String,
    /// In seconds, rounded up.
    reset: Option<u64>,
}

impl Words {
    /// Of a quota as it is at `at`, in the tenant's time.
    pub(crate) fn of(quota: &pb::Quota, at: Timestamp) -> Self {
        let number = |it: Option<u64>| it.map_or_else(|| UNLIMITED.to_owned(), |it| it.to_string());
        let reset = quota.resets_at.as_ref().map(|reset| {
            let nanos = i64::from(reset.nanos / 1_000);
            let micros = reset.seconds.saturating_mul(1_000_000).saturating_add(nanos);
            let left = u64::try_from(micros.saturating_sub(at.micros())).unwrap_or(0);
            left.div_ceil(1_000_000)
        });
        Self { limit: number(quota.limit), remaining: number(quota.remaining), reset }
    }

    /// The refusal with what is left, and with when to ask again, where time brings more.
    pub(crate) fn explain(&self, refused: &Status) -> Status {
        let mut details = refused.get_error_details();
        let Some(info) = details.error_info().cloned() else { return refused.clone() };
        let mut metadata = info.metadata;
        metadata.insert("limit".to_owned(), self.limit.clone());
        metadata.insert("remaining".to_owned(), self.remaining.clone());
        if let Some(seconds) = self.reset.filter(|_| info.reason == codes::QUOTA_EXHAUSTED) {
            metadata.insert("resets_in_seconds".to_owned(), seconds.to_string());
            details.set_retry_info(Some(Duration::from_secs(seconds)));
        }
        let http = match info.reason.as_str() {
            codes::QUOTA_EXHAUSTED => TOO_MANY,
            codes::QUOTA_FORBIDDEN => FORBIDDEN,
            _ => PAYMENT_REQUIRED,
        };
        metadata.insert("http_status".to_owned(), http.to_owned());
        details.set_error_info(info.reason, info.domain, metadata);
        let mut status =
            Status::with_error_details(refused.code(), refused.message().to_owned(), details);
        *status.metadata_mut() = refused.metadata().clone();
        self.write(status.metadata_mut());
        status
    }

    fn write(&self, metadata: &mut MetadataMap) {
        let reset = self.reset.map(|seconds| seconds.to_string());
        let all = [
            (LIMIT, Some(&self.limit)),
            (REMAINING, Some(&self.remaining)),
            (RESET, reset.as_ref()),
        ];
        for (name, text) in all {
            if let Some(value) = text.and_then(|text| MetadataValue::try_from(text.as_str()).ok()) {
                metadata.insert(name, value);
            }
        }
    }
}

/// Is it a quota that refuses?
pub(crate) fn is_of_quota(refused: &Status) -> bool {
    let reason = refused.get_details_error_info().map(|it| it.reason);
    let codes = [codes::QUOTA_EXHAUSTED, codes::QUOTA_LIMIT_REACHED, codes::QUOTA_FORBIDDEN];
    reason.is_some_and(|reason| codes.contains(&reason.as_str()))
}

/// The reply of `call`.
pub(crate) fn reply<T>(call: Call, answer: Answer<T>) -> Result<Response<T>, Status> {
    let (result, words) = match answer {
        Ok((message, words)) => (Ok(message), words),
        Err(refused) => (Err(refused), None),
    };
    let mut response = call.reply(result)?;
    if let Some(words) = words {
        words.write(response.metadata_mut());
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: USE-07
    #[test]
    fn the_seconds_until_more_is_given_are_rounded_up() {
        let at = |micros| Timestamp::saturating_from_micros(micros);
        let resets_at = Some(prost_types::Timestamp { seconds: 10, nanos: 500_000_000 });
        let quota =
            pb::Quota { limit: Some(7), remaining: Some(2), resets_at, ..pb::Quota::default() };
        let words = Words::of(&quota, at(1));
        assert_eq!(
            (words.limit.as_str(), words.remaining.as_str(), words.reset),
            ("7", "2", Some(11))
        );
        assert_eq!(Words::of(&quota, at(10_500_000)).reset, Some(0));
        assert_eq!(Words::of(&quota, at(99_000_000)).reset, Some(0));
        let none = Words::of(&pb::Quota::default(), at(1));
        assert_eq!((none.limit.as_str(), none.reset), ("unlimited", None));
    }
}
