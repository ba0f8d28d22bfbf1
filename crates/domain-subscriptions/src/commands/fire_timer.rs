//! The next thing due has come.

use exchequer_kernel::Ctx;

use crate::draft::Draft;
use crate::{Event, Rejection, State};

/// Decides one due instant, and sets the timer for the next one. A clock that is far
/// ahead fires one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireTimer {
    pub timer: String,
}

impl FireTimer {
    /// Acts only while its timer is pending.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let pending = state.current.as_ref().and_then(|it| Some((it, it.timer.as_ref()?)));
        let pending = pending.filter(|(_, timer)| timer.id == self.timer);
        let (subscription, timer) = pending.ok_or(Rejection::TimerNotPending)?;
        let mut draft = Draft::of(subscription, ctx);
        draft.fall_due(timer.due)?;
        Ok(draft.finish(Some(&self.timer)))
    }
}
