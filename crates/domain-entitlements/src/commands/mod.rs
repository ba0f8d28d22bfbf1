//! One file per command: its fields, its rule, its rejections in order of
//! precedence.

mod fire_timer;
mod grant;
mod report_use;
mod revoke;

pub use fire_timer::FireTimer;
pub use grant::GrantFeature;
pub use report_use::ReportUse;
pub use revoke::Revoke;

use crate::Rejection;
use crate::rejection::REASON_CHARS_MAX;

/// What can be asked of a tenant's entitlements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Grant(GrantFeature),
    Revoke(Revoke),
    ReportUse(ReportUse),
    FireTimer(FireTimer),
}

fn check_reason(reason: &str) -> Result<(), Rejection> {
    let fits = (1..=REASON_CHARS_MAX).contains(&reason.chars().count());
    if fits && !reason.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Rejection::ReasonInvalid)
    }
}
