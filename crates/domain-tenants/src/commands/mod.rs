//! One file per command: its fields, its rule, its rejections in order of
//! precedence.

mod adopt_provider;
mod advance_clock;
mod bootstrap;
mod closing;
mod create;
mod promote;
mod rename;
mod suspend;
mod update_settings;

pub use adopt_provider::AdoptProvider;
pub use advance_clock::{AdvanceClock, CLOCK_END_MICROS};
pub use bootstrap::Bootstrap;
pub use closing::{CancelClosing, Close, FireClosing, ScheduleClosing};
pub use create::Create;
pub use promote::Promote;
pub use rename::Rename;
pub use suspend::{Reinstate, Suspend};
pub use update_settings::UpdateSettings;

use crate::Rejection;
use crate::rejection::{NAME_CHARS_MAX, REASON_CHARS_MAX};

/// What can be asked of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Bootstrap(Bootstrap),
    Create(Create),
    Rename(Rename),
    UpdateSettings(UpdateSettings),
    Promote(Promote),
    Suspend(Suspend),
    Reinstate(Reinstate),
    Close(Close),
    ScheduleClosing(ScheduleClosing),
    CancelClosing(CancelClosing),
    FireClosing(FireClosing),
    AdvanceClock(AdvanceClock),
    AdoptProvider(AdoptProvider),
}

impl Command {
    /// As audit entries name what was done.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Bootstrap(_) | Self::Create(_) => "tenant.created",
            Self::Rename(_) => "tenant.renamed",
            Self::UpdateSettings(_) => "tenant.settings-updated",
            Self::Promote(_) => "tenant.promoted",
            Self::Suspend(_) => "tenant.suspended",
            Self::Reinstate(_) => "tenant.reinstated",
            Self::Close(_) | Self::FireClosing(_) => "tenant.closed",
            Self::ScheduleClosing(_) => "tenant.closing-scheduled",
            Self::CancelClosing(_) => "tenant.closing-cancelled",
            Self::AdvanceClock(_) => "tenant.clock-advanced",
            Self::AdoptProvider(_) => "provider.adopted",
        }
    }
}

fn check_name(name: &str) -> Result<(), Rejection> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(Rejection::NameInvalid) }
}

fn check_reason(reason: &str) -> Result<(), Rejection> {
    let fits = reason.chars().count() <= REASON_CHARS_MAX;
    if fits && !reason.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Rejection::ReasonInvalid)
    }
}
