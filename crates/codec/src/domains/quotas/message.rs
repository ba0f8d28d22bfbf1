//! Quotas and reservations as the API shows them.

use exchequer_domain_quotas::{End, Quota, Reservation};
use exchequer_proto::quotas::v1 as pb;
use exchequer_types::{QUANTITY_DIGITS, Quantity};

use super::values::{beyond_to_proto, status_to_proto};
use crate::convert::instant;

/// The quota, with what its meter has counted in the window, if that is known.
pub fn quota_message(quota: &Quota, measured: Option<Quantity>) -> pb::Quota {
    let held = measured.map_or(0, whole_units).max(quota.held());
    let limit = quota.terms.limit;
    pb::Quota {
        feature: quota.feature.to_string(),
        limit,
        beyond: beyond_to_proto(quota.terms.beyond).into(),
        used: quota.used,
        reserved: quota.reserved,
        held,
        remaining: limit.map(|limit| limit.saturating_sub(held)),
        window_start: quota.window.map(|window| instant(window.start)),
        resets_at: quota.resets_at().map(instant),
        meter: quota.terms.meter.as_ref().map(ToString::to_string).unwrap_or_default(),
        measured: measured.map(|it| it.to_string()).unwrap_or_default(),
        thresholds: quota.terms.thresholds.clone(),
        reached: quota.noted.clone(),
        burst: limit.filter(|_| quota.terms.is_hard()).map(|_| quota.terms.burst()),
        grace_ends_at: quota.grace_ends_at().map(instant),
        per: quota.terms.counting.map(|it| it.word()).unwrap_or_default(),
    }
}

/// The reservation, with its feature's quota.
pub fn reservation_message(it: &Reservation, quota: &Quota) -> pb::Reservation {
    pb::Reservation {
        reservation: it.id.clone(),
        feature: it.feature.to_string(),
        amount: it.amount,
        status: status_to_proto(it.end).into(),
        used: match it.end {
            Some(End::Finalised { amount }) => amount,
            _ => 0,
        },
        reserved_at: Some(instant(it.reserved_at)),
        expires_at: Some(instant(it.expires_at)),
        quota: Some(quota_message(quota, None)),
    }
}

/// Rounded up; nothing below 0.
fn whole_units(quantity: Quantity) -> u64 {
    let one = 10_i128.pow(QUANTITY_DIGITS);
    let units = quantity.units().max(0);
    let whole = units / one + i128::from(units % one > 0);
    u64::try_from(whole).unwrap_or(u64::MAX)
}
