//! One file per command: its fields, its rule, its rejections in order of
//! precedence.

mod activate;
mod amend;
mod cancel;
mod change;
mod drop_entry;
mod fire_timer;
mod pause;
mod reactivate;
mod reschedule;
mod resume;
mod set_zone;
mod subscribe;

pub use activate::Activate;
pub use amend::Amend;
pub use cancel::Cancel;
pub use change::Change;
pub use drop_entry::DropEntry;
pub use fire_timer::FireTimer;
pub(crate) use fire_timer::pending;
pub use pause::Pause;
pub use reactivate::Reactivate;
pub use reschedule::Reschedule;
pub use resume::Resume;
pub use set_zone::SetZone;
pub use subscribe::Subscribe;

/// What can be asked of a tenant's subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Subscribe(Subscribe),
    Activate(Activate),
    Change(Change),
    Cancel(Cancel),
    Reactivate(Reactivate),
    Pause(Pause),
    Resume(Resume),
    SetZone(SetZone),
    Amend(Amend),
    Reschedule(Reschedule),
    Drop(DropEntry),
    FireTimer(FireTimer),
}
